//! [`Answer`]: what a resolver says.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::mail::DnsName;

/// The records of one kind at the end of a name's alias chain.
///
/// Empty `records`: the name exists, records of this kind do not (NODATA, RFC 2308 section 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer<T> {
    /// The records, in the order of the response; shared, so that a clone is cheap.
    pub records: Arc<[T]>,
    /// The name the alias chain ends in; the name asked for if it is no alias.
    pub canonical_name: DnsName,
    /// What DNSSEC proved.
    pub security: Security,
    /// Until when the answer may be kept; `None`: not beyond its use.
    pub valid_until: Option<Instant>,
}

impl<T> Answer<T> {
    /// Records found at a name, not proved by DNSSEC and not to be kept.
    pub fn new(canonical_name: DnsName, records: impl Into<Arc<[T]>>) -> Self {
        Self { records: records.into(), canonical_name, security: Security::NONE, valid_until: None }
    }

    /// The answer with what DNSSEC proved of it.
    #[must_use]
    pub fn with_security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// The answer with the time until which it may be kept.
    #[must_use]
    pub fn with_valid_until(mut self, valid_until: Instant) -> Self {
        self.valid_until = Some(valid_until);
        self
    }
}

/// What DNSSEC proved of an answer (RFC 7672 section 2.2.2). Not proved is not bogus: that is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Security {
    /// The first step is proved: the alias at the name asked for, or the records (or their absence) if it is no alias.
    pub first_step_secure: bool,
    /// Every step is proved: all aliases, and the records or their absence at the end.
    pub chain_secure: bool,
}

impl Security {
    /// Nothing is proved.
    pub const NONE: Self = Self { first_step_secure: false, chain_secure: false };
    /// The alias at the name asked for is proved, something behind it is not.
    pub const FIRST_STEP: Self = Self { first_step_secure: true, chain_secure: false };
    /// Everything is proved.
    pub const CHAIN: Self = Self { first_step_secure: true, chain_secure: true };
}

/// `secure`, `secure up to the first alias` or `insecure`.
impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.chain_secure, self.first_step_secure) {
            (true, _) => "secure",
            (false, true) => "secure up to the first alias",
            (false, false) => "insecure",
        })
    }
}
