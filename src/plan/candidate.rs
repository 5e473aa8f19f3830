//! [`Plan`] and [`Candidate`]: what may be dialled, what may not, and why.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::destination::Destination;
use crate::mail::Host;
use crate::outcome::Failure;
use crate::policy::{Denial, Origin, Permitted};
use crate::proto::Protocol;
use crate::resolver::Security;
use crate::route::{Endpoint, MxRoute, NextHop};
use crate::tls::Requirement;

/// Everything that was decided about a destination, in the order in which it will be tried.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// What the plan is for.
    pub destination: Destination,
    /// The candidates, denied and unresolved ones among them.
    pub candidates: Vec<Candidate>,
    /// What DNSSEC proved of the list of mail exchangers; `None` where none was looked up.
    pub security: Option<Security>,
    /// What was left out.
    pub notes: Vec<Note>,
    /// Why there are no candidates at all.
    pub(super) dead_end: Option<Failure>,
}

/// What a plan leaves out because of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// Hosts beyond [`PlanSettings::max_hosts`](super::PlanSettings::max_hosts) or the limit of the route.
    #[non_exhaustive]
    HostsLeftOut {
        /// How many are in the plan.
        kept: usize,
        /// How many are not.
        left_out: usize,
    },
    /// Addresses of a host beyond [`PlanSettings::max_addresses`](super::PlanSettings::max_addresses) or the limit of
    /// the route.
    #[non_exhaustive]
    AddressesLeftOut {
        /// The host.
        host: Host,
        /// How many are in the plan.
        kept: usize,
        /// How many are not.
        left_out: usize,
    },
}

/// One address of one host, or a host without addresses.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Candidate {
    /// The host; `None` for a unix socket.
    pub host: Option<Host>,
    /// Where it is; `None` if no address was found.
    pub endpoint: Option<Endpoint>,
    /// What is spoken there.
    pub protocol: Protocol,
    /// The relay, as the route names it; `None` for what was found by MX or in a mailbox.
    pub relay: Option<NextHop>,
    /// The preference of its MX record (RFC 5321 section 5.1), 0 for an implicit one, `None` for a relay.
    pub preference: Option<u16>,
    /// Where the address came from; `None` for a unix socket, which is always the operator's word.
    pub origin: Option<Origin>,
    /// What a connection to it must prove.
    pub tls: Requirement,
    /// The name that its certificate must be for, where that is not the host's: of a relay whose servers the DNS named
    /// it is the relay's own, the only one that is the operator's word (RFC 6125 section 1.8, RFC 6186 section 6).
    pub certificate_name: Option<Host>,
    /// What DNSSEC proved of its address; `None` where no address was looked up.
    pub security: Option<Security>,
    /// Whether it may be dialled.
    pub standing: Standing,
}

/// Whether a candidate may be dialled.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Standing {
    /// It may.
    Allowed(Dial),
    /// The address policy denies it.
    Denied(Denial),
    /// There is no address, or the exchanger would lead back here.
    Unusable(Failure),
}

/// What a connection may be made to: an address that a policy permitted, or a socket that the operator named.
/// Only a plan makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial(Target);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Tcp(Permitted),
    Unix(PathBuf),
}

/// Target of a [`Dial`], as a [`Dialer`](crate::transport::Dialer) receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialTarget<'a> {
    /// An address that the policy permitted.
    Tcp(SocketAddr),
    /// A unix socket that the operator named.
    Unix(&'a Path),
}

impl fmt::Display for DialTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Dial {
    pub(super) fn tcp(permitted: Permitted) -> Self {
        Self(Target::Tcp(permitted))
    }

    pub(super) fn unix(path: &Path) -> Self {
        Self(Target::Unix(path.to_owned()))
    }

    /// Returns what a dialer is asked for.
    pub(crate) fn target(&self) -> DialTarget<'_> {
        match &self.0 {
            Target::Tcp(permitted) => DialTarget::Tcp(permitted.address()),
            Target::Unix(path) => DialTarget::Unix(path),
        }
    }

    /// Where it leads.
    pub fn endpoint(&self) -> Endpoint {
        match &self.0 {
            Target::Tcp(permitted) => Endpoint::Tcp(permitted.address()),
            Target::Unix(path) => Endpoint::Unix(path.clone()),
        }
    }
}

impl Plan {
    /// Why nothing can be dialled; `None` if something can.
    pub fn error(&self) -> Option<Failure> {
        let failures: Option<Vec<_>> = self.candidates.iter().map(Candidate::failure).collect();
        let best = failures?.into_iter().reduce(Failure::or_better);
        best.or_else(|| self.dead_end.clone())
            .or_else(|| Some(Failure::local_for_now("a plan without candidates")))
    }

    /// The candidates host by host: those of one host are tried side by side, hosts one after another.
    pub fn hosts(&self) -> impl Iterator<Item = &[Candidate]> {
        self.candidates.chunk_by(Candidate::is_of_same_host)
    }

    /// The limits of the route, for a plan by mail exchangers.
    pub fn mx_route(&self) -> Option<&MxRoute> {
        match &self.destination {
            Destination::Mx { route, .. } => Some(route),
            _ => None,
        }
    }
}

impl Candidate {
    /// The host's name, its address, or the path of the socket.
    pub fn name(&self) -> String {
        match (&self.host, &self.endpoint) {
            (Some(Host::Address(address)), _) => address.to_string(),
            (Some(host), _) => host.to_string(),
            (None, Some(endpoint)) => endpoint.to_string(),
            (None, None) => String::new(),
        }
    }

    fn is_of_same_host(&self, other: &Self) -> bool {
        let named = self.host.is_some() && self.host == other.host;
        named && self.preference == other.preference && self.relay == other.relay
    }

    /// Why it is not dialled; `None` if it may be.
    pub fn failure(&self) -> Option<Failure> {
        match &self.standing {
            Standing::Allowed(_) => None,
            Standing::Denied(denial) => Some(self.forbidden(denial)),
            Standing::Unusable(failure) => Some(failure.clone()),
        }
    }

    fn forbidden(&self, denial: &Denial) -> Failure {
        let endpoint = self.endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
        Failure::forbidden(format!("{} ({endpoint}) must not be dialled: {denial}", self.name()))
    }
}
