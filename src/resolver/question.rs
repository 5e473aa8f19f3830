//! [`Query`]: what a resolver is asked.

use std::fmt;

use crate::mail::DnsName;

/// One question. The method it is passed to says the kind of record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Query {
    /// The name asked for. It is absolute: no search list, no completion (RFC 5321 section 2.3.5).
    pub name: DnsName,
}

impl Query {
    /// A question about a name.
    pub fn new(name: impl Into<DnsName>) -> Self {
        Self { name: name.into() }
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
