//! Queries that share few permits.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::{advance, sleep, timeout};

use super::*;

const SLICE: Duration = Duration::from_millis(20);
const MOMENT: Duration = Duration::from_millis(1);

fn permits(limit: usize) -> Arc<Permits> {
    Arc::new(Permits::new(limit, SLICE))
}

/// Counts the queries in flight.
#[derive(Debug, Default)]
struct Flights {
    now: AtomicUsize,
    most: AtomicUsize,
    sent: AtomicUsize,
}

struct Flight<'a>(&'a Flights);

impl Flights {
    fn start(&self) -> Flight<'_> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        Flight(self)
    }

    fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs a query that is answered after `time` in flight.
async fn query(permits: Arc<Permits>, requester: Requester, flights: Arc<Flights>, time: Duration) {
    let permit = permits.acquire(permits.lookup_id(), requester).await;
    permit
        .run(|| async {
            let _flight = flights.start();
            sleep(time).await;
        })
        .await;
}

/// Starts queries that are never answered. Returns their tasks and the counts of their flights.
async fn unanswered(
    permits: &Arc<Permits>,
    requester: Requester,
    count: usize,
) -> (tokio::task::JoinSet<()>, Arc<Flights>) {
    let (mut tasks, flights) = (tokio::task::JoinSet::new(), Arc::new(Flights::default()));
    for _ in 0..count {
        let (permits, flights) = (Arc::clone(permits), Arc::clone(&flights));
        tasks.spawn(async move {
            let permit = permits.acquire(permits.lookup_id(), requester).await;
            permit
                .run(|| async {
                    let _flight = flights.start();
                    pending::<()>().await;
                })
                .await;
        });
    }
    settle().await;
    (tasks, flights)
}

/// Waits for a future that must complete within ten seconds.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), future).await.expect("no permit")
}

