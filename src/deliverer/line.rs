//! [`Line`]: a connection of the pool, and how one is opened.

use futures_util::future::{BoxFuture, FutureExt};

use super::early::Guess;
use super::report::Hop;
use super::settle::Tried;
use super::visit::{Dialled, Visit};
use crate::mail::{Domain, Host};
use crate::outcome::FailureKind;
use crate::pool::{Carried, Lease, OtherConnections, Slot};
use crate::proto::{Credentials, Transaction};
use crate::route::{HopTarget, NextHop};
use crate::tls::{Peer, Requirement, Secured, Start};
use crate::transport::{
    Connection, Demands, Early, Established, Login, NotEstablished, Remedy, Session, Stream, establish,
};

/// A session, and the hop that it is with.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) session: Box<Session<Stream>>,
    pub(super) hop: Hop,
}

impl Carried for Line {
    fn written(&self) -> u64 {
        self.session.written()
    }

    fn rest(&mut self) {
        self.session.rest();
    }

    fn close(self) -> BoxFuture<'static, ()> {
        // a delivery that closes it waits for QUIT no longer than its attempt may take
        self.session.quit().boxed()
    }

    fn abandon(mut self) -> BoxFuture<'static, ()> {
        async move { self.session.abandon().await }.boxed()
    }
}

/// Result of opening a session on a new connection.
#[derive(Debug)]
pub(super) struct Opened<'t> {
    /// Number of sessions that were held: with a further connection more than one, without a greeting none.
    pub(super) sessions: usize,
    pub(super) result: Result<(Lease<Line>, Option<Transaction<'t>>), NotOpened>,
}

/// Reason that no session was opened.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// It failed.
    Failed(Tried),
    /// The server accepts no further connection beside the others, and the delivery can wait for these.
    TurnedAway(OtherConnections, Tried),
}

