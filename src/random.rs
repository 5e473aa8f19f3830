//! [`Randomness`]: where random choices come from.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Source of random choices: that of the thread, or one that begins with a seed.
#[derive(Clone, Default)]
pub(crate) struct Randomness(Option<Arc<Mutex<fastrand::Rng>>>);

impl Randomness {
    pub(crate) fn of_seed(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)))))
    }

    /// Returns a number from 0 to `highest`.
    pub(crate) fn up_to(&self, highest: u32) -> u32 {
        match &self.0 {
            None => fastrand::u32(0..=highest),
            Some(seeded) => seeded.lock().unwrap_or_else(PoisonError::into_inner).u32(0..=highest),
        }
    }

    pub(crate) fn shuffle<T>(&self, items: &mut [T]) {
        match &self.0 {
            None => fastrand::shuffle(items),
            Some(seeded) => seeded.lock().unwrap_or_else(PoisonError::into_inner).shuffle(items),
        }
    }

    /// Fills bytes, if there is a seed. Returns `false` if there is none.
    pub(crate) fn fill_if_seeded(&self, octets: &mut [u8]) -> bool {
        let Some(seeded) = &self.0 else { return false };
        seeded.lock().unwrap_or_else(PoisonError::into_inner).fill(octets);
        true
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "seeded" } else { "random" })
    }
}
