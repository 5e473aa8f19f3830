//! The books of a pool: who has a connection, who is next, and what is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use super::*;
use crate::mail::{Envelope, Message};
use crate::proto::{Capabilities, Flight, Protocol, Terms, Transaction};

/// A connection that counts goodbyes.
#[derive(Debug)]
struct Fake(Arc<AtomicUsize>);

impl Carried for Fake {
    fn written(&self) -> u64 {
        7
    }

    fn rest(&mut self) {}

    fn close(self) -> BoxFuture<'static, ()> {
        async move { _ = self.0.fetch_add(1, Ordering::SeqCst) }.boxed()
    }

    fn abandon(self) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }
}

struct Books {
    pool: Pool<Fake>,
    goodbyes: Arc<AtomicUsize>,
}

impl Books {
    fn new(change: impl FnOnce(&mut PoolSettings)) -> Self {
        let mut settings = PoolSettings { connections: 1, ..PoolSettings::default() };
        change(&mut settings);
        Self { pool: Pool::new(settings), goodbyes: Arc::default() }
    }

    fn vacant(&self, key: &Key) -> Slot<Fake> {
        vacant(&self.pool.member(key))
    }

    fn lease(&self, key: &Key) -> Lease<Fake> {
        Lease::new(self.vacant(key), Fake(Arc::clone(&self.goodbyes)), terms())
    }

    fn line(&self, offer: Option<Offer>) -> Ticket<Fake> {
        self.pool.member(&key(1)).wait(offer, true).unwrap()
    }

    /// A connection that nobody uses.
    fn idle(&self, port: u16) {
        assert!(self.lease(&key(port)).give_back().is_none());
    }

    fn goodbyes(&self) -> usize {
        self.goodbyes.load(Ordering::SeqCst)
    }

    fn is_full(&self) -> bool {
        matches!(self.pool.member(&key(1)).enter(), Entry::Full(_))
    }
}

fn vacant(member: &Member<Fake>) -> Slot<Fake> {
    match member.enter() {
        Entry::Vacant(slot) => slot,
        other => panic!("{other:?}"),
    }
}

fn key(port: u16) -> Key {
    Key::of_port(port)
}

fn terms() -> Terms {
    Terms {
        protocol: Protocol::Smtp,
        capabilities: Capabilities { pipelining: true, ..Capabilities::default() },
        pipelining: true,
        chunking: false,
        single_flight_limit: 0,
        eight_bit_clean: false,
        utf8_header_as_eight_bit: false,
        refuse_long_lines: false,
        authenticated: false,
        kept_text: 100,
    }
}

/// What a delivery has to say up to DATA, or with its content.
fn offer(is_whole: bool) -> Offer {
    let envelope = Envelope::new("s@example.net").unwrap().to("a@x.example").unwrap();
    let (message, recipients) = (Message::from_bytes("x: y\r\n").unwrap(), [&envelope.recipients()[0]]);
    let mut transaction = Transaction::new(terms(), &envelope, &recipients, message.facts());
    let flight = Flight::of(&mut transaction, &message, false).unwrap();
    Offer { flight: Flight { is_whole, ..flight }, terms: terms(), is_last: true }
}

fn behind(lease: &mut Lease<Fake>, terms: &Terms, place: Place) -> Option<Flight> {
    lease.split().unwrap().1.behind(terms, place)
}

/// What somebody in line was told by now.
fn told(ticket: &mut Ticket<Fake>) -> Option<Turn<Fake>> {
    ticket.now_or_never().flatten()
}

fn place(base: u64) -> Place {
    Place { base, after_reset: false }
}

#[tokio::test]
async fn room_is_for_as_many_as_the_limit_and_a_slot_that_is_dropped_is_room_again() {
    let books = Books::new(|settings| settings.connections = 2);
    let (first, _second) = (books.vacant(&key(1)), books.vacant(&key(1)));
    assert!(books.is_full());
    drop(first);
    books.vacant(&key(1));
}

#[tokio::test]
async fn every_key_has_room_of_its_own() {
    let books = Books::new(|settings| settings.max_connections_per_address = Some(2));
    let _slot = books.vacant(&key(1));
    books.vacant(&key(2));
    books.vacant(&Key { is_stranger: true, ..key(1) });
}

#[tokio::test]
async fn a_slot_that_is_dropped_goes_to_whoever_waits_longest_and_is_there() {
    let books = Books::new(|_| ());
    let slot = books.vacant(&key(1));
    let (gone, mut first, mut second) = (books.line(None), books.line(None), books.line(None));
    drop(gone);
    drop(slot);
    assert!(told(&mut second).is_none());
    let Some(Turn::Vacant(slot)) = told(&mut first) else { panic!("nobody was told") };
    drop(slot);
    assert!(matches!(told(&mut second), Some(Turn::Vacant(_))));
}

