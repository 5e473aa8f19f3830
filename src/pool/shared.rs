//! [`Pool`]: the connections to all endpoints, and who waits for them.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::group::{Carried, Group, Idle};
use super::key::Key;
use super::lease::Lease;
use super::settings::PoolSettings;
use super::slot::Slot;
use super::tend::{Tended, tend};
use super::ticket::{Ticket, ticket};
use super::turn::{Entry, Offer};
use crate::route::Endpoint;

/// The connections of a deliverer.
pub(crate) struct Pool<T: Carried>(Arc<Shared<T>>);

type Groups<T> = HashMap<Endpoint, Vec<Arc<Group<T>>>>;

/// Whoever needs both locks takes that of the groups first.
pub(super) struct Shared<T: Carried> {
    pub(super) settings: PoolSettings,
    groups: Mutex<Groups<T>>,
    idle: AtomicUsize,
    pub(super) opened: AtomicU64,
    /// Whether a task looks after idle connections.
    pub(super) is_tended: AtomicBool,
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

/// The connections of one key, for somebody who may ask for one at any time. Their group is not forgotten as long as one
/// of these exists.
pub(crate) struct Member<T: Carried> {
    shared: Arc<Shared<T>>,
    group: Arc<Group<T>>,
}

impl<T: Carried> Pool<T> {
    pub(crate) fn new(settings: PoolSettings) -> Self {
        Self(Arc::new(Shared {
            settings,
            groups: Mutex::default(),
            idle: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            is_tended: AtomicBool::new(false),
        }))
    }

    /// How many connections there are.
    pub(crate) fn counts(&self) -> PoolCounts {
        let (opened, idle) = (self.0.opened.load(Ordering::Relaxed), self.0.idle.load(Ordering::Relaxed));
        PoolCounts { opened, idle }
    }

    /// Says goodbye on all connections that nobody uses.
    pub(crate) async fn close_idle(&self) {
        let idle: Vec<_> = std::iter::from_fn(|| self.0.take_oldest()).collect();
        join_all(idle.into_iter().map(Carried::close)).await;
    }

    /// The connections of a key.
    pub(crate) fn member(&self, key: &Key) -> Member<T> {
        Member { shared: Arc::clone(&self.0), group: self.0.group(key) }
    }
}

impl<T: Carried> Member<T> {
    /// What the connections have in common.
    pub(crate) fn key(&self) -> &Key {
        self.group.key()
    }

    /// A connection that is kept.
    pub(crate) fn kept(&self) -> Option<Lease<T>> {
        let mut state = self.group.state();
        if state.idle.is_empty() {
            return None;
        }
        let now = Instant::now();
        let mut stale = Vec::new();
        let is_stale = |since| self.shared.settings.kept_until(since) <= now;
        while state.idle_since().is_some_and(is_stale) {
            stale.extend(state.take_oldest());
        }
        let taken = state.idle.pop_back();
        drop(state);
        let slot = taken.is_some().then(|| self.slot());
        self.shared.less_idle(stale.len() + usize::from(taken.is_some()));
        // nobody is kept waiting by those that should be closed by now
        part(stale);
        slot.zip(taken).map(|(slot, idle)| Lease::of_idle(slot, idle, now))
    }

    /// A connection that is kept, or room for another.
    pub(crate) fn enter(&self) -> Entry<T> {
        match self.kept() {
            Some(lease) => Entry::Kept(lease),
            None => {
                let mut state = self.group.state();
                if state.is_full(self.shared.settings.connections) {
                    return Entry::Full(state.terms);
                }
                state.open += 1;
                drop(state);
                Entry::Vacant(self.slot())
            }
        }
    }

    /// Room for another connection, whatever the limit; for the further addresses of a race.
    pub(crate) fn room(&self) -> Slot<T> {
        self.group.state().open += 1;
        self.slot()
    }

    /// Waits in line, unless there is something to have by now.
    pub(crate) fn wait(&self, offer: Option<Offer>) -> Result<Ticket<T>, Entry<T>> {
        let mut state = self.group.state();
        if !state.is_full(self.shared.settings.connections) || !state.idle.is_empty() {
            drop(state);
            return Err(self.enter());
        }
        let (waiting, ticket) = ticket(offer);
        let listener = state.line_up(waiting);
        drop(state);
        listener.into_iter().for_each(Waker::wake);
        Ok(ticket)
    }

    /// Messages that may be on their way on one connection.
    pub(crate) fn window(&self) -> usize {
        self.shared.settings.window.max(1)
    }

