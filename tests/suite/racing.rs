//! Racing stays within one host: what a slow or a live address means for the others.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nexthop::deliverer::{DelivererBuilder, DeliveryLimits};
use nexthop::resolver::MemoryResolverBuilder;
use nexthop::testing::ScriptedServer;
use nexthop::{DefaultPolicy, Event, MemoryResolver, Observer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::{attempts, envelope, in_time, message, shown, timeouts};
use crate::traps::{Traps, by_mx};

const SLOW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const LIVE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// How long a connection may take: several times as long as the next address of the same host would wait.
const PATIENCE: Duration = Duration::from_millis(350);

/// An address where connections neither come about nor fail, and a server at the same port of another one.
struct Bed {
    live: ScriptedServer,
    _silent: Silent,
}

/// An address where connections neither come about nor fail.
pub(crate) struct Silent {
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Silent {
    /// If the address is free.
    pub(crate) async fn at(address: SocketAddr) -> Option<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.ok()?;
        socket.bind(address).ok()?;
        let listener = socket.listen(1).unwrap();
        let queue = filled(listener.local_addr().unwrap()).await;
        Some(Self { _listener: listener, _queue: queue })
    }
}

impl Bed {
    async fn new() -> Self {
        loop {
            let live = ScriptedServer::smtp().listen_at((LIVE, 0).into()).await.unwrap();
            if let Some(silent) = Silent::at((SLOW, live.address().port()).into()).await {
                return Self { live, _silent: silent };
            }
        }
    }

    fn port(&self) -> u16 {
        self.live.address().port()
    }
}

/// Connections that nobody takes up, as many as the system keeps for a listener.
async fn filled(address: SocketAddr) -> Vec<TcpStream> {
    let mut queue = Vec::new();
    let patience = Duration::from_millis(100);
    while let Ok(Ok(stream)) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
        queue.push(stream);
    }
    queue
}

/// When each connection was begun, and when it stood.
#[derive(Debug, Clone, Default)]
struct Times {
    begun: Arc<Mutex<Vec<(String, Instant)>>>,
    stood: Arc<Mutex<Vec<(String, Instant)>>>,
}

impl Observer for Times {
    fn observe(&self, event: &Event<'_>) {
        let (times, connection) = match event {
            Event::Connecting { connection, .. } => (&self.begun, *connection),
            Event::Connected { connection, .. } => (&self.stood, *connection),
            _ => return,
        };
        times.lock().unwrap().push((connection.to_owned(), Instant::now()));
    }
}

impl Times {
    fn begun(&self) -> Vec<String> {
        self.begun.lock().unwrap().iter().map(|(endpoint, _)| endpoint.clone()).collect()
    }

    /// From the beginning of the first connection until one stood.
    fn until_one_stood(&self) -> Duration {
        self.stood.lock().unwrap()[0].1 - self.begun.lock().unwrap()[0].1
    }
}

/// A client that may dial loopback and lets a second address wait for as short a time as can be.
fn client(dns: MemoryResolverBuilder, port: u16) -> DelivererBuilder {
    let policy = DefaultPolicy::default().allow("127.0.0.0/8".parse().unwrap());
    let mut limits = DeliveryLimits::default();
    limits.stagger = Duration::ZERO;
    let timeouts = timeouts(|timeouts| timeouts.connect = PATIENCE);
    by_mx(port).resolver(dns.build().unwrap()).address_policy(policy).limits(limits).timeouts(timeouts)
}

#[tokio::test]
async fn check_100_the_next_preference_waits_for_a_slow_host() {
    let (bed, times) = (Bed::new().await, Times::default());
    let dns =
        MemoryResolver::builder().mx("x.example", 10, "slow.example").mx("x.example", 20, "live.example");
    let dns = dns.ipv4("slow.example", SLOW).ipv4("live.example", LIVE);
    let deliverer = client(dns, bed.port()).observer(times.clone()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    assert_eq!(attempts(&report.recipients()[0]), ["connecting"]);
    assert_eq!(times.begun(), [format!("{SLOW}:{}", bed.port()), bed.live.address().to_string()]);
    assert!(times.until_one_stood() >= PATIENCE, "{times:?}");
}

#[tokio::test]
async fn check_098_the_next_address_of_a_host_waits_100_ms_at_least_and_no_longer_than_it_must() {
    let (bed, times) = (Bed::new().await, Times::default());
    let dns = MemoryResolver::builder().mx("x.example", 10, "mx.example");
    let dns = dns.ipv4("mx.example", SLOW).ipv4("mx.example", LIVE);
    let deliverer = client(dns, bed.port()).observer(times.clone()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    // an address that was given up for a faster one has not failed
    assert_eq!(attempts(&report.recipients()[0]), Vec::<String>::new());
    assert!(times.until_one_stood() >= Duration::from_millis(100), "{times:?}");
}

#[tokio::test]
async fn check_099_of_two_live_addresses_one_hears_something() {
    let second = Ipv4Addr::new(127, 0, 0, 4);
    let (first, trap) = loop {
        let first = ScriptedServer::smtp().listen_at((LIVE, 0).into()).await.unwrap();
        if let Some(trap) = Traps::at(first.address().port(), &[second.into()]) {
            break (first, trap);
        }
    };
    let dns = MemoryResolver::builder().mx("x.example", 10, "mx.example");
    let dns = dns.ipv4("mx.example", LIVE).ipv4("mx.example", second);
    let deliverer = client(dns, first.address().port()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    assert_eq!((first.connections(), trap.caught()), (1, vec![]));
}
