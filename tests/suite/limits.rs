//! Limits of connections and sessions, as the server counts them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nexthop::deliverer::{DelivererBuilder, DeliveryLimits};
use nexthop::resolver::MemoryResolverBuilder;
use nexthop::testing::{Rules, ScriptedServer};
use nexthop::{Deliverer, Envelope, MemoryResolver, PoolSettings, Report, TlsLevel, TlsSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use crate::racing::Silent;
use crate::routes::{by_mx, neighbours};
use crate::sink::{CHUNKING, Manner, PIPELINING, Sink};
use crate::support::{builder, count, envelope, in_time, message, nothing_kept, shown, timeouts};
use crate::traps::Dialled;

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const LIVE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// So many connections, kept for long.
fn at_most(connections: usize) -> PoolSettings {
    let mut pool = PoolSettings::default();
    (pool.connections, pool.idle) = (connections, Duration::from_secs(60));
    pool
}

fn limits(change: impl FnOnce(&mut DeliveryLimits)) -> DeliveryLimits {
    let mut limits = DeliveryLimits::default();
    change(&mut limits);
    limits
}

/// Delivers messages to each of these domains, all at once.
async fn burst(deliverer: &Deliverer, domains: &[String], count: usize) -> Vec<Report> {
    let to = |number: usize| {
        let recipient = format!("a@{}", domains[number % domains.len()]);
        Envelope::new("s@example.net").unwrap().to(&recipient).unwrap()
    };
    let (envelopes, message) = ((0..count).map(to).collect::<Vec<_>>(), message());
    in_time(join_all(envelopes.iter().map(|envelope| deliverer.deliver(envelope, &message)))).await
}

async fn all_delivered(deliverer: &Deliverer, domains: &[String], count: usize) {
    let reports = burst(deliverer, domains, count).await;
    let failed: Vec<_> = reports.iter().filter(|report| !report.is_delivered()).map(shown).collect();
    assert!(failed.is_empty(), "{} of {count}: {:?}", failed.len(), failed[0]);
}

fn one_domain() -> [String; 1] {
    ["x.example".into()]
}

/// A host with these addresses in this order.
fn host(addresses: &[Ipv4Addr]) -> MemoryResolverBuilder {
    let dns = MemoryResolver::builder().mx("x.example", 10, "mx.example");
    addresses.iter().fold(dns, |dns, address| dns.ipv4("mx.example", *address))
}

/// A server at the second address of a host whose first one is silent.
async fn behind_silence(manner: Manner) -> (Silent, Sink) {
    loop {
        let sink = Sink::listen_at((LIVE, 0).into(), manner).await.unwrap();
        if let Some(silent) = Silent::at((FIRST, sink.port()).into()).await {
            return (silent, sink);
        }
    }
}

/// The limit holds whatever the server is like; it counts a connection until it has closed its own end.
const MANNERS: [Manner; 4] = [
    PIPELINING,
    Manner { closes_after: Some(3), ..PIPELINING },
    Manner { lingers: true, closes_after: Some(3), ..CHUNKING },
    Manner { lingers: true, ..CHUNKING },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_with_a_silent_first_address_keeps_to_the_limit_of_the_second() {
    for manner in MANNERS {
        for limit in [1, 5] {
            let (_silent, sink) = behind_silence(manner).await;
            let pool = at_most(limit);
            let deliverer = by_mx(host(&[FIRST, LIVE]), sink.port()).pool(pool).build().unwrap();
            all_delivered(&deliverer, &one_domain(), 500).await;
            assert!(sink.most_open() <= limit, "{} at limit {limit}: {manner:?}", sink.most_open());
            assert_eq!(sink.messages().len(), 500);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_with_a_first_address_that_refuses_keeps_to_the_limit_of_the_second() {
    for manner in MANNERS {
        let sink = Sink::listen_at((LIVE, 0).into(), manner).await.unwrap();
        let deliverer = by_mx(host(&[FIRST, LIVE]), sink.port()).pool(at_most(5)).build().unwrap();
        all_delivered(&deliverer, &one_domain(), 500).await;
        assert!(sink.most_open() <= 5, "{}: {manner:?}", sink.most_open());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn localhost_with_a_server_on_one_of_its_addresses_keeps_to_the_limit() {
    for (manner, address) in MANNERS.iter().flat_map(|manner| LOOPBACK.map(|address| (*manner, address))) {
        // without IPv6 there is no such address
        let Ok(sink) = Sink::listen_at(SocketAddr::new(address, 0), manner).await else { continue };
        let route = format!("smtp://localhost:{}", sink.port());
        let deliverer = builder(&route).pool(at_most(5)).build().unwrap();
        all_delivered(&deliverer, &one_domain(), 500).await;
        assert!(sink.most_open() <= 5, "{} at {address}: {manner:?}", sink.most_open());
    }
}

/// Two servers at the addresses of one host.
async fn two(first: Manner) -> (Sink, Sink) {
    loop {
        let one = Sink::listen_at((FIRST, 0).into(), first).await.unwrap();
        if let Ok(other) = Sink::listen_at((LIVE, one.port()).into(), PIPELINING).await {
            return (one, other);
        }
    }
}

#[tokio::test]
async fn an_address_that_waits_for_a_permit_does_not_delay_the_next_one() {
    let (first, second) = two(Manner { is_held: true, ..PIPELINING }).await;
    let deliverer = by_mx(host(&[FIRST, LIVE]), first.port()).pool(at_most(1)).build().unwrap();
    let (to, text) = (envelope("a"), message());
    let mut busy = Box::pin(deliverer.deliver(&to, &text));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut busy).await.is_err());
    let began = Instant::now();
    all_delivered(&deliverer, &one_domain(), 1).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!((second.connections(), first.connections()), (1, 1));
    first.release(9);
    assert!(in_time(busy).await.is_delivered());
}

#[tokio::test]
async fn a_connection_that_becomes_free_is_used_while_other_addresses_are_tried() {
    // the second address is silent
    let (_silent, sink) =
        behind_silence(Manner { takes_time: Duration::from_millis(400), ..PIPELINING }).await;
    let deliverer = by_mx(host(&[LIVE, FIRST]), sink.port()).pool(at_most(1)).build().unwrap();
    all_delivered(&deliverer, &one_domain(), 3).await;
    assert_eq!((sink.connections(), sink.messages().len()), (1, 3));
}

#[tokio::test]
async fn law_3_no_other_address_is_tried_once_the_commands_were_sent_on_a_shared_connection() {
    let (first, second) = two(Manner { takes_time: Duration::from_millis(600), ..PIPELINING }).await;
    let deliverer = by_mx(host(&[FIRST, LIVE]), first.port()).pool(at_most(1)).build().unwrap();
    // shows what the server offers
    all_delivered(&deliverer, &one_domain(), 1).await;
    // the commands of the second go behind the content of the first
    all_delivered(&deliverer, &one_domain(), 2).await;
    assert_eq!((first.messages().len(), first.connections(), second.connections()), (3, 1, 0));
}

/// Domains whose mail exchangers have names of their own and one address.
fn names_of_one_address(count: usize) -> (Vec<String>, MemoryResolverBuilder) {
    let domains: Vec<_> = (0..count).map(|number| format!("d{number}.example")).collect();
    let dns = domains.iter().fold(MemoryResolver::builder(), |dns, domain| {
        let host = format!("mx.{domain}");
        dns.mx(domain, 10, host.as_str()).ipv4(host.as_str(), LIVE)
    });
    (domains, dns)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a06_sixty_names_of_one_address_share_its_limit() {
    for manner in MANNERS {
        let sink = Sink::listen_at((LIVE, 0).into(), manner).await.unwrap();
        let (domains, dns) = names_of_one_address(60);
        let deliverer = by_mx(dns, sink.port()).pool(at_most(5)).build().unwrap();
        all_delivered(&deliverer, &domains, 500).await;
        assert!(sink.most_open() <= 5, "{}: {manner:?}", sink.most_open());
        assert_eq!(sink.messages().len(), 500);
    }
}

#[tokio::test]
async fn attack_a06_an_address_may_have_more_connections_than_a_name() {
    let sink = Sink::listen_at((LIVE, 0).into(), PIPELINING).await.unwrap();
    let (domains, dns) = names_of_one_address(10);
    let mut pool = at_most(2);
    pool.max_connections_per_address = Some(7);
    let deliverer = by_mx(dns, sink.port()).pool(pool).build().unwrap();
    all_delivered(&deliverer, &domains, 100).await;
    assert_eq!(sink.most_open(), 7);
}

#[tokio::test]
async fn attack_a06_an_idle_connection_under_another_name_gives_its_place() {
    let sink = Sink::listen_at((LIVE, 0).into(), PIPELINING).await.unwrap();
    let (domains, dns) = names_of_one_address(3);
    let deliverer = by_mx(dns, sink.port()).pool(at_most(2)).build().unwrap();
    let began = Instant::now();
    for domain in &domains {
        all_delivered(&deliverer, std::slice::from_ref(domain), 1).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "waited for the idle timeout");
    assert_eq!((sink.connections(), sink.most_open()), (3, 2));
    // the one that was idle longest is closed, the other is still there
    all_delivered(&deliverer, &domains[1..], 2).await;
    assert_eq!(sink.connections(), 3);
}

#[tokio::test]
async fn deliveries_that_are_dropped_leave_their_permits_to_the_others() {
    let (_silent, sink) = behind_silence(PIPELINING).await;
    let deliverer = by_mx(host(&[FIRST, LIVE]), sink.port()).pool(at_most(2)).build().unwrap();
    let (to, text) = (envelope("a"), message());
    for _ in 0..3 {
        let mut dropped: Vec<_> = (0..20).map(|_| Box::pin(deliverer.deliver(&to, &text))).collect();
        for (number, delivery) in dropped.iter_mut().enumerate() {
            let patience = Duration::from_millis(if number % 2 == 0 { 1 } else { 20 });
            let _ = tokio::time::timeout(patience, delivery).await;
        }
        drop(dropped);
        all_delivered(&deliverer, &one_domain(), 20).await;
    }
    assert!(sink.most_open() <= 2, "{}", sink.most_open());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_wait_for_the_connections_that_a_server_takes() {
    for manner in [
        Manner { takes: Some(2), ..PIPELINING },
        Manner { takes: Some(1), ..CHUNKING },
        Manner { takes: Some(2), closes_after: Some(5), ..PIPELINING },
    ] {
        let sink = Sink::listen(manner).await;
        let deliverer = builder(&sink.url()).pool(at_most(10)).build().unwrap();
        all_delivered(&deliverer, &one_domain(), 200).await;
        assert_eq!(sink.messages().len(), 200);
        // what is learned is kept to
        let before = sink.connections();
        all_delivered(&deliverer, &one_domain(), 200).await;
        let allowed = 200usize.div_ceil(manner.closes_after.unwrap_or(200)) + 2;
        assert!(sink.connections() - before <= allowed, "{} of {allowed}", sink.connections() - before);
    }
}

#[tokio::test]
async fn a_delivery_under_another_name_waits_for_the_connections_that_a_server_takes() {
    let manner = Manner { takes: Some(1), ..PIPELINING };
    let sink = Sink::listen_at((LIVE, 0).into(), manner).await.unwrap();
    let (domains, dns) = names_of_one_address(4);
    let deliverer = by_mx(dns, sink.port()).pool(at_most(10)).build().unwrap();
    all_delivered(&deliverer, &domains, 40).await;
}

#[tokio::test]
async fn a_server_that_takes_no_connection_defers_its_mail_after_a_few() {
    let server = ScriptedServer::smtp().greeting("421 busy").listen_tcp().await.unwrap();
    let deliverer = builder(&server.url()).pool(at_most(10)).build().unwrap();
    let reports = burst(&deliverer, &one_domain(), 50).await;
    let words: Vec<_> = reports.iter().flat_map(shown).collect();
    assert!(words.iter().all(|word| word == "deferred refused greeting 4.3.2"), "{words:?}");
    assert!(server.connections() <= 50 * 5, "{}", server.connections());
}

#[tokio::test]
async fn a_server_that_took_none_and_takes_some_again_is_connected_to_again() {
    let manner = Manner { turns_away: Some(1), ..PIPELINING };
    let sink = Sink::listen(manner).await;
    let deliverer = builder(&sink.url()).pool(at_most(3)).build().unwrap();
    assert_eq!(shown(&burst(&deliverer, &one_domain(), 1).await[0]), ["deferred refused greeting 4.3.2"]);
    all_delivered(&deliverer, &one_domain(), 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_166_the_connection_in_the_clear_follows_when_the_first_one_is_closed() {
    let sink = Sink::listen(Manner { breaks_tls: true, lingers: true, ..PIPELINING }).await;
    let deliverer = builder(&sink.url()).pool(nothing_kept_at_most(1)).build().unwrap();
    for count in [1, 1, 20] {
        all_delivered(&deliverer, &one_domain(), count).await;
    }
    assert_eq!((sink.connections(), sink.most_open()), (6, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_without_early_commands_follows_when_the_first_one_is_closed() {
    let sink = Sink::listen(Manner { is_early_once: true, lingers: true, ..PIPELINING }).await;
    let mut tls = TlsSettings::default();
    tls.level = TlsLevel::Off;
    let deliverer = builder(&sink.url()).pool(nothing_kept_at_most(1)).tls(tls).build().unwrap();
    for _ in 0..3 {
        all_delivered(&deliverer, &one_domain(), 1).await;
    }
    // the second message took two
    assert_eq!((sink.connections(), sink.most_open()), (4, 1));
}

#[tokio::test]
async fn connections_without_a_session_keep_to_the_limit_until_the_server_has_closed_them() {
    let late = Manner { greets_after: SHORT, ..PIPELINING };
    let broken = Manner { breaks_tls: true, lingers: true, ..PIPELINING };
    let busy = Manner { takes: Some(0), lingers: true, ..PIPELINING };
    for manner in [late, broken, busy] {
        let sink = Sink::listen_at((LIVE, 0).into(), manner).await.unwrap();
        let short = timeouts(|timeouts| timeouts.greeting = SHORT / 4);
        let mut tls = TlsSettings::default();
        tls.cleartext_after_failure = false;
        let mut pool = at_most(2);
        pool.learned_limit_ttl = Duration::ZERO;
        let deliverer = by_mx(host(&[LIVE]), sink.port()).pool(pool).timeouts(short).tls(tls);
        let reports = burst(&deliverer.build().unwrap(), &one_domain(), 12).await;
        assert!(reports.iter().all(|report| !report.is_delivered()), "{manner:?}");
        assert!(sink.most_open() <= 2, "{}: {manner:?}", sink.most_open());
    }
}

#[tokio::test]
async fn connections_of_deliveries_that_are_dropped_keep_to_the_limit_until_the_server_has_closed_them() {
    let late = Manner { greets_after: SHORT, ..PIPELINING };
    let sink = Sink::listen_at((LIVE, 0).into(), late).await.unwrap();
    let deliverer = by_mx(host(&[LIVE]), sink.port()).pool(at_most(2)).build().unwrap();
    let (to, text) = (envelope("a"), message());
    for _ in 0..6 {
        let deliveries = (0..2).map(|_| deliverer.deliver(&to, &text));
        assert!(tokio::time::timeout(SHORT / 4, join_all(deliveries)).await.is_err());
    }
    all_delivered(&deliverer, &one_domain(), 4).await;
    assert!(sink.most_open() <= 2, "{}", sink.most_open());
}

#[tokio::test]
async fn deliveries_overlap_that_waited_before_the_server_was_known() {
    let sink = Sink::listen(PIPELINING).await;
    let deliverer = builder(&sink.url()).pool(at_most(1)).build().unwrap();
    all_delivered(&deliverer, &one_domain(), 30).await;
    // EHLO and the commands of the first message cost one each, and each content one
    assert!(sink.turns() <= 33, "{}", sink.turns());
}

#[tokio::test]
async fn deliveries_overlap_on_a_host_with_two_addresses_that_are_full() {
    let slow = Manner { takes_time: Duration::from_millis(20), ..PIPELINING };
    let first = Sink::listen_at((FIRST, 0).into(), slow).await.unwrap();
    let second = Sink::listen_at((LIVE, first.port()).into(), slow).await.unwrap();
    let deliverer = by_mx(host(&[FIRST, LIVE]), first.port()).pool(at_most(1)).build().unwrap();
    all_delivered(&deliverer, &one_domain(), 60).await;
    assert_eq!(first.messages().len() + second.messages().len(), 60);
    let turns = first.turns() + second.turns();
    // a message that waits in line with nothing offered costs two
    assert!(turns < 75, "{turns}");
}

/// Says these lines one after another to each client, whatever that says, and keeps its end of the connection open.
async fn stays_open(lines: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            for line in lines {
                stream.write_all(line.as_bytes()).await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await.unwrap();
            }
            kept.push(stream);
        }
    });
    address
}

#[tokio::test]
async fn a_report_does_not_wait_until_the_server_closes_the_connection() {
    let taken = &[
        "220 mx.example\r\n",
        "250 mx.example\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "354 go\r\n",
        "250 2.0.0 taken\r\n",
        "221 bye\r\n",
    ];
    let closing: [(&'static [&'static str], _); 4] = [
        (taken, "delivered 2.0.0"),
        (&["421 busy\r\n"], "deferred refused greeting 4.3.2"),
        (&["554 no\r\n", "221 bye\r\n"], "deferred refused greeting 4.3.2"),
        (&["220 mx.example\r\n", "421 busy\r\n"], "deferred refused hello 4.3.2"),
    ];
    for (lines, outcome) in closing {
        let server = stays_open(lines).await;
        let deliverer = builder(&format!("smtp://{server}")).pool(nothing_kept()).build().unwrap();
        let began = Instant::now();
        let reports = burst(&deliverer, &one_domain(), 1).await;
        // the server has a second to close its end
        assert!(began.elapsed() < Duration::from_millis(900), "{:?} {outcome}", began.elapsed());
        assert_eq!(shown(&reports[0]), [outcome]);
    }
}

fn nothing_kept_at_most(connections: usize) -> PoolSettings {
    let mut pool = nothing_kept();
    pool.connections = connections;
    pool
}

/// Exchangers with two addresses each, all with these rules.
fn exchangers(count: usize) -> MemoryResolverBuilder {
    (0..count).fold(MemoryResolver::builder(), |dns, number| {
        let (host, preference) = (format!("mx{number}.example"), 10 + u16::try_from(number).unwrap());
        let last = 2 + 2 * u8::try_from(number).unwrap();
        dns.mx("x.example", preference, host.as_str())
            .ipv4(host.as_str(), [127, 0, 0, last])
            .ipv4(host.as_str(), [127, 0, 0, last + 1])
    })
}

async fn connections<const N: usize>(
    rules: [Rules; N],
    change: impl FnOnce(DelivererBuilder) -> DelivererBuilder,
    to: &str,
) -> (Vec<String>, Vec<usize>) {
    let (servers, port) = neighbours(rules).await;
    let deliverer = change(by_mx(exchangers(N / 2), port)).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope(to), &message())).await;
    (shown(&report), servers.iter().map(ScriptedServer::connections).collect())
}

fn smtp() -> Rules {
    ScriptedServer::smtp()
}

#[tokio::test]
async fn greylisting_by_seven_exchangers_of_two_addresses_costs_five_sessions() {
    let refusals: [fn(Rules) -> Rules; 4] = [
        |rules| rules.mail("450 4.7.1 later"),
        |rules| rules.answer("RCPT", "450 4.7.1 later"),
        |rules| rules.answer("DATA", "450 4.7.1 later"),
        |rules| rules.final_reply("450 4.7.1 later"),
    ];
    for refuses in refusals {
        let rules = std::array::from_fn::<_, 14, _>(|_| refuses(smtp()));
        let (words, connections) = Box::pin(connections(rules, |builder| builder, "a")).await;
        assert!(words[0].starts_with("deferred refused") && words[0].ends_with("4.7.1"), "{words:?}");
        assert_eq!(connections, [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
    }
}

#[tokio::test]
async fn a_relay_at_another_port_of_one_address_is_another_host() {
    let busy = smtp().mail("450 4.7.1 later").listen_tcp().await.unwrap();
    let server = smtp().listen_tcp().await.unwrap();
    let outcomes = |route: String| async move {
        let deliverer = builder(&route).build().unwrap();
        shown(&in_time(deliverer.deliver(&envelope("a"), &message())).await)
    };
    assert_eq!(outcomes(format!("{},{}", busy.url(), server.url())).await, ["delivered 2.0.0"]);
    let same = format!("{},{}", busy.url(), busy.url().replace("127.0.0.1", "localhost"));
    assert_eq!(outcomes(same).await, ["deferred refused mail-from 4.7.1"]);
    assert_eq!(busy.connections(), 3, "a host of another name is another one");
}

#[tokio::test]
async fn check_101_after_a_failure_before_the_transaction_the_other_address_is_tried() {
    for fails in [
        |rules: Rules| rules.greeting("450 later"),
        |rules: Rules| rules.greeting("421 later"),
        |rules: Rules| rules.answer("EHLO", "450 later"),
    ] {
        let rules = std::array::from_fn::<_, 14, _>(|_| fails(smtp()));
        let (words, connections) = Box::pin(connections(rules, |builder| builder, "a")).await;
        assert!(words[0].starts_with("deferred refused"), "{words:?}");
        assert_eq!(connections, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}

#[tokio::test]
async fn check_076_at_least_two_sessions_are_allowed() {
    let rules = || [smtp().mail("450 later"), smtp(), smtp(), smtp()];
    for most in [0, 1, 2] {
        let limits = limits(|limits| limits.max_sessions = most);
        let (words, connections) = connections(rules(), |builder| builder.limits(limits), "a").await;
        assert_eq!((words, connections), (vec!["delivered 2.0.0".to_owned()], vec![1, 0, 1, 0]));
    }
}

#[tokio::test]
async fn check_287_hosts_that_there_is_no_session_for_give_hope() {
    let refuses = || smtp().greeting("521 never");
    let rules = || std::array::from_fn::<_, 6, _>(|_| refuses());
    let limits = |most| limits(|limits| limits.max_sessions = most);
    let (words, tried) = connections(rules(), |builder| builder.limits(limits(5)), "a").await;
    assert_eq!((words[0].as_str(), tried.iter().sum()), ("deferred throttled - 4.4.0", 5));
    let (words, tried) = connections(rules(), |builder| builder.limits(limits(6)), "a").await;
    assert_eq!((words[0].as_str(), tried.iter().sum()), ("failed refused greeting 5.3.2", 6));
}

#[tokio::test]
async fn connections_that_fail_are_no_sessions() {
    let (mut servers, port) = neighbours(std::array::from_fn::<_, 8, _>(|_| smtp())).await;
    servers.drain(..7);
    let limits = limits(|limits| limits.max_sessions = 2);
    let deliverer = by_mx(exchangers(4), port).limits(limits).build().unwrap();
    assert!(in_time(deliverer.deliver(&envelope("a"), &message())).await.is_delivered());
}

#[tokio::test]
async fn a_recipient_that_was_refused_leaves_the_host_and_the_others_stay() {
    // the first address refuses b and breaks off at the content, the second one takes everything
    let dialogue = "S: 220 x\nC: EHLO *\nS: 250 x\nC: MAIL *\nS: 250 ok\nC: RCPT TO:<a@x.example>\nS: 250 ok\n\
        C: RCPT TO:<b@x.example>\nS: 450 4.7.1 later\nC: DATA\nS: <close>";
    let first = ScriptedServer::script(dialogue).listen_at((FIRST, 0).into()).await.unwrap();
    let port = first.address().port();
    let second = smtp().listen_at((LIVE, port).into()).await.unwrap();
    let deliverer = by_mx(host(&[FIRST, LIVE]), port).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a b"), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0", "deferred refused rcpt-to 4.7.1"]);
    assert_eq!(count(&second, "RCPT"), 1);
}

#[tokio::test]
async fn a_kept_connection_counts_as_a_session() {
    let (servers, port) = neighbours(std::array::from_fn::<_, 6, _>(|_| {
        // takes the first message
        smtp().recipient("b@x.example", "450 4.7.1 later")
    }))
    .await;
    let limits = limits(|limits| limits.max_sessions = 2);
    let deliverer = by_mx(exchangers(3), port).limits(limits).pool(at_most(5)).build().unwrap();
    assert!(in_time(deliverer.deliver(&envelope("a"), &message())).await.is_delivered());
    assert!(!in_time(deliverer.deliver(&envelope("b"), &message())).await.is_delivered());
    let connections: Vec<_> = servers.iter().map(ScriptedServer::connections).collect();
    assert_eq!(connections, [1, 0, 1, 0, 0, 0]);
}

/// A unix socket with room for two connections in its backlog, both taken.
fn full_socket(
    path: &std::path::Path,
) -> (std::os::unix::net::UnixListener, Vec<std::os::unix::net::UnixStream>) {
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(path).unwrap();
    let listener = socket.listen(1).unwrap().into_std().unwrap();
    let queue = (0..2).map(|_| std::os::unix::net::UnixStream::connect(path).unwrap()).collect();
    (listener, queue)
}

#[tokio::test]
async fn a_unix_socket_with_a_full_backlog_is_tried_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let (listener, queue) = full_socket(&path);
    let url = format!("lmtp+unix://{}", path.display());
    let deliverer = builder(&url).build().unwrap();
    let (to, text) = (envelope("a"), message());
    let mut delivery = Box::pin(deliverer.deliver(&to, &text));
    assert!(futures_util::poll!(&mut delivery).is_pending(), "EAGAIN is no refusal");
    drop(queue);
    let listener = UnixListener::from_std(listener).unwrap();
    let server = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if lmtp(stream).await.is_ok() {
                return;
            }
        }
    };
    let (report, ()) = in_time(futures_util::future::join(delivery, server)).await;
    assert!(report.is_delivered(), "{report}");
}

/// Takes one message.
async fn lmtp(stream: tokio::net::UnixStream) -> std::io::Result<()> {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 x\r\n").await?;
    let (mut line, mut in_content) = (String::new(), false);
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let reply = match line.trim_end() {
            "." => "250 2.0.0 taken\r\n",
            _ if in_content => continue,
            "DATA" => "354 go\r\n",
            "QUIT" => return stream.write_all(b"221 bye\r\n").await,
            _ => "250 ok\r\n",
        };
        in_content = reply.starts_with('3');
        stream.write_all(reply.as_bytes()).await?;
    }
}

#[tokio::test]
async fn a_unix_socket_whose_backlog_stays_full_is_left_at_the_time_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let (_listener, _queue) = full_socket(&path);
    let limit = Duration::from_millis(300);
    let deliverer = builder(&format!("lmtp+unix://{}", path.display()))
        .timeouts(timeouts(|timeouts| timeouts.connect = limit))
        .build()
        .unwrap();
    let began = Instant::now();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert!(began.elapsed() >= limit);
    let failure = report.recipients()[0].outcome.failure().unwrap();
    assert_eq!(failure.kind().to_string(), "connecting");
    assert!(failure.detail().contains("backlog"), "{failure}");
}

/// What an attempt at a silent host is ended by, and whether the host is dialled last by the next delivery.
async fn is_put_off_after(
    silent: Ipv4Addr,
    port: u16,
    change: impl FnOnce(DelivererBuilder) -> DelivererBuilder,
) -> bool {
    let dns = MemoryResolver::builder().mx("x.example", 10, "silent.example").ipv4("silent.example", silent);
    let dns = dns
        .mx("y.example", 10, "silent.example")
        .mx("y.example", 20, "z.example")
        .ipv4("z.example", [127, 0, 0, 9]);
    let dialled = Dialled::default();
    let deliverer = change(by_mx(dns, port)).observer(dialled.clone()).build().unwrap();
    for domain in ["x.example", "y.example"] {
        assert!(!burst(&deliverer, &[domain.into()], 1).await[0].is_delivered());
    }
    let first_of_each = [0, 1].map(|place| dialled.endpoints()[place].starts_with(&silent.to_string()));
    assert!(first_of_each[0]);
    !first_of_each[1]
}

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn law_13_a_host_is_put_off_for_its_own_silence_and_not_for_the_end_of_our_time() {
    let attempt = || limits(|limits| limits.attempt = Some(SHORT));
    // connects and does not greet
    let listener = TcpListener::bind((FIRST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let greeting = |time| timeouts(|timeouts| timeouts.greeting = time);
    let budget = timeouts(|timeouts| timeouts.session = Some(SHORT));
    assert!(is_put_off_after(FIRST, port, |builder| builder.timeouts(greeting(SHORT))).await);
    assert!(!is_put_off_after(FIRST, port, |builder| builder.limits(attempt())).await);
    assert!(!is_put_off_after(FIRST, port, |builder| builder.timeouts(budget)).await);
    // does not connect
    let silent = Silent::at((LIVE, port).into()).await.unwrap();
    let connect = |time| timeouts(|timeouts| timeouts.connect = time);
    assert!(is_put_off_after(LIVE, port, |builder| builder.timeouts(connect(SHORT))).await);
    assert!(!is_put_off_after(LIVE, port, |builder| builder.limits(attempt())).await);
    drop(silent);
}

#[tokio::test]
async fn law_13_a_healthy_host_is_not_put_off_because_another_one_took_the_time() {
    let manner = Manner { greets_after: Duration::from_millis(400), ..PIPELINING };
    let (slow, healthy) = loop {
        let healthy = Sink::listen_at((LIVE, 0).into(), manner).await.unwrap();
        if let Ok(slow) = TcpListener::bind((FIRST, healthy.port())).await {
            break (slow, healthy);
        }
    };
    let dns = MemoryResolver::builder().ipv4("slow.example", FIRST).ipv4("healthy.example", LIVE);
    let dns = dns.mx("x.example", 10, "slow.example").mx("x.example", 20, "healthy.example");
    let dns = dns.mx("y.example", 10, "healthy.example").mx("y.example", 20, "other.example");
    let (dns, dialled) = (dns.ipv4("other.example", [127, 0, 0, 4]), Dialled::default());
    let deliverer = by_mx(dns, healthy.port())
        .limits(limits(|limits| limits.attempt = Some(Duration::from_millis(800))))
        .timeouts(timeouts(|timeouts| timeouts.greeting = Duration::from_millis(600)))
        .observer(dialled.clone())
        .build()
        .unwrap();
    let reports = burst(&deliverer, &["x.example".into()], 1).await;
    assert_eq!(shown(&reports[0]), ["deferred timed-out greeting 4.4.2"]);
    let reports = burst(&deliverer, &["y.example".into()], 1).await;
    assert_eq!(shown(&reports[0]), ["delivered 2.0.0"]);
    let hosts = [FIRST, LIVE, LIVE].map(|host| format!("{host}:{}", healthy.port()));
    assert_eq!(dialled.endpoints(), hosts, "it is not put off");
    drop(slow);
}

#[tokio::test]
async fn law_13_a_wait_in_line_that_the_attempt_ended_marks_no_host() {
    let sink = Sink::listen_at((LIVE, 0).into(), Manner { is_held: true, ..PIPELINING }).await.unwrap();
    let limits = limits(|limits| limits.attempt = Some(SHORT));
    let dialled = Dialled::default();
    let deliverer = by_mx(host(&[LIVE]), sink.port())
        .limits(limits)
        .pool(at_most(1))
        .observer(dialled.clone())
        .build()
        .unwrap();
    let reports = burst(&deliverer, &one_domain(), 3).await;
    assert!(reports.iter().all(|report| !report.is_delivered()));
    sink.release(9);
    all_delivered(&deliverer, &one_domain(), 1).await;
}
