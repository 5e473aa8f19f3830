//! [`ProxyProtocolDialer`]: connections through a proxy that reads HAProxy's PROXY protocol.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use async_trait::async_trait;
use proxy_header::{ProxiedAddress, ProxyHeader};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::dialer::{DialRequest, DialedStream, Dialer};
use super::proxy_server::{ProxyFailure, ProxyServer};
use super::system_dialer::SystemDialer;
use crate::mail::Host;
use crate::plan::DialTarget;

/// Connects through a proxy that reads a header of the [PROXY protocol] and connects to the destination in it.
///
/// The header is the first thing that is sent, before TLS. Its destination is the address that the policy permitted. Its source
/// is the first of these that has the family of the destination: the source address of the request, with the port of the
/// connection to the proxy; the local address of that connection. If there is none, it is `0.0.0.0` or `::` with port 0.
///
/// The source address of the request is not bound, because the proxy connects from it. The system looks up the host of the
/// proxy for each connection. Its addresses are tried in turn, and no address policy is asked about them: they are the operator's
/// choice.
///
/// Unix sockets are dialled without the proxy. For a TCP address there is never a direct connection instead.
///
/// # Errors
/// The proxy cannot be reached within 95 % of [`DialRequest::timeout`]. The error has the kind `Other` and names the proxy, so
/// that the next hop does not count as unreachable. The protocol has no replies: a proxy that cannot connect to the next hop
/// closes the connection before a greeting.
///
/// # Cancellation
/// Dropping the future closes the connection to the proxy.
///
/// [PROXY protocol]: https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt
#[derive(Debug, Clone)]
pub struct ProxyProtocolDialer {
    proxy: ProxyServer,
    version: ProxyProtocolVersion,
}

/// Version of the PROXY protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyProtocolVersion {
    /// The header is a line of text.
    V1,
    /// The header is binary. The default.
    #[default]
    V2,
}

impl ProxyProtocolDialer {
    /// Creates a dialer for the proxy at a host and port, with version 2 of the protocol.
    pub fn new(host: impl Into<Host>, port: u16) -> Self {
        let proxy = ProxyServer::new("haproxy", host.into(), port);
        Self { proxy, version: ProxyProtocolVersion::default() }
    }

    /// Sets the version of the protocol. Default: version 2.
    #[must_use]
    pub fn with_version(mut self, version: ProxyProtocolVersion) -> Self {
        self.version = version;
        self
    }

    async fn announced(&self, hop: SocketAddr, request: &DialRequest<'_>) -> Result<TcpStream, ProxyFailure> {
        let mut stream = self.proxy.connect(request.timeout(), None).await?;
        let local = stream.local_addr().map_err(ProxyFailure::Connection)?;
        let header =
            self.header(source(request.source(), local, hop), hop).map_err(ProxyFailure::Connection)?;
        stream.write_all(&header).await.map_err(ProxyFailure::Connection)?;
        Ok(stream)
    }

    /// Returns the bytes of the header. The addresses must have one family.
    fn header(&self, source: SocketAddr, hop: SocketAddr) -> io::Result<Vec<u8>> {
        let header = ProxyHeader::with_address(ProxiedAddress::stream(source, hop));
        let mut bytes = Vec::new();
        let encoded = match self.version {
            ProxyProtocolVersion::V1 => header.encode_v1(&mut bytes),
            ProxyProtocolVersion::V2 => header.encode_v2(&mut bytes),
        };
        encoded.map(|()| bytes).map_err(io::Error::other)
    }
}

/// Returns the source of the header, of the family of the hop.
fn source(chosen: Option<IpAddr>, local: SocketAddr, hop: SocketAddr) -> SocketAddr {
    let is_of_family = |address: &IpAddr| address.is_ipv4() == hop.is_ipv4();
    if let Some(address) = chosen.filter(is_of_family) {
        return SocketAddr::new(address, local.port());
    }
    match hop {
        _ if is_of_family(&local.ip()) => local,
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

#[async_trait]
impl Dialer for ProxyProtocolDialer {
    async fn dial(&self, request: &DialRequest<'_>) -> io::Result<DialedStream> {
        match request.target() {
            DialTarget::Tcp(hop) => {
                let stream = self.proxy.within(request.timeout(), self.announced(hop, request)).await?;
                Ok(DialedStream::through_proxy(stream))
            }
            DialTarget::Unix(_) => SystemDialer.dial(request).await,
        }
    }
}

/// The URL of the proxy.
impl fmt::Display for ProxyProtocolDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.proxy.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn header(version: ProxyProtocolVersion, source: &str, hop: &str) -> Vec<u8> {
        let dialer = ProxyProtocolDialer::new(Host::parse("proxy").unwrap(), 1).with_version(version);
        dialer.header(address(source), address(hop)).unwrap()
    }

    #[test]
    fn version_1_is_a_line() {
        let v1 = |source, hop| String::from_utf8(header(ProxyProtocolVersion::V1, source, hop)).unwrap();
        assert_eq!(v1("192.0.2.1:4000", "198.51.100.2:25"), "PROXY TCP4 192.0.2.1 198.51.100.2 4000 25\r\n");
        assert_eq!(v1("[::]:0", "[2001:db8::2]:25"), "PROXY TCP6 :: 2001:db8::2 0 25\r\n");
    }

    #[test]
    fn version_2_is_binary() {
        let start = *b"\r\n\r\n\0\r\nQUIT\n\x21";
        let v4 = header(ProxyProtocolVersion::V2, "192.0.2.1:4000", "198.51.100.2:25");
        let addresses = [192, 0, 2, 1, 198, 51, 100, 2, 0x0f, 0xa0, 0, 25];
        assert_eq!(v4, [&start[..], &[0x11, 0, 12], &addresses].concat());
        let v6 = header(ProxyProtocolVersion::V2, "[2001:db8::1]:4000", "[2001:db8::2]:25");
        let [one, two] = [1, 2].map(|last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).octets());
        assert_eq!(v6, [&start[..], &[0x21, 0, 36], &one, &two, &[0x0f, 0xa0, 0, 25]].concat());
    }

    #[test]
    fn the_source_has_the_family_of_the_hop() {
        let [v4, v6] = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse::<IpAddr>().unwrap());
        for (chosen, local, hop, expected) in [
            (None, "127.0.0.1:9", "198.51.100.2:25", "127.0.0.1:9"),
            (Some(v4), "127.0.0.1:9", "198.51.100.2:25", "192.0.2.1:9"),
            (Some(v4), "[::1]:9", "198.51.100.2:25", "192.0.2.1:9"),
            (Some(v6), "127.0.0.1:9", "198.51.100.2:25", "127.0.0.1:9"),
            (Some(v6), "127.0.0.1:9", "[2001:db8::2]:25", "[2001:db8::1]:9"),
            (None, "127.0.0.1:9", "[2001:db8::2]:25", "[::]:0"),
            (Some(v6), "[::1]:9", "198.51.100.2:25", "0.0.0.0:0"),
            (None, "[::1]:9", "[2001:db8::2]:25", "[::1]:9"),
        ] {
            assert_eq!(source(chosen, address(local), address(hop)), address(expected));
        }
    }
}
