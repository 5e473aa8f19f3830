//! A server that takes everything and counts turns: how often it had to answer before the client said more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A running sink.
pub(crate) struct Sink {
    port: u16,
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
}

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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
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
                tokio::spawn(serve(stream, Arc::clone(&shared)));
                if shared.manner.is_once {
                    break;
                }
            }
        });
        Self { port, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
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
    in_content: bool,
    taken: usize,
    is_silent: bool,
}

async fn serve(mut stream: TcpStream, seen: Arc<Seen>) {
    let number = seen.connections.fetch_add(1, Ordering::SeqCst) + 1;
    let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most_open.fetch_max(open, Ordering::SeqCst);
    // a client that goes away is no fault of the server
    let _ = match seen.manner.turns_away == Some(number) {
        true => stream.write_all(b"421 not now\r\n").await,
        false => talk(&mut stream, &seen).await,
    };
    seen.open.fetch_sub(1, Ordering::SeqCst);
}

async fn talk(stream: &mut TcpStream, seen: &Seen) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"220 sink\r\n").await?;
    let (mut input, mut said, mut state) = (Vec::new(), String::new(), State::default());
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

/// Answers the next command, if it is complete; whether the connection ends.
async fn answer(input: &mut Vec<u8>, said: &mut String, state: &mut State, seen: &Seen) -> bool {
    if state.in_content {
        let text = String::from_utf8_lossy(input).into_owned();
        let Some(end) = text.find("\r\n.\r\n") else { return false };
        input.drain(..end + 5);
        state.in_content = false;
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
            if seen.manner.is_early {
                said.push_str("250-PIPECONNECT\r\n");
            }
            said.push_str("250 8BITMIME\r\n");
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
