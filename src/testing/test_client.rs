//! A client that knows nothing: octets out, octets in.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::server::ScriptedServer;

pub(super) struct Client<S>(pub(super) S);

impl Client<TcpStream> {
    pub(super) async fn tcp(server: &ScriptedServer) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }
}

impl Client<UnixStream> {
    pub(super) async fn unix(server: &ScriptedServer) -> Self {
        Self(UnixStream::connect(server.path()).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) async fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.0.write_all(octets.as_ref()).await.unwrap();
    }

    /// Sends lines and reads as many lines as `replies` has, which must be these.
    pub(super) async fn talk(&mut self, lines: &str, replies: &str) {
        self.send(crlf(lines)).await;
        self.hear(replies).await;
    }

    /// Reads what must be these lines.
    pub(super) async fn hear(&mut self, replies: &str) {
        let replies = crlf(replies);
        let mut heard = vec![0; replies.len()];
        in_time(self.0.read_exact(&mut heard)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), replies);
    }

    /// Reads until the server closes.
    pub(super) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        in_time(self.0.read_to_end(&mut rest)).await.unwrap();
        String::from_utf8(rest).unwrap()
    }
}

/// A server that says nothing fails the test instead of stopping it.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(5), future).await.expect("the server says nothing")
}

/// The lines without their indentation, each with CRLF.
fn crlf(lines: &str) -> String {
    let lines = lines.lines().map(str::trim_start).filter(|line| !line.is_empty());
    lines.map(|line| format!("{line}\r\n")).collect()
}
