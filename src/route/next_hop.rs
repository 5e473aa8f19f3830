//! [`NextHop`]: a server that the operator named.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::mail::Host;
use crate::proto::Protocol;

/// A server that the operator named: a protocol and where it is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NextHop {
    /// A host and a TCP port.
    #[non_exhaustive]
    Tcp {
        /// What is spoken there.
        protocol: Protocol,
        /// A name, `localhost`, or an address.
        host: Host,
        /// The TCP port.
        port: u16,
    },
    /// A unix stream socket in the file system.
    #[non_exhaustive]
    Unix {
        /// What is spoken there.
        protocol: Protocol,
        /// Absolute path of the socket.
        path: PathBuf,
    },
}

/// What a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "stream sockets of the two address families in use")]
pub enum Endpoint {
    /// An address and a port.
    Tcp(SocketAddr),
    /// Absolute path of a unix socket.
    Unix(PathBuf),
}

/// `192.0.2.1:25`, `[2001:db8::1]:25` or the path.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}
