//! [`Wire`]: a connection in memory to a server that follows a script, in virtual time.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

/// Reads and writes of a session that does not end.
const MAX_POLLS: usize = 1_000_000;

/// Bytes that the server sends once the client is quiet: it neither writes nor has anything left to read.
#[derive(Debug, Clone, Default)]
pub(super) struct Release {
    /// Each piece is one read.
    pub(super) pieces: Vec<Vec<u8>>,
    /// Whether the server waits for a time limit of the client before.
    pub(super) is_late: bool,
    /// Whether writes of the client fail from now on.
    pub(super) is_deaf: bool,
}

/// Properties of the server.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    pub(super) releases: VecDeque<Release>,
    /// Whether the server closes the connection at the end. Otherwise it is silent.
    pub(super) closes: bool,
    /// Maximum number of bytes of one write; 0: no limit.
    pub(super) write_step: usize,
    /// Maximum number of bytes that the server reads before each release; 0: no limit.
    pub(super) appetite: usize,
}

/// Bytes that were released, and how much the client had written before.
#[derive(Debug, Clone)]
pub(super) struct Released {
    pub(super) bytes: Vec<u8>,
    pub(super) written: usize,
}

/// Record of a connection.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Bytes of the client.
    pub(super) written: Vec<u8>,
    /// Bytes of the server.
    pub(super) released: Vec<Released>,
    /// Number of bytes that the client read.
    pub(super) read: usize,
}

#[derive(Debug, Default)]
struct State {
    script: Script,
    record: Record,
    readable: VecDeque<Vec<u8>>,
    /// Number of bytes that the server still reads before the next release.
    hunger: usize,
    is_closed: bool,
    is_deaf: bool,
    polls: usize,
}

/// The stream of the client.
#[derive(Debug, Clone)]
pub(super) struct Wire(Arc<Mutex<State>>);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing");
}

impl Wire {
    pub(super) fn new(script: Script) -> Self {
        let hunger = script.appetite;
        Self(Arc::new(Mutex::new(State { script, hunger, ..State::default() })))
    }

    /// Runs a future that uses the stream to its end.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        RUNTIME.with(|runtime| {
            runtime.block_on(async {
                let mut future = pin!(future);
                poll_fn(|context| {
                    loop {
                        match future.as_mut().poll(context) {
                            Poll::Pending if self.state().release() => {}
                            poll => return poll,
                        }
                    }
                })
                .await
            })
        })
    }

    /// Number of bytes that the client has written.
    pub(super) fn written(&self) -> usize {
        self.state().record.written.len()
    }

    pub(super) fn into_record(self) -> Record {
        std::mem::take(&mut self.state().record)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sends what comes next. Returns `false` if the client must wait for a time limit.
    fn release(&mut self) -> bool {
        self.hunger = self.script.appetite;
        let Some(next) = self.script.releases.front_mut() else {
            let closes = self.script.closes && !self.is_closed;
            self.is_closed |= closes;
            return closes;
        };
        if std::mem::take(&mut next.is_late) {
            return false;
        }
        let Some(release) = self.script.releases.pop_front() else { return false };
        self.is_deaf |= release.is_deaf;
        self.record
            .released
            .push(Released { bytes: release.pieces.concat(), written: self.record.written.len() });
        self.readable.extend(release.pieces.into_iter().filter(|piece| !piece.is_empty()));
        true
    }

    fn count(&mut self) {
        self.polls += 1;
        assert!(self.polls < MAX_POLLS, "the session does not end");
    }

    fn read(&mut self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.count();
        let Some(piece) = self.readable.front_mut() else {
            return if self.is_closed { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        let count = piece.len().min(buffer.remaining());
        buffer.put_slice(&piece[..count]);
        piece.drain(..count);
        if piece.is_empty() {
            self.readable.pop_front();
        }
        self.record.read += count;
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.count();
        if self.is_deaf || self.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut count = bytes.len();
        if self.script.write_step > 0 {
            count = count.min(self.script.write_step);
        }
        if self.script.appetite > 0 {
            count = count.min(self.hunger);
            self.hunger -= count;
        }
        if count == 0 {
            return Poll::Pending;
        }
        self.record.written.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.state().read(buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.state().write(bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
