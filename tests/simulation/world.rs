//! A world: everything that follows from a seed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use nexthop::{Endpoint, Protocol};

use crate::fault::Kind;

/// A simulated network of servers, and the messages that a host delivers in it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) domains: Vec<Domain>,
    pub(crate) servers: Vec<Server>,
    pub(crate) messages: Vec<Message>,
    pub(crate) client: Client,
    /// Time from the beginning at which all faults end.
    pub(crate) storm: Duration,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) names: Names,
}

/// How names are resolved while the faults last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// Of 16 lookups how many fail.
    pub(crate) failing: u8,
    /// Longest time that a lookup takes.
    pub(crate) delay: Duration,
}

/// Where the mail of a domain goes.
#[derive(Debug, Clone)]
pub(crate) struct Domain {
    pub(crate) name: String,
    pub(crate) way: Way,
    /// Whether a permitted address of the domain has a server.
    pub(crate) is_reachable: bool,
    /// Numbers of the servers that its mail may go to.
    pub(crate) servers: Vec<usize>,
}

/// How servers are found.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// Exchangers: preference, name and addresses.
    Mx(Vec<Exchanger>),
    /// Text forms of the operator's next hops, and their single-flight limit.
    Relays { hops: Vec<String>, single_flight: usize },
}

/// A mail exchanger.
#[derive(Debug, Clone)]
pub(crate) struct Exchanger {
    pub(crate) preference: u16,
    pub(crate) name: String,
    pub(crate) addresses: Vec<Ipv4Addr>,
}

/// A server at one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) endpoint: Endpoint,
    pub(crate) protocol: Protocol,
    pub(crate) abilities: Abilities,
    /// Whether some connections lack some of the abilities.
    pub(crate) varies: bool,
    /// Faults that may strike connections here, and of 16 connections how many are struck.
    pub(crate) kinds: Vec<Kind>,
    pub(crate) struck: u8,
    /// Of 16 connections how many have a link that breaks.
    pub(crate) cut: u8,
    pub(crate) latency: Duration,
    pub(crate) jitter: Duration,
    pub(crate) max_read: usize,
    /// Time after which the server closes a connection on which nothing arrives.
    pub(crate) patience: Duration,
    /// The state of the host while the faults last: up, or one of the others in turn.
    pub(crate) outages: Vec<Outage>,
    /// Number of connections that it greets at a time; others get 421.
    pub(crate) capacity: usize,
    /// Connections that wait to be accepted.
    pub(crate) backlog: usize,
    /// Whether it reads a chunk that it refuses because no recipient was accepted.
    pub(crate) reads_refused_chunks: bool,
}

/// A time in which a host takes no connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) from: Duration,
    pub(crate) length: Duration,
    pub(crate) state: nexthop::testing::HostState,
}

/// A time in which nothing passes between the client and a host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Partition {
    pub(crate) host: Option<IpAddr>,
    pub(crate) from: Duration,
    pub(crate) length: Duration,
}

/// What a server offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Abilities {
    pub(crate) pipelining: bool,
    pub(crate) chunking: bool,
    pub(crate) eight_bit: bool,
    /// Whether commands may come before the greeting (`PIPECONNECT`).
    pub(crate) early: bool,
    pub(crate) size: Option<usize>,
}

/// A message that the host delivers.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) recipients: Vec<String>,
    pub(crate) content: Vec<u8>,
    pub(crate) at: Duration,
    /// The first attempts that are cancelled, after this number of polls each.
    pub(crate) cancelled_after: Vec<u32>,
}

/// Settings of the deliverer.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) connections: usize,
    pub(crate) per_address: Option<usize>,
    pub(crate) idle: Duration,
    pub(crate) age: Duration,
    pub(crate) messages: usize,
    pub(crate) window: usize,
    pub(crate) learned_limit: Duration,
    pub(crate) timeout: Duration,
    pub(crate) attempt: Option<Duration>,
    pub(crate) recipients: usize,
    pub(crate) max_sessions: usize,
    pub(crate) pipelining: bool,
    pub(crate) chunking: bool,
    /// Number of addresses that it connects from.
    pub(crate) sources: u8,
    /// Times at which the host closes idle connections.
    pub(crate) closes_idle: Vec<Duration>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recipients, content, at, cancelled_after } = self;
        let size = content.len();
        write!(f, "Message({recipients:?}, {size} bytes, at {at:?}, cancelled after {cancelled_after:?})")
    }
}

