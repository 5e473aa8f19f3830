//! What goes wrong in a transaction, and what is left of it then.

use super::{
    Command, Ending, Expected, Interruption, Output, Progress, Protocol, ProtocolError, Reply, ReplyClass,
    ReplyCode, ReplyFault, Stage, SurplusInput, Transaction, Verdict,
};

impl Transaction<'_> {
    /// A reply while nothing that was sent waits for one. A refusal of the content ahead of its end counts and
    /// the content is never ended; anything else is against the protocol.
    pub(super) fn unasked(&mut self, reply: Reply, output: &mut Output) {
        if reply.code() == ReplyCode::SERVICE_CLOSING {
            let stage = self.stage(output);
            return self.closed(stage, reply, output);
        }
        match reply.class() {
            // if the end was written meanwhile the server may have taken the message in spite of it
            ReplyClass::Transient | ReplyClass::Permanent
                if self.is_amid_content(output) && !self.end_was_written(output) =>
            {
                self.heard_of_content(reply.code());
                self.abandon(output);
                self.slots.close_rest(Verdict::Refused(Stage::Content, reply));
            }
            _ => self.break_off(self.stage(output), ProtocolError::Unsolicited(reply).into(), output),
        }
    }

    /// Returns `true` if the current reply began after some content had been written, or could no longer be written, and
    /// everything before the content was answered.
    fn is_amid_content(&self, output: &Output) -> bool {
        let reached = output.heard_at() + u64::from(output.is_cut());
        let had_begun = self.refusals_from.is_some_and(|start| start <= reached);
        had_begun && self.awaited.next().is_none_or(Expected::is_of_content)
    }

    /// 421 is the answer to all that is open. With LMTP each recipient has its own reply to the content: whoever has
    /// none yet may have the message (law 3).
    pub(super) fn closing(&mut self, expected: Expected, reply: Reply, output: &mut Output) {
        match expected {
            Expected::FinalOf(index) => {
                self.slots.close(index, Verdict::Refused(Stage::Final, reply));
                self.break_off(Stage::Final, Interruption::Disconnected, output);
            }
            Expected::Final => {
                self.slots.close_rest(Verdict::Refused(Stage::Final, reply));
                self.abandon(output);
            }
            earlier => self.closed(earlier.stage(), reply, output),
        }
    }

    /// Ends by 421 in reply to a command before the end of the content. If that end was written, the server may have the
    /// message (law 3).
    fn closed(&mut self, stage: Stage, reply: Reply, output: &mut Output) {
        self.slots.close_rest(match self.end_was_written(output) {
            true => Verdict::ClosedBehind(stage, reply),
            false => Verdict::Refused(stage, reply),
        });
        self.abandon(output);
    }

    fn end_was_written(&self, output: &Output) -> bool {
        self.end_of_content.is_some_and(|end| end <= output.written())
    }

    pub(super) fn unexpected(&mut self, stage: Stage, reply: Reply, output: &mut Output) {
        self.break_off(stage, ProtocolError::Unexpected(reply).into(), output);
    }

    /// Ends without a reply for the open recipients. Earlier refusals that may belong to other commands are replaced. Those
    /// before a lost connection stay (RFC 2920 section 3.1).
    pub(super) fn break_off(&mut self, stage: Stage, why: Interruption, output: &mut Output) {
        let may_have_arrived = self.end_was_written(output);
        let is_incomplete_group =
            matches!(why, Interruption::TimedOut) && !self.is_lock_step() && self.owes_replies();
        let is_out_of_step = matches!(why, Interruption::Protocol(_)) || is_incomplete_group;
        let is_lost = matches!(why, Interruption::Disconnected | Interruption::Io(_));
        let verdict = Verdict::Broken { stage, why, may_have_arrived };
        self.slots.close_rest(verdict.clone());
        if !self.is_in_step(output) && is_out_of_step {
            let had_refusals = self.slots.replace(Verdict::is_refused_before_content, &verdict);
            self.note_fault(&verdict, had_refusals);
        }
        self.bdat = self.bdat.concluded();
        // positive verdicts stay: if a server hangs in one mailbox, the others must not get the message again (RFC 2033
        // section 4.2). Refusals are retried, unless the connection was lost
        if !is_lost {
            self.slots.replace(Verdict::is_refused_finally, &verdict);
        }
        self.abandon(output);
    }

    /// Returns `true` once replies and commands are known to be in step: after 354, or after the start of content by BDAT.
    ///
    /// The latter counts if the content waited for all other replies: it is sent only if no input is left then.
    fn is_in_step(&self, output: &Output) -> bool {
        let is_amid_chunks = self.start_of_content.is_some_and(|start| start <= output.written());
        self.had_go_ahead || self.chunks_waited && is_amid_chunks
    }

    /// Returns `true` if replies are due, other than to RSET.
    fn owes_replies(&self) -> bool {
        self.awaited.iter().any(|due| !matches!(due, Expected::Reset | Expected::ResetBefore))
    }

    /// Notes that the server does not support pipelining groups: one was not answered completely, or with replies that belong
    /// to other commands. A reply with an undefined code only shows this if a refusal was replaced.
    fn note_fault(&mut self, verdict: &Verdict, had_refusals: bool) {
        let Verdict::Broken { why, .. } = verdict else { return };
        let is_sign = match why {
            Interruption::Protocol(error) => error.is_of_another_command(),
            _ => self.heard,
        };
        if is_sign || had_refusals {
            self.fault = Some(ReplyFault::Group);
        }
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

    /// Handles a refusal of DATA. RSET, which is due anyway, shows if it is genuine.
    ///
    /// After a surplus reply, the refusal would answer the last RCPT, and the reply to RSET would be that to DATA.
    pub(super) fn data_refused(&mut self, reply: Reply, output: &mut Output) {
        let is_checked = reply.class() == ReplyClass::Permanent && self.slots.has_accepted();
        self.slots.close_rest(Verdict::Refused(Stage::Data, reply));
        if is_checked {
            Command::Rset.write(output);
            self.awaited.expect(Expected::Reset, output);
        }
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

    /// Ends at a server that does not know BDAT. It executes the content as commands, so its replies can no longer be matched
    /// to commands.
    pub(super) fn bdat_unknown(&mut self, stage: Stage, reply: &Reply, output: &mut Output) {
        let verdict = Verdict::Refused(stage, reply.clone());
        self.slots.close_rest(verdict.clone());
        self.slots.replace(|found| found.final_class().is_some(), &verdict);
        self.abandon(output);
    }

    /// Handles input that is left after every reply that was due. A single 421 changes no verdict. Otherwise any of the
    /// replies may be the surplus one, and verdicts that depend on it are replaced.
    pub(super) fn judge_surplus(&mut self, surplus: &SurplusInput) {
        if std::mem::replace(&mut self.ending, Ending::Unusable) == Ending::Unusable {
            return self.judge_behind_closing(surplus);
        }
        if surplus.is_notice() {
            return;
        }
        self.fault = Some(ReplyFault::Surplus);
        if surplus.codes.is_empty() {
            return;
        }
        let stage = if self.end_of_content.is_some() { Stage::Final } else { Stage::RcptTo };
        let may_have_arrived = self.end_of_content.is_some();
        let verdict = Verdict::Broken { stage, why: ProtocolError::Surplus.into(), may_have_arrived };
        match (self.end_of_content.is_some(), self.terms.by_chunks()) {
            // 354 cannot be mistaken for another reply: only final replies may be shifted
            (true, false) => self.slots.replace_doubtful_finals(surplus, &verdict),
            (true, true) => _ = self.slots.replace(Verdict::is_of_reply, &verdict),
            // in lock step a refusal is only in doubt if a positive reply follows it
            (false, _) if self.is_lock_step() && !surplus.codes.iter().any(|code| code.is_completed()) => {}
            (false, _) => _ = self.slots.replace(Verdict::is_refused_before_content, &verdict),
        }
    }
    /// Handles input behind the reply that ended the session. If the server sent 421 in place of the final reply and took the
    /// content nevertheless, the message may have arrived (law 3). LMTP is left out: recipients have final replies of their own.
    fn judge_behind_closing(&mut self, surplus: &SurplusInput) {
        let is_taken = surplus.codes.iter().any(|code| code.is_completed());
        if self.terms.protocol == Protocol::Smtp && self.end_of_content.is_some() && is_taken {
            let why = ProtocolError::Surplus.into();
            let verdict = Verdict::Broken { stage: Stage::Final, why, may_have_arrived: true };
            self.slots.replace(Verdict::is_refused_finally, &verdict);
        }
    }
}
