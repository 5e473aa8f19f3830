//! One attempt at one destination: host after host, for whoever is not settled yet.

use futures_util::future::FutureExt;

use super::by_pool::{OtherAddresses, Sought};
use super::converse::Conversed;
use super::line::{Line, NotOpened, Opened};
use super::settle::{HostId, Pending, Tried, open};
use super::visit::{Claim, Connected, Task, Visit};
use crate::outcome::Failure;
use crate::plan::{Candidate, HostPlan, Planning};
use crate::pool::{Lease, OtherConnections, Slot};
use crate::proto::Transaction;
use crate::transport::Race;

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

type Addresses<'a> = Race<'a, Visit<'a>, Connected, Failure>;

/// Next step after an address was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Another address of the host.
    Address,
    /// The same address, queued for its other connections.
    Line,
    /// Another host.
    Host,
}

/// Tries the hosts in turn until every recipient is settled. Those where nobody was at home a moment ago come last.
pub(super) async fn run(
    task: Task<'_>,
    planning: &mut Planning<'_>,
    pending: &mut [Pending<'_>],
    held: Option<Slot<Line>>,
) {
    let mut attempt = Attempt { task, planning, pending, put_off: Vec::new(), held, own_preference: None };
    while attempt.may_go_on() {
        let Some(host) = task.in_time(attempt.planning.next()).await.flatten() else { break };
        attempt.visit_some(host).await;
    }
    for host in std::mem::take(&mut attempt.put_off) {
        if attempt.may_go_on() {
            attempt.visit(host).await;
        }
    }
}

impl<'a> Attempt<'a, '_, '_> {
    /// Returns `true` if another host may be tried for a recipient, and there is time for it.
    fn may_go_on(&self) -> bool {
        !self.task.is_over() && self.pending.iter().any(Pending::may_go_on)
    }

    /// Returns `true` if a recipient is to be tried at this host, and there is time for it.
    fn is_open(&mut self) -> bool {
        !self.task.is_over() && open(self.pending).next().is_some()
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
        self.turn_to(host.candidates.first());
        let visits = self.allowed(host.candidates).await;
        let visits = self.by_pool(visits, place.is_none()).await;
        let is_in_line = visits.first().is_some_and(Visit::is_in_line);
        visits.into_iter().for_each(|visit| race.add(visit));
        if is_in_line {
            race.start_late();
        }
        loop {
            self.leave_if_used_up(place.is_some() || race.has_more());
            if !self.is_open() {
                return;
            }
            let done = match place {
                Some(of) => self.planning.until_complete(of, race.next()).await.flatten(),
                None => self.planning.alongside(race.next()).await,
            };
            match (done, place.take()) {
                (Some((visit, connected)), of) => {
                    place = of;
                    if connected.is_ok() {
                        race.waiting().for_each(Visit::leave_claim);
                    }
                    match self.tried(&visit, connected).await {
                        Next::Address => {}
                        Next::Line => race.again(visit),
                        Next::Host => return,
                    }
                }
                (None, Some(of)) => {
                    let Some(others) = self.task.in_time(self.planning.rest(of, &had)).await else { return };
                    self.turn_to(others.first());
                    let others = self.allowed(others).await;
                    race.join(others.into_iter(), |visit| visit.joins(host.families));
                }
                (None, None) => return,
            }
        }
    }

    /// Begins with a host, or with further addresses of it.
    fn turn_to(&mut self, first: Option<&Candidate>) {
        let (host, most) = (first.map(HostId::of), self.task.parts.limits.max_sessions);
        self.pending.iter_mut().for_each(|pending| pending.turn_to(host.as_ref(), most));
    }

    /// Leaves the host for recipients that have reached the session limit. `more`: addresses are left.
    fn leave_if_used_up(&mut self, more: bool) {
        let most = self.task.parts.limits.max_sessions;
        self.pending.iter_mut().for_each(|pending| pending.leave_if_used_up(most, more));
    }

    /// Returns the number of sessions left for every recipient that is to be tried at this host.
    fn sessions_left(&mut self) -> usize {
        let most = self.task.parts.limits.max_sessions;
        open(self.pending).map(|pending| pending.sessions_left(most)).min().unwrap_or_default()
    }

    fn count_sessions(&mut self, count: usize) {
        open(self.pending).for_each(|pending| pending.count_sessions(count));
    }

    fn uncount_session(&mut self) {
        open(self.pending).for_each(Pending::uncount_session);
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

    /// Uses a connection of the pool, if there is one, or waits for one if no more may be opened. Returns the addresses to
    /// connect to for the recipients that are not settled then.
    ///
    /// If other addresses can be tried at the same time, the wait is limited to the connection attempt delay. `are_all`: no
    /// further addresses will become known.
    async fn by_pool(&mut self, mut visits: Vec<Visit<'a>>, are_all: bool) -> Vec<Visit<'a>> {
        // a permit for another address is dropped, so that another delivery gets it
        let held = self.held.take();
        if let Some(first) = visits.first()
            && let Some(slot) = held.filter(|slot| slot.is_for(first.key()))
        {
            first.hold(Some(Claim::Room(slot)));
            return visits;
        }
        for place in 0..visits.len() {
            let Some(lease) = visits[place].pool().kept() else { continue };
            match self.converse(&visits[place], lease, &mut None).await {
                Conversed::Done => _ = visits.remove(place),
                Conversed::Gone(slot) => {
                    visits[place].hold(slot.map(Claim::Room));
                    visits[..=place].rotate_right(1);
                }
            }
            return visits;
        }
        let Some((first, visits_after)) = visits.split_first() else { return visits };
        let stagger = self.task.parts.limits.stagger;
        let others = OtherAddresses { visits: visits_after, are_all, stagger };
        let others = (!visits_after.is_empty() || !are_all).then_some(others);
        self.count_sessions(1);
        let sought = self.planning.alongside(first.seek(self.pending, others).boxed()).await;
        if !matches!(sought, Sought::Conversed(Conversed::Done)) {
            self.uncount_session();
        }
        match sought {
            Sought::Conversed(Conversed::Done) => {
                visits.remove(0);
                return visits;
            }
            Sought::Conversed(Conversed::Gone(slot)) => first.hold(slot.map(Claim::Room)),
            Sought::InLine(ticket) => first.hold(Some(Claim::Place(ticket))),
        }
        // an address with a permit is connected to next
        if let Some(place) = visits.iter().skip(1).position(Visit::has_room) {
            visits[1..=place + 1].rotate_right(1);
        }
        let Some(first) = visits.first() else { return visits };
        // an address that was marked unreachable meanwhile is tried after the others, and keeps no permit until then
        if visits.len() > 1 && self.task.parts.memory.is_noted(&first.key().endpoint) {
            first.hold(None);
            visits.rotate_left(1);
        }
        visits
    }

    /// Transactions on a connection. One that others had before is a session as well, unless it is lost.
    async fn converse(
        &mut self,
        visit: &Visit<'a>,
        lease: Lease<Line>,
        begun: &mut Option<Transaction<'_>>,
    ) -> Conversed {
        let is_counted = lease.is_new();
        if !is_counted {
            self.count_sessions(1);
        }
        let conversed = self.planning.alongside(visit.converse(lease, begun, self.pending).boxed()).await;
        if !is_counted && matches!(conversed, Conversed::Gone(_)) {
            self.uncount_session();
        }
        conversed
    }

    /// What comes of an address. Nothing more is tried at a host that turns out to be this one.
    async fn tried(&mut self, visit: &Visit<'a>, connected: Result<Connected, Failure>) -> Next {
        let mut connected = connected;
        loop {
            let guess;
            let (lease, mut begun) = match connected {
                Err(failure) => return self.learn(visit, &visit.tried(failure, None)),
                Ok(Connected::Lease(lease)) => (lease, None),
                Ok(Connected::Dialled(dialled)) => {
                    guess = visit.guess(self.pending);
                    let opening = visit.open(dialled, guess.as_ref(), self.sessions_left()).boxed();
                    let Opened { sessions, result } = self.planning.alongside(opening).await;
                    match result {
                        Ok(opened) => {
                            self.count_sessions(sessions);
                            opened
                        }
                        Err(NotOpened::Failed(tried)) => {
                            self.count_sessions(sessions);
                            return self.learn(visit, &tried);
                        }
                        Err(NotOpened::TurnedAway(others, tried)) => {
                            return self.turned_away(others, sessions, &tried);
                        }
                    }
                }
            };
            self.task.parts.memory.forget(&visit.key().endpoint);
            match self.converse(visit, lease, &mut begun).await {
                Conversed::Gone(slot) => visit.hold(slot.map(Claim::Room)),
                Conversed::Done => return Next::Address,
            }
            self.leave_if_used_up(true);
            if !self.is_open() {
                return Next::Address;
            }
            connected = self.planning.alongside(visit.connect()).await;
        }
    }

    /// A server that takes no more connections than there are. Waiting for one that works is no session; where none does
    /// yet it is, so that no delivery comes back for ever to a server that takes none at all.
    fn turned_away(&mut self, others: OtherConnections, sessions: usize, tried: &Tried) -> Next {
        let count = if others == OtherConnections::Working { sessions.saturating_sub(1) } else { sessions };
        self.count_sessions(count);
        if self.sessions_left() > 0 {
            return Next::Line;
        }
        self.failed(tried);
        Next::Address
    }

    /// Notes what is known of an address now that it came to nothing.
    fn learn(&mut self, visit: &Visit<'a>, tried: &Tried) -> Next {
        if tried.attempt.failure().is_unreachable() {
            self.task.parts.memory.note(&visit.key().endpoint);
        }
        self.failed(tried);
        if tried.attempt.failure().is_loop() {
            self.own_preference = visit.candidate().preference;
            return Next::Host;
        }
        Next::Address
    }

    /// Notes a failure for all who are not settled.
    fn failed(&mut self, tried: &Tried) {
        open(self.pending).for_each(|pending| pending.failed(tried.clone()));
    }
}
