//! [`Connection`]: a connection to a next hop, until both ends have closed it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::stream::Socket;

/// Time limit for the server to close its end after the client has closed its own.
const LINGER: Duration = Duration::from_secs(1);
/// Maximum number of bytes that are discarded meanwhile.
const LAST_WORDS: usize = 64 * 1024;

/// A connection to a next hop.
///
/// When it is dropped, a task closes the client's end and waits a moment until the server closes its own, because the server
/// counts the connection until then. Without a runtime the connection is closed at once.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Taken when the connection is dropped.
    socket: Option<Socket>,
    /// `true` if the other end is known to be the dialled address or socket, and not a proxy or another tunnel.
    is_direct: bool,
    /// `true` if the server has closed its end, or the connection is broken.
    is_ended: bool,
    /// Runtime that it was opened in. The deliverer may be dropped in another one.
    runtime: Option<Handle>,
    // dropped after the socket
    closed: Option<oneshot::Sender<()>>,
}

/// Notice that a connection is closed: ready once both ends have closed it, or after the time limit for the server.
#[derive(Debug)]
pub(crate) struct Closed(oneshot::Receiver<()>);

impl Connection {
    /// A connection whose end is told to the other half of a [`Closed::pair`].
    pub(super) fn new(socket: Socket, is_direct: bool, closed: oneshot::Sender<()>) -> Self {
        let runtime = Handle::try_current().ok();
        Self { socket: Some(socket), is_direct, is_ended: false, runtime, closed: Some(closed) }
    }

    /// Returns `true` if the other end is known to be the dialled address or socket, and not a proxy or another tunnel.
    pub(crate) fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// Closes the client's end as far as that needs no wait, so that the server hears of it even if the runtime is not
    /// driven any more. Returns `true` if the server has closed its end.
    fn close_now(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut *self).poll_shutdown(&mut context);
        let mut room = [MaybeUninit::uninit(); 512];
        let _ = Pin::new(&mut *self).poll_read(&mut context, &mut ReadBuf::uninit(&mut room));
        self.is_ended
    }

    fn socket(self: Pin<&mut Self>) -> io::Result<Pin<&mut Socket>> {
        self.get_mut().socket.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_ended || self.close_now() {
            return;
        }
        let (Some(socket), Some(runtime)) = (self.socket.take(), self.runtime.take()) else { return };
        // a connection once more, so that the notice comes after the socket is closed even if the task is dropped
        let (is_direct, closed) = (self.is_direct, self.closed.take());
        let mut ending = Self { socket: Some(socket), is_direct, is_ended: true, runtime: None, closed };
        runtime.spawn(async move { _ = timeout(LINGER, linger(&mut ending)).await });
    }
}

/// Closes the client's end, and discards input until the server closes its own.
async fn linger(connection: &mut Connection) -> io::Result<()> {
    connection.shutdown().await?;
    let (mut room, mut left) = ([0; 512], LAST_WORDS);
    while left > 0 {
        match connection.read(&mut room).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

impl Closed {
    /// Returns a notice, and the sender that gives it when it is dropped.
    pub(super) fn pair() -> (oneshot::Sender<()>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// Returns `true` if the connection is closed.
    pub(crate) fn is_closed(&mut self) -> bool {
        !matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

impl Future for Closed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, is_full) = (buffer.filled().len(), buffer.remaining() == 0);
        let read = self.as_mut().socket()?.poll_read(context, buffer);
        self.is_ended |= match read {
            Poll::Ready(Ok(())) => !is_full && buffer.filled().len() == before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write(context, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
