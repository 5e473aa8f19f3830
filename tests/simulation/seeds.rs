//! Seeds of worlds in which a rule was broken once.

/// They run first. A seed means another world after each change of what is drawn in `world.rs`, so only those of the latest
/// kind of worlds are of use.
///
/// - 3994: 421 in place of a final reply, and 250 behind it: deferred without `may_have_arrived`.
/// - 6671, 7550: QUIT after the last message was waited for beyond the time limit of the attempt.
pub(crate) const FAILED_ONCE: &[u64] = &[3994, 6671, 7550];
