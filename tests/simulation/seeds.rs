//! Seeds of worlds in which a rule was broken once.

/// They run first.
pub(crate) const FAILED_ONCE: &[u64] = &[];
