//! What the machines of this floor have in common: how they are driven, and replies tied to commands.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use super::output::Output;
use super::reply::{Reply, ReplyClass, ReplyCode};
use super::reply_parser::ReplyError;
use super::stage::Stage;

/// A part of a dialogue. Whoever drives it asks [`Machine::poll`], does what it needs, and hands in what
/// came of it, until it needs nothing.
pub(crate) trait Machine {
    /// Queues what may be sent now and says what is needed next.
    fn poll(&mut self, output: &mut Output) -> Need;

    /// Takes in the next reply if of it no more than the code is of use; `false` if it is not taken. What is taken does
    /// not end the machine, which need not be asked before the next one.
    fn handle_code(&mut self, _code: ReplyCode, _output: &mut Output) -> bool {
        false
    }

    /// Called after a wait for input or output: others may have got into line meanwhile.
    fn resume(&mut self) {}

    /// Whether there is more to be queued since it was polled, not by what the server said; whoever waits for input and
    /// output is woken when there is.
    fn listen(&mut self, _waker: &Waker) -> bool {
        false
    }

    /// Whether it queues nothing more, and awaits the same, until a reply comes: it need not be asked after each write.
    fn only_awaits_replies(&self) -> bool {
        false
    }

    /// Takes in the next reply. The octets in `output` that were written tell whether it can be an answer.
    fn handle_reply(&mut self, reply: Reply, output: &mut Output);

    /// Takes in the next piece of the content, or its end.
    fn handle_content(&mut self, piece: Option<Bytes>, output: &mut Output);

    /// Takes in that the dialogue cannot go on. Nothing that waits in `output` is sent any more.
    fn handle_interruption(&mut self, why: Interruption, output: &mut Output);

    /// Returns `true` if any input is surplus now: nothing that was written awaits a reply, and no content is on its way.
    ///
    /// If a part of a reply has been read, the driver calls this before it writes.
    fn rejects_input(&self, _output: &Output) -> bool {
        false
    }

    /// Returns `true` if no other machine awaits replies on the connection, so that all input left at the end is surplus.
    fn owns_input(&self) -> bool {
        false
    }

    /// Handles input that is left after the last reply that was due.
    fn handle_surplus(&mut self, _surplus: &SurplusInput) {}
}

/// Input that is left where no reply is due.
#[derive(Debug, Default)]
pub(crate) struct SurplusInput {
    /// The last complete reply, if it is 421.
    pub(crate) notice: Option<Reply>,
    /// Codes of the complete replies, in order. An incomplete refusal adds 400 or 500.
    pub(crate) codes: Vec<ReplyCode>,
    /// `true` if other input follows the complete replies.
    pub(crate) is_garbled: bool,
    /// `true` if there is nothing but the beginning of a 421.
    pub(crate) is_begun_notice: bool,
}

impl SurplusInput {
    /// Returns `true` for a single 421, by which the server may close the connection at any time (RFC 5321 section 3.8).
    pub(crate) fn is_notice(&self) -> bool {
        self.is_begun_notice || !self.is_garbled && self.codes == [ReplyCode::SERVICE_CLOSING]
    }
}

/// What a machine needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A piece of the content.
    Content,
    /// That octets go out or come in, within the time of the stage.
    Io(Stage),
    /// Nothing: it has ended.
    Nothing,
}

