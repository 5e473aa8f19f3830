//! Connecting to one of several addresses of a host (RFC 8305 section 5).

use std::net::IpAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::timeout;

use super::connect::connect;
use super::stream::Socket;
use crate::outcome::Failure;
use crate::plan::Dial;

/// What came of a race.
#[derive(Debug)]
pub(crate) struct Race {
    /// The place of the address that was connected to first, and the connection.
    pub(crate) winner: Option<(usize, Socket)>,
    /// The places of those that failed before, and why, in the order in which they did.
    pub(crate) failed: Vec<(usize, Failure)>,
}

/// How a race is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RaceSettings<'a> {
    pub(crate) sources: &'a [IpAddr],
    /// How long a connection may take.
    pub(crate) limit: Duration,
    /// How long the next address waits for the one before.
    pub(crate) stagger: Duration,
}

/// Connects to the addresses in their order, each a little after the one before it and at once when that has failed.
/// The first connection ends the race; those under way are closed without a word.
pub(crate) async fn race(dials: &[&Dial], settings: RaceSettings<'_>) -> Race {
    let mut waiting = dials.iter().enumerate();
    let mut running = FuturesUnordered::new();
    let mut failed = Vec::new();
    loop {
        if let Some((place, dial)) = waiting.next() {
            running.push(async move { (place, connect(dial, settings.sources, settings.limit).await) });
        }
        let last = waiting.len() == 0;
        let patience = if last { settings.limit.saturating_mul(2) } else { settings.stagger };
        match timeout(patience, running.next()).await {
            Ok(Some((place, Ok(socket)))) => return Race { winner: Some((place, socket)), failed },
            Ok(Some((place, Err(failure)))) => failed.push((place, failure)),
            Ok(None) => return Race { winner: None, failed },
            // the one before is slow: the next one starts beside it
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;
    use crate::mail::Host;
    use crate::policy::{DefaultPolicy, Origin, Peer, Permitted};
    use crate::route::Route;

    fn dial(address: SocketAddr) -> Dial {
        let host = Host::Address(address.ip());
        let peer = Peer::new(address.ip(), address.port(), &host, Origin::RelayLiteral, &Route::Local);
        Dial::of(Permitted::check(&DefaultPolicy::default(), &peer).unwrap())
    }

    fn settings(stagger: Duration) -> RaceSettings<'static> {
        RaceSettings { sources: &[], limit: Duration::from_secs(5), stagger }
    }

    /// A listener whose queue is full: a connection to it neither comes about nor fails.
    async fn black_hole() -> (TcpListener, Vec<tokio::net::TcpStream>) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) =
            timeout(Duration::from_millis(100), tokio::net::TcpStream::connect(address)).await
        {
            queued.push(stream);
        }
        (listener, queued)
    }

    #[tokio::test]
    async fn check_098_a_silent_address_delays_the_next_one_by_the_stagger() {
        let (silent, _queued) = black_hole().await;
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dials = [dial(silent.local_addr().unwrap()), dial(live.local_addr().unwrap())];
        let began = Instant::now();
        let race = race(&[&dials[0], &dials[1]], settings(Duration::from_millis(250))).await;
        assert_eq!(race.winner.map(|(place, _)| place), Some(1));
        assert!((Duration::from_millis(250)..Duration::from_secs(3)).contains(&began.elapsed()));
        assert!(race.failed.is_empty());
    }

    #[tokio::test]
    async fn check_098_a_refusal_starts_the_next_one_at_once() {
        let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dials = [dial(refused), dial(live.local_addr().unwrap())];
        let race = race(&[&dials[0], &dials[1]], settings(Duration::from_secs(3600))).await;
        assert_eq!(race.winner.map(|(place, _)| place), Some(1));
        assert_eq!(race.failed.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0]);
    }

    #[tokio::test]
    async fn check_099_of_two_live_addresses_the_first_is_the_only_one() {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dials = [dial(first.local_addr().unwrap()), dial(second.local_addr().unwrap())];
        let race = race(&[&dials[0], &dials[1]], settings(Duration::from_secs(3600))).await;
        assert_eq!(race.winner.map(|(place, _)| place), Some(0));
        assert!(timeout(Duration::from_millis(50), second.accept()).await.is_err());
    }

    #[tokio::test]
    async fn when_all_fail_every_reason_is_kept() {
        let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let dials = [dial(refused), dial(refused)];
        let race = race(&[&dials[0], &dials[1]], settings(Duration::from_secs(3600))).await;
        assert!(race.winner.is_none());
        assert_eq!(race.failed.len(), 2);
    }
}
