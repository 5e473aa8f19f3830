//! [`Group`]: connections that can stand for each other, and who waits for one.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::endpoint::{EndpointState, IdleKey};
use super::key::Key;
use super::lease::Held;
use super::source::Counts;
use super::ticket::Waiting;
use crate::proto::Terms;

/// A connection, as far as a pool has to know it.
pub(crate) trait Carried: Send + 'static {
    /// Octets that were written to it.
    fn written(&self) -> u64;

    /// Lets go of whoever used it last.
    fn rest(&mut self);

    /// Says goodbye.
    fn close(self) -> BoxFuture<'static, ()>;

    /// Closes it without QUIT, and waits a moment until the server closes its end.
    fn abandon(self) -> BoxFuture<'static, ()>;
}

/// Connections with one key, and who waits for them.
pub(crate) struct Group<T: Carried> {
    pub(super) key: Key,
    /// Number of deliveries and others that may ask for a connection at any time. It grows only while the list of endpoints is
    /// locked.
    users: AtomicUsize,
    /// Position of its state in that of the endpoint.
    place: usize,
    endpoint: Arc<Mutex<EndpointState<T>>>,
}

/// State of one group. All groups of an endpoint share one lock, because they share its limit.
pub(super) struct State<T: Carried> {
    /// The group; dangling while the place is free.
    pub(super) group: Weak<Group<T>>,
    /// Source address of the connections.
    pub(super) source: Option<IpAddr>,
    /// Permits of connections that there are, are being made, are idle, or are being closed.
    pub(super) counts: Counts,
    /// The one that was used last is the last.
    pub(super) idle: VecDeque<(IdleKey, Idle<T>)>,
    pub(super) waiting: VecDeque<Waiting<T>>,
    /// Number of deliveries that were queued since cancelled ones were last removed.
    queued: usize,
    /// Number under which the group is in line.
    pub(super) in_line_as: Option<u64>,
    /// Who has a connection and wants to know of others in line.
    listeners: VecDeque<(u64, Waker)>,
    listened: u64,
    /// What is known of the server, from the connection that was made last.
    pub(super) terms: Option<Terms>,
}

/// The locked state of a group, and with it that of all groups of the endpoint.
pub(super) struct Locked<'a, T: Carried> {
    pub(super) all: MutexGuard<'a, EndpointState<T>>,
    pub(super) place: usize,
}

/// A connection that nobody uses.
pub(super) struct Idle<T: Carried> {
    pub(super) held: Box<Held<T>>,
    /// When it was used last.
    pub(super) since: Instant,
}

impl<T: Carried> Group<T> {
    /// Creates the group of a key in the state of its endpoint.
    pub(super) fn new(key: &Key, endpoint: &Arc<Mutex<EndpointState<T>>>) -> Arc<Self> {
        let mut all = endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let place = all.free_place();
        let (key, endpoint) = (key.clone(), Arc::clone(endpoint));
        let group = Arc::new(Self { key, users: AtomicUsize::new(0), place, endpoint });
        let state = State { group: Arc::downgrade(&group), source: group.key.source, ..State::default() };
        all.put(place, state);
        group
    }

    /// What its connections have in common.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Whether somebody is in line, who may have left by now.
    pub(super) fn has_line(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    pub(super) fn state(&self) -> Locked<'_, T> {
        let all = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { all, place: self.place }
    }

