//! [`PlanSettings`]: bounds and ports of plans.

use std::net::IpAddr;
use std::time::Duration;

use crate::mail::Domain;
use crate::random::Randomness;

/// How plans are made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlanSettings {
    /// The port of mail exchangers and address literals; 25 (RFC 5321 section 4.5.4.2).
    pub mx_port: u16,
    /// Mail exchangers that are looked at, in the order of preference; 10. A route may set a lower limit.
    pub max_hosts: usize,
    /// Addresses of one host that are tried; 8, never fewer than 2 (RFC 5321 section 5.1). A list that is cut
    /// keeps an address of each family. A route may set a lower limit. Of a longer answer no more than 50 addresses
    /// are sorted, or this many.
    pub max_addresses: usize,
    /// Questions to the resolver for one destination; 100. Hosts beyond are left for the next attempt.
    pub max_questions: usize,
    /// How long the lookups for one destination may take together; 1 minute. What was not answered by then counts as a
    /// lookup that failed.
    pub lookup_time: Duration,
    /// How long the addresses of the family that is not wanted first wait for those of the other, so that neither a
    /// slow nor a lost answer holds up a delivery; 50 milliseconds (RFC 8305 section 3).
    pub resolution_delay: Duration,
    /// Names under which this host receives mail itself: an exchanger of that name, and those that are no
    /// better, would be a loop (RFC 5321 section 5.1).
    pub own_names: Vec<Domain>,
    /// Addresses at which this host receives mail, those behind a translation of addresses among them: an exchanger at
    /// one of them, and those that are no better, would be a loop (RFC 5321 section 5.1). Loopback addresses are never
    /// taken for own ones.
    pub own_addresses: Vec<IpAddr>,
    /// Source of the random order of hosts with equal preference.
    pub(crate) random: Randomness,
}

impl Default for PlanSettings {
    fn default() -> Self {
        Self {
            mx_port: 25,
            max_hosts: 10,
            max_addresses: 8,
            max_questions: 100,
            lookup_time: Duration::from_secs(60),
            resolution_delay: Duration::from_millis(50),
            own_names: Vec::new(),
            own_addresses: Vec::new(),
            random: Randomness::default(),
        }
    }
}
