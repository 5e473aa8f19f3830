//! [`Outline`]: the hosts of a destination, before their addresses are known.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::candidate::{Candidate, Dial, Note, Standing};
use super::hop::Hop;
use super::mx::{Exchanger, Exchangers, exchangers};
use super::planner::Planner;
use crate::mail::{DnsName, Domain, Host};
use crate::outcome::Failure;
use crate::policy::Origin;
use crate::proto::Protocol;
use crate::random::Randomness;
use crate::resolver::{Answer, Exchange, Mx, ResolveError, Security, Srv};
use crate::route::{Families, HopTarget, MxRoute, NextHop, RelayLookup, Route, by_weight, in_turn};
use crate::tls::Requirement;

/// Hosts in the order in which they are tried.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) hosts: Vec<Listed>,
    /// Why there are none.
    pub(super) dead_end: Option<Failure>,
    /// What DNSSEC proved of the list.
    pub(super) security: Option<Security>,
    pub(super) notes: Vec<Note>,
}

/// A host of an outline.
#[derive(Debug)]
pub(super) enum Listed {
    /// Its addresses are to be asked for.
    Named(Box<Hop>),
    /// There is nothing to ask.
    Known(Box<Candidate>),
}

impl Outline {
    fn dead_end(failure: Failure) -> Self {
        Self { dead_end: Some(failure), ..Self::default() }
    }

    pub(super) fn of(candidate: Candidate) -> Self {
        Self { hosts: vec![Listed::Known(Box::new(candidate))], ..Self::default() }
    }
}

/// Where the hosts of an outline by MX come from.
struct Source<'a> {
    name: &'a DnsName,
    /// The exchangers as hops, but for host and preference.
    hop: Hop,
    max_hosts: usize,
}

