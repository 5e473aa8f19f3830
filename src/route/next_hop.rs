//! [`NextHop`]: a server that the operator named.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::mail::{Host, HostError};
use crate::proto::{Credentials, Protocol};

use super::kinds::is_control;
use super::security::HopTls;

/// Octets of a socket path; one more of the 108 of `sun_path` is the final NUL (unix(7)).
const MAX_PATH: usize = 107;
/// The port of SMTP, where LMTP is never spoken (RFC 2033 section 5).
const SMTP_PORT: u16 = 25;

/// A server that the operator named: a protocol and where it is spoken.
///
/// The text form, which [`FromStr`](std::str::FromStr) reads and [`Display`](fmt::Display) writes, is one of
/// `smtp://HOST[:25]`, `lmtp://HOST[:24]`, `smtp+unix:///PATH`, `lmtp+unix:///PATH`; with TLS from the first
/// octet `smtps://HOST[:465]`, `submissions://HOST[:465]`, `lmtps://HOST[:24]`, `smtps+unix:///PATH` and
/// `lmtps+unix:///PATH`; and with STARTTLS required `submission://HOST[:587]`. The certificate of a host must be
/// verified for its name in these; that of a unix socket, which has none, is not looked at.
/// HOST is a name, an IPv4 address or an IPv6 address in brackets ([`Host::parse`]); nothing follows the port.
///
/// A percent-encoded `user:password@` before the host gives credentials; it is read and never written.
///
/// The path begins with the third slash. It is percent-encoded: `%` and `,` must be written `%25` and `%2C`,
/// other characters may be. `?`, `#` and `@` mean themselves.
///
/// ```
/// use nexthop::{HopTarget, NextHop, Protocol};
///
/// let hop: NextHop = "lmtp://[::1]:2424".parse().unwrap();
/// assert_eq!(hop.protocol(), Protocol::Lmtp);
/// assert!(matches!(hop.target(), HopTarget::Tcp { port: 2424, .. }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextHop {
    protocol: Protocol,
    target: HopTarget,
    tls: HopTls,
    any_certificate: bool,
    credentials: Option<Credentials>,
    eight_bit_clean: bool,
}

/// Where a [`NextHop`] is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "TCP and unix stream sockets are what mail is carried over")]
pub enum HopTarget {
    /// A host and a TCP port.
    Tcp {
        /// A name, `localhost`, or an address.
        host: Host,
        /// The TCP port.
        port: u16,
    },
    /// Absolute path of a unix stream socket in the file system.
    Unix(PathBuf),
}

impl NextHop {
    /// A server on a TCP port.
    ///
    /// # Errors
    /// Port 0, and port 25 for LMTP (RFC 2033 section 5).
    pub fn tcp(protocol: Protocol, host: impl Into<Host>, port: u16) -> Result<Self, NextHopError> {
        let host = host.into();
        match (protocol, port) {
            (_, 0) => Err(NextHopError::Port { authority: format!("{host}:0") }),
            (Protocol::Lmtp, SMTP_PORT) => Err(NextHopError::LmtpOnSmtpPort { host }),
            _ => Ok(Self {
                protocol,
                target: HopTarget::Tcp { host, port },
                tls: HopTls::default(),
                any_certificate: false,
                credentials: None,
                eight_bit_clean: false,
            }),
        }
    }

    /// A server on a unix socket.
    ///
    /// # Errors
    /// The path is not absolute, has more than 107 octets or no last part, is not UTF-8, or has a control character.
    /// Abstract names are none of the file system and refused.
    pub fn unix(protocol: Protocol, path: impl Into<PathBuf>) -> Result<Self, NextHopError> {
        let path = path.into();
        check_socket_path(&path)?;
        Ok(Self {
            protocol,
            target: HopTarget::Unix(path),
            tls: HopTls::default(),
            any_certificate: false,
            credentials: None,
            eight_bit_clean: false,
        })
    }

    /// The port where none is named: 25 for SMTP (RFC 5321 section 4.5.4.2), 465 with TLS from the first octet
    /// (RFC 8314 section 3.3), and 24 for LMTP, as is the custom.
    pub const fn default_port(protocol: Protocol, tls: HopTls) -> u16 {
        match (protocol, tls) {
            (Protocol::Smtp, HopTls::Immediate(_)) => 465,
            (Protocol::Smtp, _) => SMTP_PORT,
            (Protocol::Lmtp, _) => 24,
        }
    }

    /// What is spoken there.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The same hop with another say about TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: HopTls) -> Self {
        self.tls = tls;
        self
    }

    /// The same hop, at which **any** certificate will do, also where one is to be verified: whoever is on the way can
    /// read and change the mail.
    #[must_use]
    pub fn accepting_invalid_certificates(mut self) -> Self {
        self.any_certificate = true;
        self
    }

    /// The same hop with credentials of its own, which go before those of a provider.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The same hop, known to take octets above 127 in content and header though it does not offer 8BITMIME or
    /// SMTPUTF8, as stores behind LMTP often do (RFC 6152 section 3).
    #[must_use]
    pub fn taking_eight_bit(mut self) -> Self {
        self.eight_bit_clean = true;
        self
    }

    /// Whether it is known to take octets above 127.
    pub fn takes_eight_bit(&self) -> bool {
        self.eight_bit_clean
    }

    /// The credentials that the route gives for it.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Whether any certificate will do there.
    pub fn accepts_invalid_certificates(&self) -> bool {
        self.any_certificate
    }

    /// How TLS begins there, and the least that it must prove.
    pub fn tls(&self) -> HopTls {
        self.tls
    }

    /// Where it is.
    pub fn target(&self) -> &HopTarget {
        &self.target
    }
}

