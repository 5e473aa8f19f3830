//! [`NetworkDialer`].

use std::future::{pending, poll_fn};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::link::{Delay, NetworkStream, connection};
use super::{HostState, Network, Place};
use crate::plan::DialTarget;
use crate::route::Endpoint;
use crate::transport::{DialRequest, DialedStream, Dialer};

/// Connects a client to the servers of a [`Network`].
#[derive(Debug, Clone)]
pub struct NetworkDialer(Network);

impl NetworkDialer {
    pub(super) fn new(network: Network) -> Self {
        Self(network)
    }
}

#[async_trait]
impl Dialer for NetworkDialer {
    async fn dial(&self, request: &DialRequest<'_>) -> io::Result<DialedStream> {
        let place = match request.target() {
            DialTarget::Tcp(address) => Place::Tcp(address),
            DialTarget::Unix(path) => Place::Unix(path.to_owned()),
        };
        let endpoint = Endpoint::from(&place);
        let dialled = {
            let mut state = self.0.state();
            state.dialled.push(endpoint.clone());
            match request.source() {
                Some(source) => state.note(format_args!("dial {endpoint} from {source}")),
                None => state.note(format_args!("dial {endpoint}")),
            }
            (state.host(place.host()), state.link(place.host()))
        };
        let held = Held::new(&self.0, &place);
        let connected = self.0.connect(&place, dialled).await;
        match connected {
            Ok(mut stream) => Ok({
                stream.on_drop(move || drop(held));
                match place {
                    Place::Tcp(address) => DialedStream::new(stream).with_peer(address),
                    Place::Unix(_) => DialedStream::new(stream),
                }
            }),
            Err(error) => {
                self.0.note(format_args!("dial {endpoint}: {error}"));
                Err(error)
            }
        }
    }
}

/// Counts a connection of the client, from the time at which it is dialled.
struct Held {
    network: Network,
    place: Place,
}

impl Held {
    fn new(network: &Network, place: &Place) -> Self {
        let mut state = network.state();
        let counted = state.places.entry(place.clone()).or_default();
        counted.held += 1;
        counted.most_held = counted.most_held.max(counted.held);
        Self { network: network.clone(), place: place.clone() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(counted) = self.network.state().places.get_mut(&self.place) {
            counted.held -= 1;
        }
    }
}

impl Network {
    async fn connect(
        &self,
        place: &Place,
        (host, link): (HostState, super::Link),
    ) -> io::Result<NetworkStream> {
        let host_address = place.host();
        if self.state().after_partition(host_address, Instant::now()) > Instant::now()
            || host == HostState::Silent
        {
            return pending().await;
        }
        sleep(link.latency * 2).await;
        match host {
            HostState::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
            HostState::Unreachable => return Err(io::ErrorKind::HostUnreachable.into()),
            HostState::Up | HostState::Silent => {}
        }
        let (mut client, mut server) = (None, None);
        poll_fn(|context| {
            let mut state = self.state();
            let Some(listening) = state.places.get_mut(place).filter(|place| place.is_listening) else {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionRefused)));
            };
            if listening.waiting.len() >= listening.backlog {
                listening.dialling.push(context.waker().clone());
                return Poll::Pending;
            }
            let random = state.random.fork();
            let (near, far) = connection(link.clone(), random, self.delay(host_address));
            (client, server) = (Some(near), Some(far));
            Poll::Ready(Ok(()))
        })
        .await?;
        let (Some(client), Some(server)) = (client, server) else { return pending().await };
        self.hand_over(place, server);
        Ok(client)
    }

    /// Puts the server's end of a connection into the accept queue.
    fn hand_over(&self, place: &Place, mut server: NetworkStream) {
        let (network, of) = (self.clone(), place.clone());
        server.on_drop(move || network.closed(&of));
        let mut guard = self.state();
        let state = &mut *guard;
        state.connections += 1;
        let number = state.connections;
        let endpoint = Endpoint::from(place);
        state.note(format_args!("connection {number} to {endpoint}"));
        let listening = state.places.entry(place.clone()).or_default();
        listening.open += 1;
        listening.total += 1;
        listening.most_open = listening.most_open.max(listening.open);
        listening.waiting.push_back((server, number));
        listening.acceptor.take().into_iter().for_each(std::task::Waker::wake);
    }

    fn closed(&self, place: &Place) {
        if let Some(listening) = self.state().places.get_mut(place) {
            listening.open -= 1;
        }
    }

    fn delay(&self, host: Option<IpAddr>) -> Delay {
        let network = self.clone();
        Arc::new(move |at| network.state().after_partition(host, at))
    }
}
