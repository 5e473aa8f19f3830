//! Deliveries through proxies. The next hops have public addresses, which the proxies connect to servers on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nexthop::deliverer::DelivererBuilder;
use nexthop::mail::Host;
use nexthop::testing::{ScriptedServer, ServerIdentity};
use nexthop::transport::{ProxyProtocolDialer, ProxyProtocolVersion, Socks5Dialer};
use nexthop::{Deliverer, LoginSettings, MemoryResolver, Proxy, Report, TlsSettings};
use tokio::time::Instant;

use crate::proxy::{Manner, TestProxy};
use crate::support::{
    CLIENT, SOON, builder, count, envelope, in_time, message, nothing_kept, shown, timeouts,
};
use crate::traps::Traps;

const FIRST: Ipv4Addr = Ipv4Addr::new(45, 11, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(45, 12, 0, 2);
const TO_FIRST: &str = "smtp://45.11.0.1:2525";
const PORT: [u8; 2] = 2525_u16.to_be_bytes();

async fn server() -> ScriptedServer {
    ScriptedServer::smtp().listen_tcp().await.unwrap()
}

fn socks5(proxy: &TestProxy) -> Socks5Dialer {
    Socks5Dialer::new(Host::Address(proxy.address.ip()), proxy.address.port())
}

fn haproxy(proxy: &TestProxy) -> ProxyProtocolDialer {
    ProxyProtocolDialer::new(Host::Address(proxy.address.ip()), proxy.address.port())
}

async fn deliver(builder: DelivererBuilder) -> Report {
    in_time(builder.build().unwrap().deliver(&envelope("a"), &message())).await
}

/// Delivers by MX to a domain with two exchangers. Waits shortly for connections.
fn by_mx(dialer: impl nexthop::Dialer) -> Deliverer {
    let dns = MemoryResolver::builder().mx("x.example", 10, "first.example").mx("x.example", 20, "b.example");
    let dns = dns.ipv4("first.example", FIRST).ipv4("b.example", SECOND).build().unwrap();
    let builder = Deliverer::builder(CLIENT).resolver(dns).pool(nothing_kept()).dialer(dialer);
    builder.timeouts(timeouts(|timeouts| timeouts.connect = SOON)).build().unwrap()
}

fn detail(report: &Report) -> String {
    report.iter().filter_map(|(_, outcome)| outcome.failure()).map(nexthop::Failure::detail).collect()
}

#[tokio::test]
async fn check_089_socks5_connects_to_the_address_that_was_checked() {
    let server = server().await;
    let proxy = TestProxy::start(Manner::Socks5(server.address())).await;
    let report = in_time(by_mx(socks5(&proxy)).deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    let [seen] = proxy.seen().try_into().unwrap();
    assert_eq!(seen.bytes, [5, 1, 0, 5, 1, 0, 1, 45, 11, 0, 1, 0, 25]);
    assert_eq!(server.messages().len(), 1);
}

#[tokio::test]
async fn check_089_an_address_that_the_policy_denies_is_not_given_to_the_proxy() {
    let server = server().await;
    let proxy = TestProxy::start(Manner::Socks5(server.address())).await;
    let dns = MemoryResolver::builder().mx("x.example", 10, "mx.example").ipv4("mx.example", [10, 0, 0, 1]);
    let builder = Deliverer::builder(CLIENT).resolver(dns.build().unwrap()).dialer(socks5(&proxy));
    assert_eq!(shown(&deliver(builder).await), ["failed forbidden - 5.4.4"]);
    assert_eq!(proxy.seen().len(), 0);
}

#[tokio::test]
async fn socks5_connects_to_an_ipv6_address() {
    let server = server().await;
    let proxy = TestProxy::start(Manner::Socks5(server.address())).await;
    let report = deliver(builder("smtp://[2a00::19]:2525").dialer(socks5(&proxy))).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    let [seen] = proxy.seen().try_into().unwrap();
    let address = [0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x19];
    assert_eq!(seen.bytes, [&[5, 1, 0, 5, 1, 0, 4][..], &address, &PORT].concat());
}

#[tokio::test]
async fn socks5_logs_in_with_user_and_password() {
    let server = server().await;
    let proxy = TestProxy::start(Manner::Socks5Login(server.address())).await;
    let url: Proxy = format!("socks5://an%6e:s3cr%65t@{}", proxy.address).parse().unwrap();
    assert_eq!(shown(&deliver(builder(TO_FIRST).dialer(url)).await), ["delivered 2.0.0"]);
    let [seen] = proxy.seen().try_into().unwrap();
    let login = [&[5, 2, 0, 2, 1, 3][..], b"ann", &[6], b"s3cret"].concat();
    assert_eq!(seen.bytes, [&login[..], &[5, 1, 0, 1, 45, 11, 0, 1], &PORT].concat());
}

#[tokio::test]
async fn socks5_does_without_a_login_if_the_proxy_chooses_so() {
    let server = server().await;
    let proxy = TestProxy::start(Manner::Socks5(server.address())).await;
    let dialer = socks5(&proxy).with_credentials("ann", "s3cret").unwrap();
    assert_eq!(shown(&deliver(builder(TO_FIRST).dialer(dialer)).await), ["delivered 2.0.0"]);
    let [seen] = proxy.seen().try_into().unwrap();
    assert_eq!(seen.bytes, [&[5, 2, 0, 2, 5, 1, 0, 1, 45, 11, 0, 1][..], &PORT].concat());
}

#[tokio::test]
async fn a_refused_login_names_the_proxy_and_no_secret() {
    let proxy = TestProxy::start(Manner::Socks5BadLogin).await;
    let dialer = socks5(&proxy).with_credentials("ann", "s3cret").unwrap();
    let report = deliver(builder(TO_FIRST).dialer(dialer)).await;
    assert_eq!(shown(&report), ["deferred connecting - 4.4.1"]);
    assert!(detail(&report).contains(&format!("socks5://{}", proxy.address)), "{}", detail(&report));
    assert!(!format!("{report:?} {}", detail(&report)).contains("s3cret"));
}

#[tokio::test]
async fn a_proxy_that_wants_a_login_is_not_used_without_credentials() {
    let proxy = TestProxy::start(Manner::Says(&[5, 2])).await;
    let report = deliver(builder(TO_FIRST).dialer(socks5(&proxy))).await;
    assert_eq!(shown(&report), ["deferred connecting - 4.4.1"]);
}

/// Delivers twice by MX through a proxy that replies so for the first exchanger, or never, and returns the addresses in the order in which the
/// proxy was asked for them.
async fn asked(reply: Option<u8>) -> Vec<Ipv4Addr> {
    let server = server().await;
    let manner = Manner::Socks5Except { reply, address: SECOND, server: server.address() };
    let proxy = TestProxy::start(manner).await;
    let deliverer = by_mx(socks5(&proxy));
    for _ in 0..2 {
        let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
        assert_eq!(shown(&report), ["delivered 2.0.0"]);
    }
    proxy.targets()
}

#[tokio::test]
async fn a_hop_is_not_remembered_for_a_failure_of_the_proxy() {
    for reply in [1, 2, 6, 7, 8, 9, 255] {
        assert_eq!(asked(Some(reply)).await, [FIRST, SECOND, FIRST, SECOND], "reply {reply}");
    }
}

#[tokio::test]
async fn a_hop_is_not_remembered_for_a_proxy_that_stalls() {
    assert_eq!(asked(None).await, [FIRST, SECOND, FIRST, SECOND]);
}

#[tokio::test]
async fn a_hop_is_remembered_if_the_proxy_cannot_reach_it() {
    for reply in [3, 4, 5] {
        assert_eq!(asked(Some(reply)).await, [FIRST, SECOND, SECOND], "reply {reply}");
    }
}

#[tokio::test]
async fn what_is_not_socks5_is_deferred() {
    for text in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"220 mx.example ESMTP\r\n",
        &[4, 0],
        &[5, 0xff],
        &[5, 1],
        &[5, 0, 4, 0, 0, 1],
        &[5, 0, 5, 0, 1, 1],
        &[5, 0, 5, 0, 0, 2],
        &[5, 0, 5, 0, 0, 3, 1, 0xff, 0, 0],
    ] {
        let mut proxy = TestProxy::start(Manner::Says(text)).await;
        let report = deliver(builder(TO_FIRST).dialer(socks5(&proxy))).await;
        assert_eq!(shown(&report), ["deferred connecting - 4.4.1"], "{text:?}");
        assert!(detail(&report).contains(&proxy.address.to_string()), "{}", detail(&report));
        in_time(proxy.one_has_left()).await;
    }
}

#[tokio::test]
async fn a_proxy_that_closes_is_deferred() {
    let proxy = TestProxy::start(Manner::Closes).await;
    let report = deliver(builder(TO_FIRST).dialer(socks5(&proxy))).await;
    assert_eq!(shown(&report), ["deferred connecting - 4.4.1"]);
}

#[tokio::test]
async fn a_flood_is_not_read() {
    for text in [&[5][..], &[5, 0, 5, 1], &[5, 0, 5, 0, 0, 3, 255]] {
        let mut proxy = TestProxy::start(Manner::Floods(text)).await;
        let report = deliver(builder(TO_FIRST).dialer(socks5(&proxy))).await;
        assert!(!report.is_delivered());
        in_time(proxy.one_has_left()).await;
    }
}

#[tokio::test]
async fn a_proxy_that_stalls_has_the_time_limit_for_connections() {
    for text in [&[][..], &[5], &[5, 0], &[5, 0, 5, 0, 0, 1, 0, 0, 0]] {
        let mut proxy = TestProxy::start(Manner::Says(text)).await;
        let deliverer = by_mx(socks5(&proxy));
        for round in 1..3 {
            let began = Instant::now();
            let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
            assert!(began.elapsed() < SOON * 20, "{:?}", began.elapsed());
            assert_eq!(shown(&report), ["deferred connecting - 4.4.1"]);
            assert!(detail(&report).contains(&proxy.address.to_string()), "{}", detail(&report));
            // each of the exchangers was tried, and each connection was closed
            in_time(proxy.one_has_left()).await;
            in_time(proxy.one_has_left()).await;
            assert_eq!(proxy.seen().len(), 2 * round);
        }
    }
}

#[tokio::test]
async fn check_287_without_its_proxy_nothing_is_connected_directly() {
    let traps = Traps::set(&[Ipv4Addr::LOCALHOST.into()]);
    let nobody = Traps::set(&[Ipv4Addr::LOCALHOST.into()]).port;
    let host = || Host::Address(Ipv4Addr::LOCALHOST.into());
    let route = format!("smtp://127.0.0.1:{}", traps.port);
    for builder in [
        builder(&route).dialer(Socks5Dialer::new(host(), nobody)),
        builder(&route).dialer(ProxyProtocolDialer::new(host(), nobody)),
    ] {
        let report = deliver(builder).await;
        assert_eq!(shown(&report), ["deferred connecting - 4.4.1"]);
        assert!(detail(&report).contains(&format!("://127.0.0.1:{nobody}")), "{}", detail(&report));
        assert!(detail(&report).contains("Connection refused"), "{}", detail(&report));
    }
    assert_eq!(traps.caught(), []);
}

#[tokio::test]
async fn check_287_a_proxy_that_cannot_be_looked_up_is_deferred() {
    let host = Host::parse("proxy.invalid").unwrap();
    let report = deliver(builder(TO_FIRST).dialer(Socks5Dialer::new(host, 1080))).await;
    assert_eq!(shown(&report), ["deferred connecting - 4.4.1"]);
    assert!(detail(&report).contains("socks5://proxy.invalid:1080"), "{}", detail(&report));
}

#[tokio::test]
async fn the_system_looks_up_the_host_of_a_proxy() {
    let server = server().await;
    let proxy = TestProxy::start(Manner::Socks5(server.address())).await;
    let url: Proxy = format!("socks5://localhost:{}", proxy.address.port()).parse().unwrap();
    assert_eq!(shown(&deliver(builder(TO_FIRST).dialer(url)).await), ["delivered 2.0.0"]);
}

#[tokio::test]
async fn socks5_comes_from_the_source_address() {
    let server = server().await;
    let proxy = TestProxy::start(Manner::Socks5(server.address())).await;
    let source = Ipv4Addr::new(127, 0, 0, 77);
    let builder = builder(TO_FIRST).source_address(std::net::IpAddr::from(source));
    assert_eq!(shown(&deliver(builder.dialer(socks5(&proxy))).await), ["delivered 2.0.0"]);
    assert_eq!(proxy.seen()[0].client.ip(), source);
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_are_dialled_without_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..2 {
        let path = folder.path().join(number.to_string());
        let server = ScriptedServer::lmtp().listen_unix(path).await.unwrap();
        let proxy = TestProxy::start(Manner::Closes).await;
        let builder = builder(&server.url());
        let builder =
            if number == 0 { builder.dialer(socks5(&proxy)) } else { builder.dialer(haproxy(&proxy)) };
        assert_eq!(shown(&deliver(builder).await), ["delivered 2.0.0"]);
        assert_eq!(proxy.seen().len(), 0);
    }
}

#[tokio::test]
async fn the_header_of_version_2_precedes_the_session() {
    let server = server().await;
    let proxy = TestProxy::start(Manner::Header(server.address())).await;
    let report = deliver(builder(TO_FIRST).dialer(haproxy(&proxy))).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    let [seen] = proxy.seen().try_into().unwrap();
    assert_eq!(seen.bytes, header_v2(seen.client));
    let endpoint = &report.recipients()[0].hop.as_ref().unwrap().endpoint();
    assert_eq!(endpoint.to_string(), "45.11.0.1:2525");
}

fn header_v2(source: SocketAddr) -> Vec<u8> {
    let std::net::IpAddr::V4(address) = source.ip() else { panic!("{source}") };
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    [&start[..], &address.octets(), &FIRST.octets(), &source.port().to_be_bytes(), &PORT].concat()
}

#[tokio::test]
async fn the_header_of_version_1_precedes_the_session() {
    let server = server().await;
    let proxy = TestProxy::start(Manner::Header(server.address())).await;
    let dialer = haproxy(&proxy).with_version(ProxyProtocolVersion::V1);
    assert_eq!(shown(&deliver(builder(TO_FIRST).dialer(dialer)).await), ["delivered 2.0.0"]);
    let [seen] = proxy.seen().try_into().unwrap();
    let header = format!("PROXY TCP4 127.0.0.1 45.11.0.1 {} 2525\r\n", seen.client.port());
    assert_eq!(seen.bytes, header.as_bytes());
}

#[tokio::test]
async fn check_177_the_header_precedes_tls() {
    let certificate = rcgen::generate_simple_self_signed(["mx.example".to_owned()]).unwrap();
    let key = certificate.signing_key.serialize_der();
    let identity = ServerIdentity::new(vec![certificate.cert.der().to_vec()], key).unwrap();
    let server = ScriptedServer::smtp().implicit_tls(&identity).listen_tcp().await.unwrap();
    let proxy = TestProxy::start(Manner::Header(server.address())).await;
    let mut tls = TlsSettings::default();
    tls.accept_invalid_certificates = true;
    let report = deliver(builder("smtps://45.11.0.1:2525").tls(tls).dialer(haproxy(&proxy))).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    let [seen] = proxy.seen().try_into().unwrap();
    assert_eq!(seen.bytes, header_v2(seen.client));
}

#[tokio::test]
async fn the_header_has_the_source_address_which_is_not_bound() {
    let server = server().await;
    let proxy = TestProxy::start(Manner::Header(server.address())).await;
    // no address of this host
    let source = Ipv4Addr::new(198, 51, 100, 7);
    let builder = builder(TO_FIRST).source_address(std::net::IpAddr::from(source));
    assert_eq!(shown(&deliver(builder.dialer(haproxy(&proxy))).await), ["delivered 2.0.0"]);
    let [seen] = proxy.seen().try_into().unwrap();
    assert_eq!(seen.client.ip(), Ipv4Addr::LOCALHOST);
    assert_eq!(seen.bytes, header_v2((source, seen.client.port()).into()));
}

#[tokio::test]
async fn a_proxy_without_a_next_hop_closes_before_the_greeting() {
    let proxy = TestProxy::start(Manner::Closes).await;
    let report = deliver(builder(TO_FIRST).dialer(haproxy(&proxy))).await;
    assert_eq!(shown(&report), ["deferred disconnected greeting 4.4.2"]);
}

#[tokio::test]
async fn law_10_a_loopback_address_behind_a_proxy_is_not_this_host() {
    let server = ScriptedServer::smtp().keyword("AUTH PLAIN").answer("AUTH", "235 2.7.0 ok");
    let server = server.listen_tcp().await.unwrap();
    let route = server.url().replace("://", "://ann:s3cret@");
    let proxy = TestProxy::start(Manner::Socks5(server.address())).await;
    let mut login = LoginSettings::default();
    login.cleartext_on_loopback = true;
    let direct = deliver(builder(&route).login(login.clone())).await;
    assert_eq!(shown(&direct), ["delivered 2.0.0"]);
    let through_proxy = deliver(builder(&route).login(login).dialer(socks5(&proxy))).await;
    assert_eq!(shown(&through_proxy), ["deferred authenticating auth 4.7.5"]);
    assert_eq!(count(&server, "AUTH"), 1);
}

#[tokio::test]
async fn kept_connections_through_a_proxy_are_used_again() {
    let server = server().await;
    let proxy = TestProxy::start(Manner::Socks5(server.address())).await;
    let mut pool = nothing_kept();
    pool.idle = Duration::from_secs(60);
    let deliverer = builder(TO_FIRST).pool(pool).dialer(socks5(&proxy)).build().unwrap();
    for _ in 0..3 {
        let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
        assert_eq!(shown(&report), ["delivered 2.0.0"]);
    }
    assert_eq!((proxy.seen().len(), server.messages().len()), (1, 3));
    in_time(deliverer.close_idle()).await;
}
