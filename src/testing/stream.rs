//! [`Stream`]: an accepted connection.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::identity::{Handshake, ServerIdentity};
use super::socket::Socket;

/// A connection of either kind, in the clear or in TLS.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// Waits for a handshake. A stream without one is as it was before, but for what was read and written.
    pub(super) async fn secure(
        self,
        identity: &ServerIdentity,
        connection: usize,
    ) -> (Self, io::Result<Handshake>) {
        let Self::Plain(socket) = self else {
            return (self, Err(io::Error::other("TLS inside TLS")));
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&identity.config));
        match acceptor.accept(socket).into_fallible().await {
            Ok(mut stream) => {
                let handshake = Handshake::of(stream.get_mut().1, connection);
                (Self::Tls(Box::new(stream)), Ok(handshake))
            }
            Err((error, socket)) => (Self::Plain(socket), Err(error)),
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Reads what is there; `0` says that the client left.
    pub(super) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read_buf(buffer).await,
            Self::Tls(stream) => stream.read_buf(buffer).await,
        }
    }

    /// Writes all of it, in TLS as a record.
    pub(super) async fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(octets).await,
            Self::Tls(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
        }
    }

    /// Says that nothing more will be written; in TLS also by close_notify (RFC 8446 section 6.1).
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
        }
    }

    /// Breaks the connection off; a unix socket knows only closing.
    pub(super) fn reset(self) {
        self.socket().reset_on_close();
    }

    /// Waits until the client left, without reading what it sent.
    pub(super) async fn left(&self) {
        self.socket().left().await;
    }

    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::net::{TcpListener, TcpStream, UnixStream};

    use super::*;

    async fn tcp() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Stream::Plain(Socket::Tcp(listener.accept().await.unwrap().0)), client)
    }

    async fn stays_until_the_client_left(server: Stream, mut client: impl AsyncWriteExt + Unpin) {
        client.write_all(b"QUIT\r\n").await.unwrap();
        server.socket().readable().await.unwrap();
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
        stays_until_the_client_left(Stream::Plain(Socket::Unix(server)), client).await;
    }
}
