//! [`Record`]: what happened to a server, shared by its connections and whoever asks.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::identity::Handshake;
use super::network::Network;
use super::script::{Dialogue, Step};

/// Content that a client sent to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The mailbox of MAIL; empty for the null reverse-path.
    pub reverse_path: String,
    /// The mailboxes that were accepted at RCPT, in the order of the commands; what was replied to the content does
    /// not matter.
    pub recipients: Vec<String>,
    /// The content, without stuffed dots, with its last CRLF.
    pub content: Vec<u8>,
}

/// Where a client departed from its script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("connection {connection}, line {line} of its script: expected {expected:?}, got {got}")]
#[non_exhaustive]
pub struct Departure {
    /// Which connection, from 1.
    pub connection: usize,
    /// Which line of its script, from 1.
    pub line: usize,
    /// What should have come.
    pub expected: String,
    /// What came.
    pub got: Got,
}

/// What came instead of what a script expects.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Got {
    /// This line, or these octets, made printable.
    Line(String),
    /// The client left.
    End,
    /// Nothing, so far.
    Nothing,
    /// More octets than the limits allow.
    TooLong,
    /// A connection for which there is no script.
    Connection,
    /// No TLS handshake, for this reason.
    NoTls(String),
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "\"{line}\""),
            Self::End => f.write_str("the end of the connection"),
            Self::Nothing => f.write_str("nothing"),
            Self::TooLong => f.write_str("more octets than the limits allow"),
            Self::Connection => f.write_str("a connection"),
            Self::NoTls(why) => write!(f, "no handshake: {why}"),
        }
    }
}

/// How far a dialogue came.
#[derive(Debug, Clone)]
enum Standing {
    Awaits { line: usize, expected: String },
    Played,
}

#[derive(Debug, Default)]
struct State {
    transcripts: Vec<Vec<String>>,
    messages: Vec<Received>,
    handshakes: Vec<Handshake>,
    ended: usize,
    kept: usize,
    standings: Vec<Standing>,
    departure: Option<Departure>,
}

/// Everything that is kept, up to a number of octets.
#[derive(Debug)]
pub(super) struct Record {
    state: Mutex<State>,
    progress: watch::Sender<()>,
    limit: usize,
    /// The simulated network whose transcript has every line too, and the endpoint of the server.
    network: Option<(Network, String)>,
}

impl Record {
    /// A record of at most `limit` octets, that waits for a connection to each dialogue.
    pub(super) fn new(limit: usize, dialogues: &[Dialogue], network: Option<(Network, String)>) -> Self {
        let first = |dialogue: &Dialogue| Standing::Awaits {
            line: dialogue.steps.first().map_or(1, |step| step.line),
            expected: "a connection".into(),
        };
        let standings = dialogues.iter().map(first).collect();
        let state = State { standings, ..State::default() };
        Self { state: Mutex::new(state), progress: watch::Sender::new(()), limit, network }
    }

    /// Counts a connection and returns its index.
    pub(super) fn open(&self) -> usize {
        self.change(|state| {
            state.transcripts.push(Vec::new());
            state.transcripts.len() - 1
        })
    }

    /// Adds a line to a transcript.
    pub(super) fn line(&self, connection: usize, line: String) {
        if let Some((network, endpoint)) = &self.network {
            network.note(format_args!("{endpoint} #{} {line}", connection + 1));
        }
        self.change(|state| {
            if state.has_room(line.len(), self.limit) {
                state.transcripts[connection].push(line);
            }
        });
    }

    /// Adds a message.
    pub(super) fn message(&self, message: Received) {
        self.change(|state| {
            if state.has_room(message.content.len(), self.limit) {
                state.messages.push(message);
            }
        });
    }

    /// Adds a handshake.
    pub(super) fn handshake(&self, handshake: Handshake) {
        self.change(|state| state.handshakes.push(handshake));
    }

    /// A connection came to its end.
    pub(super) fn ended(&self) {
        self.change(|state| state.ended += 1);
    }

    /// Whether no connection is open.
    pub(super) fn all_ended(&self) -> bool {
        let state = self.state();
        state.ended == state.transcripts.len()
    }

    /// The dialogue waits for the client at this step.
    pub(super) fn awaits(&self, connection: usize, step: &Step) {
        let standing = Standing::Awaits { line: step.line, expected: step.text.clone() };
        self.change(|state| state.standings[connection] = standing);
    }

    /// The dialogue needs nothing more.
    pub(super) fn played(&self, connection: usize) {
        self.change(|state| state.standings[connection] = Standing::Played);
    }

    /// A client departed from its script; the first departure counts.
    pub(super) fn depart(&self, departure: Departure) {
        self.change(|state| state.departure.get_or_insert(departure).connection);
    }

    /// Tells of every change.
    pub(super) fn progress(&self) -> watch::Receiver<()> {
        self.progress.subscribe()
    }

    /// Whether nothing is to be waited for.
    pub(super) fn is_settled(&self) -> bool {
        let state = self.state();
        let played = state.standings.iter().all(|standing| matches!(standing, Standing::Played));
        state.departure.is_some() || played
    }

    /// The first departure, or a dialogue that did not come to its end.
    pub(super) fn outcome(&self) -> Result<(), Departure> {
        let state = self.state();
        let departure = state.departure.clone().or_else(|| state.unfinished());
        departure.map_or(Ok(()), Err)
    }

    pub(super) fn connections(&self) -> usize {
        self.state().transcripts.len()
    }

    pub(super) fn transcripts(&self) -> Vec<Vec<String>> {
        self.state().transcripts.clone()
    }

    pub(super) fn messages(&self) -> Vec<Received> {
        self.state().messages.clone()
    }

    pub(super) fn handshakes(&self) -> Vec<Handshake> {
        self.state().handshakes.clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.progress.send_replace(());
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes room for so many octets; once there was none, nothing is kept any more.
    fn has_room(&mut self, octets: usize, limit: usize) -> bool {
        self.kept = self.kept.saturating_add(octets);
        self.kept <= limit
    }

    fn unfinished(&self) -> Option<Departure> {
        self.standings.iter().enumerate().find_map(|(index, standing)| match standing {
            Standing::Played => None,
            Standing::Awaits { line, expected } => Some(Departure {
                connection: index + 1,
                line: *line,
                expected: expected.clone(),
                got: Got::Nothing,
            }),
        })
    }
}
