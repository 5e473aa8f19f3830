//! [`Proxy`]: a proxy by its URL.

use std::fmt;
use std::io;
use std::str::FromStr;

use async_trait::async_trait;
use percent_encoding::percent_decode_str;

use super::dialer::{DialRequest, DialedStream, Dialer};
use super::proxy_protocol_dialer::ProxyProtocolDialer;
use super::socks5_dialer::{Socks5CredentialsError, Socks5Dialer};
use crate::mail::Host;

/// A proxy that connections go through, read from a URL:
///
/// | URL | proxy |
/// |---|---|
/// | `socks5://[user:password@]host:port` | [`Socks5Dialer`] |
/// | `haproxy://host:port` | [`ProxyProtocolDialer`], with version 2 of the protocol |
///
/// The host is a name, an IPv4 address, or an IPv6 address in brackets. User and password are percent-encoded UTF-8. It is a
/// [`Dialer`] itself:
///
/// ```no_run
/// use nexthop::{Deliverer, Proxy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let proxy: Proxy = "socks5://ann:s3cret@proxy.example:1080".parse()?;
/// let deliverer = Deliverer::builder("mail.example.net").dialer(proxy).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Proxy {
    /// A SOCKS5 proxy.
    Socks5(Socks5Dialer),
    /// A proxy that reads the PROXY protocol.
    ProxyProtocol(ProxyProtocolDialer),
}

/// Part of a proxy URL that is wrong. The message does not contain the URL, because that may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyParseError {
    /// The scheme is not one of those that are known.
    #[error("the scheme of the proxy URL must be socks5:// or haproxy://")]
    Scheme,
    /// The user is empty, longer than 255 bytes, or not percent-encoded UTF-8; or the scheme has no credentials.
    #[error("the user in the proxy URL {problem}")]
    User {
        /// Reason.
        problem: &'static str,
    },
    /// The password is missing, empty, longer than 255 bytes, or not percent-encoded UTF-8.
    #[error("the password in the proxy URL {problem}")]
    Password {
        /// Reason.
        problem: &'static str,
    },
    /// The host is missing, or neither a name nor an address.
    #[error("the host in the proxy URL must be a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// The port is missing, or not a number from 1 to 65535.
    #[error("the port in the proxy URL must be a number from 1 to 65535, at the end of the URL")]
    Port,
}

const LENGTH: &str = "must have 1 to 255 bytes";
const ENCODING: &str = "is not percent-encoded UTF-8";
const MISSING: &str = "is missing";
const NOT_ALLOWED: &str = "is not allowed: haproxy:// has no credentials";

impl FromStr for Proxy {
    type Err = ProxyParseError;

    fn from_str(text: &str) -> Result<Self, ProxyParseError> {
        let (scheme, rest) = text.split_once("://").ok_or(ProxyParseError::Scheme)?;
        let (userinfo, authority) = match rest.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo), authority),
            None => (None, rest),
        };
        match scheme.to_ascii_lowercase().as_str() {
            "socks5" => parse_socks5(userinfo, authority).map(Self::Socks5),
            "haproxy" if userinfo.is_some() => Err(ProxyParseError::User { problem: NOT_ALLOWED }),
            "haproxy" => {
                let (host, port) = parse_authority(authority)?;
                Ok(Self::ProxyProtocol(ProxyProtocolDialer::new(host, port)))
            }
            _ => Err(ProxyParseError::Scheme),
        }
    }
}

fn parse_socks5(userinfo: Option<&str>, authority: &str) -> Result<Socks5Dialer, ProxyParseError> {
    let credentials = userinfo.map(parse_credentials).transpose()?;
    let (host, port) = parse_authority(authority)?;
    let dialer = Socks5Dialer::new(host, port);
    match credentials {
        None => Ok(dialer),
        Some(Credentials { user, password }) => Ok(dialer.with_credentials(user, password)?),
    }
}

struct Credentials {
    user: String,
    password: String,
}

fn parse_credentials(userinfo: &str) -> Result<Credentials, ProxyParseError> {
    let (user, password) = userinfo.split_once(':').ok_or(ProxyParseError::Password { problem: MISSING })?;
    Ok(Credentials {
        user: decoded(user).ok_or(ProxyParseError::User { problem: ENCODING })?,
        password: decoded(password).ok_or(ProxyParseError::Password { problem: ENCODING })?,
    })
}

fn decoded(text: &str) -> Option<String> {
    let is_escape = |after: &str| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(String::from)
}

