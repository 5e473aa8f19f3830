//! One message to some recipients: MAIL, RCPT, content by DATA or BDAT, verdicts (RFC 5321 section 3.3, RFC 2033
//! section 4.2, RFC 2920, RFC 3030).

mod failing;
mod finals;
mod places;
mod probe;

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::bdat::Bdat;
use super::chunks::{Chunks, WrongSize};
use super::command::{Command, MailParameters};
use super::content::DotStuffing;
use super::expected::Expected;
use super::machine::{Awaited, Interruption, Machine, Need, ProtocolError, SurplusInput};
use super::output::Output;
use super::protocol::Protocol;
use super::recipients::Recipients;
use super::reply::{Reply, ReplyClass, ReplyCode};
use super::slots::{Slots, Verdicts};
use super::stage::Stage;
use super::terms::Terms;
use super::verdict::Verdict;
use crate::mail::{ContentFacts, Envelope, Recipient};

/// Octets of commands that are queued at once; more follow as these go out.
const GROUP: usize = 16 * 1024;
/// Recipients for whom no room has to be made, and octets of a usual RCPT and of the longest.
const FEW: usize = 4;
const LINE: usize = 48;
const MAX_LINE: usize = 1024;
/// Recipients whose replies are due at once: commands of a group are hardly shorter than 32 octets.
const AWAITED: usize = GROUP / 32;
/// What a last line without an end is given, by BDAT as by DATA: what arrives does not depend on what a server offers.
const LINE_END: &[u8] = b"\r\n";
/// Content is asked for while fewer octets than this wait: of a file that is one block beside the one that is read.
const CONTENT: usize = 32 * 1024;
/// Octets of the largest content that is asked for whatever waits, so that it is written at once.
const SMALL: u64 = 64 * 1024;

/// A transaction. Every recipient has exactly one slot from the beginning to the end.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    terms: Terms,
    envelope: &'a Envelope,
    parameters: MailParameters<'a>,
    recipients: Recipients<'a>,
    slots: Slots,
    /// Octets of the content.
    size: u64,
    /// Whether the content goes by BDAT and its last line has no end yet.
    lacks_line_end: bool,
    awaited: Awaited<Expected>,
    progress: Progress,
    /// Whether MAIL was refused.
    refused: bool,
    /// Whether any reply came.
    heard: bool,
    /// `true` once DATA was answered by 354, which cannot be mistaken for another reply.
    had_go_ahead: bool,
    /// `true` once content by BDAT begins after all replies to MAIL and RCPT.
    chunks_waited: bool,
    fault: Option<ReplyFault>,
    bdat: Bdat,
    /// Replies that came after NOOP was sent; `None` until then.
    probe: Option<Vec<Reply>>,
    /// The place in the stream before MAIL.
    beginning: u64,
    /// The place in the stream behind the first octet of content by DATA, or behind the first BDAT.
    start_of_content: Option<u64>,
    /// The place in the stream from which a reply that is not due may be about the content. The same as the start of
    /// content, or behind a later BDAT if all chunks before it were answered. `None` between chunks.
    refusals_from: Option<u64>,
    /// The place in the stream behind the end of the content, once that is queued.
    end_of_content: Option<u64>,
    pub(super) ending: Ending,
}

/// What is to be sent next.
#[derive(Debug)]
enum Progress {
    Mail,
    /// RCPT for the recipient of this index.
    Rcpt(usize),
    /// DATA, or what stands for it.
    Data,
    /// Chunks, once all recipients were answered.
    Recipients,
    /// Content, once DATA was answered.
    Content(DotStuffing),
    /// Content by BDAT.
    Chunks(Chunks),
    /// Nothing more: replies are awaited, or none.
    Sent,
}

