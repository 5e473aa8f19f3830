//! [`Destination`]: what has to be known of a recipient to make a plan.

use std::fmt;
use std::net::IpAddr;

use crate::mail::{Domain, ForwardPath, MailboxDomain, Recipient};
use crate::outcome::Failure;
use crate::route::{MxRoute, NextHops, Route};

/// A route made definite: recipients of equal destinations are delivered together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Destination {
    /// To the mail exchangers of this domain.
    #[non_exhaustive]
    Mx {
        /// Whose exchangers are asked for.
        domain: Domain,
        /// The route with its limits.
        route: MxRoute,
    },
    /// To this address, which stands in the mailbox (RFC 5321 section 4.1.3).
    Literal(IpAddr),
    /// To one of these next hops, in turn.
    Relay(NextHops),
}

impl Destination {
    /// The destination of a recipient on a route; `None` where the route leads to no server.
    ///
    /// # Errors
    /// A recipient without a domain on a route by mail exchangers, a domain of a single label, which the public
    /// DNS does not have, and a relay route without a next hop.
    pub fn new(route: &Route, recipient: &Recipient) -> Result<Option<Self>, Failure> {
        match route {
            Route::Mx(mx) => Self::by_mx(mx, recipient).map(Some),
            Route::Relay(hops) if hops.is_empty() => {
                Err(Failure::local_for_now("a relay route without a next hop"))
            }
            Route::Relay(hops) => Ok(Some(Self::Relay(hops.clone()))),
            Route::Local | Route::Refuse(_) | Route::Defer(_) => Ok(None),
        }
    }

    fn by_mx(route: &MxRoute, recipient: &Recipient) -> Result<Self, Failure> {
        if let Some(domain) = &route.domain {
            return Ok(Self::Mx { domain: domain.clone(), route: route.clone() });
        }
        match recipient.path() {
            ForwardPath::Mailbox(mailbox) => match mailbox.domain() {
                MailboxDomain::Name(domain) => Self::by_domain(domain, route),
                MailboxDomain::Literal(address) => Ok(Self::Literal(*address)),
            },
            ForwardPath::Postmaster(_) => {
                Err(Failure::no_way((1, 3), "a mailbox without a domain has no mail exchanger".to_owned()))
            }
        }
    }

    fn by_domain(domain: &Domain, route: &MxRoute) -> Result<Self, Failure> {
        if domain.is_single_label() || domain.dns_name().is_localhost() {
            let what = format!("{domain} is no domain of the public DNS");
            return Err(Failure::no_way((1, 2), what));
        }
        Ok(Self::Mx { domain: domain.clone(), route: route.clone() })
    }

    /// The local addresses that the route names for mail exchangers.
    pub(crate) fn sources(&self) -> &[IpAddr] {
        match self {
            Self::Mx { route, .. } => &route.sources,
            Self::Literal(_) | Self::Relay(_) => &[],
        }
    }

    /// The next hops, if it is a relay.
    pub(crate) fn relay(&self) -> Option<&NextHops> {
        match self {
            Self::Relay(hops) => Some(hops),
            Self::Mx { .. } | Self::Literal(_) => None,
        }
    }

    /// The route that a policy is shown.
    pub(crate) fn route(&self) -> Route {
        match self {
            Self::Mx { route, .. } => Route::Mx(route.clone()),
            Self::Literal(_) => Route::mx(),
            Self::Relay(hops) => Route::Relay(hops.clone()),
        }
    }
}

/// `mx:example.org`, `mx:[192.0.2.1]`, or the next hops.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mx { domain, .. } => write!(f, "mx:{domain}"),
            Self::Literal(IpAddr::V4(address)) => write!(f, "mx:[{address}]"),
            Self::Literal(IpAddr::V6(address)) => write!(f, "mx:[IPv6:{address}]"),
            Self::Relay(_) => self.route().fmt(f),
        }
    }
}
