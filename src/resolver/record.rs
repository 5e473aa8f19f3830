//! The records: [`Mx`], [`Tlsa`], [`Txt`], [`Srv`]; addresses are those of the standard library.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::mail::DnsName;

use super::question::RecordKind;

/// A mail exchanger (RFC 1035 section 3.3.9).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the record")]
pub struct Mx {
    /// The lower, the earlier it is tried.
    pub preference: u16,
    /// Who takes the mail.
    pub exchange: Exchange,
}

/// What stands where a record names a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the root, a name, or neither")]
pub enum Exchange {
    /// The root: a null MX (RFC 7505 section 3), or a service that is not offered (RFC 2782).
    Null,
    /// A name whose addresses can be asked for.
    Name(DnsName),
    /// Octets that are no name of a host, such as an address written as a name, in escaped form. Never to be dialled.
    Invalid(String),
}

impl Exchange {
    /// Reads the text form of zone files; what is no name is kept as [`Exchange::Invalid`].
    pub fn parse(text: &str) -> Self {
        match (text, DnsName::parse(text)) {
            (".", _) => Self::Null,
            (_, Ok(name)) => Self::Name(name),
            (_, Err(_)) => Self::Invalid(text.escape_default().to_string()),
        }
    }
}

/// As zone files have it, without the final dot of a name.
impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("."),
            Self::Name(name) => name.fmt(f),
            Self::Invalid(escaped) => f.write_str(escaped),
        }
    }
}

/// A TLS certificate association (RFC 6698 section 2.1); unknown values are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the record")]
pub struct Tlsa {
    /// Certificate usage: 2 DANE-TA, 3 DANE-EE.
    pub usage: u8,
    /// 0 the certificate, 1 its public key.
    pub selector: u8,
    /// 0 the thing itself, 1 its SHA-256, 2 its SHA-512.
    pub matching_type: u8,
    /// The certificate association data, of any length.
    pub data: Vec<u8>,
}

/// A text record: its character-strings joined without a separator (as RFC 8461 section 3.1 wants it).
#[derive(Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the octets of the record")]
pub struct Txt(pub Vec<u8>);

impl fmt::Debug for Txt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Txt(\"{}\")", self.0.escape_ascii())
    }
}

/// A server of a service (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the record")]
pub struct Srv {
    /// The lower, the earlier it is tried.
    pub priority: u16,
    /// Share among servers of one priority.
    pub weight: u16,
    /// The port of the service there.
    pub port: u16,
    /// The host; [`Exchange::Null`] says that the service is not offered.
    pub target: Exchange,
}

/// What the resolvers of this crate need to know of a kind of record.
pub(super) trait Record: Sized + Clone {
    const KIND: RecordKind;

    /// The records of `localhost` (RFC 6761 section 6.3).
    fn of_localhost() -> Vec<Self> {
        Vec::new()
    }
}

impl Record for Mx {
    const KIND: RecordKind = RecordKind::Mx;
}

impl Record for Tlsa {
    const KIND: RecordKind = RecordKind::Tlsa;
}

impl Record for Txt {
    const KIND: RecordKind = RecordKind::Txt;
}

impl Record for Srv {
    const KIND: RecordKind = RecordKind::Srv;
}

impl Record for Ipv4Addr {
    const KIND: RecordKind = RecordKind::Ipv4;

    fn of_localhost() -> Vec<Self> {
        vec![Self::LOCALHOST]
    }
}

impl Record for Ipv6Addr {
    const KIND: RecordKind = RecordKind::Ipv6;

    fn of_localhost() -> Vec<Self> {
        vec![Self::LOCALHOST]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_082_an_address_as_exchange_is_no_name() {
        assert_eq!(Exchange::parse("192.0.2.1."), Exchange::Invalid("192.0.2.1.".into()));
        assert_eq!(Exchange::parse("bad host"), Exchange::Invalid("bad host".into()));
        assert_eq!(Exchange::parse("a\nb"), Exchange::Invalid("a\\nb".into()));
    }

    #[test]
    fn check_083_the_root_is_a_null_mx() {
        assert_eq!(Exchange::parse("."), Exchange::Null);
    }

    #[test]
    fn exchanges_print_as_they_are_read() {
        for text in [".", "mx.example", "192.0.2.1"] {
            assert_eq!(Exchange::parse(text).to_string(), text);
        }
    }
}
