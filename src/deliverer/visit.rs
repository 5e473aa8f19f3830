//! [`Visit`]: one candidate, and what is brought to it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::{Instant, timeout_at};

use super::deliver::Parts;
use super::line::Line;
use super::report::{Hop, HopAttempt};
use super::settle::Tried;
use super::sources::{Rotation, SourceAddress};
use crate::credentials::CredentialRequest;
use crate::mail::{Envelope, Message};
use crate::observer::Reporter;
use crate::outcome::Failure;
use crate::plan::{Candidate, Dial, Standing};
use crate::policy::{Origin, Peer, Permitted};
use crate::pool::{Entry, Key, Lease, Member, Slot, Ticket, Turn};
use crate::proto::Credentials;
use crate::resolver::Requester;
use crate::route::{Endpoint, Families, NextHop, NextHops, Route};
use crate::transport::{Connection, Joins, SessionSettings, after, connect};

/// What is brought to every candidate of a destination.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) parts: &'a Parts,
    pub(super) envelope: &'a Envelope,
    pub(super) message: &'a Message,
    /// Identifies this delivery to the resolver.
    pub(super) requester: Requester,
    /// Source addresses that the route names for mail exchangers.
    pub(super) sources: &'a [IpAddr],
    pub(super) turn: Rotation,
    /// The route, if what is found out about its only hop is to be remembered.
    pub(super) fixed: Option<&'a NextHops>,
    /// When the attempt must be over.
    pub(super) ends: Option<Instant>,
}

impl<'a> Task<'a> {
    /// What every destination has in common.
    pub(super) fn new(parts: &'a Parts, envelope: &'a Envelope, message: &'a Message) -> Self {
        Self {
            parts,
            envelope,
            message,
            requester: Requester::new(),
            sources: &[],
            turn: Rotation::default(),
            fixed: None,
            ends: None,
        }
    }

    /// The time for an attempt at a destination begins, unless it has begun.
    pub(super) fn begin(&mut self) {
        self.ends = self.ends.or_else(|| self.parts.limits.attempt.map(after));
    }

    /// Leaves what was found out to deliveries after this one.
    pub(super) fn remember(&self, target: &Arc<Target>) {
        if let Some(hops) = self.fixed {
            self.parts.fixed.note(hops, target);
        }
    }

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
}

/// A candidate that may be dialled, and what is brought to it.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    pub(super) task: Task<'a>,
    /// Connection, permit or queue position for the next visit. Dropped before the target, which keeps the pool's entry for it.
    claim: Mutex<Option<Claim>>,
    target: Arc<Target>,
}

/// What a delivery got from the pool at an address, and does not use yet.
#[derive(Debug)]
pub(super) enum Claim {
    /// Permit for a connection.
    Room(Slot<Line>),
    /// Queue position, with nothing offered.
    Place(Ticket<Line>),
    /// Connection that was idle.
    Kept(Lease<Line>),
}

/// A connection to an address.
#[derive(Debug)]
pub(super) enum Connected {
    /// Connection of the pool, with a session.
    Lease(Lease<Line>),
    /// New connection without a session.
    Dialled(Dialled),
}

/// A new connection and its permit.
#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) connection: Connection,
    pub(super) slot: Slot<Line>,
}

/// What was found out about a candidate before anything was sent.
#[derive(Debug)]
pub(super) struct Target {
    candidate: Candidate,
    dial: Dial,
    source: Option<SourceAddress>,
    /// The connections that lead there.
    pool: Member<Line>,
}

impl<'a> Visit<'a> {
    /// A visit to a candidate; `own_preference` is that of an exchanger that turned out to be this host.
    ///
    /// # Errors
    /// It must not be dialled, leads back, or has no credentials.
    pub(super) async fn new(
        task: Task<'a>,
        candidate: Candidate,
        own_preference: Option<u16>,
    ) -> Result<Self, Tried> {
        let dial = match allowed(&candidate, own_preference) {
            Ok(dial) => dial.clone(),
            Err(failure) => return Err(tried(&candidate, failure, None)),
        };
        let credentials = match credentials(&task, &candidate).await {
            Ok(credentials) => credentials,
            Err(failure) => return Err(tried(&candidate, failure, None)),
        };
        let named = candidate.relay.as_ref().map_or(task.sources, NextHop::sources);
        let source = task.parts.sources.pick(task.turn, named, &dial.endpoint());
        let key = key(&task, &candidate, &dial, source.as_ref(), credentials);
        let pool = task.parts.pool.member(&key);
        Ok(Self::to(task, Arc::new(Target { candidate, dial, source, pool })))
    }

    /// A visit to what is known of a candidate.
    pub(super) fn to(task: Task<'a>, target: Arc<Target>) -> Self {
        Self { task, target, claim: Mutex::default() }
    }

