//! [`SystemDialer`]: TCP and unix sockets of the system.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpSocket, TcpStream};
#[cfg(unix)]
use tokio::time::{Instant, sleep_until};

#[cfg(unix)]
use super::alarm::end_of;
use super::dialer::{DialRequest, DialedStream, Dialer};
use crate::plan::DialTarget;

/// First and longest pause before a retry of a unix socket whose backlog is full.
#[cfg(unix)]
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];

/// Connects by TCP and, on Unix, by unix sockets. The default.
///
/// It binds to the source address of the request, if there is one. A unix socket with a full backlog is tried again until the
/// time limit. Elsewhere than on Unix a unix socket is an error of the kind `Unsupported`.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemDialer;

#[async_trait]
impl Dialer for SystemDialer {
    async fn dial(&self, request: &DialRequest<'_>) -> io::Result<DialedStream> {
        match request.target() {
            DialTarget::Tcp(address) => tcp(address, request.source()).await?.try_into(),
            DialTarget::Unix(path) => unix(path, request.timeout()).await,
        }
    }
}

/// Connects by TCP, from a source address of the same family if one is given.
pub(super) async fn tcp(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        let bound = socket.bind(SocketAddr::new(source, 0));
        bound.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot connect from {source}: {error}"))
        })?;
    }
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// Connects to a unix socket. Retries while the backlog of the socket is full, because `connect` does not wait for it.
#[cfg(unix)]
async fn unix(path: &Path, limit: Duration) -> io::Result<DialedStream> {
    let ends = end_of(Instant::now(), limit);
    let [mut pause, longest] = PAUSES;
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            connected => return connected.map(DialedStream::from),
        }
        let again = Instant::now() + pause;
        sleep_until(again.min(ends)).await;
        if again >= ends {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the backlog of the socket stays full"));
        }
        pause = longest.min(pause * 2);
    }
}

#[cfg(not(unix))]
async fn unix(_: &Path, _: Duration) -> io::Result<DialedStream> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there are no unix sockets on this system"))
}
