//! [`Permits`]: bounds the queries in flight and divides them fairly among deliveries.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::super::question::Requester;

/// Difference of ranks at which a query takes the permit of a requester that has as many. In four time slices most
/// answers arrive, and need not be asked for again.
const RANKS_AMONG_EQUALS: u32 = 3;
/// Number of waiting queries that are looked at when a time slice ends.
const MAX_CLAIMS: usize = 256;

/// A bounded number of permits, each for one query in flight, which is one socket.
///
/// An unanswered query occupies a permit for as long as its servers are silent, so a queue alone is not fair: the
/// queries for unresponsive domains would hold all permits. A stub resolver cannot know the zones behind a recursive
/// server, and an attacker has any number of domains, so names are no measure either. Permits are therefore divided by
/// requester and by the time that a query had one:
///
/// - While a permit is free, a query gets it at once, and nothing is taken away.
/// - Otherwise a new query takes the permit of another one: of a requester with at least two more permits at once, of one
///   with one more permit, or of its own, after a time slice, and of one with as many after four time slices. For a query
///   that had a permit before, these times grow to twice (eight times) what it had. The requester with the most permits
///   and then its oldest query lose first. A query that is seconds old thus gives way to a new one at once.
/// - Queries without a permit wait in the order of the time they had, then of the permits of their requester, then of
///   arrival.
///
/// Every takeover reduces the time of those in flight, or else makes the numbers of permits more equal, so two queries
/// never take a permit from each other in turn at one instant.
///
/// A query that lost its permit closes its socket, waits, and is sent again. The recursive server has usually found the
/// answer by then, so little is lost. All steps take logarithmic time, except the search for a permit to take, which
/// looks at each permit once.
#[derive(Debug)]
pub(super) struct Permits {
    state: Mutex<State>,
}

/// Identifies a lookup with at most one query at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LookupId(u64);

/// The right to have a query in flight, or a place in the queue for it. Dropping it passes either on.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    permits: &'a Permits,
    id: LookupId,
    signal: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    time_slice: Duration,
    free: usize,
    last_id: u64,
    arrivals: u64,
    queries: HashMap<LookupId, Query>,
    in_flight: BTreeSet<LookupId>,
    shares: HashMap<Requester, Share>,
    /// The first waiting query of each share.
    queue: BTreeSet<Place>,
    /// Queries whose permit is on its way, by rank and arrival.
    promised: BTreeSet<Entry>,
}

#[derive(Debug)]
struct Query {
    requester: Requester,
    /// Time for which it had a permit before.
    served: Duration,
    phase: Phase,
    /// Wakes its lookup when the phase changes.
    signal: Arc<Notify>,
}

#[derive(Debug)]
enum Phase {
    /// In the queue.
    Waiting { arrival: u64 },
    /// A permit is on its way from another query. Charged to the requester already.
    Promised { arrival: u64 },
    InFlight {
        since: Instant,
        /// The query that takes the permit over. No longer charged to this one's requester.
        successor: Option<LookupId>,
    },
}

/// The permits and the waiting queries of a requester.
#[derive(Debug, Default)]
struct Share {
    held: usize,
    waiting: BTreeSet<Entry>,
    /// The entry in [`State::queue`].
    place: Option<Place>,
}

/// A waiting query: its rank, its arrival, its lookup.
type Entry = (u32, u64, LookupId);

/// The order in which waiting queries get permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    rank: u32,
    held: usize,
    arrival: u64,
    id: LookupId,
    requester: Requester,
}

impl Permits {
    /// `time_slice`: time for which a query keeps its permit before a new one may take it.
    pub(super) fn new(limit: usize, time_slice: Duration) -> Self {
        let state = State {
            time_slice: time_slice.max(Duration::from_millis(1)),
            free: limit.max(1),
            last_id: 0,
            arrivals: 0,
            queries: HashMap::new(),
            in_flight: BTreeSet::new(),
            shares: HashMap::new(),
            queue: BTreeSet::new(),
            promised: BTreeSet::new(),
        };
        Self { state: Mutex::new(state) }
    }