    /// Whether the policy permits it, and it is not among those that are to be tried last. Asked for each delivery: both
    /// may change, the rest of [`Target`] holds.
    pub(super) fn may_be_tried(&self, route: &Route) -> bool {
        let Candidate { host, origin, .. } = self.candidate();
        let permits = |address: &SocketAddr| {
            let (Some(host), Some(origin)) = (host, *origin) else { return false };
            let peer = Peer::new(address.ip(), address.port(), host, origin, route);
            Permitted::check(&*self.task.parts.policy, &peer).is_ok()
        };
        let is_allowed = match &self.key().endpoint {
            Endpoint::Tcp(address) => permits(address),
            Endpoint::Unix(_) => true,
        };
        is_allowed && !self.task.parts.memory.is_noted(&self.key().endpoint)
    }

    /// What was found out about the candidate.
    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    pub(super) fn candidate(&self) -> &Candidate {
        &self.target.candidate
    }

    pub(super) fn dial(&self) -> &Dial {
        &self.target.dial
    }

    pub(super) fn key(&self) -> &Key {
        self.target.pool.key()
    }

    /// The connections that lead there.
    pub(super) fn pool(&self) -> &Member<Line> {
        &self.target.pool
    }

    /// Leaves to the next connection what the pool gave for it.
    pub(super) fn hold(&self, claim: Option<Claim>) {
        *self.claim.lock().unwrap_or_else(PoisonError::into_inner) = claim;
    }

    fn take_claim(&self) -> Option<Claim> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Gives back what the pool gave for the next connection: no permit is held while another address is used.
    pub(super) fn leave_claim(&self) {
        if let Some(Claim::Kept(lease)) = self.take_claim() {
            lease.return_unused();
        }
    }

    /// Returns `true` if it has a permit or a connection.
    pub(super) fn has_room(&self) -> bool {
        let claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*claim, Some(Claim::Room(_) | Claim::Kept(_)))
    }

    /// Returns `true` if it waits in line for a connection.
    pub(super) fn is_in_line(&self) -> bool {
        let claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*claim, Some(Claim::Place(_)))
    }

    /// Gets a connection to the candidate: one of the pool, or a new one where there is room for it. Else waits in line for
    /// either.
    pub(super) fn connect(&self) -> BoxFuture<'a, Result<Connected, Failure>> {
        let visit = Self::to(self.task, Arc::clone(&self.target));
        let claim = self.take_claim();
        let connecting = async move {
            // captured first, so dropped before the target of the visit
            let claim = claim;
            let slot = match visit.admitted(claim).await {
                Some(Entry::Kept(lease)) => return Ok(Connected::Lease(lease)),
                Some(Entry::Vacant(slot)) => slot,
                Some(Entry::Full(_)) | None => {
                    return Err(Failure::out_of_time_in_line(&visit.key().endpoint));
                }
            };
            Ok(Connected::Dialled(visit.dialled(slot).await?))
        };
        connecting.boxed()
    }

    /// A connection of the pool, or room for one; `None` if there is neither within the time for the attempt.
    async fn admitted(&self, claim: Option<Claim>) -> Option<Entry<Line>> {
        let mut place = match claim {
            Some(Claim::Room(slot)) => return Some(Entry::Vacant(slot)),
            Some(Claim::Kept(lease)) => return Some(Entry::Kept(lease)),
            Some(Claim::Place(ticket)) => Some(ticket),
            None => None,
        };
        while !self.task.is_over() {
            let mut ticket = match place.take().map_or_else(|| self.pool().enter_or_wait(), Ok) {
                Ok(ticket) => ticket,
                Err(entry) => return Some(entry),
            };
            match self.task.in_time(&mut ticket).await? {
                Some(Turn::Lease(lease)) => return Some(Entry::Kept(lease)),
                Some(Turn::Vacant(slot) | Turn::Lost { slot: Some(slot), .. }) => {
                    return Some(Entry::Vacant(slot));
                }
                // nothing was offered, so nothing was sent; the pool or the connection may be gone
                Some(Turn::Terms(_) | Turn::Behind(..) | Turn::Lost { slot: None, .. }) | None => {}
            }
        }
        None
    }

    /// Connects to the candidate with a permit. The connection that the permit was for before must be closed first.
    async fn dialled(&self, slot: Slot<Line>) -> Result<Dialled, Failure> {
        let mut slot = slot;
        self.reporter().connecting();
        let connection = self.dialled_again(&mut slot).await?;
        Ok(Dialled { connection, slot })
    }

    /// Connects to the candidate once the connection that the permit was for is closed.
    pub(super) async fn dialled_again(&self, slot: &mut Slot<Line>) -> Result<Connection, Failure> {
        let connecting = async {
            slot.until_closed().await;
            let (parts, source) = (self.task.parts, self.key().source);
            let limit = parts.session.timeouts.connect;
            let (connecting, closed) = connect(&parts.dialer, self.dial(), source, limit);
            // before it is connected, so that the permit outlives a connection that comes too late
            slot.tie(closed);
            connecting.await
        };
        let connected = self.task.in_time(connecting).await;
        connected.unwrap_or_else(|| Err(Failure::out_of_time_to_connect(&self.key().endpoint)))
    }

    pub(super) fn reporter(&self) -> Reporter {
        let SessionSettings { observer, trace, .. } = &self.task.parts.session;
        match observer {
            None => Reporter::nobody(),
            Some(_) => Reporter::new(observer.clone(), *trace, &self.key().endpoint.to_string()),
        }
    }

    /// How sessions are held there.
    pub(super) fn settings(&self) -> SessionSettings {
        let settings = self.task.parts.session.clone();
        let own_name = self.target.source.as_ref().and_then(|source| source.client_name.clone());
        SessionSettings {
            client_name: own_name.unwrap_or(settings.client_name),
            eight_bit_clean: self.key().eight_bit_clean,
            single_flight_limit: self.key().single_flight_limit,
            // taken from the key, so that equal keys have equal settings
            utf8_header_as_eight_bit: !self.key().is_stranger,
            ..settings
        }
    }

    /// Where it joins others of its host.
    pub(super) fn joins(&self, families: Families) -> Joins {
        let Endpoint::Tcp(address) = &self.key().endpoint else { return Joins::Behind };
        let is_wanted_first = match families {
            Families::Balanced => return Joins::InTurn,
            Families::V4ThenV6 | Families::V4Only => address.is_ipv4(),
            Families::V6ThenV4 | Families::V6Only => address.is_ipv6(),
        };
        if is_wanted_first { Joins::Before } else { Joins::Behind }
    }

    pub(super) fn tried(&self, failure: Failure, hop: Option<Hop>) -> Tried {
        tried(self.candidate(), failure, hop)
    }
}

