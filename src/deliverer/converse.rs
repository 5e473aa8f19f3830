//! Transactions on a connection of the pool.

use std::cell::LazyCell;
use std::ops::ControlFlow;
use std::task::Waker;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use super::early::{broke_early, is_lost_early};
use super::habits::Habit;
use super::line::Line;
use super::report::Hop;
use super::settle::{Asked, Pending, Tried, waiting};
use super::visit::{Task, Visit};
use crate::outcome::{Delivered, Failure, is_too_many_recipients};
use crate::pool::{Lease, Place, Queue, Slot};
use crate::proto::{
    Behind, Flight, Interruption, Protocol, Recipients, ReplyClass, ReplyCode, ReplyFault, Stage, Terms,
    Transaction, Verdict, Verdicts,
};

/// How long a connection may have been idle and still be trusted with content before the server has answered anything:
/// what is lost with a connection that was dead all along may have arrived, for all that is known.
const STILL_ALIVE: Duration = Duration::from_secs(1);

/// What came of a connection.
#[derive(Debug)]
pub(super) enum Conversed {
    /// Everybody was asked for.
    Done,
    /// It is of no use for those who are left, and took nothing for them: another one is to be used. Whoever had it has its
    /// room in the pool, if there is any, and not to wait in line once more.
    Gone(Option<Slot<Line>>),
}

/// A connection in use by one delivery.
struct Conversation<'c, 'a> {
    visit: &'c Visit<'a>,
    lease: Lease<Line>,
    hop: Hop,
    terms: Terms,
    /// Whether QUIT was sent.
    has_left: bool,
}

/// That the message was taken for a recipient, or why it was not.
type Judged = Result<Delivered, Tried>;

/// What was said of the recipients of one transaction.
struct Said {
    verdicts: Verdicts,
    /// How many of them the server accepted, whatever became of the message.
    accepted: usize,
    /// Whether the server does not know the command that it announced for content.
    chunking_unknown: bool,
    /// Mismatch between its replies and the commands, if there was one.
    fault: Option<ReplyFault>,
    /// `true` if each command waited for the reply to the previous one.
    is_lock_step: bool,
    /// Whether its commands were sent before the server was heard.
    is_early: bool,
}

impl<'a> Visit<'a> {
    /// Returns `true` if it is useful to prepare commands for a connection that another delivery holds.
    ///
    /// It is not for a whole message if only one may be unacknowledged, nor under LMTP, where nothing may follow content.
    pub(super) fn may_be_sent_ahead(&self, terms: &Terms) -> bool {
        let is_whole = terms.is_single_flight(self.task.message.facts().size);
        terms.protocol == Protocol::Smtp && (!is_whole || self.pool().window() > 1)
    }

    /// Begins a transaction for these recipients: what may be sent of it to a server of these terms before there is a
    /// connection. There is none if that is nothing of use.
    pub(super) fn begin<'t>(
        &self,
        terms: Terms,
        recipients: Recipients<'t>,
        begun: &mut Option<Transaction<'t>>,
    ) -> Option<Flight>
    where
        'a: 't,
    {
        let Task { parts, envelope, message, .. } = &self.task;
        let transaction = begun.insert(Transaction::new(terms, envelope, recipients, message.facts()));
        let flight = Flight::of(transaction, message, parts.session.observer.is_some());
        if flight.is_none() {
            *begun = None;
        }
        flight
    }

    /// Transactions until every open recipient was asked for; the first may have been begun already.
    pub(super) async fn converse(
        &self,
        mut lease: Lease<Line>,
        begun: &mut Option<Transaction<'_>>,
        pending: &mut [Pending<'_>],
    ) -> Conversed {
        let Some((line, _)) = lease.split() else { return Conversed::Gone(None) };
        line.session.limit(self.task.ends);
        let (hop, offered) = (line.hop.clone(), line.session.terms());
        let terms = self.terms(offered, lease.idle_for());
        let mut conversation = Conversation { visit: self, lease, hop, terms, has_left: false };
        if conversation.run(begun, pending).await.is_break() {
            conversation.leave().await;
            return Conversed::Gone(conversation.lease.into_slot().await);
        }
        if let Some(goodbye) = conversation.end() {
            goodbye.await;
        }
        Conversed::Done
    }

    /// What is known of the server, less what it is known to break.
    pub(super) fn terms(&self, mut terms: Terms, idle_for: Duration) -> Terms {
        let habit = self.task.parts.habits.of(self.key());
        let may_use_chunks = !habit.surplus_replies || Terms::needs_chunks(self.task.message.facts());
        terms.chunking &= !habit.chunking_unknown && may_use_chunks;
        terms.pipelining &= !habit.is_lock_step();
        if idle_for > STILL_ALIVE {
            terms.single_flight_limit = 0;
        }
        terms
    }

    /// What a verdict means for whoever it was said of.
    fn judge(&self, hop: &Hop, verdict: Verdict, others: bool) -> Judged {
        let tried = |failure| self.tried(failure, Some(hop.clone()));
        Failure::judge(verdict, others).map_err(tried)
    }
}

