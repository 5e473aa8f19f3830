//! What the dialogue of a message costs without a socket and without a deliverer: a `Session` on a stream in memory whose
//! server answers at once.
//!
//! `cargo bench --bench transaction`; a number behind `--` is the messages of a measurement, 10000 without. Instructions
//! are counted by valgrind(1), where that is installed; what it takes to get going is taken off. What is printed is
//! Markdown.

use std::alloc::System;
use std::fs;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use nexthop::transport::{Session, SessionSettings};
use nexthop::{ClientName, Envelope, Message, Protocol};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MESSAGES: usize = 10_000;
/// Messages under valgrind, which is slow.
const FEW: usize = 100;
const WARM_UP: usize = 10;
const RECIPIENTS: [usize; 3] = [1, 10, 100];
/// Bytes of the largest message that goes together with its commands.
const SINGLE_FLIGHT: usize = 64 * 1024;
const CLIENT: &str = "client.example";
const SENDER: &str = "news@sender.example";

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [order, mode, recipients, messages] = &arguments[..]
        && order == "--messages"
    {
        let mode = Mode::ALL.into_iter().find(|known| known.name() == mode).ok_or("unknown mode")?;
        let case = Case { mode, recipients: recipients.parse()? };
        return case.run(messages.parse()?).map(drop);
    }
    let messages = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(MESSAGES);
    println!("| content by | recipients | ns | allocations | instructions |\n|---|---:|---:|---:|---:|");
    for mode in Mode::ALL {
        for recipients in RECIPIENTS {
            Case { mode, recipients }.print(messages)?;
        }
    }
    Ok(())
}

/// What is sent over and over again: 1 KiB.
#[derive(Debug, Clone, Copy)]
struct Case {
    mode: Mode,
    recipients: usize,
}

/// How content goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// By BDAT, after the replies to RCPT; the default.
    Chunks,
    /// By BDAT, in one write with the commands.
    SingleFlight,
    Data,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Chunks, Self::SingleFlight, Self::Data];

    fn name(self) -> &'static str {
        match self {
            Self::Chunks => "BDAT",
            Self::SingleFlight => "BDAT, single flight",
            Self::Data => "DATA",
        }
    }
}

impl Case {
    fn print(self, messages: usize) -> Result<(), Error> {
        let Self { mode, recipients } = self;
        let [time, allocations] = self.run(messages.div_ceil(recipients))?;
        let instructions = self.instructions().map_or("-".to_owned(), |number| format!("{number:.0}"));
        println!("| {} | {recipients} | {time:.0} | {allocations:.1} | {instructions} |", mode.name());
        Ok(())
    }

