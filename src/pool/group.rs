//! [`Group`]: connections that can stand for each other, and who waits for one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

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
}

/// Connections with one key, and who waits for them.
pub(crate) struct Group<T: Carried> {
    pub(super) key: Key,
    state: Mutex<State<T>>,
}

pub(super) struct State<T: Carried> {
    /// Deliveries and others that may ask for a connection at any time.
    pub(super) users: usize,
    /// Connections that there are, are being made, or are idle.
    pub(super) open: usize,
    /// The one that was used last is the last.
    pub(super) idle: VecDeque<Idle<T>>,
    pub(super) waiting: VecDeque<Waiting<T>>,
    /// Who has a connection and wants to know of others in line.
    listeners: VecDeque<(u64, Waker)>,
    listened: u64,
    /// What is known of the server, from the connection that was made last.
    pub(super) terms: Option<Terms>,
}

/// A connection that nobody uses.
pub(super) struct Idle<T: Carried> {
    pub(super) held: Box<Held<T>>,
    /// When it was used last.
    pub(super) since: Instant,
}

impl<T: Carried> Group<T> {
    pub(super) fn new(key: &Key) -> Self {
        let (idle, waiting) = (VecDeque::new(), VecDeque::new());
        let (listeners, listened) = (VecDeque::new(), 0);
        let state = State { users: 0, open: 0, idle, waiting, listeners, listened, terms: None };
        Self { key: key.clone(), state: Mutex::new(state) }
    }

    /// What its connections have in common.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Whether somebody is in line, who may have left by now.
    pub(super) fn has_line(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Carried> State<T> {
    /// Whether there is neither a connection nor anybody who may want one.
    pub(super) fn is_of_no_use(&self) -> bool {
        self.users == 0 && self.open == 0 && self.waiting.is_empty()
    }

    /// Whether there may be no more connections.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.open >= limit.max(1)
    }

    /// Since when the connection is idle that was used the longest time ago.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle.front().map(|idle| idle.since)
    }

    /// Takes out the connection that was idle longest.
    pub(super) fn take_oldest(&mut self) -> Option<T> {
        let idle = self.idle.pop_front()?;
        self.open -= 1;
        Some(idle.held.into_item())
    }

    /// Who is next in line, and still there.
    pub(super) fn next_waiting(&mut self) -> Option<Waiting<T>> {
        while let Some(next) = self.waiting.pop_front() {
            if !next.has_left() {
                return Some(next);
            }
        }
        None
    }

    /// Who is next in line; if nobody is, there is room for one more.
    pub(super) fn next_or_leave(&mut self) -> Option<Waiting<T>> {
        let next = self.next_waiting();
        if next.is_none() {
            self.open = self.open.saturating_sub(1);
        }
        next
    }

    /// Puts somebody in line; gives back who is to be woken: of those who have a connection, the one that listens longest.
    pub(super) fn line_up(&mut self, waiting: Waiting<T>) -> Option<Waker> {
        // those who left are dropped now and then
        if self.waiting.len().is_power_of_two() {
            self.waiting.retain(|waiting| !waiting.has_left());
        }
        self.waiting.push_back(waiting);
        self.listeners.pop_front().map(|(_, waker)| waker)
    }

    /// Who is first in line, of those who are still there.
    pub(super) fn first_in_line(&mut self) -> Option<&Waiting<T>> {
        while self.waiting.front().is_some_and(Waiting::has_left) {
            self.waiting.pop_front();
        }
        self.waiting.front()
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
