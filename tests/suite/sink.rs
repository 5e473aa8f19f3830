//! A server that takes everything and counts turns: how often it had to answer before the client said more.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A running sink.
pub(crate) struct Sink {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// What a sink does otherwise than most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    pub(crate) pipelining: bool,
    pub(crate) chunking: bool,
    /// Takes commands before its greeting is read, and says so.
    pub(crate) is_early: bool,
    /// Closes without an answer after so many messages on a connection.
    pub(crate) mute_after: Option<usize>,
    /// Answers with 421 and closes after so many messages on a connection.
    pub(crate) closes_after: Option<usize>,
    /// Answers nothing after the first message on a connection, and closes when it has taken so many more.
    pub(crate) silent_for: Option<usize>,
    /// Answers MAIL only after this is let.
    pub(crate) is_held: bool,
    /// Greets its client of this number, counted from 1, with 421 and closes.
    pub(crate) turns_away: Option<usize>,
    /// Is gone for all but its first client.
    pub(crate) is_once: bool,
    /// Takes so many connections at a time, and greets others with 421 and closes.
    pub(crate) takes: Option<usize>,
    /// Closes its end of a connection a little after it said the last word.
    pub(crate) lingers: bool,
    /// Greets after so long.
    pub(crate) greets_after: Duration,
    /// Offers STARTTLS, and does not know TLS.
    pub(crate) breaks_tls: bool,
    /// Takes so long for each message before it replies to it.
    pub(crate) takes_time: Duration,
    /// Takes commands early on its first connection only.
    pub(crate) is_early_once: bool,
}

/// For how long a server keeps a connection that is over.
const LINGER: Duration = Duration::from_millis(20);

pub(crate) const PIPELINING: Manner = Manner {
    pipelining: true,
    chunking: false,
    is_early: false,
    mute_after: None,
    closes_after: None,
    silent_for: None,
    is_held: false,
    turns_away: None,
    is_once: false,
    takes: None,
    lingers: false,
    greets_after: Duration::ZERO,
    breaks_tls: false,
    takes_time: Duration::ZERO,
    is_early_once: false,
};

pub(crate) const CHUNKING: Manner = Manner { chunking: true, ..PIPELINING };

struct Seen {
    manner: Manner,
    turns: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    messages: Mutex<Vec<String>>,
    hold: Semaphore,
}

impl Sink {
    pub(crate) async fn listen(manner: Manner) -> Self {
        Self::listen_at((Ipv4Addr::LOCALHOST, 0).into(), manner).await.unwrap()
    }

    /// At an address, if it is free.
    pub(crate) async fn listen_at(address: SocketAddr, manner: Manner) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen {
            manner,
            turns: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            messages: Mutex::default(),
            hold: Semaphore::new(0),
        });
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // a connection counts from the moment that it is accepted
                let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
                shared.most_open.fetch_max(open, Ordering::SeqCst);
                tokio::spawn(serve(stream, open, Arc::clone(&shared)));
                if shared.manner.is_once {
                    break;
                }
            }
        });
        Ok(Self { address, seen })
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers to something the client said, the greeting left out.
    pub(crate) fn turns(&self) -> usize {
        self.seen.turns.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn most_open(&self) -> usize {
        self.seen.most_open.load(Ordering::SeqCst)
    }

    /// The contents that were taken.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.seen.messages.lock().unwrap().clone()
    }

    /// Lets as many MAIL commands be answered.
    pub(crate) fn release(&self, count: usize) {
        self.seen.hold.add_permits(count);
    }
}

/// Of one connection.
#[derive(Default)]
struct State {
    number: usize,
    breaks_tls: bool,
    in_content: bool,
    taken: usize,
    is_silent: bool,
}

async fn serve(mut stream: TcpStream, open: usize, seen: Arc<Seen>) {
    let number = seen.connections.fetch_add(1, Ordering::SeqCst) + 1;
    let is_too_many = seen.manner.takes.is_some_and(|most| open > most);
    // a client that goes away is no fault of the server
    let _ = match seen.manner.turns_away == Some(number) || is_too_many {
        true => stream.write_all(b"421 not now\r\n").await,
        false => talk(&mut stream, number, &seen).await,
    };
    if seen.manner.lingers {
        // says goodbye and has still to write its log
        tokio::time::sleep(LINGER).await;
    }
    seen.open.fetch_sub(1, Ordering::SeqCst);
}

