//! [`Secret`] and [`SecretOctets`]: what nobody is to see, and what is overwritten when it is dropped.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password or a token. Its memory is overwritten when it is dropped, comparing two takes the same time
/// wherever they differ, [`Debug`](fmt::Debug) shows nothing of it, and there is no `Display`.
///
/// ```
/// use nexthop::proto::Secret;
///
/// assert_eq!(format!("{:?}", Secret::new("s3cret")), "Secret(***)");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; a copy that the caller keeps is the caller's to overwrite.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Octets made of a secret: a response, a key. Built in one allocation, so that no shorter copy stays behind.
#[derive(Clone, Default)]
pub(crate) struct SecretOctets(Zeroizing<Vec<u8>>);

impl SecretOctets {
    /// The parts one behind the other.
    pub(crate) fn join(parts: &[&[u8]]) -> Self {
        Self(Zeroizing::new(parts.concat()))
    }
}

impl From<Vec<u8>> for SecretOctets {
    fn from(octets: Vec<u8>) -> Self {
        Self(Zeroizing::new(octets))
    }
}

impl Deref for SecretOctets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for SecretOctets {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretOctets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_201_debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(***)");
        assert_eq!(format!("{:?}", SecretOctets::join(&[b"hunter", b"2"])), "***");
    }

    #[test]
    fn secrets_are_equal_if_their_texts_are() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }
}
