//! [`Pool`]: the connections to all endpoints, and who waits for them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::key::Key;
use super::lease::Lease;
use super::settings::PoolSettings;
use crate::proto::{Flight, Terms};
use crate::route::Endpoint;

/// A connection, as far as a pool has to know it.
pub(crate) trait Carried: Send + 'static {
    /// Octets that were written to it.
    fn written(&self) -> u64;

    /// Says goodbye.
    fn close(self) -> BoxFuture<'static, ()>;
}

/// The connections of a deliverer.
pub(crate) struct Pool<T: Carried>(Arc<Shared<T>>);

pub(super) struct Shared<T: Carried> {
    pub(super) settings: PoolSettings,
    state: Mutex<State<T>>,
}

pub(super) struct State<T: Carried> {
    groups: HashMap<Endpoint, Vec<Group<T>>>,
    idle: usize,
    /// Whether a task looks after idle connections.
    is_tended: bool,
    pub(super) opened: u64,
}

/// How many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolCounts {
    /// Connections on which a session was opened, from the beginning.
    pub opened: u64,
    /// Connections that nobody uses now.
    pub idle: usize,
}

/// Connections with one key, and who waits for them.
pub(super) struct Group<T: Carried> {
    key: Arc<Key>,
    /// Connections that there are, are being made, or are idle.
    open: usize,
    /// The one that was used last is the last.
    idle: Vec<Idle<T>>,
    pub(super) waiting: VecDeque<Waiting<T>>,
    /// What is known of the server, from the connection that was made last.
    pub(super) terms: Option<Terms>,
}

/// A connection that nobody uses.
pub(super) struct Idle<T> {
    pub(super) item: T,
    pub(super) born: Instant,
    /// That went over it.
    pub(super) messages: usize,
    /// When it was used last.
    pub(super) since: Instant,
}

/// A delivery that waits for a connection.
pub(super) struct Waiting<T: Carried> {
    /// What may be sent for it ahead of its turn.
    pub(super) offer: Option<Offer>,
    pub(super) turn: oneshot::Sender<Turn<T>>,
}

/// What a waiting delivery has to say first, to be sent behind the message before it.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) flight: Flight,
    /// To what server that may be said.
    pub(crate) terms: Terms,
    /// Whether that is all that the delivery has to say there.
    pub(crate) is_last: bool,
    /// Whether it was sent in the name of the delivery that waits.
    pub(crate) is_sent: Arc<AtomicBool>,
}

/// Where in the stream of a connection an offer was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Octets that were queued before it, from the beginning of the stream.
    pub(crate) base: u64,
    /// Whether a RSET stands there first.
    pub(crate) after_reset: bool,
}

/// What a delivery gets that waited.
#[derive(Debug)]
pub(crate) enum Turn<T: Carried> {
    /// It may make a connection.
    Vacant(Slot<T>),
    /// A connection.
    Lease(Lease<T>),
    /// A connection on which its offer was sent.
    Behind(Lease<T>, Place),
    /// Its offer was sent, and the connection was lost.
    Lost {
        place: Place,
        /// Octets that were written to it.
        written: u64,
        /// The room of the connection, which is that of the first of those who were behind on it.
        slot: Option<Slot<T>>,
    },
}

/// What a delivery finds that needs a connection.
#[derive(Debug)]
pub(crate) enum Entry<T: Carried> {
    /// One that is kept.
    Kept(Lease<T>),
    /// Room for another one.
    Vacant(Slot<T>),
    /// Neither. What is known of the server, so that an offer can be made.
    Full(Option<Terms>),
}

/// The right to have one connection. Whoever waits gets it when it is dropped.
pub(crate) struct Slot<T: Carried> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) key: Arc<Key>,
    is_held: bool,
}

impl<T: Carried> Pool<T> {
    pub(crate) fn new(settings: PoolSettings) -> Self {
        let state = State { groups: HashMap::new(), idle: 0, is_tended: false, opened: 0 };
        Self(Arc::new(Shared { settings, state: Mutex::new(state) }))
    }

    /// How many connections there are.
    pub(crate) fn counts(&self) -> PoolCounts {
        let state = self.0.state();
        PoolCounts { opened: state.opened, idle: state.idle }
    }

    /// Says goodbye on all connections that nobody uses.
    pub(crate) async fn close_idle(&self) {
        let idle = self.0.state().take_idle();
        join_all(idle.into_iter().map(Carried::close)).await;
    }

