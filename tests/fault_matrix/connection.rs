//! One connection of the server: lines and octets in, replies out, each in the manner of its fault.

use std::io;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::clock::{STEP, settle};
use crate::fault::{Kind, Timing};
use crate::ledger::Decision;
use crate::run::TIME_LIMIT;
use crate::server::Server;

/// Time after which a surplus reply comes while the client sends nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// Octets that are read at once.
const READ: usize = 16 * 1024;

/// A connection. Replies wait in a buffer until the next command is not there yet, as a server with PIPELINING has it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    pub(crate) server: Server,
    number: usize,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Decisions that the buffered replies carry.
    decisions: Vec<Decision>,
    /// Whether nothing is written any more.
    is_silent: bool,
    /// Replies that are still to come for the content that was read.
    pub(crate) finals_left: usize,
    /// Surplus replies, and commands that were not answered.
    surplus: usize,
    missing: usize,
    /// Whether the client saw a surplus reply while it waited for nothing.
    is_surplus_visible: bool,
    /// Decides where segments end; without it they end where input does.
    pace: Option<Rng>,
    /// Code of a surplus reply that goes in front of the next one.
    owed: Option<u16>,
    /// Code of a surplus reply that goes in a segment of its own.
    apart: Option<u16>,
    /// Whether input is read octet by octet, and the last one of a command not at all: a socket that is closed with unread
    /// octets is reset.
    leaves_octets: bool,
    /// Octets of the latest command that were not read.
    unread: usize,
    /// Whether content is read that ends in a line with a dot.
    is_in_content: bool,
}

impl Connection {
    pub(crate) fn new(stream: UnixStream, server: Server, number: usize) -> Self {
        let leaves_octets = server.will_reset();
        let pace = server.cell().pace.map(|seed| Rng::with_seed(seed + number as u64));
        Self {
            stream,
            server,
            number,
            input: Vec::new(),
            output: Vec::new(),
            decisions: Vec::new(),
            is_silent: false,
            finals_left: 0,
            surplus: 0,
            missing: 0,
            is_surplus_visible: false,
            pace,
            owed: None,
            apart: None,
            leaves_octets,
            unread: 0,
            is_in_content: false,
        }
    }

    /// Returns the next command, without its line end.
    pub(crate) async fn line(&mut self) -> io::Result<String> {
        self.write_apart_if_due().await?;
        let end: &[u8] = if self.leaves_octets { b"\r" } else { b"\r\n" };
        let octets = self.until(end).await?;
        let line = String::from_utf8_lossy(&octets[..octets.len() - end.len()]).into_owned();
        self.note("C", &line);
        Ok(line)
    }

