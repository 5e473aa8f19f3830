//! [`Pending`]: a recipient on its way through the candidates, until something decides.

use super::report::{Hop, HopAttempt, RecipientReport, Report};
use crate::mail::{Envelope, Recipient};
use crate::outcome::{Delivered, Failure, Outcome};
use crate::plan::Candidate;
use crate::proto::{Recipients, Verdict};
use crate::route::Endpoint;

/// A recipient, what was tried for it, and what decided.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    /// Its place in the envelope.
    pub(super) index: usize,
    pub(super) recipient: &'a Recipient,
    tried: Vec<Tried>,
    settled: Option<Outcome>,
    hop: Option<Hop>,
    /// Whether it is to be asked for in the conversation that is held now.
    is_waiting: bool,
    /// Sessions with servers that were held for it.
    sessions: usize,
    /// `true` if nothing more is tried for it at the current host.
    skips_host: bool,
    /// `true` if addresses were left when it reached the session limit.
    is_cut_off: bool,
    /// What was said of it in a transaction that was full.
    full: Option<Box<Verdict>>,
}

/// A failure at one candidate. A hop that was reached stands beside the attempt.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub(super) hop: Option<Hop>,
    pub(super) attempt: HopAttempt,
}

/// A host by its name, and the port that is dialled there; `None` if no port is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostId {
    name: String,
    port: Option<u16>,
}

impl HostId {
    pub(super) fn of(candidate: &Candidate) -> Self {
        Self { name: candidate.name(), port: candidate.endpoint.as_ref().and_then(port) }
    }
}

fn port(endpoint: &Endpoint) -> Option<u16> {
    match endpoint {
        Endpoint::Tcp(address) => Some(address.port()),
        Endpoint::Unix(_) => None,
    }
}

impl Tried {
    /// Returns `true` if a server of the host refused the transaction or the recipient.
    fn is_refused_by(&self, host: &HostId) -> bool {
        let attempt = &self.attempt;
        attempt.failure().is_refused_transaction()
            && attempt.host() == host.name
            && attempt.endpoint().and_then(port) == host.port
    }
}

impl<'a> Pending<'a> {
    pub(super) fn new(index: usize, recipient: &'a Recipient) -> Self {
        Self {
            index,
            recipient,
            tried: Vec::new(),
            settled: None,
            hop: None,
            is_waiting: false,
            sessions: 0,
            skips_host: false,
            is_cut_off: false,
            full: None,
        }
    }

    /// Waits to be asked for, if it is open.
    pub(super) fn wait(&mut self) {
        self.is_waiting = self.is_open();
    }

    /// Returns `true` if it is not settled, and is to be tried at the current host.
    fn is_open(&self) -> bool {
        !self.is_settled() && !self.skips_host
    }

    /// Begins with another host, or with further addresses of one. Nothing is tried for the recipient at a host that refused
    /// it or its transaction, nor after so many sessions.
    pub(super) fn turn_to(&mut self, host: Option<&HostId>, most: usize) {
        let is_refused = host.is_some_and(|host| self.tried.iter().any(|tried| tried.is_refused_by(host)));
        self.skips_host = is_refused || self.sessions >= most;
        self.is_cut_off |= !is_refused && self.sessions >= most;
    }

    /// Returns `true` if another host may be tried for it.
    pub(super) fn may_go_on(&self) -> bool {
        !self.is_settled() && !self.is_cut_off
    }

    /// Counts sessions that were held for it.
    pub(super) fn count_sessions(&mut self, count: usize) {
        self.sessions += count;
    }

    /// Uncounts a session that ended before any command of a transaction.
    pub(super) fn uncount_session(&mut self) {
        self.sessions = self.sessions.saturating_sub(1);
    }

    /// Returns the number of sessions left for it, of `most`.
    pub(super) fn sessions_left(&self, most: usize) -> usize {
        most.saturating_sub(self.sessions)
    }

