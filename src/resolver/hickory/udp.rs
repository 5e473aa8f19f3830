//! One query over UDP, and its reply.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{DnsRequest, Message};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::exchange::ServerError;
use super::reply::{has_same_case, reply_to};

/// Time after which the datagram is sent again, because the query or its reply may be lost.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(1500);
/// Size of the receive buffer in bytes. Some servers exceed the size that the query permits.
const RECEIVE_BUFFER: usize = 4096;
/// Lowest port that queries are sent from (RFC 6056 section 3.2).
const LOWEST_PORT: u16 = 1024;
/// Number of random ports that are tried before the choice is left to the system.
const RANDOM_PORTS: usize = 10;

/// Sends a query at most twice, and waits for its reply without a time limit.
///
/// Every query has its own socket with a random port (RFC 5452 section 9.2).
pub(super) async fn exchange_over_udp(
    server: SocketAddr,
    request: &DnsRequest,
) -> Result<Message, ServerError> {
    let datagram = request.to_vec()?;
    let socket = bind(server.ip()).await.map_err(ServerError::Net)?;
    socket.send_to(&datagram, server).await.map_err(ServerError::Net)?;
    if let Ok(reply) = timeout(RETRANSMIT_AFTER, receive(&socket, server, request)).await {
        return reply;
    }
    socket.send_to(&datagram, server).await.map_err(ServerError::Net)?;
    receive(&socket, server, request).await
}

/// Waits for the reply to a query. Ignores datagrams from other sources, and replies to other queries.
async fn receive(
    socket: &UdpSocket,
    server: SocketAddr,
    request: &DnsRequest,
) -> Result<Message, ServerError> {
    let mut buffer = vec![0; RECEIVE_BUFFER];
    loop {
        let (length, source) = socket.recv_from(&mut buffer).await.map_err(ServerError::Net)?;
        if !is_same(source, server) {
            continue;
        }
        match reply_to(request, &buffer[..length]) {
            Some(Ok(reply)) if request.options().case_randomization && !has_same_case(request, &reply) => {
                return Err(ServerError::OtherCase);
            }
            Some(reply) => return reply,
            None => {}
        }
    }
}

fn is_same(source: SocketAddr, server: SocketAddr) -> bool {
    source.ip().to_canonical() == server.ip().to_canonical() && source.port() == server.port()
}

async fn bind(server: IpAddr) -> io::Result<UdpSocket> {
    let address = match server {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    for _ in 0..RANDOM_PORTS {
        if let Ok(socket) = UdpSocket::bind((address, random_port())).await {
            return Ok(socket);
        }
    }
    UdpSocket::bind((address, 0)).await
}

/// Returns an unpredictable port, from the generator that makes the ids of queries.
fn random_port() -> u16 {
    loop {
        let port = Message::query().id;
        if port >= LOWEST_PORT {
            return port;
        }
    }
}
