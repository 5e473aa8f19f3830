//! One attempt at one destination: candidate after candidate, for whoever is not settled yet.

use super::deliver::Parts;
use super::report::{Hop, HopAttempt};
use super::settle::{Pending, Tried};
use crate::mail::{Envelope, Message};
use crate::outcome::{Failure, is_too_many_recipients};
use crate::plan::{Candidate, Dial, Plan, Standing};
use crate::proto::{Stage, Verdict};
use crate::transport::{Session, Stream, connect};

/// Tries the candidates of a plan in turn until every recipient is settled.
pub(super) async fn run(
    parts: &Parts,
    plan: &Plan,
    envelope: &Envelope,
    message: &Message,
    pending: &mut [Pending<'_>],
) {
    for candidate in &plan.candidates {
        if pending.iter().all(Pending::is_settled) {
            return;
        }
        let visit = Visit { parts, candidate, envelope, message };
        if let Err(tried) = visit.run(pending).await {
            open(pending).for_each(|pending| pending.failed(tried.clone()));
        }
    }
}

fn open<'p, 'a>(pending: &'p mut [Pending<'a>]) -> impl Iterator<Item = &'p mut Pending<'a>> {
    pending.iter_mut().filter(|pending| !pending.is_settled())
}

/// One candidate and what is brought to it.
struct Visit<'a> {
    parts: &'a Parts,
    candidate: &'a Candidate,
    envelope: &'a Envelope,
    message: &'a Message,
}

impl Visit<'_> {
    /// A session with the candidate; an error is that of all who are not settled.
    async fn run(&self, pending: &mut [Pending<'_>]) -> Result<(), Tried> {
        let dial = match (&self.candidate.standing, self.candidate.failure()) {
            (Standing::Allowed(dial), _) => dial,
            (_, Some(failure)) => return Err(self.tried(failure, None)),
            (_, None) => return Ok(()),
        };
        let stream = connect(dial, &self.parts.sources, self.parts.session.timeouts.connect).await;
        let stream = stream.map_err(|failure| self.tried(failure, None))?;
        let hop = self.hop(dial);
        let opened = Session::open(stream, self.candidate.protocol, self.parts.session.clone()).await;
        let mut session = opened.map_err(|failure| self.tried(failure, Some(hop.clone())))?;
        self.transactions(&mut session, &hop, pending).await;
        session.quit().await;
        Ok(())
    }

    /// Transactions until every open recipient was asked for. A transaction that was full is followed by
    /// another with as many recipients as that one took, for as long as it took any (check 038).
    async fn transactions(&self, session: &mut Session<Stream>, hop: &Hop, pending: &mut [Pending<'_>]) {
        let mut waiting: Vec<_> = open(pending).collect();
        let mut limit = self.parts.limits.recipients.max(1);
        while !waiting.is_empty() {
            let rest = waiting.split_off(limit.min(waiting.len()));
            let recipients: Vec<_> = waiting.iter().map(|pending| pending.recipient).collect();
            let (verdicts, accepted) = session.transact(self.envelope, &recipients, self.message).await;
            let again = accepted > 0 && session.is_usable();
            let mut full = Vec::new();
            for (pending, verdict) in waiting.into_iter().zip(verdicts) {
                match again && is_full(&verdict) {
                    true => full.push(pending),
                    false => self.settle(pending, verdict, accepted > 0, hop),
                }
            }
            if !full.is_empty() {
                limit = accepted;
            }
            waiting = full;
            waiting.extend(rest);
        }
    }

    fn settle(&self, pending: &mut Pending<'_>, verdict: Verdict, others: bool, hop: &Hop) {
        match Failure::judge(verdict, others) {
            Ok(delivered) => pending.delivered(delivered, Some(hop.clone())),
            Err(failure) => pending.failed(self.tried(failure, Some(hop.clone()))),
        }
    }

    fn hop(&self, dial: &Dial) -> Hop {
        Hop::new(self.candidate.name(), dial.endpoint(), self.candidate.protocol)
    }

    fn tried(&self, failure: Failure, hop: Option<Hop>) -> Tried {
        let attempt = HopAttempt::new(self.candidate.name(), self.candidate.endpoint.clone(), failure);
        Tried { hop, attempt }
    }
}

/// Whether the transaction, and not the recipient, was refused.
fn is_full(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(Stage::RcptTo, reply) if is_too_many_recipients(reply, true))
}