#[tokio::test]
async fn a_turn_that_nobody_takes_up_is_that_of_the_next() {
    let books = Books::new(|_| ());
    let lease = books.lease(&key(1));
    let (first, mut second) = (books.line(None), books.line(None));
    assert!(lease.give_back().is_none());
    drop(first);
    assert!(matches!(told(&mut second), Some(Turn::Lease(_))), "nothing was sent on it");
}

#[tokio::test]
async fn a_connection_that_is_given_back_is_that_of_the_next_in_line() {
    let books = Books::new(|_| ());
    let lease = books.lease(&key(1));
    let mut next = books.line(None);
    assert!(lease.give_back().is_none());
    assert!(matches!(told(&mut next), Some(Turn::Lease(_))));
}

#[tokio::test]
async fn law_3_whoever_is_behind_a_lost_connection_is_told_how_much_was_written() {
    let books = Books::new(|_| ());
    let mut lease = books.lease(&key(1));
    let mut next = books.line(Some(offer(false)));
    assert!(behind(&mut lease, &terms(), place(3)).is_some());
    drop(lease);
    let told = told(&mut next);
    assert!(matches!(&told, Some(Turn::Lost { place: at, written: 7, .. }) if *at == place(3)), "{told:?}");
    assert!(books.is_full(), "the permit is that of whoever was behind");
    drop(told);
    books.vacant(&key(1));
}

#[tokio::test]
async fn law_3_of_a_connection_that_was_dropped_in_use_it_is_known_how_much_was_written() {
    let books = Books::new(|_| ());
    let mut lease = books.lease(&key(1));
    let mut next = books.line(Some(offer(false)));
    let in_use = async {
        let (_line, queue) = lease.split().unwrap();
        assert!(queue.behind(&terms(), place(3)).is_some());
        std::future::pending::<()>().await;
    };
    assert!(in_use.now_or_never().is_none());
    drop(lease);
    let told = told(&mut next);
    assert!(matches!(told, Some(Turn::Lost { written: 7, .. })), "{told:?}");
}

#[tokio::test]
async fn a_delivery_in_line_is_told_the_terms_of_the_server_once_and_then_makes_an_offer() {
    let books = Books::new(|_| ());
    let slot = books.vacant(&key(1));
    let line = || books.pool.member(&key(1)).wait(None, false).unwrap();
    let (mut told_later, mut withdrawn) = (line(), line());
    assert!(withdrawn.withdraw());
    let mut lease = Lease::new(slot, Fake(Arc::clone(&books.goodbyes)), terms());
    assert!(matches!(told(&mut told_later), Some(Turn::Terms(known)) if known == terms()));
    assert!(told(&mut told_later).is_none() && told(&mut withdrawn).is_none(), "they are still in line");
    assert!(behind(&mut lease, &terms(), place(3)).is_none());
    books.pool.member(&key(1)).offer(&mut told_later, Some(offer(false)));
    assert!(behind(&mut lease, &terms(), place(3)).is_some());
}

#[tokio::test]
async fn nobody_is_behind_whoever_has_still_more_to_say() {
    let books = Books::new(|settings| settings.window = 9);
    let mut lease = books.lease(&key(1));
    let _line = [books.line(Some(offer(false))), books.line(Some(offer(false)))];
    assert!(behind(&mut lease, &terms(), place(3)).is_some());
    assert!(behind(&mut lease, &terms(), place(4)).is_none());
}

#[tokio::test]
async fn no_more_whole_messages_are_on_their_way_than_the_window_has() {
    let books = Books::new(|settings| settings.window = 3);
    let mut lease = books.lease(&key(1));
    let _line: Vec<_> = (0..4).map(|_| books.line(Some(offer(true)))).collect();
    let sent = std::iter::from_fn(|| behind(&mut lease, &terms(), place(3))).count();
    assert_eq!(sent, 2);
}

#[tokio::test]
async fn whoever_leaves_the_line_knows_whether_what_it_offered_was_sent() {
    let books = Books::new(|settings| settings.window = 9);
    let mut lease = books.lease(&key(1));
    let (first, mut second) = (books.line(Some(offer(true))), books.line(Some(offer(true))));
    assert!(behind(&mut lease, &terms(), place(3)).is_some());
    second.leave();
    assert!(behind(&mut lease, &terms(), place(4)).is_none());
    assert!(first.is_sent() && !second.is_sent());
}

