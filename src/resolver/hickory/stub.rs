//! [`HickoryResolver`].

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::system_conf::read_system_conf;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::mail::DnsName;

use super::super::answer::{Answer, Security};
use super::super::error::ResolveError;
use super::super::question::Query;
use super::super::record::{Mx, Srv, Tlsa, Txt};
use super::super::resolve::Resolver;
use super::super::special_names;
use super::exchange::{Client, ServerError};
use super::response::{Response, aliases};
use super::settings::{DnssecMode, ResolverSettings};
use super::walk::{End, Walk};
use super::wire::{WireRecord, question};

/// The port of name servers (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;
/// No answer is kept longer.
const MAX_TTL: u32 = 24 * 60 * 60;

/// A stub resolver: it asks recursive name servers, over UDP, and over TCP what does not fit.
///
/// Servers are asked in the given order. The next one is asked if one is silent, cannot be reached, or answers with
/// anything but records or a denial. Names are sent as they are: there is no search list and no hosts file.
/// Questions must be asked within a tokio runtime with I/O and time; the resolver belongs to none.
///
/// ```
/// use nexthop::HickoryResolver;
///
/// let resolver = HickoryResolver::from_servers(["127.0.0.1:53".parse().unwrap()]);
/// ```
#[derive(Debug)]
pub struct HickoryResolver {
    servers: Vec<SocketAddr>,
    settings: ResolverSettings,
    in_flight: Semaphore,
}

/// The system's configuration of the DNS cannot be read, or names no server.
#[derive(Debug, thiserror::Error)]
#[error("no name servers in the configuration of the system")]
pub struct SystemConfigError(#[source] Box<dyn Error + Send + Sync>);

/// What a server did with a question.
#[derive(Debug, thiserror::Error)]
#[error("name server {server}")]
struct ServerFailure {
    server: SocketAddr,
    source: ServerError,
}

impl HickoryResolver {
    /// Asks the name servers of the system (`/etc/resolv.conf` on Unix). Nothing else is taken from there.
    ///
    /// # Errors
    /// The configuration cannot be read, or names no server.
    pub fn from_system() -> Result<Self, SystemConfigError> {
        let (config, _) = read_system_conf().map_err(|e| SystemConfigError(e.into()))?;
        Ok(Self::from_servers(servers_of(&config)))
    }

    /// Asks these name servers, in this order. Without one every lookup fails.
    pub fn from_servers(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let settings = ResolverSettings::default();
        let in_flight = Semaphore::new(settings.max_in_flight);
        Self { servers: servers.into_iter().collect(), settings, in_flight }
    }

    /// The resolver with other settings.
    #[must_use]
    pub fn with_settings(self, settings: ResolverSettings) -> Self {
        let in_flight = Semaphore::new(settings.max_in_flight.clamp(1, Semaphore::MAX_PERMITS));
        Self { settings, in_flight, ..self }
    }

    /// Whether answers can be secure: the settings allow to believe the servers' AD bit.
    pub fn believes_ad(&self) -> bool {
        match self.settings.dnssec {
            DnssecMode::Off => false,
            DnssecMode::Ad => self.servers.iter().all(|server| server.ip().to_canonical().is_loopback()),
            DnssecMode::AdFromAnyServer => true,
        }
    }

    async fn lookup<T: WireRecord>(&self, query: &Query) -> Result<Answer<T>, ResolveError> {
        if let Some(answer) = special_names::answer(&query.name) {
            return answer;
        }
        // The place of a cache: what passes here is complete, and equal questions could share one future.
        let deadline = self.settings.deadline;
        let late = |_| Err(ResolveError::temporary(format!("no answer within {deadline:?}")));
        timeout(deadline, self.resolve(&query.name)).await.unwrap_or_else(late)
    }

    async fn resolve<T: WireRecord>(&self, name: &DnsName) -> Result<Answer<T>, ResolveError> {
        let mut walk = Walk::new(name.clone(), self.settings.max_aliases);
        let end = loop {
            let message = self.ask(walk.name(), T::TYPE).await?;
            if let Some(end) = walk.take(Response::read(&message, self.believes_ad()))? {
                break end;
            }
        };
        let security = self.security(name, &walk).await?;
        Ok(answer(end, &walk).with_security(security))
    }

    /// What is proved. Of an insecure chain the first step may be secure alone: that is a question of its own (RFC 7672 section 2.2.2).
    async fn security(&self, name: &DnsName, walk: &Walk) -> Result<Security, ResolveError> {
        if !self.believes_ad() || !walk.first_step_is_open() {
            return Ok(walk.security());
        }
        // A failure is passed on: taken for "insecure", it would let whoever drops packets switch DANE off.
        // The code of this response says nothing: it may be NXDOMAIN of the alias's target.
        let message = self.ask(name, RecordType::CNAME).await?;
        let is_secure = message.authentic_data && aliases(&message).any(|alias| alias.owner == *name);
        Ok(if is_secure { Security::FIRST_STEP } else { Security::NONE })
    }

    /// Asks one server after the other for one name.
    async fn ask(&self, name: &DnsName, kind: RecordType) -> Result<Message, ResolveError> {
        let question = question(name, kind)?;
        let client = Client { settings: &self.settings, asks_for_ad: self.believes_ad() };
        let mut failure = ResolveError::temporary("there is no name server to ask");
        for server in self.rounds() {
            let _permit = self.in_flight.acquire().await;
            match client.ask(server, &question).await {
                Ok(message) => return Ok(message),
                Err(source) => failure = failure_of(server, source),
            }
        }
        // The place to tell bogus from broken: a validating server says SERVFAIL for both, with an extended
        // error or an answer under CD=1 for the first. Both only defer mail; the report would differ.
        Err(failure)
    }

    fn rounds(&self) -> impl Iterator<Item = SocketAddr> {
        (0..self.settings.rounds.max(1)).flat_map(|_| self.servers.iter().copied())
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

fn answer<T>(end: End<T>, walk: &Walk) -> Answer<T> {
    let answer = Answer::new(walk.name().clone(), end.records);
    match end.ttl {
        Some(ttl) => answer.with_valid_until(Instant::now() + Duration::from_secs(ttl.min(MAX_TTL).into())),
        None => answer,
    }
}

fn failure_of(server: SocketAddr, source: ServerError) -> ResolveError {
    ResolveError::temporary_from("no name server answered the question", ServerFailure { server, source })
}

fn servers_of(config: &ResolverConfig) -> Vec<SocketAddr> {
    config.name_servers().iter().map(|server| SocketAddr::new(server.ip, DNS_PORT)).collect()
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

    #[cfg(target_os = "linux")]
    #[test]
    fn check_067_only_servers_are_taken_from_the_system() {
        let text = "search corp.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions ndots:5\n";
        let (config, _) = hickory_resolver::system_conf::parse_resolv_conf(text).unwrap();
        assert_eq!(
            servers_of(&config),
            ["192.0.2.53:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()]
        );
    }
}
