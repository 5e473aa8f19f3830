//! [`Planner`]: asks the resolver, asks the policy, and writes down what they said.

use std::collections::HashSet;
use std::net::IpAddr;

use futures_util::future::join_all;

use super::addresses::{NoAddresses, addresses};
use super::candidate::{Candidate, Dial, Plan, Standing};
use super::destination::Destination;
use super::mx::{Exchanger, Exchangers, exchangers};
use super::settings::PlanSettings;
use crate::mail::{DnsName, Domain, Host};
use crate::outcome::Failure;
use crate::policy::{AddressPolicy, Origin, Peer, Permitted};
use crate::proto::Protocol;
use crate::resolver::{Query, ResolveError, Resolver};
use crate::route::{Endpoint, Families, HopTarget, MxRoute, NextHop, Route, TlsLevel};
use crate::tls::{Requirement, TlsSettings};

/// Makes plans. Looks up and decides, connects to nobody.
///
/// ```
/// use nexthop::plan::{Destination, PlanSettings, Planner};
/// use nexthop::{DefaultPolicy, MemoryResolver, Recipient, Route};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let resolver = MemoryResolver::builder()
///     .mx("trap.example", 10, "mx.trap.example")
///     .ipv4("mx.trap.example", [127, 0, 0, 1])
///     .build()?;
/// let (policy, settings) = (DefaultPolicy::default(), PlanSettings::default());
/// let planner = Planner::new(&resolver, &policy, &settings);
///
/// let recipient = Recipient::parse("ann@trap.example")?;
/// let destination = Destination::new(&Route::mx(), &recipient)?.expect("a server is wanted");
/// let plan = planner.plan(&destination).await;
/// assert!(plan.to_string().contains("127.0.0.0/8 is loopback"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Planner<'a> {
    resolver: &'a dyn Resolver,
    policy: &'a dyn AddressPolicy,
    settings: &'a PlanSettings,
    tls: Option<&'a TlsSettings>,
}

/// What the candidates of one host have in common.
struct Hop<'a> {
    host: Host,
    port: u16,
    protocol: Protocol,
    relay: Option<&'a NextHop>,
    preference: Option<u16>,
    origin: Origin,
    tls: Requirement,
    route: &'a Route,
}

impl<'a> Planner<'a> {
    /// A planner that asks these two.
    pub fn new(
        resolver: &'a dyn Resolver,
        policy: &'a dyn AddressPolicy,
        settings: &'a PlanSettings,
    ) -> Self {
        Self { resolver, policy, settings, tls: None }
    }

    /// The same planner with what the host chose about TLS, instead of the defaults.
    #[must_use]
    pub fn with_tls(self, tls: &'a TlsSettings) -> Self {
        Self { tls: Some(tls), ..self }
    }

    fn tls_level(&self) -> TlsLevel {
        self.tls.map_or_else(TlsLevel::default, |tls| tls.level)
    }

    /// The plan for a destination. Takes as long as the resolver does.
    pub async fn plan(&self, destination: &Destination) -> Plan {
        let route = destination.route();
        let candidates = match destination {
            Destination::Mx { domain, route: limits } => self.by_mx(domain, limits, &route).await,
            Destination::Literal(address) => Ok(vec![self.literal(*address, &route)]),
            Destination::Relay(hops) => Ok(self.by_relay(hops, &route).await),
        };
        match candidates {
            Ok(candidates) => Plan::new(destination.clone(), candidates),
            Err(failure) => Plan::dead_end(destination.clone(), failure),
        }
    }

    async fn by_mx(
        &self,
        domain: &Domain,
        limits: &MxRoute,
        route: &Route,
    ) -> Result<Vec<Candidate>, Failure> {
        let answer = self.resolver.mx(&Query::new(domain.clone())).await;
        let answer = answer.map_err(|error| mx_failure(domain, error))?;
        let mut hosts = match exchangers(&answer.records, &self.settings.own_names) {
            Exchangers::Implicit if self.is_own_name(domain.dns_name()) => return Err(mail_loop(domain)),
            Exchangers::Implicit => vec![implicit(&answer.canonical_name)],
            Exchangers::Null => return Err(null_mx(domain)),
            Exchangers::Loop => return Err(mail_loop(domain)),
            Exchangers::Hosts(hosts) => hosts,
        };
        hosts.truncate(self.host_limit(limits));
        let candidates = join_all(hosts.iter().map(|mx| self.exchanger(mx, limits, route))).await;
        Ok(without_doubles(self.without_loops(candidates.into_iter().flatten().collect())))
    }

