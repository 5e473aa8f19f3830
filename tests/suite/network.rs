//! Deliveries in a simulated network.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nexthop::testing::{Cut, CutKind, HostState, Link, Network, Rules, ScriptedServer};
use nexthop::{Deliverer, Endpoint, Envelope, MemoryResolver, Message, PoolSettings, Report};
use tokio::time::Instant;

use crate::support::shown;

const FIRST: Ipv4Addr = Ipv4Addr::new(45, 11, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(45, 12, 0, 2);

fn port_25(host: Ipv4Addr) -> SocketAddr {
    (host, 25).into()
}

/// Delivers to a domain with two exchangers.
fn deliverer(network: &Network) -> Deliverer {
    let dns =
        MemoryResolver::builder().mx("x.example", 10, "first.example").mx("x.example", 20, "second.example");
    let dns = dns.ipv4("first.example", FIRST).ipv4("second.example", SECOND);
    let builder =
        Deliverer::builder("client.example").resolver(dns.build().unwrap()).dialer(network.dialer());
    builder.seed(7).build().unwrap()
}

async fn deliver(deliverer: &Deliverer) -> Report {
    let envelope = Envelope::new("s@example.net").unwrap().to("a@x.example").unwrap();
    deliverer.deliver(&envelope, &Message::from_bytes("Subject: hello\r\n\r\nworld\r\n").unwrap()).await
}

fn server() -> Rules {
    ScriptedServer::smtp()
}

fn slow() -> Link {
    let mut link = Link::default();
    link.latency = Duration::from_millis(50);
    link
}

#[tokio::test(start_paused = true)]
async fn a_message_is_delivered_to_a_public_address_in_virtual_time() {
    let network = Network::new(1);
    let first = server().listen_in(&network, port_25(FIRST)).unwrap();
    network.set_link(FIRST, slow());
    let began = Instant::now();
    assert_eq!(shown(&deliver(&deliverer(&network)).await), ["delivered 2.0.0"]);
    // connecting, greeting, EHLO, commands and content cost 100 ms each; the connection costs as much as a round trip
    assert_eq!(began.elapsed(), Duration::from_millis(450));
    assert_eq!(first.messages().len(), 1);
    assert_eq!(network.dialled(), [Endpoint::Tcp(port_25(FIRST))]);
}

#[tokio::test(start_paused = true)]
async fn hosts_that_refuse_or_are_silent_are_followed_by_the_next_one() {
    for state in [HostState::Refuses, HostState::Silent, HostState::Unreachable] {
        let network = Network::new(1);
        let _first = server().listen_in(&network, port_25(FIRST)).unwrap();
        let second = server().listen_in(&network, port_25(SECOND)).unwrap();
        network.set_host(FIRST, state);
        assert_eq!(shown(&deliver(&deliverer(&network)).await), ["delivered 2.0.0"], "{state:?}");
        assert_eq!(second.messages().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_delays_what_is_under_way_and_hides_the_host() {
    let network = Network::new(1);
    let _first = server().listen_in(&network, port_25(FIRST)).unwrap();
    network.set_link(FIRST, slow());
    let hour = Duration::from_secs(3600);
    let (one, other) = (deliverer(&network), deliverer(&network));
    // while the greeting is under way
    network.partition(FIRST, Duration::from_millis(120), hour / 60);
    let began = Instant::now();
    assert_eq!(shown(&deliver(&one).await), ["delivered 2.0.0"]);
    assert!(began.elapsed() >= hour / 60, "{:?}", began.elapsed());
    network.partition(FIRST, Duration::ZERO, hour);
    assert_eq!(shown(&deliver(&other).await), ["deferred connecting - 4.4.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_cut_at_the_byte_that_was_named() {
    for (kind, outcome) in [
        (CutKind::Reset, "deferred disconnected final 4.4.2?"),
        (CutKind::HalfClose, "deferred disconnected final 4.4.2?"),
        (CutKind::BlackHole, "deferred timed-out final 4.4.2?"),
    ] {
        let network = Network::new(1);
        let first = server().without("CHUNKING").listen_in(&network, port_25(FIRST)).unwrap();
        let mut link = Link::default();
        // the replies up to the one to the content, of which one byte arrives
        let said = "220 mx.example ESMTP\r\n250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
                    250-ENHANCEDSTATUSCODES\r\n250 SIZE\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go ahead\r\n";
        link.to_client = Some(Cut::new(said.len() as u64 + 1, kind));
        network.set_link(FIRST, link);
        assert_eq!(shown(&deliver(&deliverer(&network)).await), [outcome], "{kind:?}");
        assert_eq!(first.messages().len(), 1, "it arrived");
    }
}

#[tokio::test(start_paused = true)]
async fn the_network_counts_connections_as_the_server_does() {
    let network = Network::new(1);
    let _first = server().listen_in(&network, port_25(FIRST)).unwrap();
    let mut pool = PoolSettings::default();
    pool.connections = 3;
    let deliverer = deliverer_with(&network, pool);
    let deliveries = (0..20).map(|_| deliver(&deliverer));
    let reports = futures_util::future::join_all(deliveries).await;
    assert!(reports.iter().all(Report::is_delivered));
    let endpoint = Endpoint::Tcp(port_25(FIRST));
    assert_eq!((network.most_open(&endpoint), network.connections(&endpoint)), (3, 3));
    assert_eq!((network.most_held(&endpoint), network.held(&endpoint)), (3, 3), "they are kept");
    deliverer.close_idle().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((network.open(&endpoint), network.held(&endpoint)), (0, 0));
}

fn deliverer_with(network: &Network, pool: PoolSettings) -> Deliverer {
    let dns = MemoryResolver::builder().ipv4("x.example", FIRST);
    let builder =
        Deliverer::builder("client.example").resolver(dns.build().unwrap()).dialer(network.dialer());
    builder.pool(pool).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_runs_of_one_seed_have_the_same_transcript() {
    let mut transcripts = Vec::new();
    for _ in 0..2 {
        let network = Network::new(42);
        let mut link = slow();
        link.jitter = Duration::from_millis(30);
        network.set_default_link(link);
        let _first = server().listen_in(&network, port_25(FIRST)).unwrap();
        let _second = server().listen_in(&network, port_25(SECOND)).unwrap();
        let deliverer = deliverer(&network);
        futures_util::future::join_all((0..5).map(|_| deliver(&deliverer))).await;
        transcripts.push(network.transcript());
    }
    assert!(transcripts[0].len() > 20);
    assert_eq!(transcripts[0], transcripts[1]);
}
