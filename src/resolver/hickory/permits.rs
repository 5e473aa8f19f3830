//! [`Permits`]: limits the queries in flight, with fair scheduling among deliveries.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::super::question::Requester;

/// Difference of ranks at which a query preempts one of a requester with as many permits. It amounts to four time slices,
/// in which most answers arrive.
const RANKS_AMONG_EQUALS: u32 = 3;
/// Maximum number of waiting queries that are examined when a time slice ends.
const MAX_EXAMINED: usize = 256;

/// A bounded number of permits, each for one query in flight, which is one socket.
///
/// A FIFO queue alone is not fair. An unanswered query holds its permit for as long as its servers are silent, so the
/// queries for unresponsive domains would hold all permits. Limits per domain do not help: a stub resolver does not know
/// the zones behind a recursive server, and an attacker has any number of domains. Permits are therefore divided by
/// requester, and by the time for which a query has had one:
///
/// - While a permit is free, a query gets it at once, and no query is preempted.
/// - Otherwise a new query preempts a query in flight, which depends on the permits of the other requester:
///   - with at least two permits more, at once;
///   - with one permit more, or if it is the same requester, after a time slice;
///   - with as many permits, after four time slices.
/// - A query that had a permit before waits longer: in the second case at most until the other has had twice its time,
///   in the third at most eight times.
/// - The requester with the most permits loses one first, and of its queries the oldest.
/// - Queries without a permit wait in the order of the time for which they had one, then of the permits of their
///   requester, then of arrival.
///
/// Every preemption reduces the time of the queries in flight, or else makes the numbers of permits more equal. So two
/// queries never preempt each other in turn at one instant.
///
/// A preempted query closes its socket, waits, and is sent again. The recursive server has usually found the answer by
/// then, so little is lost. All steps take logarithmic time, except the search for a query to preempt, which examines each
/// permit once.
#[derive(Debug)]
pub(super) struct Permits {
    state: Mutex<State>,
}

/// Identifies a lookup with at most one query at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LookupId(u64);

/// Permit for a query in flight, or its position in the queue. Dropping it passes either on.
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
    queries: HashMap<LookupId, ActiveQuery>,
    in_flight: BTreeSet<LookupId>,
    shares: HashMap<Requester, Share>,
    /// The first waiting query of each requester.
    queue: BTreeSet<QueueHead>,
    /// Queries in phase [`Phase::Promised`].
    promised: BTreeSet<QueueEntry>,
}

/// The query of a lookup, in flight or waiting.
#[derive(Debug)]
struct ActiveQuery {
    requester: Requester,
    /// Time for which it had permits before the current one.
    served: Duration,
    phase: Phase,
    /// Wakes its lookup when the phase changes.
    signal: Arc<Notify>,
}

#[derive(Debug)]
enum Phase {
    /// In the queue.
    Waiting { arrival: u64 },
    /// Waits for the permit of a query that it preempted. Charged to the requester already.
    Promised { arrival: u64 },
    InFlight {
        since: Instant,
        /// The query that preempted this one. The permit is no longer charged to this one's requester.
        successor: Option<LookupId>,
    },
}

/// Permits and waiting queries of a requester.
#[derive(Debug, Default)]
struct Share {
    held: usize,
    waiting: BTreeSet<QueueEntry>,
    /// Its entry in [`State::queue`].
    head: Option<QueueHead>,
}

/// A waiting query, ordered among those of its requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct QueueEntry {
    rank: u32,
    arrival: u64,
    id: LookupId,
}

/// The first waiting query of a requester, ordered among those of all requesters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct QueueHead {
    rank: u32,
    held: usize,
    arrival: u64,
    id: LookupId,
    requester: Requester,
}

impl Permits {
    /// Creates this many permits. A query keeps its permit for `time_slice` before a new one may preempt it.
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

    /// Returns an id that no other lookup has.
    pub(super) fn lookup_id(&self) -> LookupId {
        let mut state = self.state();
        state.last_id += 1;
        LookupId(state.last_id)
    }

