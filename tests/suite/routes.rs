//! From names to connections: exchangers, policies, many destinations at once.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use nexthop::deliverer::{DelivererBuilder, DeliveryLimits};
use nexthop::plan::PlanSettings;
use nexthop::resolver::{MemoryResolverBuilder, RecordKind};
use nexthop::testing::{Rules, ScriptedServer};
use nexthop::{DefaultPolicy, Deliverer, Envelope, MemoryResolver, ResolveError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    CLIENT, SOON, attempts, envelope, in_time, message, nothing_kept, outcomes, shown, taken,
};

/// A deliverer by MX that may dial loopback addresses, at this port.
pub(crate) fn by_mx(dns: MemoryResolverBuilder, port: u16) -> DelivererBuilder {
    let mut plan = PlanSettings::default();
    plan.mx_port = port;
    let policy = DefaultPolicy::default().allow("127.0.0.0/8".parse().unwrap());
    Deliverer::builder(CLIENT)
        .resolver(dns.build().unwrap())
        .address_policy(policy)
        .plan(plan)
        .pool(nothing_kept())
}

/// Servers at 127.0.0.2, 127.0.0.3 and so on that listen on one port.
pub(crate) async fn neighbours<const N: usize>(rules: [Rules; N]) -> (Vec<ScriptedServer>, u16) {
    'ports: loop {
        let mut servers: Vec<ScriptedServer> = Vec::new();
        for (last, rules) in (2..).zip(rules.clone()) {
            let port = servers.first().map_or(0, |server| server.address().port());
            let Ok(server) = rules.listen_at((Ipv4Addr::new(127, 0, 0, last), port).into()).await else {
                continue 'ports;
            };
            servers.push(server);
        }
        let port = servers[0].address().port();
        return (servers, port);
    }
}

pub(crate) fn three_exchangers() -> MemoryResolverBuilder {
    let dns = MemoryResolver::builder();
    dns.mx("x.example", 10, "mx1.example")
        .mx("x.example", 20, "mx2.example")
        .ipv4("mx1.example", [127, 0, 0, 2])
        .ipv4("mx1.example", [127, 0, 0, 3])
        .ipv4("mx2.example", [127, 0, 0, 4])
}

#[tokio::test]
async fn check_075_101_addresses_and_exchangers_are_tried_in_order() {
    let busy = || ScriptedServer::smtp().greeting("421 busy");
    let (servers, port) = neighbours([busy(), busy(), ScriptedServer::smtp()]).await;
    let deliverer = by_mx(three_exchangers(), port).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    let recipient = &report.recipients()[0];
    let tried: Vec<_> =
        recipient.attempts.iter().map(|attempt| attempt.endpoint().unwrap().to_string()).collect();
    assert_eq!(tried, [format!("127.0.0.2:{port}"), format!("127.0.0.3:{port}")]);
    assert_eq!(recipient.hop.as_ref().unwrap().host(), "mx2.example");
    assert_eq!(servers.iter().map(ScriptedServer::connections).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn check_042_attack_a25_after_the_content_no_other_exchanger_is_asked() {
    let unclear = || ScriptedServer::smtp().final_reply("354 what?");
    let (servers, port) = neighbours([unclear(), ScriptedServer::smtp(), ScriptedServer::smtp()]).await;
    let deliverer = by_mx(three_exchangers(), port).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["deferred protocol final 4.5.0?"]);
    assert_eq!(servers.iter().map(ScriptedServer::connections).collect::<Vec<_>>(), [1, 0, 0]);
}

#[tokio::test]
async fn check_093_attack_a01_denied_addresses_are_skipped_and_not_dialled() {
    let (servers, port) =
        neighbours([ScriptedServer::smtp(), ScriptedServer::smtp(), ScriptedServer::smtp()]).await;
    let policy = DefaultPolicy::default().allow("127.0.0.4".parse().unwrap());
    let deliverer = by_mx(three_exchangers(), port).address_policy(policy).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    assert_eq!(attempts(&report.recipients()[0]), ["forbidden", "forbidden"]);
    assert_eq!(servers.iter().map(ScriptedServer::connections).collect::<Vec<_>>(), [0, 0, 1]);
}

#[tokio::test]
async fn check_092_093_attack_a01_strangers_on_loopback_are_not_dialled() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let dns =
        || MemoryResolver::builder().mx("x.example", 10, "mx.example").ipv4("mx.example", [127, 0, 0, 1]);
    let port = server.address().port();
    let deliverer = by_mx(dns(), port).address_policy(DefaultPolicy::default()).build().unwrap();
    let to = Envelope::new("").unwrap().to("a@x.example").unwrap().to("a@[127.0.0.1]").unwrap();
    let report = in_time(deliverer.deliver(&to, &message())).await;
    assert_eq!(shown(&report), ["failed forbidden - 5.4.4"; 2]);
    assert_eq!(server.connections(), 0);
    assert!(report.recipients().iter().all(|recipient| recipient.hop.is_none()));
}

