//! One attempt at one destination: host after host, for whoever is not settled yet.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::FutureExt;

use super::converse::Conversed;
use super::line::Line;
use super::settle::{Pending, Tried, open};
use super::visit::{Task, Visit};
use crate::outcome::Failure;
use crate::plan::{Candidate, HostPlan, Planning};
use crate::pool::{Entry, Lease, Place, Slot, Turn};
use crate::proto::{Terms, Transaction, Verdict};
use crate::transport::{Race, Socket};

/// The hosts of a destination, those who are to be delivered, and what was learnt on the way.
struct Attempt<'a, 'p, 'r> {
    task: Task<'a>,
    planning: &'a mut Planning<'p>,
    pending: &'a mut [Pending<'r>],
    /// Where nobody was at home a moment ago.
    put_off: Vec<HostPlan>,
    /// The best preference of a server that turned out to be this host.
    own_preference: Option<u16>,
}

type Addresses<'a> = Race<'a, Visit<'a>, (Slot<Line>, Socket), Failure>;

/// Tries the hosts in turn until every recipient is settled. Those where nobody was at home a moment ago come last.
pub(super) async fn run(task: Task<'_>, planning: &mut Planning<'_>, pending: &mut [Pending<'_>]) {
    let mut attempt = Attempt { task, planning, pending, put_off: Vec::new(), own_preference: None };
    while attempt.is_open() {
        let Some(host) = task.in_time(attempt.planning.next()).await.flatten() else { break };
        attempt.visit_some(host).await;
    }
    for host in std::mem::take(&mut attempt.put_off) {
        if attempt.is_open() {
            attempt.visit(host).await;
        }
    }
}

impl<'a> Attempt<'a, '_, '_> {
    /// Whether there is anybody to deliver, and time for it.
    fn is_open(&self) -> bool {
        !self.task.is_over() && self.pending.iter().any(|pending| !pending.is_settled())
    }

    /// Visits a host, and puts off the addresses where nobody was at home a moment ago.
    async fn visit_some(&mut self, host: HostPlan) {
        let memory = &self.task.parts.memory;
        let is_noted = |candidate: &Candidate| {
            candidate.failure().is_none()
                && candidate.endpoint.iter().any(|endpoint| memory.is_noted(endpoint))
        };
        let (noted, fresh): (Vec<_>, Vec<_>) = host.candidates.into_iter().partition(is_noted);
        if noted.is_empty() {
            return self.visit(HostPlan { candidates: fresh, ..host }).await;
        }
        // the other family, where it is not known yet, joins those that are tried now, if there are any
        let some_now = fresh.iter().any(|candidate| candidate.failure().is_none());
        let (now, last) = if some_now { (host.place, None) } else { (None, host.place) };
        let (had, families) =
            (noted.iter().filter_map(|noted| noted.endpoint.clone()).collect(), host.families);
        let failed = fresh.iter().filter_map(|fresh| fresh.endpoint.clone()).collect();
        self.put_off.push(HostPlan { place: last, candidates: noted, had: failed, families, note: None });
        self.visit(HostPlan { place: now, candidates: fresh, had, families, note: None }).await;
    }

    /// Tries the addresses of a host: a connection that is kept or shared, else whichever is connected to first, and after
    /// it the others for whoever is not settled then (check 101). Addresses that become known meanwhile join in.
    async fn visit(&mut self, host: HostPlan) {
        let mut had = host.had;
        had.extend(host.candidates.iter().filter_map(|candidate| candidate.endpoint.clone()));
        let (mut race, mut place) = (self.race(), host.place);
        let visits = self.allowed(host.candidates).await;
        self.by_pool(visits).await.into_iter().for_each(|visit| race.add(visit));
        while self.is_open() {
            let done = match place {
                Some(of) => self.planning.until_complete(of, race.next()).await.flatten(),
                None => self.planning.alongside(race.next()).await,
            };
            match (done, place.take()) {
                (Some((visit, result)), of) => {
                    place = of;
                    if self.tried(&visit, result).await.is_break() {
                        return;
                    }
                }
                (None, Some(of)) => {
                    let Some(others) = self.task.in_time(self.planning.rest(of, &had)).await else { return };
                    let others = self.allowed(others).await;
                    race.join(others.into_iter(), |visit| visit.joins(host.families));
                }
                (None, None) => return,
            }
        }
    }

    fn race(&self) -> Addresses<'a> {
        Race::new(self.task.parts.limits.stagger, Visit::connect)
    }

    /// What may be dialled; of the rest it is noted why not.
    async fn allowed(&mut self, candidates: Vec<Candidate>) -> Vec<Visit<'a>> {
        let mut visits = Vec::new();
        for candidate in candidates {
            match Visit::new(self.task, candidate, self.own_preference).await {
                Ok(visit) => visits.push(visit),
                Err(tried) => self.failed(&tried),
            }
        }
        visits
    }

    /// Uses a connection of the pool, if there is one, and waits for one if there may be no more; gives back what is to be
    /// dialled for those who are not settled then.
    async fn by_pool(&mut self, mut visits: Vec<Visit<'a>>) -> Vec<Visit<'a>> {
        for place in 0..visits.len() {
            let Some(lease) = visits[place].pool().kept() else { continue };
            match self.converse(&visits[place], lease, None).await {
                Conversed::Done => _ = visits.remove(place),
                Conversed::Gone(slot) => {
                    visits[place].hold(slot);
                    visits[..=place].rotate_right(1);
                }
            }
            return visits;
        }
        let Some(first) = visits.first().cloned() else { return visits };
        while self.is_open() {
            let conversed = match first.pool().enter() {
                Entry::Vacant(slot) => Conversed::Gone(Some(slot)),
                Entry::Kept(lease) => self.converse(&first, lease, None).await,
                Entry::Full(terms) => self.wait(&first, terms).await,
            };
            match conversed {
                Conversed::Done => {
                    visits.remove(0);
                    return visits;
                }
                Conversed::Gone(Some(slot)) => {
                    first.hold(Some(slot));
                    break;
                }
                Conversed::Gone(None) => {}
            }
        }
        // where nobody is at home by now another address goes first
        if self.task.parts.memory.is_noted(&first.key().endpoint) {
            visits.rotate_left(1);
        }
        visits
    }

    /// Waits for a connection, or for room to make one.
    async fn wait(&mut self, visit: &Visit<'a>, terms: Option<Terms>) -> Conversed {
        let limit = self.task.parts.limits.recipients.max(1);
        let recipients: Vec<_> = open(self.pending).map(|pending| pending.recipient).take(limit).collect();
        let is_last = recipients.len() == open(self.pending).count();
        let begun = terms
            .filter(|terms| visit.may_be_sent_ahead(terms))
            .and_then(|terms| visit.begin(terms, &recipients, is_last));
        let (mut transaction, offer) = begun.unzip();
        let is_sent = offer.as_ref().map(|offer| Arc::clone(&offer.is_sent)).unwrap_or_default();
        let turn = match visit.pool().wait(offer) {
            Ok(mut turn) => match self.task.in_time(self.planning.alongside(&mut turn)).await {
                Some(turn) => turn,
                None => {
                    visit.pool().withdraw(&mut turn);
                    let sent = transaction.take().filter(|_| is_sent.load(Ordering::Relaxed));
                    let place = Place { base: 0, after_reset: false };
                    // how far it went is for whoever has the connection to know
                    return match sent {
                        Some(sent) => self.lost(visit, sent, place, u64::MAX, None),
                        None => Conversed::Gone(None),
                    };
                }
            },
            Err(Entry::Vacant(slot)) => Ok(Turn::Vacant(slot)),
            Err(Entry::Kept(lease)) => Ok(Turn::Lease(lease)),
            Err(Entry::Full(_)) => return Conversed::Gone(None),
        };
        match turn {
            Ok(Turn::Vacant(slot)) => Conversed::Gone(Some(slot)),
            Ok(Turn::Lease(lease)) => self.converse(visit, lease, None).await,
            Ok(Turn::Behind(lease, place)) => {
                let begun = transaction.take().map(|mut begun| {
                    begun.follow(place.base, place.after_reset);
                    begun
                });
                self.converse(visit, lease, begun).await
            }
            Ok(Turn::Lost { place, written, slot }) => match transaction.take() {
                Some(transaction) => self.lost(visit, transaction, place, written, slot),
                None => Conversed::Gone(slot),
            },
            // the pool is gone, or whoever had the connection: as if there had been none
            Err(_) => Conversed::Gone(None),
        }
    }

    /// A connection that was lost with what was sent on it by another: who may have the message is told so (law 3).
    fn lost(
        &mut self,
        visit: &Visit<'a>,
        mut transaction: Transaction<'_>,
        place: Place,
        written: u64,
        slot: Option<Slot<Line>>,
    ) -> Conversed {
        transaction.follow(place.base, place.after_reset);
        if transaction.end_of_content().is_none_or(|end| end > written) {
            return Conversed::Gone(slot);
        }
        let hop = visit.hop(None);
        let asked = open(self.pending).zip(transaction.finish().0);
        // nobody else is tried for those who were asked for; the others were not sent at all
        asked.filter(|(_, verdict)| matches!(verdict, Verdict::Broken { .. })).for_each(|(pending, _)| {
            pending.failed(visit.tried(Failure::may_have_arrived_by_another(), Some(hop.clone())));
        });
        Conversed::Done
    }

    async fn converse(
        &mut self,
        visit: &Visit<'a>,
        lease: Lease<Line>,
        begun: Option<Transaction<'_>>,
    ) -> Conversed {
        self.planning.alongside(visit.converse(lease, begun, self.pending).boxed()).await
    }

    /// What comes of an address. Nothing more is tried at a host that turns out to be this one.
    async fn tried(
        &mut self,
        visit: &Visit<'a>,
        connected: Result<(Slot<Line>, Socket), Failure>,
    ) -> ControlFlow<()> {
        let (memory, endpoint) = (&self.task.parts.memory, &visit.key().endpoint);
        let mut connected = connected;
        let tried = loop {
            let lease = match connected {
                Ok((slot, socket)) => self.planning.alongside(visit.open(slot, socket).boxed()).await,
                Err(failure) => Err(visit.tried(failure, None)),
            };
            let lease = match lease {
                Ok(lease) => lease,
                Err(tried) => break tried,
            };
            memory.forget(endpoint);
            match self.converse(visit, lease, None).await {
                Conversed::Gone(slot) if self.is_open() => visit.hold(slot),
                Conversed::Gone(_) | Conversed::Done => return ControlFlow::Continue(()),
            }
            connected = self.planning.alongside(visit.connect()).await;
        };
        if tried.attempt.failure().is_unreachable() {
            memory.note(endpoint);
        }
        self.failed(&tried);
        if tried.attempt.failure().is_loop() {
            self.own_preference = visit.candidate().preference;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Notes a failure for all who are not settled.
    fn failed(&mut self, tried: &Tried) {
        open(self.pending).for_each(|pending| pending.failed(tried.clone()));
    }
}
