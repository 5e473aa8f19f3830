//! [`Servers`]: whom to ask, in which order.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::edns::EdnsMemory;

/// The name servers in the configured order, with a memory of each.
#[derive(Debug)]
pub(super) struct Servers(Vec<Server>);

#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) edns: EdnsMemory,
    silence: Mutex<Silence>,
}

#[derive(Debug, Default)]
struct Silence {
    /// Until when the others go before it.
    last_until: Option<Instant>,
    /// Time of the latest reply to any query.
    heard_at: Option<Instant>,
}

impl Servers {
    pub(super) fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(addresses.into_iter().map(Server::new).collect())
    }

    pub(super) fn are_loopback(&self) -> bool {
        self.0.iter().all(|server| server.address.ip().to_canonical().is_loopback())
    }

    /// The time of each, so that within `deadline` every server is asked at least once.
    pub(super) fn share_of(&self, deadline: Duration) -> Duration {
        deadline / u32::try_from(self.0.len().max(1)).unwrap_or(u32::MAX)
    }

    /// So often round, at least once, in the order of now.
    pub(super) fn rounds(&self, rounds: u32) -> impl Iterator<Item = &Server> {
        let servers = self.in_order();
        (0..rounds.max(1)).flat_map(move |_| servers.clone())
    }

    /// As given, but those that were silent lately at the end.
    fn in_order(&self) -> Vec<&Server> {
        let now = Instant::now();
        let mut servers: Vec<&Server> = self.0.iter().collect();
        servers.sort_by_key(|server| server.comes_last(now));
        servers
    }
}

/// Their addresses with commas between them, or `nobody`.
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.0.iter().map(|server| server.address.to_string()).collect();
        match addresses.as_slice() {
            [] => f.write_str("nobody"),
            addresses => f.write_str(&addresses.join(", ")),
        }
    }
}

impl Server {
    fn new(address: SocketAddr) -> Self {
        Self { address, edns: EdnsMemory::default(), silence: Mutex::default() }
    }

    /// Moves the server behind the others for `time`, unless it has replied to any query since `asked`. In that case only the
    /// name servers of one domain are silent.
    pub(super) fn was_silent(&self, asked: Instant, time: Duration) {
        let mut silence = self.silence();
        if silence.heard_at.is_none_or(|heard| heard < asked) {
            silence.last_until = Instant::now().checked_add(time);
        }
    }

    /// It said something, whatever that was.
    pub(super) fn spoke(&self) {
        *self.silence() = Silence { last_until: None, heard_at: Some(Instant::now()) };
    }

    fn comes_last(&self, now: Instant) -> bool {
        self.silence().last_until.is_some_and(|until| now < until)
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Servers {
        Servers::new(["192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"].map(|text| text.parse().unwrap()))
    }

    fn order(servers: &Servers) -> Vec<String> {
        servers.in_order().iter().map(|server| server.address.ip().to_string()).collect()
    }

    #[test]
    fn the_given_order_holds() {
        assert_eq!(order(&servers()), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    }

    #[test]
    fn who_was_silent_comes_last_until_it_speaks() {
        let servers = servers();
        servers.0[0].was_silent(Instant::now(), Duration::from_secs(60));
        assert_eq!(order(&servers), ["192.0.2.2", "192.0.2.3", "192.0.2.1"]);
        servers.0[0].spoke();
        assert_eq!(order(&servers), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    }

    #[test]
    fn a_server_that_replied_to_another_query_meanwhile_is_not_silent() {
        let (servers, asked) = (servers(), Instant::now());
        servers.0[0].spoke();
        servers.0[0].was_silent(asked, Duration::from_secs(60));
        assert_eq!(order(&servers), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    }

    #[test]
    fn silence_is_forgotten_in_time() {
        let servers = servers();
        servers.0[0].was_silent(Instant::now(), Duration::ZERO);
        assert_eq!(order(&servers), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    }

    #[test]
    fn the_deadline_is_shared() {
        assert_eq!(servers().share_of(Duration::from_secs(9)), Duration::from_secs(3));
        assert_eq!(Servers::new([]).share_of(Duration::from_secs(9)), Duration::from_secs(9));
    }
}
