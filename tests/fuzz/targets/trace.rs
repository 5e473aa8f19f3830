//! [`Trace`]: a digest of what an input reached, so that a loop without instrumentation can keep inputs that reach more.

use std::fmt::Debug;

/// FNV-1a over the words of an execution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn add(&mut self, word: impl AsRef<[u8]>) {
        for byte in word.as_ref().iter().chain(b"\n") {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Adds the name of a variant, without its fields.
    pub(super) fn add_variant(&mut self, value: &impl Debug) {
        let text = format!("{value:?}");
        let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
        self.add(&text[..end]);
    }

    pub(crate) fn digest(self) -> u64 {
        self.0
    }
}
