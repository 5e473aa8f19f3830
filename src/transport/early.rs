//! [`Early`]: what is said on a new connection before the server said what it takes.

use crate::outcome::{Failure, FailureKind};
use crate::proto::{Ahead, Capabilities, Flight, Reply, ReplyCode, Stage, is_hello_unknown};
use crate::tls::{Requirement, Secured, Start};

/// What a server is remembered to offer where it announced that it takes commands early, by where it said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Offers {
    /// In its first reply to EHLO.
    pub(crate) first: Option<Capabilities>,
    /// In that behind a handshake that followed on STARTTLS.
    pub(crate) secured: Option<Capabilities>,
}

/// What may be said on a connection without a wait for what comes before it.
#[derive(Debug, Default)]
pub(crate) struct Early {
    pub(crate) offers: Offers,
    /// The commands of a transaction, for a server that offers what was remembered of the last EHLO before it.
    pub(crate) flight: Option<Flight>,
}

impl Offers {
    /// Of what was offered now that which is worth remembering.
    pub(crate) fn announced(self) -> Self {
        let announced = |offered: Option<Capabilities>| offered.filter(|offered| offered.early_pipelining);
        Self { first: announced(self.first), secured: announced(self.secured) }
    }

    /// Whether the connection is secured by STARTTLS, as far as is remembered.
    fn lead_to_starttls(&self, requirement: Requirement) -> bool {
        requirement.start == Start::StartTls && self.first.is_none_or(|first| first.starttls)
    }

    /// What was remembered of the last EHLO before a transaction. Where TLS is wanted that is one in TLS: that STARTTLS was
    /// not offered the last time is no reason not to wait whether it is this time (law 6).
    pub(crate) fn before_transaction(&self, requirement: Requirement) -> Option<Capabilities> {
        match requirement.start {
            Start::StartTls => self.secured.filter(|_| self.lead_to_starttls(requirement)),
            Start::Immediate | Start::Never => self.first,
        }
    }
}

impl Early {
    /// What goes out with the first EHLO; `None`: that waits for the greeting. Nothing of the envelope goes over a connection
    /// that does not prove what it must (law 6).
    pub(super) fn first(&mut self, requirement: Requirement, proved: Option<&Secured>) -> Option<Ahead> {
        self.offers.first?;
        Some(match requirement.start {
            Start::StartTls if self.offers.lead_to_starttls(requirement) => Ahead::StartTls,
            Start::StartTls => Ahead::Nothing,
            Start::Immediate | Start::Never => self.commands(requirement, proved),
        })
    }

    /// What goes out with the EHLO behind STARTTLS.
    pub(super) fn again(&mut self, requirement: Requirement, proved: &Secured) -> Ahead {
        match self.offers.secured {
            Some(_) => self.commands(requirement, Some(proved)),
            None => Ahead::Nothing,
        }
    }

    fn commands(&mut self, requirement: Requirement, proved: Option<&Secured>) -> Ahead {
        let flight = self.flight.take_if(|_| requirement.is_met_by(proved));
        flight.map_or(Ahead::Nothing, |flight| Ahead::Commands(Box::new(flight)))
    }
}

/// How much was said before it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    None,
    /// EHLO before the greeting.
    Hello,
    /// Something behind EHLO.
    Ahead,
}

impl Haste {
    pub(super) fn of(early: Option<&Ahead>) -> Self {
        match early {
            None => Self::None,
            Some(Ahead::Nothing) => Self::Hello,
            Some(_) => Self::Ahead,
        }
    }

    pub(super) fn behind_starttls(ahead: &Ahead) -> Self {
        if ahead.is_nothing() { Self::None } else { Self::Ahead }
    }

    /// Whether a command came at the wrong time for it (RFC 5321 section 4.2.4), as it does for whoever sees no EHLO before it.
    pub(super) fn is_out_of_order(self, reply: &Reply) -> bool {
        self == Self::Ahead && reply.code() == ReplyCode::BAD_SEQUENCE
    }

    /// Whether a failure may be due to it: a server that changed, or somebody between, cut the connection, or EHLO is not
    /// known any more, whose place HELO cannot take where others stand behind it. A greeting that refuses for good is not
    /// believed before it was said to a client that waited for it: it may be the answer to a client that did not.
    pub(super) fn may_have_caused(self, failure: &Failure) -> bool {
        let is_unknown = || {
            failure.stage() == Some(Stage::Hello)
                && failure.kind() == FailureKind::Refused
                && failure.reply().is_some_and(is_hello_unknown)
        };
        let is_cut_off = failure.kind() == FailureKind::Disconnected
            || failure.stage() == Some(Stage::Greeting) && failure.is_permanent();
        match self {
            Self::None => false,
            Self::Hello => is_cut_off,
            Self::Ahead => is_cut_off || is_unknown(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Output;
    use crate::route::TlsLevel;
    use crate::tls::{Proof, TlsVersion};

    /// What may be said at a server that offers this, in the clear; a transaction waits to be begun.
    fn said(starttls: bool, requirement: Requirement) -> &'static str {
        let first = Capabilities { early_pipelining: true, starttls, ..Capabilities::default() };
        let mut early = waiting(Offers { first: Some(first), secured: None });
        early.first(requirement, None).map_or("nothing", |ahead| word(&ahead))
    }

    fn waiting(offers: Offers) -> Early {
        let flight = Flight { octets: Output::default().take_all(), is_whole: false, said: Vec::new() };
        Early { offers, flight: Some(flight) }
    }

    fn word(ahead: &Ahead) -> &'static str {
        match ahead {
            Ahead::Nothing => "EHLO",
            Ahead::StartTls => "EHLO STARTTLS",
            Ahead::Commands(_) => "EHLO MAIL",
        }
    }

    #[test]
    fn law_6_behind_a_handshake_commands_go_early_where_it_proved_enough_and_that_was_announced_there() {
        let offered = Some(Capabilities { early_pipelining: true, ..Capabilities::default() });
        let said = |offers, proof| {
            let proved = Secured::new(TlsVersion::V1_3, proof, false);
            let verified = Requirement::of_exchanger(TlsLevel::Verified);
            word(&waiting(offers).again(verified, &proved))
        };
        let announced = Offers { first: None, secured: offered };
        assert_eq!(said(announced, Proof::Pkix), "EHLO MAIL");
        assert_eq!(said(announced, Proof::Unverified), "EHLO");
        assert_eq!(said(Offers { first: offered, secured: None }, Proof::Pkix), "EHLO");
    }

    #[test]
    fn law_6_nothing_of_the_envelope_goes_early_over_a_connection_that_does_not_prove_what_it_must() {
        for level in [TlsLevel::Required, TlsLevel::Verified] {
            assert_eq!(said(false, Requirement::of_exchanger(level)), "EHLO", "{level}");
            assert_eq!(said(true, Requirement::of_exchanger(level)), "EHLO STARTTLS", "{level}");
        }
        assert_eq!(said(true, Requirement::of_exchanger(TlsLevel::Opportunistic)), "EHLO STARTTLS");
        // whether STARTTLS is offered this time is not known
        assert_eq!(said(false, Requirement::of_exchanger(TlsLevel::Opportunistic)), "EHLO");
        assert_eq!(said(true, Requirement::CLEARTEXT), "EHLO MAIL");
    }
}
