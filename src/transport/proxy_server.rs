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
    #[error("the connection to the proxy failed")]
    Connection(#[source] io::Error),
    #[error("the SOCKS5 handshake failed")]
    Socks5(#[source] tokio_socks::Error),
}

/// A failure with the proxy that it happened at.
#[derive(Debug, thiserror::Error)]
#[error("no connection through the proxy {proxy}")]
struct ProxyError {
    proxy: ProxyServer,
    #[source]
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
        let connected = timeout(usable(limit), connecting).await;
        connected.unwrap_or(Err(ProxyFailure::TimedOut)).map_err(|failure| self.error(failure))
    }

    /// Connects to the proxy, from the source address if it is of the same family.
    pub(super) async fn connect(
        &self,
        limit: Duration,
        source: Option<IpAddr>,
    ) -> Result<TcpStream, ProxyFailure> {
        let ends = after(usable(limit));
        connect_to_one(&self.addresses().await?, source, ends).await
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

/// Returns the time limit of the dialer itself.
fn usable(limit: Duration) -> Duration {
    limit - limit / RESERVE
}

/// Tries the addresses in turn. Each has an equal share of the time that is left.
async fn connect_to_one(
    addresses: &[SocketAddr],
    source: Option<IpAddr>,
    ends: Instant,
) -> Result<TcpStream, ProxyFailure> {
    let mut failure = ProxyFailure::NoAddress;
    for (left, address) in (1..=addresses.len()).rev().zip(addresses) {
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let share = ends.saturating_duration_since(Instant::now()) / left;
        let source = source.filter(|source| source.is_ipv4() == address.is_ipv4());
        let connected = timeout(share, tcp(*address, source)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = ProxyFailure::Connect { address: *address, error },
        }
    }
    Err(failure)
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

impl From<tokio_socks::Error> for ProxyFailure {
    fn from(error: tokio_socks::Error) -> Self {
        match error {
            tokio_socks::Error::Io(error) => Self::Connection(error),
            error => Self::Socks5(error),
        }
    }
}

/// The URL of the proxy without credentials.
impl fmt::Display for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn the_addresses_of_a_proxy_are_tried_in_turn() {
        let (refusing, refused) = listener();
        let (_listening, address) = listener();
        drop(refusing);
        let ends = after(Duration::from_secs(60));
        let stream = connect_to_one(&[refused, address], None, ends).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        let failure = connect_to_one(&[refused], None, ends).await.unwrap_err();
        assert!(matches!(failure, ProxyFailure::Connect { address, .. } if address == refused), "{failure}");
        let failure = connect_to_one(&[], None, ends).await.unwrap_err();
        assert!(matches!(failure, ProxyFailure::NoAddress), "{failure}");
    }

    #[test]
    fn failures_of_the_proxy_are_of_another_kind_than_those_of_the_hop() {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NotFound, Other, TimedOut};
        let proxy = ProxyServer::new("socks5", Host::parse("proxy.example").unwrap(), 1080);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1080));
        for (failure, kind) in [
            (ProxyFailure::Lookup(NotFound.into()), Other),
            (ProxyFailure::NoAddress, Other),
            (ProxyFailure::Connect { address, error: ConnectionRefused.into() }, Other),
            (ProxyFailure::TimedOut, Other),
            (ProxyFailure::Connection(TimedOut.into()), Other),
            (tokio_socks::Error::Io(HostUnreachable.into()).into(), Other),
            (tokio_socks::Error::GeneralSocksServerFailure.into(), Other),
            (tokio_socks::Error::ConnectionRefused.into(), ConnectionRefused),
        ] {
            let error = proxy.error(failure);
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(error.to_string(), "no connection through the proxy socks5://proxy.example:1080");
        }
    }
}
