//! [`Proxy`]: a proxy in text form. [`Socks5Dialer`] and [`ProxyProtocolDialer`]: connections through one.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use async_trait::async_trait;
use percent_encoding::percent_decode_str;
use proxy_header::{ProxiedAddress, ProxyHeader};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, lookup_host};
use tokio_socks::tcp::Socks5Stream;

use super::dialer::{DialRequest, DialedStream, Dialer};
use super::system_dialer::{SystemDialer, tcp};
use crate::mail::Host;
use crate::plan::DialTarget;

/// Maximum length of a user name or password in bytes (RFC 1929 section 2).
const MAX_CREDENTIAL: usize = 255;

/// A proxy that connections by TCP go through: `socks5://[user:password@]host:port` or `haproxy://host:port`.
///
/// It is the operator's word: no address policy applies to the proxy, it applies to the next hop. The proxy gets the address of
/// the hop, never a name. Unix sockets, the DNS and policy hosts go without it. A proxy that cannot be reached or refuses is a
/// failure of kind [`Connecting`](crate::FailureKind::Connecting); there is never a direct connection instead.
///
/// ```
/// use nexthop::transport::Proxy;
/// use nexthop::Deliverer;
///
/// # #[cfg(feature = "hickory")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let proxy: Proxy = "socks5://mail:s3cret@127.0.0.1:1080".parse()?;
/// let deliverer = Deliverer::builder("mail.example.net").dialer(proxy).build()?;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "hickory"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Proxy {
    /// SOCKS version 5.
    Socks5(Socks5Dialer),
    /// A proxy that reads the PROXY protocol, such as HAProxy.
    ProxyProtocol(ProxyProtocolDialer),
}

/// Address of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ProxyAddress {
    host: Host,
    port: u16,
}

/// Connects through a SOCKS version 5 proxy (RFC 1928), with a user name and password if they are given (RFC 1929).
///
/// The source address of a request has no effect: the hop sees an address of the proxy.
#[derive(Clone)]
pub struct Socks5Dialer {
    proxy: ProxyAddress,
    credentials: Option<(String, String)>,
}

/// Connects through a proxy that reads the PROXY protocol and opens a connection to the destination that it names.
///
/// The source in the header is the source address of the request, so that the proxy can connect from it. Without one it is the
/// local address of the connection to the proxy, or unspecified if that is of another family than the hop.
#[derive(Debug, Clone)]
pub struct ProxyProtocolDialer {
    proxy: ProxyAddress,
    is_version_1: bool,
}

/// Error of a proxy URL. It names the part that is wrong, and shows no credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// The scheme is neither `socks5` nor `haproxy`.
    #[error("the scheme of a proxy URL is socks5:// or haproxy://")]
    Scheme,
    /// The user name is empty, longer than 255 bytes or not UTF-8.
    #[error("the user name of the proxy must have 1 to 255 bytes of UTF-8")]
    User,
    /// The password is missing, empty, longer than 255 bytes or not UTF-8.
    #[error("the password of the proxy must have 1 to 255 bytes of UTF-8")]
    Password,
    /// Credentials are given for a proxy that takes none.
    #[error("a haproxy:// URL has no user name and password")]
    Credentials,
    /// The host is neither a name nor an address; IPv6 addresses stand in brackets.
    #[error("the host of the proxy is not a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// The port is missing, or not a number from 1 to 65535.
    #[error("the port of the proxy is missing, or not a number from 1 to 65535")]
    Port,
    /// Something follows the port.
    #[error("nothing may follow the port of a proxy URL")]
    Path,
}

impl FromStr for Proxy {
    type Err = ProxyUrlError;

    fn from_str(url: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(ProxyUrlError::Scheme)?;
        let is_socks = scheme.eq_ignore_ascii_case("socks5");
        if !is_socks && !scheme.eq_ignore_ascii_case("haproxy") {
            return Err(ProxyUrlError::Scheme);
        }
        let (credentials, authority) = match rest.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, rest),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#']) {
            return Err(ProxyUrlError::Path);
        }
        let credentials = credentials.map(user_and_password).transpose()?;
        let (host, port) = authority.rsplit_once(':').ok_or(ProxyUrlError::Port)?;
        let host = Host::parse(host).map_err(|_| ProxyUrlError::Host)?;
        let is_number = port.bytes().all(|digit| digit.is_ascii_digit());
        let port = port.parse().ok().filter(|port| is_number && *port > 0).ok_or(ProxyUrlError::Port)?;
        match (is_socks, credentials) {
            (true, None) => Ok(Self::Socks5(Socks5Dialer::new(host, port))),
            (true, Some((user, password))) => {
                let dialer =
                    Socks5Dialer { credentials: Some((user, password)), ..Socks5Dialer::new(host, port) };
                Ok(Self::Socks5(dialer))
            }
            (false, None) => Ok(Self::ProxyProtocol(ProxyProtocolDialer::new(host, port))),
            (false, Some(_)) => Err(ProxyUrlError::Credentials),
        }
    }
}