/// First letter of the local part of a mailbox that does not exist.
pub(crate) const UNKNOWN: char = 'u';

impl World {
    /// Makes the world of a seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let storm = Duration::from_secs(random.u64(1..=2 * 3600));
        let mut world = Self {
            seed,
            domains: Vec::new(),
            servers: Vec::new(),
            messages: Vec::new(),
            client: Client::random(&mut random),
            storm,
            partitions: Vec::new(),
            names: Names {
                failing: random.choice([0, 0, 0, 1, 4]).unwrap_or(0),
                delay: Duration::from_millis(random.choice([0, 0, 0, 100, 10_000]).unwrap_or(0)),
            },
        };
        let domains = few(&mut random, 6);
        let violence = random.u8(0..=12);
        for number in 0..domains {
            world.add_domain(&mut random, number, violence);
        }
        world.add_partitions(&mut random);
        let overlap = Duration::from_millis(random.choice([0, 0, 50, 2000, 60_000]).unwrap_or(0));
        for number in 0..few(&mut random, 12) {
            let message = world.message(&mut random, number, overlap);
            world.messages.push(message);
        }
        world
    }

    fn add_domain(&mut self, random: &mut Rng, number: usize, violence: u8) {
        let name = format!("d{number}.example");
        let mut servers = Vec::new();
        let way = match random.u8(0..9) {
            0..=1 => self.relays(random, number, violence, Protocol::Smtp, &mut servers),
            3 => self.relays(random, number, violence, Protocol::Lmtp, &mut servers),
            2 => self.sockets(random, number, violence, &mut servers),
            _ => Way::Mx(self.exchangers(random, number, violence, &mut servers)),
        };
        let is_reachable = !servers.is_empty();
        self.domains.push(Domain { name, way, is_reachable, servers });
    }

    /// Adds a server, and notes its number.
    fn add_server(&mut self, server: Server, numbers: &mut Vec<usize>) {
        numbers.push(self.servers.len());
        self.servers.push(server);
    }

    fn exchangers(
        &mut self,
        random: &mut Rng,
        domain: usize,
        violence: u8,
        servers: &mut Vec<usize>,
    ) -> Vec<Exchanger> {
        let mut exchangers = Vec::new();
        for number in 0..few(random, 5) {
            let preference = random.choice([10, 10, 20, 30]).unwrap_or(10);
            let mut addresses = Vec::new();
            match self.shared_address(random) {
                Some((shared, address)) => {
                    servers.push(shared);
                    addresses.push(address);
                }
                None if random.u8(0..24) > 0 => {
                    let model = Server::random(random, Protocol::Smtp, violence, self.storm);
                    for index in 0..random.choice([1, 1, 2]).unwrap_or(1) {
                        let address = Ipv4Addr::new(45, 10 + byte(domain), byte(number), 1 + index);
                        addresses.push(address);
                        self.add_server(Server { endpoint: tcp(address, 25), ..model.clone() }, servers);
                    }
                }
                None => addresses.extend(random.choice(FORBIDDEN)),
            }
            if random.u8(0..8) == 0 {
                addresses.insert(
                    random.usize(0..=addresses.len()),
                    random.choice(FORBIDDEN).unwrap_or(FORBIDDEN[0]),
                );
            }
            exchangers.push(Exchanger {
                preference,
                name: format!("x{number}.d{domain}.example"),
                addresses,
            });
        }
        exchangers
    }

    /// Returns an exchanger of another domain, or of this one, that has a further name, so that connections to one endpoint
    /// have different keys.
    fn shared_address(&self, random: &mut Rng) -> Option<(usize, Ipv4Addr)> {
        let number = random.usize(0..self.servers.len().max(1) * 4);
        match &self.servers.get(number)?.endpoint {
            Endpoint::Tcp(SocketAddr::V4(address))
                if address.port() == 25 && address.ip().octets()[0] == 45 =>
            {
                Some((number, *address.ip()))
            }
            _ => None,
        }
    }

    fn relays(
        &mut self,
        random: &mut Rng,
        domain: usize,
        violence: u8,
        protocol: Protocol,
        servers: &mut Vec<usize>,
    ) -> Way {
        let is_single = protocol == Protocol::Smtp && random.u8(0..4) > 0;
        let mut hops = Vec::new();
        for number in 0..few(random, 3) {
            let address = Ipv4Addr::new(10, 10 + byte(domain), byte(number), 1);
            let (scheme, port) = if protocol == Protocol::Lmtp { ("lmtp", 24) } else { ("smtp", 25) };
            let mut server = Server::random(random, protocol, violence, self.storm);
            server.endpoint = tcp(address, port);
            server.reads_refused_chunks |= is_single;
            if is_single && random.u8(0..8) > 0 {
                (server.abilities.pipelining, server.abilities.chunking) = (true, true);
            }
            self.add_server(server, servers);
            hops.push(format!("{scheme}://{address}:{port}"));
        }
        Way::Relays { hops, single_flight: if is_single { 64 * 1024 } else { 0 } }
    }

    fn sockets(&mut self, random: &mut Rng, domain: usize, violence: u8, servers: &mut Vec<usize>) -> Way {
        let mut server = Server::random(random, Protocol::Lmtp, violence, self.storm);
        let path = format!("/run/store{domain}");
        server.endpoint = Endpoint::Unix(PathBuf::from(&path));
        (server.latency, server.jitter) = (Duration::ZERO, Duration::ZERO);
        server.outages.clear();
        self.add_server(server, servers);
        Way::Relays { hops: vec![format!("lmtp+unix://{path}")], single_flight: 0 }
    }

    fn add_partitions(&mut self, random: &mut Rng) {
        let limit = u64::try_from(self.storm.as_millis()).unwrap_or(u64::MAX);
        for _ in 0..random.choice([0, 0, 0, 1, 2]).unwrap_or(0) {
            let host = random.choice(&self.servers).and_then(Server::host);
            let from = Duration::from_millis(random.u64(0..limit.min(60_000)));
            let length = Duration::from_millis(random.u64(0..120_000)).min(self.storm.saturating_sub(from));
            self.partitions.push(Partition { host, from, length });
        }
    }

    fn message(&self, random: &mut Rng, number: usize, overlap: Duration) -> Message {
        let (home, mut recipients) = (random.usize(0..self.domains.len()), Vec::new());
        for index in 0..few(random, 6) {
            let domain = if random.u8(0..4) == 0 { random.usize(0..self.domains.len()) } else { home };
            let letter = if random.u8(0..12) == 0 { UNKNOWN } else { 'r' };
            recipients.push(format!("{letter}{index}@{}", self.domains[domain].name));
        }
        if random.u8(0..16) == 0 {
            recipients.push(recipients[0].clone());
        }
        let millis = u64::try_from(overlap.as_millis()).unwrap_or(0);
        let at = Duration::from_millis(random.u64(0..=millis));
        let cancels = random.choice([0, 0, 0, 0, 0, 1, 1, 2]).unwrap_or(0);
        let cancelled_after = (0..cancels).map(|_| random.u32(0..25)).collect();
        Message { recipients, content: content(random, number), at, cancelled_after }
    }
}

