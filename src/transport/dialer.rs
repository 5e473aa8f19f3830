//! [`Dialer`]: how a permitted address or a socket of the operator's is reached.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::connection::{Closed, Connection};
use super::stream::Socket;
use crate::outcome::Failure;
use crate::plan::{Dial, DialTarget};

/// Opens connections to next hops. A deliverer has one ([`DelivererBuilder::dialer`](crate::DelivererBuilder::dialer)), and
/// opens no connection without it.
///
/// [`SystemDialer`](super::SystemDialer) connects by TCP and unix sockets. Others reach a hop in another way, such as through
/// a proxy or in a simulated network.
/// An implementation never connects to another address than the request says, except to a proxy that the operator named.
///
/// ```
/// use std::io;
///
/// use nexthop::transport::{DialRequest, DialedStream, Dialer, SystemDialer};
///
/// /// Connects as the system does, and writes down where to.
/// #[derive(Debug)]
/// struct Logging(SystemDialer);
///
/// #[async_trait::async_trait]
/// impl Dialer for Logging {
///     async fn dial(&self, request: &DialRequest<'_>) -> io::Result<DialedStream> {
///         println!("dial {}", request.target());
///         self.0.dial(request).await
///     }
/// }
/// # let _ = Logging(SystemDialer::default());
/// ```
#[async_trait]
pub trait Dialer: fmt::Debug + Send + Sync + 'static {
    /// Opens a connection.
    ///
    /// # Errors
    /// The connection could not be opened. The recipients are deferred with kind
    /// [`Connecting`](crate::FailureKind::Connecting), unless another address or host takes them. An address is put last for
    /// a while only after an error of the kinds `ConnectionRefused`, `TimedOut`, `HostUnreachable` and the like, so a proxy
    /// returns errors of its own with another kind, such as `Other`.
    ///
    /// # Cancellation
    /// The future is dropped after [`DialRequest::timeout`], or at most 10 milliseconds after the delivery is dropped. It must leave no connection open
    /// then.
    async fn dial(&self, request: &DialRequest<'_>) -> io::Result<DialedStream>;
}

/// A connection that a [`Dialer`] is to open. Only a delivery makes one, from an address that the policy permitted or a socket
/// path that the operator named.
#[derive(Debug)]
pub struct DialRequest<'a> {
    dial: &'a Dial,
    source: Option<IpAddr>,
    timeout: Duration,
}

/// An open connection: a byte stream that the session and TLS run on.
pub struct DialedStream {
    pub(super) socket: Socket,
    peer: Option<SocketAddr>,
}

impl<'a> DialRequest<'a> {
    pub(crate) fn new(dial: &'a Dial, source: Option<IpAddr>, timeout: Duration) -> Self {
        Self { dial, source, timeout }
    }

    /// Returns what is dialled.
    pub fn target(&self) -> DialTarget<'a> {
        self.dial.target()
    }

    /// Returns the local address to connect from; `None` leaves the choice to the system.
    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// Returns the time limit for the connection ([`Timeouts::connect`](crate::Timeouts::connect)).
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl DialedStream {
    /// Wraps a stream, such as a tunnel through a proxy. It has no peer address that could be compared with the dialled one,
    /// so a dialled loopback address does not count as this host
    /// ([`LoginSettings::cleartext_on_loopback`](crate::LoginSettings#structfield.cleartext_on_loopback)).
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { socket: Socket::Other(Box::new(stream)), peer: None }
    }

    /// Wraps a TCP connection to a proxy, that leads on to the dialled address. Its peer address is not compared, and a dialled
    /// loopback address does not count as this host.
    pub fn through_proxy(stream: TcpStream) -> Self {
        Self { socket: Socket::Tcp(stream), peer: None }
    }

    /// Sets the peer address of a stream made by [`DialedStream::new`]. It must be the dialled address.
    #[must_use]
    pub fn with_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Returns the address of the peer, if the stream has one.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}

