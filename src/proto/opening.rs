//! The beginning of a session: greeting, EHLO or LHLO, HELO (RFC 5321 sections 3.1 and 3.2, RFC 2033).

use bytes::Bytes;

use super::capabilities::Capabilities;
use super::client_name::ClientName;
use super::command::Command;
use super::early::{Ahead, is_hello_unknown};
use super::machine::{Awaited, Interruption, Machine, Need, ProtocolError};
use super::output::Output;
use super::protocol::Protocol;
use super::reply::{Reply, ReplyClass, ReplyCode};
use super::stage::Stage;
use super::verdict::Verdict;
use crate::mail::DnsName;

/// From the greeting to the first command of a transaction.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    protocol: Protocol,
    name: &'a ClientName,
    awaited: Awaited<Expected>,
    /// What the server calls itself.
    names: Vec<DnsName>,
    /// The place in the stream behind EHLO, if other commands were queued there.
    ahead_at: Option<u64>,
    result: Option<Result<Capabilities, Verdict>>,
}

/// A server that was introduced to.
#[derive(Debug)]
pub(crate) struct Introduced {
    /// What it offers.
    pub(crate) capabilities: Capabilities,
    /// What it calls itself in its greeting and in its reply to EHLO (RFC 5321 sections 4.2 and 4.1.1.1), where that is
    /// a name.
    pub(crate) names: Vec<DnsName>,
    /// The place in the stream where what was sent behind EHLO begins, if there is any.
    pub(crate) ahead_at: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Greeting,
    Hello,
    Helo,
}

impl Expected {
    fn stage(self) -> Stage {
        match self {
            Self::Greeting => Stage::Greeting,
            Self::Hello | Self::Helo => Stage::Hello,
        }
    }
}

impl<'a> Opening<'a> {
    /// Before anything was sent or read.
    pub(crate) fn new(protocol: Protocol, name: &'a ClientName, output: &Output) -> Self {
        let mut awaited = Awaited::new();
        awaited.expect(Expected::Greeting, output);
        Self { protocol, name, awaited, names: Vec::new(), ahead_at: None, result: None }
    }

    /// Before anything was read, at a server that takes commands then.
    pub(crate) fn early(protocol: Protocol, name: &'a ClientName, ahead: Ahead, output: &mut Output) -> Self {
        let mut opening = Self::new(protocol, name, output);
        opening.say(Command::Hello(protocol, name), Expected::Hello, output);
        opening.ahead_at = ahead.queue(output);
        opening
    }

    /// Behind a handshake that followed on STARTTLS: there is no greeting, and everything that was learnt is
    /// forgotten (RFC 3207 section 4.2).
    pub(crate) fn after_starttls(
        protocol: Protocol,
        name: &'a ClientName,
        ahead: Ahead,
        output: &mut Output,
    ) -> Self {
        let awaited = Awaited::new();
        let mut opening = Self { protocol, name, awaited, names: Vec::new(), ahead_at: None, result: None };
        opening.say(Command::Hello(protocol, name), Expected::Hello, output);
        opening.ahead_at = ahead.queue(output);
        opening
    }

    /// Whether something was said that is not answered yet.
    pub(crate) fn awaits_answers(&self) -> bool {
        !self.awaited.is_empty() || self.ahead_at.is_some()
    }

    /// Who the server is, or why there is no session.
    pub(crate) fn finish(self) -> Result<Introduced, Verdict> {
        let unfinished = || Verdict::Broken {
            stage: Stage::Greeting,
            why: Interruption::Disconnected,
            may_have_arrived: false,
        };
        let (names, ahead_at) = (self.names, self.ahead_at);
        let introduced = |capabilities| Introduced { capabilities, names, ahead_at };
        self.result.unwrap_or_else(|| Err(unfinished())).map(introduced)
    }

    fn say(&mut self, command: Command<'_>, expected: Expected, output: &mut Output) {
        command.write(output);
        self.awaited.expect(expected, output);
    }

    fn completed(&mut self, expected: Expected, reply: &Reply, output: &mut Output) {
        self.names.extend(server_name(reply));
        match expected {
            // EHLO was said before
            Expected::Greeting if !self.awaited.is_empty() => {}
            Expected::Greeting => {
                self.say(Command::Hello(self.protocol, self.name), Expected::Hello, output);
            }
            Expected::Hello => self.result = Some(Ok(Capabilities::read(reply))),
            Expected::Helo => self.result = Some(Ok(Capabilities::default())),
        }
    }

    fn refused(&mut self, expected: Expected, reply: Reply, output: &mut Output) {
        let may_greet_otherwise = self.protocol == Protocol::Smtp && self.ahead_at.is_none();
        if expected == Expected::Hello && may_greet_otherwise && is_hello_unknown(&reply) {
            return self.say(Command::Helo(self.name), Expected::Helo, output);
        }
        self.result = Some(Err(Verdict::Refused(expected.stage(), reply.without_enhanced())));
    }

    fn break_off(&mut self, stage: Stage, why: Interruption) {
        self.result = Some(Err(Verdict::Broken { stage, why, may_have_arrived: false }));
    }

    fn stage(&self) -> Stage {
        self.awaited.next().map_or(Stage::Hello, Expected::stage)
    }
}

/// The first word of the first line.
fn server_name(reply: &Reply) -> Option<DnsName> {
    let line = reply.text().next()?;
    DnsName::parse(line.split_whitespace().next()?).ok()
}

impl Machine for Opening<'_> {
    fn poll(&mut self, _output: &mut Output) -> Need {
        match self.result {
            Some(_) => Need::Nothing,
            None => Need::Io(self.stage()),
        }
    }

    fn handle_reply(&mut self, reply: Reply, output: &mut Output) {
        let Some(expected) = self.awaited.take(output) else {
            if reply.code() == ReplyCode::SERVICE_CLOSING {
                self.result = Some(Err(Verdict::Refused(self.stage(), reply.without_enhanced())));
                return;
            }
            return self.break_off(self.stage(), ProtocolError::Unsolicited(reply).into());
        };
        match reply.class() {
            ReplyClass::Completed => self.completed(expected, &reply, output),
            ReplyClass::Transient | ReplyClass::Permanent => self.refused(expected, reply, output),
            ReplyClass::Intermediate | ReplyClass::Undefined => {
                self.break_off(expected.stage(), ProtocolError::Unexpected(reply).into());
            }
        }
    }

    fn handle_content(&mut self, _piece: Option<Bytes>, _output: &mut Output) {}

    fn handle_interruption(&mut self, why: Interruption, output: &mut Output) {
        output.clear();
        self.break_off(self.stage(), why);
    }
}