impl Server {
    fn random(random: &mut Rng, protocol: Protocol, violence: u8, storm: Duration) -> Self {
        let kinds = (0..random.usize(1..=3)).map(|_| Kind::random(random)).collect();
        let (latency, jitter) = random.choice([(0, 0), (0, 0), (1, 0), (40, 0), (40, 30)]).unwrap_or((0, 0));
        let milliseconds = u64::try_from(storm.as_millis()).unwrap_or(1).min(100_000);
        let outage = |random: &mut Rng| Outage {
            from: Duration::from_millis(random.u64(0..milliseconds)),
            length: Duration::from_millis(random.u64(0..100_000)),
            state: random.choice(STATES).unwrap_or_default(),
        };
        let outages = (0..random.choice([0, 0, 0, 1, 2]).unwrap_or(0)).map(|_| outage(random)).collect();
        Self {
            endpoint: tcp(Ipv4Addr::LOCALHOST, 1),
            protocol,
            abilities: Abilities::random(random),
            varies: random.u8(0..6) == 0,
            kinds,
            struck: random.u8(0..=violence),
            cut: if random.u8(0..4) == 0 { random.u8(0..=violence / 2) } else { 0 },
            latency: Duration::from_millis(latency),
            jitter: Duration::from_millis(jitter),
            max_read: random.choice([usize::MAX, usize::MAX, usize::MAX, 61]).unwrap_or(usize::MAX),
            patience: Duration::from_secs(random.choice([5, 60, 600]).unwrap_or(60)),
            outages,
            capacity: if random.u8(0..8) == 0 { random.usize(1..=3) } else { usize::MAX },
            backlog: random.choice([1, 128, 128, 128]).unwrap_or(128),
            reads_refused_chunks: random.bool(),
        }
    }

