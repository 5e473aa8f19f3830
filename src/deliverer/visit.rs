//! [`Visit`]: one candidate, from a connection to the verdicts.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::{Instant, timeout_at};

use super::deliver::Parts;
use super::report::{Hop, HopAttempt};
use super::settle::{Pending, Tried, open};
use super::sources::{SourceAddress, Turn};
use crate::credentials::CredentialRequest;
use crate::mail::{Domain, Envelope, Host, Message};
use crate::observer::Reporter;
use crate::outcome::{Failure, is_too_many_recipients};
use crate::plan::{Candidate, Dial, Standing};
use crate::policy::Origin;
use crate::proto::{Credentials, Stage, Verdict};
use crate::route::{Endpoint, Families, HopTarget, NextHop};
use crate::tls::{Peer, Requirement, Secured};
use crate::transport::{
    Established, Login, NotEstablished, Session, SessionSettings, Socket, Stream, Terms, connect, establish,
};

/// What is brought to every candidate of a destination.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) parts: &'a Parts,
    pub(super) envelope: &'a Envelope,
    pub(super) message: &'a Message,
    /// Source addresses that the route names for mail exchangers.
    pub(super) sources: &'a [IpAddr],
    pub(super) turn: Turn,
    /// When the attempt must be over.
    pub(super) ends: Option<Instant>,
}

impl Task<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| ends <= Instant::now())
    }

    /// Waits for something, but not after the attempt must be over.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.ends {
            Some(ends) => timeout_at(ends, work).await.ok(),
            None => Some(work.await),
        }
    }

    /// A limit, or what is left of the attempt if that is less.
    fn at_most(&self, limit: Duration) -> Duration {
        let left = self.ends.map(|ends| ends.saturating_duration_since(Instant::now()));
        left.map_or(limit, |left| left.min(limit))
    }
}

/// One candidate and what is brought to it.
#[derive(Debug, Clone)]
pub(super) struct Visit<'a> {
    pub(super) task: Task<'a>,
    pub(super) candidate: Arc<Candidate>,
}

impl<'a> Visit<'a> {
    pub(super) fn dial(&self) -> Option<&Dial> {
        match &self.candidate.standing {
            Standing::Allowed(dial) => Some(dial),
            Standing::Denied(_) | Standing::Unusable(_) => None,
        }
    }

