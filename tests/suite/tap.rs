//! [`Tap`]: a stream that writes down what passes.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use nexthop::testing::ScriptedServer;
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A stream and its notes.
#[derive(Debug)]
pub(crate) struct Tap {
    stream: TcpStream,
    notes: Notes,
}

/// What passed through a [`Tap`] so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Passed>>);

#[derive(Debug, Default)]
struct Passed {
    wrote: Vec<u8>,
    read: usize,
}

impl Notes {
    /// The octets that the client wrote.
    pub(crate) fn wrote(&self) -> Vec<u8> {
        self.0.lock().unwrap().wrote.clone()
    }

    /// How many octets the client read.
    pub(crate) fn read(&self) -> usize {
        self.0.lock().unwrap().read
    }
}

impl Tap {
    /// A connection to a server.
    pub(crate) async fn connect(server: &ScriptedServer) -> (Self, Notes) {
        let (stream, notes) = (TcpStream::connect(server.address()).await.unwrap(), Notes::default());
        stream.set_nodelay(true).unwrap();
        (Self { stream, notes: notes.clone() }, notes)
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        let before = buffer.filled().len();
        ready!(pin!(&mut tap.stream).poll_read(context, buffer))?;
        tap.notes.0.lock().unwrap().read += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let tap = self.get_mut();
        let count = ready!(pin!(&mut tap.stream).poll_write(context, octets))?;
        tap.notes.0.lock().unwrap().wrote.extend_from_slice(&octets[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
