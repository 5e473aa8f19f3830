//! Compares reports with the ledger.

use std::fmt;

use nexthop::proto::ReplyClass;
use nexthop::{Outcome, Protocol, RecipientReport};

use crate::cells::{Cell, Sharing};
use crate::fault::{Kind, Step, Strike};
use crate::ledger::{Entry, Key, Ledger};
use crate::run::Delivery;

/// A rule that a report breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A delivery did not end.
    Hangs,
    /// Not one outcome per recipient, in order.
    Outcomes,
    /// Delivered, and the server never took it.
    Lost,
    /// Delivered by the reply to another command; the server took it and never answered.
    ForeignReply,
    /// Accepted more than once, and no `may_have_arrived`.
    Duplicated,
    /// Accepted, and reported as deferred or failed without `may_have_arrived`.
    Unnoticed,
    /// Failed without a 5yz reply to the recipient or its transaction.
    FalsePermanent,
    /// Octets of content were executed as commands.
    Forged,
    /// The server took other content than was sent.
    Altered,
    /// A later message without any fault was not delivered.
    LaterMessage,
    /// An honest server was not reported exactly.
    Inexact,
    /// A message was misjudged by a shifted reply that shows only at the next message, whose commands were sent already.
    /// Counted and printed, no failure of the test: the next 354 or chunk is the first place at which a client can notice.
    Followed,
    /// A message on a connection that ended before it accepted anything was not retried on another one.
    NotRetried,
}

/// A rule that was broken, with the circumstances.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) text: String,
}

/// Number of the message after the fault that must be delivered in any case.
const HEALTHY: usize = 6;

/// Returns everything that the reports of a cell have wrong.
pub(crate) fn judge(cell: &Cell, ledger: &Ledger, deliveries: &[Delivery]) -> Vec<Violation> {
    let mut violations = Vec::new();
    if !ledger.forged.is_empty() && !is_beyond_clients(ledger) {
        violations.push(Violation { rule: Rule::Forged, text: format!("executed {:?}", ledger.forged) });
    }
    for message in &ledger.altered {
        violations.push(Violation { rule: Rule::Altered, text: format!("m{message}") });
    }
    for delivery in deliveries {
        violations.extend(judge_delivery(cell, ledger, delivery));
    }
    violations
}

/// Returns `true` if the server lies consistently: its surplus reply came while the client waited for just one reply, which
/// was not there yet. Replies have no names, so no client can tell the two apart until the next 354 or empty input. Later
/// messages are judged all the same.
fn is_beyond_clients(ledger: &Ledger) -> bool {
    ledger.is_indistinguishable
}

fn judge_delivery(cell: &Cell, ledger: &Ledger, delivery: &Delivery) -> Vec<Violation> {
    let message = delivery.message;
    let Some(report) = &delivery.report else {
        return vec![Violation { rule: Rule::Hangs, text: format!("m{message}") }];
    };
    let names: Vec<_> = report.recipients().iter().map(|report| report.recipient.to_string()).collect();
    let wanted: Vec<_> = (0..cell.recipients).map(|index| format!("r{index}@x.example")).collect();
    if names != wanted {
        return vec![Violation { rule: Rule::Outcomes, text: format!("m{message}: {names:?}") }];
    }
    let judged = report.recipients().iter().enumerate().map(|(recipient, report)| {
        let key = Key { message, recipient };
        Judged { cell, ledger, key, entry: ledger.entry(key), report }.violations()
    });
    judged.flatten().collect()
}

/// One recipient of one message.
struct Judged<'a> {
    cell: &'a Cell,
    ledger: &'a Ledger,
    key: Key,
    entry: Entry,
    report: &'a RecipientReport,
}

