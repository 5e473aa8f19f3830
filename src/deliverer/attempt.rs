//! One attempt at one destination: candidate after candidate, for whoever is not settled yet.

use super::deliver::Parts;
use super::report::{Hop, HopAttempt};
use super::settle::{Pending, Tried};
use crate::credentials::CredentialRequest;
use crate::mail::{Envelope, Host, Message};
use crate::observer::Reporter;
use crate::outcome::{Failure, is_too_many_recipients};
use crate::plan::{Candidate, Dial, Plan, Standing};
use crate::proto::{Credentials, Stage, Verdict};
use crate::route::{HopTarget, NextHop};
use crate::tls::{Peer, Requirement, Secured};
use crate::transport::{
    Established, Login, NotEstablished, Race, RaceSettings, Session, SessionSettings, Socket, Stream, Terms,
    connect, establish, race,
};

/// Tries the hosts of a plan in turn until every recipient is settled.
pub(super) async fn run(
    parts: &Parts,
    plan: &Plan,
    envelope: &Envelope,
    message: &Message,
    pending: &mut [Pending<'_>],
) {
    for host in plan.hosts() {
        if pending.iter().all(Pending::is_settled) {
            return;
        }
        let visits = host.iter().map(|candidate| Visit { parts, candidate, envelope, message });
        visit_host(visits.collect(), pending).await;
    }
}

/// Tries the addresses of one host: whichever is connected to first, and after it the others for whoever is not settled
/// then (check 101).
async fn visit_host(visits: Vec<Visit<'_>>, pending: &mut [Pending<'_>]) {
    let (mut left, denied): (Vec<_>, Vec<_>) = visits.into_iter().partition(|visit| visit.dial().is_some());
    denied.iter().filter_map(Visit::denied).for_each(|tried| failed(pending, &tried));
    while !left.is_empty() && pending.iter().any(|pending| !pending.is_settled()) {
        let dials: Vec<_> = left.iter().filter_map(Visit::dial).collect();
        let race = left[0].race(&dials).await;
        race.failed.iter().for_each(|(place, failure)| {
            failed(pending, &left[*place].tried(failure.clone(), None));
        });
        let mut done: Vec<_> = race.failed.iter().map(|(place, _)| *place).collect();
        if let Some((place, socket)) = race.winner {
            done.push(place);
            if let Err(tried) = left[place].run(socket, pending).await {
                failed(pending, &tried);
            }
        }
        left = left
            .into_iter()
            .enumerate()
            .filter(|(place, _)| !done.contains(place))
            .map(|(_, visit)| visit)
            .collect();
    }
}

