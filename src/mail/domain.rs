//! Names: [`DnsName`], what can be looked up, and [`Domain`], what may stand right of an `@`.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// Octets of a label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;
/// ASCII characters that a domain must not contain: all but letters, digits, hyphens, underscores and dots.
const DENIED: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");
/// Octets of a name in text form without the final dot (RFC 1035 section 2.3.4: 255 on the wire).
const MAX_NAME: usize = 253;

/// Why a text is not a domain or host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// Nothing, or nothing between two dots.
    #[error("a label is empty")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("a label is longer than 63 octets")]
    LabelTooLong,
    /// More than 253 octets, as A-labels.
    #[error("the name is longer than 253 octets")]
    TooLong,
    /// A character that is not allowed, or a hyphen at the edge of a label. In a [`ClientName`](crate::ClientName) also
    /// an underscore.
    #[error("not a host name (letters, digits and inner hyphens)")]
    NotHostName,
    /// A label that IDNA does not allow, or an `xn--` label that stands for nothing.
    #[error("not a valid internationalized name")]
    Idna,
    /// The last label is a number: that is an address in some spelling, never a name.
    #[error("an address where a name is expected")]
    Numeric,
}

/// A name that can be asked of the DNS: A-labels, lower case, absolute, without the final dot.
///
/// Wider than [`Domain`]: labels may begin and end with a hyphen. Never empty.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName(Arc<str>);

impl DnsName {
    /// Reads an ASCII name; one final dot is dropped, letters become lower case.
    ///
    /// # Errors
    /// An empty or overlong label or name, an octet that is neither letter, digit, hyphen nor underscore,
    /// a name whose last label is a number (check 082: it is an address, and no address is a name).
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.len() > MAX_NAME {
            return Err(DomainError::TooLong);
        }
        text.split('.').try_for_each(|label| match label.len() {
            0 => Err(DomainError::EmptyLabel),
            1..=MAX_LABEL if label.bytes().all(is_name_octet) => Ok(()),
            1..=MAX_LABEL => Err(DomainError::NotHostName),
            _ => Err(DomainError::LabelTooLong),
        })?;
        if last_label_is_number(text) {
            return Err(DomainError::Numeric);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The name with labels put in front, as `_25._tcp` before a host or `_mta-sts` before a domain.
    ///
    /// # Errors
    /// The result is not a name that [`DnsName::parse`] takes.
    pub fn prefixed(&self, labels: &str) -> Result<Self, DomainError> {
        Self::parse(&format!("{labels}.{self}"))
    }

    /// The name without its final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `localhost` or lies below it (RFC 6761 section 6.3).
    pub fn is_localhost(&self) -> bool {
        matches!(self.0.strip_suffix("localhost"), Some("")) || self.0.ends_with(".localhost")
    }
}

impl From<Domain> for DnsName {
    fn from(domain: Domain) -> Self {
        domain.0
    }
}

impl FromStr for DnsName {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse(text)
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A mail domain (RFC 5321 section 2.3.5): A-labels of letters, digits and hyphens, lower case, no final dot.
///
/// Underscores are accepted too, although RFC 5321 does not allow them: some domains that receive mail have them. A
/// [`ClientName`](crate::ClientName) must not contain any.
///
/// U-labels are converted once, here; whoever holds a `Domain` needs to know nothing about IDNA.
///
/// ```
/// use nexthop::Domain;
///
/// let domain = Domain::parse("Bücher.Example.").unwrap();
/// assert_eq!(domain.as_str(), "xn--bcher-kva.example");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(DnsName);

impl Domain {
    /// Reads a domain in A-labels, U-labels or a mixture; case and one final dot do not matter.
    ///
    /// # Errors
    /// Not a host name by RFC 5321 section 2.3.5 (underscores apart), too long (as A-labels), or invalid by UTS 46 and
    /// RFC 5891.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let plain = text.is_ascii() && !text.split('.').any(starts_like_a_label);
        if !plain {
            let ascii = Uts46::new()
                .to_ascii(text.as_bytes(), DENIED, Hyphens::CheckFirstLast, DnsLength::Ignore)
                .map_err(|_| DomainError::Idna)?;
            return Self::from_ascii(&ascii);
        }
        Self::from_ascii(text)
    }