    fn is_own_name(&self, name: &DnsName) -> bool {
        self.settings.own_names.iter().any(|own| own.dns_name() == name)
    }

    /// RFC 5321 section 5.1: an exchanger at an address of this host, and all that are no better, lead back here.
    fn without_loops(&self, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        let own = candidates
            .iter()
            .filter(|candidate| self.is_own(candidate))
            .map(|candidate| candidate.preference);
        let Some(best_own) = own.min() else { return candidates };
        candidates.iter_mut().filter(|candidate| candidate.preference >= best_own).for_each(|candidate| {
            candidate.standing = Standing::Unusable(Failure::leads_back(&candidate.name()));
        });
        candidates
    }

    fn is_own(&self, candidate: &Candidate) -> bool {
        let Some(Endpoint::Tcp(endpoint)) = &candidate.endpoint else { return false };
        let address = endpoint.ip().to_canonical();
        !address.is_loopback() && self.settings.own_addresses.iter().any(|own| own.to_canonical() == address)
    }

    fn of_exchanger(&self) -> Requirement {
        Requirement::of_exchanger(self.tls_level())
    }

    fn host_limit(&self, limits: &MxRoute) -> usize {
        limits.host_limit().unwrap_or(usize::MAX).min(self.settings.max_hosts)
    }

    async fn exchanger(&self, mx: &Exchanger, limits: &MxRoute, route: &Route) -> Vec<Candidate> {
        let preference = Some(mx.preference);
        let name = match &mx.host {
            Ok(name) => name.clone(),
            Err(text) => return vec![no_name(text, mx.preference, self.of_exchanger())],
        };
        let port = self.settings.mx_port;
        let host = Host::Name(name);
        let (protocol, tls) = (Protocol::Smtp, self.of_exchanger());
        let hop = Hop { host, port, protocol, relay: None, preference, origin: Origin::Mx, tls, route };
        let limit = limits.address_limit().unwrap_or(usize::MAX).min(self.settings.max_addresses);
        self.host(&hop, limits.families, limit).await
    }

    fn literal(&self, address: IpAddr, route: &Route) -> Candidate {
        let (host, port) = (Host::Address(address), self.settings.mx_port);
        let (protocol, origin, tls) = (Protocol::Smtp, Origin::Literal, self.of_exchanger());
        let hop = Hop { host, port, protocol, relay: None, preference: None, origin, tls, route };
        self.address(&hop, address)
    }

    async fn by_relay(&self, hops: &[NextHop], route: &Route) -> Vec<Candidate> {
        let candidates = join_all(hops.iter().map(|hop| self.relay(hop, route))).await;
        candidates.into_iter().flatten().collect()
    }

    async fn relay(&self, hop: &NextHop, route: &Route) -> Vec<Candidate> {
        let protocol = hop.protocol();
        let any_certificate = self.tls.is_some_and(|tls| tls.accept_invalid_certificates);
        let tls = Requirement::of_relay(hop, self.tls_level(), any_certificate);
        let (host, port) = match hop.target() {
            HopTarget::Unix(path) => return vec![unix(hop, tls, Dial::unix(path))],
            HopTarget::Tcp { host, port } => (host.clone(), *port),
        };
        let origin = relay_origin(&host);
        let relay = Some(hop);
        let hop = Hop { host, port, protocol, relay, preference: None, origin, tls, route };
        match hop.host {
            Host::Address(address) => vec![self.address(&hop, address)],
            Host::Name(_) => self.host(&hop, Families::default(), self.settings.max_addresses).await,
        }
    }

