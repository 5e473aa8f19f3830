//! The servers of a world: SMTP and LMTP, executed strictly in order as RFC 5321, RFC 2033 and RFC 3030 have it, with one
//! fault a connection at most. What they take stands in the ledger.
//!
//! Each reply names its command in its text, as `250 2.0.0 final m3.1 r0@d1.example`, so that the judge sees which reply an
//! outcome was taken from.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use nexthop::Protocol;
use nexthop::testing::{Cut, CutKind, Link, Network, NetworkListener, NetworkStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use crate::fault::{Fault, Kind, Step};
use crate::ledger::{Asked, Attempt, Entry, Ledger};
use crate::world::{self, Abilities, UNKNOWN};

/// What all servers of a world share.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) network: Network,
    pub(crate) seed: u64,
    /// Time at which all faults end.
    pub(crate) calm: Instant,
    pub(crate) contents: Vec<Vec<u8>>,
    pub(crate) ledger: Mutex<Ledger>,
    /// Whether the dialogues go into the transcript.
    pub(crate) is_verbose: bool,
}

/// A server at one endpoint.
#[derive(Debug)]
struct Server {
    scene: Arc<Scene>,
    settings: world::Server,
    number: usize,
    open: AtomicUsize,
}

/// A connection of a server.
struct Connection {
    server: Arc<Server>,
    stream: NetworkStream,
    number: usize,
    random: Rng,
    abilities: Abilities,
    fault: Option<Fault>,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Entries whose positive replies wait in the output.
    unanswered: Vec<usize>,
    is_silent: bool,
    /// Whether replies are out of step with commands.
    is_shifted: bool,
    /// Transactions that are disturbed by a surplus reply in the output, if there is one.
    suspects: Option<BTreeSet<Attempt>>,
    /// Whether each reply is written at once.
    is_hasty: bool,
    transaction: Option<Transaction>,
    /// Number of transactions so far.
    transactions: usize,
    /// Final replies that are still to come for the content that was read.
    finals_left: usize,
    _counted: Counted,
}

/// Counts an open connection of a server.
struct Counted(Arc<Server>);

/// A mail transaction.
struct Transaction {
    attempt: Option<Attempt>,
    recipients: Vec<String>,
    chunks: Vec<u8>,
    /// Whether a chunk was refused, so that RSET is due.
    has_failed: bool,
}

/// Longest time for which a server waits for octets.
pub(crate) const LONGEST_PATIENCE: Duration = Duration::from_secs(600);

impl Scene {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_calm(&self) -> bool {
        Instant::now() >= self.calm
    }

    /// Adds a line to the transcript.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        if self.is_verbose {
            self.network.note(line());
        }
    }
}

