//! One message to some recipients: MAIL, RCPT, DATA, content, verdicts (RFC 5321 section 3.3, RFC 2033
//! section 4.2, RFC 2920). BDAT belongs beside DATA.

mod places;
mod temporary;

use bytes::Bytes;

use super::capabilities::{Capabilities, SizeLimit};
use super::command::{Command, MailParameters, Requests};
use super::content::DotStuffing;
use super::machine::{Awaited, Interruption, Machine, Need, ProtocolError};
use super::output::Output;
use super::protocol::Protocol;
use super::reply::{Reply, ReplyClass, ReplyCode};
use super::stage::Stage;
use super::verdict::{Missing, Verdict};
use crate::mail::{ContentFacts, Envelope, Recipient, ReversePath};

/// Octets of commands that are queued at once; more follow as these go out.
const GROUP: usize = 16 * 1024;
/// Octets of content that are queued at once.
const CONTENT: usize = 64 * 1024;

/// Octets of a text line without its end (RFC 5321 section 4.5.3.1.6).
const MAX_LINE: u64 = 998;

/// What is known of the server and decided by the host about a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) protocol: Protocol,
    pub(crate) capabilities: Capabilities,
    /// Whether commands may go out in groups, if the server offers it.
    pub(crate) pipelining: bool,
    pub(crate) chunking: bool,
    pub(crate) one_flight: usize,
    /// Whether octets above 127 are sent to a server that does not offer 8BITMIME.
    pub(crate) eight_bit_clean: bool,
    /// Whether messages with lines of more than 998 octets are not sent.
    pub(crate) refuse_long_lines: bool,
    /// Whether the client has logged in, so that a server may take the sender for somebody it knows.
    pub(crate) authenticated: bool,
    /// Octets of text kept of a reply.
    pub(crate) kept_text: usize,
}

/// A transaction. Every recipient has exactly one slot from the beginning to the end.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    terms: Terms,
    envelope: &'a Envelope,
    parameters: MailParameters<'a>,
    recipients: &'a [&'a Recipient],
    slots: Vec<Slot>,
    awaited: Awaited<Expected>,
    progress: Progress,
    /// Whether MAIL was refused.
    refused: bool,
    /// Recipients that were accepted, whatever became of the message.
    accepted: usize,
    /// The place in the stream behind the end of the content, once that is queued.
    end_of_content: Option<u64>,
    pub(super) ending: Ending,
}

#[derive(Debug)]
enum Slot {
    /// Nothing was said yet.
    Open,
    /// RCPT was accepted, the content was not judged yet.
    Accepted,
    Closed(Verdict),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The reply to a RSET that was sent before the transaction.
    Reset,
    Mail,
    Rcpt(usize),
    Data,
    /// The reply to the content, for all accepted recipients.
    Final,
    /// The reply to the content for one recipient.
    FinalOf(usize),
    /// The reply to a dot that nobody is to get.
    LoneDot,
}

/// What is to be sent next.
#[derive(Debug)]
enum Progress {
    Mail,
    /// RCPT for the recipient of this index.
    Rcpt(usize),
    Data,
    /// Content, once DATA was answered.
    Content(DotStuffing),
    /// Nothing more: replies are awaited, or none.
    Sent,
}

/// In which state the transaction leaves the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The content was answered: another MAIL may follow.
    Complete,
    /// RSET is due before another MAIL.
    Aborted,
    /// The connection is of no more use, not even for QUIT.
    Unusable,
}

