//! Serves one connection by [`Rules`].

use crate::proto::Protocol;

use super::command::{self, Chunk, is_positive};
use super::identity::ServerIdentity;
use super::record::Received;
use super::rules::Rules;
use super::wire::{Unread, Wire};

const OUT_OF_ORDER: &str = "503 5.5.1 bad sequence of commands";
const SYNTAX: &str = "501 5.5.4 syntax error";
const UNKNOWN: &str = "500 5.5.1 command not known";
const TOO_BIG: &str = "552 5.3.4 message too big";

/// Serves a connection to its end.
pub(super) async fn serve(rules: &Rules, wire: Wire) {
    let mut session = Session::new(rules, wire);
    if let Some(identity) = rules.tls_at_once() {
        session = session.secure(identity).await;
    }
    session.greet();
    while !session.ending && session.turn().await.is_ok() {
        if let (true, Some(identity)) = (session.securing, rules.starttls()) {
            session = session.secure(identity).await;
        }
    }
    session.wire.shutdown().await;
    // closing at once with unread octets would be a reset, and could cost the client the last reply
    session.wire.drain().await;
}

/// A transaction.
#[derive(Debug, Default)]
struct Mail {
    reverse_path: String,
    recipients: Vec<String>,
    chunks: Vec<u8>,
    chunked: bool,
    too_big: bool,
}

struct Session<'a> {
    rules: &'a Rules,
    wire: Wire,
    greeted: bool,
    hello: bool,
    mail: Option<Mail>,
    /// STARTTLS was answered with a yes.
    securing: bool,
    ending: bool,
}

impl<'a> Session<'a> {
    fn new(rules: &'a Rules, wire: Wire) -> Self {
        Self { rules, wire, greeted: false, hello: false, mail: None, securing: false, ending: false }
    }

    /// Forgets what was said in the clear (RFC 3207 section 4.2). Without a handshake it only listens from here on.
    async fn secure(self, identity: &ServerIdentity) -> Self {
        let greeted = self.greeted;
        let (mut wire, secured) = self.wire.secure(identity).await;
        if secured.is_err() {
            wire.shutdown().await;
            while wire.anything().await.is_some() {}
        }
        Self { greeted, ending: secured.is_err(), ..Session::new(self.rules, wire) }
    }

    fn greet(&mut self) {
        let greeting = self.rules.greet();
        self.greeted = is_positive(&greeting);
        self.say(&greeting);
    }

    async fn turn(&mut self) -> Result<(), Unread> {
        let line = self.wire.line().await.inspect_err(|error| self.complain(*error))?;
        let verb = command::verb(&line);
        if memchr::memchr2(b'\r', b'\n', &line).is_some() {
            self.say("421 5.5.2 bare CR or LF");
        } else if self.wire.has_more() && !self.may_be_followed(&verb) {
            self.say("421 5.5.0 improper pipelining");
        } else {
            self.command(&verb, &line).await?;
        }
        Ok(())
    }

    fn complain(&mut self, error: Unread) {
        if error == Unread::TooLong {
            self.say("500 5.5.2 line too long");
        }
    }

    /// RFC 2920 section 3.1; the octets of a chunk follow it in any case, and anything EHLO where that is announced.
    fn may_be_followed(&self, verb: &str) -> bool {
        let is_early = matches!(verb, "EHLO" | "LHLO") && self.advertises("PIPECONNECT");
        is_early
            || verb == "BDAT"
            || self.advertises("PIPELINING") && matches!(verb, "MAIL" | "RCPT" | "RSET")
    }

    async fn command(&mut self, verb: &str, line: &[u8]) -> Result<(), Unread> {
        match verb {
            "QUIT" => self.quit(),
            _ if !self.greeted => self.say(OUT_OF_ORDER),
            "EHLO" | "HELO" | "LHLO" => self.hello(verb),
            "STARTTLS" if self.rules.starttls().is_some() => self.start_tls(),
            "MAIL" => self.mail(line),
            "RCPT" => self.recipient(line),
            "DATA" => self.data().await?,
            "BDAT" if self.advertises("CHUNKING") => self.chunk(line).await?,
            "RSET" => self.reset(),
            "NOOP" => self.answer(verb, "250 2.0.0 ok"),
            _ => self.answer(verb, UNKNOWN),
        }
        Ok(())
    }

    fn quit(&mut self) {
        self.answer("QUIT", "221 2.0.0 bye");
        self.ending = true;
    }

    fn hello(&mut self, verb: &str) {
        if (self.rules.protocol() == Protocol::Lmtp) != (verb == "LHLO") {
            return self.say(UNKNOWN);
        }
        let reply = self.rules.hello(verb, self.wire.is_tls());
        if is_positive(&reply) {
            self.hello = true;
            self.mail = None;
        }
        self.say(&reply);
    }

