//! SCRAM (RFC 5802, RFC 7677).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::channel_binding::ChannelBinding;
use super::error::{CredentialsError, SaslError};
use super::exchange::{Exchange, SaslTerms};
use super::hash::Hash;
use super::limits::SaslLimits;
use super::mechanism::Mechanism;
use super::plain::{PASSWORD, USER, acting_as};
use super::prepare::{prepared, saslname};
use super::secret::{Secret, SecretOctets};

/// An exchange in which both sides prove that they know the password, and neither sends it.
///
/// PBKDF2 is computed where the exchange is driven: [`SaslLimits::max_iterations`] bounds it.
pub(super) struct Scram {
    hash: Hash,
    /// The GS2 header: what is said of channel binding, and as whom to act.
    header: String,
    /// The data of the channel; empty where it is not bound.
    binding: Vec<u8>,
    /// The first message without the header.
    bare: String,
    nonce: String,
    password: Secret,
    limits: SaslLimits,
    state: State,
}

enum State {
    /// The first message of the server is due.
    Begun,
    /// The proof was given, that of the server is due; this is what it has to be.
    Proved(SecretOctets),
    /// The server gave its proof.
    Verified,
    /// The server said what is wrong.
    Complained(Vec<u8>),
    /// Nothing is to be said any more.
    Failed,
}

impl Scram {
    pub(super) fn new(
        mechanism: Mechanism,
        terms: &SaslTerms<'_>,
        user: &str,
        password: &str,
        authorization: Option<&str>,
    ) -> Result<Self, CredentialsError> {
        let (user, password) = (prepared(user, USER)?, prepared(password, PASSWORD)?);
        let nonce = terms.nonce.as_str().to_owned();
        let bound = terms.binding.filter(|_| mechanism.is_bound());
        Ok(Self {
            hash: hash(mechanism),
            header: header(mechanism, terms, acting_as(authorization)?),
            binding: bound.map_or_else(Vec::new, |binding| binding.data().to_vec()),
            bare: format!("n={},r={nonce}", saslname(user.expose())),
            nonce,
            password,
            limits: terms.limits,
            state: State::Begun,
        })
    }

    /// Takes in the first message of the server and gives the proof (RFC 5802 section 3).
    fn prove(&mut self, challenge: &[u8]) -> Result<SecretOctets, SaslError> {
        let server_first = text(challenge)?;
        let first = ServerFirst::read(server_first)?;
        self.check(&first)?;
        let binding = STANDARD.encode([self.header.as_bytes(), &self.binding].concat());
        let without_proof = format!("c={binding},r={}", first.nonce);
        let message = format!("{},{server_first},{without_proof}", self.bare);

        let salted = self.hash.salted(self.password.expose().as_bytes(), &first.salt, first.iterations);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let signature = self.hash.hmac(&self.hash.digest(&client_key), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature.iter()).map(|(key, sign)| key ^ sign).collect();
        let server_key = self.hash.hmac(&salted, b"Server Key");
        self.state = State::Proved(self.hash.hmac(&server_key, message.as_bytes()));
        Ok(SecretOctets::join(&[without_proof.as_bytes(), b",p=", STANDARD.encode(proof).as_bytes()]))
    }

    fn check(&self, first: &ServerFirst<'_>) -> Result<(), SaslError> {
        let extended = first.nonce.strip_prefix(self.nonce.as_str()).is_some_and(|rest| !rest.is_empty());
        if !extended {
            return Err(SaslError::ForeignNonce);
        }
        let allowed = self.limits.min_iterations..=self.limits.max_iterations;
        match allowed.contains(&first.iterations) {
            true => Ok(()),
            false => Err(SaslError::Iterations(first.iterations)),
        }
    }