impl<'a> Transaction<'a> {
    /// Recipients that the server cannot serve have their verdict at once and are not sent.
    pub(crate) fn new(
        terms: Terms,
        envelope: &'a Envelope,
        recipients: &'a [&'a Recipient],
        facts: &ContentFacts,
    ) -> Self {
        let slots: Vec<_> =
            recipients.iter().map(|recipient| slot(&terms, envelope, recipient, facts)).collect();
        let served = recipients.iter().zip(&slots).filter(|(_, slot)| matches!(slot, Slot::Open));
        let ascii =
            envelope.reverse_path().is_ascii() && served.clone().all(|(recipient, _)| recipient.is_ascii());
        let progress = if served.count() == 0 { Progress::Sent } else { Progress::Mail };
        let parameters = parameters(&terms, envelope, facts, ascii);
        let (awaited, ending) = (Awaited::new(), Ending::Complete);
        Self {
            terms,
            envelope,
            parameters,
            recipients,
            slots,
            awaited,
            progress,
            refused: false,
            accepted: 0,
            end_of_content: None,
            ending,
        }
    }

    /// One verdict a recipient, in their order, and what is left of the session.
    pub(crate) fn finish(self) -> (Vec<Verdict>, Ending) {
        let verdicts = self.slots.into_iter().map(|slot| match slot {
            Slot::Closed(verdict) => verdict,
            Slot::Open | Slot::Accepted => unanswered(),
        });
        (verdicts.collect(), self.ending)
    }

    /// Recipients that the server accepted, whatever became of the message.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted
    }

    fn lock_step(&self) -> bool {
        !(self.terms.pipelining && self.terms.capabilities.pipelining)
    }

    fn may_send(&self, output: &Output) -> bool {
        (self.awaited.is_empty() || !self.lock_step()) && output.len() < GROUP
    }

    /// Sends one command; `false` if none is to be sent now.
    fn send_next(&mut self, output: &mut Output) -> bool {
        match self.progress {
            Progress::Mail => self.send_mail(output),
            Progress::Rcpt(index) => self.send_rcpt(index, output),
            Progress::Data => self.send_data(output),
            Progress::Content(_) | Progress::Sent => return false,
        }
        true
    }

    fn send_mail(&mut self, output: &mut Output) {
        Command::Mail(self.envelope.reverse_path(), self.parameters).write(output);
        self.awaited.expect(Expected::Mail, output);
        self.ending = Ending::Aborted;
        self.progress = Progress::Rcpt(0);
    }

    fn send_rcpt(&mut self, index: usize, output: &mut Output) {
        let next = (index..self.slots.len()).find(|index| matches!(self.slots[*index], Slot::Open));
        let Some(next) = next.filter(|_| !self.refused) else {
            self.progress = Progress::Data;
            return;
        };
        Command::Rcpt(self.recipients[next], self.requests()).write(output);
        self.awaited.expect(Expected::Rcpt(next), output);
        self.progress = Progress::Rcpt(next + 1);
    }

    fn requests(&self) -> Requests {
        match (self.terms.capabilities.dsn, self.envelope.reverse_path()) {
            (false, _) => Requests::None,
            (true, ReversePath::Null) => Requests::NeverOnly,
            (true, ReversePath::Mailbox(_)) => Requests::All,
        }
    }

    /// DATA goes out with the recipients before it unless it is known already that none of them is accepted.
    fn send_data(&mut self, output: &mut Output) {
        self.progress = Progress::Sent;
        if self.slots.iter().all(|slot| matches!(slot, Slot::Closed(_))) {
            return;
        }
        Command::Data.write(output);
        self.awaited.expect(Expected::Data, output);
    }

    fn answer(&mut self, expected: Expected, reply: Reply, output: &mut Output) {
        match (expected, reply.class()) {
            (Expected::LoneDot, _) => self.ending = Ending::Complete,
            (Expected::Reset, ReplyClass::Completed) => {}
            (Expected::Reset, _) => self.unexpected(expected.stage(), reply, output),
            (_, ReplyClass::Undefined) => self.unexpected(expected.stage(), reply, output),
            (Expected::Mail, ReplyClass::Completed) => {}
            (Expected::Mail, ReplyClass::Transient | ReplyClass::Permanent) => self.mail_refused(reply),
            (Expected::Rcpt(_), _) if self.refused => {}
            (Expected::Rcpt(index), ReplyClass::Completed) => self.accept(index),
            (Expected::Rcpt(index), ReplyClass::Transient | ReplyClass::Permanent) => {
                self.close(index, Verdict::Refused(Stage::RcptTo, reply));
            }
            (Expected::Data, ReplyClass::Intermediate) if reply.code() == ReplyCode::START_CONTENT => {
                self.start_content(output);
            }
            (Expected::Data, ReplyClass::Transient | ReplyClass::Permanent) => {
                self.close_rest(|| Verdict::Refused(Stage::Data, reply.clone()));
            }
            (Expected::Final, ReplyClass::Completed) => self.accepted_by_all(&reply),
            (Expected::Final, ReplyClass::Transient | ReplyClass::Permanent) => {
                self.ending = Ending::Complete;
                self.close_rest(|| Verdict::Refused(Stage::Final, reply.clone()));
            }
            (Expected::FinalOf(index), ReplyClass::Completed) => {
                self.final_of(index, Verdict::Delivered(reply))
            }
            (Expected::FinalOf(index), ReplyClass::Transient | ReplyClass::Permanent) => {
                self.final_of(index, Verdict::Refused(Stage::Final, reply));
            }
            (_, ReplyClass::Completed | ReplyClass::Intermediate) => {
                self.unexpected(expected.stage(), reply, output)
            }
        }
    }

    fn accept(&mut self, index: usize) {
        self.slots[index] = Slot::Accepted;
        self.accepted += 1;
    }

    /// The replies to RCPT and DATA that are still due say nothing about the recipients any more.
    fn mail_refused(&mut self, reply: Reply) {
        self.refused = true;
        self.close_rest(|| Verdict::Refused(Stage::MailFrom, reply.clone()));
    }

    fn start_content(&mut self, output: &mut Output) {
        if self.has_accepted() {
            self.progress = Progress::Content(DotStuffing::new());
            return;
        }
        // RFC 2920 section 3.1: 354 to a DATA that went out in the group with refused recipients
        output.put(b".\r\n");
        match self.terms.protocol {
            Protocol::Smtp => self.awaited.expect(Expected::LoneDot, output),
            // RFC 2033 section 4.2: no accepted recipient, no reply; whether all servers agree is not known
            Protocol::Lmtp => self.ending = Ending::Unusable,
        }
    }

    fn end_content(&mut self, stuffing: DotStuffing, output: &mut Output) {
        stuffing.finish(output);
        self.end_of_content = Some(output.end());
        let accepted = (0..self.slots.len()).filter(|index| matches!(self.slots[*index], Slot::Accepted));
        match self.terms.protocol {
            Protocol::Smtp => self.awaited.expect(Expected::Final, output),
            Protocol::Lmtp => {
                accepted.for_each(|index| self.awaited.expect(Expected::FinalOf(index), output))
            }
        }
    }

    fn accepted_by_all(&mut self, reply: &Reply) {
        self.ending = Ending::Complete;
        self.close_rest(|| Verdict::Delivered(reply.clone()));
    }

    fn final_of(&mut self, index: usize, verdict: Verdict) {
        self.close(index, verdict);
        if self.awaited.is_empty() {
            self.ending = Ending::Complete;
        }
    }

    /// A reply while nothing that was sent waits for one. A refusal of the content ahead of its end counts and
    /// the content is never ended; anything else is against the protocol.
    fn unasked(&mut self, reply: Reply, output: &mut Output) {
        if reply.code() == ReplyCode::SERVICE_CLOSING {
            let stage = self.stage(output);
            self.close_rest(|| Verdict::Refused(stage, reply.clone()));
            return self.abandon(output);
        }
        let amid_content = matches!(self.progress, Progress::Content(_)) || self.end_of_content.is_some();
        match reply.class() {
            ReplyClass::Transient | ReplyClass::Permanent if amid_content => {
                self.abandon(output);
                self.close_rest(|| Verdict::Refused(Stage::Content, reply.clone()));
            }
            _ => self.break_off(self.stage(output), ProtocolError::Unsolicited(reply).into(), output),
        }
    }

    /// 421 is the answer to all that is open. With LMTP each recipient has its own reply to the content: whoever has
    /// none yet may have the message (law 3).
    fn closing(&mut self, expected: Expected, reply: Reply, output: &mut Output) {
        if let Expected::FinalOf(index) = expected {
            self.close(index, Verdict::Refused(Stage::Final, reply));
            return self.break_off(Stage::Final, Interruption::Disconnected, output);
        }
        self.close_rest(|| Verdict::Refused(expected.stage(), reply.clone()));
        self.abandon(output);
    }

    fn unexpected(&mut self, stage: Stage, reply: Reply, output: &mut Output) {
        self.break_off(stage, ProtocolError::Unexpected(reply).into(), output);
    }

    fn break_off(&mut self, stage: Stage, why: Interruption, output: &mut Output) {
        let may_have_arrived = self.end_of_content.is_some_and(|end| end <= output.written());
        self.close_rest(|| Verdict::Broken { stage, why: why.clone(), may_have_arrived });
        self.abandon(output);
    }

    /// Nothing more goes out, above all no end of the content.
    fn abandon(&mut self, output: &mut Output) {
        output.clear();
        self.awaited.clear();
        self.progress = Progress::Sent;
        self.ending = Ending::Unusable;
    }

    fn close(&mut self, index: usize, verdict: Verdict) {
        self.slots[index] = Slot::Closed(verdict.shortened(self.terms.kept_text));
    }

    fn close_rest(&mut self, verdict: impl Fn() -> Verdict) {
        for index in 0..self.slots.len() {
            if !matches!(self.slots[index], Slot::Closed(_)) {
                self.close(index, verdict());
            }
        }
    }

    fn has_accepted(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Accepted))
    }

    fn stage(&self, output: &Output) -> Stage {
        let unwritten = self.end_of_content.is_some_and(|end| end > output.written());
        match self.awaited.next() {
            Some(expected) if !unwritten => expected.stage(),
            _ => Stage::Content,
        }
    }
}

