//! [`Slot`]: the right to have a connection. [`Closing`]: a connection that has it until it is closed.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::endpoint::OtherConnections;
use super::group::{Carried, Group};
use super::key::Key;
use super::lease::Held;
use super::shared::Shared;
use super::tend::await_expiry;
use crate::proto::Terms;
use crate::transport::Closed;

/// The right to have one connection. Whoever waits gets it when it is dropped.
pub(crate) struct Slot<T: Carried> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) group: Arc<Group<T>>,
    phase: Phase,
    /// Time at which it was taken without a connection, or `None` if it came with one.
    since: Option<Instant>,
    /// Notice that its connection is closed. Until then the permit is not free.
    closed: Option<Closed>,
}

/// State of the connection that a permit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none yet, or no session on it.
    Opening,
    /// A session was opened on it.
    Working,
    /// It is being closed.
    Closing,
    /// The server greeted it with 421, and it is being closed.
    TurnedAway,
    /// It had no session for another reason, and is being closed.
    Unopened,
    /// The permit has passed to another holder, or to an idle connection.
    Left,
}

/// A connection that is not used any more. Its permit is given up when the connection is closed, not before.
#[must_use = "closes the connection without a word when dropped"]
pub(crate) struct Closing<T: Carried> {
    // dropped in this order
    item: T,
    slot: Slot<T>,
}

impl<T: Carried> Slot<T> {
    pub(super) fn new(shared: &Arc<Shared<T>>, group: &Arc<Group<T>>, phase: Phase) -> Self {
        let since = (phase == Phase::Opening).then(Instant::now);
        Self { shared: Arc::clone(shared), group: Arc::clone(group), phase, since, closed: None }
    }

    /// Ties the permit to a connection: it is free once that is closed.
    pub(crate) fn tie(&mut self, closed: Closed) {
        self.closed = Some(closed);
    }

    /// Waits until the connection that it was tied to is closed, so that another one may be opened.
    pub(crate) async fn until_closed(&mut self) {
        if let Some(closed) = &mut self.closed {
            closed.await;
        }
        self.closed = None;
    }

    /// Whether connections of this key may take it.
    pub(crate) fn is_for(&self, key: &Key) -> bool {
        self.group.key == *key
    }

    /// Returns the notice of [`tie`](Self::tie).
    pub(super) fn untie(&mut self) -> Option<Closed> {
        self.closed.take()
    }

    /// Leaves the permit to an idle connection.
    pub(super) fn leave(mut self) {
        self.phase = Phase::Left;
    }

    /// Notes that a session was opened on its connection, with a server of these terms.
    pub(super) fn opened(&mut self, terms: Terms) {
        self.phase = Phase::Working;
        let (is_more_allowed, told) = self.group.state().opened(terms);
        told.into_iter().for_each(Waker::wake);
        if is_more_allowed {
            self.shared.admit(self.group.endpoint());
        }
    }

    /// Notes that its connection is gone and another one takes its place.
    pub(super) fn reopen(&mut self) {
        self.turn(Phase::Opening);
        self.since = Some(Instant::now());
    }

    fn turn(&mut self, to: Phase) {
        if self.phase != to {
            self.group.state().turn(self.phase, to);
            self.phase = to;
        }
    }

    /// Gives up the permit of a connection that the server greeted with 421. Returns the state of the other connections to
    /// the server: it accepts no more than these, and a delivery can wait for them.
    pub(crate) fn turned_away(mut self) -> OtherConnections {
        let (others, expiry) = {
            let mut state = self.group.state();
            (state.turned_away(self.since), state.all.untimed_expiry())
        };
        self.phase = Phase::TurnedAway;
        if let (Some(next), Ok(runtime)) = (expiry, Handle::try_current()) {
            let (pool, endpoint) = (Arc::downgrade(&self.shared), Arc::downgrade(self.group.endpoint()));
            runtime.spawn(await_expiry(pool, endpoint, next));
        }
        others
    }

    /// Frees the permit.
    fn release(&mut self) {
        let phase = mem::replace(&mut self.phase, Phase::Left);
        let mut next = {
            let mut state = self.group.state();
            state.release(phase);
            // under the same lock, so that no delivery that comes now is served before those in line
            state.all.admit_next()
        };
        while let Some((waiting, group)) = next {
            next = self.shared.grant(waiting, &group);
        }
        let idle = self.group.state().all.take_idle_for_line();
        self.shared.close_removed(idle);
        self.shared.tidy(&self.group);
    }
}

impl<T: Carried> Drop for Slot<T> {
    fn drop(&mut self) {
        if self.phase == Phase::Left {
            return;
        }
        let closed = self.closed.take().and_then(|mut closed| (!closed.is_closed()).then_some(closed));
        let (Some(closed), Ok(runtime)) = (closed, Handle::try_current()) else { return self.release() };
        match self.phase {
            Phase::Opening => self.turn(Phase::Unopened),
            Phase::Working => self.turn(Phase::Closing),
            Phase::Closing | Phase::TurnedAway | Phase::Unopened | Phase::Left => {}
        }
        let mut slot = Self::new(&self.shared, &self.group, mem::replace(&mut self.phase, Phase::Left));
        runtime.spawn(async move {
            closed.await;
            slot.release();
        });
    }
}

impl<T: Carried> Closing<T> {
    /// A connection that has its permit since it was opened.
    pub(super) fn new(item: T, mut slot: Slot<T>) -> Self {
        slot.turn(Phase::Closing);
        Self { item, slot }
    }

    /// A connection that was idle, with its permit.
    pub(super) fn of_idle(held: Held<T>, mut slot: Slot<T>) -> Self {
        let (item, closed) = held.into_parts();
        slot.closed = closed;
        Self { item, slot }
    }

    /// Sends QUIT and closes.
    pub(crate) async fn close(self) {
        let Self { item, slot } = self;
        item.close().await;
        drop(slot);
    }

    async fn abandon(self) {
        let Self { item, slot } = self;
        item.abandon().await;
        drop(slot);
    }
}

/// Closes a connection without QUIT, in the background.
pub(super) fn abandon<T: Carried>(connection: Closing<T>) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(connection.abandon())),
        Err(_) => drop(connection),
    }
}

/// Sends QUIT on connections and closes them in the background.
pub(super) fn part<T: Carried>(connections: impl IntoIterator<Item = Closing<T>>) {
    let runtime = Handle::try_current();
    for connection in connections {
        match &runtime {
            Ok(runtime) => drop(runtime.spawn(connection.close())),
            Err(_) => drop(connection),
        }
    }
}

impl<T: Carried> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.group.key.endpoint)
    }
}

impl<T: Carried> fmt::Debug for Closing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Closing({:?})", self.slot)
    }
}