    /// Leaves the host if it has reached the session limit. `more`: addresses of the host are left.
    pub(super) fn leave_if_used_up(&mut self, most: usize, more: bool) {
        if self.is_open() && self.sessions >= most {
            self.skips_host = true;
            self.is_cut_off |= more;
        }
    }

    /// Waits on for another transaction: this one was full.
    pub(super) fn wait_on(&mut self, full: Verdict) {
        self.full = Some(Box::new(full));
    }

    /// What was said of it in a transaction that was full.
    pub(super) fn full(&mut self) -> Option<Verdict> {
        self.full.take().map(|full| *full)
    }

    /// Was asked for, with this result.
    pub(super) fn judged(&mut self, judged: Result<Delivered, Tried>, hop: &Hop) {
        self.is_waiting = false;
        self.full = None;
        match judged {
            Ok(delivered) => self.settle(Outcome::Delivered(delivered), Some(hop.clone())),
            Err(tried) => self.failed(tried),
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.is_some()
    }

    /// Notes a failure. One that ends the attempt settles the recipient, others leave it to the next candidate, which is at
    /// another host if the server refused the transaction.
    pub(super) fn failed(&mut self, tried: Tried) {
        let failure = tried.attempt.failure();
        self.skips_host |= failure.is_refused_transaction();
        match (failure.ends_attempt(), &tried.hop) {
            (true, Some(hop)) => self.settle(failure.clone().into(), Some(hop.clone())),
            _ => self.tried.push(tried),
        }
    }

    pub(super) fn settle(&mut self, outcome: Outcome, hop: Option<Hop>) {
        self.settled = Some(outcome);
        self.hop = hop;
    }

    /// What became of it, now that there is nothing left to try. `untried` is why not everything was tried.
    pub(super) fn finish(mut self, untried: Option<&Failure>) -> (usize, RecipientReport) {
        if self.settled.is_none() {
            let cut_off = self.is_cut_off.then(Failure::out_of_sessions);
            let untried = untried.or(cut_off.as_ref());
            self.settle_by_best(untried);
        }
        let outcome = self.settled.unwrap_or_else(|| Failure::local_for_now("no outcome was reached").into());
        let attempts = match self.tried.is_empty() {
            true => Vec::new(),
            false => self.tried.into_iter().map(|tried| tried.attempt).collect(),
        };
        let report = RecipientReport { recipient: self.recipient.clone(), outcome, hop: self.hop, attempts };
        (self.index, report)
    }

    /// The failure that tells most decides; its hop, if it was reached, is no attempt beside it any more.
    /// An address that could not be connected to says nothing where another one of the same host was spoken to.
    /// What lasts at the hosts that were tried says nothing of those that were not (check 287).
    fn settle_by_best(&mut self, untried: Option<&Failure>) {
        let weighty = self.tried.iter().enumerate().filter(|(_, tried)| !self.is_outdone(tried));
        let weighed =
            weighty.max_by_key(|(_, tried)| (tried.attempt.failure().weight(), tried.hop.is_some()));
        let Some((place, best)) = weighed else {
            let nothing = untried.cloned().unwrap_or_else(|| Failure::local_for_now("nothing was tried"));
            return self.settle(nothing.into(), None);
        };
        let failure = best.attempt.failure().clone();
        if let Some(hope) = untried.filter(|hope| failure.is_permanent() && !hope.is_permanent()) {
            return self.settle(hope.clone().into(), None);
        }
        let hop = self.tried[place].hop.clone();
        if hop.is_some() {
            self.tried.remove(place);
        }
        self.settle(failure.into(), hop);
    }

    fn is_outdone(&self, tried: &Tried) -> bool {
        let of_same_host = |other: &&Tried| other.attempt.host() == tried.attempt.host();
        tried.hop.is_none() && self.tried.iter().filter(of_same_host).any(|other| other.hop.is_some())
    }
}

/// The recipients of an envelope on their way. One alone, which is usual, needs no list.
pub(super) enum AllPending<'a> {
    One([Pending<'a>; 1]),
    Many(Vec<Pending<'a>>),
}

impl<'a> AllPending<'a> {
    pub(super) fn of(envelope: &'a Envelope) -> Self {
        match envelope.recipients() {
            [only] => Self::One([Pending::new(0, only)]),
            many => {
                let pending =
                    many.iter().enumerate().map(|(index, recipient)| Pending::new(index, recipient));
                Self::Many(pending.collect())
            }
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Pending<'a>] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }

    /// What became of them. `untried` is why not everything was tried.
    pub(super) fn finish(self, untried: Option<&Failure>) -> Report {
        let finish = |pending: Pending<'a>| pending.finish(untried).1;
        Report::new(match self {
            Self::One(one) => one.map(finish).into(),
            Self::Many(many) => many.into_iter().map(finish).collect(),
        })
    }
}

/// Recipients that are asked for together.
pub(super) enum Asked<'s> {
    /// The first ones of the envelope.
    All(&'s [Recipient]),
    Some(Vec<&'s Recipient>),
}

impl<'s> Asked<'s> {
    /// The first of these, `limit` at most.
    pub(super) fn of<'p, 'r: 'p + 's>(
        pending: impl Iterator<Item = &'p mut Pending<'r>>,
        envelope: &'s Envelope,
        limit: usize,
    ) -> Self {
        let (mut count, mut some) = (0, Vec::new());
        for pending in pending.take(limit) {
            // as long as they are the first ones of the envelope they need no list
            if some.is_empty() && pending.index == count {
                count += 1;
                continue;
            }
            if some.is_empty() {
                some.extend(&envelope.recipients()[..count]);
            }
            some.push(pending.recipient);
        }
        match some.is_empty() {
            true => Self::All(&envelope.recipients()[..count]),
            false => Self::Some(some),
        }
    }

    pub(super) fn recipients(&self) -> Recipients<'_> {
        match self {
            Self::All(all) => Recipients::All(all),
            Self::Some(some) => Recipients::Some(some),
        }
    }
}

/// Those who are to be asked for in this conversation.
pub(super) fn waiting<'p, 'a>(pending: &'p mut [Pending<'a>]) -> impl Iterator<Item = &'p mut Pending<'a>> {
    pending.iter_mut().filter(|pending| pending.is_waiting)
}

/// Returns the recipients that are not settled and are to be tried at the current host.
pub(super) fn open<'p, 'a>(pending: &'p mut [Pending<'a>]) -> impl Iterator<Item = &'p mut Pending<'a>> {
    pending.iter_mut().filter(|pending| pending.is_open())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those who are asked for together when these are open, and whether they need a list.
    fn asked(open: &[usize], limit: usize) -> (Vec<String>, bool) {
        let to = ["a@x.example", "b@x.example", "c@x.example"];
        let envelope = to.iter().fold(Envelope::new("").unwrap(), |envelope, to| envelope.to(to).unwrap());
        let recipients = envelope.recipients();
        let mut pending: Vec<_> =
            open.iter().map(|index| Pending::new(*index, &recipients[*index])).collect();
        let asked = Asked::of(pending.iter_mut(), &envelope, limit);
        match asked {
            Asked::All(all) => (all.iter().map(ToString::to_string).collect(), false),
            Asked::Some(some) => (some.iter().map(ToString::to_string).collect(), true),
        }
    }

    #[test]
    fn the_first_ones_of_an_envelope_need_no_list() {
        assert_eq!(
            asked(&[0, 1, 2], 9),
            (vec!["a@x.example".into(), "b@x.example".into(), "c@x.example".into()], false)
        );
        assert_eq!(asked(&[0, 1, 2], 1), (vec!["a@x.example".into()], false));
        assert_eq!(asked(&[], 9), (Vec::new(), false));
    }

    #[test]
    fn check_034_others_are_those_that_are_open_and_nobody_else() {
        assert_eq!(asked(&[1, 2], 9), (vec!["b@x.example".into(), "c@x.example".into()], true));
        assert_eq!(asked(&[0, 2], 9), (vec!["a@x.example".into(), "c@x.example".into()], true));
        assert_eq!(asked(&[2, 1], 1), (vec!["c@x.example".into()], true));
    }
}
