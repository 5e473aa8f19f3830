//! [`PoolSettings`]: how many connections there are, and how long they are kept.

use std::time::Duration;

use tokio::time::Instant;

use crate::transport::end_of;

/// How connections are shared and kept. Each endpoint, for each promise that a connection to it must keep, has a pool of
/// its own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolSettings {
    /// Connections to one endpoint at a time, for each promise that they must keep; 20. Deliveries beyond wait for one of
    /// them, in order.
    pub connections: usize,
    /// Maximum number of connections to one address and port, or unix socket, at any moment, over all pool keys.
    ///
    /// Connections that are being opened or closed count. If a delivery waits, an idle connection under another key, such
    /// as another host name, is closed for it. `None` means the value of [`connections`](Self::connections).
    /// Default: `None`.
    pub max_connections_per_address: Option<usize>,
    /// Time for which a connection limit of a server is remembered.
    ///
    /// A server with such a limit greets a connection beyond it with 421 (RFC 5321 section 3.8). The number of other
    /// connections then becomes the limit, and deliveries wait for these connections. After this time, one more connection
    /// at a time is tried. With zero no limit is learned, and a delivery that was greeted with 421 does not wait.
    /// Default: 5 minutes.
    pub learned_limit_ttl: Duration,
    /// How long a connection is kept while nobody needs it, any time; 5 seconds. With zero a connection that nobody waits for is
    /// closed at once, and QUIT goes out with the end of the last message.
    pub idle: Duration,
    /// How old a connection grows before it takes no further message; 5 minutes.
    pub age: Duration,
    /// Messages on one connection; 1000.
    pub messages: usize,
    /// Idle connections in all; 100. The one that was idle longest is closed for another.
    pub idle_connections: usize,
    /// Maximum number of unacknowledged messages per connection, over SMTP, if the server offers PIPELINING and CHUNKING
    /// and each message is sent in a single flight. A value above 1 requires a
    /// [`DelivererBuilder::single_flight_limit`](crate::DelivererBuilder::single_flight_limit) above 0. If the connection breaks,
    /// every unacknowledged message is reported with `may_have_arrived`; raise this only for relays you trust. Default: 1.
    pub window: usize,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            connections: 20,
            max_connections_per_address: None,
            learned_limit_ttl: Duration::from_secs(300),
            idle: Duration::from_secs(5),
            age: Duration::from_secs(300),
            messages: 1000,
            idle_connections: 100,
            window: 1,
        }
    }
}

impl PoolSettings {
    /// Until when a connection is kept that was used last then.
    pub(super) fn kept_until(&self, since: Instant) -> Instant {
        end_of(since, self.idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_may_be_kept_for_longer_than_any_clock_reaches() {
        let settings = PoolSettings { idle: Duration::MAX, ..PoolSettings::default() };
        let now = Instant::now();
        assert!(settings.kept_until(now) > now + Duration::from_secs(3600 * 24 * 365));
    }
}
