//! [`Rules`]: a server with sense, except where it was told otherwise.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use crate::proto::Protocol;

use super::identity::ServerIdentity;
use super::limits::Limits;
use super::listener::{ListenError, Listener};
use super::network::Network;
use super::server::{Behaviour, ScriptedServer};

/// The answers of a server; [`ScriptedServer::smtp`] and [`ScriptedServer::lmtp`] begin with sensible ones.
///
/// It serves any number of connections, keeps to the order of the commands (503 otherwise) and knows `EHLO`, `HELO` or
/// `LHLO`, `MAIL`, `RCPT`, `DATA`, `RSET`, `NOOP`, `QUIT`, and `BDAT` once the keyword `CHUNKING` was given. Commands
/// that may not be sent together (RFC 2920 section 3.1) end the connection; with the keyword `PIPECONNECT` others may
/// follow `EHLO` and `LHLO` before they are answered. With [`Rules::tls`] it knows `STARTTLS`
/// too.
///
/// A reply is text: `550 5.1.1 no such user`, with `\n` between the lines of a longer one. It is sent as it is, right
/// or wrong; one that begins with `2` accepts, and one that begins with `421` ends the connection. Mailboxes are
/// compared without regard to case.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use nexthop::testing::ScriptedServer;
///
/// let server = ScriptedServer::lmtp()
///     .keyword("CHUNKING")
///     .recipient("bob@example.org", "550 5.1.1 no such user")
///     .final_for("carol@example.org", "452 4.2.2 mailbox full")
///     .listen_tcp()
///     .await?;
/// assert!(server.url().starts_with("lmtp://127.0.0.1:"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "rules do nothing before a server listens"]
pub struct Rules {
    protocol: Protocol,
    name: String,
    keywords: Vec<String>,
    keywords_in_tls: Changes,
    answers: HashMap<String, String>,
    recipients: HashMap<String, String>,
    finals: HashMap<String, String>,
    tls: Option<Tls>,
    limits: Limits,
}

/// How TLS begins.
#[derive(Debug, Clone)]
enum Tls {
    ByCommand(ServerIdentity),
    AtOnce(ServerIdentity),
}

/// What is advertised otherwise inside TLS.
#[derive(Debug, Clone, Default)]
struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
}

/// What the answers to no command are kept under; no verb is spelled so.
const GREETING: &str = "greeting";
const CONTENT: &str = "content";

const STARTTLS: &str = "STARTTLS";

impl Rules {
    pub(super) fn new(protocol: Protocol) -> Self {
        let keywords = ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "SIZE"];
        Self {
            protocol,
            name: "mx.example".into(),
            keywords: keywords.map(String::from).into(),
            keywords_in_tls: Changes::default(),
            answers: HashMap::new(),
            recipients: HashMap::new(),
            finals: HashMap::new(),
            tls: None,
            limits: Limits::default(),
        }
    }

    /// The name it greets with; default `mx.example`.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Advertises a keyword with its parameters, in place of the same keyword with others. By default there are
    /// `PIPELINING`, `8BITMIME`, `SMTPUTF8`, `ENHANCEDSTATUSCODES` and `SIZE`.
    pub fn keyword(self, keyword: &str) -> Self {
        let mut rules = self.without(first_word(keyword));
        rules.keywords.push(keyword.into());
        rules
    }

    /// Does not advertise a keyword. Without `PIPELINING` a command that does not wait for the reply to the one before
    /// ends the connection.
    pub fn without(mut self, keyword: &str) -> Self {
        self.keywords.retain(|known| !is_keyword(known, keyword));
        self
    }

    /// Advertises and serves STARTTLS (RFC 3207); what is said before it is forgotten. Inside TLS it is not advertised,
    /// and refused.
    pub fn tls(mut self, identity: &ServerIdentity) -> Self {
        self.tls = Some(Tls::ByCommand(identity.clone()));
        self.keyword(STARTTLS)
    }

    /// Speaks TLS from the first octet (RFC 8314 section 3.3).
    pub fn implicit_tls(mut self, identity: &ServerIdentity) -> Self {
        self.tls = Some(Tls::AtOnce(identity.clone()));
        self
    }

    /// Advertises a keyword inside TLS, in place of the same keyword with others. All the others are as outside.
    pub fn keyword_in_tls(self, keyword: &str) -> Self {
        let mut rules = self.without_in_tls(first_word(keyword));
        rules.keywords_in_tls.added.push(keyword.into());
        rules
    }

    /// Does not advertise a keyword inside TLS.
    pub fn without_in_tls(mut self, keyword: &str) -> Self {
        self.keywords_in_tls.added.retain(|known| !is_keyword(known, keyword));
        self.keywords_in_tls.removed.push(keyword.into());
        self
    }

    /// Greets so. After a greeting that does not begin with `2`, only `QUIT` is served (RFC 5321 section 3.1).
    pub fn greeting(self, reply: &str) -> Self {
        self.set(GREETING, reply)
    }

    /// The reply to every `MAIL` that is in order.
    pub fn mail(self, reply: &str) -> Self {
        self.set("MAIL", reply)
    }

    /// The reply to every command of this name that is in order: `answer("EHLO", "502 5.5.1 no")`. A `DATA` that is
    /// not answered with `354` is followed by no content. Once a `BDAT` was refused nothing but `RSET` leads on; to the
    /// last one, where it is accepted, belongs [`Rules::final_reply`].
    pub fn answer(self, verb: &str, reply: &str) -> Self {
        self.set(&verb.to_ascii_uppercase(), reply)
    }

    /// The reply to `RCPT` with this mailbox.
    pub fn recipient(mut self, mailbox: &str, reply: &str) -> Self {
        self.recipients.insert(mailbox.to_ascii_lowercase(), reply.into());
        self
    }

    /// The reply to the content; under LMTP for each recipient without one of its own.
    pub fn final_reply(self, reply: &str) -> Self {
        self.set(CONTENT, reply)
    }

    /// The reply to the content for this recipient. SMTP has no such replies (RFC 2033 section 4.2).
    pub fn final_for(mut self, mailbox: &str, reply: &str) -> Self {
        self.finals.insert(mailbox.to_ascii_lowercase(), reply.into());
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
    /// The system refuses to listen.
    pub async fn listen_tcp(self) -> Result<ScriptedServer, ListenError> {
        self.listen_at(Listener::ANY_PORT).await
    }

    /// Listens on a loopback address; port 0 is a free one.
    ///
    /// # Errors
    /// This is no loopback address, or the system refuses to listen.
    pub async fn listen_at(self, address: SocketAddr) -> Result<ScriptedServer, ListenError> {
        let listener = Listener::tcp(address).await?;
        Ok(self.start(listener))
    }

    /// Listens on a unix socket, which must not be there yet and is removed when the server is dropped.
    ///
    /// # Errors
    /// The system refuses to make the socket.
    pub async fn listen_unix(self, path: impl AsRef<Path>) -> Result<ScriptedServer, ListenError> {
        let listener = Listener::unix(path.as_ref())?;
        Ok(self.start(listener))
    }

    /// Listens in a simulated network, on any address.
    ///
    /// # Errors
    /// Another server is there.
    pub fn listen_in(self, network: &Network, address: SocketAddr) -> Result<ScriptedServer, ListenError> {
        let listener = Listener::Network(network.listen(address)?);
        Ok(self.start(listener))
    }

    /// Listens on a unix socket of a simulated network.
    ///
    /// # Errors
    /// Another server is there.
    pub fn listen_in_unix(
        self,
        network: &Network,
        path: impl AsRef<Path>,
    ) -> Result<ScriptedServer, ListenError> {
        let listener = Listener::Network(network.listen_unix(path)?);
        Ok(self.start(listener))
    }

    fn set(mut self, what: &str, reply: &str) -> Self {
        self.answers.insert(what.into(), reply.into());
        self
    }

    fn start(self, listener: Listener) -> ScriptedServer {
        let limits = self.limits.clone();
        ScriptedServer::start(listener, Behaviour::Rules(Box::new(self)), limits)
    }
}

