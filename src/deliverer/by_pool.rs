//! The pool: connections that are kept, and waiting in line for one.

use std::time::Duration;

use tokio::time::timeout;

use super::converse::Conversed;
use super::line::Line;
use super::settle::{Asked, Pending, open};
use super::visit::{Claim, Visit};
use crate::outcome::Failure;
use crate::pool::{Entry, Lease, Offer, Place, Slot, Ticket, Turn};
use crate::proto::{Recipients, Terms, Transaction, Verdict};

/// A connection, or what came of having none.
type Found = Result<Lease<Line>, Sought>;

/// Result of a wait for a connection of the pool.
#[derive(Debug)]
pub(super) enum Sought {
    /// A connection was used, or a permit for one is held.
    Conversed(Conversed),
    /// Neither came before other addresses may be tried too. The delivery is still queued, with nothing offered.
    InLine(Ticket<Line>),
}

/// Other addresses of the host of a delivery that waits in line.
#[derive(Debug, Clone, Copy)]
pub(super) struct OtherAddresses<'v, 'a> {
    pub(super) visits: &'v [Visit<'a>],
    /// `true` if no further address will become known.
    pub(super) are_all: bool,
    /// Time after which they are tried too.
    pub(super) stagger: Duration,
}

impl OtherAddresses<'_, '_> {
    /// Takes an idle connection or a permit of one of them. Returns `false` if the delivery would have to wait in line at each
    /// of them.
    fn have_room(&self) -> bool {
        let has_room = |visit: &Visit<'_>| {
            let claim = match visit.pool().enter() {
                Entry::Full(_) => return false,
                Entry::Vacant(slot) => Claim::Room(slot),
                Entry::Kept(lease) => Claim::Kept(lease),
            };
            visit.hold(Some(claim));
            true
        };
        !self.are_all || self.visits.iter().any(has_room)
    }

    /// Gives back what [`have_room`](Self::have_room) took.
    fn leave_room(&self) {
        self.visits.iter().for_each(Visit::leave_claim);
    }
}

