//! [`Announcements`]: which servers take commands before their greeting is read, and what is said to them then.

use std::net::IpAddr;
use std::time::Duration;

use super::converse::is_lost;
use super::recent::Recent;
use super::settle::{Asked, Pending, open};
use super::visit::Visit;
use crate::outcome::FailureKind;
use crate::pool::Key;
use crate::proto::{
    ClientName, Flight, Interruption, Protocol, ReplyCode, Stage, Terms, Transaction, Verdict,
};
use crate::route::Endpoint;
use crate::tls::Requirement;
use crate::transport::{Early, NotEstablished, Offers, Remedy};

/// What servers that take commands early offer, by all that they may make a difference by: who asks, and over what.
#[derive(Debug)]
pub(super) struct Announcements {
    known: Recent<Asker, Heard>,
    /// Whether the host wants anything said early.
    is_on: bool,
}

/// Whom a server answers EHLO.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asker {
    endpoint: Endpoint,
    protocol: Protocol,
    requirement: Requirement,
    source: Option<IpAddr>,
    client_name: Option<ClientName>,
}

impl Asker {
    fn of(key: &Key) -> Self {
        let Key { endpoint, protocol, requirement, source, client_name, .. } = key;
        let (endpoint, client_name) = (endpoint.clone(), client_name.clone());
        Self { endpoint, protocol: *protocol, requirement: *requirement, source: *source, client_name }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Announced(Offers),
    /// It was not what it was: until this is forgotten nothing that it announces counts.
    Surprised,
}

impl Announcements {
    pub(super) fn new(is_on: bool) -> Self {
        Self { known: Recent::new(), is_on }
    }

    /// What a server is believed to offer that takes commands early.
    fn of(&self, key: &Key) -> Option<Offers> {
        match self.heard(key)? {
            Heard::Announced(offers) => Some(offers),
            Heard::Surprised => None,
        }
    }

    fn heard(&self, key: &Key) -> Option<Heard> {
        self.known.get(|| Asker::of(key))
    }

    /// Remembers what a server offered on a connection that was just made, if it announced that it takes commands early.
    fn learn(&self, key: &Key, offers: Offers) {
        let announced = offers.announced();
        let is_announced = self.is_on && announced != Offers::default();
        match self.heard(key) {
            Some(Heard::Surprised) => {}
            None | Some(Heard::Announced(_)) if is_announced => self.note(key, Heard::Announced(announced)),
            None => {}
            Some(Heard::Announced(_)) => self.forget(key),
        }
    }

    fn forget(&self, key: &Key) {
        self.known.forget(&Asker::of(key));
    }

    fn note(&self, key: &Key, heard: Heard) {
        self.known.note(Asker::of(key), heard);
    }
}

/// What a server is taken to offer before it was heard, and who is to be asked for then.
pub(super) struct Guess<'s> {
    offers: Offers,
    asked: Asked<'s>,
}

impl<'a> Visit<'a> {
    /// What may be taken for granted on a new connection. Nothing goes in groups to a server that lost one.
    pub(super) fn guess<'s, 'r: 's>(&self, pending: &mut [Pending<'r>]) -> Option<Guess<'s>>
    where
        'a: 's,
    {
        let parts = self.task.parts;
        let offers = parts.announcements.of(self.key())?;
        if parts.habits.of(self.key()).is_lock_step() {
            return None;
        }
        let asked = Asked::of(open(pending), self.task.envelope, parts.limits.recipients.max(1));
        Some(Guess { offers, asked })
    }

    /// What is said early, and the transaction that begins with it.
    pub(super) fn begin_early<'t>(&self, guess: Option<&'t Guess<'_>>) -> (Early, Option<Transaction<'t>>)
    where
        'a: 't,
    {
        let Some(guess) = guess else { return Default::default() };
        let mut begun = None;
        let flight = self.begin_guessed(guess, &mut begun);
        (Early { offers: guess.offers, flight }, begun)
    }

    /// The commands of a transaction; none before a login. Content waits until the server has shown itself.
    fn begin_guessed<'t>(&self, guess: &'t Guess<'_>, begun: &mut Option<Transaction<'t>>) -> Option<Flight>
    where
        'a: 't,
    {
        let key = self.key();
        let offered = guess.offers.before_transaction(key.requirement);
        let offered = offered.filter(|_| key.credentials.is_none())?;
        let terms = self.terms(self.settings().terms(key.protocol, offered, false), Duration::ZERO);
        self.begin(Terms { single_flight_limit: 0, ..terms }, guess.asked.recipients(), begun)
    }

    pub(super) fn learn(&self, offers: Offers) {
        self.task.parts.announcements.learn(self.key(), offers);
    }

    /// A server to which something was said early is not what it was, and not believed for a while.
    pub(super) fn note_surprise(&self) {
        self.task.parts.announcements.note(self.key(), Heard::Surprised);
    }

    /// What comes of a connection on which something was said early. A refusal is the server's right; that it may be due
    /// to what was said is reason enough to be patient the next time.
    pub(super) fn note_failure(&self, error: &NotEstablished) {
        use FailureKind::{Disconnected, Protocol, TimedOut};
        // a wait that was ended by our own time limit is not a fault of the server
        if error.failure.is_cut_short() || self.task.is_over() {
            return;
        }
        let is_lost = matches!(error.failure.kind(), Disconnected | Protocol | TimedOut);
        match is_lost || error.remedy == Remedy::Patience {
            true => self.note_surprise(),
            false => self.task.parts.announcements.forget(self.key()),
        }
    }
}