/// Reads `host:port`. Without a port the whole is a host, so that an IPv6 address without brackets is a wrong host.
fn parse_authority(authority: &str) -> Result<(Host, u16), ProxyParseError> {
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[bracket..].split_once(':') {
        Some((before, port)) if !port.contains(':') => (&authority[..bracket + before.len()], port),
        _ => (authority, ""),
    };
    let host = Host::parse(host).map_err(|_| ProxyParseError::Host)?;
    let port = Some(port).filter(|port| port.bytes().all(|digit| digit.is_ascii_digit()));
    let port = port.and_then(|port| port.parse().ok()).filter(|port| *port > 0);
    port.map(|port| (host, port)).ok_or(ProxyParseError::Port)
}

impl From<Socks5CredentialsError> for ProxyParseError {
    fn from(error: Socks5CredentialsError) -> Self {
        match error {
            Socks5CredentialsError::User => Self::User { problem: LENGTH },
            Socks5CredentialsError::Password => Self::Password { problem: LENGTH },
        }
    }
}

#[async_trait]
impl Dialer for Proxy {
    async fn dial(&self, request: &DialRequest<'_>) -> io::Result<DialedStream> {
        match self {
            Self::Socks5(dialer) => dialer.dial(request).await,
            Self::ProxyProtocol(dialer) => dialer.dial(request).await,
        }
    }
}

/// The URL without credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socks5(dialer) => dialer.fmt(f),
            Self::ProxyProtocol(dialer) => dialer.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> ProxyParseError {
        url.parse::<Proxy>().expect_err(url)
    }

    #[test]
    fn a_url_is_shown_without_credentials() {
        for (url, shown) in [
            ("socks5://proxy.example:1080", "socks5://proxy.example:1080"),
            ("socks5://ann:s3cret@192.0.2.1:1", "socks5://192.0.2.1:1"),
            ("SOCKS5://a:s3:cr@et@[2001:db8::1]:65535", "socks5://[2001:db8::1]:65535"),
            ("haproxy://localhost:25", "haproxy://localhost:25"),
        ] {
            let proxy: Proxy = url.parse().unwrap();
            assert_eq!(proxy.to_string(), shown);
            assert!(!format!("{proxy:?}").contains("s3"), "{proxy:?}");
        }
    }

    #[test]
    fn user_and_password_are_percent_decoded() {
        let Credentials { user, password } = parse_credentials("a%3ab%40c:p:%25%c3%bc@d").unwrap();
        assert_eq!([user.as_str(), password.as_str()], ["a:b@c", "p:%ü@d"]);
    }

    #[test]
    fn errors_name_the_part_that_is_wrong() {
        let user = |problem| ProxyParseError::User { problem };
        let password = |problem| ProxyParseError::Password { problem };
        let longest = "a".repeat(255);
        for (url, expected) in [
            ("", ProxyParseError::Scheme),
            ("proxy.example:1080", ProxyParseError::Scheme),
            ("socks5:proxy.example:1080", ProxyParseError::Scheme),
            ("http://proxy.example:1080", ProxyParseError::Scheme),
            ("socks5h://proxy.example:1080", ProxyParseError::Scheme),
            ("socks5://:b@h:1", user(LENGTH)),
            (&*format!("socks5://{longest}a:b@h:1"), user(LENGTH)),
            ("socks5://a%:b@h:1", user(ENCODING)),
            ("socks5://a%ff:b@h:1", user(ENCODING)),
            ("haproxy://a:b@h:1", user(NOT_ALLOWED)),
            ("socks5://a@h:1", password(MISSING)),
            ("socks5://@h:1", password(MISSING)),
            ("socks5://a:@h:1", password(LENGTH)),
            (&*format!("socks5://a:{longest}b@h:1"), password(LENGTH)),
            ("socks5://a:b%4@h:1", password(ENCODING)),
            ("socks5://a:b%é@h:1", password(ENCODING)),
            ("socks5://", ProxyParseError::Host),
            ("socks5://:1080", ProxyParseError::Host),
            ("socks5://a b:1080", ProxyParseError::Host),
            ("socks5://2001:db8::1:1080", ProxyParseError::Host),
            ("haproxy://[::1:1080", ProxyParseError::Host),
            ("haproxy://h", ProxyParseError::Port),
            ("haproxy://h:", ProxyParseError::Port),
            ("haproxy://h:0", ProxyParseError::Port),
            ("haproxy://h:+1", ProxyParseError::Port),
            ("haproxy://h:65536", ProxyParseError::Port),
            ("haproxy://h:1080/", ProxyParseError::Port),
        ] {
            assert_eq!(error(url), expected, "{url}");
        }
    }

    #[test]
    fn errors_do_not_show_the_url() {
        for url in [
            "ann:s3cret@proxy:1080",
            "s3cret://proxy:1080",
            "socks5://ann:s3cret",
            "socks5://ann:s3cret%40proxy:1080",
            "socks5://ann:s3cret%@proxy:1080",
            "socks5://ann:s3cret@pro xy:1080",
            "haproxy://ann:s3cret@proxy:1080",
        ] {
            let error = error(url);
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
