//! [`NextHopError`]: why something is not a next hop.

use crate::mail::{Host, HostError};

/// Why something is not a next hop. The message shows the offending part, escaped, and never a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NextHopError {
    /// A word that is none of the schemes.
    #[error("a next hop begins with smtp://, lmtp://, lmtp+unix:// and the like, not with {scheme:?}")]
    UnknownScheme {
        /// The word.
        scheme: String,
    },
    /// A scheme without `://`.
    #[error("\"://\" must follow {scheme:?}")]
    NoSlashes {
        /// The scheme.
        scheme: String,
    },
    /// No host.
    #[error("no host in \"{scheme}://\"")]
    NoHost {
        /// The scheme.
        scheme: String,
    },
    /// What stands where the host should be is none.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Not a number from 1 to 65535.
    #[error("not a port: {authority:?}")]
    Port {
        /// The host and what stands after the colon.
        authority: String,
    },
    /// LMTP on port 25.
    #[error("LMTP must not be spoken on port 25: \"{host}:25\"")]
    LmtpOnSmtpPort {
        /// The host.
        host: Host,
    },
    /// A port behind a host whose SRV records are asked for: it is in the record.
    #[error("the port is in the SRV records, not in {authority:?}")]
    SrvPort {
        /// The host and its port.
        authority: String,
    },
    /// MX or SRV records of what has none: an address, `localhost`, a unix socket, a name too long to be asked for.
    #[error("there are no such records to ask for: {hop:?}")]
    Lookup {
        /// The hop, without its credentials.
        hop: String,
    },
    /// A `user@` without a password.
    #[error("no \":password\" before {:?}", format!("@{target}"))]
    NoPassword {
        /// What follows the `@`.
        target: String,
    },
    /// A `user:password@` that is not percent-encoded, commas included.
    #[error("broken percent-encoding (a comma is written %2C) before {:?}", format!("@{target}"))]
    BrokenCredentials {
        /// What follows the `@`.
        target: String,
    },
    /// A `%` that two hexadecimal digits do not follow, or octets that are no UTF-8.
    #[error("broken percent-encoding: {path:?}")]
    PathEncoding {
        /// The path.
        path: String,
    },
    /// A path that does not begin with a slash, among them the abstract names of Linux.
    #[error("not the absolute path of a socket: {path:?}")]
    PathNotAbsolute {
        /// The path.
        path: String,
    },
    /// A path that ends in a slash.
    #[error("not a socket but a directory: {path:?}")]
    PathOfDirectory {
        /// The path.
        path: String,
    },
    /// A path of more than 107 octets.
    #[error("a socket path of more than 107 octets: {path:?}")]
    PathTooLong {
        /// The path.
        path: String,
    },
    /// A path that is not UTF-8, or has a control character.
    #[error("a socket path with unfit characters: {path:?}")]
    PathCharacters {
        /// The path.
        path: String,
    },
    /// A control character in the text.
    #[error("a control character: {0:?}")]
    ControlCharacter(char),
}