async fn talk(stream: &mut TcpStream, number: usize, seen: &Seen) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    if !seen.manner.greets_after.is_zero() {
        tokio::time::sleep(seen.manner.greets_after).await;
    }
    stream.write_all(b"220 sink\r\n").await?;
    let (mut input, mut said) = (Vec::new(), String::new());
    let mut state = State { number, ..State::default() };
    loop {
        let before = said.len();
        let ended = answer(&mut input, &mut said, &mut state, seen).await;
        if said.len() == before && !ended {
            if state.is_silent {
                said.clear();
            }
            if !said.is_empty() {
                seen.turns.fetch_add(1, Ordering::SeqCst);
                stream.write_all(said.as_bytes()).await?;
                said.clear();
            }
            if state.breaks_tls {
                return break_tls(stream).await;
            }
            // all that was sent together is read together
            input.reserve(256 * 1024);
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            continue;
        }
        if ended {
            seen.turns.fetch_add(1, Ordering::SeqCst);
            return stream.write_all(said.as_bytes()).await;
        }
    }
}

/// Answers a handshake with something else, and waits for the end.
async fn break_tls(stream: &mut TcpStream) -> io::Result<()> {
    let mut room = [0; 4096];
    if stream.read(&mut room).await? == 0 {
        return Ok(());
    }
    stream.write_all(b"what is this?\r\n").await?;
    while stream.read(&mut room).await? > 0 {}
    Ok(())
}

/// Answers the next command, if it is complete; whether the connection ends.
async fn answer(input: &mut Vec<u8>, said: &mut String, state: &mut State, seen: &Seen) -> bool {
    if state.in_content {
        let text = String::from_utf8_lossy(input).into_owned();
        let Some(end) = text.find("\r\n.\r\n") else { return false };
        input.drain(..end + 5);
        state.in_content = false;
        if !seen.manner.takes_time.is_zero() {
            tokio::time::sleep(seen.manner.takes_time).await;
        }
        return take(&text[..end + 2], said, state, seen);
    }
    let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else { return false };
    let line = String::from_utf8_lossy(&input[..end]).into_owned();
    let words: Vec<_> = line.split(' ').collect();
    if words[0] == "BDAT" {
        let octets: usize = words[1].parse().unwrap();
        if input.len() < end + 2 + octets {
            return false;
        }
        let content: Vec<_> = input.drain(..end + 2 + octets).skip(end + 2).collect();
        return take(&String::from_utf8_lossy(&content), said, state, seen);
    }
    input.drain(..end + 2);
    match words[0] {
        "EHLO" => {
            said.push_str("250-sink\r\n");
            if seen.manner.pipelining {
                said.push_str("250-PIPELINING\r\n");
            }
            if seen.manner.chunking {
                said.push_str("250-CHUNKING\r\n");
            }
            if seen.manner.breaks_tls {
                said.push_str("250-STARTTLS\r\n");
            }
            if seen.manner.is_early || seen.manner.is_early_once && state.number == 1 {
                said.push_str("250-PIPECONNECT\r\n");
            }
            said.push_str("250 8BITMIME\r\n");
        }
        "STARTTLS" => {
            state.breaks_tls = true;
            said.push_str("220 go\r\n");
        }
        "MAIL" if seen.manner.is_held => {
            seen.hold.acquire().await.unwrap().forget();
            said.push_str("250 ok\r\n");
        }
        "MAIL" if seen.manner.silent_for.is_some() && state.taken > 0 => {
            state.is_silent = true;
            said.push_str("250 never heard\r\n");
        }
        "DATA" => {
            said.push_str("354 go\r\n");
            state.in_content = true;
        }
        "QUIT" => {
            said.push_str("221 bye\r\n");
            return true;
        }
        _ => said.push_str("250 ok\r\n"),
    }
    false
}

fn take(content: &str, said: &mut String, state: &mut State, seen: &Seen) -> bool {
    state.taken += 1;
    if seen.manner.mute_after.is_some_and(|limit| state.taken > limit) {
        said.clear();
        return true;
    }
    seen.messages.lock().unwrap().push(content.to_owned());
    if seen.manner.silent_for.is_some_and(|limit| state.taken > limit) {
        said.clear();
        return true;
    }
    said.push_str("250 2.0.0 taken\r\n");
    if seen.manner.closes_after.is_some_and(|limit| state.taken >= limit) {
        said.push_str("421 enough\r\n");
        return true;
    }
    false
}
