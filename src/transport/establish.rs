//! From a new connection to a session that proves what it must.

use tokio::time::Instant;

use super::alarm::after;
use super::connection::Connection;
use super::early::{Early, Haste, Offers};
use super::login::{Channel, Login, log_in};
use super::session::{Session, SessionSettings};
use super::stream::Stream;
use crate::mail::{DnsName, Domain};
use crate::observer::Reporter;
use crate::outcome::{Failure, FailureKind};
use crate::proto::{
    Ahead, Capabilities, ChannelBinding, Protocol, Redaction, Reply, ReplyClass, ReplyCode, Stage,
};
use crate::tls::{Connector, Handshake, Peer, Proof, Requirement, Secured, Start, TlsError, binding};

/// What is wanted of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demands<'a> {
    pub(crate) reporter: &'a Reporter,
    pub(crate) protocol: Protocol,
    pub(crate) settings: &'a SessionSettings,
    pub(crate) connector: &'a Connector,
    pub(crate) peer: Peer<'a>,
    pub(crate) requirement: Requirement,
    pub(crate) login: Option<Login<'a>>,
    /// Names of this host: a server that calls itself so leads back.
    pub(crate) own_names: &'a [Domain],
    /// When everything on the connection must be over. [`establish`] sees to the limit for one session.
    pub(crate) ends: Option<Instant>,
}

/// A session, and what its connection proved; `None`: it is in the clear.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) session: Session<Stream>,
    pub(crate) secured: Option<Secured>,
    /// What the server offered.
    pub(crate) offers: Offers,
    binding: Option<ChannelBinding>,
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) struct NotEstablished {
    pub(crate) failure: Failure,
    pub(crate) remedy: Remedy,
    /// What the connection proved before.
    pub(crate) secured: Option<Secured>,
}

/// What may do where a connection did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing that is known.
    None,
    /// Another connection in the clear, where that is allowed: a handshake failed.
    Cleartext,
    /// Another connection without anything early: the server is not what it was.
    Patience,
}

impl NotEstablished {
    fn of(failure: Failure, remedy: Remedy) -> Self {
        Self { failure, remedy, secured: None }
    }

    fn after(failure: Failure, haste: Haste) -> Self {
        let remedy = if haste.may_have_caused(&failure) { Remedy::Patience } else { Remedy::None };
        Self::of(failure, remedy)
    }
}

impl From<Failure> for NotEstablished {
    fn from(failure: Failure) -> Self {
        Self::of(failure, Remedy::None)
    }
}

/// Opens a session and secures it as required. Before what was proved is compared with that nothing but greeting, EHLO and
/// STARTTLS was said (law 6), before the login nothing of the envelope.
pub(crate) async fn establish(
    connection: Connection,
    demands: Demands<'_>,
    early: Early,
) -> Result<Established, NotEstablished> {
    let session_ends = demands.settings.timeouts.session.map(after);
    let demands = Demands { ends: demands.ends.into_iter().chain(session_ends).min(), ..demands };
    let established = match demands.requirement.start {
        Start::Immediate => demands.immediate(connection, early).await,
        Start::StartTls => demands.by_starttls(connection, early).await,
        Start::Never => demands.in_the_clear(connection, early).await,
    }?;
    match demands.requirement.is_met_by(established.secured.as_ref()) {
        true => demands.log_in(established).await,
        false => {
            established.session.quit().await;
            let error = if demands.login.is_some() {
                TlsError::NotOfferedForCredentials
            } else {
                TlsError::NotOffered
            };
            Err(Failure::securing(error, Stage::StartTls).into())
        }
    }
}

/// What comes out of a handshake.
type Secure = (Stream, Secured, Option<ChannelBinding>);

