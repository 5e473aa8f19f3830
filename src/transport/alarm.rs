//! Deadlines, and [`Alarm`]: the timer of a connection. Most of what is waited for comes in time, and most deadlines are later than the one before:
//! one timer, which is left as it is until it goes off, does for all of them.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Further in the future than anybody waits, where no clock reaches what is asked for.
const LONG: Duration = Duration::from_secs(3600 * 24 * 365 * 30);

/// A timer that is set when it is needed for the first time. It holds on to whoever polled it last.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether the deadline has come; whoever polled is woken then, or before.
    pub(super) fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            // a peer that keeps the task busy does not put it off
            ready!(pin!(unconstrained(sleep.as_mut())).poll(context));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }

    /// Lets go of whoever polled it: a waker keeps all the memory of a task, also after that has ended.
    pub(super) fn rest(&mut self) {
        if let Some(sleep) = &mut self.0 {
            let _ = pin!(unconstrained(sleep.as_mut())).poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// The end of a time from now on.
pub(crate) fn after(limit: Duration) -> Instant {
    end_of(Instant::now(), limit)
}

/// The end of a time that begins then. One that no clock reaches ends in years.
pub(crate) fn end_of(begin: Instant, limit: Duration) -> Instant {
    begin.checked_add(limit).unwrap_or(begin + LONG)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_time_that_no_clock_reaches_is_a_long_one() {
        let now = Instant::now();
        assert!(end_of(now, Duration::MAX) > now + LONG / 2);
        assert_eq!(end_of(now, SECOND), now + SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn check_060_a_deadline_is_kept_whichever_the_timer_was_set_to_before() {
        let begun = Instant::now();
        let mut alarm = Alarm::default();
        for (early, late) in [(2, 5), (9, 7), (8, 8), (30, 9)] {
            let polled = |context: &mut Context<'_>| Poll::Ready(alarm.poll(begun + early * SECOND, context));
            let _ = poll_fn(polled).await;
            poll_fn(|context| alarm.poll(begun + late * SECOND, context)).await;
            assert_eq!(begun.elapsed(), late * SECOND);
        }
    }
}
