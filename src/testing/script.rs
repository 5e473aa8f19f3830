//! [`Script`]: a dialogue, line by line.

use std::net::SocketAddr;
use std::path::Path;

use crate::proto::Protocol;

use super::command;
use super::directive;
use super::identity::ServerIdentity;
use super::limits::Limits;
use super::listener::{ListenError, Listener};
use super::network::Network;
use super::server::{Behaviour, ScriptedServer};

/// Dialogues with successive connections; [`ScriptedServer::script`] begins one.
///
/// A line of a script begins with `S:` or `C:`, after any indentation; one space after the colon belongs to the
/// notation, all others to the line. Empty lines and lines that begin with `#` say nothing.
///
/// | line | the server |
/// |---|---|
/// | `S: 250 ok` | sends the line and CRLF; such lines that stand together go out in one write |
/// | `S: <raw "25" "0 ok\r\n">` | sends these octets as they are, each string in a write of its own; `\r` `\n` `\t` `\0` `\\` `\"` `\'` `\xE9` are escapes, and `'` quotes as well |
/// | `S: <repeat 1000 "250-x\r\n">` | sends the octets so many times |
/// | `S: <tls>` | waits for a TLS handshake ([`Script::tls`]): behind the answer to STARTTLS, or as the first line; what follows is inside TLS |
/// | `S: <silence>` | reads nothing and sends nothing until the client leaves |
/// | `S: <close>` | closes at once |
/// | `S: <reset>` | breaks the connection off with RST (a unix socket: closes) |
/// | `C: MAIL FROM:<a@b.example>` | expects exactly this line with CRLF |
/// | `C: EHLO *` | expects a line that begins so; `\*` at the end is a star |
/// | `C: <content>` | expects content up to the lone dot, and keeps it as a message |
/// | `C: <octets 12>` | expects so many octets, whatever they are; after `BDAT 12` they are a chunk of a message |
/// | `C: <tls-record>` | expects a TLS record, whatever is in it, and answers nothing: a handshake begins so |
/// | `C: <rest>` | takes anything until the client leaves |
/// | `C: <close>` | expects that the client leaves without another word |
///
/// `<silence>`, both `<close>`, `<reset>` and `<rest>` end a script. One that ends otherwise closes the server's half
/// of the connection; whatever the client still sends is then a [`Departure`](super::Departure). What the server sends
/// and the client does not read is none. In TLS, `<close>` and `<reset>` send no close_notify, and each string of
/// `<raw>` is a record.
///
/// Each script serves one connection, in the order in which they are made. One connection more is closed at once, and
/// is a departure.
#[derive(Debug, Clone)]
#[must_use = "a script does nothing before it listens"]
pub struct Script {
    dialogues: Result<Vec<Dialogue>, ScriptError>,
    protocol: Option<Protocol>,
    identity: Option<ServerIdentity>,
    limits: Limits,
}

impl Script {
    pub(super) fn new(text: &str) -> Self {
        let (dialogues, limits) = (Ok(Vec::new()), Limits::default());
        Self { dialogues, protocol: None, identity: None, limits }.then(text)
    }

    /// The dialogue with the next connection.
    pub fn then(mut self, text: &str) -> Self {
        self.dialogues = self.dialogues.and_then(|mut dialogues| {
            dialogues.push(Dialogue::parse(dialogues.len() + 1, text)?);
            Ok(dialogues)
        });
        self
    }

