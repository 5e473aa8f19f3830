//! What a message costs: allocations, processor time, round trips, system calls, instructions; for this crate, two
//! other crates, and a client that sends octets made beforehand. One connection that is kept.
//!
//! `cargo bench --bench counts`; a number behind `--` is the messages of a measurement, 200 without, and less where they
//! are large. Each client runs in a process of its own, so that nothing of the server is counted. Processor time is that
//! of a second's messages; that of the kernel for the client is in it. System calls are counted by
//! strace(1) and instructions by valgrind(1), where these are installed and may be used; of both, what it takes to get
//! going is taken off. What is printed is Markdown.

#![expect(clippy::future_not_send, reason = "the clients share one thread")]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod clients;
mod processor;
#[allow(dead_code, reason = "each bench uses a part of it")]
mod sink;

use std::alloc::System;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use clients::{Client, Error, Job, Kind, Target};
use processor::processor_time;
use sink::{Identity, Sink, SinkSettings};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MESSAGES: usize = 200;
/// The least time in which processor time is measured.
const LEAST: Duration = Duration::from_secs(1);
/// Messages before anything is counted.
const WARM_UP: usize = 20;
const KIB: usize = 1024;

/// What is delivered: its name, octets, recipients, and the part of the messages that are sent of it.
const CASES: [(&str, usize, usize, usize); 4] = [
    ("1 KiB", KIB, 1, 1),
    ("1 KiB, 10 recipients", KIB, 10, 2),
    ("1 KiB, 100 recipients", KIB, 100, 10),
    ("1 MiB", KIB * KIB, 1, 10),
];

fn main() -> Result<(), Error> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let Some(("--client", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return Order::parse(rest)?.carry_out();
    }
    let messages = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(MESSAGES);
    let identity = Identity::new()?;
    let settings =
        SinkSettings { chunking: true, tls: Some(identity.config.clone()), round_trip: Duration::ZERO };
    let sink = Sink::start(settings, identity.socket("sink"))?;
    for (what, size, recipients, part) in CASES {
        let order = |kind| Order {
            kind,
            target: Target::Tcp(sink.port()),
            messages: messages / part,
            size,
            recipients,
            least: LEAST,
        };
        table(what, &sink, &identity, Kind::ALL.map(order))?;
    }
    let order = |kind, target| Order { kind, target, messages, size: KIB, recipients: 1, least: LEAST };
    let unix = [Kind::NexthopChunks, Kind::NexthopData, Kind::BareChunks, Kind::BareData]
        .map(|kind| order(kind, Target::Unix(sink.path().clone())));
    table("1 KiB, LMTP, unix socket", &sink, &identity, unix)?;
    let tls = Target::tls(sink.port(), &identity.roots())?;
    let kinds = [Kind::NexthopChunks, Kind::NexthopData, Kind::BareChunks, Kind::MailSend];
    table("1 KiB, STARTTLS", &sink, &identity, kinds.map(|kind| order(kind, tls.clone())))
}

fn table(
    what: &str,
    sink: &Sink,
    identity: &Identity,
    orders: impl IntoIterator<Item = Order>,
) -> Result<(), Error> {
    println!("{what}, each message\n");
    println!(
        "| client | allocations | octets allocated | processor time, us | round trips | system calls | \
         instructions |\n|---|---:|---:|---:|---:|---:|---:|"
    );
    for order in orders {
        let (kind, before) = (order.kind, sink.seen());
        let report = Report::of(&order.run(Command::new(own_path()?))?)?;
        let seen = sink.seen().since(before);
        let turns = seen.turns as f64 / seen.messages as f64;
        let calls = cell(order.each(|order| order.calls(identity.socket("strace"))));
        let instructions = cell(order.each(|order| order.instructions(identity.socket("callgrind"))));
        println!("| {kind} | {report} | {turns:.2} | {calls} | {instructions} |");
    }
    println!();
    Ok(())
}

fn own_path() -> Result<std::path::PathBuf, Error> {
    Ok(std::env::current_exe()?)
}

