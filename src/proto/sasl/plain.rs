//! Mechanisms that show the server what they have: PLAIN, LOGIN, EXTERNAL, OAUTHBEARER, XOAUTH2.

use super::error::{CredentialsError, SaslError};
use super::exchange::{Exchange, SaslTerms};
use super::prepare::{identity, prepared, saslname, token};
use super::secret::SecretOctets;

/// A mechanism of one message of the client. Where the server answers it with a complaint, that is answered
/// too, so that the refusal can follow.
#[derive(Debug)]
pub(super) struct OneMessage {
    message: Option<SecretOctets>,
    /// What is said to a complaint; `None` where the mechanism has none.
    consolation: Option<&'static [u8]>,
    complaint: Option<Vec<u8>>,
}

impl OneMessage {
    /// RFC 4616 section 2: authorization identity, NUL, user, NUL, password.
    pub(super) fn plain(
        authorization: Option<&str>,
        user: &str,
        password: &str,
    ) -> Result<Self, CredentialsError> {
        let identity = acting_as(authorization)?;
        let (user, password) = (prepared(user, USER)?, prepared(password, PASSWORD)?);
        let parts = [identity, "\0", user.expose(), "\0", password.expose()];
        Ok(Self::new(&parts, None))
    }

    /// RFC 4422 appendix A: the authorization identity, or nothing.
    pub(super) fn external(authorization: Option<&str>) -> Result<Self, CredentialsError> {
        Ok(Self::new(&[acting_as(authorization)?], None))
    }

    /// RFC 7628 section 3.1. A complaint is answered with `%x01` (section 3.2.3).
    pub(super) fn oauth_bearer(
        user: Option<&str>,
        text: &str,
        terms: &SaslTerms<'_>,
    ) -> Result<Self, CredentialsError> {
        let name = user.map(|user| identity(user, USER)).transpose()?.map(saslname);
        let name = name.map(|name| format!("a={name}")).unwrap_or_default();
        let host = terms.host.map(|host| identity(host, "host name")).transpose()?;
        let host = host.map(|host| format!("host={host}\x01")).unwrap_or_default();
        let port = terms.port.map(|port| format!("port={port}\x01")).unwrap_or_default();
        let parts = ["n,", &name, ",\x01", &host, &port, "auth=Bearer ", token(text)?, "\x01\x01"];
        Ok(Self::new(&parts, Some(b"\x01")))
    }

    /// As its providers document it. A complaint is answered with nothing.
    pub(super) fn xoauth2(user: &str, text: &str) -> Result<Self, CredentialsError> {
        let parts = ["user=", identity(user, USER)?, "\x01auth=Bearer ", token(text)?, "\x01\x01"];
        Ok(Self::new(&parts, Some(b"")))
    }

    fn new(parts: &[&str], consolation: Option<&'static [u8]>) -> Self {
        Self { message: Some(join(parts)), consolation, complaint: None }
    }
}

impl Exchange for OneMessage {
    fn initial(&mut self) -> Option<SecretOctets> {
        self.message.take()
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<SecretOctets, SaslError> {
        let consolation = self.consolation.take().ok_or(SaslError::UnexpectedChallenge)?;
        self.complaint = Some(challenge.to_vec());
        Ok(SecretOctets::join(&[consolation]))
    }

    /// The only possible challenge is a complaint, which is only shown.
    fn reads_challenge(&self) -> bool {
        false
    }

    fn is_complete(&self) -> bool {
        self.message.is_none() && self.complaint.is_none()
    }

    fn complaint(&self) -> Option<&[u8]> {
        self.complaint.as_deref()
    }
}

/// LOGIN: user, then password, whatever the server asks (draft-murchison-sasl-login).
#[derive(Debug)]
pub(super) struct Login {
    /// What is still to be said, the next at the end.
    answers: Vec<SecretOctets>,
}

impl Login {
    pub(super) fn new(user: &str, password: &str) -> Result<Self, CredentialsError> {
        let (user, password) = (prepared(user, USER)?, prepared(password, PASSWORD)?);
        Ok(Self { answers: vec![join(&[password.expose()]), join(&[user.expose()])] })
    }
}

impl Exchange for Login {
    fn initial(&mut self) -> Option<SecretOctets> {
        None
    }

    fn answer(&mut self, _prompt: &[u8]) -> Result<SecretOctets, SaslError> {
        self.answers.pop().ok_or(SaslError::UnexpectedChallenge)
    }