/// Mismatch between the replies of a server and the commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyFault {
    /// A pipelining group was not answered completely, or not with meaningful replies (RFC 2920 section 3.1).
    Group,
    /// There were more replies than commands, or a reply that belongs to another command.
    Surplus,
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
        recipients: impl Into<Recipients<'a>>,
        facts: &ContentFacts,
    ) -> Self {
        let (recipients, lacking) = (recipients.into(), terms.missing_for(envelope, facts));
        let mut ascii = envelope.reverse_path().is_ascii();
        let sender_is_ascii = ascii;
        let missing = |recipient: &Recipient| {
            let is_ascii = recipient.is_ascii();
            let missing = terms.missing(sender_is_ascii && is_ascii, lacking);
            ascii &= is_ascii || missing.is_some();
            missing
        };
        let slots = Slots::new(recipients.iter().map(missing), terms.kept_text);
        let progress = if slots.all_closed() { Progress::Sent } else { Progress::Mail };
        let parameters = terms.parameters(envelope, facts, ascii);
        let lacks_line_end = !facts.ends_line && !facts.binary && facts.size > 0;
        let (awaited, ending) = (Awaited::with_room(recipients.len().min(AWAITED) + 2), Ending::Complete);
        Self {
            terms,
            envelope,
            parameters,
            recipients,
            slots,
            size: facts.size + if lacks_line_end { LINE_END.len() as u64 } else { 0 },
            lacks_line_end,
            awaited,
            progress,
            refused: false,
            heard: false,
            had_go_ahead: false,
            chunks_waited: false,
            fault: None,
            bdat: Bdat::Unheard,
            probe: None,
            beginning: 0,
            start_of_content: None,
            refusals_from: None,
            end_of_content: None,
            ending,
        }
    }

    /// What became of the recipients, and what is left of the session.
    pub(crate) fn finish(&mut self) -> (Verdicts, Ending) {
        (self.slots.take_verdicts(), self.ending)
    }

    /// Recipients that the server accepted, whatever became of the message.
    pub(crate) fn accepted(&self) -> usize {
        self.slots.ever_accepted()
    }

    /// Whether BDAT was answered as a command that the server does not know, though it offers CHUNKING: by DATA the
    /// message may still be taken, in another session.
    pub(crate) fn chunking_unknown(&self) -> bool {
        self.bdat == Bdat::Unknown
    }

    /// Whether no reply came yet.
    #[cfg(test)]
    pub(super) fn heard_nothing(&self) -> bool {
        !self.heard
    }

    /// Returns the mismatch between replies and commands, if there was one.
    pub(crate) fn fault(&self) -> Option<ReplyFault> {
        self.fault
    }

    /// Returns `true` if each command had its reply before the next one was sent.
    pub(crate) fn is_lock_step(&self) -> bool {
        self.terms.lock_step()
    }

    /// Whether every command is queued for which no reply has to be waited for, and content may follow.
    pub(crate) fn wants_content_only(&self) -> bool {
        let queued = !matches!(self.progress, Progress::Mail | Progress::Rcpt(_) | Progress::Data);
        queued && !self.has_sent_all()
    }

    /// Returns `true` if nothing more will be queued: the end of the content is queued, or no recipient is left.
    pub(crate) fn has_sent_all(&self) -> bool {
        let more_may_follow = self.awaited.iter().any(|due| due == Expected::Data);
        matches!(self.progress, Progress::Sent) && !more_may_follow
    }

    /// Whether nothing more will be queued and no reply is due any more.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.progress, Progress::Sent) && self.awaited.is_empty()
    }

    /// Goes on in a stream in which `base` octets stand in front of what was queued so far.
    pub(crate) fn shift(&mut self, base: u64) {
        self.awaited.shift(base);
        self.beginning += base;
        self.start_of_content = self.start_of_content.map(|start| start + base);
        self.refusals_from = self.refusals_from.map(|start| start + base);
        self.end_of_content = self.end_of_content.map(|end| end + base);
    }

    fn may_send(&self, output: &Output) -> bool {
        (self.awaited.is_empty() || !self.terms.lock_step()) && output.len() < GROUP
    }

    /// Sends one command; `false` if none is to be sent now.
    fn send_next(&mut self, output: &mut Output) -> bool {
        match self.progress {
            Progress::Mail => self.send_mail(output),
            Progress::Rcpt(index) => self.send_rcpt(index, output),
            Progress::Data if self.terms.by_chunks() => self.begin_chunks(output),
            Progress::Data => self.send_data(output),
            Progress::Chunks(ref mut chunks) if chunks.is_between() => {
                let place = chunks.announce(output);
                self.start_of_content.get_or_insert(place);
                self.refusals_from.get_or_insert(place);
                self.chunk_grew(output);
            }
            Progress::Recipients | Progress::Content(_) | Progress::Chunks(_) | Progress::Sent => {
                return false;
            }
        }
        true
    }

    fn send_mail(&mut self, output: &mut Output) {
        self.beginning = output.end();
        if self.recipients.len() > FEW {
            output.reserve((self.recipients.len() * LINE).min(GROUP + MAX_LINE));
        }
        Command::Mail(self.envelope.reverse_path(), self.parameters).write(output);
        self.awaited.expect(Expected::Mail, output);
        self.ending = Ending::Aborted;
        self.progress = Progress::Rcpt(0);
    }

    fn send_rcpt(&mut self, index: usize, output: &mut Output) {
        let Some(next) = self.slots.open_from(index).filter(|_| !self.refused) else {
            self.progress = Progress::Data;
            return;
        };
        let parameters = self.terms.rcpt_parameters(self.envelope, &self.parameters);
        Command::Rcpt(self.recipients.at(next), parameters).write(output);
        self.awaited.expect(Expected::Rcpt(next), output);
        self.progress = Progress::Rcpt(next + 1);
    }

    /// DATA goes out with the recipients before it unless it is known already that none of them is accepted.
    fn send_data(&mut self, output: &mut Output) {
        self.progress = Progress::Sent;
        if self.slots.all_closed() {
            return;
        }
        Command::Data.write(output);
        self.awaited.expect(Expected::Data, output);
    }

    /// Sends a small message together with its commands if the operator allows it. RFC 3030 section 2 makes BDAT wait for the
    /// replies to RCPT: a server that refuses BDAT without reading the chunk executes the content as commands.
    fn begin_chunks(&mut self, output: &Output) {
        let one_group = output.end() - self.beginning < GROUP as u64;
        self.progress = Progress::Recipients;
        if self.terms.is_single_flight(self.size) && one_group && !self.slots.all_closed() {
            self.progress = Progress::Chunks(Chunks::new(self.size));
        }
        self.go_on_without_rcpt();
    }

    /// Once no reply to RCPT is due any more the content may begin, or nothing.
    fn go_on_without_rcpt(&mut self) {
        if !matches!(self.progress, Progress::Recipients) || !self.awaited.is_empty() {
            return;
        }
        if !self.slots.has_accepted() {
            self.progress = Progress::Sent;
            return;
        }
        self.chunks_waited = true;
        self.progress = Progress::Chunks(Chunks::new(self.size));
    }

    /// The reply to a chunk is due once it is complete; that to the last one belongs to the end of the content.
    fn chunk_grew(&mut self, output: &Output) {
        if matches!(&self.progress, Progress::Chunks(chunks) if chunks.is_between()) {
            self.awaited.expect(Expected::Chunk, output);
        }
    }

    /// The reply to a RSET in front says nothing of this transaction.
    fn hear(&mut self, expected: Expected) {
        self.heard |= expected != Expected::ResetBefore;
    }

    fn take_answer(&mut self, expected: Expected, reply: Reply, output: &mut Output) {
        self.hear(expected);
        if reply.code() == ReplyCode::SERVICE_CLOSING {
            return self.closing(expected, reply, output);
        }
        if self.goes_on(expected, reply.code()) {
            return self.go_on(expected, reply.code(), output);
        }
        match expected {
            Expected::FinalOf(_) => self.heard_lmtp_final(reply.code()),
            Expected::Chunk | Expected::Final => self.heard_of_content(reply.code()),
            _ => {}
        }
        if self.bdat == Bdat::Unknown {
            return self.bdat_unknown(expected.stage(), &reply, output);
        }
        self.answer(expected, reply, output);
        if matches!(expected, Expected::Rcpt(_)) && self.ending != Ending::Unusable {
            self.go_on_without_rcpt();
        }
    }

    /// Returns `true` if a reply with this code lets the transaction go on without a verdict. A server that refused MAIL must
    /// not accept a recipient.
    #[inline]
    fn goes_on(&self, expected: Expected, code: ReplyCode) -> bool {
        expected.goes_on_with(code) && !(self.refused && expected.is_rcpt())
    }

    /// Takes in a reply that only lets it go on.
    #[inline]
    fn go_on(&mut self, expected: Expected, code: ReplyCode, output: &mut Output) {
        match expected {
            Expected::Rcpt(index) => {
                self.slots.accept(index);
                self.go_on_without_rcpt();
            }
            Expected::Data => self.start_content(output),
            Expected::Chunk => {
                self.heard_of_content(code);
                let is_amid = matches!(&self.progress, Progress::Chunks(chunks) if chunks.is_amid());
                self.refusals_from.take_if(|_| self.awaited.is_empty() && !is_amid);
            }
            _ => {}
        }
    }

    fn answer(&mut self, expected: Expected, reply: Reply, output: &mut Output) {
        match (expected, reply.class()) {
            (Expected::LoneDot, _) => self.ending = Ending::Complete,
            (Expected::ResetBefore, _) => self.unexpected(expected.stage(), reply, output),
            (_, ReplyClass::Undefined) => self.unexpected(expected.stage(), reply, output),
            (Expected::Mail, ReplyClass::Transient | ReplyClass::Permanent) => self.mail_refused(reply),
            // a server that refused MAIL must not accept a recipient: the reply belongs to another command
            (Expected::Rcpt(_), ReplyClass::Completed) if self.refused => {
                self.unexpected(expected.stage(), reply, output);
            }
            (Expected::Rcpt(_), _) if self.refused => {}
            (Expected::Rcpt(index), ReplyClass::Transient | ReplyClass::Permanent) => {
                self.slots.close(index, Verdict::Refused(Stage::RcptTo, reply));
            }
            (Expected::Data, ReplyClass::Transient | ReplyClass::Permanent) => {
                self.data_refused(reply, output)
            }
            (Expected::Reset, ReplyClass::Completed) => self.ending = Ending::Complete,
            (Expected::Final | Expected::FinalOf(_), _) if reply.code() == ReplyCode::CLOSING_CHANNEL => {
                self.unexpected(expected.stage(), reply, output);
            }
            (Expected::Chunk, ReplyClass::Transient | ReplyClass::Permanent) => {
                self.chunk_refused(&reply, output);
            }
            (Expected::Final, ReplyClass::Completed) => self.final_of_all(Verdict::Delivered(reply)),
            (Expected::Final, ReplyClass::Transient | ReplyClass::Permanent) => {
                self.final_of_all(Verdict::Refused(Stage::Final, reply));
            }
            (Expected::FinalOf(index), ReplyClass::Completed) => {
                self.final_of(index, Verdict::Delivered(reply))
            }
            (Expected::FinalOf(index), ReplyClass::Transient | ReplyClass::Permanent) => {
                self.final_of(index, Verdict::Refused(Stage::Final, reply));
            }
            (_, ReplyClass::Completed | ReplyClass::Intermediate)
            | (Expected::Reset, ReplyClass::Transient | ReplyClass::Permanent) => {
                self.unexpected(expected.stage(), reply, output)
            }
        }
    }

    fn start_content(&mut self, output: &mut Output) {
        self.had_go_ahead = true;
        if self.slots.has_accepted() {
            self.start_of_content = Some(output.end() + 1);
            self.refusals_from = self.start_of_content;
            self.progress = Progress::Content(DotStuffing::new(self.size_by_data()));
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

    fn heard_of_content(&mut self, code: ReplyCode) {
        if self.terms.by_chunks() {
            self.bdat = self.bdat.after(code, self.slots.has_accepted());
        }
    }

    fn heard_lmtp_final(&mut self, code: ReplyCode) {
        if self.terms.by_chunks() {
            self.bdat = self.bdat.after_lmtp_final(code);
            let was_last = self.awaited.is_empty();
            if was_last {
                self.bdat = self.bdat.concluded();
            }
        }
    }

    /// Of content that is not written yet, that the server takes it is awaited and not the reply.
    fn stage(&self, output: &Output) -> Stage {
        match self.awaited.first() {
            // NOOP and RSET are quick to answer, and verdicts wait for them: they have the time limit of QUIT
            _ if self.probe.is_some() => Stage::Quit,
            Some((_, Expected::Reset)) => Stage::Quit,
            Some((end, next)) if end <= output.written() || !next.is_of_content() => next.stage(),
            Some(_) => Stage::Content,
            None => self.stage_to_come(),
        }
    }

    /// Of what is said next, where all that was said is answered: a server may speak before it is.
    fn stage_to_come(&self) -> Stage {
        match self.progress {
            Progress::Mail => Stage::MailFrom,
            Progress::Rcpt(index) if self.slots.open_from(index).is_some() => Stage::RcptTo,
            Progress::Rcpt(_) | Progress::Data if !self.terms.by_chunks() => Stage::Data,
            _ => Stage::Content,
        }
    }
}

impl Machine for Transaction<'_> {
    fn poll(&mut self, output: &mut Output) -> Need {
        if self.is_settled() && output.is_empty() {
            return Need::Nothing;
        }
        while self.may_send(output) && self.send_next(output) {}
        if let Progress::Content(stuffing) = &mut self.progress {
            stuffing.fill(output);
        }
        let has_room = output.len() < CONTENT || self.size <= SMALL;
        match &self.progress {
            Progress::Content(stuffing) if stuffing.takes_more(has_room) => Need::Content,
            Progress::Chunks(chunks) if has_room && !chunks.is_between() => Need::Content,
            Progress::Sent if self.is_settled() && output.is_empty() => Need::Nothing,
            _ => Need::Io(self.stage(output)),
        }
    }

    fn only_awaits_replies(&self) -> bool {
        // of content it matters how far it was written
        let is_of_content = self.awaited.next().is_none_or(Expected::is_of_content);
        matches!(self.progress, Progress::Sent | Progress::Recipients) && !is_of_content
    }

    fn handle_code(&mut self, code: ReplyCode, output: &mut Output) -> bool {
        let Some(expected) = self.awaited.next().filter(|expected| self.goes_on(*expected, code)) else {
            return false;
        };
        if self.awaited.take(output).is_none() {
            return false;
        }
        self.hear(expected);
        self.go_on(expected, code, output);
        true
    }

    fn handle_reply(&mut self, reply: Reply, output: &mut Output) {
        if let Some(replies) = self.probe.take() {
            return self.handle_probe_reply(replies, reply, output);
        }
        match self.awaited.take(output) {
            Some(expected) => self.take_answer(expected, reply, output),
            None => {
                self.heard = true;
                self.unasked(reply, output);
            }
        }
    }

    fn handle_content(&mut self, piece: Option<Bytes>, output: &mut Output) {
        let taken = match (&mut self.progress, piece) {
            (Progress::Content(stuffing), Some(piece)) => {
                stuffing.piece(piece, output);
                Ok(())
            }
            (Progress::Chunks(chunks), Some(piece)) => chunks.piece(piece, output),
            // it was handed over with a piece of which a part lies in another chunk, and is asked for behind that
            (Progress::Chunks(chunks), None) if chunks.is_between() => return,
            (Progress::Content(_) | Progress::Chunks(_), None) => self.content_ends(output),
            _ => return,
        };
        match taken {
            Ok(()) => self.chunk_grew(output),
            Err(error) => self.break_off(Stage::Content, wrong_size(error), output),
        }
    }

    fn handle_interruption(&mut self, why: Interruption, output: &mut Output) {
        if let Some(replies) = self.probe.take() {
            return self.end_probe(&replies, why, output);
        }
        if matches!(why, Interruption::TimedOut) && self.begin_probe(output) {
            return;
        }
        // content is read ahead of the replies
        let stage = if matches!(why, Interruption::Content(_)) { Stage::Content } else { self.stage(output) };
        self.break_off(stage, why, output);
    }

    fn rejects_input(&self, output: &Output) -> bool {
        let is_about_content = self.refusals_from.is_some_and(|start| start <= output.written());
        !is_about_content && !self.awaited.is_due(output)
    }

    fn owns_input(&self) -> bool {
        true
    }

    fn handle_surplus(&mut self, surplus: &SurplusInput) {
        self.judge_surplus(surplus);
    }
}

fn wrong_size(error: WrongSize) -> Interruption {
    Interruption::Content(Arc::new(io::Error::other(error)))
}
