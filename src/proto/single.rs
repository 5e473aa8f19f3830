//! [`Single`]: one command and its reply, outside a transaction: STARTTLS, RSET, QUIT.

use bytes::Bytes;

use super::command::Command;
use super::machine::{Awaited, Interruption, Machine, Need, ProtocolError};
use super::output::Output;
use super::reply::{Reply, ReplyClass};
use super::stage::Stage;
use super::verdict::Verdict;

/// Sends one command and waits for its reply.
#[derive(Debug)]
pub(crate) struct Single {
    stage: Stage,
    awaited: Awaited<()>,
    result: Option<Result<Reply, Interruption>>,
}

impl Single {
    /// STARTTLS (RFC 3207 section 4).
    pub(crate) fn start_tls(output: &mut Output) -> Self {
        Self::new(Command::StartTls, Stage::StartTls, output)
    }

    /// STARTTLS that was queued already.
    pub(crate) fn awaited_start_tls(output: &Output) -> Self {
        Self::awaited(Stage::StartTls, output)
    }

    /// RSET (RFC 5321 section 4.1.1.5): ends a transaction that was not completed.
    pub(crate) fn reset(output: &mut Output) -> Self {
        Self::new(Command::Rset, Stage::Reset, output)
    }

    /// QUIT (RFC 5321 section 4.1.1.10).
    pub(crate) fn quit(output: &mut Output) -> Self {
        Self::new(Command::Quit, Stage::Quit, output)
    }

    fn new(command: Command<'_>, stage: Stage, output: &mut Output) -> Self {
        command.write(output);
        Self::awaited(stage, output)
    }

    /// The command queued last is to be answered.
    fn awaited(stage: Stage, output: &Output) -> Self {
        let mut awaited = Awaited::new();
        awaited.expect((), output);
        Self { stage, awaited, result: None }
    }

    /// Whether the server did it.
    pub(crate) fn is_done(&self) -> bool {
        matches!(&self.result, Some(Ok(reply)) if reply.class() == ReplyClass::Completed)
    }

    /// What the server said. A code that has no meaning here is against the protocol.
    pub(crate) fn finish(self) -> Result<Reply, Verdict> {
        let why = match self.result {
            Some(Ok(reply)) if !is_sensible(&reply) => ProtocolError::Unexpected(reply).into(),
            Some(Ok(reply)) => return Ok(reply),
            Some(Err(why)) => why,
            None => Interruption::Disconnected,
        };
        Err(Verdict::Broken { stage: self.stage, why, may_have_arrived: false })
    }
}

fn is_sensible(reply: &Reply) -> bool {
    !matches!(reply.class(), ReplyClass::Intermediate | ReplyClass::Undefined)
}

impl Machine for Single {
    fn poll(&mut self, _output: &mut Output) -> Need {
        if self.awaited.is_empty() { Need::Nothing } else { Need::Io(self.stage) }
    }

    fn handle_reply(&mut self, reply: Reply, output: &mut Output) {
        self.result = Some(match self.awaited.take(output) {
            Some(()) => Ok(reply),
            None => Err(ProtocolError::Unsolicited(reply).into()),
        });
        self.awaited.clear();
    }

    fn handle_content(&mut self, _piece: Option<Bytes>, _output: &mut Output) {}

    fn handle_interruption(&mut self, why: Interruption, output: &mut Output) {
        output.clear();
        self.result = Some(Err(why));
        self.awaited.clear();
    }
}