impl Demands<'_> {
    /// Logs in, if that is to be done and may be done here. Otherwise nothing of the envelope is sent.
    async fn log_in(&self, mut established: Established) -> Result<Established, NotEstablished> {
        let Some(login) = &self.login else { return Ok(established) };
        let secured = established.secured;
        let failed = |failure| NotEstablished { failure, remedy: Remedy::None, secured };
        if !login.is_safe(secured.as_ref(), self.peer.endpoint) {
            established.session.quit().await;
            return Err(failed(Failure::unsafe_for_credentials()));
        }
        let binding = established.binding.take();
        let is_verified = secured.is_some_and(|secured| secured.proof() == Proof::Pkix);
        let channel = Channel { binding: binding.as_ref(), is_verified };
        match log_in(&mut established.session, login, channel, self.connector).await {
            Ok(()) => Ok(established),
            Err(failure) => {
                established.session.quit().await;
                Err(failed(failure))
            }
        }
    }

    /// What no reply may show, also one to a connection before the login: an earlier one may have sent it.
    fn redaction(&self) -> Redaction {
        self.login.map_or_else(Redaction::default, |login| Redaction::of(login.credentials))
    }

    async fn in_the_clear(
        &self,
        connection: Connection,
        mut early: Early,
    ) -> Result<Established, NotEstablished> {
        let session = self.open(Stream::Plain(connection), &mut early, None).await?;
        Ok(Established::cleartext(session))
    }

    async fn immediate(
        &self,
        connection: Connection,
        mut early: Early,
    ) -> Result<Established, NotEstablished> {
        let (stream, secured, binding) = self.handshake(connection).await?;
        let session = self.open(stream, &mut early, Some(&secured)).await?;
        let offers = Offers { first: Some(*session.capabilities()), secured: None };
        Ok(Established { session, secured: Some(secured), offers, binding })
    }

    async fn by_starttls(
        &self,
        connection: Connection,
        mut early: Early,
    ) -> Result<Established, NotEstablished> {
        let mut session = self.open(Stream::Plain(connection), &mut early, None).await?;
        let first = *session.capabilities();
        if !first.starttls {
            return Ok(Established::cleartext(session));
        }
        let haste = if session.ahead_at().is_some() { Haste::Ahead } else { Haste::None };
        let reply = match session.start_tls().await {
            Ok(reply) => reply,
            Err(failure) => {
                session.abandon().await;
                return Err(lost_at_starttls(failure, haste));
            }
        };
        if haste.is_out_of_order(&reply) {
            session.abandon().await;
            return Err(NotEstablished::of(Failure::starttls_refused(reply), Remedy::Patience));
        }
        if reply.class() != ReplyClass::Completed {
            return self.without(session, reply).await;
        }
        // RFC 3207 section 4.2: nothing that was read in the clear is carried over
        let Some(Stream::Plain(connection)) = session.into_bare_stream().await else {
            return Err(Failure::injected().into());
        };
        let (stream, secured, binding) = self.handshake(connection).await?;
        let session = self.reopen(stream, &mut early, &secured).await?;
        let offers = Offers { first: Some(first), secured: Some(*session.capabilities()) };
        Ok(Established { session, secured: Some(secured), offers, binding })
    }

    /// The server offers STARTTLS and refuses it: where cleartext will do, the same session goes on.
    async fn without(&self, session: Session<Stream>, reply: Reply) -> Result<Established, NotEstablished> {
        let closing = reply.code() == ReplyCode::SERVICE_CLOSING;
        match (self.requirement.allows_cleartext(), closing) {
            (true, false) => return Ok(Established::cleartext(session)),
            // nothing had to be secured: the server is closing, as it may at any time
            (true, true) => return Err(Failure::closing(Stage::StartTls, reply).into()),
            (false, true) => {}
            (false, false) => session.quit().await,
        }
        Err(Failure::starttls_refused(reply).into())
    }

    /// A session that began, and that leads to another host than this one. What was sent behind EHLO is still of use.
    async fn open(
        &self,
        stream: Stream,
        early: &mut Early,
        proved: Option<&Secured>,
    ) -> Result<Session<Stream>, NotEstablished> {
        let ahead = early.first(self.requirement, proved);
        let (haste, is_starttls) = (Haste::of(ahead.as_ref()), matches!(ahead, Some(Ahead::StartTls)));
        let opened = self.session(stream).begin(ahead).await;
        let session = opened.map_err(|failure| NotEstablished::after(failure, haste))?;
        if let Some(name) = session.server_names().iter().find(|name| self.is_own(name)) {
            let failure = Failure::is_this_host(name);
            return Err(self.turn_back(session, failure).await);
        }
        let is_as_expected = match is_starttls {
            true => session.capabilities().starttls,
            false => is_as_expected(&session, early.offers.first),
        };
        if is_as_expected { Ok(session) } else { Err(surprised(session).await) }
    }

    /// Leaves without a message. Where something was sent behind EHLO, QUIT could be taken for content.
    async fn turn_back(&self, session: Session<Stream>, failure: Failure) -> NotEstablished {
        if session.ahead_at().is_none() {
            session.quit().await;
        }
        failure.into()
    }

    /// The session behind the handshake.
    async fn reopen(
        &self,
        stream: Stream,
        early: &mut Early,
        proved: &Secured,
    ) -> Result<Session<Stream>, NotEstablished> {
        let ahead = early.again(self.requirement, proved);
        let haste = Haste::behind_starttls(&ahead);
        let opened = self.session(stream).begin_again(ahead).await;
        let session = opened.map_err(|failure| NotEstablished::after(failure, haste))?;
        match is_as_expected(&session, early.offers.secured) {
            true => Ok(session),
            false => Err(surprised(session).await),
        }
    }

    fn session(&self, stream: Stream) -> Session<Stream> {
        let (settings, reporter) = (self.settings.clone(), self.reporter.clone());
        Session::new(stream, self.protocol, settings, self.ends, reporter, &self.redaction())
    }

    fn is_own(&self, name: &DnsName) -> bool {
        self.own_names.iter().any(|own| own.dns_name() == name)
    }

    async fn handshake(&self, connection: Connection) -> Result<Secure, NotEstablished> {
        let left = self.ends.map(|ends| ends.saturating_duration_since(Instant::now()));
        let limit = left.map_or(self.settings.timeouts.tls, |left| left.min(self.settings.timeouts.tls));
        let made = self.connector.handshake(connection, self.peer, self.requirement.promise, limit).await;
        match made {
            Ok(Handshake { stream, secured }) => {
                let binding = self.login.and_then(|_| binding(stream.get_ref().1));
                self.reporter.secured(&format!("{}, {}", secured.version(), secured.proof()));
                Ok((Stream::Tls(Box::new(stream)), secured, binding))
            }
            Err(error) => {
                let failure = Failure::securing(error, Stage::StartTls);
                Err(NotEstablished::of(failure, Remedy::Cleartext))
            }
        }
    }
}

