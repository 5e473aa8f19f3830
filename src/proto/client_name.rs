//! [`ClientName`]: how a client introduces itself.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::mail::{Domain, DomainError};

/// The argument of EHLO, HELO and LHLO: a fully qualified domain name, or an address literal where there is
/// none (RFC 5321 sections 2.3.5 and 4.1.4).
///
/// ```
/// use nexthop::ClientName;
///
/// assert_eq!(ClientName::parse("Mail.Example.NET")?.to_string(), "mail.example.net");
/// assert_eq!(ClientName::parse("[IPv6:2001:db8::1]")?.to_string(), "[IPv6:2001:db8::1]");
/// assert!(ClientName::parse("localhost").is_err());
/// # Ok::<(), nexthop::proto::ClientNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientName(Name);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Domain(Domain),
    Literal(IpAddr),
}

/// Why a text is no name to introduce oneself with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientNameError {
    /// Not a domain name.
    #[error("the client name \"{text}\" is not a domain name")]
    Domain {
        /// The text, escaped.
        text: String,
        /// What is wrong with it.
        source: DomainError,
    },
    /// A name that means something to this host only, such as `localhost`.
    #[error("the client name \"{0}\" is not fully qualified")]
    NotQualified(String),
    /// Brackets around something that is no address.
    #[error("the client name \"{0}\" is not an address literal")]
    Literal(String),
}

impl ClientName {
    /// Reads a domain name (U-labels become A-labels, RFC 6531 section 3.7.1) or an address literal in brackets.
    ///
    /// # Errors
    /// A single label, `localhost` or a name below it, a name with an underscore, or neither a name nor an address literal.
    pub fn parse(text: &str) -> Result<Self, ClientNameError> {
        let shown = || text.escape_debug().to_string();
        if let Some(inner) = text.strip_prefix('[') {
            let address = inner.strip_suffix(']').and_then(literal);
            return address.map(Self::from).ok_or_else(|| ClientNameError::Literal(shown()));
        }
        let domain =
            Domain::parse(text).map_err(|source| ClientNameError::Domain { text: shown(), source })?;
        if !domain.is_host_name() {
            return Err(ClientNameError::Domain { text: shown(), source: DomainError::NotHostName });
        }
        if domain.is_single_label() || domain.dns_name().is_localhost() {
            return Err(ClientNameError::NotQualified(shown()));
        }
        Ok(Self(Name::Domain(domain)))
    }

    /// The name, unless this is an address literal.
    pub fn domain(&self) -> Option<&Domain> {
        match &self.0 {
            Name::Domain(domain) => Some(domain),
            Name::Literal(_) => None,
        }
    }
}

fn literal(inner: &str) -> Option<IpAddr> {
    let (tag, address) = inner.split_at_checked(5).unwrap_or(("", inner));
    match tag.eq_ignore_ascii_case("ipv6:") {
        true => address.parse().ok().map(IpAddr::V6),
        false => inner.parse().ok().map(IpAddr::V4),
    }
}

impl From<IpAddr> for ClientName {
    fn from(address: IpAddr) -> Self {
        Self(Name::Literal(address))
    }
}

impl FromStr for ClientName {
    type Err = ClientNameError;

    fn from_str(text: &str) -> Result<Self, ClientNameError> {
        Self::parse(text)
    }
}

/// As it stands in EHLO.
impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Name::Domain(domain) => domain.fmt(f),
            Name::Literal(IpAddr::V4(address)) => write!(f, "[{address}]"),
            Name::Literal(IpAddr::V6(address)) => write!(f, "[IPv6:{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_022_names_are_qualified_or_literals() {
        for good in ["mail.example.net", "[192.0.2.1]", "[IPv6:2001:db8::1]"] {
            assert_eq!(ClientName::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "localhost",
            "a.localhost",
            "mail",
            "my_host.example",
            "-a.example",
            "a b.example",
            "a.example\r\nQUIT",
            "192.0.2.1",
            "[192.0.2]",
            "[2001:db8::1]",
            "[IPv6:192.0.2.1]",
            "[",
            "[IPv6:é]",
        ] {
            assert!(ClientName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn check_023_u_labels_become_a_labels() {
        assert_eq!(ClientName::parse("bücher.example").unwrap().to_string(), "xn--bcher-kva.example");
    }
}