    fn slot(&self) -> Slot<T> {
        Slot::new(&self.shared, &self.group)
    }
}

impl<T: Carried> Drop for Member<T> {
    fn drop(&mut self) {
        self.group.state().users -= 1;
        self.shared.tidy(&self.group);
    }
}

impl<T: Carried> Shared<T> {
    fn groups(&self) -> MutexGuard<'_, Groups<T>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group of a key, which is there from now on, with one user more.
    fn group(&self, key: &Key) -> Arc<Group<T>> {
        let mut groups = self.groups();
        let of_endpoint = groups.entry(key.endpoint.clone()).or_default();
        let known = of_endpoint.iter().position(|group| group.key == *key);
        let place = known.unwrap_or_else(|| {
            of_endpoint.push(Arc::new(Group::new(key)));
            of_endpoint.len() - 1
        });
        of_endpoint[place].state().users += 1;
        Arc::clone(&of_endpoint[place])
    }

    /// Forgets a group if it is of no use to anybody.
    pub(super) fn tidy(&self, group: &Group<T>) {
        if !group.state().is_of_no_use() {
            return;
        }
        let mut groups = self.groups();
        let Some(of_endpoint) = groups.get_mut(&group.key.endpoint) else { return };
        // while the list is locked nobody comes
        of_endpoint.retain(|other| !other.state().is_of_no_use());
        if of_endpoint.is_empty() {
            groups.remove(&group.key.endpoint);
        }
    }

    /// Keeps a connection for later, and says goodbye on one that there is no room for.
    ///
    /// # Errors
    /// Somebody waits for one by now: it comes back.
    pub(super) fn keep(self: &Arc<Self>, group: &Group<T>, idle: Idle<T>) -> Result<(), Idle<T>> {
        let mut state = group.state();
        if state.waiting.iter().any(|waiting| !waiting.has_left()) {
            return Err(idle);
        }
        let ends = self.settings.kept_until(idle.since);
        state.idle.push_back(idle);
        let count = self.idle.fetch_add(1, Ordering::SeqCst) + 1;
        drop(state);
        let surplus = (count > self.settings.idle_connections).then(|| self.take_oldest()).flatten();
        if !self.is_tended.load(Ordering::SeqCst) && !self.is_tended.swap(true, Ordering::SeqCst) {
            tokio::spawn(tend(Tended::new(self), ends));
        }
        // no delivery waits for the goodbye of another server
        part(surplus);
        Ok(())
    }

    /// Takes out what was idle for too long; says when to look again, if there is anything left to look after.
    pub(super) fn expired(&self) -> (Vec<T>, Option<Instant>) {
        let now = Instant::now();
        let ends = |since| self.settings.kept_until(since);
        let mut expired = Vec::new();
        while self.oldest_since().map(ends).is_some_and(|ends| ends <= now) {
            expired.extend(self.take_oldest());
        }
        let next = self.oldest_since().or_else(|| {
            self.is_tended.store(false, Ordering::SeqCst);
            // whoever put one aside meanwhile took it for looked after
            self.oldest_since().filter(|_| !self.is_tended.swap(true, Ordering::SeqCst))
        });
        (expired, next.map(ends))
    }

    fn oldest_since(&self) -> Option<Instant> {
        self.groups().values().flatten().filter_map(|group| group.state().idle_since()).min()
    }

    /// Takes out the connection that was idle longest.
    pub(super) fn take_oldest(&self) -> Option<T> {
        loop {
            let group = self.of_oldest()?;
            let taken = group.state().take_oldest();
            if taken.is_some() {
                self.less_idle(1);
                self.tidy(&group);
                return taken;
            }
        }
    }

    fn of_oldest(&self) -> Option<Arc<Group<T>>> {
        let groups = self.groups();
        let idle = groups.values().flatten().filter_map(|group| Some((group.state().idle_since()?, group)));
        idle.min_by_key(|(since, _)| *since).map(|(_, group)| Arc::clone(group))
    }

    fn less_idle(&self, count: usize) {
        self.idle.fetch_sub(count, Ordering::SeqCst);
    }
}

/// Says goodbye on connections, for which nobody waits.
pub(super) fn part<T: Carried>(items: impl IntoIterator<Item = T>) {
    for item in items {
        tokio::spawn(item.close());
    }
}

impl<T: Carried> fmt::Debug for Member<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({})", self.key().endpoint)
    }
}

impl<T: Carried> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} endpoints, {} idle connections)", self.0.groups().len(), self.counts().idle)
    }
}