impl Machine for Transaction<'_> {
    fn poll(&mut self, output: &mut Output) -> Need {
        while self.may_send(output) && self.send_next(output) {}
        match self.progress {
            Progress::Content(_) if output.len() < CONTENT => Need::Content,
            Progress::Content(_) => Need::Io(Stage::Content),
            _ if self.awaited.is_empty() && output.is_empty() => Need::Nothing,
            _ => Need::Io(self.stage(output)),
        }
    }

    fn handle_reply(&mut self, reply: Reply, output: &mut Output) {
        let Some(expected) = self.awaited.take(output) else {
            return self.unasked(reply, output);
        };
        if reply.code() == ReplyCode::SERVICE_CLOSING {
            return self.closing(expected, reply, output);
        }
        self.answer(expected, reply, output);
    }

    fn handle_content(&mut self, piece: Option<Bytes>, output: &mut Output) {
        let Progress::Content(stuffing) = &mut self.progress else { return };
        if let Some(piece) = piece {
            return stuffing.piece(piece, output);
        }
        if let Progress::Content(stuffing) = std::mem::replace(&mut self.progress, Progress::Sent) {
            self.end_content(stuffing, output);
        }
    }

    fn handle_interruption(&mut self, why: Interruption, output: &mut Output) {
        self.break_off(self.stage(output), why, output);
    }
}

