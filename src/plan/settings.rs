//! [`PlanSettings`]: bounds and ports of plans.

use std::net::IpAddr;

use crate::mail::Domain;

/// How plans are made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlanSettings {
    /// The port of mail exchangers and address literals; 25 (RFC 5321 section 4.5.4.2).
    pub mx_port: u16,
    /// Mail exchangers that are looked at, in the order of preference; 10. A route may set a lower limit.
    pub max_hosts: usize,
    /// Addresses of one host that are tried; 8, never fewer than 2 (RFC 5321 section 5.1). A list that is cut
    /// keeps an address of each family. A route may set a lower limit.
    pub max_addresses: usize,
    /// Names under which this host receives mail itself: an exchanger of that name, and those that are no
    /// better, would be a loop (RFC 5321 section 5.1).
    pub own_names: Vec<Domain>,
    /// Addresses at which this host receives mail, those behind a translation of addresses among them: an exchanger at
    /// one of them, and those that are no better, would be a loop (RFC 5321 section 5.1). Loopback addresses are never
    /// taken for own ones.
    pub own_addresses: Vec<IpAddr>,
}

impl Default for PlanSettings {
    fn default() -> Self {
        Self {
            mx_port: 25,
            max_hosts: 10,
            max_addresses: 8,
            own_names: Vec::new(),
            own_addresses: Vec::new(),
        }
    }
}
