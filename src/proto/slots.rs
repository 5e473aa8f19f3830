//! [`Slots`]: what is known of each recipient of a transaction.

use super::machine::Interruption;
use super::stage::Stage;
use super::verdict::{Missing, Verdict};

/// One slot a recipient, in their order, from the beginning to the end. A slot that was closed stays as it is.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    counts: Counts,
    /// Recipients that were accepted, whatever became of the message.
    ever_accepted: usize,
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

/// How many slots there are of some kinds, so that nobody has to look through all of them.
#[derive(Debug, Default)]
struct Counts {
    open: usize,
    accepted: usize,
    /// RCPT was refused.
    refused: usize,
}

impl Counts {
    /// That of slots like this one.
    fn of(&mut self, slot: &Slot) -> Option<&mut usize> {
        match slot {
            Slot::Open => Some(&mut self.open),
            Slot::Accepted => Some(&mut self.accepted),
            Slot::Closed(Verdict::Refused(Stage::RcptTo, _)) => Some(&mut self.refused),
            Slot::Closed(_) => None,
        }
    }
}

impl Slots {
    /// A recipient for whom something is missing has its verdict at once.
    pub(super) fn new(missing: impl Iterator<Item = Option<Missing>>, kept_text: usize) -> Self {
        let slot = |missing: Option<_>| {
            missing.map_or(Slot::Open, |missing| Slot::Closed(Verdict::Unsupported(missing)))
        };
        let (slots, mut counts): (Vec<_>, _) = (missing.map(slot).collect(), Counts::default());
        counts.open = slots.iter().filter(|slot| matches!(slot, Slot::Open)).count();
        Self { slots, counts, ever_accepted: 0, kept_text }
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
        self.counts.accepted > 0
    }

    /// How many were accepted, whatever became of the message.
    pub(super) fn ever_accepted(&self) -> usize {
        self.ever_accepted
    }

    pub(super) fn all_closed(&self) -> bool {
        self.unclosed() == 0
    }

    fn unclosed(&self) -> usize {
        self.counts.open + self.counts.accepted
    }

    /// Whether one was refused at a stage.
    pub(super) fn any_refused(&self, stage: Stage) -> bool {
        let refused = |slot: &Slot| matches!(slot, Slot::Closed(Verdict::Refused(at, _)) if *at == stage);
        self.slots.iter().any(refused)
    }

    /// Whether it is known that nobody has to be asked for once more.
    pub(super) fn need_no_other(&self) -> bool {
        self.slots.len() == 1 || self.counts.open == 0 && self.counts.refused == 0
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
        self.ever_accepted += 1;
        if matches!(self.slots[index], Slot::Open) {
            self.set(index, Slot::Accepted);
        }
    }

    pub(super) fn close(&mut self, index: usize, verdict: Verdict) {
        self.set(index, Slot::Closed(verdict.shortened(self.kept_text)));
    }

    pub(super) fn close_rest(&mut self, verdict: Verdict) {
        let closed = self.unclosed();
        let mut unclosed = self.slots.iter_mut().filter(|slot| !matches!(slot, Slot::Closed(_)));
        // a reply that only one has is not shared
        let Some(last) = unclosed.next_back() else { return };
        *last = Slot::Closed(verdict.shortened(self.kept_text));
        let Slot::Closed(verdict) = last else { return };
        unclosed.for_each(|slot| *slot = Slot::Closed(verdict.clone()));
        (self.counts.open, self.counts.accepted) = (0, 0);
        self.counts.of(last).into_iter().for_each(|count| *count += closed);
    }

    fn set(&mut self, index: usize, slot: Slot) {
        let place = &mut self.slots[index];
        self.counts.of(place).into_iter().for_each(|count| *count -= 1);
        self.counts.of(&slot).into_iter().for_each(|count| *count += 1);
        *place = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::reply::{Reply, ReplyCode};
    use proptest::prelude::*;

    fn refused(stage: Stage) -> Verdict {
        Verdict::Refused(stage, Reply::new(ReplyCode::new(550), "no"))
    }

    fn is_closed(slot: &Slot) -> bool {
        matches!(slot, Slot::Closed(_))
    }

    /// What is counted, by looking.
    fn looked_at(slots: &Slots) -> [bool; 3] {
        let all = &slots.slots;
        let asked_again =
            |slot: &Slot| matches!(slot, Slot::Open | Slot::Closed(Verdict::Refused(Stage::RcptTo, _)));
        [
            all.iter().any(|slot| matches!(slot, Slot::Accepted)),
            all.iter().all(is_closed),
            all.len() == 1 || !all.iter().any(asked_again),
        ]
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_is_there(
            missing in prop::collection::vec(any::<bool>(), 1..6),
            steps in prop::collection::vec((0..4u8, 0..6usize), 0..20),
        ) {
            let missing = missing.iter().map(|missing| missing.then_some(Missing::Utf8Mailbox));
            let mut slots = Slots::new(missing, 2048);
            for (step, index) in steps {
                let index = index % slots.slots.len();
                match step {
                    0 => slots.accept(index),
                    1 => slots.close(index, refused(Stage::RcptTo)),
                    2 => slots.close(index, refused(Stage::Final)),
                    _ if index == 0 => slots.close_rest(refused(Stage::Data)),
                    _ => {}
                }
                let counted = [slots.has_accepted(), slots.all_closed(), slots.need_no_other()];
                prop_assert_eq!(counted, looked_at(&slots), "{:?}", slots);
            }
        }
    }

    #[test]
    fn a_slot_that_was_closed_stays_as_it_is() {
        let mut slots = Slots::new([None, None, None].into_iter(), 2048);
        slots.close(1, refused(Stage::RcptTo));
        slots.close_rest(refused(Stage::Data));
        let stages = slots.into_verdicts().into_iter().map(|verdict| match verdict {
            Verdict::Refused(stage, _) => stage,
            other => panic!("{other:?}"),
        });
        assert_eq!(stages.collect::<Vec<_>>(), [Stage::Data, Stage::RcptTo, Stage::Data]);
    }
}