fn cell(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"))
}

/// What a process of its own is to do.
#[derive(Debug, Clone)]
struct Order {
    kind: Kind,
    target: Target,
    messages: usize,
    size: usize,
    recipients: usize,
    least: Duration,
}

impl Order {
    fn parse(arguments: &[String]) -> Result<Self, Error> {
        let [kind, target, messages, size, recipients, least] = arguments else {
            return Err("not an order".into());
        };
        let [messages, size, recipients] = [messages.parse()?, size.parse()?, recipients.parse()?];
        let least = Duration::from_millis(least.parse()?);
        Ok(Self { kind: kind.parse()?, target: target.parse()?, messages, size, recipients, least })
    }

    fn arguments(&self) -> [String; 7] {
        let Self { kind, target, messages, size, recipients, least } = self;
        let [messages, size, recipients] = [messages, size, recipients].map(ToString::to_string);
        let least = least.as_millis().to_string();
        ["--client".to_owned(), kind.to_string(), target.to_string(), messages, size, recipients, least]
    }

    fn run(&self, mut command: Command) -> Result<Output, Error> {
        let output = command.args(self.arguments()).output()?;
        match output.status.success() {
            true => Ok(output),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    }

    /// Delivers, and says what it took, in this process.
    fn carry_out(&self) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let job = Job::new(self.target.clone(), 1, self.recipients, self.size);
            let mut client = Client::new(self.kind, &job).await?;
            client.send(WARM_UP).await?;
            let (region, before) = (Region::new(ALLOCATOR), processor_time()?);
            let (begun, mut sent) = (Instant::now(), 0);
            while sent == 0 || begun.elapsed() < self.least {
                client.send(self.messages).await?;
                sent += self.messages;
            }
            let (allocated, after) = (region.change(), processor_time()?);
            let octets = allocated.bytes_allocated.saturating_add_signed(allocated.bytes_reallocated);
            let sums = [
                (allocated.allocations + allocated.reallocations) as f64,
                octets as f64,
                (after - before).as_secs_f64() * 1e6,
            ];
            println!("{}", sums.map(|sum| (sum / sent as f64).to_string()).join(" "));
            Ok(())
        })
    }

    /// A number a message, without what is counted where there are few.
    fn each(&self, count: impl Fn(&Self) -> Option<f64>) -> Option<f64> {
        let many = Self { least: Duration::ZERO, ..self.clone() };
        let few = Self { messages: self.messages / 10, ..many.clone() };
        let more = count(&many)? - count(&few)?;
        Some(more / (many.messages - few.messages) as f64)
    }

    /// System calls under strace.
    fn calls(&self, file: impl AsRef<Path>) -> Option<f64> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-o"]).arg(file.as_ref()).arg(own_path().ok()?);
        self.run(strace).ok()?;
        let table = fs::read_to_string(file).ok()?;
        let total = table.lines().find(|line| line.ends_with(" total"))?;
        total.split_whitespace().nth(3)?.parse().ok()
    }

    /// Instructions under callgrind, which sees none of the kernel's.
    fn instructions(&self, file: impl AsRef<Path>) -> Option<f64> {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args([
                "--tool=callgrind".to_owned(),
                format!("--callgrind-out-file={}", file.as_ref().display()),
            ])
            .arg(own_path().ok()?);
        self.run(valgrind).ok()?;
        let profile = fs::read_to_string(file).ok()?;
        let total = profile.lines().find_map(|line| line.strip_prefix("summary: "))?;
        total.trim().parse().ok()
    }
}

/// What a client said of itself, for each message.
#[derive(Debug)]
struct Report([f64; 3]);

impl Report {
    fn of(output: &Output) -> Result<Self, Error> {
        let text = std::str::from_utf8(&output.stdout)?;
        let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self(numbers.try_into().map_err(|_| format!("not a report: {text}"))?))
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [allocations, octets, time] = self.0;
        write!(f, "{allocations:.1} | {octets:.0} | {time:.1}")
    }
}