/// Runs all tasks until they wait for the clock.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn assert_unused(permits: &Permits, limit: usize) {
    let state = permits.state();
    assert_eq!(state.free, limit);
    assert!(state.queries.is_empty() && state.in_flight.is_empty(), "{state:?}");
    assert!(state.shares.is_empty() && state.queue.is_empty() && state.promised.is_empty(), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_queries_than_permits_are_in_flight_and_all_end() {
    let (permits, flights) = (permits(8), Arc::new(Flights::default()));
    let requesters: Vec<_> = (0..5).map(|_| Requester::new()).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let queries = (0..300).map(|i| {
        let requester = requesters[i * i % requesters.len()];
        let time = Duration::from_millis(random.u64(1..400));
        let (permits, flights) = (Arc::clone(&permits), Arc::clone(&flights));
        let (starts, ends) = (random.u64(0..900), Duration::from_millis(random.u64(1..20_000)));
        tokio::spawn(async move {
            sleep(Duration::from_millis(starts)).await;
            timeout(ends, query(permits, requester, flights, time)).await.is_ok()
        })
    });
    let done = join_all(queries.collect::<Vec<_>>()).await;
    let done = done.into_iter().filter(|done| *done.as_ref().unwrap()).count();
    assert!(done > 150, "{done}");
    assert_eq!(flights.most.load(Ordering::Relaxed), 8);
    assert!(flights.sent.load(Ordering::Relaxed) > 300, "none was sent again");
    assert_unused(&permits, 8);
}

#[tokio::test(start_paused = true)]
async fn without_contention_a_query_keeps_its_permit() {
    let (permits, flights) = (permits(2), Arc::new(Flights::default()));
    let requester = Requester::new();
    let query = || query(Arc::clone(&permits), requester, Arc::clone(&flights), SLICE * 100);
    tokio::join!(query(), query());
    assert_eq!(flights.sent.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_requester_with_many_permits_gives_one_to_another_at_once() {
    let permits = permits(10);
    let (_many, flights) = unanswered(&permits, Requester::new(), 100).await;
    assert_eq!(flights.now(), 10);
    let start = Instant::now();
    let other = Requester::new();
    let _permit = in_time(permits.acquire(permits.lookup_id(), other)).await;
    assert_eq!((start.elapsed(), flights.now()), (Duration::ZERO, 9));
}

#[tokio::test(start_paused = true)]
async fn requesters_with_many_queries_have_equal_numbers_of_permits() {
    let permits = permits(12);
    let (_first, of_first) = unanswered(&permits, Requester::new(), 100).await;
    let (_second, of_second) = unanswered(&permits, Requester::new(), 100).await;
    let (_third, of_third) = unanswered(&permits, Requester::new(), 2).await;
    assert_eq!((of_first.now(), of_second.now(), of_third.now()), (5, 5, 2));
}

#[tokio::test(start_paused = true)]
async fn a_requester_with_more_permits_takes_none_from_another() {
    let permits = permits(3);
    let (_other, of_other) = unanswered(&permits, Requester::new(), 1).await;
    advance(4 * SLICE).await;
    let (_many, flights) = unanswered(&permits, Requester::new(), 50).await;
    assert_eq!((flights.now(), of_other.sent.load(Ordering::Relaxed)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_query_takes_the_permit_of_the_oldest_one_after_a_time_slice() {
    let (permits, flights) = (permits(3), Arc::new(Flights::default()));
    let mut tasks = tokio::task::JoinSet::new();
    let mut all = Vec::new();
    for _ in 0..3 {
        let (more, of) = unanswered(&permits, Requester::new(), 1).await;
        tasks.spawn(more.join_all().map(drop));
        all.push(of);
        advance(MOMENT).await;
    }
    let start = Instant::now();
    in_time(query(Arc::clone(&permits), Requester::new(), flights, Duration::ZERO)).await;
    assert_eq!(start.elapsed(), SLICE - 3 * MOMENT);
    settle().await;
    let sent: Vec<_> = all.iter().map(|of| of.sent.load(Ordering::Relaxed)).collect();
    assert_eq!(sent, [2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn attack_a07_thousands_of_old_queries_of_as_many_requesters_do_not_delay_a_new_one() {
    let permits = permits(256);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3000 {
        let permits = Arc::clone(&permits);
        tasks.spawn(async move {
            let permit = permits.acquire(permits.lookup_id(), Requester::new()).await;
            permit.run(pending::<()>).await;
        });
    }
    // all of them have had a permit
    sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    let _permit = in_time(permits.acquire(permits.lookup_id(), Requester::new())).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn cancelled_queries_pass_on_their_permit_and_leave_the_queue_at_once() {
    let permits = permits(1);
    let requester = Requester::new();
    let first = permits.acquire(permits.lookup_id(), requester).await;
    let mut second = Box::pin(permits.acquire(permits.lookup_id(), requester));
    let mut third = Box::pin(permits.acquire(permits.lookup_id(), requester));
    assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
    drop(second);
    drop(first);
    let third = third.now_or_never().expect("the permit is free");
    drop(third);
    assert_unused(&permits, 1);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_was_promised_to_a_cancelled_query_goes_to_the_next_one() {
    let permits = permits(2);
    let (tasks, flights) = unanswered(&permits, Requester::new(), 2).await;
    let mut other = Box::pin(permits.acquire(permits.lookup_id(), Requester::new()));
    assert!((&mut other).now_or_never().is_none(), "the socket is still open");
    drop(other);
    settle().await;
    assert_eq!(flights.now(), 2);
    drop(tasks);
    settle().await;
    assert_unused(&permits, 2);
}

#[tokio::test(start_paused = true)]
async fn the_query_with_less_time_and_then_the_requester_with_fewer_permits_is_served_first() {
    let permits = permits(4);
    let (rich, poor) = (Requester::new(), Requester::new());
    let (mut tasks, _) = unanswered(&permits, rich, 2).await;
    let (_poor, of_poor) = unanswered(&permits, poor, 1).await;
    let (_another, _) = unanswered(&permits, Requester::new(), 1).await;
    let (_more, of_rich) = unanswered(&permits, rich, 1).await;
    let (_late, of_late) = unanswered(&permits, poor, 1).await;
    assert_eq!((of_rich.now(), of_poor.now(), of_late.now()), (0, 1, 0));
    tasks.abort_all();
    tasks.join_next().await;
    settle().await;
    assert_eq!(of_late.now(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_lookup_is_charged_to_the_requester_that_joins_with_fewer_permits() {
    let permits = permits(2);
    let (greedy, other) = (Requester::new(), Requester::new());
    let (_tasks, flights) = unanswered(&permits, greedy, 3).await;
    let id = permits.lookup_id();
    let mut lookup = Box::pin(permits.acquire(id, greedy));
    assert!((&mut lookup).now_or_never().is_none());
    permits.join(id, other);
    let permit = in_time(lookup).await;
    assert_eq!((permit.requester(), flights.now()), (Some(other), 1));
    permits.join(id, greedy);
    assert_eq!(permit.requester(), Some(other), "it has more permits");
}

#[test]
fn ranks_double() {
    let ranks = [0, 19, 20, 39, 40, 79, 80].map(|ms| rank(Duration::from_millis(ms), SLICE));
    assert_eq!(ranks, [0, 0, 1, 1, 2, 2, 3]);
}
