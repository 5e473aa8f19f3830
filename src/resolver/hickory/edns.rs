//! [`EdnsMemory`]: remembers servers that reject EDNS (RFC 6891 section 7).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Remembers for one configured server that it rejects queries with OPT.
#[derive(Debug, Default)]
pub(super) struct EdnsMemory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Time until which queries go without OPT.
    rejected_until: Option<Instant>,
    /// Time of the latest reply with OPT.
    used_at: Option<Instant>,
}

impl EdnsMemory {
    /// Returns `true` if queries must be sent without OPT now.
    pub(super) fn is_rejected(&self) -> bool {
        self.state().rejected_until.is_some_and(|until| Instant::now() < until)
    }

    /// Notes a reply with OPT.
    pub(super) fn was_used(&self) {
        *self.state() = State { rejected_until: None, used_at: Some(Instant::now()) };
    }

    /// Notes for `time` that the server rejects OPT.
    ///
    /// Does nothing if a reply within the last `time` had OPT: the server knows EDNS, and rejected only one query.
    pub(super) fn was_rejected(&self, time: Duration) {
        let mut state = self.state();
        if state.used_at.is_none_or(|used| used.elapsed() >= time) {
            state.rejected_until = Instant::now().checked_add(time);
        }
    }

    /// Returns `true` if a reply within `time` had OPT.
    pub(super) fn was_used_within(&self, time: Duration) -> bool {
        self.state().used_at.is_some_and(|used| used.elapsed() < time)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TIME: Duration = Duration::from_secs(900);

    #[tokio::test(start_paused = true)]
    async fn a_rejection_is_remembered_for_its_time() {
        let memory = EdnsMemory::default();
        assert!(!memory.is_rejected());
        memory.was_rejected(TIME);
        advance(TIME - Duration::from_millis(1)).await;
        assert!(memory.is_rejected());
        advance(Duration::from_millis(1)).await;
        assert!(!memory.is_rejected());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_used_edns_lately_is_not_remembered_as_rejecting_it() {
        let memory = EdnsMemory::default();
        memory.was_used();
        memory.was_rejected(TIME);
        assert!(!memory.is_rejected());
        advance(TIME).await;
        memory.was_rejected(TIME);
        assert!(memory.is_rejected());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_with_opt_ends_the_memory() {
        let memory = EdnsMemory::default();
        memory.was_rejected(TIME);
        memory.was_used();
        assert!(!memory.is_rejected());
    }
}
