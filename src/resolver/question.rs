//! [`Query`]: what a resolver is asked.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::mail::DnsName;

/// One question. The method it is passed to says the kind of record.
///
/// Queries are equal if their names are equal: the answer does not depend on the requester.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Query {
    /// The name asked for. It is absolute: no search list, no completion (RFC 5321 section 2.3.5).
    pub name: DnsName,
    /// The delivery that the query is made for. Default: a new requester.
    pub requester: Requester,
}

impl Query {
    /// Returns a question about a name, with a new requester.
    pub fn new(name: impl Into<DnsName>) -> Self {
        Self { name: name.into(), requester: Requester::new() }
    }

    /// Sets the requester that the query is made for.
    #[must_use]
    pub fn for_requester(self, requester: Requester) -> Self {
        Self { requester, ..self }
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Query {}

impl Hash for Query {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// Identifies the delivery that queries are made for.
///
/// A resolver that limits its queries in flight can divide them fairly among requesters, so that the many lookups of one
/// delivery do not delay the few of another. [`Deliverer`](crate::Deliverer) uses one requester for each call.
///
/// ```
/// use nexthop::DnsName;
/// use nexthop::resolver::{Query, Requester};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let requester = Requester::new();
/// let query = Query::new(DnsName::parse("example.org")?).for_requester(requester);
/// assert_eq!(query.requester, requester);
/// assert_ne!(Requester::new(), requester);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requester(u64);

impl Requester {
    /// Returns a requester that differs from all others.
    #[expect(clippy::new_without_default, reason = "each is different, so there is no default one")]
    pub fn new() -> Self {
        // 64 random bits; two requesters with the same ones would only share their permits
        Self(fastrand::u64(..))
    }
}

/// The kinds of records that a [`Resolver`](super::Resolver) is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RecordKind {
    /// Mail exchangers (RFC 1035 section 3.3.9).
    Mx,
    /// IPv4 addresses (RFC 1035 section 3.4.1).
    Ipv4,
    /// IPv6 addresses (RFC 3596).
    Ipv6,
    /// TLS certificate associations (RFC 6698).
    Tlsa,
    /// Text (RFC 1035 section 3.3.14).
    Txt,
    /// Servers of a service (RFC 2782).
    Srv,
}

/// The name of the record type, as zone files have it.
impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mx => "MX",
            Self::Ipv4 => "A",
            Self::Ipv6 => "AAAA",
            Self::Tlsa => "TLSA",
            Self::Txt => "TXT",
            Self::Srv => "SRV",
        })
    }
}
