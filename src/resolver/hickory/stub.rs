//! [`HickoryResolver`].

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::super::answer::Answer;
use super::super::error::ResolveError;
use super::super::question::{Query, Requester};
use super::super::record::{Mx, Srv, Tlsa, Txt};
use super::super::resolve::Resolver;
use super::super::special_names;
use super::cache::{Cache, Outcome};
use super::lookup::Lookup;
use super::permits::{LookupId, Permits};
use super::servers::Servers;
use super::settings::{DnssecMode, ResolverSettings};
use super::system::{self, SystemConfigError};
use super::wire::WireRecord;

/// No lookup takes longer, whatever the settings say.
const MAX_DEADLINE: Duration = Duration::from_secs(60 * 60);

/// A stub resolver: it asks recursive name servers, over UDP, and over TCP what does not fit.
///
/// Servers are asked in the given order, those that were silent a moment ago last. The next one is asked if one is
/// silent, cannot be reached, or answers with anything but records or a denial. Names are sent as they are: there is
/// no search list and no hosts file. Questions must be asked within a tokio runtime with I/O and time; the resolver
/// belongs to none.
///
/// Answers and denials are kept as long as the DNS allows, failures for some seconds, all within
/// [a bound](ResolverSettings::cache_octets). Equal questions at a time are one: the first is sent, the others wait
/// for it, each no longer than its own [deadline](ResolverSettings::deadline). So one resolver should serve a whole
/// process, and a future that asks should be polled or dropped.
///
/// ```
/// use nexthop::HickoryResolver;
///
/// let resolver = HickoryResolver::from_servers(["127.0.0.1:53".parse().unwrap()]);
/// ```
#[derive(Debug)]
pub struct HickoryResolver {
    servers: Servers,
    settings: ResolverSettings,
    system_trusts_ad: bool,
    permits: Permits,
    cache: Cache,
}

impl HickoryResolver {
    /// Asks the name servers of the system (`/etc/resolv.conf` on Unix). Nothing else is taken from there but the
    /// option `trust-ad`, see [`DnssecMode::Ad`].
    ///
    /// # Errors
    /// The configuration cannot be read, or names no server.
    pub fn from_system() -> Result<Self, SystemConfigError> {
        let resolver = Self::from_servers(system::servers()?);
        Ok(Self { system_trusts_ad: system::trusts_ad(), ..resolver })
    }

    /// Asks these name servers, in this order. Without one every lookup fails.
    pub fn from_servers(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::new(Servers::new(servers), ResolverSettings::default())
    }

    /// The resolver with other settings, and nothing in its memory.
    #[must_use]
    pub fn with_settings(self, settings: ResolverSettings) -> Self {
        Self { system_trusts_ad: self.system_trusts_ad, ..Self::new(self.servers, settings) }
    }

    fn new(servers: Servers, settings: ResolverSettings) -> Self {
        let permits = Permits::new(settings.max_in_flight, settings.time_slice);
        let cache = Cache::new(&settings);
        Self { servers, settings, system_trusts_ad: false, permits, cache }
    }

    /// Whether answers can be secure: the settings allow to believe the servers' AD bit.
    pub fn believes_ad(&self) -> bool {
        match self.settings.dnssec {
            DnssecMode::Off => false,
            DnssecMode::Ad => self.system_trusts_ad || self.servers.are_loopback(),
            DnssecMode::AdFromAnyServer => true,
        }
    }

    /// Why the AD bit is believed, or is not.
    fn why(&self) -> &'static str {
        match self.settings.dnssec {
            DnssecMode::Off => "the settings say so",
            DnssecMode::Ad if self.servers.are_loopback() => "the servers have loopback addresses",
            DnssecMode::Ad if self.system_trusts_ad => "the system's resolv.conf says trust-ad",
            DnssecMode::Ad => "not every server has a loopback address",
            DnssecMode::AdFromAnyServer => "the settings trust the servers",
        }
    }

    async fn lookup<T: WireRecord>(&self, query: &Query) -> Result<Answer<T>, ResolveError> {
        if let Some(answer) = special_names::answer(&query.name) {
            return answer;
        }
        let end = Instant::now() + self.settings.deadline.min(MAX_DEADLINE);
        // the end stands twice: for the question, whose failure is kept, and for who waits for another's question
        let question = |id| async move {
            let lookup = self.question(id, query.requester, end);
            let outcome = timeout_at(end, Box::pin(lookup.run(&query.name))).await;
            outcome.unwrap_or_else(|_| Outcome::new(Err(self.late()), self.settings.failure_ttl))
        };
        let said = timeout_at(end, self.cache.said(query, &self.permits, question)).await;
        said.unwrap_or_else(|_| Err(self.late()))
    }

    fn question(&self, id: LookupId, requester: Requester, ends: Instant) -> Lookup<'_> {
        Lookup {
            settings: &self.settings,
            servers: &self.servers,
            permits: &self.permits,
            id,
            requester,
            ends,
            believes_ad: self.believes_ad(),
            questions_left: self.settings.max_questions,
            is_out_of_permits: false,
        }
    }

    fn late(&self) -> ResolveError {
        ResolveError::temporary(format!("no answer within {:?}", self.settings.deadline))
    }
}