fn user_and_password(text: &str) -> Result<(String, String), ProxyUrlError> {
    let decoded = |part: &str, error| {
        let part = percent_decode_str(part).decode_utf8().map_err(|_| error)?;
        is_credential(&part).then(|| part.into_owned()).ok_or(error)
    };
    let (user, password) = text.split_once(':').ok_or(ProxyUrlError::Password)?;
    Ok((decoded(user, ProxyUrlError::User)?, decoded(password, ProxyUrlError::Password)?))
}

fn is_credential(part: &str) -> bool {
    (1..=MAX_CREDENTIAL).contains(&part.len())
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

impl Socks5Dialer {
    /// Connects through a proxy at a host and port, without credentials.
    pub fn new(host: Host, port: u16) -> Self {
        Self { proxy: ProxyAddress { host, port }, credentials: None }
    }

    /// Uses a user name and a password.
    ///
    /// # Errors
    /// One of them is empty or longer than 255 bytes (RFC 1929 section 2).
    pub fn with_password(
        self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Result<Self, ProxyUrlError> {
        let (user, password) = (user.into(), password.into());
        if !is_credential(&user) {
            return Err(ProxyUrlError::User);
        }
        if !is_credential(&password) {
            return Err(ProxyUrlError::Password);
        }
        Ok(Self { credentials: Some((user, password)), ..self })
    }

    async fn through(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = self.proxy.connect().await?;
        let connected = match &self.credentials {
            Some((user, password)) => {
                Socks5Stream::connect_with_password_and_socket(stream, address, user, password).await
            }
            None => Socks5Stream::connect_with_socket(stream, address).await,
        };
        connected.map(Socks5Stream::into_inner).map_err(|error| self.proxy.failed(&error))
    }
}

#[async_trait]
impl Dialer for Socks5Dialer {
    async fn dial(&self, request: &DialRequest<'_>) -> io::Result<DialedStream> {
        match request.target() {
            DialTarget::Tcp(address) => self.through(address).await.map(DialedStream::through_proxy),
            DialTarget::Unix(_) => SystemDialer.dial(request).await,
        }
    }
}

impl ProxyProtocolDialer {
    /// Connects through a proxy at a host and port, with headers of version 2.
    pub fn new(host: Host, port: u16) -> Self {
        Self { proxy: ProxyAddress { host, port }, is_version_1: false }
    }

    /// Sends headers of version 1, which are text.
    #[must_use]
    pub fn with_version_1(self) -> Self {
        Self { is_version_1: true, ..self }
    }

    async fn through(&self, address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
        let mut stream = self.proxy.connect().await?;
        let source = source_of(source, stream.local_addr()?, address);
        let header = self.header(source, address)?;
        stream.write_all(&header).await.map_err(|error| self.proxy.failed(&error))?;
        Ok(stream)
    }

    fn header(&self, source: SocketAddr, destination: SocketAddr) -> io::Result<Vec<u8>> {
        let header = ProxyHeader::with_address(ProxiedAddress::stream(source, destination));
        let mut octets = Vec::new();
        let encoded =
            if self.is_version_1 { header.encode_v1(&mut octets) } else { header.encode_v2(&mut octets) };
        encoded.map_err(|error| self.proxy.failed(&error))?;
        Ok(octets)
    }
}

#[async_trait]
impl Dialer for ProxyProtocolDialer {
    async fn dial(&self, request: &DialRequest<'_>) -> io::Result<DialedStream> {
        match request.target() {
            DialTarget::Tcp(address) => {
                self.through(address, request.source()).await.map(DialedStream::through_proxy)
            }
            DialTarget::Unix(_) => SystemDialer.dial(request).await,
        }
    }
}

/// Returns the source that stands in a header: of the family of the destination.
fn source_of(chosen: Option<IpAddr>, local: SocketAddr, destination: SocketAddr) -> SocketAddr {
    let fits = |address: &SocketAddr| address.is_ipv4() == destination.is_ipv4();
    let chosen = chosen.map(|address| SocketAddr::new(address, 0)).filter(fits);
    let unspecified = match destination {
        SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
    };
    chosen.or_else(|| Some(local).filter(fits)).unwrap_or(unspecified)
}

impl ProxyAddress {
    /// Connects to the proxy: to the addresses of its name in turn.
    async fn connect(&self) -> io::Result<TcpStream> {
        let addresses: Vec<_> = match &self.host {
            Host::Address(address) => vec![SocketAddr::new(*address, self.port)],
            Host::Name(name) => {
                let found = lookup_host((name.as_str(), self.port)).await;
                found.map_err(|error| self.failed(&error))?.collect()
            }
        };
        let mut last = io::Error::other("its name has no address");
        for address in addresses {
            match tcp(address, None).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(self.failed(&last))
    }

    /// Returns an error of the proxy. Its kind says nothing of the next hop, which is not to be avoided for it.
    fn failed(&self, error: &dyn fmt::Display) -> io::Error {
        io::Error::other(format!("through the proxy {}:{}: {error}", self.host, self.port))
    }
}

impl fmt::Debug for Socks5Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = if self.credentials.is_some() { "with" } else { "without" };
        write!(f, "Socks5Dialer({}:{}, {credentials} password)", self.proxy.host, self.proxy.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> ProxyUrlError {
        url.parse::<Proxy>().unwrap_err()
    }

    #[test]
    fn a_url_is_read_part_by_part() {
        let Ok(Proxy::Socks5(socks)) = "SOCKS5://us%40er:p%3Ass%20word@proxy.example:1080/".parse() else {
            panic!("no proxy")
        };
        assert_eq!(socks.credentials, Some(("us@er".into(), "p:ss word".into())));
        assert_eq!((socks.proxy.host.to_string(), socks.proxy.port), ("proxy.example".into(), 1080));
        let Ok(Proxy::ProxyProtocol(proxy)) = "haproxy://[::1]:25".parse() else { panic!("no proxy") };
        assert_eq!(proxy.proxy.host, Host::Address(Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn an_error_names_the_part_that_is_wrong() {
        let long = format!("socks5://{}:p@h:1", "u".repeat(256));
        for (url, part) in [
            ("http://h:1", ProxyUrlError::Scheme),
            ("h:1", ProxyUrlError::Scheme),
            ("", ProxyUrlError::Scheme),
            ("socks5://:p@h:1", ProxyUrlError::User),
            (long.as_str(), ProxyUrlError::User),
            ("socks5://%ff:p@h:1", ProxyUrlError::User),
            ("socks5://u@h:1", ProxyUrlError::Password),
            ("socks5://u:@h:1", ProxyUrlError::Password),
            ("haproxy://u:p@h:1", ProxyUrlError::Credentials),
            ("socks5://:1", ProxyUrlError::Host),
            ("socks5://h h:1", ProxyUrlError::Host),
            ("socks5://::1:1", ProxyUrlError::Host),
            ("socks5://h", ProxyUrlError::Port),
            ("socks5://h:", ProxyUrlError::Port),
            ("socks5://h:0", ProxyUrlError::Port),
            ("socks5://h:+1", ProxyUrlError::Port),
            ("socks5://h:65536", ProxyUrlError::Port),
            ("socks5://h:1/x", ProxyUrlError::Path),
        ] {
            assert_eq!(error(url), part, "{url}");
        }
    }

    #[test]
    fn check_201_debugging_a_proxy_shows_no_password() {
        let proxy: Proxy = "socks5://user:s3cret@h.example:1".parse().unwrap();
        assert_eq!(format!("{proxy:?}"), "Socks5(Socks5Dialer(h.example:1, with password))");
    }

    #[test]
    fn the_source_in_a_header_is_of_the_family_of_the_destination() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (local, v4, v6) = (address("127.0.0.1:9"), address("192.0.2.1:25"), address("[2001:db8::1]:25"));
        assert_eq!(source_of(None, local, v4), local);
        assert_eq!(source_of(Some([192, 0, 2, 9].into()), local, v4), address("192.0.2.9:0"));
        assert_eq!(source_of(Some([192, 0, 2, 9].into()), local, v6), address("[::]:0"));
        assert_eq!(source_of(None, address("[::1]:9"), v4), address("0.0.0.0:0"));
    }

    #[test]
    fn headers_are_those_of_the_specification() {
        let (source, destination) = ("192.0.2.9:5000".parse().unwrap(), "198.51.100.1:25".parse().unwrap());
        let dialer = ProxyProtocolDialer::new(Host::parse("h").unwrap(), 1);
        let mut version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        version_2.extend([192, 0, 2, 9, 198, 51, 100, 1, 0x13, 0x88, 0, 25]);
        assert_eq!(dialer.header(source, destination).unwrap(), version_2);
        let version_1 = dialer.with_version_1().header(source, destination).unwrap();
        assert_eq!(version_1, b"PROXY TCP4 192.0.2.9 198.51.100.1 5000 25\r\n");
    }
}