/// Whether a connection was lost while commands that were sent early were not answered, or took them for out of order:
/// nothing of the content was sent.
pub(super) fn is_lost_early(verdict: &Verdict) -> bool {
    is_lost(verdict) && broke_early(verdict) || is_out_of_order(verdict)
}

/// Whether a dialogue broke off at a command that was sent early.
pub(super) fn broke_early(verdict: &Verdict) -> bool {
    use Stage::{Data, MailFrom, RcptTo};
    match verdict {
        // that is our own time limit
        Verdict::Broken { why: Interruption::SessionTimedOut, .. } => false,
        Verdict::Broken { stage: MailFrom | RcptTo | Data, .. } => true,
        verdict => is_out_of_order(verdict),
    }
}

/// Whether MAIL came at the wrong time (RFC 5321 section 4.2.4), as it does for whoever sees no EHLO before it.
fn is_out_of_order(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(Stage::MailFrom, reply) if reply.code() == ReplyCode::BAD_SEQUENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Capabilities;
    use crate::route::TlsLevel;

    fn announced(starttls: bool) -> Offers {
        let first = Capabilities { early_pipelining: true, starttls, ..Capabilities::default() };
        Offers { first: Some(first), secured: None }
    }

    #[test]
    fn an_announcement_is_for_one_server_one_demand_and_one_name_and_only_where_it_was_made() {
        let announcements = Announcements::new(true);
        let key = Key::of_port(1);
        let silent = Offers { first: Some(Capabilities::default()), secured: None };
        announcements.learn(&key, silent);
        assert_eq!(announcements.of(&key), None);
        announcements.learn(&key, Offers { secured: Some(Capabilities::default()), ..announced(true) });
        assert_eq!(announcements.of(&key), Some(announced(true)));
        let name = ClientName::parse("other.example").unwrap();
        for other in [
            Key::of_port(2),
            Key { protocol: Protocol::Lmtp, ..key.clone() },
            Key { requirement: Requirement::of_exchanger(TlsLevel::Verified), ..key.clone() },
            Key { source: Some([127, 0, 0, 2].into()), ..key.clone() },
            Key { client_name: Some(name), ..key.clone() },
        ] {
            assert_eq!(announcements.of(&other), None, "{other:?}");
        }
    }

    #[test]
    fn the_latest_announcement_counts_and_one_that_is_not_repeated_is_over() {
        let announcements = Announcements::new(true);
        let key = Key::of_port(1);
        announcements.learn(&key, announced(true));
        announcements.learn(&key, announced(false));
        assert_eq!(announcements.of(&key), Some(announced(false)));
        announcements.learn(&key, Offers::default());
        assert_eq!(announcements.of(&key), None);
    }

    #[test]
    fn who_surprised_once_is_not_believed_again() {
        let announcements = Announcements::new(true);
        let key = Key::of_port(1);
        announcements.learn(&key, announced(false));
        announcements.note(&key, Heard::Surprised);
        announcements.learn(&key, announced(false));
        assert_eq!(announcements.of(&key), None);
    }

    #[test]
    fn nothing_is_learnt_where_that_is_turned_off() {
        let announcements = Announcements::new(false);
        announcements.learn(&Key::of_port(1), announced(false));
        assert_eq!(announcements.of(&Key::of_port(1)), None);
    }
}
