//! Plans a second from what is known already, against plain lookups of MX records.
//!
//! `cargo bench --bench plans`; a number behind `--` is the plans of each kind, 20000 without. A name server in this
//! process answers `HickoryResolver` once a question; from then on its memory does, which is checked. The sources of
//! addresses are what the kernel is asked for, so there is a row in which they are given.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nexthop::plan::{Destination, PlanSettings, Planner};
use nexthop::resolver::Query;
use nexthop::{DefaultPolicy, DnsName, HickoryResolver, MemoryResolver, Recipient, Resolver, Route};
use tokio::net::UdpSocket;

const PLANS: usize = 20_000;
const ROUNDS: usize = 20;
/// What a plan from memory is measured against.
const PLAIN: &str = "MX lookup alone";
/// What connections come from where the kernel is not asked.
const LOCAL: [&str; 2] = ["192.0.2.200", "2001:db8::200"];

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(PLANS);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(count))
}

async fn run(count: usize) -> Result<(), Error> {
    let server = UdpSocket::bind("127.0.0.1:0").await?;
    let resolver = HickoryResolver::from_servers([server.local_addr()?]);
    let asked = Arc::new(AtomicUsize::new(0));
    let answering = tokio::spawn(answer(server, Arc::clone(&asked)));
    println!("{count} plans each, median of {ROUNDS} rounds");
    measure("HickoryResolver", &resolver, count).await?;
    measure("MemoryResolver", &memory()?, count).await?;
    answering.abort();
    match asked.load(Ordering::Relaxed) {
        QUESTIONS => Ok(()),
        more => Err(format!("{more} questions were asked, not {QUESTIONS}").into()),
    }
}

/// What is planned, and from given local addresses or not.
struct Case {
    what: &'static str,
    destination: Destination,
    candidates: usize,
    local: Vec<IpAddr>,
}

impl Case {
    fn new(what: &'static str, route: &str, to: &str, candidates: usize) -> Result<Self, Error> {
        let (route, recipient): (Route, _) = (route.parse()?, Recipient::parse(to)?);
        let destination = Destination::new(&route, &recipient)?.ok_or("the route leads nowhere")?;
        Ok(Self { what, destination, candidates, local: Vec::new() })
    }

    fn with_local(self) -> Result<Self, Error> {
        let local = LOCAL.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
        Ok(Self { local, ..self })
    }

    /// Plans so many times, and gives the time of one.
    async fn plan(&self, resolver: &dyn Resolver, count: usize) -> Result<Duration, Error> {
        let (policy, settings) = (DefaultPolicy::default(), PlanSettings::default());
        let planner = Planner::new(resolver, &policy, &settings).with_sources(&self.local);
        let begun = Instant::now();
        for _ in 0..count {
            let plan = planner.plan(&self.destination).await;
            if plan.candidates.len() != self.candidates || plan.error().is_some() {
                return Err(plan.to_string().into());
            }
        }
        Ok(begun.elapsed() / u32::try_from(count)?)
    }
}

fn cases() -> Result<[Case; 4], Error> {
    let four = || Case::new("4 MX, both families", "mx", "ann@four.example", 8);
    Ok([
        Case::new("1 MX, 1 address", "mx", "ann@one.example", 1)?,
        four()?,
        Case { what: "  from given sources", ..four()?.with_local()? },
        Case::new("literal relay", "smtp://198.41.0.1", "ann@one.example", 1)?,
    ])
}

/// The cases take turns, so that whatever else the machine does meets them alike.
async fn measure(name: &str, resolver: &dyn Resolver, count: usize) -> Result<(), Error> {
    let (cases, each) = (cases()?, (count / ROUNDS).max(1));
    let (mut lookups, mut plans) = (Vec::new(), vec![Vec::new(); cases.len()]);
    for case in &cases {
        case.plan(resolver, 1).await?;
    }
    for _ in 0..ROUNDS {
        lookups.push(look_up(resolver, each).await?);
        for (times, case) in plans.iter_mut().zip(&cases) {
            times.push(case.plan(resolver, each).await?);
        }
    }
    println!("\n{name}");
    let plain = median(lookups);
    show(PLAIN, plain, plain);
    cases.iter().zip(plans).for_each(|(case, times)| show(case.what, median(times), plain));
    Ok(())
}

