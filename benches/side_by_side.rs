//! Messages a second of this crate, of two other crates, and of a client that sends octets made beforehand; the last is
//! what any client can reach at most. All of them in one process and one thread, with connections that are kept, to a
//! server in another thread.
//!
//! `cargo bench --bench side_by_side`; a number behind `--` is the milliseconds of a round, 200 without. The clients
//! take turns, so that whatever else the machine does meets them alike; of the rounds the median counts. What is printed
//! is Markdown.

#![expect(clippy::future_not_send, reason = "the clients share one thread")]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod clients;
#[allow(dead_code, reason = "each bench uses a part of it")]
mod sink;

use std::time::{Duration, Instant};

use clients::{Client, Error, Job, Kind, Target};
use sink::{Identity, Sink, SinkSettings};

const ROUNDS: usize = 5;
const ROUND: u64 = 200;
const KIB: usize = 1024;
/// Octets and recipients of the messages.
const MESSAGES: [(&str, usize, usize); 5] = [
    ("1 KiB", KIB, 1),
    ("1 KiB, 10 recipients", KIB, 10),
    ("1 KiB, 100 recipients", KIB, 100),
    ("100 KiB", 100 * KIB, 1),
    ("10 MiB", 10 * KIB * KIB, 1),
];
const CONNECTIONS: [usize; 3] = [1, 10, 100];

fn main() -> Result<(), Error> {
    let round = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(ROUND);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(Duration::from_millis(round)))
}

async fn run(round: Duration) -> Result<(), Error> {
    let identity = Identity::new()?;
    let settings = SinkSettings { chunking: true, tls: None, round_trip: Duration::ZERO };
    let clear = Sink::start(settings.clone(), identity.socket("clear"))?;
    let tls = SinkSettings { tls: Some(identity.config.clone()), ..settings };
    let secured = Sink::start(tls, identity.socket("secured"))?;
    let kinds = Kind::ALL.map(|kind| format!(" {kind} |")).concat();
    println!("Messages a second\n\n| message | connections |{kinds} to the best other | of bare |");
    println!("|---|---|{}---|---|", "---:|".repeat(Kind::ALL.len()));
    for (what, size, recipients) in MESSAGES {
        for connections in CONNECTIONS {
            let job = Job::new(Target::Tcp(clear.port()), connections, recipients, size);
            row(what, &clear, &job, round).await?;
        }
    }
    let unix = Target::Unix(clear.path().clone());
    let tls = Target::tls(secured.port(), &identity.roots())?;
    for connections in [1, 10] {
        row("1 KiB, LMTP, unix socket", &clear, &Job::new(unix.clone(), connections, 1, KIB), round).await?;
        row("1 KiB, STARTTLS", &secured, &Job::new(tls.clone(), connections, 1, KIB), round).await?;
    }
    Ok(())
}

async fn row(what: &str, sink: &Sink, job: &Job, round: Duration) -> Result<(), Error> {
    let rates = rates(sink, job, round).await?;
    let rate = |wanted| rates.iter().find_map(|(kind, rate)| (*kind == wanted).then_some(*rate));
    let cells = Kind::ALL.map(|kind| rate(kind).map_or(" |".to_owned(), |rate| format!(" {rate:.0} |")));
    let own = rate(Kind::NexthopChunks).unwrap_or_default();
    let others = [Kind::Lettre, Kind::LettrePool, Kind::MailSend].into_iter().filter_map(rate);
    let other = others.reduce(f64::max).map_or(String::new(), |other| format!("{:.2}", own / other));
    let bare = rate(Kind::BareChunks).map_or(String::new(), |bare| format!("{:.2}", own / bare));
    println!("| {what} | {} |{} {other} | {bare} |", job.connections, cells.concat());
    Ok(())
}

/// The median rate of each client that can.
async fn rates(sink: &Sink, job: &Job, round: Duration) -> Result<Vec<(Kind, f64)>, Error> {
    let mut runs = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.can(&job.target)) {
        let mut client = Client::new(kind, job).await?;
        let messages = messages(&mut client, job, round).await?;
        runs.push(Run { kind, client, messages, rates: Vec::new() });
    }
    for _ in 0..ROUNDS {
        for run in &mut runs {
            run.round(sink).await?;
        }
    }
    Ok(runs.into_iter().map(|run| (run.kind, median(run.rates))).collect())
}

/// One client at work.
struct Run {
    kind: Kind,
    client: Client,
    messages: usize,
    rates: Vec<f64>,
}

impl Run {
    async fn round(&mut self, sink: &Sink) -> Result<(), Error> {
        let (before, begun) = (sink.seen(), Instant::now());
        self.client.send(self.messages).await?;
        self.rates.push(self.messages as f64 / begun.elapsed().as_secs_f64());
        let arrived = sink.seen().since(before).messages;
        let all = usize::try_from(arrived) == Ok(self.messages);
        if all {
            Ok(())
        } else {
            Err(format!("{}: {arrived} of {} arrived", self.kind, self.messages).into())
        }
    }
}

/// As many as a client delivers in a round; opens its connections.
async fn messages(client: &mut Client, job: &Job, round: Duration) -> Result<usize, Error> {
    let mut messages = job.connections;
    loop {
        let begun = Instant::now();
        client.send(messages).await?;
        let took = begun.elapsed();
        if took >= round / 4 {
            let fitting = messages as f64 * round.as_secs_f64() / took.as_secs_f64();
            return Ok((fitting as usize).max(job.connections));
        }
        messages *= 4;
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}
