//! The pool: connections that are kept, and waiting in line for one.

use super::converse::Conversed;
use super::line::Line;
use super::settle::{Asked, Pending, open};
use super::visit::Visit;
use crate::outcome::Failure;
use crate::pool::{Entry, Place, Slot, Turn};
use crate::proto::{Terms, Transaction, Verdict};

impl Visit<'_> {
    /// Uses a connection that is kept, or waits for one if there may be no more. Whoever is to make one has room for it,
    /// unless the time is over.
    pub(super) async fn by_pool(&self, pending: &mut [Pending<'_>]) -> Conversed {
        while !self.task.is_over() && open(pending).next().is_some() {
            let conversed = match self.pool().enter() {
                Entry::Vacant(slot) => Conversed::Gone(Some(slot)),
                Entry::Kept(lease) => self.converse(lease, None, pending).await,
                Entry::Full(terms) => self.wait(terms, pending).await,
            };
            if !matches!(conversed, Conversed::Gone(None)) {
                return conversed;
            }
        }
        Conversed::Gone(None)
    }

    /// Waits for a connection, or for room to make one.
    async fn wait(&self, terms: Option<Terms>, pending: &mut [Pending<'_>]) -> Conversed {
        let limit = self.task.parts.limits.recipients.max(1);
        let is_last = open(pending).nth(limit).is_none();
        let asked;
        let begun = match terms.filter(|terms| self.may_be_sent_ahead(terms)) {
            Some(terms) => {
                asked = Asked::of(open(pending), self.task.envelope, limit);
                self.begin(terms, asked.recipients(), is_last)
            }
            None => None,
        };
        let (mut transaction, offer) = begun.unzip();
        let turn = match self.pool().wait(offer) {
            Ok(mut ticket) => match self.task.in_time(&mut ticket).await {
                Some(turn) => turn,
                None => {
                    ticket.leave();
                    let sent = transaction.take().filter(|_| ticket.is_sent());
                    let place = Place { base: 0, after_reset: false };
                    // how far it went is for whoever has the connection to know
                    return match sent {
                        Some(sent) => self.lost(sent, place, u64::MAX, None, pending),
                        None => Conversed::Gone(None),
                    };
                }
            },
            Err(Entry::Vacant(slot)) => Some(Turn::Vacant(slot)),
            Err(Entry::Kept(lease)) => Some(Turn::Lease(lease)),
            Err(Entry::Full(_)) => return Conversed::Gone(None),
        };
        match turn {
            Some(Turn::Vacant(slot)) => Conversed::Gone(Some(slot)),
            Some(Turn::Lease(lease)) => self.converse(lease, None, pending).await,
            Some(Turn::Behind(lease, place)) => {
                let begun = transaction.take().map(|mut begun| {
                    begun.follow(place.base, place.after_reset);
                    begun
                });
                self.converse(lease, begun, pending).await
            }
            Some(Turn::Lost { place, written, slot }) => match transaction.take() {
                Some(transaction) => self.lost(transaction, place, written, slot, pending),
                None => Conversed::Gone(slot),
            },
            // the pool is gone, or whoever had the connection: as if there had been none
            None => Conversed::Gone(None),
        }
    }

    /// A connection that was lost with what was sent on it by another: who may have the message is told so (law 3).
    fn lost(
        &self,
        mut transaction: Transaction<'_>,
        place: Place,
        written: u64,
        slot: Option<Slot<Line>>,
        pending: &mut [Pending<'_>],
    ) -> Conversed {
        transaction.follow(place.base, place.after_reset);
        if transaction.end_of_content().is_none_or(|end| end > written) {
            return Conversed::Gone(slot);
        }
        let hop = self.hop(None);
        let asked = open(pending).zip(transaction.finish().0);
        // nobody else is tried for those who were asked for; the others were not sent at all
        asked.filter(|(_, verdict)| matches!(verdict, Verdict::Broken { .. })).for_each(|(pending, _)| {
            pending.failed(self.tried(Failure::may_have_arrived_by_another(), Some(hop.clone())));
        });
        Conversed::Done
    }
}
