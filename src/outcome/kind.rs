//! [`FailureKind`]: what kind of thing went wrong.

use std::fmt;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// There is no way: the router or the DNS says so, or a mail loop.
    Routing,
    /// The DNS did not answer, or not usably.
    Resolving,
    /// The address policy denies every address.
    Forbidden,
    /// No connection came about.
    Connecting,
    /// TLS was not to be had as it was required.
    Securing,
    /// The credentials were not taken.
    Authenticating,
    /// A server said 4yz or 5yz.
    Refused,
    /// A server does not keep to the protocol.
    Protocol,
    /// A server did not answer in time.
    TimedOut,
    /// The connection was lost.
    Disconnected,
    /// A server lacks an extension that the message needs.
    Unsupported,
    /// Held back by the host's own limits.
    Throttled,
    /// Something on this host: its store, its configuration, the file of the message.
    Local,
}

/// The word of command lines and JSON, such as `timed-out`.
impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Routing => "routing",
            Self::Resolving => "resolving",
            Self::Forbidden => "forbidden",
            Self::Connecting => "connecting",
            Self::Securing => "securing",
            Self::Authenticating => "authenticating",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
            Self::TimedOut => "timed-out",
            Self::Disconnected => "disconnected",
            Self::Unsupported => "unsupported",
            Self::Throttled => "throttled",
            Self::Local => "local",
        })
    }
}
