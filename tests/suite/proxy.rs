//! Proxies on loopback that tests of dialers connect through.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Most bytes that a proxy floods a client with: much more than the buffers of a connection hold.
const FLOOD: usize = 64 * 1024 * 1024;

/// What a proxy does on every connection.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Speaks SOCKS5 and connects to this server, whatever the client asks for.
    Socks5(SocketAddr),
    /// The same after it has asked for user and password, and accepted any.
    Socks5Login(SocketAddr),
    /// Replies 1 to user and password.
    Socks5BadLogin,
    /// Speaks SOCKS5 and connects to this server for one address. For others it replies with this code, or never.
    Socks5Except { reply: Option<u8>, address: Ipv4Addr, server: SocketAddr },
    /// Sends this, then waits until the client leaves.
    Says(&'static [u8]),
    /// Sends this, then the last byte of it until the client leaves.
    Floods(&'static [u8]),
    /// Closes the connection.
    Closes,
    /// Reads a header of the PROXY protocol and connects to this server.
    Header(SocketAddr),
}

/// A proxy.
#[derive(Debug)]
pub(crate) struct TestProxy {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    left: mpsc::UnboundedReceiver<()>,
}

/// A connection that a proxy has seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The client's address.
    pub(crate) client: SocketAddr,
    /// The bytes that the proxy has read for itself.
    pub(crate) bytes: Vec<u8>,
}

impl TestProxy {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, (leaving, left)) = (Arc::default(), mpsc::unbounded_channel());
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, client)) = listener.accept().await {
                let connection = Connection { stream, client, log: Arc::clone(&log) };
                let (manner, leaving) = (manner.clone(), leaving.clone());
                tokio::spawn(async move {
                    let _ = connection.serve(manner).await;
                    let _ = leaving.send(());
                });
            }
        });
        Self { address, seen, left }
    }

    /// The connections that have sent all that the proxy wanted to read, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The IPv4 addresses that clients have asked for, in order.
    pub(crate) fn targets(&self) -> Vec<Ipv4Addr> {
        let requests = self.seen();
        requests.iter().filter_map(|seen| target(&seen.bytes)).collect()
    }

    /// Waits until one more connection has ended.
    pub(crate) async fn one_has_left(&mut self) {
        self.left.recv().await.unwrap();
    }
}

struct Connection {
    stream: TcpStream,
    client: SocketAddr,
    log: Arc<Mutex<Vec<Seen>>>,
}

impl Connection {
    async fn serve(mut self, manner: Manner) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        let server = match manner {
            Manner::Socks5(server) => {
                self.method(&mut bytes, 0).await?;
                self.request(&mut bytes).await?;
                server
            }
            Manner::Socks5Login(server) => {
                self.login(&mut bytes, 0).await?;
                self.request(&mut bytes).await?;
                server
            }
            Manner::Socks5BadLogin => {
                self.login(&mut bytes, 1).await?;
                self.note(bytes);
                return self.until_closed().await;
            }
            Manner::Socks5Except { reply, address, server } => {
                self.method(&mut bytes, 0).await?;
                self.request(&mut bytes).await?;
                if target(&bytes) != Some(address) {
                    self.note(bytes);
                    if let Some(reply) = reply {
                        self.stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
                    }
                    return self.until_closed().await;
                }
                server
            }
            Manner::Says(text) => {
                self.note(bytes);
                self.stream.write_all(text).await?;
                return self.until_closed().await;
            }
            Manner::Floods(text) => {
                self.note(bytes);
                return self.flood(text).await;
            }
            Manner::Closes => {
                self.note(bytes);
                return Ok(());
            }
            Manner::Header(server) => {
                self.header(&mut bytes).await?;
                self.note(bytes);
                return self.tunnel(server, &[]).await;
            }
        };
        self.note(bytes);
        self.tunnel(server, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await
    }

    fn note(&self, bytes: Vec<u8>) {
        self.log.lock().unwrap().push(Seen { client: self.client, bytes });
    }

    async fn read(&mut self, bytes: &mut Vec<u8>, count: usize) -> std::io::Result<()> {
        let start = bytes.len();
        bytes.resize(start + count, 0);
        self.stream.read_exact(&mut bytes[start..]).await.map(drop)
    }

    async fn method(&mut self, bytes: &mut Vec<u8>, method: u8) -> std::io::Result<()> {
        self.read(bytes, 2).await?;
        self.read(bytes, bytes[1].into()).await?;
        self.stream.write_all(&[5, method]).await
    }

    async fn login(&mut self, bytes: &mut Vec<u8>, status: u8) -> std::io::Result<()> {
        self.method(bytes, 2).await?;
        self.read(bytes, 2).await?;
        // the user, and the length of the password
        self.read(bytes, usize::from(bytes[bytes.len() - 1]) + 1).await?;
        self.read(bytes, bytes[bytes.len() - 1].into()).await?;
        self.stream.write_all(&[1, status]).await
    }

    async fn request(&mut self, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        self.read(bytes, 4).await?;
        let length = if bytes.ends_with(&[4]) { 16 } else { 4 };
        self.read(bytes, length + 2).await
    }

    async fn header(&mut self, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        self.read(bytes, 16).await?;
        if bytes.starts_with(b"PROXY ") {
            while !bytes.ends_with(b"\r\n") {
                self.read(bytes, 1).await?;
            }
            return Ok(());
        }
        self.read(bytes, u16::from_be_bytes([bytes[14], bytes[15]]).into()).await
    }

    async fn tunnel(mut self, server: SocketAddr, reply: &[u8]) -> std::io::Result<()> {
        let mut server = TcpStream::connect(server).await?;
        self.stream.write_all(reply).await?;
        copy_bidirectional(&mut self.stream, &mut server).await.map(drop)
    }

    async fn flood(mut self, text: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(text).await?;
        let more = vec![*text.last().unwrap(); 64 * 1024];
        for _ in 0..FLOOD / more.len() {
            self.stream.write_all(&more).await?;
        }
        panic!("the client reads everything");
    }

    async fn until_closed(mut self) -> std::io::Result<()> {
        let mut room = [0; 1024];
        while self.stream.read(&mut room).await? > 0 {}
        Ok(())
    }
}

/// The address in the request that ends these bytes.
fn target(bytes: &[u8]) -> Option<Ipv4Addr> {
    let [.., 5, 1, 0, 1, a, b, c, d, _, _] = bytes else { return None };
    Some(Ipv4Addr::new(*a, *b, *c, *d))
}
