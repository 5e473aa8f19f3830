//! One attempt at one destination: host after host, for whoever is not settled yet.

use std::ops::ControlFlow;

use futures_util::future::FutureExt;

use super::converse::Conversed;
use super::line::Line;
use super::settle::{Pending, Tried, open};
use super::visit::{Task, Visit};
use crate::outcome::Failure;
use crate::plan::{Candidate, HostPlan, Planning};
use crate::pool::{Lease, Slot};
use crate::proto::Transaction;
use crate::transport::{Race, Socket};

/// The hosts of a destination, those who are to be delivered, and what was learnt on the way.
struct Attempt<'a, 'p, 'r> {
    task: Task<'a>,
    planning: &'a mut Planning<'p>,
    pending: &'a mut [Pending<'r>],
    /// Where nobody was at home a moment ago.
    put_off: Vec<HostPlan>,
    /// Room in the pool for the first connection.
    held: Option<Slot<Line>>,
    /// The best preference of a server that turned out to be this host.
    own_preference: Option<u16>,
}

type Addresses<'a> = Race<'a, Visit<'a>, (Slot<Line>, Socket), Failure>;

/// Tries the hosts in turn until every recipient is settled. Those where nobody was at home a moment ago come last.
pub(super) async fn run(
    task: Task<'_>,
    planning: &mut Planning<'_>,
    pending: &mut [Pending<'_>],
    held: Option<Slot<Line>>,
) {
    let mut attempt = Attempt { task, planning, pending, put_off: Vec::new(), held, own_preference: None };
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
                Ok(visit) => {
                    self.task.remember(visit.target());
                    visits.push(visit);
                }
                Err(tried) => self.failed(&tried),
            }
        }
        visits
    }

    /// Uses a connection of the pool, if there is one, and waits for one if there may be no more; gives back what is to be
    /// dialled for those who are not settled then.
    async fn by_pool(&mut self, mut visits: Vec<Visit<'a>>) -> Vec<Visit<'a>> {
        if let Some(first) = visits.first()
            && let Some(slot) = self.held.take_if(|slot| slot.is_for(first.key()))
        {
            first.hold(Some(slot));
            return visits;
        }
        for place in 0..visits.len() {
            let Some(lease) = visits[place].pool().kept() else { continue };
            match self.converse(&visits[place], lease, &mut None).await {
                Conversed::Done => _ = visits.remove(place),
                Conversed::Gone(slot) => {
                    visits[place].hold(slot);
                    visits[..=place].rotate_right(1);
                }
            }
            return visits;
        }
        let Some(first) = visits.first() else { return visits };
        match self.planning.alongside(first.by_pool(self.pending).boxed()).await {
            Conversed::Done => {
                visits.remove(0);
                return visits;
            }
            Conversed::Gone(slot) => first.hold(slot),
        }
        // where nobody is at home by now another address goes first
        if self.task.parts.memory.is_noted(&first.key().endpoint) {
            visits.rotate_left(1);
        }
        visits
    }

    async fn converse(
        &mut self,
        visit: &Visit<'a>,
        lease: Lease<Line>,
        begun: &mut Option<Transaction<'_>>,
    ) -> Conversed {
        self.planning.alongside(visit.converse(lease, begun, self.pending).boxed()).await
    }

    /// What comes of an address. Nothing more is tried at a host that turns out to be this one.
    async fn tried(
        &mut self,
        visit: &Visit<'a>,
        connected: Result<(Slot<Line>, Socket), Failure>,
    ) -> ControlFlow<()> {
        let mut connected = connected;
        let tried = loop {
            let guess = visit.guess(self.pending);
            let opened = match connected {
                Ok((slot, socket)) => {
                    self.planning.alongside(visit.open(slot, socket, guess.as_ref()).boxed()).await
                }
                Err(failure) => Err(visit.tried(failure, None)),
            };
            let (lease, mut begun) = match opened {
                Ok(opened) => opened,
                Err(tried) => break tried,
            };
            self.task.parts.memory.forget(&visit.key().endpoint);
            match self.converse(visit, lease, &mut begun).await {
                Conversed::Gone(slot) if self.is_open() => visit.hold(slot),
                Conversed::Gone(_) | Conversed::Done => return ControlFlow::Continue(()),
            }
            connected = self.planning.alongside(visit.connect()).await;
        };
        self.learn(visit, &tried)
    }

    /// Notes what is known of an address now that it came to nothing.
    fn learn(&mut self, visit: &Visit<'a>, tried: &Tried) -> ControlFlow<()> {
        if tried.attempt.failure().is_unreachable() {
            self.task.parts.memory.note(&visit.key().endpoint);
        }
        self.failed(tried);
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
