//! What a message costs on a connection of its own, from the dial to the goodbye: in the clear, with STARTTLS, and with
//! STARTTLS and a resumed session; this crate by BDAT, by DATA and in a single flight, a client that sends octets made
//! beforehand, and two other crates. This crate remembers what it said of a chain: of full handshakes only the first judges
//! it, the others prove the key alone.
//!
//! `cargo bench --bench fresh`; a number behind `--` is the messages of each client, 300 without. The clients take turns, so
//! that whatever else the machine does meets them alike; medians. What is printed is Markdown.

#![expect(clippy::future_not_send, reason = "the clients share one thread")]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod clients;
#[allow(dead_code, reason = "each bench uses a part of it")]
mod sink;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clients::{Client, Error, Job, Kind, Target};
use sink::{Identity, Sink, SinkSettings};
use tokio_rustls::rustls::ServerConfig;

const MESSAGES: usize = 300;
const KIB: usize = 1024;
const KINDS: [Kind; 6] = [
    Kind::NexthopChunks,
    Kind::NexthopData,
    Kind::NexthopSingleFlight,
    Kind::BareChunks,
    Kind::Lettre,
    Kind::MailSend,
];
/// Those of this crate, in front: one deliverer for all messages.
const OWN: usize = 3;

fn main() -> Result<(), Error> {
    let messages = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(MESSAGES);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(messages))
}

async fn run(messages: usize) -> Result<(), Error> {
    let identity = Identity::new()?;
    let mut forgetful = ServerConfig::clone(&identity.config);
    forgetful.send_tls13_tickets = 0;
    println!("A message of 1 KiB on a connection of its own\n");
    println!("| connection | client | us | messages/s, of nexthop's | turns |\n|---|---|---:|---:|---:|");
    for (what, config) in [
        ("in the clear", None),
        ("STARTTLS", Some(Arc::new(forgetful))),
        ("STARTTLS, resumed", Some(identity.config.clone())),
    ] {
        let settings = SinkSettings { chunking: true, tls: config.clone(), round_trip: Duration::ZERO };
        let sink = Sink::start(settings, identity.socket(what))?;
        let target = match config {
            None => Target::Tcp(sink.port()),
            Some(_) => Target::tls(sink.port(), &identity.roots())?,
        };
        rows(what, &sink, &Job { kept: false, ..Job::new(target, 1, 1, KIB) }, messages).await?;
    }
    Ok(())
}

async fn rows(what: &str, sink: &Sink, job: &Job, messages: usize) -> Result<(), Error> {
    let mut own = Vec::new();
    for kind in &KINDS[..OWN] {
        own.push(Client::new(*kind, job).await?);
    }
    let (mut times, mut turns) = (KINDS.map(|_| Vec::new()), [0; KINDS.len()]);
    for round in 0..=messages {
        for (index, kind) in KINDS.into_iter().enumerate() {
            let (before, begun) = (sink.seen(), Instant::now());
            match own.get_mut(index) {
                Some(client) => client.send(1).await?,
                None => deliver(kind, job).await?,
            }
            // the first has no session to resume
            if round > 0 {
                times[index].push(begun.elapsed());
                turns[index] += sink.seen().since(before).turns;
            }
        }
    }
    let times = times.map(median);
    for ((kind, time), turns) in KINDS.into_iter().zip(times).zip(turns) {
        let ratio = times[0].as_secs_f64() / time.as_secs_f64();
        let turns = turns as f64 / messages as f64;
        println!("| {what} | {kind} | {:.0} | {ratio:.2} | {turns:.2} |", time.as_secs_f64() * 1e6);
    }
    Ok(())
}

/// By one that knows no other way than by hand.
async fn deliver(kind: Kind, job: &Job) -> Result<(), Error> {
    let mut client = Client::new(kind, job).await?;
    client.send(1).await?;
    client.quit().await
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
