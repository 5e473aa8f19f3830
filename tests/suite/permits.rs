//! Permits of deliveries that are dropped, or that find room at another address; deliverers that outlive a runtime.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nexthop::deliverer::DeliveryLimits;
use nexthop::{Deliverer, Envelope, MemoryResolver, PoolSettings, Report};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::routes::by_mx;
use crate::sink::{Manner, PIPELINING, Sink};
use crate::support::{builder, envelope, in_time, message};

const A: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const C: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const B: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
const LONG: Duration = Duration::from_secs(8);

fn at_most(connections: usize) -> PoolSettings {
    let mut pool = PoolSettings::default();
    (pool.connections, pool.idle) = (connections, Duration::from_secs(60));
    pool
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn law_8_a_delivery_that_is_dropped_while_it_connects_keeps_its_permit_while_the_server_has_the_connection()
 {
    let sink = Sink::listen(Manner { lingers: true, ..PIPELINING }).await;
    let deliverer = builder(&sink.url()).pool(at_most(1)).build().unwrap();
    let (to, text) = (envelope("a"), message());
    for _ in 0..5 {
        let mut delivery = Box::pin(deliverer.deliver(&to, &text));
        assert!(futures_util::poll!(&mut delivery).is_pending());
    }
    assert!(in_time(deliverer.deliver(&to, &text)).await.is_delivered());
    assert!(sink.most_open() <= 1, "{} connections at limit 1", sink.most_open());
}

async fn three(manners: [Manner; 3]) -> [Sink; 3] {
    loop {
        let a = Sink::listen_at((A, 0).into(), manners[0]).await.unwrap();
        let c = Sink::listen_at((C, a.port()).into(), manners[1]).await;
        let b = Sink::listen_at((B, a.port()).into(), manners[2]).await;
        if let (Ok(c), Ok(b)) = (c, b) {
            return [a, c, b];
        }
    }
}

fn start(deliverer: &Deliverer, domain: &str) -> JoinHandle<Report> {
    let (deliverer, recipient) = (deliverer.clone(), format!("a@{domain}"));
    tokio::spawn(async move {
        let to = Envelope::new("s@example.net").unwrap().to(&recipient).unwrap();
        deliverer.deliver(&to, &message()).await
    })
}

/// x.example has the addresses A, C, B; the owner of b.example has B alone.
#[tokio::test]
async fn law_8_a_permit_of_another_address_is_used_at_once() {
    let held = Manner { is_held: true, ..PIPELINING };
    let [a, c, b] = three([held, held, PIPELINING]).await;
    let dns = MemoryResolver::builder()
        .mx("x.example", 10, "mx.example")
        .ipv4("mx.example", A)
        .ipv4("mx.example", C)
        .ipv4("mx.example", B)
        .mx("c.example", 10, "mxc.example")
        .ipv4("mxc.example", C)
        .mx("b.example", 10, "mxb.example")
        .ipv4("mxb.example", B);
    let mut limits = DeliveryLimits::default();
    limits.stagger = Duration::from_millis(600);
    let deliverer = by_mx(dns, a.port()).pool(at_most(1)).limits(limits).build().unwrap();
    // shows what A offers
    a.release(1);
    assert!(in_time(start(&deliverer, "x.example")).await.unwrap().is_delivered());
    // A and C are busy
    let (first, other) = (start(&deliverer, "x.example"), start(&deliverer, "c.example"));
    sleep(Duration::from_millis(50)).await;
    // waits at A with an offer, and takes the permit of B after 600 ms
    let second = start(&deliverer, "x.example");
    sleep(Duration::from_millis(900)).await;
    c.release(1);
    assert!(in_time(other).await.unwrap().is_delivered());
    sleep(Duration::from_millis(600)).await;
    assert_eq!((a.connections(), c.connections(), b.connections()), (1, 1, 1), "B is connected to");
    let report = timeout(LONG, start(&deliverer, "b.example")).await;
    assert!(report.is_ok(), "B has no connection, and yet nobody may connect to it");
    c.release(9);
    a.release(9);
    let _ = in_time(futures_util::future::join(first, second)).await;
}

#[test]
fn a_deliverer_may_be_dropped_on_a_runtime_without_timers() {
    let (own, panics) = (std::thread::current().id(), Arc::new(AtomicUsize::new(0)));
    let (seen, before) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == own {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        before(panic);
    }));
    let first = runtime();
    let deliverer = first.block_on(async {
        let sink = Sink::listen(PIPELINING).await;
        let deliverer = builder(&sink.url()).pool(at_most(1)).build().unwrap();
        assert!(deliverer.deliver(&envelope("a"), &message()).await.is_delivered());
        deliverer
    });
    Builder::new_current_thread().build().unwrap().block_on(async move {
        drop(deliverer);
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    });
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}
