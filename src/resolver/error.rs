//! [`ResolveError`]: why there is no answer.

use std::error::Error;
use std::sync::Arc;

/// Why a question has no answer. What is no error: a name that exists without records of the kind asked
/// for, which is an empty [`Answer`](super::Answer).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name, or the last name of its alias chain, does not exist (NXDOMAIN, RFC 2308 section 2.1).
    ///
    /// The only one of the three that asking again will not change soon.
    #[error("no such name in the DNS")]
    NoSuchName,
    /// There is an answer, and it fails DNSSEC validation. It says nothing about the name: an attack or a
    /// mistake of the zone's keepers, to be asked again later (RFC 7672 section 2.1.1).
    #[error("the answer fails DNSSEC validation: {reason}")]
    #[non_exhaustive]
    Bogus {
        /// What was wrong with it, for people.
        reason: String,
    },
    /// No answer that could be used: silence, SERVFAIL, a malformed packet, a loop of aliases. To be asked again later.
    #[error("no usable answer from the DNS: {reason}")]
    #[non_exhaustive]
    Temporary {
        /// What went wrong, for people.
        reason: String,
        /// The error behind it, if there was one.
        #[source]
        source: Option<Arc<dyn Error + Send + Sync>>,
    },
}

impl ResolveError {
    /// An answer that fails DNSSEC validation.
    pub fn bogus(reason: impl Into<String>) -> Self {
        Self::Bogus { reason: reason.into() }
    }

    /// A failure that may pass.
    pub fn temporary(reason: impl Into<String>) -> Self {
        Self::Temporary { reason: reason.into(), source: None }
    }

    /// A failure that may pass, with the error that caused it.
    pub fn temporary_from(reason: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Temporary { reason: reason.into(), source: Some(Arc::new(source)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_the_source_and_not_in_the_text() {
        let error = ResolveError::temporary_from("no server answered", std::io::Error::other("cable cut"));
        assert_eq!(error.to_string(), "no usable answer from the DNS: no server answered");
        assert_eq!(error.source().unwrap().to_string(), "cable cut");
        assert!(ResolveError::temporary("late").source().is_none());
    }
}
