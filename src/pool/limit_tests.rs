//! Limits over all keys of an address, limits of the server, and permits of connections that are being closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::*;
use crate::mail::{Envelope, Host, Message};
use crate::proto::{Capabilities, Flight, Protocol, Terms, Transaction};

/// Connections to a server that counts them until they are closed.
#[derive(Debug)]
struct Server {
    open: AtomicUsize,
    most: AtomicUsize,
    closed: AtomicUsize,
    /// Replies to QUIT that are still to come.
    goodbyes: Semaphore,
}

#[derive(Debug)]
struct Connection(Arc<Server>);

impl Connection {
    fn new(server: &Arc<Server>) -> Self {
        let open = server.open.fetch_add(1, Ordering::SeqCst) + 1;
        server.most.fetch_max(open, Ordering::SeqCst);
        Self(Arc::clone(server))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.closed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Carried for Connection {
    fn written(&self) -> u64 {
        0
    }

    fn rest(&mut self) {}

    fn close(self) -> BoxFuture<'static, ()> {
        async move { self.0.goodbyes.acquire().await.unwrap().forget() }.boxed()
    }

    fn abandon(self) -> BoxFuture<'static, ()> {
        self.close()
    }
}

struct Bed {
    pool: Pool<Connection>,
    server: Arc<Server>,
}

impl Bed {
    /// A pool for so many connections to an address, and a server that replies to so many QUITs.
    fn new(connections: usize, goodbyes: usize) -> Self {
        let settings = PoolSettings { connections, ..PoolSettings::default() };
        Self::with(settings, goodbyes)
    }

    fn with(settings: PoolSettings, goodbyes: usize) -> Self {
        let server = Server {
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            goodbyes: Semaphore::new(goodbyes),
        };
        Self { pool: Pool::new(settings), server: Arc::new(server) }
    }

    fn permit(&self, key: &Key) -> Slot<Connection> {
        match self.pool.member(key).enter() {
            Entry::Vacant(slot) => slot,
            other => panic!("{other:?}"),
        }
    }

    fn open(&self, slot: Slot<Connection>) -> Lease<Connection> {
        Lease::new(slot, Connection::new(&self.server), terms())
    }

    fn lease(&self, key: &Key) -> Lease<Connection> {
        self.open(self.permit(key))
    }

    fn wait(&self, key: &Key) -> Ticket<Connection> {
        self.pool.member(key).wait(None, true).unwrap()
    }

    fn is_full(&self, key: &Key) -> bool {
        matches!(self.pool.member(key).enter(), Entry::Full(_))
    }

    fn closed(&self) -> usize {
        self.server.closed.load(Ordering::SeqCst)
    }
}

/// The key of a host of this name, all at one address.
fn name(name: &str) -> Key {
    Key { name: Some(Host::Name(name.parse().unwrap())), ..Key::of_port(1) }
}

fn terms() -> Terms {
    Terms {
        protocol: Protocol::Smtp,
        capabilities: Capabilities { pipelining: true, ..Capabilities::default() },
        pipelining: true,
        chunking: false,
        single_flight_limit: 0,
        utf8_header_as_eight_bit: false,
        eight_bit_clean: false,
        refuse_long_lines: false,
        authenticated: false,
        kept_text: 100,
    }
}

/// The grant that a waiter has by now.
fn grant(ticket: &mut Ticket<Connection>) -> Option<Turn<Connection>> {
    loop {
        match ticket.now_or_never().flatten() {
            // once at most
            Some(Turn::Terms(_)) => {}
            turn => return turn,
        }
    }
}

fn permit(ticket: &mut Ticket<Connection>) -> Slot<Connection> {
    match grant(ticket) {
        Some(Turn::Vacant(slot)) => slot,
        other => panic!("{other:?}"),
    }
}

