//! [`Route`]: what a router answers.

use crate::mail::Domain;

use super::next_hop::NextHop;

/// What is to be done with a recipient. Recipients of equal routes are delivered together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// To the mail exchangers of a domain (RFC 5321 section 5.1).
    Mx(MxRoute),
    /// To the first of these next hops that takes it; never empty in a route that was parsed.
    Relay(Vec<NextHop>),
    /// To the host program's own store.
    Local,
    /// Nowhere, for good; the text says why.
    Refuse(String),
    /// Nowhere for now; the text says why.
    Defer(String),
}

/// A route by mail exchangers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct MxRoute {
    /// The domain whose exchangers are asked for; `None`: the recipient's own.
    pub domain: Option<Domain>,
}

impl Route {
    /// To the mail exchangers of the recipient's own domain.
    pub fn mx() -> Self {
        Self::Mx(MxRoute::default())
    }

    /// To one next hop.
    pub fn relay(hop: NextHop) -> Self {
        Self::Relay(vec![hop])
    }
}
