//! [`ProxyServer`]: the address of a proxy, and how a connection to it is opened.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::alarm::after;
use super::system_dialer::tcp;
use crate::mail::Host;

/// Part of the time limit that is left to the dialer's caller. A proxy that does not reply is thus reported by the dialer, with
/// the name of the proxy, and the hop is not taken for unreachable.
const RESERVE: u32 = 20;

/// A proxy. Its host is the operator's word: no address policy is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProxyServer {
    scheme: &'static str,
    host: Host,
    port: u16,
}

/// Reason that a proxy gave no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFailure {
    #[error("cannot look up the host of the proxy")]
    Lookup(#[source] io::Error),
    #[error("the host of the proxy has no address")]
    NoAddress,
    #[error("cannot connect to the proxy at {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        error: io::Error,
    },
    #[error("the time limit expired")]
    TimedOut,
    #[error("the SOCKS5 handshake failed")]
    Socks5(#[source] tokio_socks::Error),
    #[error("cannot send the PROXY header")]
    Header(#[source] io::Error),
}

/// A failure with the proxy that it happened at.
#[derive(Debug, thiserror::Error)]
#[error("proxy {proxy}: {failure}")]
struct ProxyError {
    proxy: ProxyServer,
    failure: ProxyFailure,
}

impl ProxyServer {
    pub(super) fn new(scheme: &'static str, host: Host, port: u16) -> Self {
        Self { scheme, host, port }
    }

    /// Waits for a connection through the proxy, a little shorter than the time limit.
    ///
    /// # Errors
    /// Kind `Other`, unless the proxy said that the hop cannot be reached. The text names the proxy.
    pub(super) async fn within(
        &self,
        limit: Duration,
        connecting: impl Future<Output = Result<TcpStream, ProxyFailure>>,
    ) -> io::Result<TcpStream> {
        let connected = timeout(limit - limit / RESERVE, connecting).await;
        connected.unwrap_or(Err(ProxyFailure::TimedOut)).map_err(|failure| self.error(failure))
    }

    /// Connects to the proxy, from the source address if it is of the same family. The addresses of a name are tried in turn;
    /// each has an equal share of the time that is left.
    pub(super) async fn connect(
        &self,
        limit: Duration,
        source: Option<IpAddr>,
    ) -> Result<TcpStream, ProxyFailure> {
        let ends = after(limit - limit / RESERVE);
        let addresses = self.addresses().await?;
        let mut failure = ProxyFailure::NoAddress;
        for (index, address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = ends.saturating_duration_since(Instant::now()) / left;
            let source = source.filter(|source| source.is_ipv4() == address.is_ipv4());
            match timeout(share, tcp(*address, source)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = ProxyFailure::Connect { address: *address, error },
                Err(_) => {
                    let error = io::ErrorKind::TimedOut.into();
                    failure = ProxyFailure::Connect { address: *address, error };
                }
            }
        }
        Err(failure)
    }

    /// Returns the addresses of the host, which the system looks up.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, ProxyFailure> {
        match &self.host {
            Host::Address(address) => Ok(vec![SocketAddr::new(*address, self.port)]),
            Host::Name(name) => {
                let found = lookup_host((name.as_str(), self.port)).await;
                Ok(found.map_err(ProxyFailure::Lookup)?.collect())
            }
        }
    }

    fn error(&self, failure: ProxyFailure) -> io::Error {
        io::Error::new(failure.io_kind(), ProxyError { proxy: self.clone(), failure })
    }
}

impl ProxyFailure {
    /// Returns a kind that tells failures of the proxy from those of the hop behind it.
    fn io_kind(&self) -> io::ErrorKind {
        use tokio_socks::Error::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        match self {
            // RFC 1928 section 6: the proxy is sound and speaks of the hop
            Self::Socks5(ConnectionRefused) => io::ErrorKind::ConnectionRefused,
            Self::Socks5(HostUnreachable) => io::ErrorKind::HostUnreachable,
            Self::Socks5(NetworkUnreachable) => io::ErrorKind::NetworkUnreachable,
            _ => io::ErrorKind::Other,
        }
    }
}

/// The URL of the proxy without credentials.
impl fmt::Display for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}
