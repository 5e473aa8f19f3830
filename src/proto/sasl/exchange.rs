//! [`Exchange`]: what all mechanisms have in common, and how one is begun.

use std::fmt;

use super::channel_binding::ChannelBinding;
use super::cram_md5::CramMd5;
use super::credentials::Credentials;
use super::error::{CredentialsError, SaslError};
use super::limits::SaslLimits;
use super::mechanism::Mechanism;
use super::mechanism_set::MechanismSet;
use super::nonce::Nonce;
use super::plain::{Login, OneMessage};
use super::scram::Scram;
use super::secret::SecretOctets;

/// The client's side of one exchange.
pub(crate) trait Exchange: fmt::Debug + Send + Sync {
    /// What the client says first; `None` where the server begins. Asked once.
    fn initial(&mut self) -> Option<SecretOctets>;

    /// The response to a challenge. After an error there is nothing more to say.
    fn answer(&mut self, challenge: &[u8]) -> Result<SecretOctets, SaslError>;

    /// Returns `true` if the response depends on the content of the next challenge. Otherwise any challenge is accepted.
    fn reads_challenge(&self) -> bool;

    /// Whether everything was said, and proved where the mechanism has a proof, so that a success of the server
    /// may be believed.
    fn is_complete(&self) -> bool;

    /// What the server said was wrong, in its own octets.
    fn complaint(&self) -> Option<&[u8]> {
        None
    }
}

/// What an exchange is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SaslTerms<'a> {
    pub(crate) credentials: &'a Credentials,
    /// All that the latest EHLO offers, also what was tried before.
    pub(crate) offered: MechanismSet,
    pub(crate) binding: Option<&'a ChannelBinding>,
    /// A new one for every exchange.
    pub(crate) nonce: &'a Nonce,
    /// The name of the server, for OAUTHBEARER; `None` for a unix socket.
    pub(crate) host: Option<&'a str>,
    pub(crate) port: Option<u16>,
    pub(crate) limits: SaslLimits,
}

/// Begins an exchange.
///
/// # Errors
/// [`SaslError::Credentials`]: these cannot be sent, or not with this mechanism.
pub(crate) fn exchange(mechanism: Mechanism, terms: &SaslTerms<'_>) -> Result<Box<dyn Exchange>, SaslError> {
    let bindable = terms.binding.is_some() || !mechanism.is_bound();
    if !bindable || !terms.credentials.suit(mechanism) {
        return Err(CredentialsError::Unsuited(mechanism).into());
    }
    match terms.credentials {
        Credentials::Password { user, password, authorization } => {
            with_password(mechanism, terms, user, password.expose(), authorization.as_deref())
        }
        Credentials::Token { user, token } => with_token(mechanism, terms, user.as_deref(), token.expose()),
        Credentials::External { authorization } => {
            Ok(Box::new(OneMessage::external(authorization.as_deref())?))
        }
    }
}

fn with_password(
    mechanism: Mechanism,
    terms: &SaslTerms<'_>,
    user: &str,
    password: &str,
    authorization: Option<&str>,
) -> Result<Box<dyn Exchange>, SaslError> {
    Ok(match mechanism {
        Mechanism::CramMd5 => Box::new(CramMd5::new(user, password)?),
        Mechanism::Plain => Box::new(OneMessage::plain(authorization, user, password)?),
        Mechanism::Login => Box::new(Login::new(user, password)?),
        scram => Box::new(Scram::new(scram, terms, user, password, authorization)?),
    })
}

fn with_token(
    mechanism: Mechanism,
    terms: &SaslTerms<'_>,
    user: Option<&str>,
    token: &str,
) -> Result<Box<dyn Exchange>, SaslError> {
    Ok(match (mechanism, user) {
        (Mechanism::XOAuth2, Some(user)) => Box::new(OneMessage::xoauth2(user, token)?),
        _ => Box::new(OneMessage::oauth_bearer(user, token, terms)?),
    })
}
