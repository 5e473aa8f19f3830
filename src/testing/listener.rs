//! [`Listener`]: a loopback port or a unix socket, and nothing else.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, utf8_percent_encode};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

use crate::proto::Protocol;

use super::network::{Network, NetworkListener};
use super::socket::Socket;
use super::stream::Stream;
use crate::route::Endpoint;

/// What the text form of a next hop writes as an escape in a path.
const IN_PATH: &AsciiSet = &AsciiSet::EMPTY.add(b'%').add(b',');

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// A script is malformed.
    #[error("a script is malformed")]
    Script(#[from] super::script::ScriptError),
    /// A server for tests must not be reachable from elsewhere.
    #[error("{0} is no loopback address")]
    NotLoopback(SocketAddr),
    /// The system refuses.
    #[error("cannot listen")]
    Io(#[from] io::Error),
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Tcp(SocketAddr),
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are none"))]
    Unix(PathBuf),
    /// A unix socket in a simulated network, where no file has its path.
    Simulated(PathBuf),
}

impl Place {
    /// The text form of the next hop; `immediate` is TLS from the first octet.
    pub(super) fn url(&self, protocol: Protocol, immediate: bool) -> String {
        let s = if immediate { "s" } else { "" };
        match self {
            Self::Tcp(address) => format!("{protocol}{s}://{address}"),
            Self::Unix(path) | Self::Simulated(path) => {
                let path = path.to_string_lossy();
                format!("{protocol}{s}+unix://{}", utf8_percent_encode(&path, IN_PATH))
            }
        }
    }
}

/// A socket that takes connections.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener, SocketAddr),
    #[cfg(unix)]
    Unix(UnixListener, PathBuf),
    Network(NetworkListener),
}

impl Listener {
    /// A port that the system chooses.
    pub(super) const ANY_PORT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

    pub(super) async fn tcp(address: SocketAddr) -> Result<Self, ListenError> {
        if !address.ip().is_loopback() {
            return Err(ListenError::NotLoopback(address));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self::Tcp(listener, address))
    }

    #[cfg(unix)]
    pub(super) fn unix(path: &Path) -> Result<Self, ListenError> {
        let path = std::path::absolute(path)?;
        Ok(Self::Unix(UnixListener::bind(&path)?, path))
    }

    #[cfg(not(unix))]
    pub(super) fn unix(_: &Path) -> Result<Self, ListenError> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "there are no unix sockets on this system").into())
    }

    /// The simulated network that it is in, and its endpoint there.
    pub(super) fn observed(&self) -> Option<(Network, String)> {
        match self {
            Self::Network(listener) => Some((listener.network().clone(), listener.endpoint().to_string())),
            _ => None,
        }
    }

    pub(super) fn place(&self) -> Place {
        match self {
            Self::Tcp(_, address) => Place::Tcp(*address),
            #[cfg(unix)]
            Self::Unix(_, path) => Place::Unix(path.clone()),
            Self::Network(listener) => match listener.endpoint() {
                Endpoint::Tcp(address) => Place::Tcp(address),
                Endpoint::Unix(path) => Place::Simulated(path),
            },
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, _) = listener.accept().await?;
                // otherwise the pieces of a reply would wait for each other
                stream.set_nodelay(true)?;
                Ok(Stream::Plain(Socket::Tcp(stream)))
            }
            #[cfg(unix)]
            Self::Unix(listener, _) => Ok(Stream::Plain(Socket::Unix(listener.accept().await?.0))),
            Self::Network(listener) => Ok(Stream::Plain(Socket::Network(listener.accept().await.0))),
        }
    }
}