    /// Returns the address of its host.
    pub(crate) fn host(&self) -> Option<IpAddr> {
        match &self.endpoint {
            Endpoint::Tcp(address) => Some(address.ip()),
            Endpoint::Unix(_) => None,
        }
    }
}

const STATES: [nexthop::testing::HostState; 3] = [
    nexthop::testing::HostState::Refuses,
    nexthop::testing::HostState::Silent,
    nexthop::testing::HostState::Unreachable,
];

impl Abilities {
    fn random(random: &mut Rng) -> Self {
        Self {
            pipelining: random.u8(0..4) > 0,
            chunking: random.u8(0..2) > 0,
            eight_bit: random.u8(0..4) > 0,
            early: random.u8(0..4) == 0,
            size: random.choice([None, Some(0), Some(1_000_000)]).unwrap_or(None),
        }
    }

    /// Returns what is left of them on one connection.
    pub(crate) fn varied(mut self, random: &mut Rng) -> Self {
        self.pipelining &= random.u8(0..3) > 0;
        self.chunking &= random.u8(0..3) > 0;
        self.eight_bit &= random.u8(0..3) > 0;
        self.early &= random.u8(0..3) > 0;
        self.size = self.size.filter(|_| random.u8(0..3) > 0);
        self
    }
}

impl Client {
    fn random(random: &mut Rng) -> Self {
        let seconds = |random: &mut Rng, choice: [u64; 4]| {
            Duration::from_secs(random.choice(choice).unwrap_or_default())
        };
        Self {
            connections: random.usize(1..=4),
            per_address: random.bool().then(|| random.usize(1..=4)),
            idle: seconds(random, [0, 1, 5, 60]),
            age: seconds(random, [1, 30, 300, 300]),
            messages: random.choice([1, 2, 1000, 1000]).unwrap_or(1000),
            window: random.choice([1, 1, 2, 4, 16]).unwrap_or(1),
            learned_limit: seconds(random, [0, 1, 60, 300]),
            timeout: seconds(random, [2, 5, 10, 30]),
            attempt: random
                .choice([None, None, Some(Duration::from_secs(3)), Some(Duration::from_secs(60))])
                .flatten(),
            recipients: random.choice([1, 2, 1000, 1000]).unwrap_or(1000),
            max_sessions: random.usize(2..=5),
            pipelining: random.u8(0..8) > 0,
            chunking: random.u8(0..8) > 0,
            sources: random.choice([1, 1, 1, 2, 3]).unwrap_or(1),
            closes_idle: (0..random.choice([0, 0, 1]).unwrap_or(0))
                .map(|_| Duration::from_millis(random.u64(0..10_000)))
                .collect(),
        }
    }
}

/// Addresses that no exchanger may lead to.
pub(crate) const FORBIDDEN: [Ipv4Addr; 5] = [
    Ipv4Addr::new(127, 0, 0, 1),
    Ipv4Addr::new(10, 0, 0, 1),
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(192, 168, 1, 1),
    Ipv4Addr::new(224, 0, 0, 1),
];

fn tcp(address: Ipv4Addr, port: u16) -> Endpoint {
    Endpoint::Tcp((address, port).into())
}

fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// Returns a number from 1 to `most`, mostly a small one.
fn few(random: &mut Rng, most: usize) -> usize {
    let most = random.usize(1..=most);
    random.usize(1..=most)
}

/// Makes content that is a dialogue, for a server that executes it.
fn content(random: &mut Rng, number: usize) -> Vec<u8> {
    let mut content = format!("Subject: m{number} forged\r\n\r\n");
    for line in ["RSET", "MAIL FROM:<forged@evil.example>", "RCPT TO:<r0@forged.example>", "DATA", ".", ".."]
    {
        if random.bool() {
            content.push_str(line);
            content.push_str("\r\n");
        }
    }
    if random.u8(0..6) == 0 {
        content.push_str("gr\u{fc}n forged\r\n");
    }
    // more than a connection holds, or than one read returns
    let lines = match random.u8(0..64) {
        0 => 1600,
        1..=3 => 400,
        4..=12 => 10,
        _ => 0,
    };
    for _ in 0..lines {
        content.push_str("forged line of a longer message .........\r\n");
    }
    content.into_bytes()
}
