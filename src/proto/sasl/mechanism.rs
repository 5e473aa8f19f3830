//! [`Mechanism`]: the SASL mechanisms that the crate speaks.

use std::fmt;
use std::str::FromStr;

/// A SASL mechanism, in order of strength. Channel binding comes before the better hash: it keeps out whoever
/// sits between client and server, which a hash does not.
///
/// ```
/// use nexthop::proto::Mechanism;
///
/// assert_eq!("scram-sha-256".parse(), Ok(Mechanism::ScramSha256));
/// assert_eq!(Mechanism::ScramSha256.to_string(), "SCRAM-SHA-256");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// SCRAM with SHA-256, bound to the TLS session (RFC 7677).
    ScramSha256Plus,
    /// SCRAM with SHA-1, bound to the TLS session (RFC 5802).
    ScramSha1Plus,
    /// SCRAM with SHA-256 (RFC 7677).
    ScramSha256,
    /// SCRAM with SHA-1 (RFC 5802).
    ScramSha1,
    /// CRAM-MD5 (RFC 2195): weak, and the server proves nothing.
    CramMd5,
    /// PLAIN (RFC 4616): the server learns the password.
    Plain,
    /// LOGIN (draft-murchison-sasl-login): the same in two steps.
    Login,
    /// OAUTHBEARER (RFC 7628): the server learns the token.
    OAuthBearer,
    /// XOAUTH2: the older form of the same.
    XOAuth2,
    /// EXTERNAL (RFC 4422 appendix A).
    External,
}

impl Mechanism {
    /// All of them, strongest first.
    pub const ALL: [Self; 10] = [
        Self::ScramSha256Plus,
        Self::ScramSha1Plus,
        Self::ScramSha256,
        Self::ScramSha1,
        Self::CramMd5,
        Self::Plain,
        Self::Login,
        Self::OAuthBearer,
        Self::XOAuth2,
        Self::External,
    ];

    /// The name in the registry of the IANA.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::CramMd5 => "CRAM-MD5",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
            Self::External => "EXTERNAL",
        }
    }

    /// Whether it is bound to the TLS session.
    pub fn is_bound(self) -> bool {
        matches!(self, Self::ScramSha256Plus | Self::ScramSha1Plus)
    }

    /// Whether the server learns the password or the token.
    pub fn is_plaintext(self) -> bool {
        matches!(self, Self::Plain | Self::Login | Self::OAuthBearer | Self::XOAuth2)
    }

    /// Returns the same mechanism without channel binding, or `None` if this one has no channel binding.
    pub(crate) fn unbound(self) -> Option<Self> {
        match self {
            Self::ScramSha256Plus => Some(Self::ScramSha256),
            Self::ScramSha1Plus => Some(Self::ScramSha1),
            _ => None,
        }
    }

    /// The bound form of the same mechanism.
    pub(super) fn bound(self) -> Option<Self> {
        match self {
            Self::ScramSha256 => Some(Self::ScramSha256Plus),
            Self::ScramSha1 => Some(Self::ScramSha1Plus),
            _ => None,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of the [`Mechanism`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SASL mechanism that is not known")]
#[non_exhaustive]
pub struct UnknownMechanism;

/// By name, in upper or lower case (RFC 4422 section 3.1 has upper case only).
impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        let same = |mechanism: &Self| mechanism.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(same).ok_or(UnknownMechanism)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for mechanism in Mechanism::ALL {
            assert_eq!(mechanism.to_string().to_lowercase().parse(), Ok(mechanism));
        }
        assert_eq!("SCRAM-SHA-512".parse::<Mechanism>(), Err(UnknownMechanism));
    }

    #[test]
    fn check_202_declared_in_the_order_of_strength() {
        let places = Mechanism::ALL.map(|mechanism| mechanism as usize);
        assert_eq!(places, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