impl Judged<'_> {
    fn violations(&self) -> Vec<Violation> {
        let mut rules = Vec::new();
        let is_beyond =
            self.cell.is_beyond_clients() || is_beyond_clients(self.ledger) || self.is_refused_in_order();
        if !is_beyond || self.key.message < self.cell.first_victim() {
            rules.extend(
                self.broken_promise().map(|rule| if self.is_followed() { Rule::Followed } else { rule }),
            );
        }
        rules.extend(self.broken_expectation());
        let violation = |rule| Violation { rule, text: self.text() };
        rules.into_iter().map(violation).collect()
    }

    /// Returns the promise to every sender that the report breaks.
    fn broken_promise(&self) -> Option<Rule> {
        let Entry { accepted, unconfirmed, .. } = self.entry;
        let is_permanent = matches!(self.report.outcome, Outcome::Failed(_));
        let was_refused = self.entry.refusals.iter().any(|code| (500..600).contains(code));
        if accepted + unconfirmed > 1 && !self.may_have_arrived() {
            return Some(Rule::Duplicated);
        }
        match self.report.outcome {
            Outcome::Delivered(_) if accepted == 0 && unconfirmed > 0 => Some(Rule::ForeignReply),
            Outcome::Delivered(_) if accepted == 0 => Some(Rule::Lost),
            Outcome::Delivered(_) => None,
            _ if accepted + unconfirmed > 0 && !self.may_have_arrived() => Some(Rule::Unnoticed),
            _ if is_permanent && !was_refused => Some(Rule::FalsePermanent),
            _ => None,
        }
    }

    /// Returns `true` if a surplus refusal stands among the final replies of LMTP and this recipient was refused by the reply
    /// in its place. The same octets may come of a surplus 2yz behind the last one, where the refusal is right, so the order
    /// decides.
    fn is_refused_in_order(&self) -> bool {
        let is_surplus_refusal = |strike: Strike| {
            matches!((strike.fault.step, strike.fault.kind), (Step::Final(_), Kind::Surplus(550, _)))
        };
        self.cell.transport.protocol == Protocol::Lmtp
            && self.cell.strikes().any(is_surplus_refusal)
            && self.report.outcome.reply().is_some_and(|reply| reply.class() == ReplyClass::Permanent)
    }

    /// Returns `true` if the shift of replies that this fault causes cannot show before the replies to the next message, which
    /// was sent already.
    fn is_followed(&self) -> bool {
        let is_smtp = self.cell.transport.protocol == Protocol::Smtp;
        let has_shift = self.cell.strikes().any(|strike| strike.fault.kind.shifts_replies());
        is_smtp && has_shift && self.ledger.followed.contains(&self.key.message)
    }

    /// Returns the expectation of this cell that the report does not meet.
    fn broken_expectation(&self) -> Option<Rule> {
        let is_delivered = self.report.outcome.is_delivered();
        if self.key.message == HEALTHY {
            return (!is_delivered).then_some(Rule::LaterMessage);
        }
        if !self.cell.is_single() {
            return None;
        }
        if self.is_exact() && !self.is_as_decided() {
            return Some(Rule::Inexact);
        }
        if self.is_retried() && !self.is_as_decided() {
            return Some(Rule::NotRetried);
        }
        None
    }

    /// Returns `true` if the report must be what the server decided.
    fn is_exact(&self) -> bool {
        let fault = self.cell.fault;
        let is_untouched = self.key.message < self.cell.sharing.victim() && !fault.step.is_of_connection();
        let is_farewell = fault.step == Step::Quit && !matches!(fault.kind, Kind::Surplus(..));
        // a refused RSET says nothing about the message behind it, which may be deferred
        let is_about_message = !matches!(fault.step, Step::Greeting | Step::Hello | Step::Reset);
        is_untouched || is_farewell || fault.kind.is_honest() && is_about_message
    }

    /// Returns `true` if the connection was reused, and ended at the first command of this message. Where content goes with
    /// that command the message may have arrived.
    fn is_retried(&self) -> bool {
        let fault = self.cell.fault;
        let is_first = matches!(fault.step, Step::Mail | Step::Reset) && !self.cell.transport.single_flight;
        self.cell.sharing != Sharing::Fresh && is_first && fault.kind.ends_session()
    }

    fn is_as_decided(&self) -> bool {
        match (&self.report.outcome, self.entry.latest) {
            (Outcome::Delivered(_), Some(250)) => true,
            (Outcome::Deferred(_), Some(code)) => (400..500).contains(&code),
            (Outcome::Failed(_), Some(code)) => code >= 500,
            _ => false,
        }
    }

    /// Returns `true` if the outcome or an attempt reports uncertainty.
    fn may_have_arrived(&self) -> bool {
        let attempts = self.report.attempts.iter().map(|attempt| attempt.failure());
        self.report.outcome.failure().into_iter().chain(attempts).any(|failure| failure.may_have_arrived())
    }

    fn text(&self) -> String {
        let Entry { accepted, unconfirmed, refusals, .. } = &self.entry;
        let Key { message, recipient } = self.key;
        let mark = if self.may_have_arrived() { ", may have arrived" } else { "" };
        format!(
            "m{message} r{recipient}: {}{mark}; ledger: accepted {accepted}, taken without a reply {unconfirmed}, refused {refusals:?}",
            self.report.outcome
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hangs => "a delivery does not end",
            Self::Outcomes => "not one outcome per recipient",
            Self::Lost => "delivered, never accepted",
            Self::ForeignReply => "delivered by the reply to another command",
            Self::Duplicated => "accepted twice without notice",
            Self::Unnoticed => "accepted, deferred or failed without notice",
            Self::FalsePermanent => "failed without a 5yz reply",
            Self::Forged => "content executed as commands",
            Self::Altered => "altered content accepted",
            Self::LaterMessage => "a later message is not delivered",
            Self::Inexact => "not what an honest server decided",
            Self::Followed => "misjudged with the next message behind it (no failure)",
            Self::NotRetried => "not retried on another connection",
        })
    }
}
