//! [`Route`]: what a router answers.

use std::fmt;
use std::net::IpAddr;

use crate::mail::Domain;

use super::next_hop::NextHop;

/// What is to be done with a recipient. Recipients of equal routes are delivered together.
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
    Relay(Vec<NextHop>),
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
        Self::Relay(vec![hop])
    }

    /// Nowhere, for good.
    pub fn refuse(reason: impl Into<RouteReason>) -> Self {
        Self::Refuse(reason.into())
    }

    /// Nowhere for now.
    pub fn defer(reason: impl Into<RouteReason>) -> Self {
        Self::Defer(reason.into())
    }
}

/// A route by mail exchangers. The default: the recipient's own domain, no limits of its own.
///
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

/// Why a route leads nowhere: one line of text, never blank.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RouteReason(Box<str>);

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

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(RouteReason::from("moved\r\naway\u{2028}x").as_str(), "moved  away x");
        assert_eq!(RouteReason::from(" \n").as_str(), "no reason given");
    }
}
