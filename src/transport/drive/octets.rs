//! What a link reads and writes.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::{Link, Step};
use crate::proto::Reply;

/// Octets read at once. What a server sends beyond waits in the kernel until it was looked at.
const READ: usize = 4 * 1024;
/// Slices written at once, and those of a usual message.
const SLICES: usize = 64;
const FEW_SLICES: usize = 4;

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Reads if there is something to read, else writes: a reply that is here is seen before more goes out.
    pub(super) fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Step>> {
        let is_looked_at = std::mem::take(&mut self.is_looked_at) && !self.output.is_empty();
        if !is_looked_at && let Poll::Ready(read) = self.poll_read(context) {
            return Poll::Ready(read.map(|count| if count == 0 { Step::Closed } else { Step::Read }));
        }
        if self.broken.is_some() {
            self.output.cut();
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
        let mut room = [const { MaybeUninit::uninit() }; READ];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        let octets = read.filled();
        self.read_at = self.output.written();
        if self.input.is_empty() && !self.parser.is_amid_reply() {
            self.began_at = self.read_at;
        }
        self.input.extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.output.slice_count() {
            0..=FEW_SLICES => self.poll_write_slices::<FEW_SLICES>(context),
            _ => self.poll_write_slices::<SLICES>(context),
        }
    }

    fn poll_write_slices<const N: usize>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); N];
        let used = self.output.slices(&mut slices);
        let stream = Pin::new(&mut self.stream);
        let count = ready!(match &slices[..used] {
            [only] => stream.poll_write(context, only),
            slices => stream.poll_write_vectored(context, slices),
        })?;
        self.output.advance(count);
        self.flushed = false;
        Poll::Ready(Ok(count))
    }

    /// Whether nothing was said that nobody asked for, and the connection stands. Asks the kernel, not the
    /// server.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let waiting = self.look().is_ready();
        !waiting && self.is_between_replies()
    }

    /// Whether nothing was said that nobody asked for; the connection may be gone.
    pub(crate) fn heard_nothing(&mut self) -> bool {
        let _ = self.look();
        self.is_between_replies()
    }

    /// Reads the input that has arrived, without waiting.
    ///
    /// Registers no waker: the stream would keep it, and with it the task, until the next read.
    pub(super) fn look(&mut self) -> Poll<io::Result<usize>> {
        let read = self.poll_read(&mut Context::from_waker(Waker::noop()));
        self.is_looked_at = read.is_pending();
        read
    }

    fn is_between_replies(&self) -> bool {
        !self.has_partial_reply() && self.output.is_empty()
    }

    /// Returns `true` if input is left that was not handed over as a reply.
    pub(super) fn has_partial_reply(&self) -> bool {
        !self.input.is_empty() || self.parser.is_amid_reply()
    }

    /// A reply that waits though nobody asked for anything.
    pub(crate) fn unasked(&mut self) -> Option<Reply> {
        let unasked = self.notice.take().or_else(|| self.parser.next(&mut self.input).ok().flatten());
        unasked.map(|reply| self.redaction.reply(reply))
    }

    /// Gives back what large messages and long replies took and an idle session needs not keep.
    pub(super) fn give_back(&mut self) {
        self.output.give_back();
        self.input.give_back();
    }

    /// Says that nothing more will be written; in TLS by close_notify (RFC 8446 section 6.1).
    pub(crate) async fn shutdown(&mut self, limit: Duration) {
        // nothing depends on it any more
        let _ = timeout(limit, self.stream.shutdown()).await;
    }
}