#[tokio::test]
async fn a_turn_that_comes_while_somebody_leaves_is_that_of_the_next() {
    let books = Books::new(|_| ());
    let slot = books.vacant(&key(1));
    let (mut leaves, mut next) = (books.line(None), books.line(None));
    drop(slot);
    leaves.leave();
    assert!(matches!(told(&mut next), Some(Turn::Vacant(_))));
    assert!(told(&mut leaves).is_none());
}

#[tokio::test]
async fn whoever_waits_is_woken_when_the_turn_comes_and_when_nobody_is_left_to_call_it() {
    let books = Books::new(|_| ());
    let lease = books.lease(&key(1));
    let turn = tokio::spawn(books.line(None));
    tokio::task::yield_now().await;
    assert!(lease.give_back().is_none());
    let Some(Turn::Lease(lease)) = turn.await.unwrap() else { panic!("nobody was told") };
    let never = tokio::spawn(books.line(None));
    tokio::task::yield_now().await;
    lease.into_slot().await.unwrap().group.state().waiting.clear();
    assert!(never.await.unwrap().is_none());
}

#[tokio::test]
async fn an_offer_for_another_server_is_not_sent() {
    let books = Books::new(|_| ());
    let mut lease = books.lease(&key(1));
    let _line = books.line(Some(offer(false)));
    assert!(behind(&mut lease, &Terms { authenticated: true, ..terms() }, place(3)).is_none());
}

