//! [`Habits`]: what servers announce and do not keep to.

use super::recent::Recent;
use crate::pool::Key;
use crate::route::Endpoint;
use crate::tls::Requirement;

/// What a server announces and breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Habit {
    /// It offers CHUNKING and does not know BDAT.
    pub(super) chunking_unknown: bool,
    /// It offers PIPELINING and does not answer a group of commands correctly.
    pub(super) lock_step: bool,
    /// It sends more replies than it gets commands. Commands then go in lock step, and content by DATA, because 354 cannot
    /// be mistaken for another reply.
    pub(super) surplus_replies: bool,
}

/// The habits of servers, by endpoint and what a connection must prove: what is learnt where anybody may have had a say
/// does not hold where nobody may.
#[derive(Debug)]
pub(super) struct Habits(Recent<(Endpoint, Requirement), Habit>);

impl Habit {
    pub(super) const CHUNKING_UNKNOWN: Self = Self { chunking_unknown: true, ..Self::NONE };
    pub(super) const LOCK_STEP: Self = Self { lock_step: true, ..Self::NONE };
    pub(super) const SURPLUS_REPLIES: Self = Self { surplus_replies: true, ..Self::NONE };
    const NONE: Self = Self { chunking_unknown: false, lock_step: false, surplus_replies: false };

    /// Returns `true` if each command must wait for the reply to the previous one.
    pub(super) fn is_lock_step(self) -> bool {
        self.lock_step || self.surplus_replies
    }
}

impl Habits {
    pub(super) fn new() -> Self {
        Self(Recent::new())
    }

    pub(super) fn of(&self, key: &Key) -> Habit {
        self.0.get(|| (key.endpoint.clone(), key.requirement)).unwrap_or_default()
    }

    pub(super) fn note(&self, key: &Key, new: Habit) {
        let known = self.of(key);
        let both = Habit {
            chunking_unknown: known.chunking_unknown || new.chunking_unknown,
            lock_step: known.lock_step || new.lock_step,
            surplus_replies: known.surplus_replies || new.surplus_replies,
        };
        self.0.note((key.endpoint.clone(), key.requirement), both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::TlsLevel;

    fn key(port: u16, level: TlsLevel) -> Key {
        Key { requirement: Requirement::of_exchanger(level), ..Key::of_port(port) }
    }

    #[test]
    fn habits_of_a_server_add_up_and_are_those_of_no_other_and_of_no_other_level() {
        let habits = Habits::new();
        habits.note(&key(1, TlsLevel::Opportunistic), Habit::CHUNKING_UNKNOWN);
        habits.note(&key(1, TlsLevel::Opportunistic), Habit::LOCK_STEP);
        let both = Habit { chunking_unknown: true, lock_step: true, surplus_replies: false };
        assert_eq!(habits.of(&key(1, TlsLevel::Opportunistic)), both);
        assert_eq!(habits.of(&key(2, TlsLevel::Opportunistic)), Habit::default());
        assert_eq!(habits.of(&key(1, TlsLevel::Verified)), Habit::default());
    }
}