#[tokio::test]
async fn check_089_attack_a03_the_address_that_was_judged_is_the_one_that_is_dialled() {
    let server = ScriptedServer::smtp().listen_at(([127, 0, 0, 2], 0).into()).await.unwrap();
    let dns = MemoryResolver::builder()
        .mx("x.example", 10, "mx.example")
        .ipv4_sequence("mx.example", [[Ipv4Addr::new(127, 0, 0, 2)], [Ipv4Addr::new(127, 0, 0, 1)]]);
    let policy = DefaultPolicy::default().allow("127.0.0.2".parse().unwrap());
    let deliverer = by_mx(dns, server.address().port()).address_policy(policy).build().unwrap();
    let mut words = Vec::new();
    for _ in 0..2 {
        words.extend(shown(&in_time(deliverer.deliver(&envelope("a"), &message())).await));
    }
    assert_eq!(words, ["delivered 2.0.0", "failed forbidden - 5.4.4"]);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn check_071_072_083_what_the_dns_says_for_good_and_for_now() {
    let dns = || MemoryResolver::builder().ipv4("x.example", [127, 0, 0, 1]);
    let failed = ResolveError::temporary("SERVFAIL");
    let table = [
        (MemoryResolver::builder(), "failed routing - 5.1.2"),
        (dns().mx("x.example", 0, "."), "failed routing - 5.1.10"),
        (dns().mx("x.example", 0, CLIENT), "failed routing - 5.4.6"),
        (dns().fail("x.example", RecordKind::Mx, failed), "deferred resolving - 4.4.3"),
    ];
    for (dns, word) in table {
        let deliverer = by_mx(dns, 1).build().unwrap();
        let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
        assert_eq!(shown(&report), [word]);
        assert!(report.recipients()[0].attempts.is_empty(), "{word}");
    }
}

#[tokio::test]
async fn check_095_a_source_address_that_is_not_ours_is_a_failed_connection() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let foreign =
        crate::support::builder(&server.url()).source_address(IpAddr::from([192, 0, 2, 1])).build().unwrap();
    let report = in_time(foreign.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["deferred connecting - 4.4.1"]);
    let ours =
        crate::support::builder(&server.url()).source_address(IpAddr::from([127, 0, 0, 1])).build().unwrap();
    assert!(in_time(ours.deliver(&envelope("a"), &message())).await.is_delivered());
}

/// Recipients at so many domains, each of which is its own exchanger on 127.0.0.1.
fn many_domains(count: usize) -> (MemoryResolverBuilder, Envelope) {
    let domains = (0..count).map(|n| format!("d{n}.example"));
    let begin = (MemoryResolver::builder(), Envelope::new("s@example.net").unwrap());
    domains.fold(begin, |(dns, envelope), domain| {
        (dns.ipv4(&domain, [127, 0, 0, 1]), envelope.to(&format!("r@{domain}")).unwrap())
    })
}

#[tokio::test]
async fn check_286_attack_a51_thousands_of_domains_have_an_outcome_each_in_order() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let (dns, envelope) = many_domains(2000);
    let deliverer = by_mx(dns, server.address().port()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope, &message())).await;
    assert!(report.is_delivered());
    let reported = report.iter().map(|(recipient, _)| recipient.to_string());
    assert!(reported.eq(envelope.recipients().iter().map(ToString::to_string)));
    assert_eq!((server.connections(), server.messages().len()), (2000, 2000));
}

#[tokio::test]
async fn check_034_attack_a51_thousands_of_recipients_of_one_domain_need_few_transactions() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let names: String = (0..2000).map(|n| format!("r{n} ")).collect();
    let words = outcomes(&[&server], &names).await;
    assert!(words.len() == 2000 && words.iter().all(|word| word == "delivered 2.0.0"));
    assert_eq!((server.connections(), taken(&server).len()), (1, 2));
}

#[tokio::test]
async fn attack_a51_no_more_destinations_are_served_at_once_than_the_host_wants() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dns, envelope) = many_domains(10);
    let mut limits = DeliveryLimits::default();
    limits.destinations = 4;
    let deliverer = by_mx(dns, listener.local_addr().unwrap().port()).limits(limits).build().unwrap();
    let (envelope, message) = (Arc::new(envelope), message());
    let delivery = {
        let envelope = Arc::clone(&envelope);
        tokio::spawn(async move { deliverer.deliver(&envelope, &message).await })
    };
    for batch in [4, 4, 2] {
        let mut held = Vec::new();
        for _ in 0..batch {
            held.push(in_time(listener.accept()).await.unwrap().0);
        }
        assert!(tokio::time::timeout(SOON, listener.accept()).await.is_err(), "more than {batch} at once");
        for stream in held {
            turn_away(stream).await;
        }
    }
    assert_eq!(shown(&in_time(delivery).await.unwrap()), ["failed refused greeting 5.3.2"; 10]);
}

async fn turn_away(mut stream: TcpStream) {
    stream.write_all(b"521 no mail here\r\n").await.unwrap();
    let mut said = Vec::new();
    in_time(stream.read_buf(&mut said)).await.unwrap();
    assert_eq!(said, b"QUIT\r\n");
}
