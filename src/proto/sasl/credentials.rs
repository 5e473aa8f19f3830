//! [`Credentials`]: who the client is, and how it shows that.

use super::mechanism::Mechanism;
use super::secret::Secret;

/// What a client identifies itself with. [`Debug`](std::fmt::Debug) shows names and no secret.
///
/// ```
/// use nexthop::proto::Credentials;
///
/// let credentials = Credentials::password("tester", "s3cret");
/// assert!(!format!("{credentials:?}").contains("s3cret"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Credentials {
    /// For SCRAM (RFC 5802, RFC 7677), CRAM-MD5 (RFC 2195), PLAIN (RFC 4616) and LOGIN.
    Password {
        /// Whose password it is.
        user: String,
        /// The password.
        password: Secret,
        /// As whom to act; `None`: as the user. CRAM-MD5 and LOGIN cannot say it and are not used with it.
        authorization: Option<String>,
    },
    /// A bearer token of OAuth 2.0, for OAUTHBEARER (RFC 7628) and XOAUTH2.
    Token {
        /// As whom to act. XOAUTH2 cannot do without it.
        user: Option<String>,
        /// The token.
        token: Secret,
    },
    /// What the connection itself shows, such as a client certificate (RFC 4422 appendix A).
    External {
        /// As whom to act; `None`: as the server derives it.
        authorization: Option<String>,
    },
}

impl Credentials {
    /// A user with a password.
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password { user: user.into(), password: Secret::new(password), authorization: None }
    }

    /// A bearer token of a user.
    pub fn token(user: impl Into<String>, token: impl Into<String>) -> Self {
        Self::Token { user: Some(user.into()), token: Secret::new(token) }
    }

    /// A bearer token that says itself whose it is.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Token { user: None, token: Secret::new(token) }
    }

    /// What the connection shows.
    pub fn external() -> Self {
        Self::External { authorization: None }
    }

    /// The same, to act as somebody else.
    #[must_use]
    pub fn acting_as(mut self, identity: impl Into<String>) -> Self {
        match &mut self {
            Self::Password { authorization, .. } | Self::External { authorization } => {
                *authorization = Some(identity.into());
            }
            Self::Token { user, .. } => *user = Some(identity.into()),
        }
        self
    }

    /// Whether the mechanism can carry everything that is in here.
    pub(super) fn suit(&self, mechanism: Mechanism) -> bool {
        match self {
            Self::Password { authorization, .. } => {
                takes_password(mechanism) && (authorization.is_none() || takes_authorization(mechanism))
            }
            Self::Token { user, .. } => match mechanism {
                Mechanism::OAuthBearer => true,
                Mechanism::XOAuth2 => user.is_some(),
                _ => false,
            },
            Self::External { .. } => mechanism == Mechanism::External,
        }
    }

    /// The password or the token.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Password { password: secret, .. } | Self::Token { token: secret, .. } => Some(secret),
            Self::External { .. } => None,
        }
    }
}

fn takes_password(mechanism: Mechanism) -> bool {
    !matches!(mechanism, Mechanism::OAuthBearer | Mechanism::XOAuth2 | Mechanism::External)
}

fn takes_authorization(mechanism: Mechanism) -> bool {
    !matches!(mechanism, Mechanism::CramMd5 | Mechanism::Login)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suited(credentials: &Credentials) -> String {
        let suited = Mechanism::ALL.into_iter().filter(|mechanism| credentials.suit(*mechanism));
        suited.map(|mechanism| mechanism.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn check_201_debug_shows_no_secret() {
        let shown = format!("{:?} {:?}", Credentials::password("u", "hunter2"), Credentials::bearer("ya29"));
        assert!(!shown.contains("hunter2") && !shown.contains("ya29"), "{shown}");
    }

    #[test]
    fn nothing_of_the_credentials_is_left_out() {
        const SCRAM: &str = "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1";
        let password = Credentials::password("u", "p");
        assert_eq!(suited(&password), format!("{SCRAM} CRAM-MD5 PLAIN LOGIN"));
        assert_eq!(suited(&password.acting_as("other")), format!("{SCRAM} PLAIN"));
        assert_eq!(suited(&Credentials::token("u", "t")), "OAUTHBEARER XOAUTH2");
        assert_eq!(suited(&Credentials::bearer("t")), "OAUTHBEARER");
        assert_eq!(suited(&Credentials::external().acting_as("u")), "EXTERNAL");
    }
}