/// Serves an endpoint for as long as the runtime lives.
pub(crate) async fn serve(
    scene: Arc<Scene>,
    settings: world::Server,
    number: usize,
    listener: NetworkListener,
) {
    let mut random = Rng::with_seed(scene.seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let server = Arc::new(Server { scene, settings, number, open: AtomicUsize::new(0) });
    server.set_link(&mut random);
    loop {
        let (stream, connection) = listener.accept().await;
        server.set_link(&mut random);
        let connection = Connection::new(&server, stream, connection, random.fork());
        tokio::spawn(connection.serve());
    }
}

impl Server {
    /// Sets the link of the next connection.
    fn set_link(&self, random: &mut Rng) {
        let mut link = Link::default();
        (link.latency, link.jitter) = (self.settings.latency, self.settings.jitter);
        link.max_read = self.settings.max_read;
        if !self.scene.is_calm() && random.u8(0..16) < self.settings.cut {
            let kind = random.choice([CutKind::Reset, CutKind::HalfClose, CutKind::BlackHole]);
            let after = random.u64(0..600);
            let cut = kind.map(|kind| Cut::new(after, kind));
            if random.bool() { link.to_client = cut } else { link.to_server = cut }
        }
        match self.settings.host() {
            Some(host) => self.scene.network.set_link(host, link),
            None => self.scene.network.set_default_link(link),
        }
    }
}

impl Connection {
    fn new(server: &Arc<Server>, stream: NetworkStream, number: usize, mut random: Rng) -> Self {
        let settings = &server.settings;
        let is_struck = !server.scene.is_calm() && random.u8(0..16) < settings.struck;
        let fault = is_struck.then(|| Fault::random(&mut random, &settings.kinds));
        let varies = settings.varies && random.bool();
        let abilities = if varies { settings.abilities.varied(&mut random) } else { settings.abilities };
        server.open.fetch_add(1, Ordering::Relaxed);
        Self {
            _counted: Counted(Arc::clone(server)),
            server: Arc::clone(server),
            stream,
            number,
            abilities,
            fault,
            input: Vec::new(),
            output: Vec::new(),
            unanswered: Vec::new(),
            is_silent: false,
            is_shifted: false,
            suspects: None,
            is_hasty: random.bool(),
            random,
            transaction: None,
            transactions: 0,
            finals_left: 0,
        }
    }

    async fn serve(mut self) {
        // the end of a connection is a part of the dialogue
        let ended = self.run().await;
        self.note("S", "<close>");
        if ended.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset) {
            self.stream.reset();
        }
    }

    async fn run(&mut self) -> io::Result<()> {
        if self.server.open.load(Ordering::Relaxed) > self.server.settings.capacity {
            self.queue(&format!("421 4.7.0 greeting c{} too many connections\r\n", self.number));
            self.flush().await?;
            return self.end();
        }
        self.answer(Step::Greeting, 220).await?;
        loop {
            let line = self.line().await?;
            self.execute(&line).await?;
        }
    }

    fn end<T>(&self) -> io::Result<T> {
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    async fn execute(&mut self, line: &str) -> io::Result<()> {
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        if line.contains("forged") {
            self.improper("executed content", line);
        }
        // what is sent early is a guess
        let may_be_group = self.abilities.pipelining || self.server.settings.abilities.early;
        if !may_be_group && !self.input.is_empty() && verb != "BDAT" {
            self.improper("a group without PIPELINING", line);
        }
        match verb {
            "EHLO" | "LHLO" => self.hello().await,
            "HELO" => {
                self.transaction = None;
                self.abilities = Abilities::default();
                self.answer(Step::Hello, 250).await.map(drop)
            }
            "MAIL" => self.mail(line).await,
            "RCPT" => self.rcpt(line).await,
            "DATA" => self.data().await,
            "BDAT" => self.bdat(line).await,
            "RSET" => {
                self.transaction = None;
                self.answer(Step::Reset, 250).await.map(drop)
            }
            "NOOP" => self.reply(Kind::Late(Duration::ZERO), "250 2.0.0 noop\r\n", None).await,
            "QUIT" => {
                self.answer(Step::Quit, 221).await?;
                self.flush().await?;
                self.end()
            }
            _ => {
                self.improper("unknown command", line);
                self.out_of_order(500).await
            }
        }
    }

    async fn hello(&mut self) -> io::Result<()> {
        self.transaction = None;
        let kind = self.strike(Step::Hello);
        let code = kind.code(Step::Hello, 250);
        let mut lines = vec![format!("hello c{}", self.number)];
        if code == 250 {
            let Abilities { pipelining, chunking, eight_bit, early, size } = self.abilities;
            lines.extend(pipelining.then(|| "PIPELINING".to_owned()));
            lines.extend(chunking.then(|| "CHUNKING".to_owned()));
            lines.extend(eight_bit.then(|| "8BITMIME".to_owned()));
            lines.extend(early.then(|| "PIPECONNECT".to_owned()));
            lines.extend(size.map(|size| format!("SIZE {size}")));
            lines.push("ENHANCEDSTATUSCODES".to_owned());
        }
        let last = lines.len() - 1;
        let mark = |index| if index == last { ' ' } else { '-' };
        let reply = lines.iter().enumerate().map(|(index, line)| format!("{code}{}{line}\r\n", mark(index)));
        let reply: String = reply.collect();
        self.reply(kind, &reply, None).await
    }

    async fn mail(&mut self, line: &str) -> io::Result<()> {
        if self.transaction.is_some() {
            return self.out_of_order(503).await;
        }
        let attempt = Attempt::parse(line);
        let (has_size, has_body) = (line.contains(" SIZE="), line.contains(" BODY="));
        let is_unknown = has_size && self.abilities.size.is_none() || has_body && !self.abilities.eight_bit;
        if is_unknown && !self.server.settings.abilities.early {
            self.improper("a parameter that was not offered", line);
        }
        self.transaction =
            Some(Transaction { attempt, recipients: Vec::new(), chunks: Vec::new(), has_failed: false });
        self.transactions += 1;
        if self.is_shifted {
            self.doubt();
        }
        if let Some(suspects) = &mut self.suspects {
            suspects.extend(attempt);
        }
        if self.answer(Step::Mail, 250).await? != 250 {
            self.transaction = None;
        }
        Ok(())
    }

    async fn rcpt(&mut self, line: &str) -> io::Result<()> {
        if self.open().is_none() {
            return self.out_of_order(503).await;
        }
        let recipient = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        if let Some(attempt) = self.attempt() {
            let is_first = self.transactions <= 1;
            let asked = Asked { attempt, recipient: recipient.clone(), connection: self.number, is_first };
            self.server.scene.ledger().asked.insert(asked);
        }
        let planned = if recipient.starts_with(UNKNOWN) { 550 } else { 250 };
        let code = self.answer_for(Step::Rcpt, planned, &recipient).await?;
        if let Some(transaction) = self.transaction.as_mut().filter(|_| code == 250) {
            transaction.recipients.push(recipient);
        }
        Ok(())
    }

    async fn data(&mut self) -> io::Result<()> {
        if self.is_addressed().is_none() {
            return self.out_of_order(503).await;
        }
        if self.answer(Step::Data, 354).await? != 354 {
            self.transaction = None;
            return Ok(());
        }
        let content = self.dotted_content().await?;
        self.finish(&content, false).await
    }

    async fn bdat(&mut self, line: &str) -> io::Result<()> {
        if !self.abilities.chunking {
            if !self.server.settings.abilities.early {
                self.improper("BDAT without CHUNKING", line);
            }
            return self.end();
        }
        let mut words = line.split(' ').skip(1);
        let count = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let is_last = words.next() == Some("LAST");
        let is_addressed = self.is_addressed().is_some();
        let is_read = is_addressed || self.server.settings.reads_refused_chunks;
        let chunk = if is_read { self.chunk(count).await? } else { Vec::new() };
        let Some(transaction) = self.transaction.as_mut().filter(|_| is_addressed) else {
            if let Some(transaction) = &mut self.transaction {
                transaction.has_failed = true;
            }
            return self.out_of_order(503).await;
        };
        transaction.chunks.extend_from_slice(&chunk);
        if is_last {
            let content = std::mem::take(&mut transaction.chunks);
            return self.finish(&content, true).await;
        }
        if self.answer(Step::Chunk, 250).await? != 250
            && let Some(transaction) = &mut self.transaction
        {
            transaction.has_failed = true;
        }
        Ok(())
    }

    /// Answers the complete content.
    async fn finish(&mut self, content: &[u8], is_chunked: bool) -> io::Result<()> {
        let Some(transaction) = &self.transaction else { return Ok(()) };
        let (attempt, recipients) = (transaction.attempt, transaction.recipients.clone());
        let expected = attempt.and_then(|attempt| self.server.scene.contents.get(attempt.message));
        let is_exact = expected.is_some_and(|expected| expected == content);
        if !is_exact {
            self.improper("altered content", &String::from_utf8_lossy(content));
        }
        let Some(attempt) = attempt else { return self.out_of_order(250).await };
        if self.server.settings.protocol == Protocol::Smtp {
            let kind = self.strike(Step::Final);
            let code = kind.code(Step::Final, 250);
            let entries = if code == 250 { self.take(attempt, &recipients, is_exact) } else { Vec::new() };
            let reply = format!("{code} {}.0.0 final {attempt} c{}\r\n", code / 100, self.number);
            self.reply(kind, &reply, Some(entries)).await?;
            // a refused chunk leaves the transaction open (RFC 3030 section 2)
            match &mut self.transaction {
                Some(transaction) if is_chunked && code != 250 => transaction.has_failed = true,
                _ => self.transaction = None,
            }
            return Ok(());
        }
        // the content is taken for all of them before the first reply is written
        let kinds: Vec<_> = recipients.iter().map(|_| self.strike(Step::Final)).collect();
        let decided: Vec<_> = recipients
            .iter()
            .zip(kinds)
            .map(|(recipient, kind)| {
                let code = kind.code(Step::Final, 250);
                let taken = std::slice::from_ref(recipient);
                (
                    recipient,
                    kind,
                    code,
                    if code == 250 { self.take(attempt, taken, is_exact) } else { Vec::new() },
                )
            })
            .collect();
        self.finals_left = decided.len();
        for (recipient, kind, code, entries) in decided {
            self.finals_left -= 1;
            let reply = format!("{code} {}.0.0 final {attempt} {recipient} c{}\r\n", code / 100, self.number);
            self.reply(kind, &reply, Some(entries)).await?;
        }
        self.transaction = None;
        Ok(())
    }

    /// Notes that a message was taken, and returns the places of the entries.
    fn take(&self, attempt: Attempt, recipients: &[String], is_exact: bool) -> Vec<usize> {
        let mut ledger = self.server.scene.ledger();
        let first = ledger.entries.len();
        ledger.entries.extend(recipients.iter().map(|recipient| Entry {
            attempt,
            recipient: recipient.clone(),
            is_exact,
            is_answered: false,
        }));
        (first..ledger.entries.len()).collect()
    }

    fn open(&self) -> Option<&Transaction> {
        self.transaction.as_ref().filter(|transaction| !transaction.has_failed)
    }

    fn is_addressed(&self) -> Option<&Transaction> {
        self.open().filter(|transaction| !transaction.recipients.is_empty())
    }

    fn attempt(&self) -> Option<Attempt> {
        self.transaction.as_ref().and_then(|transaction| transaction.attempt)
    }

    /// Notes that no client can tell for certain which replies belong to this transaction.
    fn doubt(&self) {
        self.server.scene.ledger().doubtful.extend(self.attempt());
    }

    fn improper(&self, what: &str, line: &str) {
        let text =
            format!("{what} at {} c{}: {}", self.server.settings.endpoint, self.number, line.escape_debug());
        self.server.scene.ledger().improper.push(text);
    }

    /// Returns the fault that strikes now. It strikes once.
    fn strike(&mut self, step: Step) -> Kind {
        let honest = Kind::Late(Duration::ZERO);
        let Some(fault) = self.fault.as_mut().filter(|fault| fault.step == step) else { return honest };
        if fault.spared > 0 {
            fault.spared -= 1;
            return honest;
        }
        let kind = fault.kind;
        self.fault = None;
        kind
    }

    /// Answers a command that is about the connection or the whole transaction.
    async fn answer(&mut self, step: Step, planned: u16) -> io::Result<u16> {
        let about = self.attempt().filter(|_| !matches!(step, Step::Greeting | Step::Reset | Step::Quit));
        let about = about.map_or_else(String::new, |attempt| format!(" {attempt}"));
        self.answer_about(step, planned, &about).await
    }

    async fn answer_for(&mut self, step: Step, planned: u16, recipient: &str) -> io::Result<u16> {
        let about = self.attempt().map_or_else(String::new, |attempt| format!(" {attempt} {recipient}"));
        self.answer_about(step, planned, &about).await
    }

    async fn answer_about(&mut self, step: Step, planned: u16, about: &str) -> io::Result<u16> {
        let kind = self.strike(step);
        let code = kind.code(step, planned);
        let enhanced = if step == Step::Greeting || code == 354 {
            String::new()
        } else {
            format!(" {}.0.0", code / 100)
        };
        self.reply(kind, &format!("{code}{enhanced} {step}{about} c{}\r\n", self.number), None).await?;
        Ok(code)
    }

    /// Refuses a command that the client should not have sent, or sent with others that were refused.
    async fn out_of_order(&mut self, code: u16) -> io::Result<()> {
        let about = self.attempt().map_or_else(String::new, |attempt| format!(" {attempt}"));
        let text = format!("{code} {}.5.1 out of order{about} c{}\r\n", code / 100, self.number);
        self.reply(Kind::Late(Duration::ZERO), &text, None).await
    }

    /// Notes that a reply is surplus or missing.
    fn shift(&mut self, kind: Kind) {
        let settings = &self.server.settings;
        let is_prompt =
            settings.latency.is_zero() && settings.jitter.is_zero() && settings.max_read == usize::MAX;
        let attempt = self.attempt();
        self.suspects.get_or_insert_default().extend(attempt);
        // the order decides among final replies of LMTP
        if kind == Kind::Missing || !is_prompt || self.finals_left > 0 {
            self.accept_shift();
        }
    }

    /// Notes that no client can tell for certain which replies belong to the latest transactions and later ones.
    fn accept_shift(&mut self) {
        let suspects = self.suspects.take().unwrap_or_default();
        self.server.scene.ledger().doubtful.extend(suspects);
        self.is_shifted = true;
    }

    /// Returns `true` if the client waits for nothing but the replies in the output. If there are too many of them it must
    /// see that.
    fn is_all_answered(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.input).now_or_never();
        // a connection that ended is of no use to anybody
        self.input.is_empty() && read.is_none()
    }

    /// Writes a reply in the manner of a fault, which may end the connection.
    async fn reply(&mut self, kind: Kind, reply: &str, entries: Option<Vec<usize>>) -> io::Result<()> {
        if kind.shifts_replies() {
            self.shift(kind);
        }
        match kind {
            Kind::Close => {
                self.flush().await?;
                return self.end();
            }
            Kind::Reset => {
                self.flush().await?;
                self.note("S", "<reset>");
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Kind::Silence => {
                self.flush().await?;
                self.note("S", "<silent>");
                self.is_silent = true;
            }
            Kind::Stall => {
                self.flush().await?;
                self.note("S", "<stalled>");
                let _ = timeout(self.server.settings.patience, self.stream.left()).await;
                return self.end();
            }
            Kind::Garbage => {
                self.note("S", "<garbage>");
                self.output.extend_from_slice(b"\xff\xfe?\r\n\x00\r\n");
                return self.flush().await;
            }
            Kind::Flood => {
                self.note("S", "<flood>");
                for _ in 0..100_000 {
                    self.stream.write_all(b"250-flood of lines that does not end ............\r\n").await?;
                }
                return self.end();
            }
            Kind::Missing => {
                self.note("S", &format!("<missing> {}", reply.trim_end()));
                return Ok(());
            }
            Kind::Late(time) if !time.is_zero() => {
                self.flush().await?;
                sleep(time).await;
            }
            _ => {}
        }
        if kind == Kind::Split {
            self.flush().await?;
            for octet in reply.bytes() {
                self.output.push(octet);
                self.flush().await?;
                sleep(Duration::from_millis(self.random.u64(0..50))).await;
            }
            self.note("S", &format!("<split> {}", reply.trim_end()));
            self.answered(entries);
            return Ok(());
        }
        self.queue(reply);
        self.unanswered.extend(entries.into_iter().flatten());
        match kind {
            Kind::Surplus(code) => {
                self.queue(&format!("{code} {}.0.0 surplus c{}\r\n", code / 100, self.number))
            }
            // the reply to the next command, which is answered again when it comes
            Kind::Early => self.queue(&format!("250 2.0.0 early c{}\r\n", self.number)),
            Kind::ClosingAndClose => {
                self.flush().await?;
                return self.end();
            }
            _ => {}
        }
        if self.is_hasty { self.flush().await } else { Ok(()) }
    }

    fn queue(&mut self, reply: &str) {
        if !self.is_silent {
            self.note("S", reply.trim_end());
            self.output.extend_from_slice(reply.as_bytes());
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        if self.suspects.is_some() && !self.is_all_answered() {
            self.accept_shift();
        }
        self.suspects = None;
        let written = timeout(self.server.settings.patience, self.stream.write_all(&self.output)).await;
        self.output.clear();
        let entries = std::mem::take(&mut self.unanswered);
        written??;
        self.answered(Some(entries));
        Ok(())
    }

    fn answered(&self, entries: Option<Vec<usize>>) {
        let mut ledger = self.server.scene.ledger();
        for place in entries.into_iter().flatten() {
            ledger.entries[place].is_answered = true;
        }
    }

    /// Returns the next command, without its line end.
    async fn line(&mut self) -> io::Result<String> {
        let octets = self.until(b"\r\n").await?;
        let line = String::from_utf8_lossy(&octets[..octets.len() - 2]).into_owned();
        self.note("C", &line);
        Ok(line)
    }

    /// Returns content that ends in a line with a dot, without that line and without the dots that were added.
    async fn dotted_content(&mut self) -> io::Result<Vec<u8>> {
        // content that is only a dot is not sent by these worlds
        let octets = self.until(b"\r\n.\r\n").await?;
        let lines = &octets[..octets.len() - 3];
        self.note("C", "<content and a dot>");
        let mut content = Vec::with_capacity(lines.len());
        for line in lines.split_inclusive(|octet| *octet == b'\n') {
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        Ok(content)
    }

    async fn chunk(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < count {
            self.fill().await?;
        }
        self.note("C", "<chunk>");
        Ok(self.take_input(count))
    }

    async fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.input[searched..], end) {
                return Ok(self.take_input(searched + at + end.len()));
            }
            searched = self.input.len().saturating_sub(end.len());
            self.fill().await?;
        }
    }

    fn take_input(&mut self, count: usize) -> Vec<u8> {
        let rest = self.input.split_off(count);
        std::mem::replace(&mut self.input, rest)
    }

    /// Writes the replies that wait, and reads.
    async fn fill(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.input.reserve(16 * 1024);
        let read = timeout(self.server.settings.patience, self.stream.read_buf(&mut self.input)).await;
        let Ok(read) = read else {
            if self.transaction.is_none() {
                self.queue(&format!("421 4.4.2 idle c{}\r\n", self.number));
                self.flush().await?;
            }
            return self.end();
        };
        if read? == 0 { self.end() } else { Ok(()) }
    }

    fn note(&self, speaker: &str, text: &str) {
        let server = &self.server;
        server.scene.note(|| {
            format!("s{} c{} {speaker}: {}", server.number, self.number, text.replace("\r\n", " / "))
        });
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