    fn reads_challenge(&self) -> bool {
        false
    }

    fn is_complete(&self) -> bool {
        self.answers.is_empty()
    }
}

pub(super) const USER: &str = "user name";
pub(super) const PASSWORD: &str = "password";

/// The authorization identity; none is the empty one.
pub(super) fn acting_as(authorization: Option<&str>) -> Result<&str, CredentialsError> {
    authorization.map_or(Ok(""), |text| identity(text, "authorization identity"))
}

fn join(parts: &[&str]) -> SecretOctets {
    let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
    SecretOctets::join(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::sasl::{Credentials, MechanismSet, Nonce, SaslLimits};

    fn first(exchange: Result<OneMessage, CredentialsError>) -> String {
        String::from_utf8(exchange.unwrap().initial().unwrap().to_vec()).unwrap()
    }

    fn bearer(user: Option<&str>, host: Option<&str>, port: Option<u16>) -> OneMessage {
        let (credentials, nonce) = (Credentials::external(), Nonce::of("n"));
        let (offered, limits) = (MechanismSet::default(), SaslLimits::default());
        let terms = SaslTerms {
            credentials: &credentials,
            offered,
            binding: None,
            nonce: &nonce,
            host,
            port,
            limits,
        };
        OneMessage::oauth_bearer(user, "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", &terms).unwrap()
    }

    #[test]
    fn check_190_the_examples_of_rfc_4616() {
        assert_eq!(first(OneMessage::plain(None, "tim", "tanstaaftanstaaf")), "\0tim\0tanstaaftanstaaf");
        assert_eq!(first(OneMessage::plain(Some("Ursel"), "Kurt", "xipj3plmq")), "Ursel\0Kurt\0xipj3plmq");
    }

    #[test]
    fn check_189_no_part_can_hold_a_separator() {
        for (authorization, user, password) in [("a\0b", "u", "p"), ("a", "u\0", "p"), ("a", "u", "\0p")] {
            assert!(OneMessage::plain(Some(authorization), user, password).is_err());
            assert!(Login::new(user, password).is_err() || authorization != "a");
        }
        assert!(OneMessage::xoauth2("u\x01auth=Bearer x", "t").is_err());
        assert!(OneMessage::external(Some("")).is_err(), "the empty identity is said by none");
    }

    #[test]
    fn check_199_the_example_of_rfc_7628() {
        let message = first(Ok(bearer(Some("user@example.com"), Some("server.example.com"), Some(587))));
        let wanted = "n,a=user@example.com,\x01host=server.example.com\x01port=587\x01\
                      auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        assert_eq!(message, wanted);
    }

    #[test]
    fn check_199_what_is_not_known_is_left_out() {
        let message = first(Ok(bearer(None, None, None)));
        assert_eq!(message, "n,,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01");
        assert!(first(Ok(bearer(Some("a,b=c"), None, None))).starts_with("n,a=a=2Cb=3Dc,\x01auth="));
    }

    #[test]
    fn check_199_a_complaint_is_answered_once_and_success_is_not_believed_then() {
        let mut exchange = bearer(None, None, None);
        exchange.initial();
        assert!(exchange.is_complete());
        assert_eq!(&exchange.answer(b"{}").unwrap()[..], b"\x01");
        assert_eq!((exchange.is_complete(), exchange.complaint()), (false, Some(&b"{}"[..])));
        assert_eq!(exchange.answer(b"").unwrap_err(), SaslError::UnexpectedChallenge);
    }

    #[test]
    fn check_200_the_message_of_xoauth2() {
        let mut exchange = OneMessage::xoauth2("someuser@example.com", "ya29.vF9dft4").unwrap();
        let message = exchange.initial().unwrap();
        assert_eq!(&message[..], b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4\x01\x01");
        assert_eq!(&exchange.answer(b"{}").unwrap()[..], b"");
    }

    #[test]
    fn check_191_login_answers_in_order() {
        let mut login = Login::new("tim", "secret").unwrap();
        assert!(login.initial().is_none());
        assert_eq!(&login.answer(b"Password:").unwrap()[..], b"tim");
        assert!(!login.is_complete());
        assert_eq!(&login.answer(b"").unwrap()[..], b"secret");
        assert!(login.is_complete());
        assert_eq!(login.answer(b"").unwrap_err(), SaslError::UnexpectedChallenge);
    }
}
