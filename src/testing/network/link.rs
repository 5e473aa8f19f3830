//! [`NetworkStream`]: one end of a connection in a simulated network.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Properties of the connections to a host, in each direction unless a direction is named. The default is an ideal network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Time that bytes take from one end to the other. Opening a connection takes it twice. Default: 0.
    pub latency: Duration,
    /// Maximum time that is added at random to the latency of each write. The order of bytes is kept. Default: 0.
    pub jitter: Duration,
    /// Maximum number of bytes that are under way in one direction; more wait until the reader has read. Default: 64 KiB.
    pub capacity: usize,
    /// Maximum number of bytes that one read returns, as from a peer that writes slowly. Default: no limit.
    pub max_read: usize,
    /// Time between two reads of the client's bytes by a slow server. Default: 0.
    pub read_pause: Duration,
    /// Fault of the client's bytes: it strikes when the server has been sent this number of bytes.
    pub to_server: Option<Cut>,
    /// Fault of the server's bytes: it strikes when the client has been sent this number of bytes.
    pub to_client: Option<Cut>,
}

/// A fault that ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "where and how are all there is to say of it")]
pub struct Cut {
    /// Number of bytes in this direction that still arrive.
    pub after: u64,
    /// What happens then.
    pub kind: CutKind,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CutKind {
    /// Both ends see a reset at once.
    Reset,
    /// This direction ends, as if the sender had closed it. The other direction goes on.
    HalfClose,
    /// Nothing arrives any more in either direction, and neither end is told.
    BlackHole,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            capacity: 64 * 1024,
            max_read: usize::MAX,
            read_pause: Duration::ZERO,
            to_server: None,
            to_client: None,
        }
    }
}

/// One end of a simulated connection.
///
/// Dropping it closes it: the other end reads what is under way, and then the end of the stream.
pub struct NetworkStream {
    link: Arc<Mutex<State>>,
    end: End,
    timer: Option<Pin<Box<Sleep>>>,
    /// Told when the end is dropped.
    notice: Option<Box<dyn FnOnce() + Send + Sync>>,
}

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

/// Returns the time at which something sent at a time sets off: later, during a partition.
pub(super) type Delay = Arc<dyn Fn(Instant) -> Instant + Send + Sync>;

impl End {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// State of a connection.
struct State {
    settings: Link,
    random: fastrand::Rng,
    delay: Delay,
    to_server: Direction,
    to_client: Direction,
    is_reset: bool,
    is_black_hole: bool,
}

/// Bytes in one direction.
#[derive(Debug, Default)]
struct Direction {
    pieces: VecDeque<(Instant, Bytes)>,
    queued: usize,
    sent: u64,
    /// Arrival of the latest piece: later ones arrive no earlier.
    latest: Option<Instant>,
    /// Time at which the end of the stream arrives.
    end: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    next_read: Option<Instant>,
    is_reader_gone: bool,
}

/// Creates a connection: its client's end and its server's end.
pub(super) fn connection(
    settings: Link,
    random: fastrand::Rng,
    delay: Delay,
) -> (NetworkStream, NetworkStream) {
    let state = State {
        settings,
        random,
        delay,
        to_server: Direction::default(),
        to_client: Direction::default(),
        is_reset: false,
        is_black_hole: false,
    };
    let link = Arc::new(Mutex::new(state));
    let end = |end| NetworkStream { link: Arc::clone(&link), end, timer: None, notice: None };
    (end(End::Client), end(End::Server))
}

impl State {
    fn incoming(&mut self, end: End) -> &mut Direction {
        match end {
            End::Client => &mut self.to_client,
            End::Server => &mut self.to_server,
        }
    }

    fn outgoing(&mut self, end: End) -> &mut Direction {
        match end {
            End::Client => &mut self.to_server,
            End::Server => &mut self.to_client,
        }
    }

    fn cut(&self, end: End) -> Option<Cut> {
        match end {
            End::Client => self.settings.to_server,
            End::Server => self.settings.to_client,
        }
    }

    /// Returns the time at which something that is sent now arrives.
    fn arrival(&mut self, end: End) -> Instant {
        let jitter = self.settings.jitter.as_nanos();
        let jitter = u64::try_from(jitter).unwrap_or(u64::MAX);
        let jitter = if jitter == 0 { 0 } else { self.random.u64(0..=jitter) };
        let at = (self.delay)(Instant::now()) + self.settings.latency + Duration::from_nanos(jitter);
        let latest = &mut self.outgoing(end).latest;
        let at = latest.map_or(at, |latest| at.max(latest));
        *latest = Some(at);
        at
    }

    /// Breaks off the connection. What is under way is lost, except in the direction to the end of a cut.
    fn reset(&mut self, arrives_at: Option<End>) {
        self.is_reset = true;
        for end in [End::Client, End::Server] {
            let direction = self.incoming(end);
            if arrives_at != Some(end) {
                direction.pieces.clear();
                direction.queued = 0;
            }
            direction.wake();
        }
    }