impl<'a> Conversation<'_, 'a> {
    /// A transaction that was full is followed by another with as many recipients as that one took, for as long as it
    /// took any (check 038). Breaks off where another connection is to be used.
    async fn run(
        &mut self,
        begun: &mut Option<Transaction<'_>>,
        pending: &mut [Pending<'_>],
    ) -> ControlFlow<()> {
        pending.iter_mut().for_each(Pending::wait);
        let mut limit = self.visit.task.parts.limits.recipients.max(1);
        // whether another connection may be used for those who are left: each must have brought something about
        let (mut is_first, mut may_be_replaced) = (true, true);
        loop {
            let asked = Asked::of(waiting(pending), self.visit.task.envelope, limit);
            if asked.recipients().len() == 0 {
                return ControlFlow::Continue(());
            }
            let is_last = pending.len() <= limit || waiting(pending).nth(limit).is_none();
            // without one there is nothing to be moved
            let mut transaction = if begun.is_some() { begun.take() } else { None };
            let said = self.transact(asked.recipients(), &mut transaction, is_last).await;
            if may_be_replaced && self.is_gone(said.as_ref(), is_first) {
                return ControlFlow::Break(());
            }
            is_first = false;
            let said = match said {
                Ok(said) => said,
                Err(verdict) => {
                    self.give_up(pending, &verdict);
                    return ControlFlow::Continue(());
                }
            };
            if said.chunking_unknown && !said.may_have_arrived() && self.learns_that_chunks_are_unknown() {
                return ControlFlow::Break(());
            }
            may_be_replaced = said.delivered();
            match self.note(pending, said) {
                Some(fewer) => limit = fewer,
                None if is_last => return ControlFlow::Continue(()),
                None => {}
            }
        }
    }

    /// Notes that the server does not know the command it announced. Nothing was taken, and where that is remembered the
    /// next connection does without.
    fn learns_that_chunks_are_unknown(&self) -> bool {
        let (habits, key) = (&self.visit.task.parts.habits, self.visit.key());
        habits.note(key, Habit::CHUNKING_UNKNOWN);
        self.terms.chunking && habits.of(key).chunking_unknown
    }

    /// One transaction, that may have been begun, or why there could be none.
    async fn transact<'t>(
        &mut self,
        recipients: Recipients<'t>,
        begun: &mut Option<Transaction<'t>>,
        is_last: bool,
    ) -> Result<Said, Verdict>
    where
        'a: 't,
    {
        let task = self.visit.task;
        let is_early = begun.is_some() && self.lease.is_new();
        let Some((line, queue)) = self.lease.split() else { return Err(Verdict::gone()) };
        let transaction = match begun {
            Some(begun) => begun,
            None => {
                line.session.prepare().await?;
                begun.insert(Transaction::new(self.terms, task.envelope, recipients, task.message.facts()))
            }
        };
        queue.count();
        let mut others = Others { queue, terms: self.terms, is_last };
        self.has_left = line.session.convey(transaction, task.message, &mut others).await;
        let mut said = Said {
            accepted: transaction.accepted(),
            chunking_unknown: transaction.chunking_unknown(),
            fault: transaction.fault(),
            is_lock_step: transaction.is_lock_step(),
            verdicts: transaction.finish().0,
            is_early,
        };
        // commands that were sent early may have caused it
        if is_early {
            said.fault = None;
        }
        self.remember_fault(&said);
        Ok(said)
    }

    /// Remembers for an hour that the replies of the server did not match the commands.
    fn remember_fault(&self, said: &Said) {
        let habit = match said.fault {
            Some(ReplyFault::Surplus) => Habit::SURPLUS_REPLIES,
            Some(ReplyFault::Group) if !said.is_lock_step => Habit::LOCK_STEP,
            Some(ReplyFault::Group) | None => return,
        };
        self.visit.task.parts.habits.note(self.visit.key(), habit);
    }

    /// Returns `true` if the message must go over another connection:
    ///
    /// - a reused connection was lost or out of step,
    /// - a pipelining group was not answered correctly, and is repeated in lock step,
    /// - a new connection may have been lost because of commands that were sent early.
    fn is_gone(&self, said: Result<&Said, &Verdict>, is_first: bool) -> bool {
        let is_new = is_first && self.lease.is_new();
        if !is_new && is_gone(said) {
            return true;
        }
        if said.is_ok_and(Said::should_retry_in_lock_step) {
            return self.visit.task.parts.habits.of(self.visit.key()).is_lock_step();
        }
        let Some(said) = said.ok().filter(|said| said.is_early && is_new) else { return false };
        if said.verdicts.iter().any(broke_early) {
            self.visit.note_surprise();
        }
        all_asked(said, is_lost_early)
    }

    /// Settles who was asked for, but for those for whom the transaction was full: these are left, and how many at a time
    /// they may be is given back.
    fn note(&mut self, pending: &mut [Pending<'_>], said: Said) -> Option<usize> {
        let Said { verdicts, accepted, .. } = said;
        // only a message that was taken is worth sending once more
        let taken = verdicts.iter().any(Verdict::is_delivered);
        let is_free = !self.has_left && !self.lease.is_followed();
        let again = taken && self.is_usable() && is_free;
        let judge = |verdict| self.visit.judge(&self.hop, verdict, accepted > 0);
        let (own, rest) = verdicts.into_parts();
        let rest = LazyCell::new(|| judge(rest));
        let mut are_left = false;
        for (pending, own) in waiting(pending).zip(own) {
            match own {
                Some(verdict) if again && is_full(&verdict) => {
                    are_left = true;
                    pending.wait_on(verdict);
                }
                Some(verdict) => pending.judged(judge(verdict), &self.hop),
                None => pending.judged(rest.clone(), &self.hop),
            }
        }
        are_left.then_some(accepted)
    }

    /// Those for whom a transaction was full keep what the server said of it.
    fn give_up(&self, pending: &mut [Pending<'_>], verdict: &Verdict) {
        let judge = |verdict, others| self.visit.judge(&self.hop, verdict, others);
        let rest = LazyCell::new(|| judge(verdict.clone(), false));
        for pending in waiting(pending) {
            let judged = pending.full().map_or_else(|| rest.clone(), |full| judge(full, true));
            pending.judged(judged, &self.hop);
        }
    }

    fn is_usable(&mut self) -> bool {
        self.lease.split().is_some_and(|(line, _)| line.session.is_usable())
    }

    /// Sends QUIT on a reused connection that is left for another, if it is sound (RFC 5321 section 4.1.1.10). On a new one
    /// commands may have been sent early, and QUIT could be taken for content.
    async fn leave(&mut self) {
        if self.lease.is_new() {
            return;
        }
        if let Some((line, _)) = self.lease.split()
            && line.session.is_usable()
        {
            line.session.leave().await;
        }
    }

    /// Gives the connection back, or says goodbye, which is waited for. One that is of no more use is closed.
    fn end(mut self) -> Option<BoxFuture<'static, ()>> {
        if self.has_left {
            return Some(left(self.lease).boxed());
        }
        let closing = if self.is_usable() { self.lease.give_back() } else { None };
        closing.map(|closing| closing.close().boxed())
    }
}

