//! Deliveries through proxies.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexthop::testing::ScriptedServer;
use nexthop::transport::{Proxy, ProxyProtocolDialer};
use nexthop::{Dialer, Host, MemoryResolver, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::routes::by_mx;
use crate::support::{builder, envelope, in_time, message, shown, timeouts};

/// What a proxy does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Connects to the destination.
    Connects,
    /// Asks for a user name and password, and connects.
    AsksForPassword,
    /// Replies that the connection is refused (RFC 1928 section 6).
    Refuses,
    /// Replies with text.
    Garbage,
    /// Replies nothing.
    Stalls,
    /// Sends without end.
    Floods,
}

/// A SOCKS version 5 proxy, with what it was asked for.
struct Socks {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Socks {
    async fn listen(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let log = Arc::clone(&log);
                tokio::spawn(async move { socks(stream, manner, &log).await.unwrap_or_default() });
            }
        });
        Self { address, asked }
    }

    fn url(&self, credentials: &str) -> Proxy {
        format!("socks5://{credentials}{}", self.address).parse().unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn socks(mut client: TcpStream, manner: Manner, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    match manner {
        Manner::Garbage => return client.write_all(b"HTTP/1.0 400 what is this?\r\n\r\n").await,
        Manner::Stalls => return std::future::pending().await,
        Manner::Floods => loop {
            client.write_all(&[5; 4096]).await?;
        },
        Manner::Connects | Manner::AsksForPassword | Manner::Refuses => {}
    }
    let count = [client.read_u8().await?, client.read_u8().await?][1];
    client.read_exact(&mut vec![0; count.into()]).await?;
    if manner == Manner::AsksForPassword {
        client.write_all(&[5, 2]).await?;
        let _version = client.read_u8().await?;
        let mut words = Vec::new();
        for _ in 0..2 {
            let mut word = vec![0; client.read_u8().await?.into()];
            client.read_exact(&mut word).await?;
            words.push(String::from_utf8(word).unwrap());
        }
        log.lock().unwrap().push(words.join(" "));
        client.write_all(&[1, 0]).await?;
    } else {
        client.write_all(&[5, 0]).await?;
    }
    let mut head = [0; 4];
    client.read_exact(&mut head).await?;
    assert_eq!(head, [5, 1, 0, 1], "CONNECT to an IPv4 address, never a name");
    let mut address = [0; 4];
    client.read_exact(&mut address).await?;
    let target = SocketAddr::from((address, client.read_u16().await?));
    log.lock().unwrap().push(target.to_string());
    if manner == Manner::Refuses {
        return client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    }
    let mut server = TcpStream::connect(target).await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

fn hasty() -> Timeouts {
    timeouts(|timeouts| timeouts.connect = Duration::from_millis(200))
}

async fn outcome(route: &str, dialer: impl Dialer) -> Vec<String> {
    let deliverer = builder(route).dialer(dialer).timeouts(hasty()).build().unwrap();
    shown(&in_time(deliverer.deliver(&envelope("a"), &message())).await)
}

#[tokio::test]
async fn a_socks_proxy_gets_the_address_of_the_hop() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let proxy = Socks::listen(Manner::Connects).await;
    assert_eq!(outcome(&server.url(), proxy.url("")).await, ["delivered 2.0.0"]);
    assert_eq!(proxy.asked(), [server.address().to_string()]);
}

#[tokio::test]
async fn a_socks_proxy_gets_the_user_name_and_the_password() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let proxy = Socks::listen(Manner::AsksForPassword).await;
    assert_eq!(outcome(&server.url(), proxy.url("us%40er:pass@")).await, ["delivered 2.0.0"]);
    assert_eq!(proxy.asked(), ["us@er pass".to_owned(), server.address().to_string()]);
}

#[tokio::test]
async fn check_089_a_socks_proxy_gets_the_checked_address_of_an_exchanger() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let proxy = Socks::listen(Manner::Connects).await;
    let dns =
        MemoryResolver::builder().mx("x.example", 10, "mx.example").ipv4("mx.example", Ipv4Addr::LOCALHOST);
    let deliverer = by_mx(dns, server.address().port()).dialer(proxy.url("")).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    assert_eq!(proxy.asked(), [server.address().to_string()]);
}

#[tokio::test]
async fn check_287_a_proxy_that_fails_defers_and_there_is_no_direct_connection() {
    for manner in [Manner::Refuses, Manner::Garbage, Manner::Stalls, Manner::Floods] {
        let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
        let proxy = Socks::listen(manner).await;
        assert_eq!(
            outcome(&server.url(), proxy.url("")).await,
            ["deferred connecting - 4.4.1"],
            "{manner:?}"
        );
        assert_eq!(server.connections(), 0, "{manner:?}");
    }
}

#[tokio::test]
async fn check_287_a_proxy_that_is_down_defers_and_there_is_no_direct_connection() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    for url in [format!("socks5://{free}"), format!("haproxy://{free}")] {
        let proxy: Proxy = url.parse().unwrap();
        assert_eq!(outcome(&server.url(), proxy).await, ["deferred connecting - 4.4.1"], "{url}");
        assert_eq!(server.connections(), 0);
    }
}

#[tokio::test]
async fn law_13_the_failure_of_a_proxy_is_not_held_against_the_hop() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let proxy: Proxy = format!("socks5://{free}").parse().unwrap();
    let deliverer = builder(&server.url()).dialer(proxy).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    let failure = report.recipients()[0].outcome.failure().unwrap();
    assert!(failure.detail().contains(&format!("through the proxy {free}")), "{}", failure.detail());
}

/// A proxy that reads a header of this length and connects to the server. Gives the header back.
async fn reads_header(server: SocketAddr, length: usize) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, header) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let read = Arc::clone(&header);
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut octets = vec![0; length];
        client.read_exact(&mut octets).await.unwrap();
        if length == 0 {
            while !octets.ends_with(b"\r\n") {
                octets.push(client.read_u8().await.unwrap());
            }
        }
        *read.lock().unwrap() = octets;
        let mut server = TcpStream::connect(server).await.unwrap();
        copy_bidirectional(&mut client, &mut server).await.map(drop)
    });
    (address, header)
}

#[tokio::test]
async fn the_header_of_the_proxy_protocol_names_the_hop_and_comes_first() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let port = server.address().port();
    let (proxy, header) = reads_header(server.address(), 28).await;
    let dialer = ProxyProtocolDialer::new(Host::Address(proxy.ip()), proxy.port());
    assert_eq!(outcome(&server.url(), dialer).await, ["delivered 2.0.0"]);
    let header = header.lock().unwrap().clone();
    assert_eq!(header[..20], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01");
    assert_eq!((&header[20..24], &header[26..]), (&[127, 0, 0, 1][..], &port.to_be_bytes()[..]));

    let (proxy, header) = reads_header(server.address(), 0).await;
    let dialer = ProxyProtocolDialer::new(Host::Address(proxy.ip()), proxy.port()).with_version_1();
    assert_eq!(outcome(&server.url(), dialer).await, ["delivered 2.0.0"]);
    let header = String::from_utf8(header.lock().unwrap().clone()).unwrap();
    assert!(header.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{header}");
    assert!(header.ends_with(&format!(" {port}\r\n")), "{header}");
}