/// Wraps a TCP connection to the dialled address.
///
/// # Errors
/// The connection is broken already.
impl TryFrom<TcpStream> for DialedStream {
    type Error = io::Error;

    fn try_from(stream: TcpStream) -> io::Result<Self> {
        let peer = Some(stream.peer_addr()?);
        Ok(Self { socket: Socket::Tcp(stream), peer })
    }
}

#[cfg(unix)]
impl From<UnixStream> for DialedStream {
    fn from(stream: UnixStream) -> Self {
        Self { socket: Socket::Unix(stream), peer: None }
    }
}

impl fmt::Debug for DialedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialedStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Connects by a dialer, within the time limit of the request.
///
/// # Errors
/// Kind [`Connecting`](crate::FailureKind::Connecting): what the dialer says, the time limit, or a connection to another
/// address than the dialled one.
///
/// The notice comes when the connection is closed, or when there will be none. A connection that is opened although the future
/// was dropped is closed like any other.
pub(crate) fn connect(
    dialer: &Arc<dyn Dialer>,
    dial: &Dial,
    source: Option<IpAddr>,
    limit: Duration,
) -> (Connecting, Closed) {
    let (sender, closed) = Closed::pair();
    let (dialer, dial) = (Arc::clone(dialer), dial.clone());
    let connecting = async move {
        let request = DialRequest::new(&dial, source, limit);
        let connected = match timeout(limit, dialer.dial(&request)).await {
            Ok(Ok(DialedStream { socket, peer })) => {
                let is_direct = peer.is_some() || matches!(request.target(), DialTarget::Unix(_));
                let connection = Connection::new(socket, is_direct, sender);
                check(peer, request.target()).map(|()| connection)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        connected.map_err(|error| Failure::connecting(format!("cannot connect to {}", dial.target()), error))
    };
    (Connecting(Some(connecting.boxed())), closed)
}

/// A connection that is being opened. Dropped before it is ready, it is given a moment more: the server may have accepted the
/// connection already, and counts it until both ends have closed it.
pub(crate) struct Connecting(Option<BoxFuture<'static, Result<Connection, Failure>>>);

/// Time for which a connection attempt goes on that nobody waits for any more.
const GRACE: Duration = Duration::from_millis(10);

impl Future for Connecting {
    type Output = Result<Connection, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(connecting) = &mut self.0 else { return Poll::Pending };
        let connected = ready!(connecting.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(connected)
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let (Some(connecting), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { drop(timeout(GRACE, connecting).await) });
        }
    }
}

/// The dialled address must be the one that was permitted (check 095).
fn check(peer: Option<SocketAddr>, target: DialTarget<'_>) -> io::Result<()> {
    match (peer, target) {
        (Some(reached), DialTarget::Tcp(permitted)) => is_same(permitted, reached),
        (Some(reached), DialTarget::Unix(_)) => Err(other_peer(reached)),
        (None, _) => Ok(()),
    }
}

fn is_same(permitted: SocketAddr, reached: SocketAddr) -> io::Result<()> {
    let same = permitted.ip() == reached.ip() && permitted.port() == reached.port();
    same.then_some(()).ok_or_else(|| other_peer(reached))
}

fn other_peer(reached: SocketAddr) -> io::Error {
    io::Error::other(format!("reached {reached} instead"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn check_095_another_peer_than_the_permitted_one_is_an_error() {
        let permitted: SocketAddr = "192.0.2.1:25".parse().unwrap();
        assert!(check(Some(permitted), DialTarget::Tcp(permitted)).is_ok());
        assert!(check(None, DialTarget::Tcp(permitted)).is_ok());
        for other in ["192.0.2.2:25", "192.0.2.1:26", "[::ffff:192.0.2.1]:25"] {
            let reached = Some(other.parse().unwrap());
            assert!(check(reached, DialTarget::Tcp(permitted)).is_err(), "{other}");
            assert!(check(reached, DialTarget::Unix(Path::new("/s"))).is_err(), "{other}");
        }
    }
}
