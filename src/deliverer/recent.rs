//! [`Recent`]: what is remembered of servers for a time.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

/// How long something is remembered.
const LIFE: Duration = Duration::from_secs(3600);
/// Servers that are remembered.
const SIZE: u64 = 4096;

/// A memory of limited size. Entries expire an hour after they were noted, by tokio's clock.
pub(super) struct Recent<K, V> {
    known: Cache<K, (V, Instant)>,
    /// `true` once anything was noted. Until then nothing is looked up.
    are_any: AtomicBool,
}

impl<K, V> Recent<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Copy + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        let known = Cache::builder().max_capacity(SIZE).build();
        Self { known, are_any: AtomicBool::new(false) }
    }

    /// Returns what is remembered under a key, which is made only if anything is.
    pub(super) fn get(&self, key: impl FnOnce() -> K) -> Option<V> {
        if !self.are_any.load(Ordering::Acquire) {
            return None;
        }
        let (value, noted) = self.known.get(&key())?;
        (noted.elapsed() < LIFE).then_some(value)
    }

    pub(super) fn note(&self, key: K, value: V) {
        self.known.insert(key, (value, Instant::now()));
        self.are_any.store(true, Ordering::Release);
    }

    pub(super) fn forget(&self, key: &K) {
        self.known.invalidate(key);
    }
}

impl<K, V> fmt::Debug for Recent<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Copy + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recent({} servers)", self.known.entry_count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_noted_is_forgotten_after_an_hour() {
        let recent = Recent::new();
        assert_eq!(recent.get(|| 1), None);
        recent.note(1, 'a');
        tokio::time::advance(LIFE - Duration::from_secs(1)).await;
        assert_eq!(recent.get(|| 1), Some('a'));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(recent.get(|| 1), None);
        recent.note(1, 'b');
        recent.forget(&1);
        assert_eq!(recent.get(|| 1), None);
    }
}
