//! [`Slots`]: what is known of each recipient of a transaction.

use super::machine::Interruption;
use super::stage::Stage;
use super::verdict::{Missing, Verdict};

/// One slot a recipient, in their order, from the beginning to the end. A slot that was closed stays as it is.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// Recipients that were accepted, whatever became of the message.
    accepted: usize,
    /// Octets of text kept of a reply.
    kept_text: usize,
}

#[derive(Debug)]
enum Slot {
    /// Nothing was said yet.
    Open,
    /// RCPT was accepted, the content was not judged yet.
    Accepted,
    Closed(Verdict),
}

impl Slots {
    /// A recipient for whom something is missing has its verdict at once.
    pub(super) fn new(missing: impl Iterator<Item = Option<Missing>>, kept_text: usize) -> Self {
        let slot = |missing: Option<_>| {
            missing.map_or(Slot::Open, |missing| Slot::Closed(Verdict::Unsupported(missing)))
        };
        Self { slots: missing.map(slot).collect(), accepted: 0, kept_text }
    }

    pub(super) fn into_verdicts(self) -> Vec<Verdict> {
        let verdict = |slot| match slot {
            Slot::Closed(verdict) => verdict,
            Slot::Open | Slot::Accepted => Verdict::gone(),
        };
        self.slots.into_iter().map(verdict).collect()
    }

    /// The first recipient at this index or behind it of whom nothing was said.
    pub(super) fn open_from(&self, index: usize) -> Option<usize> {
        (index..self.slots.len()).find(|index| matches!(self.slots[*index], Slot::Open))
    }

    /// The recipients that were accepted and have no verdict yet.
    pub(super) fn accepted(&self) -> impl Iterator<Item = usize> {
        let accepted = |(index, slot)| matches!(slot, &Slot::Accepted).then_some(index);
        self.slots.iter().enumerate().filter_map(accepted)
    }

    pub(super) fn has_accepted(&self) -> bool {
        self.accepted().next().is_some()
    }

    /// How many were accepted, whatever became of the message.
    pub(super) fn ever_accepted(&self) -> usize {
        self.accepted
    }

    pub(super) fn all_closed(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot, Slot::Closed(_)))
    }

    /// Whether one was refused at a stage.
    pub(super) fn any_refused(&self, stage: Stage) -> bool {
        let refused = |slot: &Slot| matches!(slot, Slot::Closed(Verdict::Refused(at, _)) if *at == stage);
        self.slots.iter().any(refused)
    }

    /// Whether it is known that nobody has to be asked for once more.
    pub(super) fn need_no_other(&self) -> bool {
        let may_be_asked_again =
            |slot: &Slot| matches!(slot, Slot::Open | Slot::Closed(Verdict::Refused(Stage::RcptTo, _)));
        self.slots.len() == 1 || !self.slots.iter().any(may_be_asked_again)
    }

    /// Whether the dialogue broke off while replies to recipients or DATA were due.
    pub(super) fn broke_amid_recipients(&self) -> bool {
        let broke = |slot: &Slot| match slot {
            Slot::Closed(Verdict::Broken { stage: Stage::RcptTo | Stage::Data, why, .. }) => {
                matches!(why, Interruption::TimedOut | Interruption::Protocol(_))
            }
            _ => false,
        };
        self.slots.iter().any(broke)
    }

    pub(super) fn accept(&mut self, index: usize) {
        self.slots[index] = Slot::Accepted;
        self.accepted += 1;
    }

    pub(super) fn close(&mut self, index: usize, verdict: Verdict) {
        self.slots[index] = Slot::Closed(verdict.shortened(self.kept_text));
    }

    pub(super) fn close_rest(&mut self, verdict: impl Fn() -> Verdict) {
        for index in 0..self.slots.len() {
            if !matches!(self.slots[index], Slot::Closed(_)) {
                self.close(index, verdict());
            }
        }
    }
}