    fn start_tls(&mut self) {
        if !self.hello || self.mail.is_some() || self.wire.is_tls() {
            return self.say(OUT_OF_ORDER);
        }
        let reply = self.rules.reply("STARTTLS", "220 2.0.0 go ahead");
        self.securing = is_positive(&reply);
        self.say(&reply);
    }

    fn advertises(&self, keyword: &str) -> bool {
        self.rules.advertises(keyword, self.wire.is_tls())
    }

    fn mail(&mut self, line: &[u8]) {
        if !self.hello || self.mail.is_some() {
            return self.say(OUT_OF_ORDER);
        }
        let Some(reverse_path) = command::path(line) else { return self.say(SYNTAX) };
        let reply = self.rules.reply("MAIL", "250 2.1.0 ok");
        self.mail = is_positive(&reply).then(|| Mail { reverse_path, ..Mail::default() });
        self.say(&reply);
    }

    fn recipient(&mut self, line: &[u8]) {
        let Some(mail) = self.mail.as_mut().filter(|mail| !mail.chunked) else {
            return self.say(OUT_OF_ORDER);
        };
        let Some(mailbox) = command::path(line) else { return self.say(SYNTAX) };
        let reply = self.rules.recipient_reply(&mailbox);
        if is_positive(&reply) {
            mail.recipients.push(mailbox);
        }
        self.say(&reply);
    }

    fn reset(&mut self) {
        self.mail = None;
        self.answer("RSET", "250 2.0.0 ok");
    }

    async fn data(&mut self) -> Result<(), Unread> {
        let ready = |mail: &Mail| !mail.recipients.is_empty() && !mail.chunked;
        if !self.mail.as_ref().is_some_and(ready) {
            self.say(OUT_OF_ORDER);
            return Ok(());
        }
        let reply = self.rules.reply("DATA", "354 go ahead");
        self.say(&reply);
        if reply.starts_with("354") {
            let content = self.wire.content().await?;
            self.conclude(content);
        }
        Ok(())
    }

    /// The octets follow whatever the reply is (RFC 3030 section 2). No recipient is no reply (RFC 2033 section 4.3).
    async fn chunk(&mut self, line: &[u8]) -> Result<(), Unread> {
        let Some(chunk) = Chunk::parse(line) else {
            self.say(SYNTAX);
            self.ending = true;
            return Ok(());
        };
        let pending = self.mail.as_ref().map_or(0, |mail| mail.chunks.len());
        let limit = self.wire.limits().content.saturating_sub(pending);
        let octets = self.wire.octets(chunk.octets, limit).await?;
        match self.mail.as_mut().filter(|mail| !mail.recipients.is_empty()) {
            Some(mail) => {
                let content = mail.add(octets, chunk.last);
                self.answer_chunk(chunk, content);
            }
            None if chunk.last && self.rules.protocol() == Protocol::Lmtp => {}
            None => self.say(OUT_OF_ORDER),
        }
        Ok(())
    }

    fn answer_chunk(&mut self, chunk: Chunk, content: Option<Vec<u8>>) {
        let reply = self.rules.reply("BDAT", "250 2.0.0 ok");
        if chunk.last && is_positive(&reply) {
            return self.conclude(content);
        }
        if !is_positive(&reply) {
            self.forget_recipients();
        }
        self.say(&reply);
    }

    /// After a chunk that was refused there is nobody for further ones, and nothing but RSET leads on.
    fn forget_recipients(&mut self) {
        if let Some(mail) = &mut self.mail {
            mail.recipients.clear();
        }
    }

    /// Keeps the message and replies to it.
    fn conclude(&mut self, content: Option<Vec<u8>>) {
        let Mail { reverse_path, recipients, .. } = self.mail.take().unwrap_or_default();
        let mut replies = self.rules.final_replies(&recipients);
        match content {
            Some(content) => self.wire.record().message(Received { reverse_path, recipients, content }),
            None => replies.fill(TOO_BIG.into()),
        }
        replies.iter().for_each(|reply| self.say(reply));
    }

    fn answer(&mut self, verb: &str, default: &str) {
        let reply = self.rules.reply(verb, default);
        self.say(&reply);
    }

    /// Says the lines of a reply. Nothing follows one that ends the service (RFC 5321 section 3.8).
    fn say(&mut self, reply: &str) {
        if !self.ending {
            reply.split('\n').for_each(|line| self.wire.say(line));
        }
        self.ending |= reply.starts_with("421");
    }
}

impl Mail {
    /// Adds a chunk; the last one makes the content, unless that is too big.
    fn add(&mut self, octets: Option<Vec<u8>>, last: bool) -> Option<Vec<u8>> {
        self.chunked = true;
        self.too_big |= octets.is_none();
        self.chunks.extend(octets.unwrap_or_default());
        (last && !self.too_big).then(|| std::mem::take(&mut self.chunks))
    }
}
