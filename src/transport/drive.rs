//! [`Link`]: a stream with the buffers that a dialogue needs, and the loop that runs a machine over it.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::content_source::ContentSource;
use super::timeouts::Timeouts;
use crate::proto::{Interruption, Machine, Need, Output, ProtocolError, ReplyLimits, ReplyParser, Stage};

/// Octets read at once. What a server sends beyond waits in the kernel until it was looked at.
const READ: usize = 8 * 1024;
/// Slices written at once.
const SLICES: usize = 64;

/// A stream and what was read from it or is to be written to it.
#[derive(Debug)]
pub(crate) struct Link<S> {
    stream: S,
    input: BytesMut,
    pub(crate) output: Output,
    parser: ReplyParser,
    flushed: bool,
    /// Why nothing can be written any more.
    broken: Option<io::Error>,
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
    pub(crate) fn new(stream: S, limits: ReplyLimits, timeouts: &Timeouts) -> Self {
        let ends = timeouts.session.map(|limit| Instant::now() + limit);
        let (input, output) = (BytesMut::new(), Output::default());
        Self { stream, input, output, parser: ReplyParser::new(limits), flushed: true, broken: None, ends }
    }

    /// The stream, without what was read from it or is to be written to it.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// Runs a machine until it needs nothing. Whatever goes wrong is handed to the machine.
    ///
    /// Dropping the future leaves octets behind that were not sent: the link is of no use then.
    pub(crate) async fn run(
        &mut self,
        machine: &mut (dyn Machine + Send),
        timeouts: &Timeouts,
        mut content: Option<ContentSource<'_>>,
    ) {
        while let Err(why) = self.run_on(machine, timeouts, &mut content).await {
            machine.handle_interruption(why, &mut self.output);
        }
    }

    async fn run_on(
        &mut self,
        machine: &mut (dyn Machine + Send),
        timeouts: &Timeouts,
        content: &mut Option<ContentSource<'_>>,
    ) -> Result<(), Interruption> {
        let mut clock = None;
        loop {
            if self.take_replies(machine)? {
                clock = None;
            }
            let stage = match machine.poll(&mut self.output) {
                Need::Nothing => return Ok(()),
                Need::Content if self.broken.is_none() => {
                    machine.handle_content(piece(content).await?, &mut self.output);
                    continue;
                }
                Need::Content => Stage::Content,
                Need::Io(stage) => stage,
            };
            let deadline = *clock.get_or_insert_with(|| Instant::now() + timeouts.of(stage));
            if self.progress(deadline).await? == Step::Wrote {
                clock = None;
            }
        }
    }

    /// Hands over the replies that are complete and says whether there were any. A machine that needs nothing
    /// more is not bothered: what it left is found when the next one starts.
    fn take_replies(&mut self, machine: &mut (dyn Machine + Send)) -> Result<bool, Interruption> {
        let mut any = false;
        while machine.poll(&mut self.output) != Need::Nothing {
            let Some(reply) = self.parser.next(&mut self.input).map_err(ProtocolError::from)? else { break };
            machine.handle_reply(reply, &mut self.output);
            any = true;
        }
        Ok(any)
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
        self.input.reserve(READ);
        pin!(self.stream.read_buf(&mut self.input)).poll(context)
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = self.output.slices(&mut slices);
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..used]))?;
        self.output.advance(count);
        self.flushed = false;
        Poll::Ready(Ok(count))
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

fn interruption(error: io::Error) -> Interruption {
    Interruption::Io(Arc::new(error))
}

async fn piece(content: &mut Option<ContentSource<'_>>) -> Result<Option<bytes::Bytes>, Interruption> {
    match content {
        None => Ok(None),
        Some(source) => source.next().await.map_err(|error| Interruption::Content(Arc::new(error))),
    }
}