impl Planner<'_> {
    /// The mail exchangers of a domain (RFC 5321 section 5.1).
    pub(super) async fn by_mx(&self, domain: &Domain, limits: &MxRoute, route: Arc<Route>) -> Outline {
        let hop = Hop {
            host: Host::Name(domain.dns_name().clone()),
            families: limits.families,
            max_addresses: self.max_addresses(limits.address_limit()),
            ..self.exchanger(route)
        };
        let max_hosts = limits.host_limit().unwrap_or(usize::MAX).min(self.settings.max_hosts);
        let source = Source { name: domain.dns_name(), hop, max_hosts };
        match self.resolver.mx(&self.query(domain.clone())).await {
            Ok(answer) => self.exchangers(source, &answer),
            Err(error) => Outline::dead_end(mx_failure(domain, error)),
        }
    }

    fn exchangers(&self, source: Source<'_>, answer: &Answer<Mx>) -> Outline {
        let mut hosts = match exchangers(&answer.records, &self.settings.own_names, &self.settings.random) {
            Exchangers::Implicit if self.is_own_name(source.name) => {
                return Outline::dead_end(mail_loop(source.name, source.name));
            }
            Exchangers::Implicit => vec![implicit(&answer.canonical_name)],
            Exchangers::Null => return Outline::dead_end(null_mx(source.name)),
            Exchangers::Loop(own) => return Outline::dead_end(mail_loop(source.name, &own)),
            Exchangers::Hosts(hosts) => hosts,
        };
        let left_out = hosts.len().saturating_sub(source.max_hosts);
        hosts.truncate(source.max_hosts);
        let note = Note::HostsLeftOut { kept: hosts.len(), left_out };
        Outline {
            hosts: hosts.into_iter().map(|mx| source.listed(mx)).collect(),
            dead_end: None,
            security: Some(answer.security),
            notes: (left_out > 0).then_some(note).into_iter().collect(),
        }
    }

    pub(super) fn is_own_name(&self, name: &DnsName) -> bool {
        self.settings.own_names.iter().any(|own| own.dns_name() == name)
    }

    /// Next hops in the order in which they are tried this time.
    pub(super) fn in_turn<'h>(&self, hops: &'h [NextHop]) -> Vec<&'h NextHop> {
        in_turn(hops, &mut |highest| self.settings.random.up_to(highest))
    }

    /// An address that stands in a mailbox.
    pub(super) fn literal(&self, address: IpAddr, route: Arc<Route>) -> Outline {
        let hop = Hop { host: Host::Address(address), origin: Origin::Literal, ..self.exchanger(route) };
        if self.is_own_address(address) {
            let why = format!("{address} is an address of this host");
            let failure = Failure::leads_back(&hop.host.to_string(), why);
            return Outline::of(hop.unusable(Standing::Unusable(failure)));
        }
        Outline::of(hop.at(address, self.policy, None))
    }

    /// What all strangers have in common.
    fn exchanger(&self, route: Arc<Route>) -> Hop {
        Hop {
            host: Host::Address(Ipv4Addr::UNSPECIFIED.into()),
            port: self.settings.mx_port,
            protocol: Protocol::Smtp,
            relay: None,
            preference: None,
            origin: Origin::Mx,
            tls: Requirement::of_exchanger(self.tls_level()),
            certificate_name: None,
            families: Families::default(),
            max_addresses: self.settings.max_addresses,
            route,
        }
    }

    /// A next hop that the operator named.
    pub(super) async fn by_relay(&self, relay: &NextHop, route: Arc<Route>) -> Outline {
        let any_certificate = self.tls.is_some_and(|tls| tls.accept_invalid_certificates);
        let tls = Requirement::of_relay(relay, self.tls_level(), any_certificate);
        let (host, port) = match relay.target() {
            HopTarget::Unix(path) => return Outline::of(unix(relay, tls, Dial::unix(path))),
            HopTarget::Tcp { host, port } => (host.clone(), *port),
        };
        let (protocol, origin) = (relay.protocol(), relay_origin(&host));
        let relay = Some(relay.clone());
        let hop = Hop { host, port, protocol, relay, origin, tls, ..self.exchanger(route) };
        match hop.relay.as_ref().map(NextHop::lookup) {
            Some(RelayLookup::Mx) => self.by_relay_mx(hop).await,
            Some(RelayLookup::Srv) => self.by_relay_srv(hop).await,
            _ => Outline { hosts: vec![self.listed(hop)], ..Outline::default() },
        }
    }

    /// The mail exchangers of a relay's name, which are the relay.
    async fn by_relay_mx(&self, hop: Hop) -> Outline {
        let Some(name) = hop.name().cloned() else { return Outline::of(hop.unknown("an address has no MX")) };
        let answer = self.resolver.mx(&self.query(name.clone())).await;
        let source = Source { name: &name, hop: hop.proved_as_itself(), max_hosts: self.settings.max_hosts };
        let outline = answer.map(|answer| self.exchangers(source, &answer));
        hop.found(outline, "mail exchangers")
    }

    /// The servers of a relay's service, which are the relay (RFC 2782, RFC 6186, RFC 8314).
    async fn by_relay_srv(&self, hop: Hop) -> Outline {
        let Some(name) = hop.relay.as_ref().and_then(NextHop::srv_name) else {
            return Outline::of(hop.unknown("it has no name of a service"));
        };
        let servers = self.resolver.srv(&self.query(name)).await;
        let outline = servers.map(|answer| self.servers(&hop.proved_as_itself(), &answer));
        hop.found(outline, "servers")
    }

    fn servers(&self, hop: &Hop, answer: &Answer<Srv>) -> Outline {
        let mut servers = in_srv_order(&answer.records, &self.settings.random);
        let left_out = servers.len().saturating_sub(self.settings.max_hosts);
        servers.truncate(self.settings.max_hosts);
        let note = Note::HostsLeftOut { kept: servers.len(), left_out };
        Outline {
            hosts: servers.into_iter().filter_map(|server| hop.server(server)).collect(),
            dead_end: None,
            security: Some(answer.security),
            notes: (left_out > 0).then_some(note).into_iter().collect(),
        }
    }

    /// A host by its name or at its address.
    pub(super) fn listed(&self, hop: Hop) -> Listed {
        match hop.host {
            Host::Address(address) => Listed::Known(Box::new(hop.at(address, self.policy, None))),
            Host::Name(_) => Listed::Named(Box::new(hop)),
        }
    }

    fn max_addresses(&self, limit: Option<usize>) -> usize {
        limit.unwrap_or(usize::MAX).min(self.settings.max_addresses)
    }
}

impl Source<'_> {
    fn listed(&self, mx: Exchanger) -> Listed {
        let hop = Hop { preference: Some(mx.preference), ..self.hop.clone() };
        let name = match mx.host {
            Ok(name) => name,
            Err(text) => return Listed::Known(Box::new(no_name(&text, &hop))),
        };
        let hop = Hop { host: Host::Name(name), ..hop };
        if let Some(own) = mx.leads_back {
            let why = format!("the mail exchanger {own} has a name of this host");
            let failure = Failure::leads_back(&hop.host.to_string(), why);
            return Listed::Known(Box::new(hop.unusable(Standing::Unusable(failure))));
        }
        Listed::Named(Box::new(hop))
    }
}

