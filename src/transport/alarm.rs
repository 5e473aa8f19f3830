//! The timer of a dialogue. Most of what is waited for comes in time, and most deadlines are later than the one before:
//! one timer, which is left as it is until it goes off, does for all of them.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Whether the deadline has come; whoever polled is woken then, or before. The timer is set where there is none.
pub(super) fn poll_deadline(
    mut timer: Pin<&mut Option<Sleep>>,
    deadline: Instant,
    context: &mut Context<'_>,
) -> Poll<()> {
    loop {
        let Some(mut sleep) = timer.as_mut().as_pin_mut() else {
            timer.set(Some(sleep_until(deadline)));
            continue;
        };
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        // a peer that keeps the task busy does not put it off
        ready!(pin!(unconstrained(sleep.as_mut())).poll(context));
        if sleep.deadline() >= deadline {
            return Poll::Ready(());
        }
        sleep.as_mut().reset(deadline);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn check_060_a_deadline_is_kept_whichever_the_timer_was_set_to_before() {
        let begun = Instant::now();
        let mut timer = pin!(None);
        for (early, late) in [(2, 5), (9, 7), (8, 8), (30, 9)] {
            let polled = |context: &mut Context<'_>| {
                Poll::Ready(poll_deadline(timer.as_mut(), begun + early * SECOND, context))
            };
            let _ = poll_fn(polled).await;
            poll_fn(|context| poll_deadline(timer.as_mut(), begun + late * SECOND, context)).await;
            assert_eq!(begun.elapsed(), late * SECOND);
        }
    }
}
