//! [`Traps`]: listeners that nobody may connect to. [`Paths`]: ways that lead from recipients to addresses.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use nexthop::deliverer::{DelivererBuilder, Report};
use nexthop::plan::PlanSettings;
use nexthop::resolver::MemoryResolverBuilder;
use nexthop::{AddressPolicy, Deliverer, Envelope, Event, MemoryResolver, Observer, Route, RouteTable};

use crate::support::{CLIENT, SOON, in_time, message, nothing_kept, timeouts};

/// Listeners on one port. They take no connection up: the system does, and keeps it until somebody looks.
pub(crate) struct Traps {
    pub(crate) port: u16,
    listeners: Vec<TcpListener>,
}

impl Traps {
    /// On a port that is free at all of these addresses.
    pub(crate) fn set(addresses: &[IpAddr]) -> Self {
        loop {
            let first = TcpListener::bind((addresses[0], 0)).unwrap();
            let port = first.local_addr().unwrap().port();
            if let Some(mut traps) = Self::at(port, &addresses[1..]) {
                first.set_nonblocking(true).unwrap();
                traps.listeners.push(first);
                return traps;
            }
        }
    }

    /// On this port; `None` if something else is there. What is no address of this machine needs no trap.
    pub(crate) fn at(port: u16, addresses: &[IpAddr]) -> Option<Self> {
        let mut listeners = Vec::new();
        for address in addresses {
            match TcpListener::bind((*address, port)) {
                Ok(listener) => listeners.push(listener),
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {}
                Err(_) => return None,
            }
        }
        listeners.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        Some(Self { port, listeners })
    }

    /// Where connections were made to since the last look.
    pub(crate) fn caught(&self) -> Vec<SocketAddr> {
        self.listeners.iter().flat_map(|listener| std::iter::from_fn(move || next_of(listener))).collect()
    }
}

/// Where the oldest connection that waits was made to.
fn next_of(listener: &TcpListener) -> Option<SocketAddr> {
    match listener.accept() {
        Ok((stream, _)) => Some(stream.local_addr().unwrap()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

/// What was dialled, as an observer hears it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dialled(Arc<Mutex<Vec<String>>>);

impl Dialled {
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Dialled {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Connecting { connection, .. } = event {
            self.0.lock().unwrap().push((*connection).to_owned());
        }
    }
}

/// Puts an address, or several in turn, at a name.
pub(crate) type Lay = fn(MemoryResolverBuilder, &str, IpAddr) -> MemoryResolverBuilder;

/// Leads one more recipient, the one of this number, to an address.
pub(crate) type Way = fn(Paths, usize, IpAddr) -> Paths;

/// Names, routes and recipients that lead to addresses at one port.
pub(crate) struct Paths {
    dns: MemoryResolverBuilder,
    envelope: Envelope,
    routes: RouteTable,
    port: u16,
    lay: Lay,
}

impl Paths {
    pub(crate) fn new(port: u16, lay: Lay) -> Self {
        let (dns, envelope) = (MemoryResolver::builder(), Envelope::new("s@example.net").unwrap());
        Self { dns, envelope, routes: RouteTable::new(Route::mx()), port, lay }
    }

    pub(crate) fn to(mut self, domain: &str) -> Self {
        self.envelope = self.envelope.to(&format!("u@{domain}")).unwrap();
        self
    }

    pub(crate) fn at(mut self, name: &str, address: IpAddr) -> Self {
        self.dns = (self.lay)(self.dns, name, address);
        self
    }

    fn mx(mut self, domain: &str, host: &str) -> Self {
        self.dns = self.dns.mx(domain, 10, host);
        self
    }

    fn alias(mut self, name: &str, target: &str) -> Self {
        self.dns = self.dns.cname(name, target);
        self
    }

    fn route(mut self, domain: &str, route: &str) -> Self {
        self.routes = self.routes.domain(domain, route.parse().unwrap()).unwrap();
        self
    }

    /// Puts it all to use.
    pub(crate) fn client(self, policy: impl AddressPolicy) -> Client {
        let (dns, dialled) = (Arc::new(self.dns.build().unwrap()), Dialled::default());
        let builder = by_mx(self.port).router(self.routes).resolver(Arc::clone(&dns));
        let deliverer = builder.address_policy(policy).observer(dialled.clone()).build().unwrap();
        Client { deliverer, envelope: self.envelope, dialled, dns }
    }
}

/// A deliverer over some [`Paths`].
pub(crate) struct Client {
    pub(crate) deliverer: Deliverer,
    pub(crate) envelope: Envelope,
    pub(crate) dialled: Dialled,
    pub(crate) dns: Arc<MemoryResolver>,
}

impl Client {
    /// A message to all recipients.
    pub(crate) async fn deliver(&self) -> Report {
        in_time(self.deliverer.deliver(&self.envelope, &message())).await
    }
}

/// A deliverer by MX to this port that waits for no greeting.
pub(crate) fn by_mx(port: u16) -> DelivererBuilder {
    let mut plan = PlanSettings::default();
    plan.mx_port = port;
    let limits = timeouts(|timeouts| timeouts.greeting = SOON);
    Deliverer::builder(CLIENT).plan(plan).timeouts(limits).pool(nothing_kept())
}

/// One address that stays.
pub(crate) fn fixed(dns: MemoryResolverBuilder, name: &str, address: IpAddr) -> MemoryResolverBuilder {
    match address {
        IpAddr::V4(address) => dns.ipv4(name, address),
        IpAddr::V6(address) => dns.ipv6(name, address),
    }
}

/// The names of a recipient's domain, of another domain, and of a host.
fn names(number: usize) -> [String; 3] {
    ["d", "o", "h"].map(|letter| format!("{letter}{number}.example"))
}

pub(crate) fn exchanger(paths: Paths, number: usize, address: IpAddr) -> Paths {
    let [domain, _, host] = names(number);
    paths.to(&domain).mx(&domain, &host).at(&host, address)
}

pub(crate) fn implicit_exchanger(paths: Paths, number: usize, address: IpAddr) -> Paths {
    let [domain, ..] = names(number);
    paths.to(&domain).at(&domain, address)
}

pub(crate) fn aliased_domain(paths: Paths, number: usize, address: IpAddr) -> Paths {
    let [domain, other, _] = names(number);
    paths.to(&domain).alias(&domain, &other).at(&other, address)
}

pub(crate) fn aliased_exchanger(paths: Paths, number: usize, address: IpAddr) -> Paths {
    let [domain, other, host] = names(number);
    paths.to(&domain).mx(&domain, &other).alias(&other, &host).at(&host, address)
}

pub(crate) fn exchanger_of_another(paths: Paths, number: usize, address: IpAddr) -> Paths {
    let [domain, other, host] = names(number);
    paths.to(&domain).route(&domain, &format!("mx:{other}")).mx(&other, &host).at(&host, address)
}

pub(crate) fn literal(paths: Paths, _: usize, address: IpAddr) -> Paths {
    let family = if address.is_ipv6() { "IPv6:" } else { "" };
    paths.to(&format!("[{family}{address}]"))
}

pub(crate) fn relay(paths: Paths, number: usize, address: IpAddr) -> Paths {
    let ([domain, _, host], port) = (names(number), paths.port);
    paths.to(&domain).route(&domain, &format!("smtp://{host}:{port}")).at(&host, address)
}
