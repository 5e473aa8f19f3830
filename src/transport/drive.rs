//! [`Link`]: a stream with the buffers that a dialogue needs, and the loop that runs a machine over it.

mod octets;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::alarm::{Alarm, after};
use super::timeouts::Timeouts;
use crate::escape;
use crate::mail::ContentReader;
use crate::observer::Reporter;
use crate::proto::{
    Heard, Input, Interruption, Machine, Need, Output, ProtocolError, Redaction, Reply, ReplyClass,
    ReplyError, ReplyLimits, ReplyParser, SpokenLine, Stage,
};

/// Octets of content that wait together with its end whatever is in them.
const SMALL: usize = 16 * 1024;
/// Maximum number of bytes of an incomplete reply, or of a line that is not a reply, that a failure shows.
const MAX_SHOWN: usize = 300;

/// A stream and what was read from it or is to be written to it.
pub(crate) struct Link<S> {
    stream: S,
    input: Input,
    /// How much was written when the reply that is coming began to come, and when octets came last.
    began_at: u64,
    read_at: u64,
    pub(crate) output: Output,
    parser: ReplyParser,
    flushed: bool,
    /// Why nothing can be written any more.
    broken: Option<io::Error>,
    reporter: Reporter,
    /// What is taken out of replies.
    redaction: Redaction,
    /// Octets that are kept of a reply's text.
    kept_text: usize,
    /// When everything on it must be over, and when what is awaited now.
    ends: Option<Instant>,
    deadline: Option<Instant>,
    alarm: Alarm,
    /// A 421 reply that came behind the last reply that was due.
    notice: Option<Reply>,
    /// Whether it was looked for octets a moment ago, and nothing was there.
    is_looked_at: bool,
}

/// What one step of input and output brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Read,
    Wrote,
    Closed,
    /// There is more to be written.
    More,
}

/// A step, and whether time passed meanwhile.
#[derive(Debug, Clone, Copy)]
struct Passed {
    step: Step,
    waited: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(crate) fn new(stream: S, limits: ReplyLimits, ends: Option<Instant>, reporter: Reporter) -> Self {
        let (input, mut output) = (Input::default(), Output::default());
        if reporter.is_heard() {
            output.keep_journal();
        }
        Self {
            stream,
            input,
            began_at: 0,
            read_at: 0,
            output,
            parser: ReplyParser::new(limits),
            flushed: true,
            broken: None,
            reporter,
            redaction: Redaction::default(),
            kept_text: limits.kept_text,
            ends,
            deadline: None,
            alarm: Alarm::default(),
            notice: None,
            is_looked_at: false,
        }
    }

    /// The stream, without what was read from it or is to be written to it.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// When everything on it must be over.
    pub(crate) fn end_at(&mut self, ends: Option<Instant>) {
        self.ends = ends;
    }

    /// From now on replies are rid of this too.
    pub(crate) fn redact(&mut self, redaction: &Redaction) {
        self.redaction.extend(redaction);
    }

    /// Runs a machine until it needs nothing. Whatever goes wrong is handed to the machine.
    ///
    /// Dropping the future leaves octets behind that were not sent: the link is of no use then.
    pub(crate) async fn run(
        &mut self,
        machine: &mut (dyn Machine + Send),
        timeouts: &Timeouts,
        mut content: Option<ContentReader<'_>>,
    ) {
        while let Err(why) = self.run_on(machine, timeouts, &mut content).await {
            machine.handle_interruption(why, &mut self.output);
        }
        if machine.owns_input() {
            self.hand_over_surplus(machine);
        }
        self.give_back();
    }

    async fn run_on(
        &mut self,
        machine: &mut (dyn Machine + Send),
        timeouts: &Timeouts,
        content: &mut Option<ContentReader<'_>>,
    ) -> Result<(), Interruption> {
        self.deadline = None;
        loop {
            let stage = match self.take_replies(machine)? {
                Need::Nothing => return Ok(()),
                Need::Content if self.broken.is_none() => {
                    let limit = timeouts.of(Stage::Content);
                    let piece = piece(content, limit, &mut self.alarm, &mut self.is_looked_at).await?;
                    self.take_piece(machine, piece, content);
                    continue;
                }
                Need::Content => Stage::Content,
                Need::Io(stage) => stage,
            };
            if self.has_partial_reply() && machine.rejects_input(&self.output) {
                let is_notice = self.parser.is_begun_notice(&self.input);
                return Err(if is_notice {
                    Interruption::Disconnected
                } else {
                    ProtocolError::Surplus.into()
                });
            }
            let passed = self.progress(machine, timeouts.of(stage)).await;
            let passed = passed.map_err(|why| self.with_partial_reply(why, stage))?;
            if passed.step == Step::Wrote {
                self.deadline = None;
            }
            if passed.waited {
                machine.resume();
            }
        }
    }

