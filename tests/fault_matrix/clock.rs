//! The paused clock of a cell.
//!
//! The automatic advance of tokio's paused clock does not wait for sockets: it advances while octets are in transit. So a
//! separate task keeps the runtime awake. It advances the clock only after many polls of the sockets without any activity
//! of the server. Unix sockets transfer octets at once, so this is deterministic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::yield_now;

/// Amount by which the clock moves.
pub(crate) const STEP: Duration = Duration::from_millis(250);
/// Number of polls of the sockets without activity, after which only time can cause any.
const QUIET: u32 = 7;

/// Counts the reads and writes of the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activity(Arc<AtomicU64>);

impl Activity {
    /// Notes that octets or a connection came or went.
    pub(crate) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Advances the clock whenever there is no activity. Never returns.
pub(crate) async fn drive(activity: Activity) {
    let mut seen = activity.count();
    let mut quiet = 0;
    loop {
        yield_now().await;
        quiet = if activity.count() == seen { quiet + 1 } else { 0 };
        seen = activity.count();
        if quiet > QUIET {
            tokio::time::advance(STEP).await;
            quiet = 0;
        }
    }
}

/// Lets all other tasks act on the octets that were written.
pub(crate) async fn settle() {
    for _ in 0..QUIET {
        yield_now().await;
    }
}
