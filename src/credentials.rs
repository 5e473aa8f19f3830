//! [`CredentialProvider`]: who the client is at a relay.

use std::error::Error;
use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::proto::Credentials;
use crate::route::NextHop;

/// Gives the credentials for a relay. Every delivery asks anew for each address of it, before that is dialled or a
/// connection that is kept is used, so that a token can be fresh; a connection is used again only for equal credentials.
/// Never asked for mail exchangers: nobody logs in to a stranger.
///
/// # Contract
/// `None`: the client does not log in there. An error defers the recipients; nothing is sent to the relay.
/// When the future is dropped nothing is left behind.
///
/// # Implementing
/// ```
/// use nexthop::{CredentialError, CredentialProvider, CredentialRequest, Credentials, HopTarget};
///
/// #[derive(Debug)]
/// struct OneRelay;
///
/// #[async_trait::async_trait]
/// impl CredentialProvider for OneRelay {
///     async fn credentials(&self, request: &CredentialRequest<'_>) -> Result<Option<Credentials>, CredentialError> {
///         match request.hop.target() {
///             HopTarget::Tcp { host, .. } if host.to_string() == "relay.example" => {
///                 Ok(Some(Credentials::password("ann", "s3cret")))
///             }
///             _ => Ok(None),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait CredentialProvider: Debug + Send + Sync + 'static {
    /// The credentials for a relay.
    async fn credentials(
        &self,
        request: &CredentialRequest<'_>,
    ) -> Result<Option<Credentials>, CredentialError>;
}

/// What a [`CredentialProvider`] is asked.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CredentialRequest<'a> {
    /// The relay, as the route names it.
    pub hop: &'a NextHop,
}

impl<'a> CredentialRequest<'a> {
    /// A request.
    pub fn new(hop: &'a NextHop) -> Self {
        Self { hop }
    }
}

/// Why a provider has no answer.
#[derive(Debug, thiserror::Error)]
#[error("no credentials are to be had")]
pub struct CredentialError(#[source] Box<dyn Error + Send + Sync>);

impl CredentialError {
    /// An error with its cause, which must not hold a secret.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl From<Box<dyn Error + Send + Sync>> for CredentialError {
    fn from(source: Box<dyn Error + Send + Sync>) -> Self {
        Self(source)
    }
}

/// The same credentials for every relay.
#[derive(Debug, Clone)]
pub struct StaticCredentials(Credentials);

impl StaticCredentials {
    /// Gives these.
    pub fn new(credentials: Credentials) -> Self {
        Self(credentials)
    }
}

#[async_trait]
impl CredentialProvider for StaticCredentials {
    async fn credentials(
        &self,
        _request: &CredentialRequest<'_>,
    ) -> Result<Option<Credentials>, CredentialError> {
        Ok(Some(self.0.clone()))
    }
}

/// A secret that is read anew for every connection; one final line end is not part of it.
#[derive(Debug, Clone)]
pub struct StoredCredentials {
    user: String,
    store: Store,
    use_as: UseAs,
}

#[derive(Debug, Clone)]
enum Store {
    File(PathBuf),
    Environment(String),
}

#[derive(Debug, Clone, Copy)]
enum UseAs {
    Password,
    Token,
}

impl StoredCredentials {
    /// A user's password in a file.
    pub fn password_file(user: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { user: user.into(), store: Store::File(path.into()), use_as: UseAs::Password }
    }

    /// A user's password in a variable of the environment.
    pub fn password_variable(user: impl Into<String>, name: impl Into<String>) -> Self {
        Self { user: user.into(), store: Store::Environment(name.into()), use_as: UseAs::Password }
    }

    /// A user's bearer token in a file (RFC 7628).
    pub fn token_file(user: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { user: user.into(), store: Store::File(path.into()), use_as: UseAs::Token }
    }

    /// A user's bearer token in a variable of the environment (RFC 7628).
    pub fn token_variable(user: impl Into<String>, name: impl Into<String>) -> Self {
        Self { user: user.into(), store: Store::Environment(name.into()), use_as: UseAs::Token }
    }

    async fn read(&self) -> Result<Zeroizing<String>, CredentialError> {
        let read = match &self.store {
            Store::File(path) => {
                tokio::fs::read_to_string(path).await.map_err(|error| self.unreadable(error))
            }
            Store::Environment(name) => std::env::var(name).map_err(|error| self.unreadable(error)),
        };
        read.map(Zeroizing::new)
    }

    fn unreadable(&self, error: impl fmt::Display) -> CredentialError {
        CredentialError::new(match &self.store {
            Store::File(path) => format!("cannot read {}: {error}", path.display()),
            // what std says of a variable that is not Unicode shows its value
            Store::Environment(name) => format!("cannot read the variable {name}"),
        })
    }
}

#[async_trait]
impl CredentialProvider for StoredCredentials {
    async fn credentials(
        &self,
        _request: &CredentialRequest<'_>,
    ) -> Result<Option<Credentials>, CredentialError> {
        let text = self.read().await?;
        let secret =
            text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        Ok(Some(match self.use_as {
            UseAs::Password => Credentials::password(&self.user, secret),
            UseAs::Token => Credentials::token(&self.user, secret),
        }))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: CredentialProvider + ?Sized> CredentialProvider for Arc<T> {
    async fn credentials(
        &self,
        request: &CredentialRequest<'_>,
    ) -> Result<Option<Credentials>, CredentialError> {
        (**self).credentials(request).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: CredentialProvider + ?Sized> CredentialProvider for Box<T> {
    async fn credentials(
        &self,
        request: &CredentialRequest<'_>,
    ) -> Result<Option<Credentials>, CredentialError> {
        (**self).credentials(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(credentials: StoredCredentials) -> Result<Option<Credentials>, CredentialError> {
        let hop = "smtps://relay.example".parse().unwrap();
        credentials.credentials(&CredentialRequest::new(&hop)).await
    }

    #[tokio::test]
    async fn a_file_is_read_for_every_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let stored = StoredCredentials::password_file("ann", &path);
        assert!(read(stored.clone()).await.unwrap_err().source().unwrap().to_string().contains("secret"));
        for (content, secret) in
            [("one\n", "one"), ("two\r\n", "two"), (" three ", " three "), ("four\n\n", "four\n")]
        {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(stored.clone()).await.unwrap(), Some(Credentials::password("ann", secret)));
        }
        let token = StoredCredentials::token_file("ann", &path);
        assert_eq!(read(token).await.unwrap(), Some(Credentials::token("ann", "four\n")));
    }

    #[tokio::test]
    async fn a_missing_variable_is_an_error() {
        let stored = StoredCredentials::password_variable("ann", "NEXTHOP_NO_SUCH_VARIABLE");
        assert!(read(stored).await.is_err());
    }
}