    /// Waits for a permit. Dropping the future removes the query from the queue.
    pub(super) async fn acquire(&self, id: LookupId, requester: Requester) -> Permit<'_> {
        let signal = Arc::new(Notify::new());
        let permit = Permit { permits: self, id, signal: Arc::clone(&signal) };
        self.state().add(id, requester, signal);
        permit.granted().await;
        permit
    }

    /// Charges the query of a lookup to another requester that waits for the same answer, if that one has fewer permits. So
    /// a delivery with many queries does not delay others that need one of the answers.
    pub(super) fn join(&self, id: LookupId, requester: Requester) {
        self.state().join(id, requester);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Runs a query. If it is preempted, it is dropped, and begins anew with the next permit.
    pub(super) async fn run<Q: Future>(&self, query: impl Fn() -> Q) -> Q::Output {
        loop {
            if let Some(output) = self.until_preempted(query()).await {
                return output;
            }
            self.permits.state().requeue(self.id);
            self.granted().await;
        }
    }

    /// Returns the requester that the permit is charged to.
    pub(super) fn requester(&self) -> Option<Requester> {
        self.permits.state().queries.get(&self.id).map(|query| query.requester)
    }

    /// Returns the output, or `None` if the query was preempted.
    async fn until_preempted<Q: Future>(&self, query: Q) -> Option<Q::Output> {
        match select(pin!(query), pin!(self.preempted())).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    /// Waits until the query is in flight.
    async fn granted(&self) {
        while !self.permits.state().is_in_flight(self.id) {
            self.signal.notified().await;
        }
    }

    /// Waits until the query is preempted.
    async fn preempted(&self) {
        loop {
            let Some(next) = self.permits.state().next_preemption(self.id) else { return };
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
        self.queries.insert(id, ActiveQuery { requester, served: Duration::ZERO, phase, signal });
        self.enqueue(id);
    }

    /// Gives the query a free permit. If there is none, adds it to the queue and tries to preempt another query.
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
        self.shares.entry(requester).or_default().waiting.insert(QueueEntry { rank, arrival, id });
        self.refresh(requester);
        self.preempt_for(id);
    }

    /// Preempts the query with the lowest priority, if this waiting one has a better priority. Returns `true` if it does.
    fn preempt_for(&mut self, id: LookupId) -> bool {
        let Some(waiting) = self.queries.get(&id) else { return false };
        let priority = self.priority(waiting.requester, waiting.served);
        let now = Instant::now();
        let losers = self.in_flight.iter().filter_map(|id| {
            let query = self.queries.get(id)?;
            let served = query.served_in_flight(now)?;
            let other = self.priority(query.requester, served);
            priority.preempts(other).then_some((other.held, served, *id))
        });
        let loser = losers.max().map(|(_, _, loser)| loser);
        if let Some(loser) = loser {
            self.preempt(loser, id);
        }
        loser.is_some()
    }

    /// Makes a query give its permit to another one. The permit moves when the socket of the loser is closed.
    fn preempt(&mut self, loser: LookupId, winner: LookupId) {
        let Some(query) = self.queries.get_mut(&winner) else { return };
        let Phase::Waiting { arrival } = query.phase else { return };
        query.phase = Phase::Promised { arrival };
        let requester = query.requester;
        let entry = QueueEntry { rank: rank(query.served, self.time_slice), arrival, id: winner };
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

    /// Returns the time at which a query in flight may be preempted next, or `None` if it has been preempted.
    ///
    /// Before that, waiting queries that may preempt it do so, or preempt others with a lower priority.
    fn next_preemption(&mut self, id: LookupId) -> Option<Instant> {
        let now = Instant::now();
        while let Some(other) = self.waiting_to_preempt(id, now)
            && self.preempt_for(other)
        {}
        let served = self.queries.get(&id)?.served_in_flight(now)?;
        let rank_ends = self.time_slice.saturating_mul(1 << rank(served, self.time_slice).min(30));
        Some(now + rank_ends.saturating_sub(served))
    }

    /// Returns the first waiting query that may preempt a query in flight.
    fn waiting_to_preempt(&self, id: LookupId, now: Instant) -> Option<LookupId> {
        let query = self.queries.get(&id)?;
        let priority = self.priority(query.requester, query.served_in_flight(now)?);
        let mut others = self.queue.iter().take_while(|head| head.rank <= priority.rank).take(MAX_EXAMINED);
        others.find(|head| head.priority().preempts(priority)).map(|head| head.id)
    }

    /// Gives up the permit of a query, and queues it for the next one.
    fn requeue(&mut self, id: LookupId) {
        let Some(mut query) = self.release(id) else { return };
        if let Phase::InFlight { since, .. } = query.phase {
            query.served += since.elapsed();
        }
        self.queries.insert(id, query);
        self.enqueue(id);
    }

    /// Removes a query. Passes on its permit, if it has one.
    fn release(&mut self, id: LookupId) -> Option<ActiveQuery> {
        let query = self.queries.remove(&id)?;
        match query.phase {
            Phase::Waiting { arrival } => {
                let entry = QueueEntry { rank: rank(query.served, self.time_slice), arrival, id };
                self.leave_queue(query.requester, entry);
                self.charge(query.requester, 0);
            }
            Phase::Promised { arrival } => {
                self.promised.remove(&QueueEntry { rank: rank(query.served, self.time_slice), arrival, id });
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

    /// Gives a permit to the query that it was promised to. If that is gone, to another one that was promised a permit, or to
    /// the first one in the queue.
    fn pass_on(&mut self, successor: Option<LookupId>) {
        let mut promised = self.promised.iter().copied();
        let successor =
            promised.clone().find(|entry| Some(entry.id) == successor).or_else(|| promised.next());
        if let Some(successor) = successor {
            self.promised.remove(&successor);
            return self.start(successor.id);
        }
        let Some(first) = self.queue.first().copied() else {
            self.free += 1;
            return;
        };
        if let Some(query) = self.queries.get(&first.id) {
            let requester = query.requester;
            self.leave_queue(
                requester,
                QueueEntry { rank: first.rank, arrival: first.arrival, id: first.id },
            );
            self.charge(requester, 1);
        }
        self.start(first.id);
    }

    fn leave_queue(&mut self, requester: Requester, entry: QueueEntry) {
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
        let from = query.requester;
        let is_waiting = matches!(query.phase, Phase::Waiting { .. });
        let charged = !is_waiting && !matches!(query.phase, Phase::InFlight { successor: Some(_), .. });
        if from == requester || self.held(requester) + usize::from(charged) >= self.held(from) {
            return;
        }
        if charged {
            self.shares.entry(requester).or_default().held += 1;
            self.charge(from, -1);
        } else if let Phase::Waiting { arrival } = query.phase {
            let entry = QueueEntry { rank: rank(query.served, self.time_slice), arrival, id };
            self.shares.entry(requester).or_default().waiting.insert(entry);
            self.leave_queue(from, entry);
            self.charge(from, 0);
        }
        self.refresh(requester);
        if let Some(query) = self.queries.get_mut(&id) {
            query.requester = requester;
        }
        if is_waiting {
            self.preempt_for(id);
        }
    }

    /// Changes the number of permits of a requester, and updates its entry in the queue.
    fn charge(&mut self, requester: Requester, change: isize) {
        if let Some(share) = self.shares.get_mut(&requester) {
            share.held = share.held.saturating_add_signed(change);
        }
        self.refresh(requester);
    }

    /// Updates the entry of a requester in the queue.
    fn refresh(&mut self, requester: Requester) {
        let Some(share) = self.shares.get_mut(&requester) else { return };
        if let Some(head) = share.head.take() {
            self.queue.remove(&head);
        }
        if let Some(QueueEntry { rank, arrival, id }) = share.waiting.first().copied() {
            let head = QueueHead { rank, held: share.held, arrival, id, requester };
            share.head = Some(head);
            self.queue.insert(head);
        } else if share.held == 0 {
            self.shares.remove(&requester);
        }
    }

    fn priority(&self, requester: Requester, served: Duration) -> Priority {
        Priority { requester, held: self.held(requester), rank: rank(served, self.time_slice) }
    }

    fn held(&self, requester: Requester) -> usize {
        self.shares.get(&requester).map_or(0, |share| share.held)
    }

    fn is_in_flight(&self, id: LookupId) -> bool {
        self.queries.get(&id).is_some_and(|query| matches!(query.phase, Phase::InFlight { .. }))
    }
}

impl ActiveQuery {
    /// Returns the time for which the query has had permits, if it is in flight and not preempted.
    fn served_in_flight(&self, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::InFlight { since, successor: None } => Some(self.served + (now - since)),
            Phase::InFlight { .. } | Phase::Promised { .. } | Phase::Waiting { .. } => None,
        }
    }
}

/// Priority of a query. Few permits and a low rank come first.
#[derive(Debug, Clone, Copy)]
struct Priority {
    requester: Requester,
    /// Number of permits of its requester.
    held: usize,
    rank: u32,
}

impl Priority {
    /// Returns `true` if a waiting query with this priority preempts a query in flight.
    fn preempts(self, other: Self) -> bool {
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

impl QueueHead {
    fn priority(self) -> Priority {
        Priority { requester: self.requester, held: self.held, rank: self.rank }
    }
}

/// Returns the rank: 0 below one time slice, 1 below two, 2 below four, and so on.
fn rank(served: Duration, slice: Duration) -> u32 {
    let slices = served.as_nanos() / slice.as_nanos().max(1);
    u128::BITS - slices.leading_zeros()
}

#[cfg(test)]
mod tests;
