//! Whether a message costs more where there are many connections or many host names: processor time of this crate for each
//! message, over one kept connection and over many, over fresh connections one after another and many at once, and with
//! deliveries queued under many host names of one address.
//!
//! `cargo bench --bench growth`; a number behind `--` is the fresh connections of a round, 10000 without. Few and many take
//! turns, so that whatever else the machine does meets them alike; of the ratios the median counts. Fails where a message
//! costs more than it may; how `bare` grows, octets made beforehand, is the machine's part. The server has a thread of its own, whose time is not counted; that of the kernel for the client
//! is. What is printed is Markdown.

#![expect(clippy::future_not_send, reason = "the clients share one thread")]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod clients;
mod processor;
#[allow(dead_code, reason = "each bench uses a part of it")]
mod sink;

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use clients::{Client, Error, Job, Kind, Target};
use futures_util::future::join_all;
use nexthop::plan::PlanSettings;
use nexthop::policy::DefaultPolicy;
use nexthop::{Deliverer, Envelope, MemoryResolver, Message, PoolSettings, TlsLevel, TlsSettings};
use processor::processor_time;
use sink::{Identity, Sink, SinkSettings};

const KIB: usize = 1024;
const ROUNDS: usize = 7;
/// Messages of a round over kept connections.
const KEPT: usize = 5000;
/// Deliveries of a round over fresh connections.
const FRESH: usize = 10_000;
/// Deliveries that are queued for one address.
const QUEUED: usize = 3000;
/// Host names of that address. The ratio is that to the first.
const NAMES: [usize; 3] = [1, 100, QUEUED];
/// Rounds of deliveries that are queued.
const QUEUED_ROUNDS: usize = 3;
/// Fresh connections that are open at once, where so many files may be.
const OPEN: usize = 1000;

fn main() -> Result<(), Error> {
    let fresh = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(FRESH);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(fresh))
}

async fn run(fresh: usize) -> Result<(), Error> {
    let identity = Identity::new()?;
    let settings = SinkSettings { chunking: true, tls: None, round_trip: Duration::ZERO };
    let sink = Sink::start(settings, identity.socket("sink"))?;
    println!("Processor time of a message of 1 KiB\n");
    println!(
        "| client | connections | us, one | us, many | ratio | at most |\n|---|---|---:|---:|---:|---:|"
    );
    let open = open_at_once()?;
    let mut missed = Vec::new();
    let job = |connections, kept| Job { kept, ..Job::new(Target::Tcp(sink.port()), connections, 1, KIB) };
    for (kind, most) in [
        (Kind::NexthopChunks, Some(1.1)),
        (Kind::NexthopData, Some(1.1)),
        (Kind::NexthopSingleFlight, Some(1.1)),
        (Kind::BareChunks, None),
    ] {
        let [few, many] = [job(1, true), job(100, true)];
        let pair = Pair { kind, what: "100 kept".to_owned(), few, many, messages: [KEPT; 2], most };
        missed.extend(pair.row().await?);
    }
    for kind in [Kind::NexthopChunks, Kind::NexthopData] {
        let [few, many] = [job(1, false), job(open, false)];
        let what = format!("{fresh} fresh, {open} at once");
        let pair = Pair { kind, what, few, many, messages: [fresh / 10, fresh], most: Some(1.3) };
        missed.extend(pair.row().await?);
    }
    missed.extend(names(sink.port()).await?);
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}

/// Each has a file in the client and one in the server.
fn open_at_once() -> Result<usize, Error> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|words| words.split_whitespace().next()).ok_or("no limit of open files")?;
    let most = files.parse().map_or(OPEN, |files: usize| files.saturating_sub(100) / 2);
    Ok(most.clamp(1, OPEN))
}

/// Few connections, and many.
struct Pair {
    kind: Kind,
    what: String,
    few: Job,
    many: Job,
    messages: [usize; 2],
    /// The ratio that is allowed.
    most: Option<f64>,
}