    /// Hands over the input that is left after the last reply that was due. Reads once, without waiting.
    fn hand_over_surplus(&mut self, machine: &mut (dyn Machine + Send)) {
        if self.input.is_empty() && self.broken.is_none() {
            let _ = self.look();
        }
        if let Some(surplus) = self.parser.take_surplus(&mut self.input) {
            machine.handle_surplus(&surplus);
            self.notice = surplus.notice;
        }
    }

    /// Hands over a piece of the content; behind a small one that is known to be the last also that it was.
    fn take_piece(
        &mut self,
        machine: &mut (dyn Machine + Send),
        piece: Option<bytes::Bytes>,
        content: &Option<ContentReader<'_>>,
    ) {
        let octets = piece.as_deref().unwrap_or_default();
        self.reporter.content(octets);
        let is_last =
            (1..=SMALL).contains(&octets.len()) && content.as_ref().is_some_and(ContentReader::is_at_end);
        machine.handle_content(piece, &mut self.output);
        if is_last {
            machine.handle_content(None, &mut self.output);
        }
    }

    /// Hands over the replies that are complete, and says what is needed then; replies give more time. A machine that
    /// needs nothing more is not bothered: what it left is found when the next one starts.
    fn take_replies(&mut self, machine: &mut (dyn Machine + Send)) -> Result<Need, Interruption> {
        loop {
            let need = self.poll_machine(machine);
            if need == Need::Nothing || self.input.is_empty() {
                return Ok(need);
            }
            let (next, any) = self.next_reply(machine);
            if any {
                self.deadline = None;
            }
            let Some(reply) = next.map_err(|error| self.with_malformed_line(error, need))? else {
                // what was taken by its code changed what is awaited
                return Ok(if any { self.poll_machine(machine) } else { need });
            };
            let reply = self.kept(need, self.redaction.reply(reply));
            self.hear(need, &reply);
            machine.handle_reply(reply, &mut self.output);
            self.deadline = None;
        }
    }

    fn poll_machine(&mut self, machine: &mut (dyn Machine + Send)) -> Need {
        let need = machine.poll(&mut self.output);
        if self.output.has_journal() {
            self.tell();
        }
        need
    }

    /// The next reply that is to be handed over, and whether there were others before it of which the code did. Where
    /// somebody listens the text of all of them is to be read.
    fn next_reply(
        &mut self,
        machine: &mut (dyn Machine + Send),
    ) -> (Result<Option<Reply>, ProtocolError>, bool) {
        let (is_heard, mut any) = (self.reporter.is_heard(), false);
        loop {
            self.output.hear_at(self.began_at);
            let take = |code| !is_heard && machine.handle_code(code, &mut self.output);
            let next = match self.parser.hear(&mut self.input, take) {
                Ok(Heard::Nothing) => return (Ok(None), any),
                Ok(Heard::Code) => None,
                Ok(Heard::Reply(reply)) => Some(Ok(Some(reply))),
                Err(error) => {
                    let error = ProtocolError::from(error);
                    // only a whole secret can be found and taken out
                    let kept = |reply| self.redaction.reply(reply).shortened(self.kept_text);
                    Some(Err(error.map_reply(kept)))
                }
            };
            self.began_at = self.read_at;
            if let Some(next) = next {
                return (next, any);
            }
            any = true;
        }
    }

    /// Of a reply no more than is kept of it, unless all of it is to be read.
    fn kept(&self, need: Need, reply: Reply) -> Reply {
        let to_be_read = matches!(need, Need::Io(Stage::Hello | Stage::Auth))
            && matches!(reply.class(), ReplyClass::Completed | ReplyClass::Intermediate);
        if to_be_read { reply } else { reply.shortened(self.kept_text) }
    }

    /// Tells whoever listens what was queued.
    fn tell(&mut self) {
        for line in self.output.take_journal() {
            match line {
                SpokenLine::Plain(line) => self.reporter.sent(&line),
                SpokenLine::Authentication(line) => self.reporter.authentication(&line),
            }
        }
    }

    /// Tells whoever listens what the server said; of an authentication the code only, for a server may repeat what
    /// it was sent.
    fn hear(&self, need: Need, reply: &Reply) {
        if !self.reporter.is_heard() {
            return;
        }
        match need {
            Need::Io(Stage::Auth) => self.reporter.authentication(&reply.code().to_string()),
            _ => self.reporter.received(reply),
        }
    }