    /// Nanoseconds and allocations a message.
    fn run(self, messages: usize) -> Result<[f64; 2], Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(async {
            let mut recipients = (0..self.recipients).map(|index| format!("recipient{index}@next.example"));
            let envelope = recipients.try_fold(Envelope::new(SENDER)?, |envelope, to| envelope.to(&to))?;
            let content =
                format!("Subject: bench\r\n\r\n{}", "a line of some length, as they are\r\n".repeat(28));
            let message = Message::from_bytes(content)?;
            let server = Server::new(self.mode != Mode::Data, self.answers(&envelope, &message));
            let mut settings = SessionSettings::new(ClientName::parse(CLIENT)?);
            settings.single_flight_limit = if self.mode == Mode::SingleFlight { SINGLE_FLIGHT } else { 0 };
            let mut session = Session::open(server, Protocol::Smtp, settings).await?;
            send(&mut session, &envelope, &message, WARM_UP).await?;
            let (begun, region) = (Instant::now(), Region::new(ALLOCATOR));
            send(&mut session, &envelope, &message, messages).await?;
            let (time, allocated) = (begun.elapsed(), region.change());
            let allocations = allocated.allocations + allocated.reallocations;
            Ok([time.as_nanos() as f64, allocations as f64].map(|sum| sum / messages as f64))
        })
    }

    /// How many octets the client writes before each answer, and the answers.
    fn answers(self, envelope: &Envelope, message: &Message) -> Vec<(usize, String)> {
        let rcpt = |recipient| format!("RCPT TO:<{recipient}>\r\n").len();
        let size = message.facts().size;
        let commands = format!("MAIL FROM:<{SENDER}> SIZE={size}\r\n").len()
            + envelope.recipients().iter().map(rcpt).sum::<usize>();
        let accepted = "250 2.1.0 Ok\r\n".to_owned() + &"250 2.1.5 Ok\r\n".repeat(self.recipients);
        let taken = "250 2.0.0 Ok: queued as 4XyZ1234abcd\r\n".to_owned();
        let size = size as usize;
        let chunk = format!("BDAT {size} LAST\r\n").len() + size;
        match self.mode {
            Mode::Chunks => vec![(commands, accepted), (chunk, taken)],
            Mode::SingleFlight => vec![(commands + chunk, accepted + &taken)],
            Mode::Data => vec![
                (commands + "DATA\r\n".len(), accepted + "354 End data with <CR><LF>.<CR><LF>\r\n"),
                (size + ".\r\n".len(), taken),
            ],
        }
    }

    /// Those of a message, by callgrind.
    fn instructions(self) -> Option<f64> {
        let (few, many) = (self.counted(FEW / 10)?, self.counted(FEW)?);
        Some((many - few) / (FEW - FEW / 10) as f64)
    }

    fn counted(self, messages: usize) -> Option<f64> {
        let file = std::env::temp_dir().join(format!("nexthop-transaction-{}", std::process::id()));
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", &format!("--callgrind-out-file={}", file.display())]);
        valgrind.arg(std::env::current_exe().ok()?).arg("--messages");
        valgrind.args([self.mode.name().to_owned(), self.recipients.to_string(), messages.to_string()]);
        valgrind.output().ok()?.status.success().then_some(())?;
        let profile = fs::read_to_string(&file).ok()?;
        fs::remove_file(file).ok()?;
        profile.lines().find_map(|line| line.strip_prefix("summary: "))?.trim().parse().ok()
    }
}

async fn send(
    session: &mut Session<Server>,
    envelope: &Envelope,
    message: &Message,
    messages: usize,
) -> Result<(), Error> {
    for _ in 0..messages {
        let outcomes = session.send(envelope, message).await;
        if let Some(other) = outcomes.iter().find(|outcome| !outcome.is_delivered()) {
            return Err(other.to_string().into());
        }
    }
    Ok(())
}

/// The server of a stream in memory. It knows by the number of octets what it has heard.
#[derive(Debug)]
struct Server {
    chunking: bool,
    /// After how many octets each answer is due, over and over again.
    answers: Vec<(usize, String)>,
    next: usize,
    heard: usize,
    /// What is left to read.
    said: Vec<u8>,
    opened: bool,
    reader: Option<Waker>,
}

impl Server {
    fn new(chunking: bool, answers: Vec<(usize, String)>) -> Self {
        let said = b"220 next.example\r\n".to_vec();
        Self { chunking, answers, next: 0, heard: 0, said, opened: false, reader: None }
    }

    fn hear(&mut self, octets: usize) {
        self.heard += octets;
        if !self.opened {
            self.opened = true;
            self.heard = 0;
            let offered = b"250-next.example\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-CHUNKING\r\n250 HELP\r\n";
            return self.say(if self.chunking {
                offered
            } else {
                b"250-x\r\n250-SIZE\r\n250 PIPELINING\r\n"
            });
        }
        let (due, answer) = &self.answers[self.next];
        if self.heard == *due {
            self.said.extend_from_slice(answer.as_bytes());
            self.next = (self.next + 1) % self.answers.len();
            self.heard = 0;
            self.reader.take().into_iter().for_each(Waker::wake);
        }
    }

    fn say(&mut self, octets: &[u8]) {
        self.said.extend_from_slice(octets);
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl AsyncRead for Server {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.said.is_empty() {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = self.said.len().min(buffer.remaining());
        buffer.put_slice(&self.said[..count]);
        self.said.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.hear(octets.len());
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let octets = slices.iter().map(|slice| slice.len()).sum();
        self.hear(octets);
        Poll::Ready(Ok(octets))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
