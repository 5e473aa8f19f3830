//! The pool: connections that are kept, and waiting in line for one.

use super::converse::Conversed;
use super::line::Line;
use super::settle::{Asked, Pending, open};
use super::visit::Visit;
use crate::outcome::Failure;
use crate::pool::{Entry, Lease, Place, Slot, Ticket, Turn};
use crate::proto::{Recipients, Terms, Transaction, Verdict};

/// A connection, with what was sent on it already; or what came of having none.
type Found<'t> = Result<(Lease<Line>, Option<Transaction<'t>>), Conversed>;

impl Visit<'_> {
    /// Uses a connection that is kept, or waits for one if there may be no more. Whoever is to make one has room for it,
    /// unless the time is over.
    pub(super) async fn by_pool(&self, pending: &mut [Pending<'_>]) -> Conversed {
        let limit = self.task.parts.limits.recipients.max(1);
        while !self.task.is_over() && open(pending).next().is_some() {
            let asked;
            let found = match self.pool().enter() {
                Entry::Vacant(slot) => Err(Conversed::Gone(Some(slot))),
                Entry::Kept(lease) => Ok((lease, None)),
                Entry::Full(terms) => {
                    asked = Asked::of(open(pending), self.task.envelope, limit);
                    let is_last = open(pending).nth(limit).is_none();
                    self.wait(terms, asked.recipients(), is_last, pending).await
                }
            };
            let conversed = match found {
                Ok((lease, begun)) => self.converse(lease, begun, pending).await,
                Err(without) => without,
            };
            if !matches!(conversed, Conversed::Gone(None)) {
                return conversed;
            }
        }
        Conversed::Gone(None)
    }

    /// Waits for a connection, or for room to make one.
    async fn wait<'t>(
        &'t self,
        terms: Option<Terms>,
        recipients: Recipients<'t>,
        is_last: bool,
        pending: &mut [Pending<'_>],
    ) -> Found<'t> {
        let begun = terms
            .filter(|terms| self.may_be_sent_ahead(terms))
            .and_then(|terms| self.begin(terms, recipients, is_last));
        let (transaction, offer) = begun.unzip();
        let mut ticket = match self.pool().wait(offer) {
            Ok(ticket) => ticket,
            Err(Entry::Vacant(slot)) => return Err(Conversed::Gone(Some(slot))),
            Err(Entry::Kept(lease)) => return Ok((lease, None)),
            Err(Entry::Full(_)) => return Err(Conversed::Gone(None)),
        };
        match self.task.in_time(&mut ticket).await {
            Some(Some(turn)) => self.take(turn, transaction, pending),
            // the pool is gone, or whoever had the connection: as if there had been none
            Some(None) => Err(Conversed::Gone(None)),
            None => Err(self.leave(ticket, transaction, pending)),
        }
    }

    /// What was waited for; a transaction was begun if there was an offer.
    fn take<'t>(
        &self,
        turn: Turn<Line>,
        begun: Option<Transaction<'t>>,
        pending: &mut [Pending<'_>],
    ) -> Found<'t> {
        match turn {
            Turn::Vacant(slot) => Err(Conversed::Gone(Some(slot))),
            Turn::Lease(lease) => Ok((lease, None)),
            Turn::Behind(lease, place) => {
                let begun = begun.map(|mut begun| {
                    begun.follow(place.base, place.after_reset);
                    begun
                });
                Ok((lease, begun))
            }
            Turn::Lost { place, written, slot } => Err(match begun {
                Some(begun) => self.lost(begun, place, written, slot, pending),
                None => Conversed::Gone(slot),
            }),
        }
    }

    /// The time is over. How far what was sent went is for whoever has the connection to know.
    fn leave(
        &self,
        mut ticket: Ticket<Line>,
        begun: Option<Transaction<'_>>,
        pending: &mut [Pending<'_>],
    ) -> Conversed {
        ticket.leave();
        match begun.filter(|_| ticket.is_sent()) {
            Some(sent) => {
                let place = Place { base: 0, after_reset: false };
                self.lost(sent, place, u64::MAX, None, pending)
            }
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
        let tried = self.tried(Failure::may_have_arrived_by_another(), Some(hop));
        let verdicts = transaction.finish().0;
        let asked = open(pending).zip(verdicts.iter());
        // nobody else is tried for those who were asked for; the others were not sent at all
        asked
            .filter(|(_, verdict)| matches!(verdict, Verdict::Broken { .. }))
            .for_each(|(pending, _)| pending.failed(tried.clone()));
        Conversed::Done
    }
}
