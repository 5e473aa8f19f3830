//! Dials what a plan allows, and nothing else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::{Instant, sleep_until, timeout};

use super::alarm::end_of;
use super::connection::Connection;
use super::stream::Socket;
use crate::outcome::Failure;
use crate::plan::Dial;
use crate::route::Endpoint;

/// First and longest pause before a retry of a unix socket whose backlog is full.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];

/// Connects within a time, from a local address of the same family if one is given.
///
/// # Errors
/// Kind [`Connecting`](crate::FailureKind::Connecting): refused, unreachable, too late, no such socket file, a socket
/// whose backlog stays full, or a source address that is not this host's.
pub(crate) async fn connect(
    dial: &Dial,
    source: Option<IpAddr>,
    limit: Duration,
) -> Result<Connection, Failure> {
    let endpoint = dial.endpoint();
    let connected = match &endpoint {
        Endpoint::Tcp(address) => match timeout(limit, tcp(*address, source)).await {
            Ok(connected) => connected.map(Socket::Tcp),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        },
        Endpoint::Unix(path) => unix(path, limit).await.map(Socket::Unix),
    };
    let connected = connected.map(Connection::new);
    connected.map_err(|error| Failure::connecting(format!("cannot connect to {endpoint}"), error))
}

async fn tcp(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        let bound = socket.bind(SocketAddr::new(source, 0));
        bound.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot connect from {source}: {error}"))
        })?;
    }
    socket.set_nodelay(true)?;
    let stream = socket.connect(address).await?;
    same_peer(address, stream.peer_addr()?)?;
    Ok(stream)
}

/// Connects to a unix socket. Retries while the backlog of the socket is full, because `connect` does not wait for it.
async fn unix(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let ends = end_of(Instant::now(), limit);
    let [mut pause, longest] = PAUSES;
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            connected => return connected,
        }
        let again = Instant::now() + pause;
        sleep_until(again.min(ends)).await;
        if again >= ends {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the backlog of the socket stays full"));
        }
        pause = longest.min(pause * 2);
    }
}

/// What was permitted is what was reached (check 095).
fn same_peer(permitted: SocketAddr, reached: SocketAddr) -> io::Result<()> {
    let same = permitted.ip() == reached.ip() && permitted.port() == reached.port();
    same.then_some(()).ok_or_else(|| io::Error::other(format!("reached {reached} instead")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_095_another_peer_than_the_permitted_one_is_an_error() {
        let permitted: SocketAddr = "192.0.2.1:25".parse().unwrap();
        assert!(same_peer(permitted, permitted).is_ok());
        for other in ["192.0.2.2:25", "192.0.2.1:26", "[::ffff:192.0.2.1]:25"] {
            assert!(same_peer(permitted, other.parse().unwrap()).is_err(), "{other}");
        }
    }
}