#[tokio::test]
async fn more_idle_connections_than_the_bound_part_with_the_oldest() {
    let books = Books::new(|settings| settings.idle_connections = 2);
    (1..=3).for_each(|port| books.idle(port));
    tokio::task::yield_now().await;
    assert_eq!((books.pool.counts().idle, books.goodbyes()), (2, 1));
    assert!(books.pool.member(&key(1)).kept().is_none() && books.pool.member(&key(3)).kept().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_idle_for_too_long_is_closed() {
    let books = Books::new(|_| ());
    books.idle(1);
    tokio::time::sleep(Duration::from_millis(5100)).await;
    assert_eq!((books.pool.counts().idle, books.goodbyes()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_grew_old_takes_no_further_message() {
    let books = Books::new(|settings| settings.age = Duration::from_secs(10));
    let (young, old) = (books.lease(&key(1)), books.lease(&key(2)));
    tokio::time::advance(Duration::from_secs(9)).await;
    assert!(young.give_back().is_none());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(old.give_back().is_some());
}

#[tokio::test(start_paused = true)]
async fn nobody_goes_behind_on_a_connection_that_grew_old_during_a_message() {
    for (age, is_sent) in [(9, true), (10, false)] {
        let books = Books::new(|settings| settings.age = Duration::from_secs(10));
        let mut lease = books.lease(&key(1));
        let place = Place { base: 0, after_reset: false };
        let _next = books.line(Some(offer(false)));
        // its age is known before time passes
        assert!(behind(&mut lease, &Terms { kept_text: 1, ..terms() }, place).is_none());
        tokio::time::advance(Duration::from_secs(age)).await;
        lease.split().unwrap().1.resume();
        assert_eq!(behind(&mut lease, &terms(), place).is_some(), is_sent, "{age}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_should_have_been_closed_by_now_is_waited_for_until_it_is() {
    let books = Books::new(|_| ());
    books.idle(1);
    // the clock goes on, and the task that looks after it has not had a turn
    tokio::time::advance(Duration::from_secs(6)).now_or_never();
    assert!(matches!(books.pool.member(&key(1)).wait(None, true), Err(Entry::Full(_))));
    let next = books.line(None);
    assert!(matches!(next.await, Some(Turn::Vacant(_))));
    assert_eq!(books.goodbyes(), 1);
}

#[tokio::test]
async fn whoever_got_into_line_while_a_connection_was_put_aside_has_it() {
    let books = Books::new(|_| ());
    let lease = books.lease(&key(1));
    let (item, mut next) = (Fake(Arc::default()), books.line(None));
    let (slot, other) = (lease.into_slot().await.unwrap(), books.vacant(&key(2)));
    let held = Box::new(lease::Held::new(other, item));
    let idle = group::Idle { held, since: tokio::time::Instant::now() };
    assert!(slot.shared.keep(&slot.group, idle).is_err());
    drop(slot);
    assert!(matches!(told(&mut next), Some(Turn::Vacant(_))));
}

#[test]
fn connections_are_looked_after_though_the_first_runtime_has_ended() {
    let books = Books::new(|_| ());
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime().block_on(async { books.idle(1) });
    runtime().block_on(async {
        books.idle(2);
        tokio::time::sleep(Duration::from_millis(5100)).await;
    });
    assert_eq!(books.pool.counts().idle, 0);
}

#[tokio::test]
async fn attack_a51_a_group_that_nobody_needs_is_forgotten() {
    let books = Books::new(|_| ());
    let (user, other) = (books.pool.member(&key(1)), books.pool.member(&key(1)));
    let slot = vacant(&user);
    drop(user);
    drop(slot);
    assert!(format!("{:?}", books.pool).contains("1 endpoints"), "the other user may want one");
    drop(other);
    assert!(format!("{:?}", books.pool).contains("0 endpoints"));
}

#[tokio::test]
async fn users_of_equal_keys_share_the_room() {
    let books = Books::new(|_| ());
    let (user, other) = (books.pool.member(&key(1)), books.pool.member(&key(1)));
    let _slot = vacant(&user);
    assert!(matches!(other.enter(), Entry::Full(_)));
}

/// Whether a lease has somebody to send for, or is woken when there is.
fn listens(lease: &mut Lease<Fake>, waker: &Waker) -> bool {
    lease.split().unwrap().1.listen(&terms(), waker)
}

#[tokio::test]
async fn whoever_has_a_connection_is_woken_once_when_somebody_gets_into_line() {
    let books = Books::new(|_| ());
    let (mut lease, (count, waker)) = (books.lease(&key(1)), counting_waker());
    assert!(!listens(&mut lease, &waker) && !listens(&mut lease, &waker));
    let _line = [books.line(Some(offer(false))), books.line(Some(offer(false)))];
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(listens(&mut lease, &waker), "the offer fits");
    assert!(behind(&mut lease, &terms(), place(3)).is_some());
    assert!(!listens(&mut lease, &waker), "nobody goes behind whoever has more to say");
}

#[tokio::test]
async fn whoever_gave_a_connection_back_is_not_woken() {
    let books = Books::new(|_| ());
    let (mut lease, (count, waker)) = (books.lease(&key(1)), counting_waker());
    assert!(!listens(&mut lease, &waker));
    assert!(lease.give_back().is_none());
    let _lease = books.pool.member(&key(1)).kept();
    let _line = books.line(None);
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
}

/// Counts how often it is woken.
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counting_waker() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    (Arc::clone(&count), count.into())
}

#[tokio::test]
async fn a_delivery_that_lines_up_as_the_server_becomes_known_is_told_its_terms() {
    let books = Books::new(|_| ());
    let slot = books.vacant(&key(1));
    let member = books.pool.member(&key(1));
    assert!(matches!(member.enter(), Entry::Full(None)));
    // on another thread
    let _lease = Lease::new(slot, Fake(Arc::clone(&books.goodbyes)), terms());
    let mut ticket = member.wait(None, false).unwrap();
    assert!(matches!(told(&mut ticket), Some(Turn::Terms(_))));
}

#[tokio::test]
async fn the_first_delivery_behind_a_lost_connection_gets_its_permit_before_later_ones() {
    let books = Books::new(|_| ());
    let mut lease = books.lease(&key(1));
    let mut follower = books.line(Some(offer(false)));
    assert!(behind(&mut lease, &terms(), place(9)).is_some());
    let mut late = books.line(None);
    drop(lease);
    let Some(Turn::Lost { slot: Some(slot), .. }) = told(&mut follower) else { panic!("no permit") };
    for _ in 0..9 {
        tokio::task::yield_now().await;
    }
    assert!(told(&mut late).is_none(), "it came later");
    drop(slot);
    assert!(matches!(told(&mut late), Some(Turn::Vacant(_))));
}

/// A task that is polled by whoever wakes it, and asks the pool for a connection.
struct Inline(Member<Fake>);

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        drop(self.0.kept());
    }
}

#[test]
fn no_delivery_is_woken_under_the_lock_of_its_endpoint() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let books = Books::new(|_| ());
        let slot = books.vacant(&key(1));
        let mut ticket = books.pool.member(&key(1)).wait(None, false).unwrap();
        let waker = Waker::from(Arc::new(Inline(books.pool.member(&key(1)))));
        assert!(ticket.poll_unpin(&mut std::task::Context::from_waker(&waker)).is_pending());
        let _lease = Lease::new(slot, Fake(Arc::clone(&books.goodbyes)), terms());
        let _ = done.send(());
    });
    assert!(is_done.recv_timeout(Duration::from_secs(5)).is_ok(), "it deadlocks");
}
