//! [`Socks5Dialer`]: connections through a SOCKS5 proxy.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio_socks::tcp::Socks5Stream;

use super::dialer::{DialRequest, DialedStream, Dialer};
use super::proxy_server::{ProxyFailure, ProxyServer};
use super::system_dialer::SystemDialer;
use crate::mail::Host;
use crate::plan::DialTarget;
use crate::proto::Secret;

/// Maximum length in bytes of a user and of a password (RFC 1929 section 2).
const MAX_LENGTH: usize = 255;

/// Connects through a SOCKS5 proxy (RFC 1928), by its command CONNECT.
///
/// The proxy receives the address that the policy permitted, never a name. The system looks up the host of the proxy for each
/// connection. Its addresses are tried in turn, and no address policy is asked about them: they are the operator's choice. The
/// connection to the proxy comes from the source address of the request if that has the family of the proxy's address.
///
/// Unix sockets are dialled without the proxy. For a TCP address there is never a direct connection instead.
///
/// # Errors
/// The proxy cannot be reached, refuses, sends something that is not SOCKS5, or does not finish within 95 % of
/// [`DialRequest::timeout`]. The error has the kind `Other` and names the proxy, so that the next hop does not count as
/// unreachable. Only the replies *network unreachable*, *host unreachable* and *connection refused* (RFC 1928 section 6) have
/// the kinds of these failures, because they are about the next hop. At most 262 bytes of each reply are read.
///
/// # Cancellation
/// Dropping the future closes the connection to the proxy.
///
/// ```no_run
/// use nexthop::transport::Socks5Dialer;
/// use nexthop::{Deliverer, mail::Host};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let proxy = Socks5Dialer::new(Host::parse("proxy.example")?, 1080).with_credentials("ann", "s3cret")?;
/// let deliverer = Deliverer::builder("mail.example.net").dialer(proxy).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Socks5Dialer {
    proxy: ProxyServer,
    credentials: Option<UserPassword>,
}

#[derive(Clone)]
struct UserPassword {
    user: Secret,
    password: Secret,
}

/// Credentials that SOCKS5 cannot transmit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Socks5CredentialsError {
    /// The user has no bytes, or more than 255.
    #[error("the user must have 1 to 255 bytes (RFC 1929 section 2)")]
    User,
    /// The password has no bytes, or more than 255.
    #[error("the password must have 1 to 255 bytes (RFC 1929 section 2)")]
    Password,
}

impl Socks5Dialer {
    /// Creates a dialer for the proxy at a host and port, without credentials. The usual port is 1080.
    pub fn new(host: impl Into<Host>, port: u16) -> Self {
        Self { proxy: ProxyServer::new("socks5", host.into(), port), credentials: None }
    }

    /// Sets a user and a password, which are offered to the proxy (RFC 1929). The proxy may choose to do without them.
    ///
    /// They are sent to the proxy in cleartext.
    ///
    /// # Errors
    /// One of them is empty, or longer than 255 bytes.
    pub fn with_credentials(
        mut self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Result<Self, Socks5CredentialsError> {
        let credentials =
            UserPassword { user: Secret::new(user.into()), password: Secret::new(password.into()) };
        if !has_length(credentials.user.expose()) {
            return Err(Socks5CredentialsError::User);
        }
        if !has_length(credentials.password.expose()) {
            return Err(Socks5CredentialsError::Password);
        }
        self.credentials = Some(credentials);
        Ok(self)
    }

    async fn tunnel(&self, hop: SocketAddr, request: &DialRequest<'_>) -> Result<TcpStream, ProxyFailure> {
        let stream = self.proxy.connect(request.timeout(), request.source()).await?;
        let tunnel = match &self.credentials {
            None => Socks5Stream::connect_with_socket(stream, hop).await,
            Some(UserPassword { user, password }) => {
                let (user, password) = (user.expose(), password.expose());
                Socks5Stream::connect_with_password_and_socket(stream, hop, user, password).await
            }
        };
        Ok(tunnel?.into_inner())
    }
}

fn has_length(text: &str) -> bool {
    (1..=MAX_LENGTH).contains(&text.len())
}

#[async_trait]
impl Dialer for Socks5Dialer {
    async fn dial(&self, request: &DialRequest<'_>) -> io::Result<DialedStream> {
        match request.target() {
            DialTarget::Tcp(hop) => {
                let stream = self.proxy.within(request.timeout(), self.tunnel(hop, request)).await?;
                Ok(DialedStream::through_proxy(stream))
            }
            DialTarget::Unix(_) => SystemDialer.dial(request).await,
        }
    }
}

/// The URL of the proxy without credentials.
impl fmt::Display for Socks5Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.proxy.fmt(f)
    }
}

impl fmt::Debug for Socks5Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socks5Dialer({}", self.proxy)?;
        f.write_str(if self.credentials.is_some() { ", with credentials)" } else { ")" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialer() -> Socks5Dialer {
        Socks5Dialer::new(Host::parse("[2001:db8::1]").unwrap(), 1080)
    }

    #[test]
    fn credentials_are_not_shown() {
        let dialer = dialer().with_credentials("ann", "s3cret").unwrap();
        assert_eq!(format!("{dialer:?}"), "Socks5Dialer(socks5://[2001:db8::1]:1080, with credentials)");
        assert_eq!(dialer.to_string(), "socks5://[2001:db8::1]:1080");
    }

    #[test]
    fn credentials_have_1_to_255_bytes() {
        let longest = "a".repeat(255);
        assert!(dialer().with_credentials(longest.as_str(), longest.as_str()).is_ok());
        for (user, password, error) in [
            ("", "b", Socks5CredentialsError::User),
            (&*format!("{longest}a"), "b", Socks5CredentialsError::User),
            ("a", "", Socks5CredentialsError::Password),
            ("a", &*format!("{longest}b"), Socks5CredentialsError::Password),
        ] {
            assert_eq!(dialer().with_credentials(user, password).err(), Some(error));
        }
    }
}