/// What a session asks.
impl Rules {
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Who the server is, if it knows STARTTLS.
    pub(super) fn starttls(&self) -> Option<&ServerIdentity> {
        match &self.tls {
            Some(Tls::ByCommand(identity)) => Some(identity),
            Some(Tls::AtOnce(_)) | None => None,
        }
    }

    /// Who the server is, if it speaks TLS from the first octet.
    pub(super) fn tls_at_once(&self) -> Option<&ServerIdentity> {
        match &self.tls {
            Some(Tls::AtOnce(identity)) => Some(identity),
            Some(Tls::ByCommand(_)) | None => None,
        }
    }

    pub(super) fn advertises(&self, keyword: &str, in_tls: bool) -> bool {
        self.keywords(in_tls).iter().any(|known| is_keyword(known, keyword))
    }

    fn keywords(&self, in_tls: bool) -> Vec<&str> {
        let Changes { added, removed } = &self.keywords_in_tls;
        let kept = |known: &&String| {
            !in_tls || !is_keyword(known, STARTTLS) && !removed.iter().any(|word| is_keyword(known, word))
        };
        let added = if in_tls { added.as_slice() } else { &[] };
        self.keywords.iter().filter(kept).chain(added).map(String::as_str).collect()
    }

    pub(super) fn greet(&self) -> String {
        let protocol = match self.protocol {
            Protocol::Smtp => "ESMTP",
            Protocol::Lmtp => "LMTP",
        };
        self.reply(GREETING, format!("220 {} {protocol}", self.name))
    }

    /// The reply to a verb that is in order.
    pub(super) fn reply(&self, verb: &str, default: impl Into<String>) -> String {
        self.answers.get(verb).cloned().unwrap_or_else(|| default.into())
    }

    pub(super) fn hello(&self, verb: &str, in_tls: bool) -> String {
        let keywords = if verb == "HELO" { Vec::new() } else { self.keywords(in_tls) };
        let default = match keywords.split_last() {
            None => format!("250 {}", self.name),
            Some((last, [])) => format!("250-{}\n250 {last}", self.name),
            Some((last, others)) => format!("250-{}\n250-{}\n250 {last}", self.name, others.join("\n250-")),
        };
        self.reply(verb, default)
    }

    pub(super) fn recipient_reply(&self, mailbox: &str) -> String {
        let special = self.recipients.get(&mailbox.to_ascii_lowercase()).cloned();
        special.unwrap_or_else(|| self.reply("RCPT", "250 2.1.5 ok"))
    }

    /// One reply, or one a recipient.
    pub(super) fn final_replies(&self, recipients: &[String]) -> Vec<String> {
        let for_all = self.reply(CONTENT, "250 2.0.0 taken");
        let for_one =
            |mailbox: &String| self.finals.get(&mailbox.to_ascii_lowercase()).unwrap_or(&for_all).clone();
        match self.protocol {
            Protocol::Smtp => vec![for_all],
            Protocol::Lmtp => recipients.iter().map(for_one).collect(),
        }
    }
}

fn is_keyword(known: &str, keyword: &str) -> bool {
    first_word(known).eq_ignore_ascii_case(keyword)
}

fn first_word(keyword: &str) -> &str {
    keyword.split(' ').next().unwrap_or(keyword)
}
