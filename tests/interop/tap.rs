//! A tap on a connection between client and server.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// More than a client or a server sends at once here.
const BUFFER: usize = 256 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Client,
    Server,
}

/// Carries one connection to a server until one end closes, and counts how often the client spoke after the
/// server had.
pub(crate) async fn turns(listener: TcpListener, server: SocketAddr) -> usize {
    let (mut client, _) = listener.accept().await.expect("the client connects");
    let mut server = TcpStream::connect(server).await.expect("the server listens");
    let (mut asked, mut answered) = (vec![0; BUFFER], vec![0; BUFFER]);
    let (mut turns, mut last) = (0, Speaker::Server);
    loop {
        let (speaker, read) = tokio::select! {
            read = client.read(&mut asked) => (Speaker::Client, read),
            read = server.read(&mut answered) => (Speaker::Server, read),
        };
        let length = read.expect("both ends hold");
        let passed_on = match (speaker, length) {
            (_, 0) => return turns,
            (Speaker::Client, _) => server.write_all(&asked[..length]).await,
            (Speaker::Server, _) => client.write_all(&answered[..length]).await,
        };
        passed_on.expect("both ends hold");
        turns += usize::from((last, speaker) == (Speaker::Server, Speaker::Client));
        last = speaker;
    }
}
