//! Messages a second over one kept connection to a server that is far away: this crate beside two other crates, with and
//! without CHUNKING, in a single flight, and with several unacknowledged messages, which need the single flight.
//!
//! `cargo bench --bench distance`; a number behind `--` is the milliseconds there and back, 50 without. Fails where a gate
//! is not reached; gates are counted in round trips. What is printed is Markdown.

#![expect(clippy::future_not_send, reason = "the clients share one thread")]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod clients;
#[allow(dead_code, reason = "each bench uses a part of it")]
mod sink;

use std::time::{Duration, Instant};

use clients::{Client, Error, Job, Kind, Target};
use sink::{Identity, Sink, SinkSettings};

const ROUND_TRIP: u64 = 50;
const KIB: usize = 1024;

/// What is measured.
struct Case {
    kind: Kind,
    window: usize,
    messages: usize,
    /// Messages a round trip, at least.
    gate: Option<f64>,
}

/// At 50 ms a gate of 0.45 is 9 messages a second, one of 0.9 is 18, one of 10 is 200.
const CASES: [Case; 8] = [
    Case { kind: Kind::NexthopChunks, window: 1, messages: 40, gate: Some(0.9) },
    Case { kind: Kind::NexthopData, window: 1, messages: 40, gate: Some(0.9) },
    Case { kind: Kind::NexthopChunksInTurn, window: 1, messages: 20, gate: Some(0.45) },
    Case { kind: Kind::NexthopSingleFlight, window: 1, messages: 40, gate: Some(0.9) },
    Case { kind: Kind::NexthopSingleFlightInTurn, window: 1, messages: 40, gate: Some(0.9) },
    Case { kind: Kind::NexthopSingleFlight, window: 16, messages: 640, gate: Some(10.0) },
    Case { kind: Kind::Lettre, window: 1, messages: 10, gate: None },
    Case { kind: Kind::MailSend, window: 1, messages: 10, gate: None },
];

fn main() -> Result<(), Error> {
    let trip = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(ROUND_TRIP);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(Duration::from_millis(trip)))
}

async fn run(round_trip: Duration) -> Result<(), Error> {
    let identity = Identity::new()?;
    let settings = SinkSettings { chunking: true, tls: None, round_trip };
    let sink = Sink::start(settings, identity.socket("far"))?;
    println!("One connection, 1 KiB, {} ms there and back\n", round_trip.as_millis());
    println!(
        "| client | window | messages/s | of nexthop | round trips a message |\n|---|---:|---:|---:|---:|"
    );
    let (mut first, mut missed) = (None, Vec::new());
    for case in &CASES {
        let (rate, turns) = case.measure(&sink).await?;
        let of_first = rate / *first.get_or_insert(rate);
        println!("| {} | {} | {rate:.1} | {of_first:.2} | {turns:.2} |", case.kind, case.window);
        let each = rate * round_trip.as_secs_f64();
        if case.gate.is_some_and(|gate| each < gate) {
            missed.push(format!("{}, window {}: {each:.2} messages a round trip", case.kind, case.window));
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}

impl Case {
    /// Messages a second, and round trips of each.
    async fn measure(&self, sink: &Sink) -> Result<(f64, f64), Error> {
        let job = Job { window: self.window, waiting: 4, ..Job::new(Target::Tcp(sink.port()), 1, 1, KIB) };
        let mut client = Client::new(self.kind, &job).await?;
        client.send(1).await?;
        let (before, begun) = (sink.seen(), Instant::now());
        client.send(self.messages).await?;
        let (took, turns) = (begun.elapsed(), sink.seen().since(before).turns);
        Ok((self.messages as f64 / took.as_secs_f64(), turns as f64 / self.messages as f64))
    }
}
