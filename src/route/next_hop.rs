//! [`NextHop`]: a server that the operator named.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::mail::{DnsName, Host};
use crate::proto::{Credentials, Protocol};

use super::hop_error::NextHopError;
use super::kinds::is_control;
use super::lookup::{LONGEST_SERVICE, RelayLookup};
use super::scheme::service_of;
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
/// `+mx` and `+srv` behind the scheme of a host say that its servers are found by MX or SRV records
/// ([`RelayLookup`]): `smtp+mx://relay.example:25`, `submission+srv://example.org`. With `+srv` no port is written.
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
///
/// Weight, sources, eight-bit cleanness and the single-flight limit have no text form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextHop {
    protocol: Protocol,
    target: HopTarget,
    lookup: RelayLookup,
    /// Whether `submissions` and not `smtps` is the service whose SRV records are asked for.
    submissions: bool,
    tls: HopTls,
    any_certificate: bool,
    credentials: Option<Credentials>,
    eight_bit_clean: bool,
    single_flight_limit: Option<usize>,
    weight: Option<u16>,
    sources: Vec<IpAddr>,
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
            _ => Ok(Self::at(protocol, HopTarget::Tcp { host, port })),
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
        Ok(Self::at(protocol, HopTarget::Unix(path)))
    }

    fn at(protocol: Protocol, target: HopTarget) -> Self {
        Self {
            protocol,
            target,
            lookup: RelayLookup::default(),
            submissions: false,
            tls: HopTls::default(),
            any_certificate: false,
            credentials: None,
            eight_bit_clean: false,
            single_flight_limit: None,
            weight: None,
            sources: Vec::new(),
        }
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

    /// Sets the size in bytes of the largest message that is sent to this next hop together with its commands.
    ///
    /// With 0 no content is. See
    /// [`DelivererBuilder::single_flight_limit`](crate::DelivererBuilder::single_flight_limit) for the risk, and for the
    /// property that the server must have. Default: the limit of the deliverer.
    #[must_use]
    pub fn with_single_flight_limit(mut self, bytes: usize) -> Self {
        self.single_flight_limit = Some(bytes);
        self
    }

    /// The same hop, whose name leads to its servers in another way. With [`RelayLookup::Srv`] its port falls back
    /// to the plain one of the protocol, and is not used.
    ///
    /// # Errors
    /// MX or SRV records for an address, `localhost` and what lies below it, a unix socket, or, with SRV, a name
    /// that is too long with the labels of the service.
    pub fn with_lookup(mut self, lookup: RelayLookup) -> Result<Self, NextHopError> {
        self.lookup = lookup;
        if !self.can_be_looked_up() {
            return Err(NextHopError::Lookup { hop: self.to_string() });
        }
        // hops that differ in a port that is not used are equal
        if let (RelayLookup::Srv, HopTarget::Tcp { port, .. }) = (lookup, &mut self.target) {
            *port = Self::default_port(self.protocol, HopTls::Configured);
        }
        Ok(self)
    }

    fn can_be_looked_up(&self) -> bool {
        match (self.lookup, self.name()) {
            (RelayLookup::Addresses, _) => true,
            (RelayLookup::Mx, name) => name.is_some(),
            (RelayLookup::Srv, name) => name.is_some_and(|name| name.prefixed(LONGEST_SERVICE).is_ok()),
        }
    }

    /// The name of the host, if it is one of the DNS.
    fn name(&self) -> Option<&DnsName> {
        match &self.target {
            HopTarget::Tcp { host: Host::Name(name), .. } => Some(name).filter(|name| !name.is_localhost()),
            _ => None,
        }
    }

    /// The same hop with a share of the load. Hops that stand side by side in a [`Route::Relay`](super::Route::Relay)
    /// and have a weight share it by their weights (RFC 2782, *Weight*), in an order drawn anew in each attempt; those without are tried in
    /// turn. A hop of weight 0 among others is hardly ever the first.
    #[must_use]
    pub fn with_weight(mut self, weight: u16) -> Self {
        self.weight = Some(weight);
        self
    }

    /// The same hop, to which connections are made from these local addresses, chosen by the router; empty, the
    /// default: from those of the deliverer. Of several of one family one is taken in rotation. For a unix
    /// socket they mean nothing.
    #[must_use]
    pub fn with_sources(mut self, sources: Vec<IpAddr>) -> Self {
        self.sources = sources;
        self
    }

    /// The same hop, whose SRV records are those of `submissions`.
    pub(super) fn for_submissions(mut self) -> Self {
        self.submissions = true;
        self
    }

    pub(super) fn is_submissions(&self) -> bool {
        self.submissions
    }

    /// How its name leads to its servers.
    pub fn lookup(&self) -> RelayLookup {
        self.lookup
    }

    /// The name whose SRV records are asked for, `_submission._tcp.example.org`; `None` where none are.
    pub fn srv_name(&self) -> Option<DnsName> {
        match self.lookup {
            RelayLookup::Srv => self.name()?.prefixed(&service_of(self)).ok(),
            _ => None,
        }
    }

    /// Its share of the load.
    pub fn weight(&self) -> Option<u16> {
        self.weight
    }

    /// The local addresses that connections to it are made from; empty: those of the deliverer.
    pub fn sources(&self) -> &[IpAddr] {
        &self.sources
    }

    /// Whether it is known to take octets above 127.
    pub fn takes_eight_bit(&self) -> bool {
        self.eight_bit_clean
    }

    /// Returns the limit set by [`with_single_flight_limit`](Self::with_single_flight_limit), in bytes.
    pub fn single_flight_limit(&self) -> Option<usize> {
        self.single_flight_limit
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
mod tests;
