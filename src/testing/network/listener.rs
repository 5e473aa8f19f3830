//! [`NetworkListener`].

use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::link::NetworkStream;
use super::{Network, Place};
use crate::route::Endpoint;

/// A server's end in a [`Network`]: takes connections. Dropping it refuses further ones, and resets those that wait to be
/// accepted.
#[derive(Debug)]
pub struct NetworkListener {
    network: Network,
    place: Place,
}

impl NetworkListener {
    pub(super) fn new(network: Network, place: Place) -> Self {
        Self { network, place }
    }

    /// Returns where it listens.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from(&self.place)
    }

    /// Returns the network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Sets the number of connections that wait to be accepted; further clients wait as with a full accept queue. Default: 128.
    pub fn set_backlog(&self, backlog: usize) {
        let mut state = self.network.state();
        state.places.entry(self.place.clone()).or_default().backlog = backlog;
    }

    /// Takes the next connection, and its number in the network, counted from 1.
    ///
    /// # Cancellation
    /// Dropping the future loses no connection.
    pub async fn accept(&self) -> (NetworkStream, usize) {
        poll_fn(|context| {
            let mut state = self.network.state();
            let place = state.places.entry(self.place.clone()).or_default();
            match place.waiting.pop_front() {
                Some(accepted) => {
                    place.dialling.drain(..).for_each(Waker::wake);
                    Poll::Ready(accepted)
                }
                None => {
                    place.acceptor = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for NetworkListener {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.network.state();
            let place = state.places.entry(self.place.clone()).or_default();
            place.is_listening = false;
            place.dialling.drain(..).for_each(Waker::wake);
            std::mem::take(&mut place.waiting)
        };
        // outside the lock: the end of a connection is noted in the network
        waiting.into_iter().for_each(|(stream, _)| stream.reset());
    }
}
