//! [`Route`]: what a router answers.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::mail::Domain;

use super::next_hop::NextHop;
use super::next_hops::NextHops;

/// What is to be done with a recipient. Recipients of equal routes are delivered together.
///
/// Clones share next hops, domain and reason: none allocates, unless an [`MxRoute`] has sources.
///
/// A route has a text form, which [`FromStr`](std::str::FromStr) reads and [`Display`](fmt::Display) writes:
///
/// | text | route |
/// |---|---|
/// | `mx`, `mx:DOMAIN` | [`Mx`](Self::Mx), of the recipient's own domain or of another |
/// | `HOP`, `HOP,HOP…` | [`Relay`](Self::Relay); [`NextHop`] says how a hop is written |
/// | `local` | [`Local`](Self::Local) |
/// | `refuse:TEXT`, `defer:TEXT` | [`Refuse`](Self::Refuse), [`Defer`](Self::Defer); all that follows is the text, commas included |
///
/// The limits and sources of an [`MxRoute`] have no text form. Words may be in upper or lower case; spaces count.
///
/// ```
/// use nexthop::Route;
///
/// let route: Route = "lmtp+unix:///run/lmtp.sock,smtp://relay.example".parse().unwrap();
/// assert_eq!(route.to_string(), "lmtp+unix:///run/lmtp.sock,smtp://relay.example:25");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// To the mail exchangers of a domain (RFC 5321 section 5.1).
    Mx(MxRoute),
    /// To the first of these next hops that takes it; never empty in a route that was parsed. They are tried in turn;
    /// those side by side that have a [weight](NextHop::with_weight) share the load.
    Relay(NextHops),
    /// To the host program's own store.
    Local,
    /// Nowhere, for good.
    Refuse(RouteReason),
    /// Nowhere for now.
    Defer(RouteReason),
}

impl Route {
    /// To the mail exchangers of the recipient's own domain.
    pub fn mx() -> Self {
        Self::Mx(MxRoute::default())
    }

    /// To the mail exchangers of another domain.
    pub fn mx_of(domain: Domain) -> Self {
        Self::Mx(MxRoute { domain: Some(domain), ..MxRoute::default() })
    }

    /// To one next hop.
    pub fn relay(hop: NextHop) -> Self {
        Self::Relay(hop.into())
    }

    /// To the first of these next hops that takes it.
    pub fn relays(hops: impl Into<NextHops>) -> Self {
        Self::Relay(hops.into())
    }

    /// Nowhere, for good.
    pub fn refuse(reason: impl Into<RouteReason>) -> Self {
        Self::Refuse(reason.into())
    }

    /// Nowhere for now.
    pub fn defer(reason: impl Into<RouteReason>) -> Self {
        Self::Defer(reason.into())
    }

    /// Whether they are certainly equal, at the cost of comparing pointers: clones of one route are, and equal ones that
    /// were made apart need not be.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mx(one), Self::Mx(other)) => one.same_as(other),
            (Self::Relay(one), Self::Relay(other)) => one.is_same(other),
            (Self::Local, Self::Local) => true,
            (Self::Refuse(one), Self::Refuse(other)) | (Self::Defer(one), Self::Defer(other)) => {
                Arc::ptr_eq(&one.0, &other.0)
            }
            _ => false,
        }
    }
}

/// A route by mail exchangers. The default: the recipient's own domain, no limits of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct MxRoute {
    /// The domain whose exchangers are asked for; `None`, the default: the recipient's own.
    pub domain: Option<Domain>,
    /// Exchangers that are tried in one attempt; `None`, the default: as many as the general bounds allow.
    ///
    /// Read it through [`host_limit`](Self::host_limit).
    pub max_hosts: Option<usize>,
    /// Addresses of one exchanger that are tried in one attempt; `None`, the default: as many as the
    /// general bounds allow. Where both families are asked for, a cut list keeps an address of each.
    ///
    /// Read it through [`address_limit`](Self::address_limit).
    pub max_addresses: Option<usize>,
    /// The address families that are asked for, and their order.
    pub families: Families,
    /// Local addresses to connect from, chosen by the router; empty, the default: those of the deliverer.
    /// Of several of one family one is taken in rotation.
    pub sources: Vec<IpAddr>,
}

/// What a limit of fewer counts as: two addresses at least are tried (RFC 5321 section 5.1).
const LEAST_LIMIT: usize = 2;

impl MxRoute {
    /// The exchangers that may be tried in one attempt: [`max_hosts`](Self::max_hosts), but two at least.
    pub fn host_limit(&self) -> Option<usize> {
        self.max_hosts.map(|limit| limit.max(LEAST_LIMIT))
    }