impl Said {
    /// Returns `true` if the server cannot have the message, and did not refuse its content.
    fn is_safe_to_retry(&self) -> bool {
        !self.may_have_arrived() && !self.verdicts.iter().any(Verdict::is_refused_content)
    }

    /// Returns `true` if the server took the message for a recipient.
    fn delivered(&self) -> bool {
        self.verdicts.iter().any(Verdict::is_delivered)
    }

    /// Returns `true` if the server has the message, or may have it, for any recipient.
    fn may_have_arrived(&self) -> bool {
        self.verdicts.iter().any(Verdict::may_have_arrived)
    }

    /// Returns `true` if the transaction may be repeated in lock step, because its group was not answered correctly.
    fn should_retry_in_lock_step(&self) -> bool {
        self.fault.is_some()
            && !self.is_lock_step
            && self.is_safe_to_retry()
            && self.verdicts.iter().any(|verdict| matches!(verdict, Verdict::Broken { .. }))
    }

    /// Returns `true` if a reused connection ended, or if a reply on it may belong to an earlier command.
    fn shows_stale_connection(&self) -> bool {
        let is_out_of_step =
            self.fault.is_some() || self.is_lock_step && self.verdicts.iter().all(is_refused_sender);
        self.is_safe_to_retry()
            && (is_out_of_step || self.verdicts.iter().any(|verdict| is_lost(verdict) || is_closing(verdict)))
    }
}

