//! Lookups of one delivery while many others wait for name servers that do not answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nexthop::{Attempt, Deliverer, Envelope, HickoryResolver};
use tokio::net::UdpSocket;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, advance, pause, sleep_until};

use crate::support::message;

const DELIVERIES: usize = 120;
const RECIPIENTS: usize = 100;
/// Time that the name server needs to find an answer.
const ROUND_TRIP: Duration = Duration::from_millis(30);
/// Maximum delay of a lookup by those of other deliveries.
const DELAY: Duration = Duration::from_millis(50);

/// Size of a header in bytes (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
const A: u8 = 1;
const MX: u8 = 15;

/// Starts a recursive name server, and returns a resolver for it.
///
/// It finds a mail exchanger for every domain, except that it ignores queries for names below `dead.example`. Once it has
/// found an answer, it replies from its cache.
async fn name_server() -> HickoryResolver {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let resolver = HickoryResolver::from_servers([socket.local_addr().unwrap()]);
    tokio::spawn(async move {
        let (mut bytes, mut found) = ([0; 1500], HashMap::new());
        loop {
            let (length, client) = socket.recv_from(&mut bytes).await.unwrap();
            let Some(reply) = answer(&bytes[..length]) else { continue };
            let question = bytes[HEADER..length].to_ascii_lowercase();
            let found = *found.entry(question).or_insert_with(|| Instant::now() + ROUND_TRIP);
            let socket = Arc::clone(&socket);
            tokio::spawn(async move {
                sleep_until(found).await;
                // the client may have closed its socket
                let _ = socket.send_to(&reply, client).await;
            });
        }
    });
    resolver
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name_ends = query[HEADER..].iter().position(|byte| *byte == 0)?;
    let name = query[HEADER..HEADER + name_ends].to_ascii_lowercase();
    if name.ends_with(b"\x04dead\x07example") {
        return None;
    }
    let question = &query[HEADER..HEADER + name_ends + 5];
    let pointer = [0xc0, HEADER as u8];
    let (kind, data) = match question[name_ends + 2] {
        // the exchanger is `mx` below the domain
        MX => (MX, [&[0, 10, 2][..], b"mx", &pointer].concat()),
        A => (A, vec![192, 0, 2, 1]),
        _ => return Some([&query[..2], &[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0], question].concat()),
    };
    let header = [0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    let record = [&pointer[..], &[0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8], &data].concat();
    Some([&query[..2], &header, question, &record].concat())
}

/// Runs all tasks and sockets until they wait for the clock.
async fn settle() {
    for _ in 0..300 {
        yield_now().await;
    }
}

/// Advances the clock in steps.
async fn pass(steps: u32, step: Duration) {
    for _ in 0..steps {
        advance(step).await;
        settle().await;
    }
}

/// Returns the time to plan the delivery to a recipient of this domain.
async fn time_to_plan(deliverer: &Deliverer, domain: &str) -> Duration {
    let envelope = Envelope::new("s@example.net").unwrap().to(&format!("u@{domain}")).unwrap();
    let deliverer = deliverer.clone();
    let begun = Instant::now();
    let plans = tokio::spawn(async move { deliverer.plans(&envelope, Attempt::default()).await });
    settle().await;
    while !plans.is_finished() && begun.elapsed() < Duration::from_secs(20) {
        pass(1, Duration::from_millis(1)).await;
    }
    let took = begun.elapsed();
    assert!(plans.await.unwrap()[0].to_string().contains("192.0.2.1"), "{domain}");
    took
}

#[tokio::test]
async fn attack_a07_twelve_thousand_recipients_at_silent_domains_do_not_delay_the_lookup_of_another_delivery()
{
    pause();
    // a runtime that is never idle leaves the clock alone, so that sockets take no time
    tokio::spawn(async {
        loop {
            yield_now().await;
        }
    });
    let deliverer = Deliverer::builder("client.example").resolver(name_server().await).build().unwrap();
    let idle = time_to_plan(&deliverer, "first.example").await;
    assert!(idle < 3 * ROUND_TRIP, "{idle:?}");

    let mut deliveries = JoinSet::new();
    for delivery in 0..DELIVERIES {
        let to = (0..RECIPIENTS).map(|recipient| format!("u@d{recipient}.m{delivery}.dead.example"));
        let envelope = Envelope::new("s@example.net").unwrap();
        let envelope = to.fold(envelope, |envelope, to| envelope.to(&to).unwrap());
        let deliverer = deliverer.clone();
        deliveries.spawn(async move { deliverer.deliver(&envelope, &message()).await });
    }
    settle().await;
    let step = Duration::from_millis(10);
    for (domain, later) in
        [("at-once.example", 0), ("soon.example", 1), ("later.example", 50), ("last.example", 200)]
    {
        pass(later, step).await;
        let took = time_to_plan(&deliverer, domain).await;
        assert!(took < idle + DELAY, "{domain}: {took:?}, idle {idle:?}");
    }
    assert_eq!(deliveries.len(), DELIVERIES);
}
