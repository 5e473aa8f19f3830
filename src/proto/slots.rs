//! [`Slots`]: what is known of each recipient of a transaction.

use super::machine::SurplusInput;
use super::reply::ReplyClass;
use super::stage::Stage;
use super::verdict::{Missing, Verdict};

/// One slot a recipient, in their order, from the beginning to the end. A slot that was closed stays as it is, and what is
/// said of all the others at once is kept once.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// What was said of all whose slots were not closed then: now none is open any more.
    rest: Option<Verdict>,
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

/// What became of the recipients of a transaction, in their order: of each its own, or what was said of all others.
#[derive(Debug)]
pub(crate) struct Verdicts {
    slots: Vec<Slot>,
    rest: Verdict,
}

impl Slot {
    fn verdict_mut(&mut self) -> Option<&mut Verdict> {
        match self {
            Self::Closed(verdict) => Some(verdict),
            Self::Open | Self::Accepted => None,
        }
    }

    /// What was said of this recipient alone.
    fn verdict(&self) -> Option<&Verdict> {
        match self {
            Self::Closed(verdict) => Some(verdict),
            Self::Open | Self::Accepted => None,
        }
    }
}

impl Verdicts {
    /// The same of so many recipients.
    pub(crate) fn of_all(count: usize, verdict: Verdict) -> Self {
        Self { slots: (0..count).map(|_| Slot::Open).collect(), rest: verdict }
    }

    /// One a recipient.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Verdict> + Clone {
        self.slots.iter().map(|slot| slot.verdict().unwrap_or(&self.rest))
    }

    /// Of each recipient what was said of it alone, and what was said of all others.
    pub(crate) fn into_parts(self) -> (impl Iterator<Item = Option<Verdict>>, Verdict) {
        let own = |slot| match slot {
            Slot::Closed(verdict) => Some(verdict),
            Slot::Open | Slot::Accepted => None,
        };
        (self.slots.into_iter().map(own), self.rest)
    }
}

impl Slots {
    /// A recipient for whom something is missing has its verdict at once.
    pub(super) fn new(missing: impl Iterator<Item = Option<Missing>>, kept_text: usize) -> Self {
        let mut counts = Counts::default();
        let slot = |missing: Option<_>| {
            counts.open += usize::from(missing.is_none());
            missing.map_or(Slot::Open, |missing| Slot::Closed(Verdict::Unsupported(missing)))
        };
        let slots = missing.map(slot).collect();
        Self { slots, rest: None, counts, ever_accepted: 0, kept_text }
    }

    /// What became of everybody. Nobody is left then.
    pub(super) fn take_verdicts(&mut self) -> Verdicts {
        let (slots, rest) = (std::mem::take(&mut self.slots), self.rest.take());
        self.counts = Counts::default();
        Verdicts { slots, rest: rest.unwrap_or_else(Verdict::gone) }
    }

    /// The first recipient at this index or behind it of whom nothing was said.
    pub(super) fn open_from(&self, index: usize) -> Option<usize> {
        let is_open = |index: &usize| matches!(self.slots[*index], Slot::Open);
        (index..self.slots.len()).find(is_open).filter(|_| self.rest.is_none())
    }

    /// The recipients that were accepted and have no verdict yet.
    pub(super) fn accepted(&self) -> impl Iterator<Item = usize> {
        let accepted = |(index, slot)| matches!(slot, &Slot::Accepted).then_some(index);
        let slots = if self.rest.is_none() { &self.slots[..] } else { &[] };
        slots.iter().enumerate().filter_map(accepted)
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
        self.verdicts().any(|verdict| matches!(verdict, Verdict::Refused(at, _) if *at == stage))
    }

    /// Whether it is known that nobody has to be asked for once more.
    pub(super) fn need_no_other(&self) -> bool {
        self.slots.len() == 1 || self.counts.open == 0 && self.counts.refused == 0
    }