    /// The addresses of one exchanger that may be tried: [`max_addresses`](Self::max_addresses), but two at least.
    pub fn address_limit(&self) -> Option<usize> {
        self.max_addresses.map(|limit| limit.max(LEAST_LIMIT))
    }

    /// As [`Route::same_as`].
    fn same_as(&self, other: &Self) -> bool {
        let limits = |route: &Self| (route.max_hosts, route.max_addresses, route.families);
        let same_domain = match (&self.domain, &other.domain) {
            (Some(one), Some(other)) => one.is_same(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same_domain && limits(self) == limits(other) && self.sources == other.sources
    }
}

/// Which address families are asked for, and which comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "the orders of two families")]
pub enum Families {
    /// IPv4 addresses only.
    V4Only,
    /// IPv6 addresses only.
    V6Only,
    /// Both, IPv4 first.
    V4ThenV6,
    /// Both, all of IPv6 first.
    V6ThenV4,
    /// Both in turn, the better family by RFC 6724 first: IPv6 where nothing speaks against it (RFC 8305 section 4,
    /// First Address Family Count 1).
    #[default]
    Balanced,
}

/// Why a route leads nowhere: one line of text, never blank. Clones share it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RouteReason(Arc<str>);

impl RouteReason {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a character ends a line or is no text at all.
pub(super) fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Control characters and line ends become spaces; a blank text becomes `no reason given`.
impl From<&str> for RouteReason {
    fn from(text: &str) -> Self {
        if text.chars().all(|c| c.is_whitespace() || is_control(c)) {
            return Self("no reason given".into());
        }
        Self(text.replace(is_control, " ").into())
    }
}

/// As from `&str`.
impl From<String> for RouteReason {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl fmt::Display for RouteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RouteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_076_a_limit_below_two_counts_as_two() {
        let route = |limit| MxRoute { max_hosts: limit, max_addresses: limit, ..MxRoute::default() };
        for (limit, counts_as) in [(None, None), (Some(0), Some(2)), (Some(1), Some(2)), (Some(5), Some(5))] {
            assert_eq!(route(limit).address_limit(), counts_as);
            assert_eq!(route(limit).host_limit(), counts_as);
        }
    }

    #[test]
    fn check_034_routes_that_differ_in_a_limit_differ() {
        let limited = MxRoute { max_hosts: Some(5), ..MxRoute::default() };
        assert_ne!(Route::Mx(limited), Route::mx());
    }

    #[test]
    fn check_034_routes_that_differ_in_a_source_differ() {
        let sourced = MxRoute { sources: vec![[192, 0, 2, 1].into()], ..MxRoute::default() };
        assert_ne!(Route::Mx(sourced), Route::mx());
    }

    /// One route of each kind and more, with all that it may hold.
    fn kinds() -> Vec<Route> {
        let sourced = MxRoute { sources: vec![[192, 0, 2, 1].into()], ..MxRoute::default() };
        let texts =
            ["mx", "mx:a.example", "smtp://a.example,smtp://b.example", "local", "refuse:no", "defer:no"];
        let parsed = texts.iter().map(|text| text.parse().unwrap());
        let limited = MxRoute { max_hosts: Some(5), ..MxRoute::default() };
        let ordered = MxRoute { families: Families::V4Only, ..MxRoute::default() };
        let narrow = MxRoute { max_addresses: Some(5), ..MxRoute::default() };
        parsed.chain([sourced, limited, ordered, narrow].map(Route::Mx)).collect()
    }

    #[test]
    fn clones_are_the_same_and_other_routes_are_not() {
        let kinds = kinds();
        for (place, route) in kinds.iter().enumerate() {
            let same: Vec<_> = kinds.iter().map(|other| route.clone().same_as(other)).collect();
            let expected: Vec<_> = (0..kinds.len()).map(|other| other == place).collect();
            assert_eq!(same, expected, "{route:?}");
        }
    }

    #[test]
    fn what_was_made_apart_is_equal_and_not_the_same() {
        for text in ["mx:a.example", "smtp://a.example", "refuse:no", "defer:no"] {
            let (one, other): (Route, Route) = (text.parse().unwrap(), text.parse().unwrap());
            assert!(one == other && !one.same_as(&other), "{text}");
        }
    }

    #[test]
    fn one_hop_is_a_list_of_one() {
        let hop: NextHop = "smtp://a.example".parse().unwrap();
        assert_eq!(Route::relay(hop.clone()), Route::relays(vec![hop]));
    }

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(RouteReason::from("moved\r\naway\u{2028}x").as_str(), "moved  away x");
        assert_eq!(RouteReason::from(" \n").as_str(), "no reason given");
    }
}
