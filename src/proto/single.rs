//! [`Single`]: one command and its reply, outside a transaction: RSET, QUIT.

use bytes::Bytes;

use super::command::Command;
use super::machine::{Awaited, Interruption, Machine, Need};
use super::output::Output;
use super::reply::{Reply, ReplyClass};
use super::stage::Stage;

/// Sends one command and waits for its reply; whatever goes wrong is no more than "not done".
#[derive(Debug)]
pub(crate) struct Single {
    stage: Stage,
    awaited: Awaited<()>,
    reply: Option<Reply>,
}

impl Single {
    /// RSET (RFC 5321 section 4.1.1.5): ends a transaction that was not completed.
    pub(crate) fn reset(output: &mut Output) -> Self {
        Self::new(Command::Rset, Stage::Reset, output)
    }

    /// QUIT (RFC 5321 section 4.1.1.10).
    pub(crate) fn quit(output: &mut Output) -> Self {
        Self::new(Command::Quit, Stage::Quit, output)
    }

    fn new(command: Command<'_>, stage: Stage, output: &mut Output) -> Self {
        let mut awaited = Awaited::new();
        command.write(output);
        awaited.expect((), output);
        Self { stage, awaited, reply: None }
    }

    /// Whether the server did it.
    pub(crate) fn is_done(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| reply.class() == ReplyClass::Completed)
    }
}

impl Machine for Single {
    fn poll(&mut self, _output: &mut Output) -> Need {
        if self.awaited.is_empty() { Need::Nothing } else { Need::Io(self.stage) }
    }

    fn handle_reply(&mut self, reply: Reply, output: &mut Output) {
        if self.awaited.take(output).is_some() {
            self.reply = Some(reply);
        }
        self.awaited.clear();
    }

    fn handle_content(&mut self, _piece: Option<Bytes>, _output: &mut Output) {}

    fn handle_interruption(&mut self, _why: Interruption, output: &mut Output) {
        output.clear();
        self.awaited.clear();
    }
}
