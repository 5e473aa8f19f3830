//! [`Secured`]: what a TLS handshake proved. Only the connector makes one.

use std::fmt;

/// What a finished handshake proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secured {
    version: TlsVersion,
    proof: Proof,
    resumed: bool,
}

/// A version of TLS that is spoken (RFC 9325 section 3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// How a server proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Proof {
    /// It did not, or nobody asked.
    Unverified,
    /// By a certificate for its name from a trusted issuer.
    Pkix,
}

impl Secured {
    pub(crate) fn new(version: TlsVersion, proof: Proof, resumed: bool) -> Self {
        Self { version, proof, resumed }
    }

    /// The version of TLS.
    pub fn version(&self) -> TlsVersion {
        self.version
    }

    /// How the server proved who it is.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// Whether an earlier session was resumed (RFC 8446 section 2.2, RFC 5077).
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }
}

/// `TLSv1.2` or `TLSv1.3`.
impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "TLSv1.2",
            Self::V1_3 => "TLSv1.3",
        })
    }
}

/// `unverified` or `pkix`.
impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unverified => "unverified",
            Self::Pkix => "pkix",
        })
    }
}