fn check_socket_path(path: &Path) -> Result<(), NextHopError> {
    let lossy = || path.to_string_lossy().into_owned();
    let Some(text) = path.to_str().filter(|text| !text.contains(is_control)) else {
        return Err(NextHopError::PathCharacters { path: lossy() });
    };
    match text {
        _ if !text.starts_with('/') => Err(NextHopError::PathNotAbsolute { path: lossy() }),
        _ if text.ends_with('/') => Err(NextHopError::PathOfDirectory { path: lossy() }),
        _ if text.len() > MAX_PATH => Err(NextHopError::PathTooLong { path: lossy() }),
        _ => Ok(()),
    }
}

/// Why something is not a next hop. The message shows the offending part, escaped, and never a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NextHopError {
    /// A word that is none of the schemes.
    #[error("a next hop begins with smtp://, lmtp://, lmtp+unix:// and the like, not with {scheme:?}")]
    UnknownScheme {
        /// The word.
        scheme: String,
    },
    /// A scheme without `://`.
    #[error("\"://\" must follow {scheme:?}")]
    NoSlashes {
        /// The scheme.
        scheme: String,
    },
    /// No host.
    #[error("no host in \"{scheme}://\"")]
    NoHost {
        /// The scheme.
        scheme: String,
    },
    /// What stands where the host should be is none.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Not a number from 1 to 65535.
    #[error("not a port: {authority:?}")]
    Port {
        /// The host and what stands after the colon.
        authority: String,
    },
    /// LMTP on port 25.
    #[error("LMTP must not be spoken on port 25: \"{host}:25\"")]
    LmtpOnSmtpPort {
        /// The host.
        host: Host,
    },
    /// A `user@` without a password.
    #[error("no \":password\" before {:?}", format!("@{target}"))]
    NoPassword {
        /// What follows the `@`.
        target: String,
    },
    /// A `user:password@` that is not percent-encoded, commas included.
    #[error("broken percent-encoding (a comma is written %2C) before {:?}", format!("@{target}"))]
    BrokenCredentials {
        /// What follows the `@`.
        target: String,
    },
    /// A `%` that two hexadecimal digits do not follow, or octets that are no UTF-8.
    #[error("broken percent-encoding: {path:?}")]
    PathEncoding {
        /// The path.
        path: String,
    },
    /// A path that does not begin with a slash, among them the abstract names of Linux.
    #[error("not the absolute path of a socket: {path:?}")]
    PathNotAbsolute {
        /// The path.
        path: String,
    },
    /// A path that ends in a slash.
    #[error("not a socket but a directory: {path:?}")]
    PathOfDirectory {
        /// The path.
        path: String,
    },
    /// A path of more than 107 octets.
    #[error("a socket path of more than 107 octets: {path:?}")]
    PathTooLong {
        /// The path.
        path: String,
    },
    /// A path that is not UTF-8, or has a control character.
    #[error("a socket path with unfit characters: {path:?}")]
    PathCharacters {
        /// The path.
        path: String,
    },
    /// A control character in the text.
    #[error("a control character: {0:?}")]
    ControlCharacter(char),
}

/// What a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "stream sockets of the two address families in use")]
pub enum Endpoint {
    /// An address and a port.
    Tcp(SocketAddr),
    /// Absolute path of a unix socket.
    Unix(PathBuf),
}

/// `192.0.2.1:25`, `[2001:db8::1]:25` or the path.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &str) -> Result<NextHop, NextHopError> {
        NextHop::unix(Protocol::Lmtp, path)
    }

    #[test]
    fn check_103_lmtp_is_not_spoken_on_port_25() {
        let host = Host::parse("mail.example").unwrap();
        let refused = NextHop::tcp(Protocol::Lmtp, host.clone(), 25);
        assert_eq!(refused, Err(NextHopError::LmtpOnSmtpPort { host: host.clone() }));
        assert!(NextHop::tcp(Protocol::Lmtp, host.clone(), 24).is_ok());
        assert!(NextHop::tcp(Protocol::Smtp, host, 25).is_ok());
    }

    #[test]
    fn check_111_a_socket_path_has_107_octets_at_most() {
        let longest = format!("/{}", "a".repeat(106));
        assert!(unix(&longest).is_ok());
        assert!(matches!(unix(&format!("{longest}a")), Err(NextHopError::PathTooLong { .. })));
        // octets, not characters
        assert!(matches!(unix(&format!("/{}", "ü".repeat(54))), Err(NextHopError::PathTooLong { .. })));
    }

    #[test]
    fn check_111_abstract_and_relative_names_are_refused() {
        for bad in ["", "relative", "./a", "@abstract"] {
            assert!(matches!(unix(bad), Err(NextHopError::PathNotAbsolute { .. })), "{bad:?}");
        }
    }

    #[test]
    fn check_111_control_characters_are_refused_in_a_path() {
        for bad in ["\0abstract", "/a\0b", "/a\r\nb", "/a\u{2028}"] {
            assert!(matches!(unix(bad), Err(NextHopError::PathCharacters { .. })), "{bad:?}");
        }
    }

    #[test]
    fn check_111_a_directory_is_no_socket() {
        assert!(matches!(unix("/"), Err(NextHopError::PathOfDirectory { .. })));
        assert!(matches!(unix("/run/"), Err(NextHopError::PathOfDirectory { .. })));
    }

    #[test]
    fn port_0_cannot_be_dialled() {
        let hop = NextHop::tcp(Protocol::Smtp, Host::parse("mail.example").unwrap(), 0);
        assert_eq!(hop, Err(NextHopError::Port { authority: "mail.example:0".into() }));
    }
}
