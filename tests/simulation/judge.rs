//! Compares what the host was told with what the servers have. The numbers of the rules are those of the laws that they
//! check.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use nexthop::proto::{ReplyClass, ReplyCode};
use nexthop::{Endpoint, Failure, FailureKind, Outcome};

use crate::host::{AttemptResult, Journal, Record};
use crate::ledger::{Attempt, Entry, Ledger};
use crate::server::Scene;
use crate::world::World;

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Not one outcome per recipient, in order.
    Outcomes,
    /// Delivered, and no ledger has it.
    Lost,
    /// An outcome stands on a reply to another command.
    ForeignReply,
    /// Taken, and reported as deferred or failed without `may_have_arrived`.
    Unnoticed,
    /// Taken twice in one attempt.
    Duplicated,
    /// Failed without a reason that is permanent.
    FalsePermanent,
    /// An address was dialled that is not permitted.
    Dialled,
    /// More connections or sessions than the limits allow.
    Limits,
    /// Something that the client must not say, or content that is not that of the message.
    Improper,
    /// A connection is left.
    LeftOpen,
    /// A delivery does not end in time.
    Hangs,
    /// A message is not delivered though nothing is wrong any more.
    NotDelivered,
    /// A message was delivered twice, and the host could not know that it may be.
    TwiceUnwarned,
    /// Code panicked.
    Panicked,
}

/// A rule that was broken, with the circumstances.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) text: String,
}

impl Violation {
    pub(crate) fn panicked() -> Self {
        Self { rule: Rule::Panicked, text: "see above".to_owned() }
    }
}

/// Time after the end of all faults in which what is remembered of servers is forgotten.
const MEMORY: Duration = Duration::from_secs(2 * 3600);

/// Time after the limit of an attempt within which it ends.
const GRACE: Duration = Duration::from_millis(50);
/// Connections of others that a recipient may be tried on in one attempt.
const MAX_REUSED: usize = 10;

/// Returns everything that is wrong in a world that has run.
pub(crate) fn judge(world: &World, scene: &Scene, journal: &Journal, left: &[String]) -> Vec<Violation> {
    let ledger = scene.ledger();
    let mut judge = Judge { world, scene, ledger: &ledger, found: Vec::new() };
    judge.network();
    for text in left {
        judge.add(Rule::LeftOpen, text.clone());
    }
    for line in &ledger.improper {
        judge.add(Rule::Improper, line.clone());
    }
    let mut owners: BTreeMap<(Attempt, &str), Vec<&Entry>> = BTreeMap::new();
    for entry in &ledger.entries {
        owners.entry((entry.attempt, &entry.recipient)).or_default().push(entry);
    }
    for record in &journal.records {
        judge.record(record, &owners);
    }
    judge.host(journal);
    judge.found
}

struct Judge<'a> {
    world: &'a World,
    scene: &'a Scene,
    ledger: &'a Ledger,
    found: Vec<Violation>,
}