    /// Takes in the last message of the server. SMTP has no data with a success, so this is a challenge, and its
    /// answer is empty (RFC 4954 section 4).
    fn verify(&mut self, challenge: &[u8], expected: &[u8]) -> Result<SecretOctets, SaslError> {
        let first = text(challenge)?.split(',').next().unwrap_or_default();
        let signature = first.strip_prefix("v=").ok_or(SaslError::MalformedChallenge)?;
        let signature = STANDARD.decode(signature).map_err(|_| SaslError::MalformedChallenge)?;
        if !bool::from(signature.ct_eq(expected)) {
            return Err(SaslError::WrongSignature);
        }
        self.state = State::Verified;
        Ok(SecretOctets::default())
    }
}

impl Exchange for Scram {
    fn initial(&mut self) -> Option<SecretOctets> {
        Some(SecretOctets::join(&[self.header.as_bytes(), self.bare.as_bytes()]))
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<SecretOctets, SaslError> {
        let state = std::mem::replace(&mut self.state, State::Failed);
        let complaint = challenge.strip_prefix(b"e=").map(<[u8]>::to_vec);
        match (state, complaint) {
            (State::Begun | State::Proved(_), Some(complaint)) => {
                self.state = State::Complained(complaint);
                Ok(SecretOctets::default())
            }
            (State::Begun, None) => self.prove(challenge),
            (State::Proved(expected), None) => self.verify(challenge, &expected),
            (State::Verified | State::Complained(_) | State::Failed, _) => {
                Err(SaslError::UnexpectedChallenge)
            }
        }
    }

    fn reads_challenge(&self) -> bool {
        true
    }

    fn is_complete(&self) -> bool {
        matches!(self.state, State::Verified)
    }

    fn complaint(&self) -> Option<&[u8]> {
        match &self.state {
            State::Complained(complaint) => Some(complaint),
            _ => None,
        }
    }
}

/// Shows nothing: challenges and proofs together are enough to guess passwords.
impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scram").finish_non_exhaustive()
    }
}

fn hash(mechanism: Mechanism) -> Hash {
    match mechanism {
        Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => Hash::Sha1,
        _ => Hash::Sha256,
    }
}

/// RFC 5802 section 6: `p` if it is bound, `y` if it could be and the server offers no bound form at all, so
/// that a server which does offers one learns that its list was changed on the way; else `n`.
///
/// After a refusal of a bound form the flag is `n`: the server offers one, so it would have to reject `y`.
fn header(mechanism: Mechanism, terms: &SaslTerms<'_>, authorization: &str) -> String {
    let flag = match terms.binding {
        Some(_) if mechanism.is_bound() => format!("p={}", ChannelBinding::NAME),
        Some(_) if !terms.offered.iter().any(Mechanism::is_bound) => "y".to_owned(),
        _ => "n".to_owned(),
    };
    match authorization {
        "" => format!("{flag},,"),
        identity => format!("{flag},a={},", saslname(identity)),
    }
}

/// `r=…,s=…,i=…` and extensions, which are not looked at (RFC 5802 section 7).
struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> ServerFirst<'a> {
    fn read(message: &'a str) -> Result<Self, SaslError> {
        if message.split(',').any(|attribute| attribute.starts_with("m=")) {
            return Err(SaslError::MandatoryExtension);
        }
        let mut attributes = message.split(',');
        let mut next = |name| {
            let value = attributes.next().and_then(|attribute| attribute.strip_prefix(name));
            value.filter(|value| !value.is_empty()).ok_or(SaslError::MalformedChallenge)
        };
        let (nonce, salt, count) = (next("r=")?, next("s=")?, next("i=")?);
        let salt = STANDARD.decode(salt).map_err(|_| SaslError::MalformedChallenge)?;
        Ok(Self { nonce, salt, iterations: iterations(count)? })
    }
}

/// A number of any size; what is beyond 32 bits is beyond every limit.
fn iterations(digits: &str) -> Result<u32, SaslError> {
    match digits.bytes().all(|octet| octet.is_ascii_digit()) {
        true => Ok(digits.parse().unwrap_or(u32::MAX)),
        false => Err(SaslError::MalformedChallenge),
    }
}

fn text(challenge: &[u8]) -> Result<&str, SaslError> {
    std::str::from_utf8(challenge).map_err(|_| SaslError::MalformedChallenge)
}
