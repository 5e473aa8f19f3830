//! CRAM-MD5 (RFC 2195).

use super::error::{CredentialsError, SaslError};
use super::exchange::Exchange;
use super::hash::hmac_md5;
use super::plain::{PASSWORD, USER};
use super::prepare::prepared;
use super::secret::{Secret, SecretOctets};

/// Answers a challenge with a keyed digest of it. The server proves nothing.
#[derive(Debug)]
pub(super) struct CramMd5 {
    user: Secret,
    /// Until it was used.
    password: Option<Secret>,
}

impl CramMd5 {
    pub(super) fn new(user: &str, password: &str) -> Result<Self, CredentialsError> {
        Ok(Self { user: prepared(user, USER)?, password: Some(prepared(password, PASSWORD)?) })
    }
}

impl Exchange for CramMd5 {
    fn initial(&mut self) -> Option<SecretOctets> {
        None
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<SecretOctets, SaslError> {
        let password = self.password.take().ok_or(SaslError::UnexpectedChallenge)?;
        if !is_message_id(challenge) {
            return Err(SaslError::MalformedChallenge);
        }
        let digest = hmac_md5(password.expose().as_bytes(), challenge);
        let digits: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        Ok(SecretOctets::join(&[self.user.expose().as_bytes(), b" ", digits.as_bytes()]))
    }

    fn reads_challenge(&self) -> bool {
        true
    }

    fn is_complete(&self) -> bool {
        self.password.is_none()
    }
}

/// RFC 2195 section 2: the challenge has the form of a `msg-id`. So a server cannot have the digest of what
/// means something elsewhere.
fn is_message_id(challenge: &[u8]) -> bool {
    let inner = challenge.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">"));
    inner.is_some_and(|inner| inner.contains(&b'@') && inner.iter().all(u8::is_ascii_graphic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_192_the_example_of_rfc_2195() {
        let mut exchange = CramMd5::new("tim", "tanstaaftanstaaf").unwrap();
        let response = exchange.answer(b"<1896.697170952@postoffice.reston.mci.net>").unwrap();
        assert_eq!(&response[..], b"tim b913a602c7eda7a495b4e6e7334d3890");
        assert!(exchange.is_complete());
    }

    #[test]
    fn check_192_only_a_message_id_is_answered() {
        for challenge in [&b""[..], b"1896@x", b"<1896>", b"<18 96@x>", b"<18\n@x>", b"<1@x", b"<1@\xff>"] {
            let mut exchange = CramMd5::new("tim", "secret").unwrap();
            assert_eq!(exchange.answer(challenge).unwrap_err(), SaslError::MalformedChallenge);
        }
    }

    #[test]
    fn attack_a41_a_second_challenge_is_not_answered() {
        let mut exchange = CramMd5::new("tim", "secret").unwrap();
        exchange.answer(b"<1@x>").unwrap();
        assert_eq!(exchange.answer(b"<2@x>").unwrap_err(), SaslError::UnexpectedChallenge);
    }
}