/// Why a dialogue cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Interruption {
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Disconnected,
    /// Reading or writing failed.
    #[error("the connection broke")]
    Io(#[source] Arc<io::Error>),
    /// The time of the stage was over.
    #[error("the server did not answer in time")]
    TimedOut,
    /// The time of the whole session was over.
    #[error("the session took too long")]
    SessionTimedOut,
    /// The server does not keep to the protocol.
    #[error("the server broke the protocol")]
    Protocol(#[from] ProtocolError),
    /// The content could not be read; nothing that was sent of it is complete.
    #[error("cannot read the content of the message")]
    Content(#[source] Arc<io::Error>),
}

impl Interruption {
    /// The same with at most `max` octets of a reply's text.
    pub(super) fn shortened(self, max: usize) -> Self {
        self.map_reply(|reply| reply.shortened(max))
    }

    /// Changes the reply, if it carries one.
    pub(super) fn map_reply(self, change: impl FnOnce(Reply) -> Reply) -> Self {
        match self {
            Self::Protocol(error) => Self::Protocol(error.map_reply(change)),
            other => other,
        }
    }
}

/// How a server broke the protocol.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Octets that are no reply.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// A line that is not a reply. Contains its text, escaped.
    #[error("a line that is not a reply: \"{0}\"")]
    NoReply(String),
    /// A reply before the command that it could answer was sent.
    #[error("a reply that nothing asked for")]
    Unsolicited(Reply),
    /// A reply whose code has no meaning at that point.
    #[error("a reply with a code that has no meaning here")]
    Unexpected(Reply),
    /// More replies than commands. Any of the replies may be the surplus one.
    #[error("more replies than commands")]
    Surplus,
}

impl ProtocolError {
    /// Changes the reply, if it carries one.
    pub(crate) fn map_reply(self, change: impl FnOnce(Reply) -> Reply) -> Self {
        match self {
            Self::Unsolicited(reply) => Self::Unsolicited(change(reply)),
            Self::Unexpected(reply) => Self::Unexpected(change(reply)),
            Self::Reply(ReplyError::MixedCodes(reply)) => ReplyError::MixedCodes(change(reply)).into(),
            Self::Reply(_) | Self::NoReply(_) | Self::Surplus => self,
        }
    }

    /// Returns `true` if the reply may belong to another command.
    pub(crate) fn is_of_another_command(&self) -> bool {
        match self {
            Self::Unsolicited(_) | Self::Surplus => true,
            Self::Unexpected(reply) => reply.class() != ReplyClass::Undefined,
            Self::Reply(_) | Self::NoReply(_) => false,
        }
    }

    /// Returns the reply that breaks the protocol, if it is one.
    pub(crate) fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Unsolicited(reply)
            | Self::Unexpected(reply)
            | Self::Reply(ReplyError::MixedCodes(reply)) => Some(reply),
            Self::Reply(_) | Self::NoReply(_) | Self::Surplus => None,
        }
    }
}

/// Replies that are due, oldest first. Each is tied to the place in the stream at which its command ends, so
/// that a reply which comes before that was written is known not to answer it.
#[derive(Debug)]
pub(crate) struct Awaited<A>(VecDeque<(u64, A)>);

impl<A: Copy> Awaited<A> {
    pub(crate) fn new() -> Self {
        Self(VecDeque::new())
    }

    /// With room for as many as are due at once, as far as is known.
    pub(crate) fn with_room(count: usize) -> Self {
        Self(VecDeque::with_capacity(count))
    }

    /// Notes that the command queued last is to be answered.
    pub(crate) fn expect(&mut self, what: A, output: &Output) {
        self.0.push_back((output.end(), what));
    }

    /// Notes that a command that was sent before all others, up to this place in the stream, is to be answered.
    pub(crate) fn expect_first(&mut self, end: u64, what: A) {
        self.0.push_front((end, what));
    }

    /// Moves all places, for a stream in which `base` octets stand in front.
    pub(crate) fn shift(&mut self, base: u64) {
        self.0.iter_mut().for_each(|(place, _)| *place += base);
    }

    /// What the reply that just came answers; `None` if it answers nothing.
    #[inline]
    pub(crate) fn take(&mut self, output: &Output) -> Option<A> {
        let (_, what) = self.first().filter(|(end, _)| *end <= output.heard_at())?;
        self.0.pop_front();
        Some(what)
    }

    /// Returns `true` if a reply is due to something that was written.
    pub(crate) fn is_due(&self, output: &Output) -> bool {
        self.first().is_some_and(|(end, _)| end <= output.written())
    }

    /// What is answered next.
    pub(crate) fn next(&self) -> Option<A> {
        self.first().map(|(_, what)| what)
    }

    /// What is answered next, and where its command ends.
    #[inline]
    pub(crate) fn first(&self) -> Option<(u64, A)> {
        self.0.front().copied()
    }

    /// All that is awaited, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = A> {
        self.0.iter().map(|(_, what)| *what)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_2_check_043_a_reply_that_began_before_its_command_was_written_answers_nothing() {
        let (mut awaited, mut output) = (Awaited::new(), Output::default());
        output.put(b"DATA\r\n");
        awaited.expect('d', &output);
        output.advance(6);
        output.hear_at(5);
        assert_eq!(awaited.take(&output), None);
        output.hear_at(6);
        assert_eq!(awaited.take(&output), Some('d'));
    }

    #[test]
    fn attack_a22_a_reply_before_its_command_was_written_answers_nothing() {
        let (mut awaited, mut output) = (Awaited::new(), Output::default());
        output.put(b"MAIL\r\n");
        awaited.expect('m', &output);
        output.put(b"RCPT\r\n");
        awaited.expect('r', &output);
        output.advance(5);
        assert_eq!(awaited.take(&output), None);
        output.advance(1);
        assert_eq!(awaited.take(&output), Some('m'));
        assert_eq!(awaited.take(&output), None);
        output.advance(6);
        assert_eq!((awaited.take(&output), awaited.take(&output)), (Some('r'), None));
    }
}