impl Established {
    fn cleartext(session: Session<Stream>) -> Self {
        let offers = Offers { first: Some(*session.capabilities()), secured: None };
        Self { session, secured: None, offers, binding: None }
    }
}

/// Ends a session in which the commands behind EHLO assumed another reply to it. They form no complete transaction, and cannot
/// be taken back.
async fn surprised(mut session: Session<Stream>) -> NotEstablished {
    session.abandon().await;
    let failure = Failure::local_for_now("the server offers something else than it did before");
    NotEstablished::of(failure, Remedy::Patience)
}

/// Whether what was sent behind EHLO, if anything was, fits what the server offers.
fn is_as_expected(session: &Session<Stream>, expected: Option<Capabilities>) -> bool {
    session.ahead_at().is_none() || expected.as_ref() == Some(session.capabilities())
}

/// A server that goes away at STARTTLS, or says nothing, is as one whose handshake fails, unless it was told too early to begin.
fn lost_at_starttls(failure: Failure, haste: Haste) -> NotEstablished {
    let is_lost_early = haste == Haste::Ahead && failure.kind() == FailureKind::TimedOut;
    if is_lost_early || haste.may_have_caused(&failure) {
        return NotEstablished::of(failure, Remedy::Patience);
    }
    match failure.kind() {
        FailureKind::Disconnected | FailureKind::TimedOut => NotEstablished::of(failure, Remedy::Cleartext),
        _ => failure.into(),
    }
}