impl<'a> Visit<'a> {
    /// A session that proves what it must, and the transaction that was begun on it, if one was; an error is that of all
    /// who are not settled. A server that is not what it was taken for is spoken to on one more connection, without haste:
    /// what was sent is not complete, and counts for nothing. On an opportunistic hop a handshake that failed is followed by
    /// one more connection to the same address, in the clear (check 166). No more than `most` sessions are held, and one
    /// connection is closed before the next is made.
    pub(super) async fn open<'t>(
        &self,
        dialled: Dialled,
        guess: Option<&'t Guess<'_>>,
        most: usize,
    ) -> Opened<'t>
    where
        'a: 't,
    {
        let Dialled { connection, mut slot } = dialled;
        let login = self.key().credentials.as_ref().map(|credentials| self.login(credentials));
        let requirement = self.key().requirement;
        let (early, begun) = self.begin_early(guess);
        let mut established = self.establish(connection, requirement, login, early).await;
        let mut sessions = count(&established, requirement);
        if let Err(error) = &established
            && guess.is_some()
        {
            self.note_failure(error);
            if error.remedy == Remedy::Patience && sessions < most {
                established = self.establish_anew(&mut slot, requirement, login).await;
                sessions += count(&established, requirement);
            }
        }
        match &established {
            Err(error) if error.remedy == Remedy::Cleartext && self.may_fall_back() && sessions < most => {
                established = self.establish_anew(&mut slot, Requirement::CLEARTEXT, login).await;
                sessions += count(&established, Requirement::CLEARTEXT);
            }
            Ok(as_required) => self.learn(as_required.offers),
            Err(_) => {}
        }
        let result = match established {
            Ok(established) => {
                let begun = begun.and_then(|begun| followed(begun, &established));
                Ok((self.lease(slot, established), begun))
            }
            Err(error) => Err(self.not_opened(slot, error)),
        };
        Opened { sessions, result }
    }

    /// Gives up the permit of a closed connection. 421 instead of a greeting shows the connection limit of the server.
    fn not_opened(&self, slot: Slot<Line>, error: NotEstablished) -> NotOpened {
        let NotEstablished { failure, secured, .. } = error;
        let (is_turned_away, is_reached) =
            (failure.is_turned_away(), failure.kind() != FailureKind::Connecting);
        let tried = self.tried(failure, is_reached.then(|| self.hop(secured)));
        match if is_turned_away { slot.turned_away() } else { OtherConnections::None } {
            OtherConnections::None => NotOpened::Failed(tried),
            others => NotOpened::TurnedAway(others, tried),
        }
    }

    fn may_fall_back(&self) -> bool {
        let key = self.key();
        let may_be_clear = key.requirement.allows_cleartext() && key.credentials.is_none();
        may_be_clear && self.task.parts.tls.cleartext_after_failure
    }

    fn lease(&self, slot: Slot<Line>, established: Established) -> Lease<Line> {
        let Established { session, secured, .. } = established;
        let terms = session.terms();
        Lease::new(slot, Line { session: Box::new(session), hop: self.hop(secured) }, terms)
    }

    /// A session on one more connection to the same address, on which nothing is said early.
    async fn establish_anew(
        &self,
        slot: &mut Slot<Line>,
        requirement: Requirement,
        login: Option<Login<'_>>,
    ) -> Result<Established, NotEstablished> {
        let connection = self.dialled_again(slot).await?;
        self.establish(connection, requirement, login, Early::default()).await
    }

    /// A session on a connection.
    async fn establish(
        &self,
        connection: Connection,
        requirement: Requirement,
        login: Option<Login<'_>>,
        early: Early,
    ) -> Result<Established, NotEstablished> {
        let (settings, reporter) = (&self.settings(), &self.reporter());
        reporter.connected();
        let peer = Peer { host: self.key().name.as_ref(), endpoint: &self.key().endpoint };
        let (protocol, connector) = (self.key().protocol, &self.task.parts.connector);
        let (own_names, ends) = (self.own_names(), self.task.ends);
        let login = login.map(|login| Login { is_direct: connection.is_direct(), ..login });
        let demands =
            Demands { reporter, protocol, settings, connector, peer, requirement, login, own_names, ends };
        establish(connection, demands, early).await
    }

    fn login<'l>(&'l self, credentials: &'l Credentials) -> Login<'l> {
        let (host, port) = match self.candidate().relay.as_ref().map(NextHop::target) {
            Some(HopTarget::Tcp { host: Host::Name(name), port }) => (Some(name.as_str()), Some(*port)),
            Some(HopTarget::Tcp { port, .. }) => (None, Some(*port)),
            Some(HopTarget::Unix(_)) | None => (None, None),
        };
        let (settings, any_certificate) = (&self.task.parts.login, self.key().any_certificate);
        Login { credentials, settings, any_certificate, host, port, is_direct: false }
    }

    /// The names that a server at this candidate must not have. A relay is the operator's word, and a program beside
    /// the mail server may well have its name.
    fn own_names(&self) -> &[Domain] {
        if self.key().is_stranger { &self.task.parts.plan.own_names } else { &[] }
    }

    pub(super) fn hop(&self, secured: Option<Secured>) -> Hop {
        let candidate = self.candidate();
        Hop::new(candidate.name(), self.key().endpoint.clone(), candidate.protocol, secured)
    }
}

/// A transaction that goes on where its commands were sent; none if they were not.
fn followed<'t>(mut begun: Transaction<'t>, established: &Established) -> Option<Transaction<'t>> {
    begun.follow(established.session.ahead_at()?, false);
    Some(begun)
}

/// Number of sessions that a connection counts for: one if the server greeted.
fn count(established: &Result<Established, NotEstablished>, requirement: Requirement) -> usize {
    let is_immediate = requirement.start == Start::Immediate;
    let is_greeted = |error: &NotEstablished| error.failure.is_greeted(is_immediate);
    usize::from(established.as_ref().err().is_none_or(is_greeted))
}
