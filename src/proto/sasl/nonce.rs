//! [`Nonce`]: the randomness of one exchange.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A nonce of a client. Every exchange needs a new one, of octets that nobody can foretell.
#[derive(Debug, Clone)]
pub(crate) struct Nonce(String);

impl Nonce {
    /// Random octets a nonce is made of.
    pub(crate) const OCTETS: usize = 18;

    /// From octets of a cryptographic source of randomness.
    pub(crate) fn new(random: [u8; Self::OCTETS]) -> Self {
        Self(STANDARD.encode(random))
    }

    /// A nonce of the examples.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Printable, without comma (RFC 5802 section 7).
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_193_all_of_the_randomness_is_in_the_nonce_and_no_comma() {
        let nonce = Nonce::new([0xFB; Nonce::OCTETS]);
        assert_eq!(STANDARD.decode(nonce.as_str()).unwrap(), [0xFB; 18]);
        assert!(!nonce.as_str().contains([',', '=']));
    }
}
