//! [`tend`]: closes connections that nobody needed for too long.

use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use tokio::time::{Instant, sleep_until};

use super::endpoint::EndpointState;
use super::group::Carried;
use super::shared::{Shared, lock};
use super::slot::part;

/// A pool that a task looks after. Should that end with its runtime, another one may begin.
pub(super) struct Tended<T: Carried>(Weak<Shared<T>>);

impl<T: Carried> Tended<T> {
    pub(super) fn new(shared: &Arc<Shared<T>>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// The mark is off, and may be that of another task by now.
    fn done(mut self) {
        self.0 = Weak::new();
    }
}

impl<T: Carried> Drop for Tended<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.is_tended.store(false, Ordering::SeqCst);
        }
    }
}

/// Closes connections that nobody needed for too long, looking for the first time at `next`. Ends when it looks and finds
/// none, or no pool: connections that are needed again and again cost no more than that look now and then.
pub(super) async fn tend<T: Carried>(pool: Tended<T>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let Some((expired, left)) = pool.0.upgrade().map(|shared| shared.expired()) else { return };
        part(expired);
        match left {
            Some(left) => next = left,
            None => return pool.done(),
        }
    }
}

/// An endpoint for which a task waits until learned limits expire. Should that end with its runtime, another one may begin.
struct Timed<T: Carried>(Weak<Mutex<EndpointState<T>>>);

impl<T: Carried> Timed<T> {
    /// Marks the endpoint. Returns `None` if another task waits.
    fn new(endpoint: Weak<Mutex<EndpointState<T>>>) -> Option<Self> {
        let is_timed = mem::replace(&mut lock(&*endpoint.upgrade()?).is_timed, true);
        if is_timed { None } else { Some(Self(endpoint)) }
    }

    /// The mark is off, and may be that of another task by now.
    fn done(mut self) {
        self.0 = Weak::new();
    }
}

impl<T: Carried> Drop for Timed<T> {
    fn drop(&mut self) {
        if let Some(endpoint) = self.0.upgrade() {
            lock(&endpoint).is_timed = false;
        }
    }
}

/// Admits deliveries that wait when learned limits of an endpoint expire, for the first time at `next`. Does nothing if
/// another task does so. The endpoint is marked at once, before the future is polled.
pub(super) fn await_expiry<T: Carried>(
    pool: Weak<Shared<T>>,
    endpoint: Weak<Mutex<EndpointState<T>>>,
    next: Instant,
) -> impl Future<Output = ()> + Send + 'static {
    let timed = Timed::new(endpoint);
    async move {
        if let Some(timed) = timed {
            admit_at_expiry(pool, timed, next).await;
        }
    }
}

async fn admit_at_expiry<T: Carried>(pool: Weak<Shared<T>>, timed: Timed<T>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let (Some(shared), Some(endpoint)) = (pool.upgrade(), timed.0.upgrade()) else { return };
        let left = lock(&endpoint).next_expiry(Instant::now());
        shared.admit(&endpoint);
        match left {
            Some(left) => next = left,
            None => {
                shared.tidy_endpoint(&endpoint);
                return timed.done();
            }
        }
    }
}
