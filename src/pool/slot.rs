//! [`Slot`]: the right to have a connection.

use std::fmt;
use std::sync::Arc;

use super::group::{Carried, Group};
use super::key::Key;
use super::shared::Shared;
use super::turn::Turn;

/// The right to have one connection. Whoever waits gets it when it is dropped.
pub(crate) struct Slot<T: Carried> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) group: Arc<Group<T>>,
    is_held: bool,
}

impl<T: Carried> Slot<T> {
    pub(super) fn new(shared: &Arc<Shared<T>>, group: &Arc<Group<T>>) -> Self {
        Self { shared: Arc::clone(shared), group: Arc::clone(group), is_held: true }
    }

    /// Whether connections of this key may take it.
    pub(crate) fn is_for(&self, key: &Key) -> bool {
        self.group.key == *key
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
            let next = self.group.state().next_or_leave();
            let Some(next) = next else { return self.shared.tidy(&self.group) };
            match next.send(Turn::Vacant(Self::new(&self.shared, &self.group))) {
                None => return,
                Some(Turn::Vacant(slot)) => slot.leave(),
                Some(_) => {}
            }
        }
    }
}

impl<T: Carried> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.group.key.endpoint)
    }
}