impl Judge<'_> {
    fn add(&mut self, rule: Rule, text: String) {
        self.found.push(Violation { rule, text });
    }

    /// Judges what was dialled, and how many connections there were.
    fn network(&mut self) {
        let permitted: BTreeSet<_> =
            self.world.servers.iter().map(|server| server.endpoint.to_string()).collect();
        let strangers: Vec<_> = self
            .scene
            .network
            .dialled()
            .iter()
            .map(Endpoint::to_string)
            .filter(|place| !permitted.contains(place))
            .collect();
        if !strangers.is_empty() {
            self.add(Rule::Dialled, strangers.join(" "));
        }
        let limit = self.world.client.per_address.unwrap_or(self.world.client.connections);
        for server in &self.world.servers {
            let most = self.scene.network.most_held(&server.endpoint);
            if most > limit {
                self.add(Rule::Limits, format!("{most} connections to {}", server.endpoint));
            }
            let open = self.scene.network.open(&server.endpoint);
            if open > 0 {
                self.add(Rule::LeftOpen, format!("the server has {open} connections at {}", server.endpoint));
            }
        }
    }

    fn record(&mut self, record: &Record, owners: &BTreeMap<(Attempt, &str), Vec<&Entry>>) {
        let attempt = record.attempt;
        let is_doubtful = self.ledger.doubtful.contains(&attempt);
        for recipient in record.recipients.iter().collect::<BTreeSet<_>>() {
            let times = record.recipients.iter().filter(|other| *other == recipient).count();
            let entries = owners.get(&(attempt, recipient.as_str())).map_or(0, Vec::len);
            if entries > times && !is_doubtful {
                self.add(Rule::Duplicated, format!("{attempt} {recipient}: taken {entries} times"));
            }
            let asked = self
                .ledger
                .asked
                .iter()
                .filter(|asked| asked.attempt == attempt && asked.recipient == *recipient);
            let (first, behind): (Vec<_>, Vec<_>) = asked.partition(|asked| asked.is_first);
            // a connection that others had before is no session of this attempt if it is lost, and one may have been opened by
            // a delivery that said nothing on it
            let opened_by_others = usize::from(self.world.messages.len() > 1);
            if first.len() > self.world.client.max_sessions + opened_by_others || behind.len() > MAX_REUSED {
                let (first, behind) = (first.len(), behind.len());
                self.add(
                    Rule::Limits,
                    format!("{attempt} {recipient}: {first} new sessions, {behind} others"),
                );
            }
        }
        let limit = self.world.client.attempt.map(|limit| limit + GRACE);
        if limit.is_some_and(|limit| record.took > limit) {
            self.add(Rule::Hangs, format!("{attempt} took {:?}", record.took));
        }
        let report = match &record.result {
            AttemptResult::Reported(report) => report,
            AttemptResult::Cancelled => return,
            AttemptResult::Hung => return self.add(Rule::Hangs, attempt.to_string()),
        };
        let names: Vec<_> = report.iter().map(|(recipient, _)| recipient.to_string()).collect();
        if names != record.recipients {
            return self.add(Rule::Outcomes, format!("{attempt}: {names:?}"));
        }
        for recipient in record.recipients.iter().collect::<BTreeSet<_>>() {
            let entries = owners.get(&(attempt, recipient.as_str())).map_or(&[][..], Vec::as_slice);
            let is_same = |(to, _): &(&nexthop::Recipient, &Outcome)| to.to_string() == *recipient;
            let outcomes: Vec<_> = report.iter().filter(is_same).map(|(_, outcome)| outcome).collect();
            if !is_doubtful {
                self.recipient(attempt, recipient, &outcomes, entries);
            }
            let is_deferred = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Deferred(_)));
            let is_calm = record.began > self.scene.calm + MEMORY;
            // many messages and one connection may take longer than an attempt may
            let is_late = self.world.client.attempt.is_some_and(|limit| record.took >= limit);
            let is_limited = outcomes.iter().any(|outcome| outcome.reply().is_some_and(is_limit));
            if is_calm
                && is_deferred
                && !is_limited
                && !is_late
                && self.is_reachable(attempt.message, recipient)
            {
                self.add(Rule::NotDelivered, format!("{attempt} {recipient}: {}", outcomes[0]));
            }
        }
    }

    /// Judges the outcomes of a recipient, which may stand in the envelope more than once.
    fn recipient(&mut self, attempt: Attempt, recipient: &str, outcomes: &[&Outcome], entries: &[&Entry]) {
        let delivered = outcomes.iter().filter(|outcome| outcome.is_delivered()).count();
        let is_unsure = |outcome: &&&Outcome| outcome.failure().is_some_and(Failure::may_have_arrived);
        let unsure = outcomes.iter().filter(is_unsure).count();
        let answered = entries.iter().filter(|entry| entry.is_answered && entry.is_exact).count();
        let shown = || {
            let outcomes: Vec<_> = outcomes.iter().map(ToString::to_string).collect();
            format!("{attempt} {recipient}: {}: {entries:?}", outcomes.join(", "))
        };
        if delivered > answered {
            self.add(Rule::Lost, shown());
        }
        if entries.len() > delivered + unsure {
            self.add(Rule::Unnoticed, shown());
        }
        for outcome in outcomes {
            if self.foreign(attempt, recipient, outcome).is_some() {
                self.add(Rule::ForeignReply, shown());
            }
            if matches!(outcome, Outcome::Failed(failure) if !is_permanent(failure)) {
                self.add(Rule::FalsePermanent, shown());
            }
        }
    }

    /// Returns `true` if a message must be delivered when nothing is wrong. Where some servers do not take it, those may use
    /// up the sessions of each attempt.
    fn is_reachable(&self, message: usize, recipient: &str) -> bool {
        let Some(domain) = self.domain(recipient) else { return false };
        let mut servers = domain.servers.iter().map(|server| &self.world.servers[*server]);
        let is_ascii = self.world.messages[message].content.is_ascii();
        domain.is_reachable && servers.all(|server| is_ascii || server.abilities.eight_bit && !server.varies)
    }

    fn domain(&self, recipient: &str) -> Option<&crate::world::Domain> {
        let (_, name) = recipient.split_once('@')?;
        self.world.domains.iter().find(|domain| domain.name == name)
    }

    /// Returns the reply of an outcome if it answers something else.
    fn foreign(&self, attempt: Attempt, recipient: &str, outcome: &Outcome) -> Option<String> {
        let reply = outcome.reply()?;
        // a reply that broke the protocol is shown, and decides nothing
        if outcome.failure().is_some_and(|failure| failure.kind() != FailureKind::Refused) {
            return None;
        }
        // 421 is about the connection (RFC 5321 section 3.8)
        if reply.code() == ReplyCode::SERVICE_CLOSING {
            return None;
        }
        let text: Vec<_> = reply.text().collect();
        let text = text.join(" ");
        let words: Vec<_> = text.split(' ').collect();
        let has = |word: &str| words.contains(&word);
        // "deferred" is right where replies are in doubt, whichever is shown
        let is_harmless = matches!(outcome, Outcome::Deferred(_)) && (has("surplus") || has("early"));
        if is_harmless {
            return None;
        }
        let of_attempt = has(&attempt.to_string());
        let step_fits = match outcome {
            Outcome::Delivered(_) => of_attempt && has("final"),
            _ => of_attempt || has("greeting") || has("hello") || has("idle"),
        };
        let names: Vec<_> = words.iter().filter(|word| word.contains('@')).collect();
        let name_fits = names.is_empty() || names.iter().any(|name| **name == recipient);
        (!step_fits || !name_fits || has("surplus") || has("early") || has("order")).then(|| text.clone())
    }

    /// Judges what became of each message after all.
    fn host(&mut self, journal: &Journal) {
        for (number, message) in self.world.messages.iter().enumerate() {
            let records: Vec<_> =
                journal.records.iter().filter(|record| record.attempt.message == number).collect();
            let is_doubtful = records.iter().any(|record| self.ledger.doubtful.contains(&record.attempt));
            if is_doubtful {
                continue;
            }
            for recipient in message.recipients.iter().collect::<BTreeSet<_>>() {
                self.fate(number, recipient, &records, journal);
            }
        }
    }

    fn fate(&mut self, message: usize, recipient: &str, records: &[&Record], journal: &Journal) {
        let entries: Vec<_> = self
            .ledger
            .entries
            .iter()
            .filter(|entry| entry.attempt.message == message && entry.recipient == recipient)
            .collect();
        let is_pending = journal.pending[message].iter().any(|pending| pending == recipient);
        if is_pending && self.world.client.attempt.is_none() && self.is_reachable(message, recipient) {
            self.add(Rule::NotDelivered, format!("m{message} {recipient}: too old"));
        }
        let copies = |record: &Record| record.recipients.iter().filter(|other| *other == recipient).count();
        let warnings = |record: &&Record| match &record.result {
            AttemptResult::Reported(report) => report
                .iter()
                .filter(|(to, outcome)| {
                    to.to_string() == recipient && outcome.failure().is_some_and(Failure::may_have_arrived)
                })
                .count(),
            // the host that was told nothing knows that
            AttemptResult::Cancelled | AttemptResult::Hung => copies(record),
        };
        let warned: usize = records.iter().map(warnings).sum();
        if entries.len() > records.first().map_or(0, |record| copies(record)) + warned {
            self.add(Rule::TwiceUnwarned, format!("m{message} {recipient}: {entries:?}"));
        }
        if entries.is_empty() && !is_pending && !self.was_bounced(recipient, records) {
            self.add(Rule::Lost, format!("m{message} {recipient}: in no ledger"));
        }
    }

    fn was_bounced(&self, recipient: &str, records: &[&Record]) -> bool {
        records.iter().any(|record| {
            let AttemptResult::Reported(report) = &record.result else { return false };
            report
                .iter()
                .any(|(to, outcome)| to.to_string() == recipient && matches!(outcome, Outcome::Failed(_)))
        })
    }
}

/// Returns `true` if a server has as many connections as it takes, which is no fault.
fn is_limit(reply: &nexthop::Reply) -> bool {
    reply.text().any(|line| line.contains("too many connections"))
}

/// Returns `true` if a failure may be permanent in these worlds.
fn is_permanent(failure: &Failure) -> bool {
    match failure.reply() {
        Some(reply) => reply.class() == ReplyClass::Permanent,
        None => {
            matches!(failure.kind(), FailureKind::Unsupported | FailureKind::Forbidden | FailureKind::Routing)
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}