    /// Returns content that ends in a line with a dot, without that line and without the dots that were added.
    pub(crate) async fn dotted_content(&mut self) -> io::Result<Vec<u8>> {
        self.is_in_content = true;
        self.write_apart_if_due().await?;
        let end: &[u8] = if self.leaves_octets { b"\r\n.\r" } else { b"\r\n.\r\n" };
        let octets = self.until(end).await?;
        self.is_in_content = false;
        let lines = &octets[..octets.len() - end.len() + 2];
        self.note("C", &format!("<{} octets of content and a dot>", lines.len()));
        let mut content = Vec::with_capacity(lines.len());
        for line in lines.split_inclusive(|octet| *octet == b'\n') {
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        Ok(content)
    }

    /// Returns the octets of a chunk.
    pub(crate) async fn chunk(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.write_apart_if_due().await?;
        let left = usize::from(self.leaves_octets);
        while self.input.len() + left < count {
            let room = if self.leaves_octets { count - left - self.input.len() } else { usize::MAX };
            self.fill(room).await?;
        }
        self.unread = left;
        self.note("C", &format!("<chunk of {count} octets>"));
        let mut chunk = self.take(count - left);
        if left > 0 {
            chunk.push(b'\n');
        }
        Ok(chunk)
    }

    async fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.input[searched..], end) {
                self.unread = usize::from(self.leaves_octets);
                return Ok(self.take(searched + at + end.len()));
            }
            searched = self.input.len().saturating_sub(end.len());
            self.fill(if self.leaves_octets { 1 } else { usize::MAX }).await?;
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.input.split_off(count);
        std::mem::replace(&mut self.input, rest)
    }

    /// Writes the replies that wait, and reads.
    async fn fill(&mut self, room: usize) -> io::Result<()> {
        self.flush().await?;
        while self.unread > 0 {
            self.stream.read_u8().await?;
            self.unread -= 1;
        }
        if let Some(code) = self.apart.take() {
            let _ = timeout(PAUSE, self.stream.readable()).await;
            return self.write_apart(code).await;
        }
        self.input.reserve(room.min(READ));
        let count = (&mut self.stream).take(room as u64).read_buf(&mut self.input).await?;
        self.server.activity().note();
        if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Writes a reply in the manner of a fault, which may end the connection.
    pub(crate) async fn reply(
        &mut self,
        kind: Kind,
        reply: &str,
        decision: Option<Decision>,
    ) -> io::Result<()> {
        match kind {
            Kind::Close | Kind::Reset => {
                self.flush().await?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Kind::Silence => {
                self.flush().await?;
                self.is_silent = true;
            }
            Kind::Missing => {
                self.missing += 1;
                self.note("S", &format!("<missing> {reply}"));
                return Ok(());
            }
            Kind::Late => {
                self.flush().await?;
                sleep(TIME_LIMIT - STEP).await;
            }
            Kind::BehindNext => self.wait_for_next().await?,
            _ => {}
        }
        if kind == Kind::Split {
            return self.write_split(reply, decision).await;
        }
        self.queue(reply, decision);
        match kind {
            Kind::Surplus(code, Timing::Same) => self.queue_surplus(code),
            Kind::Surplus(code, Timing::WithNext) => self.owed = Some(code),
            Kind::Surplus(code, Timing::Apart) => self.apart = Some(code),
            Kind::ClosingAndClose => {
                self.flush().await?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            _ => {}
        }
        if self.pace.as_mut().is_some_and(Rng::bool) {
            self.flush().await?;
            settle().await;
        }
        Ok(())
    }

    fn queue_surplus(&mut self, code: u16) {
        self.surplus += 1;
        self.queue(&format!("{code} {}.0.0 surplus\r\n", code / 100), None);
    }

    fn queue(&mut self, reply: &str, decision: Option<Decision>) {
        if self.is_silent {
            return;
        }
        if let Some(code) = self.owed.take() {
            self.queue_surplus(code);
        }
        self.note("S", reply.trim_end());
        self.output.extend_from_slice(reply.as_bytes());
        self.decisions.extend(decision);
    }

    /// Waits until there is more input, or until the time limit is near.
    async fn wait_for_next(&mut self) -> io::Result<()> {
        self.flush().await?;
        if self.input.is_empty() {
            let _ = timeout(TIME_LIMIT - 2 * STEP, self.stream.readable()).await;
        }
        Ok(())
    }

    /// Returns `true` if a later message was sent behind the content that was just read.
    pub(crate) fn is_followed(&self) -> bool {
        memchr::memmem::find(&self.input, b"MAIL FROM").is_some()
    }

    /// Returns the number of replies to the commands that were read and not executed. That to QUIT is left out: a client may
    /// report before it comes.
    fn replies_due(&self) -> usize {
        let finals = self.server.cell().finals();
        let mut rest = &self.input[..];
        let mut due = self.finals_left;
        if self.is_in_content && !rest.is_empty() {
            let Some(end) = memchr::memmem::find(rest, b"\r\n.\r\n") else { return due + finals };
            rest = &rest[end + 5..];
            due += finals;
        }
        while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
            let line = String::from_utf8_lossy(&rest[..end]);
            let mut words = line.split(' ');
            let is_chunk = words.next() == Some("BDAT");
            let count: usize =
                words.next().filter(|_| is_chunk).and_then(|word| word.parse().ok()).unwrap_or(0);
            let is_last = is_chunk && words.next() == Some("LAST");
            due += match is_last {
                true => finals,
                false => usize::from(line != "QUIT"),
            };
            // a chunk that is not here may be on its way
            let Some(behind) = rest.get(end + 2 + count..) else { break };
            rest = behind;
        }
        due
    }

    async fn write_split(&mut self, reply: &str, decision: Option<Decision>) -> io::Result<()> {
        self.flush().await?;
        self.note("S", &format!("<split> {}", reply.trim_end()));
        for octet in reply.bytes() {
            self.stream.write_all(&[octet]).await?;
            self.server.activity().note();
            settle().await;
        }
        self.decisions.extend(decision);
        self.confirm();
        Ok(())
    }

    /// Writes a surplus reply in front of commands that have been read already.
    async fn write_apart_if_due(&mut self) -> io::Result<()> {
        if !self.input.is_empty()
            && let Some(code) = self.apart.take()
        {
            self.flush().await?;
            settle().await;
            self.write_apart(code).await?;
        }
        Ok(())
    }

    /// Writes a surplus reply, and lets the client act on it.
    async fn write_apart(&mut self, code: u16) -> io::Result<()> {
        self.queue_surplus(code);
        self.flush().await?;
        settle().await;
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        if self.surplus > 0 && !self.is_surplus_visible {
            self.note_confusion();
        }
        let written = self.stream.write_all(&self.output).await;
        self.server.activity().note();
        self.output.clear();
        if written.is_ok() {
            self.confirm();
        }
        self.decisions.clear();
        written
    }

    /// Notes whether the surplus replies hide behind those that the client waits for: if there are as many, no client can
    /// tell the ones from the others. If there are fewer the client sees replies to nothing. A missing reply in
    /// addition makes the number of replies right again.
    fn note_confusion(&mut self) {
        // the commands that follow must stay unread for the reset
        if self.leaves_octets {
            self.server.ledger().is_indistinguishable = true;
            return;
        }
        self.input.reserve(READ);
        // a closed connection shows at the next read
        let _ = self.stream.try_read_buf(&mut self.input);
        let due = self.replies_due();
        self.is_surplus_visible = due < self.surplus;
        self.server.ledger().is_indistinguishable |= due == self.surplus || self.missing > 0;
    }

    fn confirm(&mut self) {
        let mut ledger = self.server.ledger();
        self.decisions.drain(..).for_each(|decision| ledger.confirm(&decision));
    }

    /// Adds a line to the dialogue.
    pub(crate) fn note(&self, speaker: &str, text: &str) {
        self.server.ledger().dialogue.push(format!("{}{speaker}: {text}", self.number));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.note("S", "<close>");
        self.server.activity().note();
    }
}
