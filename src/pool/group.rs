//! [`Group`]: connections that can stand for each other, and who waits for one.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::endpoint::EndpointState;
use super::key::Key;
use super::lease::Held;
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
    /// Deliveries and others that may ask for a connection at any time.
    pub(super) users: usize,
    /// Connections that there are, are being made, are idle, or are being closed.
    pub(super) open: usize,
    /// Those of them on which a session was opened and that are not being closed.
    pub(super) working: usize,
    /// Those of them that are being closed.
    pub(super) closing: usize,
    /// Those of them that the server greeted with 421. These are being closed too.
    pub(super) turned_away: usize,
    /// The one that was used last is the last.
    pub(super) idle: VecDeque<Idle<T>>,
    pub(super) waiting: VecDeque<Waiting<T>>,
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
        let group = Arc::new(Self { key: key.clone(), place, endpoint: Arc::clone(endpoint) });
        let state = State { group: Arc::downgrade(&group), source: key.source, ..State::default() };
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

    /// Frees its place if it is not used. Returns `true` if it does.
    pub(super) fn remove_if_unused(&self) -> bool {
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

impl<T: Carried> Default for State<T> {
    fn default() -> Self {
        Self {
            group: Weak::new(),
            source: None,
            users: 0,
            open: 0,
            working: 0,
            closing: 0,
            turned_away: 0,
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            listeners: VecDeque::new(),
            listened: 0,
            terms: None,
        }
    }
}

impl<T: Carried> State<T> {
    /// Whether there is neither a connection nor anybody who may want one.
    pub(super) fn is_of_no_use(&self) -> bool {
        self.users == 0 && self.open == 0 && self.waiting.iter().all(Waiting::has_left)
    }

    /// Since when the connection is idle that was used the longest time ago.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle.front().map(|idle| idle.since)
    }

    /// Removes the connection that has been idle longest. Its permit now counts as that of a connection being closed.
    pub(super) fn take_oldest(&mut self) -> Option<Box<Held<T>>> {
        let idle = self.idle.pop_front()?;
        self.working -= 1;
        self.closing += 1;
        Some(idle.held)
    }

    /// Removes cancelled deliveries from the head of the queue.
    pub(super) fn skip_cancelled(&mut self) {
        while self.waiting.front().is_some_and(Waiting::has_left) {
            self.waiting.pop_front();
        }
    }

    /// Puts somebody in line; gives back who is to be woken: of those who have a connection, the one that listens longest.
    pub(super) fn line_up(&mut self, waiting: Waiting<T>) -> Option<Waker> {
        // those who left are dropped now and then
        if self.waiting.len().is_power_of_two() {
            self.waiting.retain(|waiting| !waiting.has_left());
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
