//! [`Sink`].

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::net as os;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::dialogue::{Dialogue, Ending};

/// Octets read at once.
const READ: usize = 128 * 1024;
/// Connections that wait to be taken up.
const BACKLOG: u32 = 4096;

/// What a sink offers, and how far away it is.
#[derive(Debug, Clone)]
pub(crate) struct SinkSettings {
    pub(crate) chunking: bool,
    /// Offers STARTTLS with this.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// How long after what was read the answer to it goes out. Reading goes on meanwhile.
    pub(crate) round_trip: Duration,
}

/// A server on a loopback port and on a unix socket, in a thread of its own. Ends with the process.
#[derive(Debug)]
pub(crate) struct Sink {
    port: u16,
    path: PathBuf,
    counts: Arc<Counts>,
}

/// What happened since the start.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    turns: AtomicU64,
    messages: AtomicU64,
    octets: AtomicU64,
}

/// What happened between two looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) connections: u64,
    /// Reads that were answered.
    pub(crate) turns: u64,
    pub(crate) messages: u64,
    pub(crate) octets: u64,
}

impl Sink {
    /// Starts a sink; `path` is that of the socket.
    pub(crate) fn start(settings: SinkSettings, path: PathBuf) -> io::Result<Self> {
        let unix = os::UnixListener::bind(&path)?;
        unix.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (tcp, unix) = {
            let _guard = runtime.enter();
            (listen()?, UnixListener::from_std(unix)?)
        };
        let (port, counts) = (tcp.local_addr()?.port(), Arc::new(Counts::default()));
        let server = Server { settings, counts: Arc::clone(&counts) };
        let serving = async move {
            tokio::join!(server.clone().accept_tcp(tcp), server.accept_unix(unix));
        };
        std::thread::Builder::new().name("sink".to_owned()).spawn(move || runtime.block_on(serving))?;
        Ok(Self { port, path, counts })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(crate) fn seen(&self) -> Seen {
        let Counts { connections, turns, messages, octets } = &*self.counts;
        let [connections, turns, messages, octets] =
            [connections, turns, messages, octets].map(|count| count.load(Ordering::Relaxed));
        Seen { connections, turns, messages, octets }
    }
}

/// With room for as many clients at once as any bench has.
fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(BACKLOG)
}

impl Seen {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            connections: self.connections - before.connections,
            turns: self.turns - before.turns,
            messages: self.messages - before.messages,
            octets: self.octets - before.octets,
        }
    }
}

#[derive(Debug, Clone)]
struct Server {
    settings: SinkSettings,
    counts: Arc<Counts>,
}

impl Server {
    async fn accept_tcp(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(self.clone().serve(stream));
        }
    }

    async fn accept_unix(self, listener: UnixListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(self.clone().serve(stream));
        }
    }

    /// A client that breaks off is none of the sink's business.
    async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(self, stream: S) {
        let _ = self.talk(stream).await;
    }

    async fn talk<S: AsyncRead + AsyncWrite + Send + 'static>(self, stream: S) -> io::Result<()> {
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        let mut stream = Box::pin(stream);
        stream.write_all(b"220 sink.example ESMTP\r\n").await?;
        let starttls = self.settings.tls.is_some().then_some("STARTTLS");
        match (self.session(&mut stream, starttls).await?, self.settings.tls.clone()) {
            (Some(Ending::StartTls), Some(config)) => {
                let mut stream = TlsAcceptor::from(config).accept(stream).await?;
                self.session(&mut stream, None).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn session<S>(&self, stream: &mut S, keyword: Option<&'static str>) -> io::Result<Option<Ending>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let chunking: &[_] = if self.settings.chunking { &["CHUNKING", "BINARYMIME"] } else { &[] };
        let keywords: Vec<_> = chunking.iter().copied().chain(keyword).collect();
        let mut dialogue = Dialogue::new(&keywords);
        match self.settings.round_trip {
            Duration::ZERO => self.near(stream, &mut dialogue).await?,
            far => self.far(stream, &mut dialogue, far).await?,
        }
        Ok(dialogue.ending)
    }

    async fn near<S>(&self, stream: &mut S, dialogue: &mut Dialogue) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut input = BytesMut::new();
        while dialogue.ending.is_none() && self.read(stream, &mut input, dialogue).await? {
            if !dialogue.replies.is_empty() {
                stream.write_all(&dialogue.replies).await?;
                stream.flush().await?;
                dialogue.replies.clear();
            }
        }
        Ok(())
    }

    /// Answers later, and reads on.
    async fn far<S>(&self, stream: &mut S, dialogue: &mut Dialogue, far: Duration) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (sender, mut late) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
        let reading = async move {
            let mut input = BytesMut::new();
            while dialogue.ending.is_none() && self.read(&mut reader, &mut input, dialogue).await? {
                if !dialogue.replies.is_empty() {
                    let _ = sender.send((Instant::now() + far, std::mem::take(&mut dialogue.replies)));
                }
            }
            Ok(())
        };
        let writing = async move {
            while let Some((due, replies)) = late.recv().await {
                sleep_until(due).await;
                writer.write_all(&replies).await?;
                writer.flush().await?;
            }
            Ok(())
        };
        tokio::try_join!(reading, writing).map(drop)
    }

    /// Whether there was anything to read; counts what it was.
    async fn read<S>(&self, stream: &mut S, input: &mut BytesMut, dialogue: &mut Dialogue) -> io::Result<bool>
    where
        S: AsyncRead + Unpin,
    {
        input.reserve(READ);
        let (count, before) = (stream.read_buf(input).await?, dialogue.messages);
        dialogue.take(input);
        let counts = &self.counts;
        counts.octets.fetch_add(count as u64, Ordering::Relaxed);
        counts.messages.fetch_add(dialogue.messages - before, Ordering::Relaxed);
        counts.turns.fetch_add(u64::from(!dialogue.replies.is_empty()), Ordering::Relaxed);
        Ok(count > 0)
    }
}