/// Notes a failure for all who are not settled.
fn failed(pending: &mut [Pending<'_>], tried: &Tried) {
    open(pending).for_each(|pending| pending.failed(tried.clone()));
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

impl<'a> Visit<'a> {
    fn dial(&self) -> Option<&'a Dial> {
        match &self.candidate.standing {
            Standing::Allowed(dial) => Some(dial),
            Standing::Denied(_) | Standing::Unusable(_) => None,
        }
    }

    fn denied(&self) -> Option<Tried> {
        self.candidate.failure().map(|failure| self.tried(failure, None))
    }

    async fn race(&self, dials: &[&Dial]) -> Race {
        let (limit, stagger) = (self.parts.session.timeouts.connect, self.parts.limits.stagger);
        let settings = RaceSettings { sources: &self.parts.sources, limit, stagger };
        dials.iter().for_each(|dial| self.reporter(dial).connecting());
        race(dials, settings).await
    }

    fn reporter(&self, dial: &Dial) -> Reporter {
        let SessionSettings { observer, trace, .. } = &self.parts.session;
        Reporter::new(observer.clone(), *trace, &dial.endpoint().to_string())
    }

    /// A session on a connection; an error is that of all who are not settled.
    async fn run(&self, socket: Socket, pending: &mut [Pending<'_>]) -> Result<(), Tried> {
        let Some(dial) = self.dial() else { return Ok(()) };
        let (mut session, hop) = self.session(dial, socket).await?;
        self.transactions(&mut session, &hop, pending).await;
        session.quit().await;
        Ok(())
    }

    /// A session that proves what it must. On an opportunistic hop a handshake that failed is followed by one more
    /// connection to the same address, in the clear (check 166).
    async fn session(&self, dial: &Dial, socket: Socket) -> Result<(Session<Stream>, Hop), Tried> {
        let credentials = self.credentials().await.map_err(|failure| self.tried(failure, None))?;
        let login = credentials.as_ref().map(|credentials| self.login(credentials));
        let requirement = self.requirement(login.as_ref(), dial);
        let first = self.establish(dial, socket, requirement, login).await;
        let fall_back =
            requirement.allows_cleartext() && login.is_none() && self.parts.tls.cleartext_after_failure;
        let established = match first {
            Err(error) if error.in_handshake && fall_back => {
                let limit = self.parts.session.timeouts.connect;
                let socket = connect(dial, &self.parts.sources, limit).await;
                let socket = socket.map_err(|failure| self.tried(failure, None))?;
                self.establish(dial, socket, Requirement::CLEARTEXT, login).await
            }
            first => first,
        };
        match established {
            Ok(Established { session, secured, .. }) => Ok((session, self.hop(dial, secured))),
            Err(error) => Err(self.tried(error.failure, Some(self.hop(dial, error.secured)))),
        }
    }

    /// Who the client is there; at strangers nobody (law 10).
    async fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let Some(relay) = &self.candidate.relay else { return Ok(None) };
        match (relay.credentials(), &self.parts.credentials) {
            (Some(credentials), _) => Ok(Some(credentials.clone())),
            (None, Some(provider)) => {
                let asked = provider.credentials(&CredentialRequest::new(relay)).await;
                asked.map_err(Failure::no_credentials)
            }
            (None, None) => Ok(None),
        }
    }

    fn login<'l>(&'l self, credentials: &'l Credentials) -> Login<'l> {
        let (host, port) = match self.candidate.relay.as_ref().map(NextHop::target) {
            Some(HopTarget::Tcp { host: Host::Name(name), port }) => (Some(name.as_str()), Some(*port)),
            Some(HopTarget::Tcp { port, .. }) => (None, Some(*port)),
            Some(HopTarget::Unix(_)) | None => (None, None),
        };
        let settings = &self.parts.login;
        Login { credentials, settings, any_certificate: self.any_certificate(), host, port }
    }

    fn settings(&self) -> SessionSettings {
        let takes_eight_bit = self.candidate.relay.as_ref().is_some_and(NextHop::takes_eight_bit);
        let settings = self.parts.session.clone();
        SessionSettings { eight_bit_clean: settings.eight_bit_clean || takes_eight_bit, ..settings }
    }

    fn any_certificate(&self) -> bool {
        let relay = self.candidate.relay.as_ref();
        relay.is_some_and(|relay| {
            self.parts.tls.accept_invalid_certificates || relay.accepts_invalid_certificates()
        })
    }

    /// What the connection must prove: more, where credentials are sent that others could see.
    fn requirement(&self, login: Option<&Login<'_>>, dial: &Dial) -> Requirement {
        let required = self.candidate.tls;
        match login.filter(|login| !login.is_private(&dial.endpoint())) {
            Some(login) => required.with_credentials(login.any_certificate),
            None => required,
        }
    }

    /// A session on a connection.
    async fn establish(
        &self,
        dial: &Dial,
        socket: Socket,
        requirement: Requirement,
        login: Option<Login<'_>>,
    ) -> Result<Established, NotEstablished> {
        let settings = &self.settings();
        let (endpoint, reporter) = (dial.endpoint(), &self.reporter(dial));
        reporter.connected();
        let peer = Peer { host: self.candidate.host.as_ref(), endpoint: &endpoint };
        let (protocol, connector) = (self.candidate.protocol, &self.parts.connector);
        let terms = Terms { reporter, protocol, settings, connector, peer, requirement, login, ends: None };
        establish(socket, terms).await
    }

    /// Transactions until every open recipient was asked for. A transaction that was full is followed by
    /// another with as many recipients as that one took, for as long as it took any (check 038).
    async fn transactions(&self, session: &mut Session<Stream>, hop: &Hop, pending: &mut [Pending<'_>]) {
        let mut waiting: Vec<_> = open(pending).map(|pending| (pending, None)).collect();
        let mut limit = self.parts.limits.recipients.max(1);
        while !waiting.is_empty() {
            if let Err(verdict) = session.prepare().await {
                // those for whom the transaction was full keep what the server said of it
                let all = waiting.into_iter();
                return all.for_each(|(pending, full): (_, Option<Verdict>)| {
                    let others = full.is_some();
                    self.settle(pending, full.unwrap_or_else(|| verdict.clone()), others, hop);
                });
            }
            let rest = waiting.split_off(limit.min(waiting.len()));
            let recipients: Vec<_> = waiting.iter().map(|(pending, _)| pending.recipient).collect();
            let (verdicts, accepted) = session.transact(self.envelope, &recipients, self.message).await;
            // only a message that was taken is worth sending once more
            let taken = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Delivered(_)));
            let again = taken && session.is_usable();
            let mut full = Vec::new();
            for ((pending, _), verdict) in waiting.into_iter().zip(verdicts) {
                match again && is_full(&verdict) {
                    true => full.push((pending, Some(verdict))),
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

    fn hop(&self, dial: &Dial, secured: Option<Secured>) -> Hop {
        Hop::new(self.candidate.name(), dial.endpoint(), self.candidate.protocol, secured)
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
