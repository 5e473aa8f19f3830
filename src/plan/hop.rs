//! [`Hop`]: what the candidates of one host have in common.

use std::net::IpAddr;
use std::sync::Arc;

use super::addresses::NoAddresses;
use super::candidate::{Candidate, Dial, Standing};
use crate::mail::{DnsName, Host};
use crate::outcome::Failure;
use crate::policy::{AddressPolicy, Origin, Peer, Permitted};
use crate::proto::Protocol;
use crate::resolver::Security;
use crate::route::{Endpoint, Families, NextHop, RelayLookup, Route};
use crate::tls::Requirement;

/// A host, and everything about it but its addresses.
#[derive(Debug, Clone)]
pub(super) struct Hop {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    pub(super) relay: Option<NextHop>,
    pub(super) preference: Option<u16>,
    pub(super) origin: Origin,
    pub(super) tls: Requirement,
    /// The name that a certificate must be for, where it is not the host's.
    pub(super) certificate_name: Option<Host>,
    pub(super) families: Families,
    pub(super) max_addresses: usize,
    pub(super) route: Arc<Route>,
}

impl Hop {
    /// An address of the host, judged.
    pub(super) fn at(
        &self,
        address: IpAddr,
        policy: &dyn AddressPolicy,
        security: Option<Security>,
    ) -> Candidate {
        let peer = Peer::new(address, self.port, &self.host, self.origin, &self.route);
        let standing = match Permitted::check(policy, &peer) {
            Ok(permitted) => Standing::Allowed(Dial::tcp(permitted)),
            Err(denial) => Standing::Denied(denial),
        };
        let endpoint = Some(Endpoint::Tcp(peer.socket_address()));
        Candidate { endpoint, security, ..self.unusable(standing) }
    }

    /// The host as a whole.
    pub(super) fn unusable(&self, standing: Standing) -> Candidate {
        Candidate {
            host: Some(self.host.clone()),
            endpoint: None,
            protocol: self.protocol,
            relay: self.relay.clone(),
            preference: self.preference,
            origin: Some(self.origin),
            tls: self.tls,
            certificate_name: self.certificate_name.clone(),
            security: None,
            standing,
        }
    }

    /// Whether it has its place among exchangers, of which one may be this host (RFC 5321 section 5.1). The priority
    /// of a service says nothing of the kind.
    pub(super) fn may_lead_back(&self) -> bool {
        let lookup = self.relay.as_ref().map(NextHop::lookup);
        self.preference.is_some() && lookup != Some(RelayLookup::Srv)
    }

    /// The name to be looked up; `None` for an address.
    pub(super) fn name(&self) -> Option<&DnsName> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }

    /// Why it has no addresses.
    pub(super) fn no_addresses(&self, reason: NoAddresses) -> Failure {
        let host = &self.host;
        let what = match reason {
            NoAddresses::Unknown(error) => {
                return Failure::resolving(format!("cannot look up the addresses of {host}"), error);
            }
            NoAddresses::NoSuchName => format!("the host {host} does not exist"),
            NoAddresses::None => format!("the host {host} has no addresses"),
        };
        self.nowhere(what)
    }

    /// An exchanger without addresses is the domain's fault; a relay without is the operator's, and mends.
    pub(super) fn nowhere(&self, what: String) -> Failure {
        match self.origin.is_stranger() {
            true => Failure::no_addresses(what),
            false => Failure::unknown_relay(what),
        }
    }
}
