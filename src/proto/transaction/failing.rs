//! What goes wrong in a transaction, and what is left of it then.

use super::{
    Ending, Expected, Interruption, Output, Progress, Protocol, ProtocolError, Reply, ReplyClass, ReplyCode,
    Stage, Transaction, Verdict,
};

impl Transaction<'_> {
    /// A reply while nothing that was sent waits for one. A refusal of the content ahead of its end counts and
    /// the content is never ended; anything else is against the protocol.
    pub(super) fn unasked(&mut self, reply: Reply, output: &mut Output) {
        if reply.code() == ReplyCode::SERVICE_CLOSING {
            let stage = self.stage(output);
            self.slots.close_rest(Verdict::Refused(stage, reply));
            return self.abandon(output);
        }
        match reply.class() {
            ReplyClass::Transient | ReplyClass::Permanent if self.is_amid_content() => {
                self.heard_of_content(reply.code());
                self.abandon(output);
                self.slots.close_rest(Verdict::Refused(Stage::Content, reply));
            }
            _ => self.break_off(self.stage(output), ProtocolError::Unsolicited(reply).into(), output),
        }
    }

    /// Whether content is on its way, and everything before it was answered.
    fn is_amid_content(&self) -> bool {
        let begun = matches!(self.progress, Progress::Content(_) | Progress::Chunks(_));
        (begun || self.end_of_content.is_some()) && self.awaited.next().is_none_or(Expected::is_of_content)
    }

    /// 421 is the answer to all that is open. With LMTP each recipient has its own reply to the content: whoever has
    /// none yet may have the message (law 3).
    pub(super) fn closing(&mut self, expected: Expected, reply: Reply, output: &mut Output) {
        if let Expected::FinalOf(index) = expected {
            self.slots.close(index, Verdict::Refused(Stage::Final, reply));
            return self.break_off(Stage::Final, Interruption::Disconnected, output);
        }
        self.slots.close_rest(Verdict::Refused(expected.stage(), reply));
        self.abandon(output);
    }

    pub(super) fn unexpected(&mut self, stage: Stage, reply: Reply, output: &mut Output) {
        self.break_off(stage, ProtocolError::Unexpected(reply).into(), output);
    }

    pub(super) fn break_off(&mut self, stage: Stage, why: Interruption, output: &mut Output) {
        let may_have_arrived = self.end_of_content.is_some_and(|end| end <= output.written());
        self.slots.close_rest(Verdict::Broken { stage, why, may_have_arrived });
        self.abandon(output);
    }

    /// Nothing more goes out, above all no end of the content.
    pub(super) fn abandon(&mut self, output: &mut Output) {
        output.clear();
        self.awaited.clear();
        self.progress = Progress::Sent;
        self.ending = Ending::Unusable;
    }

    /// The replies to RCPT and DATA that are still due say nothing about the recipients any more.
    pub(super) fn mail_refused(&mut self, reply: Reply) {
        self.refused = true;
        self.slots.close_rest(Verdict::Refused(Stage::MailFrom, reply));
    }

    /// No further chunk goes out (RFC 3030 section 2). One that is not complete can be neither ended nor taken back.
    pub(super) fn chunk_refused(&mut self, reply: &Reply, output: &mut Output) {
        self.slots.close_rest(Verdict::Refused(Stage::Content, reply.clone()));
        let amid_chunk = matches!(&self.progress, Progress::Chunks(chunks) if chunks.is_amid());
        // how many replies LMTP has to the last chunk of what failed is not known
        let unclear = self.end_of_content.is_some() && self.terms.protocol == Protocol::Lmtp;
        if amid_chunk || unclear || !output.is_empty() {
            return self.abandon(output);
        }
        self.progress = Progress::Sent;
    }

    /// Whoever does not know BDAT takes the octets of the content for commands: nothing it says can be tied any more.
    pub(super) fn bdat_unknown(&mut self, stage: Stage, reply: &Reply, output: &mut Output) {
        self.slots.close_rest(Verdict::Refused(stage, reply.clone()));
        self.abandon(output);
    }
}
