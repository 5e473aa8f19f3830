//! A final reply of LMTP that does not come: NOOP tells a server that is slow with one mailbox from one that left a reply
//! out.
//!
//! Replies are matched by order. If the server left one out, those behind it were taken for the recipients before, and a
//! message that was refused would be reported as delivered. But to put all of them in doubt would send the message again to
//! every recipient whenever one mailbox hangs. A server that hangs answers no NOOP.

use super::{Command, Expected, Interruption, Output, Reply, ReplyCode, Stage, Transaction, Verdict};

impl Transaction<'_> {
    /// Sends NOOP after the time for a final reply is over, if other recipients have theirs. Returns `false` if that is of
    /// no use.
    pub(super) fn begin_probe(&mut self, output: &mut Output) -> bool {
        let is_final_of_one = matches!(self.awaited.next(), Some(Expected::FinalOf(_)));
        if !is_final_of_one || self.probe.is_some() || !self.slots.any_final() {
            return false;
        }
        Command::Noop.write(output);
        self.probe = Some(Vec::new());
        true
    }

    /// Takes in a reply behind NOOP. Once there are as many as are due, the last one is that to NOOP.
    pub(super) fn probe_answered(&mut self, mut replies: Vec<Reply>, reply: Reply, output: &mut Output) {
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

    /// Ends the wait for the reply to NOOP. If any reply came, one that was due was left out: all final replies may be those
    /// of other recipients.
    pub(super) fn probe_over(&mut self, replies: &[Reply], why: Interruption, output: &mut Output) {
        let verdict = Verdict::Broken { stage: Stage::Final, why: why.clone(), may_have_arrived: true };
        if !replies.is_empty() {
            self.slots.replace(|found| found.final_class().is_some(), &verdict);
        }
        self.break_off(Stage::Final, why, output);
    }
}
