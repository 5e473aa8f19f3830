//! The table of README.md: what a message costs this crate, two other crates, and a client that sends octets made
//! beforehand, over one kept connection, and how many messages a second they deliver beside this crate.
//!
//! `cargo bench --bench table` prints it as it stands there. Needs strace(1) and valgrind(1). A number behind `--` is the
//! messages of a count, 100 without, and less where they are large.

#![expect(clippy::future_not_send, reason = "the clients share one thread")]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod clients;
#[allow(dead_code, reason = "each bench uses a part of it")]
mod orders;
mod processor;
mod rates;
#[allow(dead_code, reason = "each bench uses a part of it")]
mod sink;

use std::time::Duration;

use clients::{Error, Job, Kind, Target};
use orders::Order;
use rates::rates;
use sink::{Identity, Sink, SinkSettings};

const MESSAGES: usize = 100;
const ROUND: Duration = Duration::from_millis(200);
const KIB: usize = 1024;
const KINDS: [Kind; 8] = [
    Kind::NexthopChunks,
    Kind::NexthopData,
    Kind::NexthopSingleFlight,
    Kind::NexthopChunksInTurn,
    Kind::NexthopSingleFlightInTurn,
    Kind::BareChunks,
    Kind::Lettre,
    Kind::MailSend,
];

/// What is delivered: its name, octets, recipients, and the part of the messages that are counted of it.
const CASES: [(&str, usize, usize, usize); 3] =
    [("1 KiB", KIB, 1, 1), ("1 KiB, 100 recipients", KIB, 100, 5), ("1 MiB", KIB * KIB, 1, 5)];

fn main() -> Result<(), Error> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let Some(("--client", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return Order::parse(rest)?.carry_out();
    }
    let messages = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(MESSAGES);
    let identity = Identity::new()?;
    let settings =
        SinkSettings { chunking: true, tls: Some(identity.config.clone()), round_trip: Duration::ZERO };
    let bench = Bench { sink: Sink::start(settings, identity.socket("sink"))?, identity };
    println!(
        "| message | client | round trips | system calls | allocations | instructions | messages/s, of nexthop's |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|");
    let tcp = Target::Tcp(bench.sink.port());
    for (what, size, recipients, part) in CASES {
        bench.rows(what, &Job::new(tcp.clone(), 1, recipients, size), messages / part)?;
    }
    let tls = Target::tls(bench.sink.port(), &bench.identity.roots())?;
    bench.rows("1 KiB, STARTTLS", &Job::new(tls, 1, 1, KIB), messages)
}

struct Bench {
    sink: Sink,
    identity: Identity,
}

impl Bench {
    fn rows(&self, what: &str, job: &Job, messages: usize) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let rates = runtime.block_on(rates(KINDS, &self.sink, job, ROUND))?;
        let own = rates.first().map_or(f64::NAN, |(_, rate)| *rate);
        for (kind, rate) in rates {
            let order = Order {
                kind,
                target: job.target.clone(),
                messages,
                size: job.content.len(),
                recipients: job.recipients,
                least: Duration::ZERO,
            };
            println!("| {what} | {kind} | {} | {:.2} |", self.costs(&order)?, rate / own);
        }
        Ok(())
    }

    /// Of each message.
    fn costs(&self, order: &Order) -> Result<String, Error> {
        let allocations = order.report()?.allocations();
        let turns = cell(order.each(|order| self.turns(order)), 2);
        let calls = order.each(|order| order.calls(self.identity.socket("strace")));
        let instructions = order.each(|order| order.instructions(self.identity.socket("callgrind")));
        let (calls, instructions) = (cell(calls, 1), cell(instructions, 0));
        Ok(format!("{turns} | {calls} | {allocations:.0} | {instructions}"))
    }

    /// How often the server had to answer.
    fn turns(&self, order: &Order) -> Option<f64> {
        let before = self.sink.seen();
        order.report().ok()?;
        Some(self.sink.seen().since(before).turns as f64)
    }
}

fn cell(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
}
