//! [`Key`]: what connections have in common that can stand for each other.

use std::net::IpAddr;

use crate::mail::Host;
use crate::proto::{ClientName, Credentials, Protocol};
use crate::route::Endpoint;
use crate::tls::Requirement;

/// Where a connection leads and all that it must keep to. Only of equal keys one may be used for the other: a promise
/// is never lowered by a connection that was made for another case (law 6), and nobody speaks under another's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) endpoint: Endpoint,
    pub(crate) protocol: Protocol,
    /// What it must prove.
    pub(crate) requirement: Requirement,
    /// Whose certificate it must be.
    pub(crate) name: Option<Host>,
    /// Whether any certificate will do.
    pub(crate) any_certificate: bool,
    /// Who logged in.
    pub(crate) credentials: Option<Credentials>,
    /// Where it comes from; `None`: the system chose.
    pub(crate) source: Option<IpAddr>,
    /// What the client calls itself; `None`: by the name of the deliverer.
    pub(crate) client_name: Option<ClientName>,
    /// Whether octets above 127 are sent without being asked for.
    pub(crate) eight_bit_clean: bool,
    /// Size of the largest message that is sent together with its commands, in bytes.
    pub(crate) single_flight_limit: usize,
    /// Whether a server of this host's own name is a loop.
    pub(crate) is_stranger: bool,
}

#[cfg(test)]
impl Key {
    /// A server in the clear at this port of 127.0.0.1.
    pub(crate) fn of_port(port: u16) -> Self {
        Self {
            endpoint: Endpoint::Tcp(([127, 0, 0, 1], port).into()),
            protocol: Protocol::Smtp,
            requirement: Requirement::CLEARTEXT,
            name: None,
            any_certificate: false,
            credentials: None,
            source: None,
            client_name: None,
            eight_bit_clean: false,
            single_flight_limit: 0,
            is_stranger: false,
        }
    }
}
