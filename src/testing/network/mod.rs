//! [`Network`]: hosts and connections in memory, in virtual time, from a seed.

mod dialer;
mod link;
mod listener;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

pub use dialer::NetworkDialer;
pub use link::{Cut, CutKind, Link, NetworkStream};
pub use listener::NetworkListener;

use crate::route::Endpoint;

/// Connections that wait to be accepted by a listener, unless it says otherwise.
const BACKLOG: usize = 128;

/// A simulated network: hosts with any addresses, unix sockets, and connections between a client and servers in memory.
///
/// Servers listen in it ([`Rules::listen_in`](super::Rules::listen_in), [`Script::listen_in`](super::Script::listen_in),
/// [`Network::listen`]), and a deliverer reaches them by its [dialer](Network::dialer). Nothing uses a socket of the system, so
/// public addresses may be used. Time is tokio's: with a paused clock (`tokio::time::pause`) hours pass at once.
///
/// Everything random comes from the seed. In a runtime of one thread with a paused clock two runs with equal seeds have equal
/// [transcripts](Network::transcript).
///
/// ```
/// use std::net::SocketAddr;
///
/// use nexthop::testing::{Network, ScriptedServer};
/// use nexthop::{Deliverer, Envelope, MemoryResolver, Message};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = Network::new(1);
/// let address: SocketAddr = "45.11.0.25:25".parse()?;
/// let server = ScriptedServer::smtp().listen_in(&network, address)?;
///
/// let dns = MemoryResolver::builder().mx("example.org", 10, "mx.example.org").ipv4("mx.example.org", [45, 11, 0, 25]);
/// let deliverer =
///     Deliverer::builder("mail.example.net").resolver(dns.build()?).dialer(network.dialer()).seed(1).build()?;
/// let envelope = Envelope::new("news@example.net")?.to("ann@example.org")?;
/// let report = deliverer.deliver(&envelope, &Message::from_text("Subject: hello\n\nworld\n")?).await;
/// assert!(report.is_delivered());
/// assert_eq!(server.messages().len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Network(Arc<Mutex<State>>);

/// State of the network.
struct State {
    random: fastrand::Rng,
    began: Instant,
    places: BTreeMap<Place, PlaceState>,
    links: BTreeMap<IpAddr, Link>,
    default_link: Link,
    hosts: BTreeMap<IpAddr, HostState>,
    partitions: Vec<Partition>,
    transcript: Vec<String>,
    dialled: Vec<Endpoint>,
    connections: usize,
}

/// Something that can be connected to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A listener, or where one was.
#[derive(Default)]
struct PlaceState {
    is_listening: bool,
    backlog: usize,
    waiting: VecDeque<(NetworkStream, usize)>,
    acceptor: Option<Waker>,
    /// Clients that wait for room in the accept queue.
    dialling: Vec<Waker>,
    open: usize,
    most_open: usize,
    /// Connections that the client dials or has not closed.
    held: usize,
    most_held: usize,
    total: usize,
}

/// How a host answers attempts to connect to addresses at which no server listens, or to any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostState {
    /// Servers take connections; other ports refuse.
    #[default]
    Up,
    /// Every port refuses.
    Refuses,
    /// No attempt is answered.
    Silent,
    /// Routers report that the host cannot be reached.
    Unreachable,
}

/// A time in which nothing passes between the client and a host.
#[derive(Debug, Clone, Copy)]
struct Partition {
    host: Option<IpAddr>,
    from: Instant,
    until: Instant,
}

