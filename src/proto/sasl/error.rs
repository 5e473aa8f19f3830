//! [`SaslError`]: why the client gave an exchange up.

use super::mechanism::Mechanism;

/// Why the client gave an authentication up; the server did not refuse it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaslError {
    /// The credentials cannot be sent as they are. Nothing was sent.
    #[error("the credentials cannot be used")]
    Credentials(#[from] CredentialsError),
    /// A challenge that is not base64 (RFC 4954 section 4).
    #[error("a challenge of the server is not base64")]
    NotBase64,
    /// A challenge beyond [`SaslLimits::max_challenge`](super::SaslLimits::max_challenge).
    #[error("a challenge of the server is too long")]
    ChallengeTooLong,
    /// A response beyond 12 288 octets (RFC 4954 section 4).
    #[error("the response is too long to be sent")]
    ResponseTooLong,
    /// More challenges than [`SaslLimits::max_rounds`](super::SaslLimits::max_rounds).
    #[error("the server does not come to an end with its challenges")]
    TooManyRounds,
    /// A challenge where the mechanism has none.
    #[error("a challenge of the server that the mechanism does not have")]
    UnexpectedChallenge,
    /// A challenge without the form that the mechanism gives it.
    #[error("a challenge of the server is malformed")]
    MalformedChallenge,
    /// A nonce that does not begin with the client's own (RFC 5802 section 5.1).
    #[error("the nonce of the server does not extend the client's")]
    ForeignNonce,
    /// An extension that the client must know and does not (RFC 5802 section 5.1).
    #[error("the server demands an extension that is not known")]
    MandatoryExtension,
    /// Too few rounds of PBKDF2, or too many: see [`SaslLimits`](super::SaslLimits).
    #[error("the server asks for {0} iterations, which is out of bounds")]
    Iterations(u32),
    /// The server did not show that it knows the password (RFC 5802 section 3).
    #[error("the signature of the server is wrong")]
    WrongSignature,
    /// The server said that all is well before everything was said and proved.
    #[error("the server reported success before the exchange was complete")]
    Premature,
}

/// Why credentials cannot be sent. Names the part and shows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A part that is empty, or has nothing but characters that SASLprep drops (RFC 4013 section 2.1).
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// A part with a character that SASLprep prohibits (RFC 4013 section 2.3), or that would be read as the
    /// end of the part.
    #[error("the {0} has a character that cannot be sent")]
    Prohibited(&'static str),
    /// The mechanism cannot carry these credentials.
    #[error("{0} does not take such credentials")]
    Unsuited(Mechanism),
}