    /// A connection that is kept.
    pub(crate) fn kept(&self, key: &Key) -> Option<Lease<T>> {
        let mut state = self.0.state();
        let stale = state.take_stale(key, self.0.settings.idle);
        let taken = state.take(key);
        let slot = taken.as_ref().map(|(key, _)| Slot::new(&self.0, key));
        drop(state);
        part(stale);
        slot.zip(taken).map(|(slot, (_, idle))| Lease::of_idle(slot, idle))
    }

    /// A connection that is kept, or room for another.
    pub(crate) fn enter(&self, key: &Key) -> Entry<T> {
        match self.kept(key) {
            Some(lease) => Entry::Kept(lease),
            None => {
                let mut state = self.0.state();
                let group = state.group(key);
                if group.open >= self.0.settings.connections.max(1) {
                    return Entry::Full(group.terms);
                }
                group.open += 1;
                Entry::Vacant(Slot::new(&self.0, &group.key))
            }
        }
    }

    /// Room for another connection, whatever the limit; for the further addresses of a race.
    pub(crate) fn room(&self, key: &Key) -> Slot<T> {
        let mut state = self.0.state();
        let group = state.group(key);
        group.open += 1;
        Slot::new(&self.0, &group.key)
    }

    /// Waits in line, unless there is something to have by now.
    pub(crate) fn wait(
        &self,
        key: &Key,
        offer: Option<Offer>,
    ) -> Result<oneshot::Receiver<Turn<T>>, Entry<T>> {
        {
            let mut state = self.0.state();
            let group = state.group(key);
            if group.open >= self.0.settings.connections.max(1) && group.idle.is_empty() {
                if group.waiting.len().is_power_of_two() {
                    // of those who left the line, now and then
                    group.waiting.retain(|waiting| !waiting.turn.is_closed());
                }
                let (turn, receiver) = oneshot::channel();
                group.waiting.push_back(Waiting { offer, turn });
                return Ok(receiver);
            }
        }
        Err(self.enter(key))
    }

    /// Leaves the line. What was offered is not sent any more; whether it was is known then.
    pub(crate) fn withdraw(&self, turn: &mut oneshot::Receiver<Turn<T>>) {
        let _state = self.0.state();
        turn.close();
    }
}

impl<T: Carried> Shared<T> {
    pub(super) fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a connection for later, and says goodbye on one that there is no room for.
    ///
    /// # Errors
    /// Somebody waits for one by now: it comes back.
    pub(super) fn keep(self: &Arc<Self>, key: &Key, idle: Idle<T>) -> Result<(), Idle<T>> {
        let mut state = self.state();
        let group = state.group(key);
        if group.waiting.iter().any(|waiting| !waiting.turn.is_closed()) {
            return Err(idle);
        }
        group.idle.push(idle);
        state.idle += 1;
        let surplus = (state.idle > self.settings.idle_connections).then(|| state.oldest()).flatten();
        if !std::mem::replace(&mut state.is_tended, true) {
            tokio::spawn(tend(Tended(Arc::downgrade(self))));
        }
        drop(state);
        // no delivery waits for the goodbye of another server
        part(surplus);
        Ok(())
    }

    /// Takes out what was idle for too long; says when to look again, if there is anything left to look after.
    fn expired(&self) -> (Vec<T>, Option<Instant>) {
        let now = Instant::now();
        let mut state = self.state();
        let mut expired = Vec::new();
        while state.oldest_since().is_some_and(|since| since + self.settings.idle <= now) {
            expired.extend(state.oldest());
        }
        let next = state.oldest_since().map(|since| since + self.settings.idle);
        state.is_tended = next.is_some();
        (expired, next)
    }
}

/// A pool that a task looks after. Should that end with its runtime, another one may begin.
struct Tended<T: Carried>(Weak<Shared<T>>);

impl<T: Carried> Tended<T> {
    /// The mark is off, and may be that of another task by now.
    fn done(mut self) {
        self.0 = Weak::new();
    }
}

impl<T: Carried> Drop for Tended<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.state().is_tended = false;
        }
    }
}

/// Closes connections that nobody needed for too long. Ends with the pool, and when none is left.
async fn tend<T: Carried>(pool: Tended<T>) {
    loop {
        let Some((expired, next)) = pool.0.upgrade().map(|shared| shared.expired()) else { return };
        part(expired);
        match next {
            Some(next) => sleep_until(next).await,
            None => return pool.done(),
        }
    }
}

