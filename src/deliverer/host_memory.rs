//! [`HostMemory`]: where nobody was at home a moment ago.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::route::Endpoint;

/// Endpoints that could not be connected to lately, or that closed instead of greeting. They are tried after all others.
#[derive(Debug)]
pub(super) struct HostMemory {
    life: Duration,
    size: usize,
    /// Until when each is remembered.
    noted: Mutex<HashMap<Endpoint, Instant>>,
}

impl HostMemory {
    pub(super) fn new(life: Duration, size: usize) -> Self {
        Self { life, size, noted: Mutex::default() }
    }

    /// Whether an endpoint is to be tried last.
    pub(super) fn is_noted(&self, endpoint: &Endpoint) -> bool {
        self.noted().get(endpoint).is_some_and(|ends| *ends > Instant::now())
    }

    pub(super) fn note(&self, endpoint: &Endpoint) {
        let now = Instant::now();
        let Some(ends) = now.checked_add(self.life).filter(|_| !self.life.is_zero()) else { return };
        let mut noted = self.noted();
        if noted.len() >= self.size {
            noted.retain(|_, ends| *ends > now);
        }
        if noted.len() < self.size {
            noted.insert(endpoint.clone(), ends);
        }
    }

    /// Somebody is at home again.
    pub(super) fn forget(&self, endpoint: &Endpoint) {
        self.noted().remove(endpoint);
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<Endpoint, Instant>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint::Tcp(([192, 0, 2, 1], port).into())
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_is_noted_for_a_time_and_until_it_answers() {
        let memory = HostMemory::new(Duration::from_secs(60), 10);
        memory.note(&endpoint(1));
        memory.note(&endpoint(2));
        memory.forget(&endpoint(2));
        assert!(memory.is_noted(&endpoint(1)) && !memory.is_noted(&endpoint(2)));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!memory.is_noted(&endpoint(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn attack_a51_the_memory_is_bounded_and_what_is_over_makes_room() {
        let memory = HostMemory::new(Duration::from_secs(60), 2);
        (1..=3).for_each(|port| memory.note(&endpoint(port)));
        assert_eq!(
            (1..=3).map(|port| memory.is_noted(&endpoint(port))).collect::<Vec<_>>(),
            [true, true, false]
        );
        tokio::time::advance(Duration::from_secs(61)).await;
        memory.note(&endpoint(3));
        assert!(memory.is_noted(&endpoint(3)));
        assert_eq!(memory.noted().len(), 1);
    }

    #[tokio::test]
    async fn without_time_nothing_is_noted() {
        let memory = HostMemory::new(Duration::ZERO, 2);
        memory.note(&endpoint(1));
        assert!(!memory.is_noted(&endpoint(1)));
    }
}