fn tried(candidate: &Candidate, failure: Failure, hop: Option<Hop>) -> Tried {
    let attempt = HopAttempt::new(candidate.name(), candidate.endpoint.clone(), failure);
    Tried { hop, attempt }
}

/// What may be dialled, or why nothing.
fn allowed(candidate: &Candidate, own_preference: Option<u16>) -> Result<&Dial, Failure> {
    let leads_back =
        candidate.preference.is_some() && own_preference.is_some() && candidate.preference >= own_preference;
    match &candidate.standing {
        Standing::Allowed(_) if leads_back => {
            let why =
                "a mail exchanger of equal or better preference identifies itself by a name of this host";
            Err(Failure::leads_back(&candidate.name(), why))
        }
        Standing::Allowed(dial) => Ok(dial),
        Standing::Denied(_) | Standing::Unusable(_) => {
            Err(candidate.failure().unwrap_or_else(|| Failure::local_for_now("nothing to dial")))
        }
    }
}

/// Who the client is there; at strangers nobody (law 10).
async fn credentials(task: &Task<'_>, candidate: &Candidate) -> Result<Option<Credentials>, Failure> {
    let Some(relay) = &candidate.relay else { return Ok(None) };
    match (relay.credentials(), &task.parts.credentials) {
        (Some(credentials), _) => Ok(Some(credentials.clone())),
        (None, Some(provider)) => {
            let request = CredentialRequest::new(relay);
            let asked = task.in_time(provider.credentials(&request)).await;
            asked.ok_or_else(Failure::out_of_time)?.map_err(Failure::no_credentials)
        }
        (None, None) => Ok(None),
    }
}

/// What a connection must keep to: more, where credentials are sent that others could see.
fn key(
    task: &Task<'_>,
    candidate: &Candidate,
    dial: &Dial,
    source: Option<&SourceAddress>,
    credentials: Option<Credentials>,
) -> Key {
    let (parts, relay) = (task.parts, candidate.relay.as_ref());
    let accepts_any =
        |relay: &NextHop| parts.tls.accept_invalid_certificates || relay.accepts_invalid_certificates();
    let (endpoint, any_certificate) = (dial.endpoint(), relay.is_some_and(accepts_any));
    let exposed = credentials.is_some() && !parts.login.is_private(&endpoint);
    Key {
        endpoint,
        protocol: candidate.protocol,
        requirement: match exposed {
            true => candidate.tls.with_credentials(any_certificate),
            false => candidate.tls,
        },
        name: candidate.certificate_name.clone().or_else(|| candidate.host.clone()),
        any_certificate,
        credentials,
        source: source.map(|source| source.address),
        client_name: source.and_then(|source| source.client_name.clone()),
        eight_bit_clean: parts.session.eight_bit_clean || relay.is_some_and(NextHop::takes_eight_bit),
        single_flight_limit: relay
            .and_then(NextHop::single_flight_limit)
            .unwrap_or(parts.session.single_flight_limit),
        is_stranger: candidate.origin.is_some_and(Origin::is_stranger),
    }
}