impl Pair {
    /// What is wrong with it.
    async fn row(&self) -> Result<Option<String>, Error> {
        let mut clients =
            [Client::new(self.kind, &self.few).await?, Client::new(self.kind, &self.many).await?];
        let (mut times, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
        // the first opens what is kept
        for round in 0..=ROUNDS {
            let few = cost(&mut clients[0], self.messages[0]).await?;
            let many = cost(&mut clients[1], self.messages[1]).await?;
            if round > 0 {
                times[0].push(few);
                times[1].push(many);
                ratios.push(many / few);
            }
        }
        let ([few, many], ratio) = (times.map(median), median(ratios));
        let Self { kind, what, .. } = self;
        let most = self.most.map_or_else(|| "-".to_owned(), |most| most.to_string());
        println!("| {kind} | {what} | {few:.1} | {many:.1} | {ratio:.2} | {most} |");
        Ok(self.most.is_some_and(|most| ratio > most).then(|| format!("{kind}, {what}: {ratio:.2} times")))
    }
}

/// Microseconds a message.
async fn cost(client: &mut Client, messages: usize) -> Result<f64, Error> {
    let before = processor_time()?;
    client.send(messages).await?;
    Ok((processor_time()? - before).as_secs_f64() * 1e6 / messages as f64)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Prints how the cost of a queued delivery grows with the host names of one address. Returns the ratios that are too high.
async fn names(port: u16) -> Result<Vec<String>, Error> {
    const MOST: f64 = 2.0;
    println!("\nProcessor time of a delivery, {QUEUED} queued for one address, each on a fresh connection\n");
    println!("| host names | us | ratio | at most |\n|---:|---:|---:|---:|");
    let cases = NAMES.map(|names| Named::new(names, port));
    let mut times = NAMES.map(|_| Vec::new());
    for round in 0..=QUEUED_ROUNDS {
        for (case, times) in cases.iter().zip(&mut times) {
            let time = case.as_ref().map_err(ToString::to_string)?.cost().await?;
            if round > 0 {
                times.push(time);
            }
        }
    }
    let times = times.map(median);
    let mut missed = Vec::new();
    for (names, time) in NAMES.into_iter().zip(times) {
        let ratio = time / times[0];
        println!("| {names} | {time:.1} | {ratio:.2} | {MOST} |");
        if ratio > MOST {
            missed.push(format!("{names} host names: {ratio:.2} times"));
        }
    }
    Ok(missed)
}

/// Deliveries to domains whose mail exchangers have names of their own and one address.
struct Named {
    deliverer: Deliverer,
    envelopes: Vec<Envelope>,
    message: Message,
}

impl Named {
    fn new(names: usize, port: u16) -> Result<Self, Error> {
        let (mut dns, mut plan) = (MemoryResolver::builder(), PlanSettings::default());
        let (mut pool, mut tls) = (PoolSettings::default(), TlsSettings::default());
        plan.mx_port = port;
        tls.level = TlsLevel::Off;
        // a connection would be used again for the same name only
        pool.messages = 1;
        for name in 0..names {
            let host = format!("mx{name}.example");
            dns = dns.mx(&format!("d{name}.example"), 10, &host).ipv4(&host, Ipv4Addr::LOCALHOST);
        }
        let deliverer = Deliverer::builder("client.example")
            .resolver(dns.build()?)
            .address_policy(DefaultPolicy::default().allow("127.0.0.0/8".parse()?))
            .plan(plan)
            .tls(tls)
            .pool(pool)
            .build()?;
        let to = |number| format!("a@d{}.example", number % names);
        let envelopes = (0..QUEUED)
            .map(|number| Envelope::new("news@sender.example")?.to(&to(number)))
            .collect::<Result<_, _>>()?;
        Ok(Self { deliverer, envelopes, message: Message::from_bytes("Subject: bench\r\n\r\nx\r\n")? })
    }

    /// Returns the microseconds of a delivery, with all of them under way at once.
    async fn cost(&self) -> Result<f64, Error> {
        let before = processor_time()?;
        let all = self.envelopes.iter().map(|envelope| self.deliverer.deliver(envelope, &self.message));
        let reports = join_all(all).await;
        let time = processor_time()? - before;
        if let Some(failed) = reports.iter().find(|report| !report.is_delivered()) {
            return Err(failed.to_string().into());
        }
        Ok(time.as_secs_f64() * 1e6 / QUEUED as f64)
    }
}