    /// What [`ScriptedServer::url`] calls the protocol; by default LMTP if a client says `LHLO` in a script.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Who the server is where a script says `S: <tls>`.
    pub fn tls(mut self, identity: &ServerIdentity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Other limits than the default ones.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Listens on a free port of `127.0.0.1`.
    ///
    /// # Errors
    /// A script is malformed, or the system refuses to listen.
    pub async fn listen_tcp(self) -> Result<ScriptedServer, ListenError> {
        self.listen_at(Listener::ANY_PORT).await
    }

    /// Listens on a loopback address; port 0 is a free one.
    ///
    /// # Errors
    /// A script is malformed, this is no loopback address, or the system refuses to listen.
    pub async fn listen_at(self, address: SocketAddr) -> Result<ScriptedServer, ListenError> {
        let (behaviour, limits) = self.behaviour()?;
        Ok(ScriptedServer::start(Listener::tcp(address).await?, behaviour, limits))
    }

    /// Listens on a unix socket, which must not be there yet and is removed when the server is dropped.
    ///
    /// # Errors
    /// A script is malformed, or the system refuses to make the socket.
    pub async fn listen_unix(self, path: impl AsRef<Path>) -> Result<ScriptedServer, ListenError> {
        let (behaviour, limits) = self.behaviour()?;
        Ok(ScriptedServer::start(Listener::unix(path.as_ref())?, behaviour, limits))
    }

    /// Listens in a simulated network, on any address.
    ///
    /// # Errors
    /// A script is malformed, or another server is there.
    pub fn listen_in(self, network: &Network, address: SocketAddr) -> Result<ScriptedServer, ListenError> {
        let (behaviour, limits) = self.behaviour()?;
        Ok(ScriptedServer::start(Listener::Network(network.listen(address)?), behaviour, limits))
    }

    /// Listens on a unix socket of a simulated network.
    ///
    /// # Errors
    /// A script is malformed, or another server is there.
    pub fn listen_in_unix(
        self,
        network: &Network,
        path: impl AsRef<Path>,
    ) -> Result<ScriptedServer, ListenError> {
        let (behaviour, limits) = self.behaviour()?;
        Ok(ScriptedServer::start(Listener::Network(network.listen_unix(path)?), behaviour, limits))
    }

    fn behaviour(self) -> Result<(Behaviour, Limits), ScriptError> {
        let dialogues = self.dialogues?;
        if self.identity.is_none() {
            dialogues
                .iter()
                .enumerate()
                .try_for_each(|(index, dialogue)| dialogue.needs_no_tls(index + 1))?;
        }
        let lmtp = dialogues.iter().any(Dialogue::is_lmtp);
        let protocol = self.protocol.unwrap_or(if lmtp { Protocol::Lmtp } else { Protocol::Smtp });
        Ok((Behaviour::Script { dialogues, protocol, identity: self.identity }, self.limits))
    }
}

/// What one connection is about.
#[derive(Debug, Clone)]
pub(super) struct Dialogue {
    pub(super) steps: Vec<Step>,
}

/// A line of a script.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) action: Action,
}

/// What a line of a script asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Say,
    Pieces(Vec<Vec<u8>>),
    Repeat { times: u64, octets: Vec<u8> },
    Tls,
    Silence,
    Close,
    Reset,
    Line(Pattern),
    Content,
    Octets(u64),
    TlsRecord,
    Rest,
    Left,
}

impl Action {
    /// Whether the client has to do something.
    pub(super) fn is_expectation(&self) -> bool {
        match self {
            Self::Line(_) | Self::Content | Self::Octets(_) | Self::TlsRecord | Self::Tls | Self::Left => {
                true
            }
            Self::Say | Self::Pieces(_) | Self::Repeat { .. } => false,
            Self::Silence | Self::Close | Self::Reset | Self::Rest => false,
        }
    }

    /// Whether nothing can follow.
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::Silence | Self::Close | Self::Reset | Self::Rest | Self::Left)
    }
}

/// Which lines are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Exactly(String),
    StartingWith(String),
}

impl Pattern {
    fn parse(text: &str) -> Self {
        if let Some(literal) = text.strip_suffix("\\*") {
            return Self::Exactly(format!("{literal}*"));
        }
        let start = text.strip_suffix('*').map(|start| Self::StartingWith(start.into()));
        start.unwrap_or_else(|| Self::Exactly(text.into()))
    }

    /// Whether `line` is meant; one with a bare CR or LF never is.
    pub(super) fn matches(&self, line: &[u8]) -> bool {
        let bare = memchr::memchr2(b'\r', b'\n', line).is_some();
        !bare
            && match self {
                Self::Exactly(text) => line == text.as_bytes(),
                Self::StartingWith(start) => line.starts_with(start.as_bytes()),
            }
    }
}

impl Dialogue {
    fn parse(script: usize, text: &str) -> Result<Self, ScriptError> {
        let mut steps: Vec<Step> = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let text = text.trim_start();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let error = |problem| ScriptError { script, line: index + 1, problem };
            if steps.last().is_some_and(|step| step.action.is_last()) {
                return Err(error(ScriptProblem::AfterEnd));
            }
            steps.push(Step::parse(index + 1, text).map_err(error)?);
        }
        let empty = ScriptError { script, line: 1, problem: ScriptProblem::Empty };
        if steps.is_empty() { Err(empty) } else { Ok(Self { steps }) }
    }

    /// An error if there is a handshake.
    fn needs_no_tls(&self, script: usize) -> Result<(), ScriptError> {
        let handshake = self.steps.iter().find(|step| step.action == Action::Tls);
        let error = |step: &Step| ScriptError { script, line: step.line, problem: ScriptProblem::NoIdentity };
        handshake.map_or(Ok(()), |step| Err(error(step)))
    }

    /// Whether TLS begins with the first octet.
    pub(super) fn is_tls_at_once(&self) -> bool {
        self.steps.first().is_some_and(|step| step.action == Action::Tls)
    }

    fn is_lmtp(&self) -> bool {
        let is_lhlo = |step: &Step| command::verb(step.text.as_bytes()) == "LHLO";
        self.steps.iter().any(|step| matches!(step.action, Action::Line(_)) && is_lhlo(step))
    }
}