async fn look_up(resolver: &dyn Resolver, count: usize) -> Result<Duration, Error> {
    let query = Query::new(DnsName::parse("one.example")?);
    let begun = Instant::now();
    for _ in 0..count {
        resolver.mx(&query).await?;
    }
    Ok(begun.elapsed() / u32::try_from(count)?)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn show(what: &str, time: Duration, plain: Duration) {
    let seconds = time.as_secs_f64();
    let ratio = seconds / plain.as_secs_f64();
    println!("{what:<22} {:>8.2} us {:>9.0}/s {ratio:>7.1} lookups", seconds * 1e6, 1.0 / seconds);
}

/// A mail exchanger, and what its addresses end in, which is its preference as well.
struct Host {
    domain: &'static str,
    name: &'static str,
    number: u8,
    has_v6: bool,
}

const HOSTS: [Host; 5] = [
    Host { domain: "one.example", name: "e.one.example", number: 1, has_v6: false },
    Host { domain: "four.example", name: "a.four.example", number: 2, has_v6: true },
    Host { domain: "four.example", name: "b.four.example", number: 3, has_v6: true },
    Host { domain: "four.example", name: "c.four.example", number: 4, has_v6: true },
    Host { domain: "four.example", name: "d.four.example", number: 5, has_v6: true },
];
/// Two domains, and both families of each host.
const QUESTIONS: usize = 2 + 2 * HOSTS.len();

impl Host {
    fn v4(&self) -> [u8; 4] {
        [198, 41, 0, self.number]
    }

    fn v6(&self) -> [u8; 16] {
        (0x2600 << 112 | u128::from(self.number)).to_be_bytes()
    }
}

/// What the name server says, in memory.
fn memory() -> Result<MemoryResolver, Error> {
    let dns = HOSTS.iter().fold(MemoryResolver::builder(), |dns, host| {
        let dns = dns.mx(host.domain, host.number.into(), host.name).ipv4(host.name, host.v4());
        if host.has_v6 { dns.ipv6(host.name, host.v6()) } else { dns }
    });
    Ok(dns.build()?)
}

/// The octets of a header (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
/// A response that ended well, with recursion.
const FLAGS: [u8; 2] = [0x81, 0x80];
/// Where the question has its name.
const NAME: [u8; 2] = [0xc0, HEADER as u8];
const A: u16 = 1;
const SOA: u16 = 6;
const MX: u16 = 15;
const AAAA: u16 = 28;

/// Answers questions for the hosts, and counts them.
async fn answer(socket: UdpSocket, asked: Arc<AtomicUsize>) -> Result<(), std::io::Error> {
    let mut octets = [0; 1500];
    loop {
        let (length, client) = socket.recv_from(&mut octets).await?;
        asked.fetch_add(1, Ordering::Relaxed);
        socket.send_to(&response(&octets[..length]), client).await?;
    }
}

fn response(query: &[u8]) -> Vec<u8> {
    let root = HEADER + query[HEADER..].iter().position(|octet| *octet == 0).unwrap_or(0);
    let kind = u16::from_be_bytes([query[root + 1], query[root + 2]]);
    let hosts = HOSTS.iter().filter(|host| {
        let owner = if kind == MX { host.domain } else { host.name };
        query[HEADER..=root].eq_ignore_ascii_case(&labels(owner))
    });
    let records: Vec<_> = hosts.filter_map(|host| data(host, kind)).map(|data| record(kind, &data)).collect();
    // a denial is kept for as long as its SOA says (RFC 2308 section 5)
    let denial = if records.is_empty() { record(SOA, &soa()) } else { Vec::new() };
    let counts = [0, 1, 0, records.len() as u8, 0, u8::from(records.is_empty()), 0, 0];
    [&query[..2], &FLAGS, &counts, &query[HEADER..root + 5], &records.concat(), &denial].concat()
}

fn data(host: &Host, kind: u16) -> Option<Vec<u8>> {
    match kind {
        A => Some(host.v4().to_vec()),
        AAAA if host.has_v6 => Some(host.v6().to_vec()),
        MX => Some([&[0, host.number][..], &labels(host.name)].concat()),
        _ => None,
    }
}

/// For a day, of the name that was asked for.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let [high, low] = kind.to_be_bytes();
    [&NAME, &[high, low, 0, 1, 0, 1, 0x51, 0x80, 0, data.len() as u8][..], data].concat()
}

/// Denials last for a day; the rest is of no use here.
fn soa() -> Vec<u8> {
    let times = [1, 3600, 600, 86400, 86400_u32].map(u32::to_be_bytes);
    [&[0, 0][..], &times.concat()].concat()
}

fn labels(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}