impl Visit<'_> {
    /// Uses a connection that is kept, or waits for one if there may be no more. Whoever is to make one has room for it,
    /// unless the time is over.
    pub(super) async fn by_pool(&self, pending: &mut [Pending<'_>]) -> Conversed {
        match self.seek(pending, None).await {
            Sought::Conversed(conversed) => conversed,
            Sought::InLine(_) => Conversed::Gone(None),
        }
    }

    /// Does the same as [`Visit::by_pool`], but waits only until other addresses are to be tried too.
    ///
    /// A delivery whose commands may be pipelined here waits on as long as the other addresses are full: in line at these it
    /// could offer nothing, so each message would cost one more round trip.
    pub(super) async fn seek(
        &self,
        pending: &mut [Pending<'_>],
        others: Option<OtherAddresses<'_, '_>>,
    ) -> Sought {
        let limit = self.task.parts.limits.recipients.max(1);
        while !self.task.is_over() && open(pending).next().is_some() {
            let (asked, mut begun);
            begun = None;
            let found = match self.pool().enter() {
                Entry::Vacant(slot) => Err(Conversed::Gone(Some(slot)).into()),
                Entry::Kept(lease) => Ok(lease),
                Entry::Full(terms) => {
                    asked = Asked::of(open(pending), self.task.envelope, limit);
                    let is_last = open(pending).nth(limit).is_none();
                    self.wait(terms, (asked.recipients(), is_last), others, &mut begun, pending).await
                }
            };
            let sought = match found {
                Ok(lease) => self.converse(lease, &mut begun, pending).await.into(),
                Err(without) => without,
            };
            if !matches!(sought, Sought::Conversed(Conversed::Gone(None))) {
                return sought;
            }
        }
        Conversed::Gone(None).into()
    }

    /// Prepares commands that may be pipelined to a server of these terms. Returns `None` if there are none of use.
    fn offer<'t>(
        &'t self,
        terms: Option<Terms>,
        recipients: Recipients<'t>,
        is_last: bool,
        begun: &mut Option<Transaction<'t>>,
    ) -> Option<Offer> {
        let terms = terms.filter(|terms| self.may_be_sent_ahead(terms))?;
        let flight = self.begin(terms, recipients, begun)?;
        Some(Offer { flight, terms, is_last })
    }

    /// Waits for a connection, or for a permit to open one. If `begun` is set then, its commands were already sent on the
    /// connection.
    async fn wait<'t>(
        &'t self,
        terms: Option<Terms>,
        (recipients, is_last): (Recipients<'t>, bool),
        others: Option<OtherAddresses<'_, '_>>,
        begun: &mut Option<Transaction<'t>>,
        pending: &mut [Pending<'_>],
    ) -> Found {
        let offer = self.offer(terms, recipients, is_last, begun);
        let mut ticket = match self.pool().wait(offer, terms.is_some()) {
            Ok(ticket) => ticket,
            Err(Entry::Vacant(slot)) => return self.take(Turn::Vacant(slot), begun, pending),
            Err(Entry::Kept(lease)) => return self.take(Turn::Lease(lease), begun, pending),
            Err(Entry::Full(_)) => return Err(Conversed::Gone(None).into()),
        };
        // the message may be delivered by the commands that were sent, so no other address may be tried from then on
        let stagger = others.map(|others| others.stagger);
        let turn = loop {
            match in_time_alone(stagger, self.task.in_time(&mut ticket)).await {
                Some(Some(Some(Turn::Terms(terms)))) => {
                    let offer = self.offer(Some(terms), recipients, is_last, begun);
                    self.pool().offer(&mut ticket, offer);
                }
                Some(turn) => break turn,
                None if begun.is_some() && others.is_some_and(|others| !others.have_room()) => {}
                None if ticket.withdraw() => {
                    *begun = None;
                    return Err(Sought::InLine(ticket));
                }
                None => {
                    others.iter().for_each(OtherAddresses::leave_room);
                    break self.task.in_time(&mut ticket).await;
                }
            }
        };
        match turn {
            Some(Some(turn)) => self.take(turn, begun, pending),
            // the pool is gone, or whoever had the connection: as if there had been none
            Some(None) => Err(Conversed::Gone(None).into()),
            None => Err(self.leave(ticket, begun, pending).into()),
        }
    }

    /// What was waited for. What was begun goes on only where it was sent.
    fn take(
        &self,
        turn: Turn<Line>,
        begun: &mut Option<Transaction<'_>>,
        pending: &mut [Pending<'_>],
    ) -> Found {
        match turn {
            Turn::Vacant(slot) => Err(Conversed::Gone(Some(slot)).into()),
            Turn::Terms(_) => Err(Conversed::Gone(None).into()),
            Turn::Lease(lease) => {
                *begun = None;
                Ok(lease)
            }
            Turn::Behind(lease, place) => {
                begun.iter_mut().for_each(|begun| begun.follow(place.base, place.after_reset));
                Ok(lease)
            }
            Turn::Lost { place, written, slot } => Err(match begun {
                Some(begun) => self.lost(begun, place, written, slot, pending).into(),
                None => Conversed::Gone(slot).into(),
            }),
        }
    }

    /// The time is over. How far what was sent went is for whoever has the connection to know.
    fn leave(
        &self,
        mut ticket: Ticket<Line>,
        begun: &mut Option<Transaction<'_>>,
        pending: &mut [Pending<'_>],
    ) -> Conversed {
        ticket.leave();
        match begun.as_mut().filter(|_| ticket.is_sent()) {
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
        transaction: &mut Transaction<'_>,
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

impl From<Conversed> for Sought {
    fn from(conversed: Conversed) -> Self {
        Self::Conversed(conversed)
    }
}

/// Waits for as long as it takes, or at most so long; `None`: that is over.
async fn in_time_alone<F: Future>(alone: Option<Duration>, work: F) -> Option<F::Output> {
    match alone {
        Some(alone) => timeout(alone, work).await.ok(),
        None => Some(work.await),
    }
}
