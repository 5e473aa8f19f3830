//! [`Link`]: a stream with the buffers that a dialogue needs, and the loop that runs a machine over it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::timeouts::Timeouts;
use crate::mail::ContentReader;
use crate::observer::Reporter;
use crate::proto::{
    Interruption, Machine, Need, Output, ProtocolError, Redaction, Reply, ReplyClass, ReplyLimits,
    ReplyParser, SpokenLine, Stage,
};

/// Octets read at once. What a server sends beyond waits in the kernel until it was looked at.
const READ: usize = 8 * 1024;
/// Slices written at once.
const SLICES: usize = 64;

/// A stream and what was read from it or is to be written to it.
pub(crate) struct Link<S> {
    stream: S,
    input: BytesMut,
    /// How much was written when the reply that is coming began to come, and when octets came last.
    began_at: u64,
    read_at: u64,
    pub(crate) output: Output,
    parser: ReplyParser,
    flushed: bool,
    /// Why nothing can be written any more.
    broken: Option<io::Error>,
    reporter: Reporter,
    /// What is taken out of replies.
    redaction: Redaction,
    /// Octets that are kept of a reply's text.
    kept_text: usize,
    ends: Option<Instant>,
}

/// What one step of input and output brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Read,
    Wrote,
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(crate) fn new(stream: S, limits: ReplyLimits, ends: Option<Instant>, reporter: Reporter) -> Self {
        let (input, mut output) = (BytesMut::new(), Output::default());
        if reporter.is_heard() {
            output.keep_journal();
        }
        Self {
            stream,
            input,
            began_at: 0,
            read_at: 0,
            output,
            parser: ReplyParser::new(limits),
            flushed: true,
            broken: None,
            reporter,
            redaction: Redaction::default(),
            kept_text: limits.kept_text,
            ends,
        }
    }

    /// The stream, without what was read from it or is to be written to it.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// When everything on it must be over.
    pub(crate) fn end_at(&mut self, ends: Option<Instant>) {
        self.ends = ends;
    }

    /// From now on replies are rid of this too.
    pub(crate) fn redact(&mut self, redaction: &Redaction) {
        self.redaction.extend(redaction);
    }

    /// Runs a machine until it needs nothing. Whatever goes wrong is handed to the machine.
    ///
    /// Dropping the future leaves octets behind that were not sent: the link is of no use then.
    pub(crate) async fn run(
        &mut self,
        machine: &mut (dyn Machine + Send),
        timeouts: &Timeouts,
        mut content: Option<ContentReader<'_>>,
    ) {
        while let Err(why) = self.run_on(machine, timeouts, &mut content).await {
            machine.handle_interruption(why, &mut self.output);
        }
    }

    async fn run_on(
        &mut self,
        machine: &mut (dyn Machine + Send),
        timeouts: &Timeouts,
        content: &mut Option<ContentReader<'_>>,
    ) -> Result<(), Interruption> {
        let mut clock = None;
        loop {
            if self.take_replies(machine)? {
                clock = None;
            }
            let need = machine.poll(&mut self.output);
            self.tell();
            let stage = match need {
                Need::Nothing => return Ok(()),
                Need::Content if self.broken.is_none() => {
                    let limit = timeouts.of(Stage::Content);
                    let piece = timeout(limit, piece(content)).await.unwrap_or_else(|_| Err(too_slow()))?;
                    self.reporter.content(piece.as_deref().unwrap_or_default());
                    machine.handle_content(piece, &mut self.output);
                    continue;
                }
                Need::Content => Stage::Content,
                Need::Io(stage) => stage,
            };
            let deadline = *clock.get_or_insert_with(|| after(timeouts.of(stage)));
            if self.progress(deadline).await? == Step::Wrote {
                clock = None;
            }
        }
    }

    /// Hands over the replies that are complete and says whether there were any. A machine that needs nothing
    /// more is not bothered: what it left is found when the next one starts.
    fn take_replies(&mut self, machine: &mut (dyn Machine + Send)) -> Result<bool, Interruption> {
        let mut any = false;
        loop {
            let need = machine.poll(&mut self.output);
            self.tell();
            if need == Need::Nothing {
                break;
            }
            let Some(reply) = self.parser.next(&mut self.input).map_err(ProtocolError::from)? else { break };
            self.output.hear_at(self.began_at);
            self.began_at = self.read_at;
            let reply = self.kept(need, self.redaction.reply(reply));
            self.hear(need, &reply);
            machine.handle_reply(reply, &mut self.output);
            any = true;
        }
        Ok(any)
    }

    /// Of a reply no more than is kept of it, unless all of it is to be read.
    fn kept(&self, need: Need, reply: Reply) -> Reply {
        let to_be_read = matches!(need, Need::Io(Stage::Hello | Stage::Auth))
            && matches!(reply.class(), ReplyClass::Completed | ReplyClass::Intermediate);
        if to_be_read { reply } else { reply.shortened(self.kept_text) }
    }

    /// Tells whoever listens what was queued.
    fn tell(&mut self) {
        for line in self.output.take_journal() {
            match line {
                SpokenLine::Plain(line) => self.reporter.sent(&line),
                SpokenLine::Authentication(line) => self.reporter.authentication(&line),
            }
        }
    }

    /// Tells whoever listens what the server said; of an authentication the code only, for a server may repeat what
    /// it was sent.
    fn hear(&self, need: Need, reply: &Reply) {
        match need {
            Need::Io(Stage::Auth) => self.reporter.authentication(&reply.code().to_string()),
            _ => self.reporter.received(reply),
        }
    }

    /// Reads or writes once, in time. Only what was written and complete replies give more time, octets of a
    /// reply do not.
    async fn progress(&mut self, deadline: Instant) -> Result<Step, Interruption> {
        let (deadline, late) = match self.ends {
            Some(ends) if ends < deadline => (ends, Interruption::SessionTimedOut),
            _ => (deadline, Interruption::TimedOut),
        };
        let step =
            timeout_at(deadline, poll_fn(|context| self.poll_step(context))).await.map_err(|_| late)?;
        match step {
            Ok(Step::Closed) => Err(self.broken.take().map_or(Interruption::Disconnected, interruption)),
            Ok(step) => Ok(step),
            Err(error) => Err(interruption(error)),
        }
    }

    /// Reads if there is something to read, else writes: a reply that is here is seen before more goes out.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Step>> {
        if let Poll::Ready(read) = self.poll_read(context) {
            return Poll::Ready(read.map(|count| if count == 0 { Step::Closed } else { Step::Read }));
        }
        if self.broken.is_some() {
            self.output.clear();
            return Poll::Pending;
        }
        match self.poll_output(context) {
            Poll::Ready(Err(error)) => {
                // a server may refuse, and close before it has read all: what it said is still to be read
                self.broken = Some(error);
                Poll::Pending
            }
            other => other,
        }
    }

    fn poll_output(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Step>> {
        if !self.output.is_empty() {
            let count = ready!(self.poll_write(context))?;
            return Poll::Ready(if count == 0 {
                Err(io::ErrorKind::WriteZero.into())
            } else {
                Ok(Step::Wrote)
            });
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.flushed = true;
        }
        Poll::Pending
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let begins = self.input.is_empty() && !self.parser.is_amid_reply();
        self.input.reserve(READ);
        let count = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(context))?;
        self.read_at = self.output.written();
        if begins {
            self.began_at = self.read_at;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = self.output.slices(&mut slices);
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..used]))?;
        self.output.advance(count);
        self.flushed = false;
        Poll::Ready(Ok(count))
    }

    /// A reply that waits though nobody asked for anything.
    pub(crate) fn unasked(&mut self) -> Option<Reply> {
        self.parser.next(&mut self.input).ok().flatten().map(|reply| self.redaction.reply(reply))
    }

    /// Whether nothing was said that nobody asked for, and the connection stands. Asks the kernel, not the
    /// server.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        let waiting = self.look().await.is_ready();
        !waiting && self.is_between_replies()
    }

    /// Whether nothing was said that nobody asked for; the connection may be gone.
    pub(crate) async fn heard_nothing(&mut self) -> bool {
        let _ = self.look().await;
        self.is_between_replies()
    }

    /// Reads what has arrived, without waiting.
    async fn look(&mut self) -> Poll<io::Result<usize>> {
        poll_fn(|context| Poll::Ready(self.poll_read(context))).await
    }

    fn is_between_replies(&self) -> bool {
        self.input.is_empty() && !self.parser.is_amid_reply() && self.output.is_empty()
    }

    /// Says that nothing more will be written; in TLS by close_notify (RFC 8446 section 6.1).
    pub(crate) async fn shutdown(&mut self, limit: Duration) {
        // nothing depends on it any more
        let _ = timeout(limit, self.stream.shutdown()).await;
    }
}

/// Shows lengths only: what was read may hold a secret.
impl<S: fmt::Debug> fmt::Debug for Link<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, input, output, .. } = self;
        write!(f, "Link({stream:?}, {} octets were read, {output:?})", input.len())
    }
}

/// The end of a time from now on. One that no clock reaches ends in years.
pub(crate) fn after(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or(now + Duration::from_secs(3600 * 24 * 365 * 30))
}

fn interruption(error: io::Error) -> Interruption {
    Interruption::Io(Arc::new(error))
}

fn too_slow() -> Interruption {
    Interruption::Content(Arc::new(io::ErrorKind::TimedOut.into()))
}

async fn piece(content: &mut Option<ContentReader<'_>>) -> Result<Option<bytes::Bytes>, Interruption> {
    match content {
        None => Ok(None),
        Some(source) => source.next().await.map_err(|error| Interruption::Content(Arc::new(error))),
    }
}