impl Expected {
    fn stage(self) -> Stage {
        match self {
            Self::Reset | Self::Mail => Stage::MailFrom,
            Self::Rcpt(_) => Stage::RcptTo,
            Self::Data => Stage::Data,
            Self::Final | Self::FinalOf(_) | Self::LoneDot => Stage::Final,
        }
    }
}

fn slot(terms: &Terms, envelope: &Envelope, recipient: &Recipient, facts: &ContentFacts) -> Slot {
    let missing = missing(terms, envelope, recipient, facts);
    missing.map_or(Slot::Open, |missing| Slot::Closed(Verdict::Unsupported(missing)))
}

fn missing(
    terms: &Terms,
    envelope: &Envelope,
    recipient: &Recipient,
    facts: &ContentFacts,
) -> Option<Missing> {
    let offered = &terms.capabilities;
    let mailboxes = recipient.is_ascii() && envelope.reverse_path().is_ascii();
    if !mailboxes && !offered.smtp_utf8 {
        return Some(Missing::Utf8Mailbox);
    }
    if facts.utf8_header && !offered.smtp_utf8 && !terms.eight_bit_clean {
        return Some(Missing::Utf8Header);
    }
    if facts.nul {
        return Some(Missing::BinaryMime);
    }
    if facts.eight_bit && !offered.eight_bit_mime && !terms.eight_bit_clean {
        return Some(Missing::EightBitMime);
    }
    if terms.refuse_long_lines && facts.longest_line > MAX_LINE {
        return Some(Missing::ShortLines { longest: facts.longest_line });
    }
    match offered.size {
        Some(SizeLimit::Octets(limit)) if facts.size > limit => {
            Some(Missing::Size { limit, size: facts.size })
        }
        _ => None,
    }
}

fn parameters<'a>(
    terms: &Terms,
    envelope: &'a Envelope,
    facts: &ContentFacts,
    ascii: bool,
) -> MailParameters<'a> {
    let offered = &terms.capabilities;
    let dsn = offered.dsn;
    MailParameters {
        size: offered.size.map(|_| facts.size),
        eight_bit: facts.eight_bit && offered.eight_bit_mime,
        no_identity: terms.authenticated && !offered.auth.is_empty(),
        smtp_utf8: offered.smtp_utf8 && (!ascii || facts.utf8_header),
        // RFC 3461 section 6.1: a notification asks for none
        ret: envelope.ret().filter(|_| dsn && *envelope.reverse_path() != ReversePath::Null),
        envelope_id: envelope.envelope_id().filter(|_| dsn),
    }
}

/// What a recipient gets whose machine was given up before its end.
fn unanswered() -> Verdict {
    Verdict::Broken { stage: Stage::MailFrom, why: Interruption::Disconnected, may_have_arrived: false }
}
