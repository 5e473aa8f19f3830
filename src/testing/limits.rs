//! [`Limits`].

use std::time::Duration;

/// What bounds the memory and the patience of a [`ScriptedServer`](super::ScriptedServer).
///
/// ```
/// let mut limits = nexthop::testing::Limits::default();
/// limits.content = 1024;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets of a command line with its CRLF; default 4096 (RFC 5321 section 4.5.3.1.4 has 512, extensions add to
    /// it).
    pub line: usize,
    /// Octets of one message without stuffed dots; default 16 MiB.
    pub content: usize,
    /// Octets of transcripts and messages that are kept in all; default 64 MiB. What comes later is served, but not
    /// kept.
    pub kept: usize,
    /// How long [`ScriptedServer::finish`](super::ScriptedServer::finish) waits while nothing happens, by tokio's
    /// clock; default 10 seconds.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 4096,
            content: 16 * 1024 * 1024,
            kept: 64 * 1024 * 1024,
            patience: Duration::from_secs(10),
        }
    }
}
