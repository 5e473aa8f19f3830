//! [`Pattern`]: which recipients a rule is for.

use std::str::FromStr;

use crate::mail::{Domain, DomainError, Mailbox, MailboxError};

/// Which recipients a rule of a [`RouteTable`](super::RouteTable) is for.
///
/// The text form is `user@domain`, `domain`, `*.domain` or `*`; domains may be in U-labels.
///
/// ```
/// use nexthop::{Domain, Pattern};
///
/// let pattern: Pattern = "*.Bücher.example".parse().unwrap();
/// assert_eq!(pattern, Pattern::Subdomains(Domain::parse("xn--bcher-kva.example").unwrap()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pattern {
    /// One mailbox: the local part exactly, the domain in any case (RFC 5321 section 2.4).
    Mailbox(Mailbox),
    /// All mailboxes of a domain, not those of its subdomains.
    Domain(Domain),
    /// All mailboxes of all domains below this one, at any depth, not its own.
    Subdomains(Domain),
    /// Every recipient, address literals and the `Postmaster` without a domain included.
    Any,
}

/// Why a text is not a pattern. The message shows the text, escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// What has an `@` is not a mailbox.
    #[error(transparent)]
    Mailbox(#[from] MailboxError),
    /// An `*` as local part would be that very mailbox, and nobody means it: `domain` is for all its mailboxes.
    #[error("write the domain alone for all of its mailboxes: {text:?}")]
    AnyLocalPart {
        /// The pattern.
        text: String,
    },
    /// What has no `@` is neither `*` nor a domain.
    #[error("not a pattern for recipients: {text:?}")]
    Domain {
        /// The pattern.
        text: String,
        /// What is wrong with the domain.
        #[source]
        reason: DomainError,
    },
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let domain =
            |name| Domain::parse(name).map_err(|reason| PatternError::Domain { text: text.into(), reason });
        match text {
            "*" => Ok(Self::Any),
            _ if text.starts_with("*@") => Err(PatternError::AnyLocalPart { text: text.into() }),
            _ if text.contains('@') => Ok(Self::Mailbox(Mailbox::parse(text)?)),
            _ => match text.strip_prefix("*.") {
                Some(parent) => domain(parent).map(Self::Subdomains),
                None => domain(text).map(Self::Domain),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn the_four_forms() {
        assert_eq!(pattern("*"), Pattern::Any);
        assert_eq!(pattern("example.org"), Pattern::Domain(domain("example.org")));
        assert_eq!(pattern("*.example.org"), Pattern::Subdomains(domain("example.org")));
        assert_eq!(pattern("Ann@example.org"), Pattern::Mailbox(Mailbox::parse("Ann@example.org").unwrap()));
    }

    #[test]
    fn check_068_patterns_are_equal_by_their_a_labels() {
        for (one, other) in [
            ("BÜCHER.example.", "xn--bcher-kva.example"),
            ("*.BÜCHER.example", "*.xn--bcher-kva.example"),
            ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ] {
            assert_eq!(pattern(one), pattern(other));
        }
    }

    #[test]
    fn errors_show_the_pattern() {
        for text in ["a b", "*.", "**", "*.*.example", "x.*", "user@*", "*@example.org", "192.0.2.1"] {
            let message = text.parse::<Pattern>().expect_err(text).to_string();
            let part = text.strip_prefix("user@").unwrap_or(text);
            assert!(message.contains(part), "{text:?}: {message}");
        }
        assert!("".parse::<Pattern>().is_err());
    }
}
