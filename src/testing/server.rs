//! [`ScriptedServer`].

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::proto::Protocol;

use super::identity::{Handshake, ServerIdentity};
use super::limits::Limits;
use super::listener::{Listener, Place};
use super::player;
use super::record::{Departure, Got, Received, Record};
use super::rules::Rules;
use super::script::{Dialogue, Script};
use super::session;
use super::stream::Stream;
use super::wire::Wire;

/// Turns that the connections get for what has already arrived.
const TURNS: usize = 8;

/// A server that does what it was told; see the [module](super).
///
/// It is served by the tokio runtime it was started in, until it is dropped.
#[derive(Debug)]
pub struct ScriptedServer {
    place: Place,
    protocol: Protocol,
    tls_at_once: bool,
    record: Arc<Record>,
    patience: Duration,
    accepting: JoinHandle<()>,
}

impl ScriptedServer {
    /// Begins with the dialogue of the first connection. A malformed script is an error once the server shall listen.
    pub fn script(text: &str) -> Script {
        Script::new(text)
    }

    /// Begins with the rules of an SMTP server that accepts everything.
    pub fn smtp() -> Rules {
        Rules::new(Protocol::Smtp)
    }

    /// Begins with the rules of an LMTP server that accepts everything.
    pub fn lmtp() -> Rules {
        Rules::new(Protocol::Lmtp)
    }

    pub(super) fn start(listener: Listener, behaviour: Behaviour, limits: Limits) -> Self {
        let record = Arc::new(Record::new(limits.kept, behaviour.dialogues(), listener.observed()));
        let (place, protocol, patience) = (listener.place(), behaviour.protocol(), limits.patience);
        let tls_at_once = behaviour.is_tls_at_once();
        let accepting = Accepting { behaviour: Arc::new(behaviour), record: Arc::clone(&record), limits };
        let accepting = tokio::spawn(accepting.run(listener));
        Self { place, protocol, tls_at_once, record, patience, accepting }
    }

    /// The address it listens on.
    ///
    /// # Panics
    /// It listens on a unix socket.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        match &self.place {
            Place::Tcp(address) => *address,
            Place::Unix(path) | Place::Simulated(path) => panic!("{} has no address", path.display()),
        }
    }

    /// The unix socket it listens on.
    ///
    /// # Panics
    /// It listens on an address.
    #[track_caller]
    pub fn path(&self) -> &Path {
        match &self.place {
            Place::Tcp(address) => panic!("{address} has no path"),
            Place::Unix(path) | Place::Simulated(path) => path,
        }
    }

    /// The text form of the next hop: `smtp://127.0.0.1:2525`, `lmtp+unix:///run/lmtp`; with TLS from the first octet
    /// `smtps://127.0.0.1:4650`.
    pub fn url(&self) -> String {
        self.place.url(self.protocol, self.tls_at_once)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.record.connections()
    }

    /// For each connection the lines of both sides, `S: …` and `C: …`, without their ends and made printable. Content
    /// and chunks stand there as `C: <content of 12 octets>` and `C: <octets, 12 octets>`. What stands behind `S: <tls>`
    /// was said inside TLS, unless `C: <no tls: …>` is next; `C: <no close_notify>` is a client that left TLS without.
    pub fn transcript(&self) -> Vec<Vec<String>> {
        self.record.transcripts()
    }

    /// The messages that came to their end, in that order.
    pub fn messages(&self) -> Vec<Received> {
        self.record.messages()
    }

    /// The TLS handshakes that came to their end, in that order.
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.record.handshakes()
    }

    /// Waits until every connection that was taken has ended, so that the transcript is complete. While nothing
    /// happens, the wait is no longer than [`Limits::patience`]. Dropping the future has no effect.
    pub async fn ended(&self) {
        let mut progress = self.record.progress();
        while !self.record.all_ended() && timeout(self.patience, progress.changed()).await.is_ok() {}
    }

    /// Waits until every script was played to its end, and says whether that is so. To be called once the client has
    /// done its part: while nothing happens, the wait is no longer than [`Limits::patience`].
    ///
    /// A server with [`Rules`] has nothing to wait for and no departures. Dropping the future has no effect.
    ///
    /// # Errors
    /// The first departure of a client from its script, or the first line that is still waited for.
    pub async fn finish(&self) -> Result<(), Departure> {
        let mut progress = self.record.progress();
        while !self.record.is_settled() && timeout(self.patience, progress.changed()).await.is_ok() {}
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        self.outcome()
    }

    /// As [`ScriptedServer::finish`], as things stand.
    ///
    /// # Errors
    /// The first departure of a client from its script, or the first line that is still waited for.
    pub fn outcome(&self) -> Result<(), Departure> {
        self.record.outcome()
    }
}

/// Connections end as well: the task that owns them is stopped.
impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.accepting.abort();
        if let Place::Unix(path) = &self.place {
            // somebody else may have removed it
            let _ = std::fs::remove_file(path);
        }
    }
}

/// What a server was told.
#[derive(Debug)]
pub(super) enum Behaviour {
    Script { dialogues: Vec<Dialogue>, protocol: Protocol, identity: Option<ServerIdentity> },
    Rules(Box<Rules>),
}

impl Behaviour {
    fn protocol(&self) -> Protocol {
        match self {
            Self::Script { protocol, .. } => *protocol,
            Self::Rules(rules) => rules.protocol(),
        }
    }

    fn is_tls_at_once(&self) -> bool {
        match self {
            Self::Script { dialogues, .. } => dialogues.first().is_some_and(Dialogue::is_tls_at_once),
            Self::Rules(rules) => rules.tls_at_once().is_some(),
        }
    }

    fn dialogues(&self) -> &[Dialogue] {
        match self {
            Self::Script { dialogues, .. } => dialogues,
            Self::Rules(_) => &[],
        }
    }

    async fn serve(&self, wire: Wire) {
        match self {
            Self::Rules(rules) => session::serve(rules, wire).await,
            Self::Script { dialogues, identity, .. } => match dialogues.get(wire.connection()) {
                Some(dialogue) => player::play(dialogue, identity.as_ref(), wire).await,
                None => wire.record().depart(surplus(dialogues, wire.connection())),
            },
        }
    }
}

/// A connection for which there is no script; the last line of the last script is the one after which it came.
fn surplus(dialogues: &[Dialogue], connection: usize) -> Departure {
    let last = dialogues.last().and_then(|dialogue| dialogue.steps.last());
    Departure {
        connection: connection + 1,
        line: last.map_or(1, |step| step.line),
        expected: "no further connection".into(),
        got: Got::Connection,
    }
}

/// Takes connections and owns their tasks.
struct Accepting {
    behaviour: Arc<Behaviour>,
    record: Arc<Record>,
    limits: Limits,
}

impl Accepting {
    async fn run(self, listener: Listener) {
        let mut connections = JoinSet::new();
        loop {
            match listener.accept().await {
                Ok(stream) => connections.spawn(self.serve(stream)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(_) => break,
            };
            while connections.try_join_next().is_some() {}
        }
        while connections.join_next().await.is_some() {}
    }

    fn serve(&self, stream: Stream) -> impl Future<Output = ()> + Send + 'static {
        let behaviour = Arc::clone(&self.behaviour);
        let record = Arc::clone(&self.record);
        let wire = Wire::new(stream, Arc::clone(&record), record.open(), self.limits.clone());
        async move {
            behaviour.serve(wire).await;
            record.ended();
        }
    }
}
