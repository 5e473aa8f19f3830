//! [`Connection`]: a stream on which everything up to the first MAIL was said, and replies are counted.

use std::fmt::Debug;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::Error;
use super::job::{CLIENT, Target};

pub(crate) trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for T {}

#[derive(Debug)]
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    input: Box<[u8]>,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Self, Error> {
        let (ehlo, lhlo) = (format!("EHLO {CLIENT}\r\n"), format!("LHLO {CLIENT}\r\n"));
        match target {
            Target::Tcp(port) => {
                let mut connection = Self::new(Box::new(tcp(*port).await?));
                connection.replies(1).await?;
                connection.flight(ehlo.as_bytes(), 1).await?;
                Ok(connection)
            }
            Target::Tls { port, config, .. } => {
                let mut connection = Self::new(Box::new(tcp(*port).await?));
                connection.replies(1).await?;
                connection.flight(ehlo.as_bytes(), 1).await?;
                connection.flight(b"STARTTLS\r\n", 1).await?;
                let name = "localhost".try_into()?;
                let stream = TlsConnector::from(config.clone()).connect(name, connection.stream).await?;
                let mut connection = Self::new(Box::new(stream));
                connection.flight(ehlo.as_bytes(), 1).await?;
                Ok(connection)
            }
            Target::Unix(path) => {
                let mut connection = Self::new(Box::new(UnixStream::connect(path).await?));
                connection.replies(1).await?;
                connection.flight(lhlo.as_bytes(), 1).await?;
                Ok(connection)
            }
        }
    }

    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, input: vec![0; 8192].into() }
    }

    pub(super) fn into_stream(self) -> Box<dyn Stream> {
        self.stream
    }

    /// Sends octets and waits for so many replies to them, all of them positive.
    pub(super) async fn flight(&mut self, octets: &[u8], replies: usize) -> Result<(), Error> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await?;
        self.replies(replies).await
    }

    async fn replies(&mut self, mut wanted: usize) -> Result<(), Error> {
        let mut end = 0;
        while wanted > 0 {
            let count = self.stream.read(&mut self.input[end..]).await?;
            if count == 0 {
                return Err("the server closed".into());
            }
            end += count;
            let (replies, taken) = complete(&self.input[..end])?;
            wanted = wanted.checked_sub(replies).ok_or("a reply that nobody asked for")?;
            self.input.copy_within(taken..end, 0);
            end -= taken;
        }
        Ok(())
    }
}

pub(super) async fn tcp(port: u16) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How many replies are complete, and in how many octets.
fn complete(input: &[u8]) -> Result<(usize, usize), Error> {
    let (mut replies, mut taken) = (0, 0);
    while let Some(end) = memchr::memchr(b'\n', &input[taken..]) {
        match &input[taken..taken + end] {
            [b'2' | b'3', _, _, b' ', ..] => replies += 1,
            [b'2', _, _, b'-', ..] => {}
            other => return Err(String::from_utf8_lossy(other).into()),
        }
        taken += end + 1;
    }
    Ok((replies, taken))
}