/// Lets tasks that close connections run.
async fn settle() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn attack_a06_all_keys_of_an_address_share_its_limit() {
    let bed = Bed::new(2, 0);
    let (_first, second) = (bed.permit(&name("a")), bed.permit(&name("b")));
    assert!(bed.is_full(&name("a")) && bed.is_full(&name("b")) && bed.is_full(&name("c")));
    bed.permit(&Key::of_port(2));
    drop(second);
    bed.permit(&name("c"));
}

#[tokio::test]
async fn attack_a06_an_address_may_have_a_limit_of_its_own() {
    for (limit, open) in [(None, 2), (Some(3), 3), (Some(1), 1), (Some(0), 1)] {
        let mut settings = PoolSettings { connections: 2, ..PoolSettings::default() };
        settings.max_connections_per_address = limit;
        let bed = Bed::with(settings, 0);
        let keys = ["a", "a", "b", "b"].map(name);
        let permits: Vec<_> = keys
            .iter()
            .filter_map(|key| match bed.pool.member(key).enter() {
                Entry::Vacant(slot) => Some(slot),
                _ => None,
            })
            .collect();
        assert_eq!(permits.len(), open, "{limit:?}");
    }
}

#[tokio::test]
async fn waiters_of_all_keys_form_one_line() {
    let bed = Bed::new(1, 0);
    let lease = bed.lease(&name("a"));
    let (mut first, mut second, mut third) =
        (bed.wait(&name("b")), bed.wait(&name("a")), bed.wait(&name("b")));
    assert!(lease.give_back().is_none(), "no delivery waits for the goodbye");
    settle().await;
    assert!(grant(&mut first).is_none(), "it is not closed yet");
    bed.server.goodbyes.add_permits(9);
    settle().await;
    drop(bed.open(permit(&mut first)));
    settle().await;
    assert!(grant(&mut third).is_none());
    drop(permit(&mut second));
    drop(permit(&mut third));
}

#[tokio::test]
async fn a_connection_goes_to_its_own_key_if_that_waits_longer() {
    let bed = Bed::new(1, 0);
    let lease = bed.lease(&name("a"));
    let (mut first, mut second) = (bed.wait(&name("a")), bed.wait(&name("b")));
    assert!(lease.give_back().is_none());
    let Some(Turn::Lease(lease)) = grant(&mut first) else { panic!("no grant") };
    assert!(lease.give_back().is_none());
    settle().await;
    assert!(grant(&mut second).is_none(), "it is not closed yet");
    bed.server.goodbyes.add_permits(1);
    settle().await;
    assert!(matches!(grant(&mut second), Some(Turn::Vacant(_))), "another key is the next in line");
}

#[tokio::test]
async fn waiters_of_another_key_that_left_do_not_close_a_connection() {
    let bed = Bed::new(1, 0);
    let lease = bed.lease(&name("a"));
    drop(bed.wait(&name("b")));
    assert!(lease.give_back().is_none());
    assert_eq!(bed.pool.counts().idle, 1);
}

#[tokio::test]
async fn an_idle_connection_of_another_key_is_closed_for_a_waiter() {
    let bed = Bed::new(2, 0);
    let (a, b) = (bed.lease(&name("a")), bed.lease(&name("b")));
    assert!(a.give_back().is_none() && b.give_back().is_none());
    let mut waiter = bed.wait(&name("c"));
    settle().await;
    assert_eq!((bed.pool.counts().idle, bed.closed()), (1, 0), "one is enough");
    assert!(grant(&mut waiter).is_none(), "the server has not closed it yet");
    bed.server.goodbyes.add_permits(1);
    assert!(matches!(waiter.await, Some(Turn::Vacant(_))));
    assert!(bed.pool.member(&name("b")).kept().is_some(), "the one that was idle longest is closed");
}

