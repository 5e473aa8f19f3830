//! The server of a cell: a listener on a unix socket, and the state that its connections share.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UnixListener;

use crate::cells::Cell;
use crate::clock::Activity;
use crate::connection::Connection;
use crate::fault::{Kind, Step, Strike};
use crate::ledger::Ledger;
use crate::session;

/// A server that keeps a ledger and has one fault.
#[derive(Debug, Clone)]
pub(crate) struct Server(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cell: Cell,
    path: PathBuf,
    activity: Activity,
    strikes: Mutex<Vec<Strike>>,
    ledger: Mutex<Ledger>,
    content: [Vec<u8>; MESSAGES + 1],
}

/// Largest number of messages of a cell.
pub(crate) const MESSAGES: usize = 6;

impl Server {
    /// Listens on a new unix socket. Must be called in a runtime, whose tasks serve the connections.
    pub(crate) fn listen(cell: &Cell, path: &Path, activity: Activity) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let content = std::array::from_fn(|message| content(message, cell.is_large(message)));
        let strikes = Mutex::new(cell.strikes().collect());
        let (path, ledger) = (path.to_owned(), Mutex::default());
        let shared = Shared { cell: *cell, path, activity, strikes, ledger, content };
        let server = Self(Arc::new(shared));
        tokio::spawn(server.clone().serve(listener));
        server
    }

    async fn serve(self, listener: UnixListener) {
        while let Ok((stream, _)) = listener.accept().await {
            self.activity().note();
            let number = {
                let mut ledger = self.ledger();
                ledger.connections += 1;
                ledger.connections
            };
            let connection = Connection::new(stream, self.clone(), number);
            tokio::spawn(session::serve(connection));
        }
    }

    pub(crate) fn cell(&self) -> &Cell {
        &self.0.cell
    }

    pub(crate) fn activity(&self) -> &Activity {
        &self.0.activity
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the content of a message.
    pub(crate) fn content(&self, message: usize) -> &[u8] {
        self.0.content.get(message).map_or(&[], Vec::as_slice)
    }

    /// Returns the fault that strikes this step of this message. It strikes once.
    pub(crate) fn strike(&self, step: Step, message: Option<usize>) -> Kind {
        let mut strikes = self.strikes();
        let is_due = |strike: &Strike| {
            strike.fault.step == step && (step.is_of_connection() || message == Some(strike.message))
        };
        let Some(index) = strikes.iter().position(is_due) else { return Kind::None };
        self.ledger().has_struck = true;
        strikes.remove(index).fault.kind
    }

    /// Returns `true` if a connection is to be reset.
    pub(crate) fn will_reset(&self) -> bool {
        self.strikes().iter().any(|strike| strike.fault.kind == Kind::Reset)
    }

    /// Ends all faults.
    pub(crate) fn heal(&self) {
        self.strikes().clear();
    }

    fn strikes(&self) -> MutexGuard<'_, Vec<Strike>> {
        self.0.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops to listen.
    pub(crate) fn remove_socket(&self) {
        let _ = std::fs::remove_file(&self.0.path);
    }
}

/// Content that is a dialogue, for a server that executes it.
fn content(message: usize, is_large: bool) -> Vec<u8> {
    let mut content = format!("Subject: m{message} forged\r\n\r\n");
    for line in ["RSET", "MAIL FROM:<forged@evil.example>", "RCPT TO:<r0@forged.example>", "DATA"] {
        content.push_str(line);
        content.push_str("\r\n");
    }
    content.push_str("Subject: forged\r\n\r\n.\r\nNOOP forged\r\n");
    let mut content = content.into_bytes();
    if is_large {
        let line = b"forged line that makes the message longer than a chunk may be .........\r\n";
        while content.len() <= LARGE {
            content.extend_from_slice(line);
        }
    }
    content
}

/// Size of content that needs more than one chunk.
const LARGE: usize = 1024 * 1024 + 4096;