/// Closes a connection on which QUIT was already sent.
async fn left(mut lease: Lease<Line>) {
    if let Some((line, _)) = lease.split() {
        line.session.left().await;
    }
    lease.close_at_once();
}

/// Returns `true` if a reused connection was lost or out of step before the server accepted anything (RFC 5321
/// section 3.8).
fn is_gone(said: Result<&Said, &Verdict>) -> bool {
    match said {
        Ok(said) => said.shows_stale_connection(),
        Err(verdict) => is_lost(verdict) || is_closing(verdict),
    }
}

/// Whether this is true of all who were asked for.
fn all_asked(said: &Said, is: fn(&Verdict) -> bool) -> bool {
    let mut asked = said.verdicts.iter().filter(|verdict| !matches!(verdict, Verdict::Unsupported(_)));
    asked.clone().any(is) && asked.all(is)
}

pub(super) fn is_lost(verdict: &Verdict) -> bool {
    let Verdict::Broken { why, may_have_arrived: false, .. } = verdict else { return false };
    matches!(why, Interruption::Disconnected | Interruption::Io(_))
}

/// Returns `true` if the server closed the session by 421 instead of executing a command.
fn is_closing(verdict: &Verdict) -> bool {
    let Verdict::Refused(stage, reply) = verdict else { return false };
    reply.code() == ReplyCode::SERVICE_CLOSING && !matches!(stage, Stage::Content | Stage::Final)
}

/// Returns `true` if MAIL was refused permanently. On a reused connection, in lock step, the reply may be a surplus reply
/// to an earlier command.
fn is_refused_sender(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(Stage::MailFrom, reply) if reply.class() == ReplyClass::Permanent)
}

/// Who waits for a connection, and what they have to say.
struct Others<'l> {
    queue: &'l mut Queue<Line>,
    terms: Terms,
    /// Whether this is the last message of the delivery.
    is_last: bool,
}

impl Behind for Others<'_> {
    fn next(&mut self, base: u64, after_reset: bool) -> Option<Flight> {
        // the replies to what goes behind come before those to another message of this delivery
        let place = Place { base, after_reset };
        self.is_last.then(|| self.queue.behind(&self.terms, place)).flatten()
    }

    fn resume(&mut self) {
        self.queue.resume();
    }

    fn is_followed(&self) -> bool {
        self.queue.is_followed()
    }

    fn is_last(&self) -> bool {
        self.is_last && self.queue.is_last()
    }

    fn listen(&mut self, waker: &Waker) -> bool {
        self.is_last && self.queue.listen(&self.terms, waker)
    }
}

/// Whether the transaction, and not the recipient, was refused.
fn is_full(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(Stage::RcptTo, reply) if is_too_many_recipients(reply, true))
}
