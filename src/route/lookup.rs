//! [`RelayLookup`]: how the name of a relay leads to its servers.

/// How the name of a relay leads to its servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RelayLookup {
    /// By its addresses: the name is that of the server.
    #[default]
    Addresses,
    /// By its MX records, as those of a domain (RFC 5321 section 5.1).
    Mx,
    /// By its SRV records (RFC 2782), which have the port as well. The scheme is the service that is asked for:
    /// `_submission._tcp` (RFC 6186 section 3.1), `_submissions._tcp` (RFC 8314 section 5.1), `_smtp._tcp`, `_smtps._tcp`,
    /// `_lmtp._tcp`, `_lmtps._tcp`.
    Srv,
}

/// The longest labels that are put in front of a name with [`RelayLookup::Srv`].
pub(super) const LONGEST_SERVICE: &str = "_submissions._tcp";

impl RelayLookup {
    /// What stands behind the scheme.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Addresses => "",
            Self::Mx => "+mx",
            Self::Srv => "+srv",
        }
    }
}