/// Says goodbye on connections, for which nobody waits.
fn part<T: Carried>(items: impl IntoIterator<Item = T>) {
    for item in items {
        tokio::spawn(item.close());
    }
}

impl<T: Carried> State<T> {
    /// The group of a key, which is there from now on.
    pub(super) fn group(&mut self, key: &Key) -> &mut Group<T> {
        let groups = self.groups.entry(key.endpoint.clone()).or_default();
        let place = groups.iter().position(|group| *group.key == *key);
        let place = place.unwrap_or_else(|| {
            groups.push(Group::new(key));
            groups.len() - 1
        });
        &mut groups[place]
    }

    fn known(&mut self, key: &Key) -> Option<&mut Group<T>> {
        self.groups.get_mut(&key.endpoint)?.iter_mut().find(|group| *group.key == *key)
    }

    fn take(&mut self, key: &Key) -> Option<(Arc<Key>, Idle<T>)> {
        let group = self.known(key)?;
        let taken = (Arc::clone(&group.key), group.idle.pop()?);
        self.idle -= 1;
        Some(taken)
    }

    /// Takes out what was idle for too long and is still there: nobody is kept waiting by it.
    fn take_stale(&mut self, key: &Key, life: Duration) -> Vec<T> {
        let now = Instant::now();
        let Some(group) = self.known(key) else { return Vec::new() };
        let count = group.idle.partition_point(|idle| idle.since + life <= now);
        let stale: Vec<_> = group.idle.drain(..count).map(|idle| idle.item).collect();
        group.open -= stale.len();
        self.idle -= stale.len();
        self.tidy(key);
        stale
    }

    fn take_idle(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.oldest()).collect()
    }

    fn oldest_since(&self) -> Option<Instant> {
        self.groups.values().flatten().filter_map(|group| group.idle.first()).map(|idle| idle.since).min()
    }

    /// Takes out the connection that was idle longest.
    fn oldest(&mut self) -> Option<T> {
        let since = self.oldest_since()?;
        let group = self
            .groups
            .values_mut()
            .flatten()
            .find(|group| group.idle.first().is_some_and(|idle| idle.since == since))?;
        let idle = group.idle.remove(0);
        group.open -= 1;
        self.idle -= 1;
        let key = Arc::clone(&group.key);
        self.tidy(&key);
        Some(idle.item)
    }

    /// Forgets a group that is of no use.
    fn tidy(&mut self, key: &Key) {
        let Some(groups) = self.groups.get_mut(&key.endpoint) else { return };
        groups.retain(|group| group.open > 0 || !group.waiting.is_empty());
        if groups.is_empty() {
            self.groups.remove(&key.endpoint);
        }
    }

    /// Who is next in line for a key, and still there.
    pub(super) fn next_waiting(&mut self, key: &Key) -> Option<Waiting<T>> {
        let waiting = &mut self.group(key).waiting;
        while let Some(next) = waiting.pop_front() {
            if !next.turn.is_closed() {
                return Some(next);
            }
        }
        None
    }
}

impl<T: Carried> Group<T> {
    fn new(key: &Key) -> Self {
        let key = Arc::new(key.clone());
        Self { key, open: 0, idle: Vec::new(), waiting: VecDeque::new(), terms: None }
    }
}

impl<T: Carried> Slot<T> {
    fn new(shared: &Arc<Shared<T>>, key: &Arc<Key>) -> Self {
        Self { shared: Arc::clone(shared), key: Arc::clone(key), is_held: true }
    }

    /// Leaves the place to what is kept in the pool.
    pub(super) fn leave(mut self) {
        self.is_held = false;
    }
}

impl<T: Carried> Drop for Slot<T> {
    fn drop(&mut self) {
        if !self.is_held {
            return;
        }
        loop {
            let mut state = self.shared.state();
            let Some(next) = state.next_waiting(&self.key) else {
                let group = state.group(&self.key);
                group.open = group.open.saturating_sub(1);
                state.tidy(&self.key);
                return;
            };
            drop(state);
            match next.turn.send(Turn::Vacant(Self::new(&self.shared, &self.key))) {
                Ok(()) => return,
                Err(Turn::Vacant(slot)) => slot.leave(),
                Err(_) => {}
            }
        }
    }
}

impl<T: Carried> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.key.endpoint)
    }
}

impl<T: Carried> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state();
        write!(f, "Pool({} endpoints, {} idle connections)", state.groups.len(), state.idle)
    }
}