    /// The candidates of a host that has a name.
    async fn host(&self, hop: &Hop<'_>, families: Families, limit: usize) -> Vec<Candidate> {
        let Host::Name(name) = &hop.host else { return Vec::new() };
        match addresses(self.resolver, name, families, limit).await {
            Ok(found) => found.into_iter().map(|address| self.address(hop, address)).collect(),
            Err(reason) => vec![hop.candidate(None, Standing::Unusable(no_addresses(hop, name, reason)))],
        }
    }

    fn address(&self, hop: &Hop<'_>, address: IpAddr) -> Candidate {
        let peer = Peer::new(address, hop.port, &hop.host, hop.origin, hop.route);
        let standing = match Permitted::check(self.policy, &peer) {
            Ok(permitted) => Standing::Allowed(Dial::tcp(permitted)),
            Err(denial) => Standing::Denied(denial),
        };
        hop.candidate(Some(Endpoint::Tcp(peer.socket_address())), standing)
    }
}

impl Hop<'_> {
    fn candidate(&self, endpoint: Option<Endpoint>, standing: Standing) -> Candidate {
        let (protocol, preference) = (self.protocol, self.preference);
        let (host, origin) = (Some(self.host.clone()), Some(self.origin));
        Candidate {
            host,
            endpoint,
            protocol,
            relay: self.relay.cloned(),
            preference,
            origin,
            tls: self.tls,
            standing,
        }
    }
}

/// An address that several hosts have is dialled once, unless a name must be proved there.
fn without_doubles(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut seen = HashSet::new();
    candidates.retain(|candidate| match &candidate.endpoint {
        Some(endpoint) if candidate.tls.allows_cleartext() => seen.insert(endpoint.clone()),
        _ => true,
    });
    candidates
}

fn implicit(name: &DnsName) -> Exchanger {
    Exchanger { preference: 0, host: Ok(name.clone()) }
}

fn relay_origin(host: &Host) -> Origin {
    match host {
        Host::Address(_) => Origin::RelayLiteral,
        Host::Name(name) if name.is_localhost() => Origin::Localhost,
        Host::Name(_) => Origin::RelayName,
    }
}

fn unix(hop: &NextHop, tls: Requirement, dial: Dial) -> Candidate {
    let endpoint = Some(dial.endpoint());
    let (protocol, relay, standing) = (hop.protocol(), Some(hop.clone()), Standing::Allowed(dial));
    Candidate { host: None, endpoint, protocol, relay, preference: None, origin: None, tls, standing }
}

/// An exchanger whose name is none: skipped, never taken for an address (check 082).
fn no_name(text: &str, preference: u16, tls: Requirement) -> Candidate {
    let failure = Failure::no_addresses(format!("the mail exchanger \"{text}\" is not a host name"));
    Candidate {
        host: None,
        endpoint: None,
        protocol: Protocol::Smtp,
        relay: None,
        preference: Some(preference),
        origin: Some(Origin::Mx),
        tls,
        standing: Standing::Unusable(failure),
    }
}

fn mx_failure(domain: &Domain, error: ResolveError) -> Failure {
    match error {
        ResolveError::NoSuchName => Failure::no_way((1, 2), format!("the domain {domain} does not exist")),
        error => Failure::resolving(format!("cannot look up the mail exchangers of {domain}"), error),
    }
}

fn null_mx(domain: &Domain) -> Failure {
    Failure::no_way((1, 10), format!("the domain {domain} takes no mail (null MX)"))
}

fn mail_loop(domain: &Domain) -> Failure {
    Failure::no_way(
        (4, 6),
        format!("the best mail exchanger of {domain} is this host: mail for it would loop"),
    )
}

/// An exchanger without addresses is the domain's fault; a relay without is the operator's, and mends.
fn no_addresses(hop: &Hop<'_>, name: &DnsName, reason: NoAddresses) -> Failure {
    let what = match reason {
        NoAddresses::Unknown(error) => {
            return Failure::resolving(format!("cannot look up the addresses of {name}"), error);
        }
        NoAddresses::NoSuchName => format!("the host {name} does not exist"),
        NoAddresses::None => format!("the host {name} has no addresses"),
    };
    match hop.origin.is_stranger() {
        true => Failure::no_addresses(what),
        false => Failure::unknown_relay(what),
    }
}