    /// Connects to the candidate.
    pub(super) fn connect(&self) -> BoxFuture<'a, Result<Socket, Failure>> {
        let visit = self.clone();
        let connecting = async move {
            let Some(dial) = visit.dial() else { return Err(visit.not_allowed()) };
            visit.reporter(dial).connecting();
            visit.dialled(dial).await
        };
        connecting.boxed()
    }

    fn not_allowed(&self) -> Failure {
        self.candidate.failure().unwrap_or_else(|| Failure::local_for_now("nothing to dial"))
    }

    /// Why it is not tried; `own_preference` is that of an exchanger that turned out to be this host.
    pub(super) fn failure(&self, own_preference: Option<u16>) -> Option<Failure> {
        let preference = self.candidate.preference;
        let leads_back = preference.is_some() && own_preference.is_some() && preference >= own_preference;
        self.candidate.failure().or_else(|| leads_back.then(|| Failure::leads_back(&self.candidate.name())))
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.candidate.endpoint.as_ref()
    }

    /// Where it joins others of its host: before them, behind them, or (`None`) in turn with them.
    pub(super) fn comes_early(&self, families: Families) -> Option<bool> {
        let Some(Endpoint::Tcp(address)) = self.endpoint() else { return Some(false) };
        match families {
            Families::Balanced => None,
            Families::V4ThenV6 | Families::V4Only => Some(address.is_ipv4()),
            Families::V6ThenV4 | Families::V6Only => Some(address.is_ipv6()),
        }
    }

    async fn dialled(&self, dial: &Dial) -> Result<Socket, Failure> {
        let source = self.source(dial).map(|source| source.address);
        connect(dial, source, self.task.at_most(self.task.parts.session.timeouts.connect)).await
    }

    fn source(&self, dial: &Dial) -> Option<SourceAddress> {
        let named = self.candidate.relay.as_ref().map_or(self.task.sources, NextHop::sources);
        self.task.parts.sources.pick(self.task.turn, named, &dial.endpoint())
    }

    fn reporter(&self, dial: &Dial) -> Reporter {
        let SessionSettings { observer, trace, .. } = &self.task.parts.session;
        Reporter::new(observer.clone(), *trace, &dial.endpoint().to_string())
    }

    /// A session on a connection; an error is that of all who are not settled.
    pub(super) async fn run(&self, socket: Socket, pending: &mut [Pending<'_>]) -> Result<(), Tried> {
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
            requirement.allows_cleartext() && login.is_none() && self.task.parts.tls.cleartext_after_failure;
        let established = match first {
            Err(error) if error.in_handshake && fall_back => {
                let socket = self.dialled(dial).await.map_err(|failure| self.tried(failure, None))?;
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
        match (relay.credentials(), &self.task.parts.credentials) {
            (Some(credentials), _) => Ok(Some(credentials.clone())),
            (None, Some(provider)) => {
                let request = CredentialRequest::new(relay);
                let asked = self.task.in_time(provider.credentials(&request)).await;
                asked.ok_or_else(Failure::out_of_time)?.map_err(Failure::no_credentials)
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
        let settings = &self.task.parts.login;
        Login { credentials, settings, any_certificate: self.any_certificate(), host, port }
    }

    fn settings(&self, dial: &Dial) -> SessionSettings {
        let takes_eight_bit = self.candidate.relay.as_ref().is_some_and(NextHop::takes_eight_bit);
        let settings = self.task.parts.session.clone();
        let own_name = self.source(dial).and_then(|source| source.client_name);
        SessionSettings {
            client_name: own_name.unwrap_or(settings.client_name),
            eight_bit_clean: settings.eight_bit_clean || takes_eight_bit,
            ..settings
        }
    }

    /// The names that a server at this candidate must not have. A relay is the operator's word, and a program beside
    /// the mail server may well have its name.
    fn own_names(&self) -> &[Domain] {
        match self.candidate.origin.is_some_and(Origin::is_stranger) {
            true => &self.task.parts.plan.own_names,
            false => &[],
        }
    }

    fn any_certificate(&self) -> bool {
        let relay = self.candidate.relay.as_ref();
        relay.is_some_and(|relay| {
            self.task.parts.tls.accept_invalid_certificates || relay.accepts_invalid_certificates()
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
        let settings = &self.settings(dial);
        let (endpoint, reporter) = (dial.endpoint(), &self.reporter(dial));
        reporter.connected();
        let name = self.candidate.certificate_name.as_ref().or(self.candidate.host.as_ref());
        let peer = Peer { host: name, endpoint: &endpoint };
        let (protocol, connector) = (self.candidate.protocol, &self.task.parts.connector);
        let (own_names, ends) = (self.own_names(), self.task.ends);
        let terms =
            Terms { reporter, protocol, settings, connector, peer, requirement, login, own_names, ends };
        establish(socket, terms).await
    }

    /// Transactions until every open recipient was asked for. A transaction that was full is followed by
    /// another with as many recipients as that one took, for as long as it took any (check 038).
    async fn transactions(&self, session: &mut Session<Stream>, hop: &Hop, pending: &mut [Pending<'_>]) {
        let mut waiting: Vec<_> = open(pending).map(|pending| (pending, None)).collect();
        let mut limit = self.task.parts.limits.recipients.max(1);
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
            let (verdicts, accepted) =
                session.transact(self.task.envelope, &recipients, self.task.message).await;
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

    pub(super) fn tried(&self, failure: Failure, hop: Option<Hop>) -> Tried {
        let attempt = HopAttempt::new(self.candidate.name(), self.candidate.endpoint.clone(), failure);
        Tried { hop, attempt }
    }
}

/// Whether the transaction, and not the recipient, was refused.
fn is_full(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(Stage::RcptTo, reply) if is_too_many_recipients(reply, true))
}
