//! [`Habits`]: what servers announce and do not keep to.

use std::time::Duration;

use moka::sync::Cache;

use crate::route::Endpoint;

/// How long a habit is remembered.
const LIFE: Duration = Duration::from_secs(3600);
/// Servers that are remembered.
const SIZE: u64 = 4096;

/// What a server announces and breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Habit {
    /// It offers CHUNKING and does not know BDAT.
    pub(super) chunking_unknown: bool,
    /// It offers PIPELINING and lost a group of commands.
    pub(super) lock_step: bool,
}

/// The habits of servers, by endpoint.
#[derive(Debug)]
pub(super) struct Habits(Cache<Endpoint, Habit>);

impl Habit {
    pub(super) const CHUNKING_UNKNOWN: Self = Self { chunking_unknown: true, lock_step: false };
    pub(super) const LOCK_STEP: Self = Self { chunking_unknown: false, lock_step: true };
}

impl Habits {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(SIZE).time_to_live(LIFE).build())
    }

    pub(super) fn of(&self, endpoint: &Endpoint) -> Habit {
        self.0.get(endpoint).unwrap_or_default()
    }

    pub(super) fn note(&self, endpoint: &Endpoint, new: Habit) {
        let known = self.of(endpoint);
        let both = Habit {
            chunking_unknown: known.chunking_unknown || new.chunking_unknown,
            lock_step: known.lock_step || new.lock_step,
        };
        self.0.insert(endpoint.clone(), both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_of_a_server_add_up_and_are_no_other_servers() {
        let (habits, endpoint) = (Habits::new(), |port| Endpoint::Tcp(([192, 0, 2, 1], port).into()));
        habits.note(&endpoint(1), Habit::CHUNKING_UNKNOWN);
        habits.note(&endpoint(1), Habit::LOCK_STEP);
        assert_eq!(habits.of(&endpoint(1)), Habit { chunking_unknown: true, lock_step: true });
        assert_eq!(habits.of(&endpoint(2)), Habit::default());
    }
}