/// One line: which servers are asked, and whether what they say of DNSSEC is believed, and why.
impl fmt::Display for HickoryResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let believed = if self.believes_ad() { "is" } else { "is not" };
        write!(f, "asks {}; the AD bit {believed} believed: {}", self.servers, self.why())
    }
}

#[async_trait]
impl Resolver for HickoryResolver {
    async fn mx(&self, query: &Query) -> Result<Answer<Mx>, ResolveError> {
        self.lookup(query).await
    }

    async fn ipv4(&self, query: &Query) -> Result<Answer<Ipv4Addr>, ResolveError> {
        self.lookup(query).await
    }

    async fn ipv6(&self, query: &Query) -> Result<Answer<Ipv6Addr>, ResolveError> {
        self.lookup(query).await
    }

    async fn tlsa(&self, query: &Query) -> Result<Answer<Tlsa>, ResolveError> {
        self.lookup(query).await
    }

    async fn txt(&self, query: &Query) -> Result<Answer<Txt>, ResolveError> {
        self.lookup(query).await
    }

    async fn srv(&self, query: &Query) -> Result<Answer<Srv>, ResolveError> {
        self.lookup(query).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(servers: &[&str], dnssec: DnssecMode) -> HickoryResolver {
        let servers = servers.iter().map(|server| server.parse().unwrap());
        HickoryResolver::from_servers(servers)
            .with_settings(ResolverSettings { dnssec, ..Default::default() })
    }

    #[test]
    fn check_203_ad_is_believed_only_from_loopback_or_on_the_hosts_word() {
        let (near, far) = ("127.0.0.53:53", "192.0.2.53:53");
        assert!(resolver(&[near, "[::1]:53", "[::ffff:127.0.0.1]:53"], DnssecMode::Ad).believes_ad());
        assert!(!resolver(&[near, far], DnssecMode::Ad).believes_ad());
        assert!(!resolver(&[near], DnssecMode::Off).believes_ad());
        assert!(resolver(&[far], DnssecMode::AdFromAnyServer).believes_ad());
    }

    #[test]
    fn it_says_whom_it_asks_and_what_it_believes_and_why() {
        let (near, far) = ("127.0.0.1:53", "192.0.2.53:53");
        for (servers, dnssec, line) in [
            (
                &[near, "[::1]:53"][..],
                DnssecMode::Ad,
                "asks 127.0.0.1:53, [::1]:53; the AD bit is believed: the servers have loopback addresses",
            ),
            (
                &[near, far],
                DnssecMode::Ad,
                "asks 127.0.0.1:53, 192.0.2.53:53; the AD bit is not believed: not every server has a loopback address",
            ),
            (&[near], DnssecMode::Off, "asks 127.0.0.1:53; the AD bit is not believed: the settings say so"),
            (
                &[far],
                DnssecMode::AdFromAnyServer,
                "asks 192.0.2.53:53; the AD bit is believed: the settings trust the servers",
            ),
        ] {
            assert_eq!(resolver(servers, dnssec).to_string(), line);
        }
        assert!(resolver(&[], DnssecMode::Off).to_string().starts_with("asks nobody;"));
    }

    #[test]
    fn it_says_that_the_system_trusts_its_servers() {
        let system =
            HickoryResolver { system_trusts_ad: true, ..resolver(&["192.0.2.53:53"], DnssecMode::Ad) };
        assert!(system.to_string().ends_with("is believed: the system's resolv.conf says trust-ad"));
    }

    #[test]
    fn check_203_ad_is_believed_on_the_systems_word_in_that_mode() {
        for (dnssec, expected) in [(DnssecMode::Ad, true), (DnssecMode::Off, false)] {
            let resolver = HickoryResolver { system_trusts_ad: true, ..resolver(&["192.0.2.53:53"], dnssec) };
            let settings = resolver.settings.clone();
            assert_eq!(resolver.with_settings(settings).believes_ad(), expected);
        }
    }
}