impl Hop {
    /// A certificate must be for the relay's own name: nobody but the DNS vouches for any other.
    fn proved_as_itself(&self) -> Self {
        Self { certificate_name: Some(self.host.clone()), ..self.clone() }
    }

    /// A relay whose servers were not found, which is the operator's slip or the DNS's, and mends.
    fn unknown(&self, why: &str) -> Candidate {
        let failure = Failure::unknown_relay(format!("no server of the relay {} is known: {why}", self.host));
        self.unusable(Standing::Unusable(failure))
    }

    /// The servers that were found, or why there are none: one candidate, so that the next relay is tried.
    fn found(&self, servers: Result<Outline, ResolveError>, what: &str) -> Outline {
        match servers {
            Ok(Outline { dead_end: Some(failure), .. }) => Outline::of(self.unknown(&failure.detail())),
            Ok(outline) if outline.hosts.is_empty() => {
                Outline::of(self.unknown(&format!("it has no {what}")))
            }
            Ok(outline) => outline,
            Err(ResolveError::NoSuchName) => Outline::of(self.unknown(&format!("it has no {what}"))),
            Err(error) => {
                let failure =
                    Failure::resolving(format!("cannot look up the {what} of {}", self.host), error);
                Outline::of(self.unusable(Standing::Unusable(failure)))
            }
        }
    }

    /// A server of the relay; `None`: the record says that there is none.
    fn server(&self, server: Srv) -> Option<Listed> {
        let hop = Self { preference: Some(server.priority), port: server.port, ..self.clone() };
        let unfit = |why: &str| Some(Listed::Known(Box::new(hop.unknown(why))));
        match server.target {
            Exchange::Null => None,
            Exchange::Invalid(text) => unfit(&format!("\"{text}\" is not a host name")),
            // RFC 2033 section 5
            Exchange::Name(_) if hop.port == 0 || (hop.protocol, hop.port) == (Protocol::Lmtp, 25) => {
                unfit(&format!("port {} is none for {}", hop.port, hop.protocol))
            }
            Exchange::Name(name) => Some(Listed::Named(Box::new(Self { host: Host::Name(name), ..hop }))),
        }
    }
}

/// By priority, and by weight within one (RFC 2782).
fn in_srv_order(records: &[Srv], random: &Randomness) -> Vec<Srv> {
    let mut records = records.to_vec();
    records.sort_by_key(|server| server.priority);
    let levels = records.chunk_by(|a, b| a.priority == b.priority);
    levels
        .flat_map(|level| {
            by_weight(level.to_vec(), |server| server.weight, &mut |highest| random.up_to(highest))
        })
        .collect()
}

fn implicit(name: &DnsName) -> Exchanger {
    Exchanger { preference: 0, host: Ok(name.clone()), leads_back: None }
}

fn relay_origin(host: &Host) -> Origin {
    match host {
        Host::Address(_) => Origin::RelayLiteral,
        Host::Name(name) if name.is_localhost() => Origin::Localhost,
        Host::Name(_) => Origin::RelayName,
    }
}

fn unix(hop: &NextHop, tls: Requirement, dial: Dial) -> Candidate {
    Candidate {
        host: None,
        endpoint: Some(dial.endpoint()),
        protocol: hop.protocol(),
        relay: Some(hop.clone()),
        preference: None,
        origin: None,
        tls,
        certificate_name: None,
        security: None,
        standing: Standing::Allowed(dial),
    }
}

/// An exchanger whose name is none: skipped, never taken for an address (check 082).
fn no_name(text: &str, hop: &Hop) -> Candidate {
    let failure = hop.nowhere(format!("the mail exchanger \"{text}\" is not a host name"));
    Candidate { host: None, ..hop.unusable(Standing::Unusable(failure)) }
}

fn mx_failure(domain: &Domain, error: ResolveError) -> Failure {
    match error {
        ResolveError::NoSuchName => Failure::no_way((1, 2), format!("the domain {domain} does not exist")),
        error => Failure::resolving(format!("cannot look up the mail exchangers of {domain}"), error),
    }
}

fn null_mx(domain: &DnsName) -> Failure {
    Failure::no_way((1, 10), format!("the domain {domain} takes no mail (null MX)"))
}

fn mail_loop(domain: &DnsName, own: &DnsName) -> Failure {
    let what = format!(
        "the best mail exchanger of {domain}, {own}, has a name of this host: mail for it would loop"
    );
    Failure::no_way((4, 6), what)
}