    fn from_ascii(text: &str) -> Result<Self, DomainError> {
        let name = DnsName::parse(text)?;
        if text.ends_with('.') {
            return Err(DomainError::EmptyLabel);
        }
        let has_inner_hyphens_only =
            name.as_str().split('.').all(|label| !label.starts_with('-') && !label.ends_with('-'));
        has_inner_hyphens_only.then_some(Self(name)).ok_or(DomainError::NotHostName)
    }

    /// Returns `true` if labels consist of letters, digits and hyphens (RFC 5321 section 2.3.5).
    pub(crate) fn is_host_name(&self) -> bool {
        !self.as_str().contains('_')
    }

    /// Whether both are clones of one: equal without a look at the text.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.0, &other.0.0)
    }

    /// The domain in A-labels.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The domain as a name to look up.
    pub fn dns_name(&self) -> &DnsName {
        &self.0
    }

    /// Whether it has one label only, so that it is no name of the public DNS.
    pub fn is_single_label(&self) -> bool {
        !self.as_str().contains('.')
    }

    /// The domain above this one, if there is one.
    pub fn parent(&self) -> Option<&str> {
        self.as_str().split_once('.').map(|(_, parent)| parent)
    }
}

fn is_name_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_'
}

fn starts_like_a_label(label: &str) -> bool {
    label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"))
}

/// What URL parsers call an IPv4 number: decimal digits, or `0x` and hexadecimal ones.
fn last_label_is_number(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or(text);
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => last.bytes().all(|b| b.is_ascii_digit()),
    }
}

impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse(text)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_063_labels_and_names_have_their_lengths() {
        let label = "a".repeat(63);
        assert!(Domain::parse(&format!("{label}.example")).is_ok());
        assert_eq!(Domain::parse(&format!("{label}a.example")), Err(DomainError::LabelTooLong));
        let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        assert_eq!(longest.len(), 253);
        assert!(Domain::parse(&longest).is_ok());
        assert_eq!(Domain::parse(&format!("{longest}b")), Err(DomainError::TooLong));
        // the length after the conversion counts
        assert!(Domain::parse(&format!("{}.example", "ü".repeat(62))).is_err());
        for empty in ["", ".", "a..example", ".example", "example.."] {
            assert!(Domain::parse(empty).is_err(), "{empty:?}");
        }
    }

    #[test]
    fn check_068_case_and_final_dot_do_not_matter() {
        assert_eq!(Domain::parse("EX.com."), Domain::parse("ex.COM"));
        assert_eq!(Domain::parse("BÜCHER.example"), Domain::parse("xn--bcher-kva.example."));
    }

    #[test]
    fn check_147_invalid_internationalized_names_are_refused() {
        for bad in
            ["-ü.example", "ü\u{200d}.example", "xn--a.example", "\u{661}a\u{5d0}.example", "a b.example"]
        {
            assert!(Domain::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Domain::parse("bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
    }

    #[test]
    fn check_094_addresses_in_any_spelling_are_no_names() {
        for bad in ["127.0.0.1", "0177.1", "0x7f000001", "127.1", "2130706433", "1.2.3.0x4"] {
            assert_eq!(Domain::parse(bad), Err(DomainError::Numeric), "{bad:?}");
            assert_eq!(DnsName::parse(bad), Err(DomainError::Numeric), "{bad:?}");
        }
        assert!(Domain::parse("3com.example").is_ok());
    }

    #[test]
    fn underscores_are_accepted_beside_labels_of_every_kind() {
        assert_eq!(Domain::parse("A_b.example").unwrap().as_str(), "a_b.example");
        assert_eq!(Domain::parse("_a.Ü.example").unwrap().as_str(), "_a.xn--tda.example");
        assert!(Domain::parse("_a.ü_.example").is_ok());
        assert!(!Domain::parse("a_b.example").unwrap().is_host_name());
        for bad in ["a b.ü", "a*b.ü", "a<b.ü", "a@b.ü", "-_.ü", "a\0.ü"] {
            assert!(Domain::parse(bad).is_err(), "{bad:?}");
        }
        let host = DnsName::parse("MX.example").unwrap();
        assert_eq!(host.prefixed("_25._tcp").unwrap().as_str(), "_25._tcp.mx.example");
        assert!(host.prefixed("a b").is_err());
    }

    #[test]
    fn localhost_and_what_lies_below_it() {
        for (name, local) in
            [("localhost", true), ("LOCALHOST.", true), ("a.localhost", true), ("notlocalhost", false)]
        {
            assert_eq!(DnsName::parse(name).unwrap().is_localhost(), local, "{name}");
        }
    }
}
