//! Connecting to one of several addresses of a host (RFC 8305 section 5).

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Sleep, sleep};

/// Connects to addresses in their order, each a little after the one before it and at once when that has failed. The
/// first connection ends the race. Connections under way are closed without QUIT, and their addresses are queued again. An
/// address that waits for a permit counts as one that does not answer: the next one starts beside it.
///
/// `T` stands for an address, `C` for a connection, `F` for a failure.
pub(crate) struct Race<'a, T, C, F> {
    connect: Connect<'a, T, C, F>,
    stagger: Duration,
    waiting: VecDeque<T>,
    /// Those under way, in the order in which they started.
    running: VecDeque<(usize, T)>,
    attempts: FuturesUnordered<BoxFuture<'a, (usize, Result<C, F>)>>,
    started: usize,
    /// Runs until the next one may start beside those under way.
    patience: Option<Pin<Box<Sleep>>>,
}

/// Where an address that becomes known late stands in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    /// Before those that wait.
    Before,
    /// In turn with them, first.
    InTurn,
    /// Behind them.
    Behind,
}

type Connect<'a, T, C, F> = Box<dyn Fn(&T) -> BoxFuture<'a, Result<C, F>> + Send + 'a>;

impl<'a, T, C: 'a, F: 'a> Race<'a, T, C, F> {
    /// A race of nobody yet.
    pub(crate) fn new(
        stagger: Duration,
        connect: impl Fn(&T) -> BoxFuture<'a, Result<C, F>> + Send + 'a,
    ) -> Self {
        Self {
            connect: Box::new(connect),
            stagger,
            waiting: VecDeque::new(),
            running: VecDeque::new(),
            attempts: FuturesUnordered::new(),
            started: 0,
            patience: None,
        }
    }

    /// Puts an address at the end of the line.
    pub(crate) fn add(&mut self, address: T) {
        self.waiting.push_back(address);
    }

    /// Puts an address at the head of the line, to be tried again.
    pub(crate) fn again(&mut self, address: T) {
        self.waiting.push_front(address);
    }

    /// Starts the first address, and lets the next one start at once, because the first one has had its head start.
    pub(crate) fn start_late(&mut self) {
        if self.start() {
            self.patience = Some(Box::pin(sleep(Duration::ZERO)));
        }
    }

    /// Returns `true` if there are addresses that did not fail.
    pub(crate) fn has_more(&self) -> bool {
        !self.waiting.is_empty() || !self.running.is_empty()
    }

    /// Returns the addresses that were not started.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter()
    }

    /// Puts addresses into the line.
    pub(crate) fn join(&mut self, addresses: impl Iterator<Item = T>, joins: impl Fn(&T) -> Joins) {
        let (mut early, mut waiting) = (VecDeque::new(), std::mem::take(&mut self.waiting).into_iter());
        let mut late = VecDeque::new();
        for address in addresses {
            match joins(&address) {
                Joins::Before => early.push_back(address),
                Joins::Behind => late.push_back(address),
                Joins::InTurn => {
                    early.push_back(address);
                    early.extend(waiting.next());
                }
            }
        }
        self.waiting = early.into_iter().chain(waiting).chain(late).collect();
    }

    /// The next address that was connected to, or that failed; `None`: there are none left. May be dropped and called
    /// again.
    pub(crate) async fn next(&mut self) -> Option<(T, Result<C, F>)> {
        loop {
            if self.attempts.is_empty() && !self.start() {
                return None;
            }
            let Some((number, result)) = poll_fn(|context| self.poll_done(context)).await else {
                self.start();
                continue;
            };
            let Some(address) = self.take(number) else { continue };
            match &result {
                Ok(_) => self.stand_in_line(),
                Err(_) => _ = self.start(),
            }
            return Some((address, result));
        }
    }

    /// Waits for one of those under way; `None`: the next one may start beside them.
    fn poll_done(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Result<C, F>)>> {
        if let Poll::Ready(Some(done)) = self.attempts.poll_next_unpin(context) {
            return Poll::Ready(Some(done));
        }
        match &mut self.patience {
            Some(patience) if !self.waiting.is_empty() => patience.as_mut().poll(context).map(|()| None),
            _ => Poll::Pending,
        }
    }

    /// Starts the next one in line, if there is one.
    fn start(&mut self) -> bool {
        let Some(address) = self.waiting.pop_front() else { return false };
        let (number, connecting) = (self.started, (self.connect)(&address));
        self.started += 1;
        self.attempts.push(connecting.map(move |result| (number, result)).boxed());
        self.running.push_back((number, address));
        self.patience = Some(Box::pin(sleep(self.stagger)));
        true
    }

    fn take(&mut self, number: usize) -> Option<T> {
        let place = self.running.iter().position(|(other, _)| *other == number)?;
        self.running.remove(place).map(|(_, address)| address)
    }

    fn stand_in_line(&mut self) {
        self.attempts.clear();
        self.patience = None;
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = self.running.drain(..).map(|(_, address)| address).chain(waiting).collect();
    }
}