impl Step {
    fn parse(line: usize, text: &str) -> Result<Self, ScriptProblem> {
        let (speaker, text) = text.split_at_checked(2).ok_or(ScriptProblem::NoSpeaker)?;
        let text = text.strip_prefix(' ').unwrap_or(text);
        let action = match (speaker, text.starts_with('<')) {
            ("S:", true) => directive::server(text)?,
            ("S:", false) => Action::Say,
            ("C:", true) => directive::client(text)?,
            ("C:", false) => Action::Line(Pattern::parse(text)),
            _ => return Err(ScriptProblem::NoSpeaker),
        };
        Ok(Self { line, text: text.into(), action })
    }
}

/// A script that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of script {script}: {problem}")]
#[non_exhaustive]
pub struct ScriptError {
    /// Which script, from 1.
    pub script: usize,
    /// Which line of its text, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: ScriptProblem,
}

/// What is wrong with a line of a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptProblem {
    /// The script has no lines.
    #[error("nothing is said")]
    Empty,
    /// A line of nobody.
    #[error("begins with neither \"S:\" nor \"C:\"")]
    NoSpeaker,
    /// Angle brackets around something that this speaker does not know, or no closing bracket.
    #[error("not a directive of this speaker: {0}")]
    UnknownDirective(String),
    /// A directive with something that does not fit.
    #[error("unfit for this directive: \"{}\"", .0.escape_debug())]
    Arguments(String),
    /// `<tls>` of a server without an identity.
    #[error("a handshake without an identity")]
    NoIdentity,
    /// A line after one that ends the dialogue.
    #[error("the line before ends the dialogue")]
    AfterEnd,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> (usize, ScriptProblem) {
        let error = Dialogue::parse(1, text).unwrap_err();
        (error.line, error.problem)
    }

    #[test]
    fn a_malformed_line_is_named() {
        assert_eq!(problem("\n# nothing\n"), (1, ScriptProblem::Empty));
        assert_eq!(problem("S: 220 x\n\nX: y"), (3, ScriptProblem::NoSpeaker));
        assert_eq!(problem("S: <sleep>"), (1, ScriptProblem::UnknownDirective("<sleep>".into())));
        assert_eq!(problem("S: <tls now>"), (1, ScriptProblem::Arguments("now".into())));
        assert_eq!(problem("S: <close>\nC: QUIT"), (2, ScriptProblem::AfterEnd));
    }

    #[test]
    fn an_error_says_which_script_and_which_line() {
        let error = Script::new("S: 220 x").then("S: 220 y\nbye").behaviour().unwrap_err();
        assert_eq!(error.to_string(), "line 2 of script 2: begins with neither \"S:\" nor \"C:\"");
    }

    #[test]
    fn a_handshake_needs_an_identity() {
        let error = Script::new("S: 220 x").then("\nS: <tls>").behaviour().unwrap_err();
        assert_eq!((error.script, error.line, error.problem), (2, 2, ScriptProblem::NoIdentity));
    }

    #[test]
    fn one_space_belongs_to_the_notation() {
        let dialogue = Dialogue::parse(1, "   S: 334 \nS:\nC:  x").unwrap();
        let texts: Vec<_> = dialogue.steps.iter().map(|step| step.text.as_str()).collect();
        assert_eq!(texts, ["334 ", "", " x"]);
    }

    #[test]
    fn a_star_at_the_end_stands_for_anything() {
        assert!(Pattern::parse("EHLO *").matches(b"EHLO client.example"));
        assert!(!Pattern::parse("EHLO *").matches(b"HELO client.example"));
        assert!(Pattern::parse(r"2 \*").matches(b"2 *"));
        assert!(!Pattern::parse(r"2 \*").matches(b"2 x"));
        assert!(!Pattern::parse("QUIT").matches(b"QUIT x"));
    }

    #[test]
    fn a_bare_line_feed_matches_nothing() {
        assert!(!Pattern::parse("*").matches(b"QUIT\n"));
        assert!(!Pattern::parse("*").matches(b"NOOP\rQUIT"));
    }

    #[test]
    fn the_protocol_follows_from_the_greeting_of_the_client() {
        let protocol = |script: Script| match script.behaviour().unwrap().0 {
            Behaviour::Script { protocol, .. } => protocol,
            Behaviour::Rules(_) => unreachable!(),
        };
        assert_eq!(protocol(Script::new("S: 220 x\nC: LHLO *")), Protocol::Lmtp);
        assert_eq!(protocol(Script::new("S: 220 x\nC: EHLO *")), Protocol::Smtp);
        assert_eq!(protocol(Script::new("S: 421 x").protocol(Protocol::Lmtp)), Protocol::Lmtp);
    }
}
