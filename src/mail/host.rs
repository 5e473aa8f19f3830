//! [`Host`]: what stands in front of a port.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::domain::{DnsName, DomainError};

/// A host: a name to be resolved, or an address that is dialled as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a host has a name or an address")]
pub enum Host {
    /// A name.
    Name(DnsName),
    /// A literal address.
    Address(IpAddr),
}

impl Host {
    /// Reads a name, an IPv4 address in dotted decimal form, or an IPv6 address in brackets.
    ///
    /// Short, octal and hexadecimal forms of addresses and scope identifiers are refused (check 094).
    ///
    /// # Errors
    /// None of the three.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let error = |reason| HostError { text: text.escape_debug().to_string(), reason };
        if let Some(inner) = text.strip_prefix('[') {
            let address = inner.strip_suffix(']').and_then(|inner| inner.parse().ok());
            return address.map(|a| Self::Address(IpAddr::V6(a))).ok_or_else(|| error(None));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        DnsName::parse(text).map(Self::Name).map_err(|reason| error(Some(reason)))
    }
}

/// A text that is no host, with the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a host: \"{text}\"")]
pub struct HostError {
    text: String,
    #[source]
    reason: Option<DomainError>,
}

impl From<DnsName> for Host {
    fn from(name: DnsName) -> Self {
        Self::Name(name)
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

/// The name, `192.0.2.1`, or `[2001:db8::1]`: as [`Host::parse`] reads it.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_094_only_plain_spellings_are_addresses() {
        for good in ["mx.example", "192.0.2.1", "[2001:db8::1]"] {
            assert_eq!(Host::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "127.1",
            "0177.0.0.1",
            "0x7f.1",
            "2001:db8::1",
            "[fe80::1%eth0]",
            "[::1",
            "[127.0.0.1]",
            "a b",
        ] {
            assert!(Host::parse(bad).is_err(), "{bad:?}");
        }
    }
}