#[tokio::test]
async fn a_connection_that_is_being_closed_makes_room_for_one_waiter_and_not_for_two() {
    let bed = Bed::new(2, 0);
    let (a, b) = (bed.lease(&name("a")), bed.lease(&name("a")));
    assert!(a.give_back().is_none());
    // the idle one is closed for it
    let mut first = bed.wait(&name("b"));
    let mut second = bed.wait(&name("a"));
    assert!(b.give_back().is_none(), "no other delivery needs the place");
    assert!(matches!(grant(&mut second), Some(Turn::Lease(_))));
    bed.server.goodbyes.add_permits(1);
    settle().await;
    drop(permit(&mut first));
}

#[tokio::test]
async fn a_key_that_has_its_own_limit_closes_no_connection_of_others() {
    let mut settings = PoolSettings { connections: 1, ..PoolSettings::default() };
    settings.max_connections_per_address = Some(2);
    let bed = Bed::with(settings, 0);
    let (_a, b) = (bed.lease(&name("a")), bed.lease(&name("b")));
    let _waiter = bed.wait(&name("a"));
    assert!(b.give_back().is_none());
    assert_eq!(bed.pool.counts().idle, 1);
}

#[tokio::test]
async fn nothing_is_pipelined_before_a_waiter_of_another_key_that_came_first() {
    let bed = Bed::new(1, 0);
    let mut lease = bed.lease(&name("a"));
    let is_pipelined = |lease: &mut Lease<Connection>| {
        let (_, queue) = lease.split().unwrap();
        queue.behind(&terms(), Place { base: 0, after_reset: false }).is_some()
    };
    let other = bed.wait(&name("b"));
    let _own = bed.pool.member(&name("a")).wait(Some(offer()), true).unwrap();
    assert!(!is_pipelined(&mut lease));
    drop(other);
    assert!(is_pipelined(&mut lease));
}

#[tokio::test]
async fn law_3_an_offer_is_withdrawn_unless_it_was_sent_and_the_place_in_line_is_kept() {
    for is_sent in [false, true] {
        let bed = Bed::new(1, 0);
        let mut lease = bed.lease(&name("a"));
        let mut waiter = bed.pool.member(&name("a")).wait(Some(offer()), true).unwrap();
        let mut behind = || {
            let (_, queue) = lease.split().unwrap();
            queue.behind(&terms(), Place { base: 0, after_reset: false }).is_some()
        };
        assert!(!is_sent || behind());
        assert_eq!(waiter.withdraw(), !is_sent);
        assert!(!behind(), "nothing is sent any more");
        assert!(lease.give_back().is_none());
        let grant = grant(&mut waiter);
        assert!(matches!(grant, Some(Turn::Behind(..))) == is_sent, "{grant:?}");
        assert!(matches!(grant, Some(Turn::Lease(_))) != is_sent, "{grant:?}");
    }
}

/// The commands of a message.
fn offer() -> Offer {
    let envelope = Envelope::new("s@example.net").unwrap().to("a@x.example").unwrap();
    let (message, recipients) = (Message::from_bytes("x: y\r\n").unwrap(), [&envelope.recipients()[0]]);
    let mut transaction = Transaction::new(terms(), &envelope, &recipients, message.facts());
    let flight = Flight::of(&mut transaction, &message, false).unwrap();
    Offer { flight, terms: terms(), is_last: true }
}

