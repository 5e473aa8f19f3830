//! NOOP as a probe after a final reply of LMTP has timed out.
//!
//! It distinguishes a server that is slow with one mailbox from one that omitted a reply. Replies are matched by order. After
//! an omitted one, each later reply was matched to the wrong recipient, so a refusal could be reported as a delivery. But if
//! all of them counted as doubtful, one slow mailbox would cause duplicates for every recipient. A server that is slow does
//! not answer NOOP; one that omitted a reply does.

use super::{Command, Expected, Interruption, Output, Reply, ReplyCode, Stage, Transaction, Verdict};

impl Transaction<'_> {
    /// Sends NOOP after a final reply has timed out, if other recipients have theirs. Returns `false` if it does not.
    pub(super) fn begin_probe(&mut self, output: &mut Output) -> bool {
        let is_final_of_one = matches!(self.awaited.next(), Some(Expected::FinalOf(_)));
        if !is_final_of_one || self.probe.is_some() || !self.slots.any_final() {
            return false;
        }
        Command::Noop.write(output);
        self.probe = Some(Vec::new());
        true
    }

    /// Handles a reply that came after NOOP. Once there is one more than the final replies that are due, the last one answers
    /// NOOP.
    pub(super) fn handle_probe_reply(&mut self, mut replies: Vec<Reply>, reply: Reply, output: &mut Output) {
        if reply.code() == ReplyCode::SERVICE_CLOSING {
            return self.break_off(Stage::Final, Interruption::Disconnected, output);
        }
        replies.push(reply);
        if replies.len() <= self.awaited.len() {
            self.probe = Some(replies);
            return;
        }
        for reply in replies {
            if let Some(expected) = self.awaited.take(output) {
                self.take_answer(expected, reply, output);
            }
        }
    }

    /// Ends the probe. If any reply came, the server omitted one that was due, and every final reply may belong to another
    /// recipient.
    pub(super) fn end_probe(&mut self, replies: &[Reply], why: Interruption, output: &mut Output) {
        let verdict = Verdict::Broken { stage: Stage::Final, why: why.clone(), may_have_arrived: true };
        if !replies.is_empty() {
            self.slots.replace(|found| found.final_class().is_some(), &verdict);
        }
        self.break_off(Stage::Final, why, output);
    }
}
