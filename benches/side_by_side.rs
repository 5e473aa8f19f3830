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
mod rates;
#[allow(dead_code, reason = "each bench uses a part of it")]
mod sink;

use std::time::Duration;

use clients::{Error, Job, Kind, Target};
use rates::rates;
use sink::{Identity, Sink, SinkSettings};

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
    let rates = rates(Kind::ALL, sink, job, round).await?;
    let rate = |wanted| rates.iter().find_map(|(kind, rate)| (*kind == wanted).then_some(*rate));
    let cells = Kind::ALL.map(|kind| rate(kind).map_or(" |".to_owned(), |rate| format!(" {rate:.0} |")));
    let own = rate(Kind::NexthopChunks).unwrap_or_default();
    let others = [Kind::Lettre, Kind::LettrePool, Kind::MailSend].into_iter().filter_map(rate);
    let other = others.reduce(f64::max).map_or(String::new(), |other| format!("{:.2}", own / other));
    let bare = rate(Kind::BareChunks).map_or(String::new(), |bare| format!("{:.2}", own / bare));
    println!("| {what} | {} |{} {other} | {bare} |", job.connections, cells.concat());
    Ok(())
}