impl<T: fmt::Debug, C, F> fmt::Debug for Race<'_, T, C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Race({:?} are under way, {:?} wait)", self.running, self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;

    use super::*;

    const STAGGER: Duration = Duration::from_millis(250);

    /// What an address does: how long that takes, and whether a connection comes of it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Address(&'static str, u64, bool);

    /// Tells who was dialled when, in milliseconds after the start.
    type Log = Arc<Mutex<Vec<(&'static str, u128)>>>;

    fn race(addresses: &[Address]) -> (Race<'static, Address, &'static str, &'static str>, Log) {
        let (log, start) = (Log::default(), Instant::now());
        let told = Arc::clone(&log);
        let mut race = Race::new(STAGGER, move |Address(name, takes, works): &Address| {
            told.lock().unwrap().push((*name, start.elapsed().as_millis()));
            let (name, takes, works) = (*name, Duration::from_millis(*takes), *works);
            let connecting = async move {
                sleep(takes).await;
                if works { Ok(name) } else { Err(name) }
            };
            connecting.boxed()
        });
        addresses.iter().for_each(|address| race.add(*address));
        (race, log)
    }

    fn log(log: &Log) -> Vec<(&'static str, u128)> {
        log.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn check_098_a_silent_address_delays_the_next_one_by_the_stagger() {
        let (mut race, dialled) = race(&[
            Address("hole", 99_999, false),
            Address("hole too", 99_999, false),
            Address("live", 10, true),
        ]);
        assert_eq!(race.next().await.unwrap().1, Ok("live"));
        assert_eq!(log(&dialled), [("hole", 0), ("hole too", 250), ("live", 500)]);
    }

    #[tokio::test(start_paused = true)]
    async fn check_098_a_refusal_starts_the_next_one_at_once() {
        let (mut race, dialled) = race(&[Address("shut", 20, false), Address("live", 10, true)]);
        assert_eq!(race.next().await.unwrap().1, Err("shut"));
        assert_eq!(race.next().await.unwrap().1, Ok("live"));
        assert_eq!(log(&dialled), [("shut", 0), ("live", 20)]);
    }

    #[tokio::test(start_paused = true)]
    async fn check_099_of_two_live_addresses_the_first_is_the_only_one() {
        let (mut race, dialled) = race(&[Address("first", 10, true), Address("second", 10, true)]);
        assert_eq!(race.next().await.unwrap().1, Ok("first"));
        assert_eq!(log(&dialled), [("first", 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn check_101_after_a_winner_the_others_are_still_there() {
        let (mut race, dialled) =
            race(&[Address("slow", 400, true), Address("fast", 10, true), Address("third", 10, true)]);
        assert_eq!(race.next().await.unwrap().1, Ok("fast"));
        assert_eq!(race.next().await.unwrap().1, Ok("third"));
        assert_eq!(race.next().await.unwrap().1, Ok("slow"));
        assert!(race.next().await.is_none());
        // the loser of the first race is dialled anew, before what never was
        assert_eq!(log(&dialled), [("slow", 0), ("fast", 250), ("slow", 260), ("third", 510), ("slow", 520)]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_every_reason_is_kept() {
        let (mut race, _) = race(&[Address("a", 600, false), Address("b", 10, false)]);
        assert_eq!(race.next().await.unwrap().1, Err("b"));
        assert_eq!(race.next().await.unwrap().1, Err("a"));
        assert!(race.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn check_096_what_comes_late_takes_turns_with_what_waits() {
        let (mut race, dialled) =
            race(&[Address("4a", 99_999, false), Address("4b", 99_999, false), Address("4c", 9, false)]);
        let first = tokio::time::timeout(Duration::from_millis(100), race.next()).await;
        assert!(first.is_err(), "nothing happens so soon");
        let late = [Address("6a", 99_999, false), Address("6b", 99_999, true)];
        race.join(late.into_iter(), |_| Joins::InTurn);
        assert_eq!(race.next().await.unwrap().1, Err("4c"));
        let order: Vec<_> = log(&dialled).into_iter().map(|(name, _)| name).collect();
        assert_eq!(order, ["4a", "6a", "4b", "6b", "4c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn check_096_what_comes_late_may_go_before_or_behind_what_waits() {
        for (joins, expected) in [(Joins::Before, ["a", "c", "b"]), (Joins::Behind, ["a", "b", "c"])] {
            let (mut race, dialled) = race(&[Address("a", 9, false), Address("b", 9, false)]);
            let first = tokio::time::timeout(Duration::from_millis(1), race.next()).await;
            assert!(first.is_err(), "nothing happens so soon");
            race.join([Address("c", 9, false)].into_iter(), |_| joins);
            while race.next().await.is_some() {}
            let order: Vec<_> = log(&dialled).into_iter().map(|(name, _)| name).collect();
            assert_eq!(order, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_had_its_time_alone_delays_the_next_one_no_longer() {
        let (mut race, dialled) = race(&[Address("waits", 99_999, false), Address("live", 10, true)]);
        race.start_late();
        assert_eq!(race.next().await.unwrap().1, Ok("live"));
        assert_eq!(log(&dialled), [("waits", 0), ("live", 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_tried_again_is_the_next_one() {
        let (mut race, dialled) = race(&[Address("a", 10, true), Address("b", 10, true)]);
        let (first, _) = race.next().await.unwrap();
        race.again(first);
        assert!(race.has_more());
        assert_eq!(race.next().await.unwrap().1, Ok("a"));
        assert_eq!(race.next().await.unwrap().1, Ok("b"));
        assert!(!race.has_more());
        assert_eq!(log(&dialled), [("a", 0), ("a", 10), ("b", 20)]);
    }
}