    /// Counts a user. The caller must have locked the list of endpoints.
    pub(super) fn join(&self) {
        self.users.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts one user less.
    pub(super) fn leave(&self) {
        self.users.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns `true` if there is neither a connection nor a delivery that may want one.
    pub(super) fn is_of_no_use(&self) -> bool {
        self.users.load(Ordering::SeqCst) == 0 && self.state().is_of_no_use()
    }

    /// Frees its place if it is not used. Returns `true` if it does.
    pub(super) fn remove_if_unused(&self) -> bool {
        if self.users.load(Ordering::SeqCst) > 0 {
            return false;
        }
        let mut state = self.state();
        let is_of_no_use = state.is_of_no_use();
        if is_of_no_use {
            state.forget();
        }
        is_of_no_use
    }

    /// The state of all groups of the endpoint.
    pub(super) fn endpoint(&self) -> &Arc<Mutex<EndpointState<T>>> {
        &self.endpoint
    }
}

/// Groups are equal if their keys are, so that a set of them can be searched by key.
impl<T: Carried> PartialEq for Group<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T: Carried> Eq for Group<T> {}

impl<T: Carried> Hash for Group<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl<T: Carried> Borrow<Key> for Arc<Group<T>> {
    fn borrow(&self) -> &Key {
        &self.key
    }
}

impl<T: Carried> Default for State<T> {
    fn default() -> Self {
        Self {
            group: Weak::new(),
            source: None,
            counts: Counts::default(),
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            queued: 0,
            in_line_as: None,
            listeners: VecDeque::new(),
            listened: 0,
            terms: None,
        }
    }
}

impl<T: Carried> State<T> {
    /// Returns `true` if there is neither a connection nor a queued delivery.
    fn is_of_no_use(&mut self) -> bool {
        self.counts.open == 0 && self.first_number().is_none()
    }

    /// Since when the connection is idle that was used the longest time ago.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle.front().map(|(_, idle)| idle.since)
    }

    /// Returns the number of the first queued delivery. Removes cancelled ones before it.
    pub(super) fn first_number(&mut self) -> Option<u64> {
        while self.waiting.front().is_some_and(Waiting::has_left) {
            self.waiting.pop_front();
        }
        self.waiting.front().map(Waiting::number)
    }

    /// Returns the number of deliveries that wait for a connection of another group to be closed, because the limit of their
    /// own group leaves room for them. Counts up to `most`, and only those queued before the delivery of this number.
    pub(super) fn held_up(&mut self, before: u64, limit: usize, most: usize) -> usize {
        let most = most.min(limit.saturating_sub(self.counts.open));
        let mut count = 0;
        while count < most
            && let Some(waiting) = self.waiting.get(count)
            && waiting.number() < before
        {
            if waiting.has_left() {
                // those before it are few, and it is not met again
                self.waiting.remove(count);
            } else {
                count += 1;
            }
        }
        count
    }

    /// Adds a delivery to the queue. Returns the waker of the user that has listened longest.
    pub(super) fn push_waiting(&mut self, waiting: Waiting<T>) -> Option<Waker> {
        // each time the queue may have doubled
        self.queued += 1;
        if self.queued * 2 > self.waiting.len() {
            self.waiting.retain(|waiting| !waiting.has_left());
            self.queued = 0;
        }
        self.waiting.push_back(waiting);
        self.next_listener()
    }

    /// Removes the one that has listened longest of those who have a connection.
    pub(super) fn next_listener(&mut self) -> Option<Waker> {
        self.listeners.pop_front().map(|(_, waker)| waker)
    }

    /// Notes who is to be woken when somebody gets into line, under the number that it had before or another one.
    pub(super) fn listen(&mut self, known: Option<u64>, waker: &Waker) -> u64 {
        if let Some((number, other)) = self.listeners.iter_mut().find(|(number, _)| Some(*number) == known) {
            other.clone_from(waker);
            return *number;
        }
        self.listened += 1;
        self.listeners.push_back((self.listened, waker.clone()));
        self.listened
    }

    pub(super) fn listen_no_more(&mut self, number: u64) {
        self.listeners.retain(|(other, _)| *other != number);
    }
}

impl<T: Carried> Deref for Locked<'_, T> {
    type Target = State<T>;

    fn deref(&self) -> &State<T> {
        self.all.group(self.place)
    }
}

impl<T: Carried> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut State<T> {
        self.all.group_mut(self.place)
    }
}