#[tokio::test]
async fn the_permit_of_a_connection_is_free_when_it_is_closed_and_not_before() {
    let bed = Bed::with(PoolSettings { connections: 1, messages: 1, ..PoolSettings::default() }, 0);
    let key = name("a");
    let closes: [fn(Lease<Connection>) -> BoxFuture<'static, ()>; 3] = [
        // dropped in use
        |lease| async move { drop(lease) }.boxed(),
        // lost, and its permit used for another one
        |lease| async move { drop(lease.into_slot().await) }.boxed(),
        // closed for its age
        |mut lease| {
            lease.split().unwrap().1.count();
            async move { lease.give_back().unwrap().close().await }.boxed()
        },
    ];
    for close in closes {
        let lease = bed.lease(&key);
        let closing = tokio::spawn(close(lease));
        settle().await;
        assert!(bed.is_full(&key), "the server has not closed it");
        bed.server.goodbyes.add_permits(1);
        closing.await.unwrap();
        settle().await;
        assert!(!bed.is_full(&key));
    }
    assert_eq!(bed.server.most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_came_to_a_waiter_who_left_is_kept() {
    let bed = Bed::new(1, 0);
    let lease = bed.lease(&name("a"));
    let leaves = bed.wait(&name("a"));
    assert!(lease.give_back().is_none());
    drop(leaves);
    assert_eq!((bed.pool.counts().idle, bed.closed()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_server_is_learned_from_421_and_expires() {
    let bed = Bed::new(9, 99);
    let key = name("a");
    let leases = [bed.lease(&key), bed.lease(&key)];
    assert_eq!(bed.permit(&key).turned_away(), OtherConnections::Working);
    assert!(bed.is_full(&key), "the server takes two");
    let (mut first, mut second, mut third) = (bed.wait(&key), bed.wait(&key), bed.wait(&key));
    sleep(Duration::from_secs(299)).await;
    assert!(grant(&mut first).is_none());
    sleep(Duration::from_secs(2)).await;
    // one more is tried, and if it works the next
    let probe = permit(&mut first);
    assert!(grant(&mut second).is_none());
    let _lease = bed.open(probe);
    assert_eq!(permit(&mut second).turned_away(), OtherConnections::Working);
    assert!(grant(&mut third).is_none(), "the server takes three");
    drop(leases);
    settle().await;
    drop(permit(&mut third));
}

#[tokio::test]
async fn waiters_connect_again_when_the_last_connection_that_worked_is_gone() {
    let bed = Bed::new(9, 9);
    let key = name("a");
    let lease = bed.lease(&key);
    assert_eq!(bed.permit(&key).turned_away(), OtherConnections::Working);
    let mut waiter = bed.wait(&key);
    drop(lease);
    settle().await;
    drop(permit(&mut waiter));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_no_connection_is_tried_with_one_at_a_time() {
    let bed = Bed::new(9, 9);
    let key = name("a");
    let _user = bed.pool.member(&key);
    let (first, second) = (bed.permit(&key), bed.permit(&key));
    assert_eq!(first.turned_away(), OtherConnections::Unsettled, "the other one may work yet");
    assert_eq!(second.turned_away(), OtherConnections::None);
    let third = bed.permit(&key);
    assert!(bed.is_full(&key));
    // it works after all
    let _lease = bed.open(third);
    let fourth = bed.permit(&key);
    assert!(bed.is_full(&key), "one more at a time");
    let _lease = bed.open(fourth);
    bed.permit(&key);
}

#[tokio::test(start_paused = true)]
async fn attack_a51_a_learned_limit_outlives_the_last_connection_and_is_forgotten_when_it_expires() {
    let bed = Bed::new(9, 9);
    let key = name("a");
    let lease = bed.lease(&key);
    assert_eq!(bed.permit(&key).turned_away(), OtherConnections::Working);
    drop(lease);
    sleep(Duration::from_secs(299)).await;
    let permit = bed.permit(&key);
    assert!(bed.is_full(&key));
    drop(permit);
    sleep(Duration::from_secs(2)).await;
    assert!(format!("{:?}", bed.pool).contains("0 endpoints"), "{:?}", bed.pool);
}

#[tokio::test(start_paused = true)]
async fn a_greeting_with_421_may_be_due_to_a_connection_that_was_closed_meanwhile() {
    let bed = Bed::new(9, 9);
    let key = name("a");
    let lease = bed.lease(&name("b"));
    let permit = bed.permit(&key);
    drop(lease);
    settle().await;
    let _user = bed.pool.member(&key);
    assert_eq!(permit.turned_away(), OtherConnections::Unsettled);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(bed.permit(&key).turned_away(), OtherConnections::None);
}

#[tokio::test]
async fn law_13_the_limit_of_a_server_is_that_of_one_source_address() {
    let bed = Bed::new(9, 9);
    let (one, other) = (name("a"), Key { source: Some([127, 0, 0, 7].into()), ..name("a") });
    let _lease = bed.lease(&one);
    assert_eq!(bed.permit(&other).turned_away(), OtherConnections::None, "none works from there");
    assert!(!bed.is_full(&one));
    assert_eq!(bed.permit(&Key { name: None, ..one.clone() }).turned_away(), OtherConnections::Working);
    assert!(bed.is_full(&one));
}

/// The same key from another source address.
fn from_elsewhere(key: Key) -> Key {
    Key { source: Some([127, 0, 0, 7].into()), ..key }
}

#[tokio::test(start_paused = true)]
async fn law_13_a_connection_closed_from_another_source_address_does_not_count() {
    let bed = Bed::new(9, 9);
    let (lease, permit) = (bed.lease(&name("a")), bed.permit(&from_elsewhere(name("a"))));
    drop(lease);
    settle().await;
    assert_eq!(permit.turned_away(), OtherConnections::None);
}

#[test]
fn a_learned_limit_expires_though_the_runtime_in_which_it_was_learned_has_ended() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (bed, key) = (Bed::new(9, 9), name("a"));
    let _lease = runtime().block_on(async {
        let lease = bed.lease(&key);
        assert_eq!(bed.permit(&key).turned_away(), OtherConnections::Working);
        lease
    });
    runtime().block_on(async {
        let mut waiter = bed.wait(&key);
        sleep(Duration::from_secs(301)).await;
        drop(permit(&mut waiter));
    });
}

#[tokio::test(start_paused = true)]
async fn one_task_waits_for_all_learned_limits_of_an_address() {
    let bed = Bed::new(9, 9);
    let keys = [name("a"), from_elsewhere(name("a"))];
    let _leases = keys.each_ref().map(|key| bed.lease(key));
    let mut waiters = Vec::new();
    for key in &keys {
        assert_eq!(bed.permit(key).turned_away(), OtherConnections::Working);
        waiters.push(bed.wait(key));
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 1);
    sleep(Duration::from_secs(301)).await;
    waiters.iter_mut().for_each(|waiter| drop(permit(waiter)));
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_for_a_waiter_when_a_learned_limit_expires() {
    let mut settings = PoolSettings { connections: 2, ..PoolSettings::default() };
    settings.idle = Duration::from_secs(3600);
    let bed = Bed::with(settings, 9);
    let key = name("a");
    let _lease = bed.lease(&key);
    assert_eq!(bed.permit(&key).turned_away(), OtherConnections::Working);
    assert!(bed.lease(&from_elsewhere(name("b"))).give_back().is_none());
    let mut waiter = bed.wait(&key);
    sleep(Duration::from_secs(299)).await;
    assert_eq!(bed.pool.counts().idle, 1, "the server would not accept one more");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bed.pool.counts().idle, 0);
    drop(permit(&mut waiter));
}

#[tokio::test]
async fn waiters_of_many_keys_are_served_in_the_order_of_arrival_though_some_leave() {
    for seed in 0..20 {
        fastrand::seed(seed);
        let bed = Bed::new(1, 999);
        let mut held = Some(bed.permit(&name("a")));
        let keys: Vec<_> = (0..40).map(|number| name(&format!("k{number}"))).collect();
        let users: Vec<_> = keys.iter().map(|key| bed.pool.member(key)).collect();
        let mut waiters: Vec<_> = (0..200).map(|_| Some(bed.wait(&keys[fastrand::usize(..40)]))).collect();
        for next in 0..waiters.len() {
            let gone = fastrand::usize(next..waiters.len());
            if fastrand::u8(..3) == 0 {
                waiters[gone] = None;
            }
            let Some(mut waiter) = waiters[next].take() else { continue };
            drop(held.take());
            held = Some(permit(&mut waiter));
        }
        drop((held, users));
        assert!(format!("{:?}", bed.pool).contains("0 endpoints"), "seed {seed}: {:?}", bed.pool);
    }
}

#[tokio::test]
async fn without_time_to_live_no_limit_is_learned() {
    let settings =
        PoolSettings { connections: 9, learned_limit_ttl: Duration::ZERO, ..PoolSettings::default() };
    let bed = Bed::with(settings, 9);
    let key = name("a");
    let _lease = bed.lease(&key);
    assert_eq!(bed.permit(&key).turned_away(), OtherConnections::None);
    assert!(!bed.is_full(&key));
}

/// Uses a connection as a delivery does, for a time, and gives it back, closes it, loses it or leaves.
async fn deliver(bed: &Bed, key: &Key) -> Option<()> {
    let member = bed.pool.member(key);
    let mut lost = None;
    for _ in 0..3 {
        let slot = match lost.take() {
            Some(slot) => slot,
            None => match member.enter_or_wait() {
                Err(Entry::Kept(lease)) => return use_up(lease).await,
                Err(Entry::Vacant(slot)) => slot,
                Err(Entry::Full(_)) => unreachable!(),
                Ok(ticket) => match ticket.await? {
                    Turn::Lease(lease) | Turn::Behind(lease, _) => return use_up(lease).await,
                    Turn::Vacant(slot) => slot,
                    Turn::Lost { .. } | Turn::Terms(_) => continue,
                },
            },
        };
        sleep(Duration::from_millis(fastrand::u64(..20))).await;
        if fastrand::u8(..10) == 0 {
            continue;
        }
        let lease = bed.open(slot);
        if fastrand::u8(..10) == 0 {
            lost = lease.into_slot().await;
            continue;
        }
        return use_up(lease).await;
    }
    Some(())
}

async fn use_up(lease: Lease<Connection>) -> Option<()> {
    sleep(Duration::from_millis(fastrand::u64(..50))).await;
    if fastrand::u8(..10) > 0
        && let Some(closing) = lease.give_back()
    {
        closing.close().await;
    }
    Some(())
}

#[tokio::test(start_paused = true)]
async fn whatever_deliveries_do_the_limit_holds_and_each_has_its_turn() {
    for seed in 0..30 {
        fastrand::seed(seed);
        let mut settings = PoolSettings { connections: 3, ..PoolSettings::default() };
        settings.max_connections_per_address = [None, Some(2), Some(7)][usize::from(fastrand::u8(..3))];
        let limit = settings.max_connections_per_address.unwrap_or(3);
        settings.messages = 4;
        let bed = Bed::with(settings, usize::MAX >> 4);
        let keys = [name("a"), name("b"), name("c"), from_elsewhere(name("d")), from_elsewhere(name("e"))];
        let deliveries = (0..300).map(|_| {
            let (bed, key) = (&bed, &keys[usize::from(fastrand::u8(..5))]);
            let (starts, patience) =
                (fastrand::u64(..100), if fastrand::u8(..5) == 0 { 30 } else { 1_000_000 });
            async move {
                sleep(Duration::from_millis(starts)).await;
                let ended = timeout(Duration::from_millis(patience), deliver(bed, key)).await;
                ended.is_ok() || patience < 1000
            }
        });
        let ended = join_all(deliveries).await;
        assert!(ended.iter().all(|ended| *ended), "seed {seed}: some waited for ever");
        let most = bed.server.most.load(Ordering::SeqCst);
        assert!(most <= limit, "seed {seed}: {most} of {limit}");
        sleep(Duration::from_secs(10)).await;
        assert_eq!(bed.server.open.load(Ordering::SeqCst), 0, "seed {seed}");
        assert!(format!("{:?}", bed.pool).contains("0 endpoints"), "seed {seed}: {:?}", bed.pool);
    }
}
