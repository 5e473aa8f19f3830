//! [`Stream`]: an accepted connection.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

/// A connection of either kind.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Reads what is there; `0` says that the client left.
    pub(super) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(buffer).await,
            Self::Unix(stream) => stream.read_buf(buffer).await,
        }
    }

    /// Writes all of it.
    pub(super) async fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(octets).await,
            Self::Unix(stream) => stream.write_all(octets).await,
        }
    }

    /// Says that nothing more will be written.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown().await,
            Self::Unix(stream) => stream.shutdown().await,
        }
    }

    /// Breaks a TCP connection off with RST; a unix socket knows only closing.
    #[allow(
        deprecated,
        reason = "zero does not block; the method for zero is younger than the tokio asked for"
    )]
    pub(super) fn reset(self) {
        if let Self::Tcp(stream) = self {
            // a stream that is broken already has nothing left to reset
            let _ = stream.set_linger(Some(Duration::ZERO));
        }
    }

    /// Waits until the client left, without reading what it sent.
    pub(super) async fn left(&self) {
        while let Ok(ready) = self.readable().await {
            if ready.is_read_closed() {
                return;
            }
            self.forget_readable();
        }
    }

    async fn readable(&self) -> io::Result<Ready> {
        match self {
            Self::Tcp(stream) => stream.ready(Interest::READABLE).await,
            Self::Unix(stream) => stream.ready(Interest::READABLE).await,
        }
    }

    /// Makes the next [`Stream::readable`] wait for something new: it would tell of the unread octets for ever.
    fn forget_readable(&self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, nothing),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, nothing),
        };
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn tcp() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Stream::Tcp(listener.accept().await.unwrap().0), client)
    }

    async fn stays_until_the_client_left(server: Stream, mut client: impl AsyncWriteExt + Unpin) {
        client.write_all(b"QUIT\r\n").await.unwrap();
        server.readable().await.unwrap();
        assert!(server.left().now_or_never().is_none());
        drop(client);
        server.left().await;
    }

    #[tokio::test]
    async fn unread_octets_do_not_hide_that_a_tcp_client_left() {
        let (server, client) = tcp().await;
        stays_until_the_client_left(server, client).await;
    }

    #[tokio::test]
    async fn unread_octets_do_not_hide_that_a_unix_client_left() {
        let (server, client) = UnixStream::pair().unwrap();
        stays_until_the_client_left(Stream::Unix(server), client).await;
    }
}