    /// Sends bytes, up to the fault that is due.
    fn send(&mut self, end: End, octets: &[u8]) -> usize {
        let room =
            self.settings.capacity.max(1) - self.outgoing(end).queued.min(self.settings.capacity.max(1));
        let octets = &octets[..octets.len().min(room)];
        let (sent, is_lost) = (self.outgoing(end).sent, self.is_black_hole);
        let left = self.cut(end).map(|cut| cut.after.saturating_sub(sent));
        let arriving = left.map_or(octets.len(), |left| {
            usize::try_from(left).map_or(octets.len(), |left| left.min(octets.len()))
        });
        if is_lost {
            // never acknowledged, so the sender stops when the connection is full
            self.outgoing(end).queued += octets.len();
        } else if arriving > 0 && self.outgoing(end).end.is_none() {
            let at = self.arrival(end);
            let piece = Bytes::copy_from_slice(&octets[..arriving]);
            let outgoing = self.outgoing(end);
            if !outgoing.is_reader_gone {
                outgoing.queued += arriving;
                outgoing.pieces.push_back((at, piece));
                outgoing.wake_reader();
            }
        }
        self.outgoing(end).sent += octets.len() as u64;
        if let Some(cut) = self.cut(end).filter(|cut| self.outgoing(end).sent >= cut.after) {
            self.strike(end, cut.kind);
        }
        octets.len()
    }

    fn strike(&mut self, end: End, kind: CutKind) {
        match kind {
            CutKind::Reset => self.reset(Some(end.other())),
            CutKind::HalfClose => self.finish(end),
            CutKind::BlackHole => self.is_black_hole = true,
        }
    }

    /// Closes a direction.
    fn finish(&mut self, end: End) {
        if self.outgoing(end).end.is_some() || self.is_black_hole {
            return;
        }
        let at = self.arrival(end);
        let outgoing = self.outgoing(end);
        outgoing.end = Some(at);
        outgoing.wake_reader();
    }
}

impl Direction {
    fn wake(&mut self) {
        self.wake_reader();
        self.wake_writer();
    }

    fn wake_reader(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }

    fn wake_writer(&mut self) {
        self.writer.take().into_iter().for_each(Waker::wake);
    }
}

impl NetworkStream {
    /// Calls this when the end is dropped.
    pub(super) fn on_drop(&mut self, notice: impl FnOnce() + Send + Sync + 'static) {
        self.notice = Some(Box::new(notice));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Breaks off the connection: both ends see a reset.
    pub fn reset(self) {
        self.reset_both();
    }

    pub(in crate::testing) fn reset_both(&self) {
        self.state().reset(None);
    }

    /// Waits until the other end has closed its direction or the connection is broken, without reading.
    pub async fn left(&self) {
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if state.is_reset {
                return Poll::Ready(());
            }
            let incoming = state.incoming(self.end);
            if incoming.end.is_some() {
                return Poll::Ready(());
            }
            incoming.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits for a time; returns `true` if it has come.
    fn poll_time(&mut self, context: &mut Context<'_>, at: Instant) -> bool {
        if at <= Instant::now() {
            self.timer = None;
            return true;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(context).is_ready()
    }
}

impl AsyncRead for NetworkStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let due = {
                let end = self.end;
                let mut guard = self.state();
                let state = &mut *guard;
                if state.is_reset && state.incoming(end).pieces.is_empty() {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                let (max_read, pause) = (state.settings.max_read.max(1), state.settings.read_pause);
                let now = Instant::now();
                let incoming = state.incoming(end);
                let next = incoming.pieces.front().map(|(at, _)| *at).or(incoming.end);
                let next = next.map(|at| incoming.next_read.map_or(at, |next| at.max(next)));
                match next {
                    None => {
                        incoming.reader = Some(context.waker().clone());
                        return Poll::Pending;
                    }
                    Some(at) if at > now => {
                        incoming.reader = Some(context.waker().clone());
                        at
                    }
                    Some(_) => {
                        let mut left = buffer.remaining().min(max_read);
                        while left > 0 {
                            let Some((at, piece)) = incoming.pieces.front_mut() else { break };
                            if *at > now {
                                break;
                            }
                            let count = piece.len().min(left);
                            buffer.put_slice(&piece[..count]);
                            piece.advance(count);
                            left -= count;
                            incoming.queued -= count;
                            if piece.is_empty() {
                                incoming.pieces.pop_front();
                            }
                        }
                        if end == End::Server && !pause.is_zero() {
                            incoming.next_read = Some(now + pause);
                        }
                        incoming.wake_writer();
                        return Poll::Ready(Ok(()));
                    }
                }
            };
            if !self.poll_time(context, due) {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for NetworkStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let end = self.end;
        let mut state = self.state();
        if state.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let capacity = state.settings.capacity.max(1);
        let outgoing = state.outgoing(end);
        if outgoing.is_reader_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if !octets.is_empty() && outgoing.queued >= capacity {
            outgoing.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(state.send(end, octets)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = self.end;
        self.state().finish(end);
        Poll::Ready(Ok(()))
    }
}

impl Drop for NetworkStream {
    fn drop(&mut self) {
        let end = self.end;
        let mut state = self.state();
        state.finish(end);
        let incoming = state.incoming(end);
        incoming.is_reader_gone = true;
        incoming.pieces.clear();
        incoming.queued = 0;
        incoming.wake();
        drop(state);
        if let Some(notice) = self.notice.take() {
            notice();
        }
    }
}

impl fmt::Debug for NetworkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkStream").field("end", &self.end).finish_non_exhaustive()
    }
}