    /// Returns an id for a lookup.
    pub(super) fn lookup_id(&self) -> LookupId {
        let mut state = self.state();
        state.last_id += 1;
        LookupId(state.last_id)
    }

    /// Waits for a permit. Dropping the future gives up the place in the queue.
    pub(super) async fn acquire(&self, id: LookupId, requester: Requester) -> Permit<'_> {
        let signal = Arc::new(Notify::new());
        let permit = Permit { permits: self, id, signal: Arc::clone(&signal) };
        self.state().add(id, requester, signal);
        permit.granted().await;
        permit
    }

    /// Charges the query of a lookup to another requester that waits for the same answer, if that one has fewer permits.
    /// A delivery with many queries thus does not delay others that need one of their answers.
    pub(super) fn join(&self, id: LookupId, requester: Requester) {
        self.state().join(id, requester);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Runs a query while the permit lasts. Without it the query is dropped, and begins anew with the next permit.
    pub(super) async fn run<Q: Future>(&self, query: impl Fn() -> Q) -> Q::Output {
        loop {
            if let Some(output) = self.until_revoked(query()).await {
                return output;
            }
            self.permits.state().requeue(self.id);
            self.granted().await;
        }
    }

    /// The requester that the permit is charged to.
    pub(super) fn requester(&self) -> Option<Requester> {
        self.permits.state().queries.get(&self.id).map(|query| query.requester)
    }

    async fn until_revoked<Q: Future>(&self, query: Q) -> Option<Q::Output> {
        match select(pin!(query), pin!(self.revoked())).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    async fn granted(&self) {
        while !self.permits.state().is_in_flight(self.id) {
            self.signal.notified().await;
        }
    }

    async fn revoked(&self) {
        loop {
            let Some(next) = self.permits.state().keeps_until(self.id) else { return };
            select(pin!(self.signal.notified()), pin!(sleep_until(next))).await;
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.permits.state().release(self.id);
    }
}

impl State {
    fn add(&mut self, id: LookupId, requester: Requester, signal: Arc<Notify>) {
        let phase = Phase::Waiting { arrival: 0 };
        self.queries.insert(id, Query { requester, served: Duration::ZERO, phase, signal });
        self.enqueue(id);
    }

    /// Gives the query a free permit, or a place in the queue and, if possible, the permit of another one.
    fn enqueue(&mut self, id: LookupId) {
        self.arrivals += 1;
        let arrival = self.arrivals;
        let Some(query) = self.queries.get_mut(&id) else { return };
        query.phase = Phase::Waiting { arrival };
        let requester = query.requester;
        let rank = rank(query.served, self.time_slice);
        if self.free > 0 {
            self.free -= 1;
            self.shares.entry(requester).or_default().held += 1;
            self.start(id);
            return self.refresh(requester);
        }
        self.shares.entry(requester).or_default().waiting.insert((rank, arrival, id));
        self.refresh(requester);
        self.take_permit_for(id);
    }

    /// Takes the permit of the query that deserves it least, if that one deserves it less than this one. Returns `true` if
    /// there is one.
    fn take_permit_for(&mut self, id: LookupId) -> bool {
        let Some(waiting) = self.queries.get(&id) else { return false };
        let claim = self.claim(waiting.requester, waiting.served);
        let now = Instant::now();
        let losers = self.in_flight.iter().filter_map(|id| {
            let query = self.queries.get(id)?;
            let served = query.served_in_flight(now)?;
            let other = self.claim(query.requester, served);
            claim.is_better_than(other).then_some((other.held, served, *id))
        });
        let loser = losers.max().map(|(_, _, loser)| loser);
        if let Some(loser) = loser {
            self.revoke(loser, id);
        }
        loser.is_some()
    }

    /// Makes a query give its permit to another one. The permit moves when the socket of the first is closed.
    fn revoke(&mut self, loser: LookupId, winner: LookupId) {
        let Some(query) = self.queries.get_mut(&winner) else { return };
        let Phase::Waiting { arrival } = query.phase else { return };
        query.phase = Phase::Promised { arrival };
        let (requester, entry) = (query.requester, (rank(query.served, self.time_slice), arrival, winner));
        self.leave_queue(requester, entry);
        self.promised.insert(entry);
        self.charge(requester, 1);
        let Some(query) = self.queries.get_mut(&loser) else { return };
        if let Phase::InFlight { successor, .. } = &mut query.phase {
            *successor = Some(winner);
            query.signal.notify_one();
            let requester = query.requester;
            self.charge(requester, -1);
        }
    }

    /// Returns when a query in flight may lose its permit next; `None` if it must give it up now.
    ///
    /// Waiting queries with a better claim get permits now, of this query or of others that deserve theirs even less.
    fn keeps_until(&mut self, id: LookupId) -> Option<Instant> {
        let now = Instant::now();
        while let Some(other) = self.better_claim(id, now)
            && self.take_permit_for(other)
        {}
        let served = self.queries.get(&id)?.served_in_flight(now)?;
        let rank_ends = self.time_slice.saturating_mul(1 << rank(served, self.time_slice).min(30));
        Some(now + rank_ends.saturating_sub(served))
    }

    /// Returns the first waiting query with a better claim than one in flight.
    fn better_claim(&self, id: LookupId, now: Instant) -> Option<LookupId> {
        let query = self.queries.get(&id)?;
        let claim = self.claim(query.requester, query.served_in_flight(now)?);
        let mut others = self.queue.iter().take_while(|place| place.rank <= claim.rank).take(MAX_CLAIMS);
        others.find(|place| place.claim().is_better_than(claim)).map(|place| place.id)
    }

    /// Gives up the permit of a query, which waits for the next one.
    fn requeue(&mut self, id: LookupId) {
        let Some(mut query) = self.release(id) else { return };
        if let Phase::InFlight { since, .. } = query.phase {
            query.served += since.elapsed();
        }
        self.queries.insert(id, query);
        self.enqueue(id);
    }

    /// Removes a query and passes on its permit or its place.
    fn release(&mut self, id: LookupId) -> Option<Query> {
        let query = self.queries.remove(&id)?;
        match query.phase {
            Phase::Waiting { arrival } => {
                self.leave_queue(query.requester, (rank(query.served, self.time_slice), arrival, id));
                self.charge(query.requester, 0);
            }
            Phase::Promised { arrival } => {
                self.promised.remove(&(rank(query.served, self.time_slice), arrival, id));
                self.charge(query.requester, -1);
            }
            Phase::InFlight { successor, .. } => {
                self.in_flight.remove(&id);
                self.charge(query.requester, if successor.is_none() { -1 } else { 0 });
                self.pass_on(successor);
            }
        }
        Some(query)
    }

    /// Gives a permit to the query it was promised to, to another one that was promised a permit, or to the first one in
    /// the queue.
    fn pass_on(&mut self, successor: Option<LookupId>) {
        let mut promised = self.promised.iter().copied();
        let successor = promised.clone().find(|entry| Some(entry.2) == successor).or_else(|| promised.next());
        if let Some(successor) = successor {
            self.promised.remove(&successor);
            return self.start(successor.2);
        }
        let Some(first) = self.queue.first().copied() else {
            self.free += 1;
            return;
        };
        if let Some(query) = self.queries.get(&first.id) {
            let requester = query.requester;
            self.leave_queue(requester, (first.rank, first.arrival, first.id));
            self.charge(requester, 1);
        }
        self.start(first.id);
    }

    fn leave_queue(&mut self, requester: Requester, entry: Entry) {
        if let Some(share) = self.shares.get_mut(&requester) {
            share.waiting.remove(&entry);
        }
    }

    fn start(&mut self, id: LookupId) {
        if let Some(query) = self.queries.get_mut(&id) {
            query.phase = Phase::InFlight { since: Instant::now(), successor: None };
            query.signal.notify_one();
            self.in_flight.insert(id);
        }
    }

    fn join(&mut self, id: LookupId, requester: Requester) {
        let Some(query) = self.queries.get(&id) else { return };
        let (from, is_waiting) = (query.requester, matches!(query.phase, Phase::Waiting { .. }));
        let charged = !is_waiting && !matches!(query.phase, Phase::InFlight { successor: Some(_), .. });
        if from == requester || self.held(requester) + usize::from(charged) >= self.held(from) {
            return;
        }
        if charged {
            self.shares.entry(requester).or_default().held += 1;
            self.charge(from, -1);
        } else if let Phase::Waiting { arrival } = query.phase {
            let entry = (rank(query.served, self.time_slice), arrival, id);
            self.shares.entry(requester).or_default().waiting.insert(entry);
            self.leave_queue(from, entry);
            self.charge(from, 0);
        }
        self.refresh(requester);
        if let Some(query) = self.queries.get_mut(&id) {
            query.requester = requester;
        }
        if is_waiting {
            self.take_permit_for(id);
        }
    }

    /// Changes the number of permits of a requester, and its place in the queue with it.
    fn charge(&mut self, requester: Requester, change: isize) {
        if let Some(share) = self.shares.get_mut(&requester) {
            share.held = share.held.saturating_add_signed(change);
        }
        self.refresh(requester);
    }

    /// Brings the place of a requester in the queue up to date.
    fn refresh(&mut self, requester: Requester) {
        let Some(share) = self.shares.get_mut(&requester) else { return };
        if let Some(place) = share.place.take() {
            self.queue.remove(&place);
        }
        if let Some((rank, arrival, id)) = share.waiting.first().copied() {
            let place = Place { rank, held: share.held, arrival, id, requester };
            share.place = Some(place);
            self.queue.insert(place);
        } else if share.held == 0 {
            self.shares.remove(&requester);
        }
    }

    fn claim(&self, requester: Requester, served: Duration) -> Claim {
        Claim { requester, held: self.held(requester), rank: rank(served, self.time_slice) }
    }

    fn held(&self, requester: Requester) -> usize {
        self.shares.get(&requester).map_or(0, |share| share.held)
    }

    fn is_in_flight(&self, id: LookupId) -> bool {
        self.queries.get(&id).is_some_and(|query| matches!(query.phase, Phase::InFlight { .. }))
    }
}

impl Query {
    /// Time for which the query had a permit, if it has one and keeps it.
    fn served_in_flight(&self, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::InFlight { since, successor: None } => Some(self.served + (now - since)),
            Phase::InFlight { .. } | Phase::Promised { .. } | Phase::Waiting { .. } => None,
        }
    }
}

/// What a query can say for having a permit.
#[derive(Debug, Clone, Copy)]
struct Claim {
    requester: Requester,
    /// Number of permits of its requester.
    held: usize,
    rank: u32,
}

impl Claim {
    /// Returns `true` if a waiting query with this claim takes the permit of a query in flight.
    fn is_better_than(self, other: Self) -> bool {
        if self.requester == other.requester {
            return other.rank > self.rank;
        }
        match other.held.checked_sub(self.held) {
            None => false,
            Some(0) => other.rank >= self.rank + RANKS_AMONG_EQUALS,
            Some(1) => other.rank > self.rank,
            Some(_) => other.rank >= self.rank,
        }
    }
}

impl Place {
    fn claim(self) -> Claim {
        Claim { requester: self.requester, held: self.held, rank: self.rank }
    }
}

/// 0 up to one time slice, 1 up to two, 2 up to four, and so on.
fn rank(served: Duration, slice: Duration) -> u32 {
    let slices = served.as_nanos() / slice.as_nanos().max(1);
    u128::BITS - slices.leading_zeros()
}

#[cfg(test)]
mod tests;