    /// All that was said of anybody, each at least once.
    fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.rest.iter().chain(self.slots.iter().filter_map(Slot::verdict))
    }

    #[inline]
    pub(super) fn accept(&mut self, index: usize) {
        self.ever_accepted += 1;
        if self.rest.is_none()
            && let slot @ Slot::Open = &mut self.slots[index]
        {
            *slot = Slot::Accepted;
            self.counts.open -= 1;
            self.counts.accepted += 1;
        }
    }

    pub(super) fn close(&mut self, index: usize, verdict: Verdict) {
        let slot = &mut self.slots[index];
        match slot {
            _ if self.rest.is_some() => return,
            Slot::Closed(_) => return,
            Slot::Open => self.counts.open -= 1,
            Slot::Accepted => self.counts.accepted -= 1,
        }
        self.counts.refused += usize::from(verdict.is_refused_recipient());
        *slot = Slot::Closed(verdict.shortened(self.kept_text));
    }

    pub(super) fn close_rest(&mut self, verdict: Verdict) {
        if self.all_closed() {
            return;
        }
        if verdict.is_refused_recipient() {
            self.counts.refused += self.unclosed();
        }
        self.rest = Some(verdict.shortened(self.kept_text));
        (self.counts.open, self.counts.accepted) = (0, 0);
    }

    /// Returns `true` if a recipient has a final reply.
    pub(super) fn any_final(&self) -> bool {
        self.verdicts().any(|verdict| verdict.final_class().is_some())
    }

    /// Replaces every verdict that `is_void` selects, because its reply may belong to another command. Returns `true` if
    /// there was one.
    pub(super) fn replace(&mut self, is_void: impl Fn(&Verdict) -> bool, verdict: &Verdict) -> bool {
        let own = self.slots.iter_mut().filter_map(Slot::verdict_mut);
        let mut any = false;
        for void in own.chain(&mut self.rest).filter(|found| is_void(found)) {
            self.counts.refused =
                self.counts.refused.saturating_sub(usize::from(void.is_refused_recipient()));
            *void = verdict.clone().shortened(self.kept_text);
            any = true;
        }
        any
    }

    /// Replaces the verdicts of final replies that are in doubt because of surplus input behind them.
    ///
    /// A surplus reply shifts the replies behind it by one recipient. With several final replies, it may be
    ///
    /// - the second of two replies of the same class,
    /// - the first reply, if that is a refusal or several replies are surplus.
    ///
    /// A verdict is in doubt if the next reply has another class, and
    ///
    /// - the verdict may be shifted in this way,
    /// - the verdict is 4yz, so that a retry costs nothing,
    /// - the verdict is the last one, and is 2yz or the only one.
    pub(super) fn replace_doubtful_finals(&mut self, surplus: &SurplusInput, verdict: &Verdict) {
        let own = self.slots.iter_mut().filter_map(Slot::verdict_mut);
        let mut finals: Vec<_> =
            own.chain(&mut self.rest).filter(|found| found.final_class().is_some()).collect();
        let mut classes: Vec<_> = finals.iter().filter_map(|found| found.final_class()).collect();
        let count = classes.len();
        classes.extend(surplus.codes.iter().map(|code| code.class()));
        let may_be_in_front = classes.first().is_some_and(|class| *class != ReplyClass::Completed);
        let mut may_be_moved = count > 1 && (may_be_in_front || surplus.codes.len() > 1);
        for (place, found) in finals.iter_mut().enumerate() {
            may_be_moved |= place > 0 && classes[place - 1] == classes[place];
            let Some(next) = classes.get(place + 1) else { return };
            let is_last = place + 1 == count;
            let is_contradicted = is_last && (count == 1 || classes[place] == ReplyClass::Completed);
            let is_transient = classes[place] == ReplyClass::Transient;
            if classes[place] != *next && (may_be_moved || is_contradicted || is_transient) {
                **found = verdict.clone();
            }
        }
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

    impl Slots {
        fn is_closed(&self, slot: &Slot) -> bool {
            self.rest.is_some() || matches!(slot, Slot::Closed(_))
        }

        fn has_verdict_at(&self, slot: &Slot, stage: Stage) -> bool {
            matches!(slot.verdict().or(self.rest.as_ref()), Some(Verdict::Refused(at, _)) if *at == stage)
        }
    }

    /// What is counted, by looking.
    fn looked_at(slots: &Slots) -> [bool; 3] {
        let all = &slots.slots;
        let is_open = |slot: &Slot| !slots.is_closed(slot) && matches!(slot, Slot::Open);
        let asked_again = |slot: &Slot| is_open(slot) || slots.has_verdict_at(slot, Stage::RcptTo);
        [
            all.iter().any(|slot| !slots.is_closed(slot) && matches!(slot, Slot::Accepted)),
            all.iter().all(|slot| slots.is_closed(slot)),
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
                    _ if index == 1 => slots.close_rest(refused(Stage::RcptTo)),
                    _ => {}
                }
                let counted = [slots.has_accepted(), slots.all_closed(), slots.need_no_other()];
                prop_assert_eq!(counted, looked_at(&slots), "{:?}", slots);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_said_of_each_is_what_was_said_first(
            missing in prop::collection::vec(any::<bool>(), 1..6),
            steps in prop::collection::vec((0..5u8, 0..6usize), 0..20),
        ) {
            use Stage::{Content, Data, Final, RcptTo};
            let mut said: Vec<_> = missing.iter().map(|missing| missing.then_some(Stage::MailFrom)).collect();
            let missing = missing.iter().map(|missing| missing.then_some(Missing::Utf8Mailbox));
            let mut slots = Slots::new(missing, 2048);
            for (step, index) in steps {
                let index = index % said.len();
                let (places, stage) = match step {
                    0 => (0..0, Content),
                    1 => (index..index + 1, RcptTo),
                    2 => (index..index + 1, Final),
                    3 => (0..said.len(), Data),
                    _ => (0..said.len(), RcptTo),
                };
                match step {
                    0 => slots.accept(index),
                    1 | 2 => slots.close(index, refused(stage)),
                    _ => slots.close_rest(refused(stage)),
                }
                said[places].iter_mut().for_each(|said| *said = said.or(Some(stage)));
            }
            let verdicts = slots.take_verdicts();
            let stage = |verdict: &Verdict| match verdict {
                Verdict::Refused(stage, _) => Some(*stage),
                Verdict::Unsupported(_) => Some(Stage::MailFrom),
                _ => None,
            };
            prop_assert_eq!(verdicts.iter().map(stage).collect::<Vec<_>>(), said.clone());
            let (own, rest) = verdicts.into_parts();
            let parts = own.map(|own| stage(own.as_ref().unwrap_or(&rest)));
            prop_assert_eq!(parts.collect::<Vec<_>>(), said);
        }
    }

    #[test]
    fn a_slot_that_was_closed_stays_as_it_is() {
        let mut slots = Slots::new([None, None, None].into_iter(), 2048);
        slots.close(1, refused(Stage::RcptTo));
        slots.close(1, refused(Stage::Final));
        slots.close_rest(refused(Stage::Data));
        slots.close(0, refused(Stage::Final));
        slots.accept(2);
        slots.close_rest(refused(Stage::Content));
        assert!(slots.open_from(0).is_none() && slots.accepted().next().is_none() && !slots.has_accepted());
        let stage = |verdict: &Verdict| match verdict {
            Verdict::Refused(stage, _) => *stage,
            other => panic!("{other:?}"),
        };
        let stages: Vec<_> = slots.take_verdicts().iter().map(stage).collect();
        assert_eq!(stages, [Stage::Data, Stage::RcptTo, Stage::Data]);
    }
}
