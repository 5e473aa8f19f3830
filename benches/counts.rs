//! What a message costs: allocations, processor time, round trips, system calls, instructions; for this crate, two
//! other crates, and a client that sends octets made beforehand. One connection that is kept.
//!
//! `cargo bench --bench counts`; a number behind `--` is the messages of a measurement, 200 without, and less where they
//! are large; a word is a part of the names of the clients, all without. Each client runs in a process of its own, so that
//! nothing of the server is counted. Processor time is that of a second's messages; that of the kernel for the client is
//! in it. System calls are counted by strace(1) and instructions by valgrind(1), where these are installed and may be used;
//! of both, what it takes to get going is taken off. What is printed is Markdown. Fails if a message of 1 KiB costs more
//! round trips or system calls than [`GATES`] allow.

#![expect(clippy::future_not_send, reason = "the clients share one thread")]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod clients;
#[allow(dead_code, reason = "each bench uses a part of it")]
mod orders;
mod processor;
#[allow(dead_code, reason = "each bench uses a part of it")]
mod sink;

use std::time::Duration;

use clients::{Error, Kind, Target};
use orders::Order;
use sink::{Identity, Sink, SinkSettings};

const MESSAGES: usize = 200;
/// The least time in which processor time is measured.
const LEAST: Duration = Duration::from_secs(1);
const KIB: usize = 1024;

/// What is delivered: its name, octets, recipients, and the part of the messages that are sent of it.
const CASES: [(&str, usize, usize, usize); 4] = [
    ("1 KiB", KIB, 1, 1),
    ("1 KiB, 10 recipients", KIB, 10, 2),
    ("1 KiB, 100 recipients", KIB, 100, 10),
    ("1 MiB", KIB * KIB, 1, 10),
];

/// Round trips that a message of 1 KiB to one recipient may cost this crate: by default two in turn and one while the next
/// message waits, in a single flight one. Each takes three system calls: a wait, a read and a write.
const GATES: [(Kind, f64); 6] = [
    (Kind::NexthopChunks, 1.0),
    (Kind::NexthopData, 1.0),
    (Kind::NexthopSingleFlight, 1.0),
    (Kind::NexthopChunksInTurn, 2.0),
    (Kind::NexthopDataInTurn, 2.0),
    (Kind::NexthopSingleFlightInTurn, 1.0),
];
/// Added to the gates: the first message of a row waits alone, and counts of few messages are not exact.
const TOLERANCE: f64 = 0.2;

/// Measured numbers that have gates.
struct Row {
    kind: Kind,
    turns: f64,
    calls: Option<f64>,
}

fn main() -> Result<(), Error> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let Some(("--client", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return Order::parse(rest)?.carry_out();
    }
    let messages = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(MESSAGES);
    let identity = Identity::new()?;
    let settings =
        SinkSettings { chunking: true, tls: Some(identity.config.clone()), round_trip: Duration::ZERO };
    let named =
        arguments.iter().find(|argument| argument.parse::<usize>().is_err() && *argument != "--bench");
    let is_meant = |order: &Order| named.is_none_or(|word| order.kind.to_string().contains(word.as_str()));
    let sink = Sink::start(settings, identity.socket("sink"))?;
    let mut missed = Vec::new();
    for (what, size, recipients, part) in CASES {
        let order = |kind| Order {
            kind,
            target: Target::Tcp(sink.port()),
            messages: messages / part,
            size,
            recipients,
            least: LEAST,
        };
        let rows = table(what, &sink, &identity, Kind::ALL.map(order).into_iter().filter(is_meant))?;
        if size == KIB && recipients == 1 {
            missed.extend(rows.iter().filter_map(Row::missed));
        }
    }
    let order = |kind, target| Order { kind, target, messages, size: KIB, recipients: 1, least: LEAST };
    let unix = [Kind::NexthopChunks, Kind::NexthopData, Kind::BareChunks, Kind::BareData]
        .into_iter()
        .map(|kind| order(kind, Target::Unix(sink.path().clone())));
    table("1 KiB, LMTP, unix socket", &sink, &identity, unix.filter(is_meant))?;
    let tls = Target::tls(sink.port(), &identity.roots())?;
    let kinds = [
        Kind::NexthopChunks,
        Kind::NexthopData,
        Kind::NexthopSingleFlight,
        Kind::NexthopChunksInTurn,
        Kind::NexthopSingleFlightInTurn,
        Kind::BareChunks,
        Kind::MailSend,
    ];
    table(
        "1 KiB, STARTTLS",
        &sink,
        &identity,
        kinds.into_iter().map(|kind| order(kind, tls.clone())).filter(is_meant),
    )?;
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}

fn table(
    what: &str,
    sink: &Sink,
    identity: &Identity,
    orders: impl IntoIterator<Item = Order>,
) -> Result<Vec<Row>, Error> {
    println!("{what}, each message\n");
    println!(
        "| client | allocations | octets allocated | processor time, us | round trips | system calls | \
         instructions |\n|---|---:|---:|---:|---:|---:|---:|"
    );
    let mut rows = Vec::new();
    for order in orders {
        let (kind, before) = (order.kind, sink.seen());
        let report = order.report()?;
        let seen = sink.seen().since(before);
        let turns = seen.turns as f64 / seen.messages as f64;
        let calls = order.each(|order| order.calls(identity.socket("strace")));
        let instructions = cell(order.each(|order| order.instructions(identity.socket("callgrind"))));
        println!("| {kind} | {report} | {turns:.2} | {} | {instructions} |", cell(calls));
        rows.push(Row { kind, turns, calls });
    }
    println!();
    Ok(rows)
}

impl Row {
    /// Returns a description of the gate that was missed.
    fn missed(&self) -> Option<String> {
        let Self { kind, turns, calls } = self;
        let (_, gate) = GATES.iter().find(|(gated, _)| gated == kind)?;
        let is_missed =
            *turns > gate + TOLERANCE || calls.is_some_and(|calls| calls > 3.0 * gate + TOLERANCE);
        is_missed.then(|| format!("{kind}: {turns:.2} round trips, {} system calls", cell(*calls)))
    }
}

fn cell(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"))
}
