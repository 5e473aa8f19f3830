//! How a hop is secured, as far as the operator says it.

use std::fmt;

/// What a connection to a hop must prove before mail goes over it. Ordered: each level proves more than those
/// before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum TlsLevel {
    /// TLS is not used.
    Off,
    /// TLS where the server offers it, whatever its certificate says; cleartext where it does not
    /// (RFC 7435).
    #[default]
    Opportunistic,
    /// TLS, whatever the certificate says. Protects against listeners, not against impostors.
    Required,
    /// TLS with a certificate for the name of the host, from an issuer that is trusted (RFC 9525).
    Verified,
}

/// `off`, `opportunistic`, `required`, `verified`.
impl fmt::Display for TlsLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Opportunistic => "opportunistic",
            Self::Required => "required",
            Self::Verified => "verified",
        })
    }
}

/// A word that is no [`TlsLevel`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of off, opportunistic, required, verified")]
pub struct TlsLevelError(String);

impl std::str::FromStr for TlsLevel {
    type Err = TlsLevelError;

    fn from_str(text: &str) -> Result<Self, TlsLevelError> {
        let levels = [Self::Off, Self::Opportunistic, Self::Required, Self::Verified];
        let found = levels.into_iter().find(|level| level.to_string() == text);
        found.ok_or_else(|| TlsLevelError(text.to_owned()))
    }
}

/// How TLS begins on a hop, and the least that it must prove there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum HopTls {
    /// By STARTTLS, at the level of the settings.
    #[default]
    Configured,
    /// By STARTTLS (RFC 3207), at this level at least.
    StartTls(TlsLevel),
    /// From the first octet (RFC 8314 section 3.3), at this level at least.
    Immediate(TlsLevel),
}
