//! [`Socket`]: what a server accepts.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::network::NetworkStream;
use crate::transport::hand_on;

/// An accepted connection, of the system or of a simulated network.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    Network(NetworkStream),
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl Socket {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut dyn Duplex> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream),
            Self::Network(stream) => Pin::new(stream),
        }
    }

    /// Makes closing it a reset, except of a unix socket, which knows only closing.
    #[allow(
        deprecated,
        reason = "zero does not block; the method for zero is younger than the tokio asked for"
    )]
    pub(super) fn reset_on_close(&self) {
        match self {
            // a stream that is broken already has nothing left to reset
            Self::Tcp(stream) => drop(stream.set_linger(Some(Duration::ZERO))),
            #[cfg(unix)]
            Self::Unix(_) => {}
            Self::Network(stream) => stream.reset_both(),
        }
    }

    /// Waits until the client left, without reading what it sent.
    pub(super) async fn left(&self) {
        if let Self::Network(stream) = self {
            return stream.left().await;
        }
        while let Ok(ready) = self.readable().await {
            if ready.is_read_closed() {
                return;
            }
            self.forget_readable();
        }
    }

    pub(super) async fn readable(&self) -> io::Result<Ready> {
        match self {
            Self::Tcp(stream) => stream.ready(Interest::READABLE).await,
            #[cfg(unix)]
            Self::Unix(stream) => stream.ready(Interest::READABLE).await,
            Self::Network(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Makes the next [`Socket::readable`] wait for something new: it would tell of the unread octets for ever.
    fn forget_readable(&self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, nothing),
            #[cfg(unix)]
            Self::Unix(stream) => stream.try_io(Interest::READABLE, nothing),
            Self::Network(_) => Ok(()),
        };
    }
}

hand_on!(Socket);