impl Network {
    /// Creates a network without hosts. Everything random in it follows from the seed.
    ///
    /// # Panics
    /// There is no tokio runtime.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: fastrand::Rng::with_seed(seed),
            began: Instant::now(),
            places: BTreeMap::new(),
            links: BTreeMap::new(),
            default_link: Link::default(),
            hosts: BTreeMap::new(),
            partitions: Vec::new(),
            transcript: Vec::new(),
            dialled: Vec::new(),
            connections: 0,
        })))
    }

    /// Returns the dialer of a client in this network.
    pub fn dialer(&self) -> NetworkDialer {
        NetworkDialer::new(self.clone())
    }

    /// Listens on an address with a port.
    ///
    /// # Errors
    /// Another listener is there.
    pub fn listen(&self, address: SocketAddr) -> std::io::Result<NetworkListener> {
        self.listen_at(Place::Tcp(address))
    }

    /// Listens on the path of a unix socket.
    ///
    /// # Errors
    /// Another listener is there.
    pub fn listen_unix(&self, path: impl AsRef<Path>) -> std::io::Result<NetworkListener> {
        self.listen_at(Place::Unix(path.as_ref().to_owned()))
    }

    fn listen_at(&self, place: Place) -> std::io::Result<NetworkListener> {
        let mut state = self.state();
        let listening = state.places.entry(place.clone()).or_default();
        if listening.is_listening {
            return Err(std::io::ErrorKind::AddrInUse.into());
        }
        (listening.is_listening, listening.backlog) = (true, BACKLOG);
        drop(state);
        Ok(NetworkListener::new(self.clone(), place))
    }

    /// Sets the properties of connections to a host that are opened from now on.
    pub fn set_link(&self, host: impl Into<IpAddr>, link: Link) {
        self.state().links.insert(host.into(), link);
    }

    /// Sets the properties of connections to hosts without a link of their own, and to unix sockets.
    pub fn set_default_link(&self, link: Link) {
        self.state().default_link = link;
    }

    /// Sets how a host answers from now on. Open connections stay.
    pub fn set_host(&self, host: impl Into<IpAddr>, host_state: HostState) {
        self.state().hosts.insert(host.into(), host_state);
    }

    /// Lets nothing pass to and from a host for a time, counted from now: attempts to connect are not answered, and bytes on
    /// open connections arrive after it.
    pub fn partition(&self, host: impl Into<IpAddr>, after: Duration, length: Duration) {
        self.add_partition(Some(host.into()), after, length);
    }

    /// Lets nothing pass to and from any host for a time, counted from now.
    pub fn partition_all(&self, after: Duration, length: Duration) {
        self.add_partition(None, after, length);
    }

    fn add_partition(&self, host: Option<IpAddr>, after: Duration, length: Duration) {
        let from = Instant::now() + after;
        self.state().partitions.push(Partition { host, from, until: from + length });
    }

    /// Returns all events so far, with the virtual time in milliseconds since the network was created.
    pub fn transcript(&self) -> Vec<String> {
        self.state().transcript.clone()
    }

    /// Writes a line into the transcript, at the current time.
    pub fn note(&self, line: impl fmt::Display) {
        self.state().note(line);
    }

    /// Returns the endpoints that were dialled, in order.
    pub fn dialled(&self) -> Vec<Endpoint> {
        self.state().dialled.clone()
    }

    /// Returns the largest number of connections to an endpoint that were open at one moment, as the server counts: until it has
    /// closed its end.
    pub fn most_open(&self, endpoint: &Endpoint) -> usize {
        self.state().place(endpoint).map_or(0, |place| place.most_open)
    }

    /// Returns the number of connections to an endpoint that are open now.
    pub fn open(&self, endpoint: &Endpoint) -> usize {
        self.state().place(endpoint).map_or(0, |place| place.open)
    }

    /// Returns the number of connections to an endpoint that the client has now: from the time at which it began to dial until
    /// it closes its end.
    pub fn held(&self, endpoint: &Endpoint) -> usize {
        self.state().place(endpoint).map_or(0, |place| place.held)
    }

    /// Returns the largest number of connections to an endpoint that the client had at one moment.
    pub fn most_held(&self, endpoint: &Endpoint) -> usize {
        self.state().place(endpoint).map_or(0, |place| place.most_held)
    }

    /// Returns the number of connections to an endpoint that were opened so far.
    pub fn connections(&self, endpoint: &Endpoint) -> usize {
        self.state().place(endpoint).map_or(0, |place| place.total)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, line: impl fmt::Display) {
        let millis = Instant::now().saturating_duration_since(self.began).as_millis();
        self.transcript.push(format!("{millis:>9} {line}"));
    }

    fn place(&self, endpoint: &Endpoint) -> Option<&PlaceState> {
        self.places.get(&Place::from(endpoint))
    }

    fn link(&self, host: Option<IpAddr>) -> Link {
        host.and_then(|host| self.links.get(&host)).unwrap_or(&self.default_link).clone()
    }

    fn host(&self, host: Option<IpAddr>) -> HostState {
        host.and_then(|host| self.hosts.get(&host)).copied().unwrap_or_default()
    }

    /// Returns the end of the partition that a host is in at a time, or that time.
    fn after_partition(&self, host: Option<IpAddr>, at: Instant) -> Instant {
        let applies =
            |partition: &&Partition| host.is_some() && (partition.host.is_none() || partition.host == host);
        let mut at = at;
        // ends because each round leaves at least one partition behind
        while let Some(partition) = self
            .partitions
            .iter()
            .filter(applies)
            .find(|partition| partition.from <= at && at < partition.until)
        {
            at = partition.until;
        }
        at
    }
}

impl Place {
    fn host(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }
}

impl From<&Endpoint> for Place {
    fn from(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Tcp(address) => Self::Tcp(*address),
            Endpoint::Unix(path) => Self::Unix(path.clone()),
        }
    }
}

impl From<&Place> for Endpoint {
    fn from(place: &Place) -> Self {
        match place {
            Place::Tcp(address) => Self::Tcp(*address),
            Place::Unix(path) => Self::Unix(path.clone()),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "Network({} places, {} connections)", state.places.len(), state.connections)
    }
}