    /// Reads or writes, in time: once, or for as long as the machine has nothing to say to what is written. Only what was
    /// written and complete replies give more time, octets of a reply do not. The time begins where there is something to
    /// wait for.
    async fn progress(
        &mut self,
        machine: &mut (dyn Machine + Send),
        limit: Duration,
    ) -> Result<Passed, Interruption> {
        let mut waited = false;
        poll_fn(|context| {
            while let Poll::Ready(step) = self.poll_step(context) {
                match step {
                    Ok(Step::Wrote) if machine.only_awaits_replies() => self.deadline = None,
                    step => return Poll::Ready(self.unless_over(step).map(|step| Passed { step, waited })),
                }
            }
            waited = true;
            // nothing more goes out where writing failed
            if self.broken.is_none() && machine.listen(context.waker()) {
                return Poll::Ready(Ok(Passed { step: Step::More, waited }));
            }
            let (deadline, late) = match (*self.deadline.get_or_insert_with(|| after(limit)), self.ends) {
                (deadline, Some(ends)) if ends < deadline => (ends, Interruption::SessionTimedOut),
                (deadline, _) => (deadline, Interruption::TimedOut),
            };
            self.alarm.poll(deadline, context).map(|()| Err(late))
        })
        .await
    }

    /// A step after which there may be others.
    fn unless_over(&mut self, step: io::Result<Step>) -> Result<Step, Interruption> {
        match step {
            Ok(Step::Closed) => Err(self.broken.take().map_or(Interruption::Disconnected, interruption)),
            Ok(step) => Ok(step),
            Err(error) => Err(interruption(error)),
        }
    }

    /// Adds the part of a reply that came before the server closed the connection, except in an authentication, where it may
    /// contain a secret.
    fn with_partial_reply(&self, why: Interruption, stage: Stage) -> Interruption {
        let is_shown =
            matches!(why, Interruption::Disconnected) && stage != Stage::Auth && self.has_partial_reply();
        if !is_shown {
            return why;
        }
        let partial = self.parser.partial_reply(&self.input);
        // only a whole secret can be found and taken out
        let shown = if self.redaction.is_empty() { &partial[..] } else { &partial[..partial.len().min(3)] };
        let what = format!("closed amid the reply \"{}\"", self.shown(shown));
        interruption(io::Error::new(io::ErrorKind::UnexpectedEof, what))
    }

    /// Adds the line that is not a reply, except in an authentication.
    fn with_malformed_line(&self, error: ProtocolError, need: Need) -> ProtocolError {
        match error {
            ProtocolError::Reply(ReplyError::Malformed) if need != Need::Io(Stage::Auth) => {
                let line = self.input.rest().split(|octet| *octet == b'\n').next().unwrap_or_default();
                ProtocolError::NoReply(self.shown(line.trim_ascii_end()))
            }
            other => other,
        }
    }

    /// Returns text of the server in a form that can be shown: without secrets, escaped and shortened.
    fn shown(&self, text: &[u8]) -> String {
        let shown = escape::one_line(&self.redaction.text(text));
        escape::shorten(&shown, MAX_SHOWN).to_owned()
    }

    /// Ends the use by a delivery, with its task and its time limit.
    pub(crate) fn rest(&mut self) {
        self.alarm.rest();
        self.ends = None;
    }
}

/// Shows lengths only: what was read may hold a secret.
impl<S: fmt::Debug> fmt::Debug for Link<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, input, output, .. } = self;
        write!(f, "Link({stream:?}, {} octets were read, {output:?})", input.len())
    }
}

fn interruption(error: io::Error) -> Interruption {
    Interruption::Io(Arc::new(error))
}

fn too_slow() -> Interruption {
    Interruption::Content(Arc::new(io::ErrorKind::TimedOut.into()))
}

/// The next piece of the content, in time. What is in memory is there at once; while another one is waited for the server
/// may speak.
async fn piece(
    content: &mut Option<ContentReader<'_>>,
    limit: Duration,
    alarm: &mut Alarm,
    is_looked_at: &mut bool,
) -> Result<Option<bytes::Bytes>, Interruption> {
    let Some(source) = content else { return Ok(None) };
    let (mut next, mut deadline) = (pin!(source.next()), None);
    poll_fn(|context| {
        if let Poll::Ready(piece) = next.as_mut().poll(context) {
            return Poll::Ready(piece.map_err(|error| Interruption::Content(Arc::new(error))));
        }
        *is_looked_at = false;
        let deadline = *deadline.get_or_insert_with(|| after(limit));
        alarm.poll(deadline, context).map(|()| Err(too_slow()))
    })
    .await
}
