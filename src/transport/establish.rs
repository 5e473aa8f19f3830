//! From a dialled socket to a session that proves what it must.

use tokio::time::Instant;

use super::drive::after;
use super::login::{Login, log_in};
use super::session::{Session, SessionSettings};
use super::stream::{Socket, Stream};
use crate::mail::{DnsName, Domain};
use crate::observer::Reporter;
use crate::outcome::{Failure, FailureKind};
use crate::proto::{ChannelBinding, Protocol, Redaction, Reply, ReplyClass, ReplyCode, Stage};
use crate::tls::{Connector, Handshake, Peer, Requirement, Secured, Start, TlsError, binding};

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
    binding: Option<ChannelBinding>,
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) struct NotEstablished {
    pub(crate) failure: Failure,
    /// Whether a handshake failed, so that another connection in the clear may do where that is allowed.
    pub(crate) in_handshake: bool,
    /// What the connection proved before.
    pub(crate) secured: Option<Secured>,
}

impl From<Failure> for NotEstablished {
    fn from(failure: Failure) -> Self {
        Self { failure, in_handshake: false, secured: None }
    }
}

/// Opens a session and secures it as required. Before the last check nothing but greeting, EHLO and STARTTLS was
/// said (law 6), before the login nothing of the envelope.
pub(crate) async fn establish(socket: Socket, terms: Demands<'_>) -> Result<Established, NotEstablished> {
    let session_ends = terms.settings.timeouts.session.map(after);
    let terms = Demands { ends: terms.ends.into_iter().chain(session_ends).min(), ..terms };
    let established = match terms.requirement.start {
        Start::Immediate => terms.immediate(socket).await,
        Start::StartTls => terms.by_starttls(socket).await,
        Start::Never => terms.in_the_clear(socket).await,
    }?;
    match terms.requirement.is_met_by(established.secured.as_ref()) {
        true => terms.log_in(established).await,
        false => {
            established.session.quit().await;
            let error =
                if terms.login.is_some() { TlsError::NotOfferedForCredentials } else { TlsError::NotOffered };
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
        let failed = |failure| NotEstablished { failure, in_handshake: false, secured };
        if !login.is_safe(secured.as_ref(), self.peer.endpoint) {
            established.session.quit().await;
            return Err(failed(Failure::unsafe_for_credentials()));
        }
        let binding = established.binding.take();
        match log_in(&mut established.session, login, binding.as_ref(), self.connector).await {
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

    async fn in_the_clear(&self, socket: Socket) -> Result<Established, NotEstablished> {
        let session = self.open(Stream::Plain(socket)).await?;
        Ok(Established { session, secured: None, binding: None })
    }

    async fn immediate(&self, socket: Socket) -> Result<Established, NotEstablished> {
        let (stream, secured, binding) = self.handshake(socket).await?;
        let session = self.open(stream).await?;
        Ok(Established { session, secured: Some(secured), binding })
    }

    async fn by_starttls(&self, socket: Socket) -> Result<Established, NotEstablished> {
        let mut session = self.open(Stream::Plain(socket)).await?;
        if !session.capabilities().starttls {
            return Ok(Established { session, secured: None, binding: None });
        }
        let reply = session.start_tls().await.map_err(|failure| self.lost_at_starttls(failure))?;
        if reply.class() != ReplyClass::Completed {
            return self.without(session, reply).await;
        }
        // RFC 3207 section 4.2: nothing that was read in the clear is carried over
        let Some(Stream::Plain(socket)) = session.into_bare_stream().await else {
            return Err(Failure::injected().into());
        };
        let (stream, secured, binding) = self.handshake(socket).await?;
        let session = Session::reopen(
            stream,
            self.protocol,
            self.settings.clone(),
            self.ends,
            self.reporter.clone(),
            &self.redaction(),
        )
        .await?;
        Ok(Established { session, secured: Some(secured), binding })
    }

    /// A server that goes away at STARTTLS is as one whose handshake fails.
    fn lost_at_starttls(&self, failure: Failure) -> NotEstablished {
        let in_handshake = matches!(failure.kind(), FailureKind::Disconnected | FailureKind::TimedOut);
        NotEstablished { failure, in_handshake, secured: None }
    }

    /// The server offers STARTTLS and refuses it: where cleartext will do, the same session goes on.
    async fn without(&self, session: Session<Stream>, reply: Reply) -> Result<Established, NotEstablished> {
        let closing = reply.code() == ReplyCode::SERVICE_CLOSING;
        match (self.requirement.allows_cleartext(), closing) {
            (true, false) => return Ok(Established { session, secured: None, binding: None }),
            // nothing had to be secured: the server is closing, as it may at any time
            (true, true) => return Err(Failure::closing(Stage::StartTls, reply).into()),
            (false, true) => {}
            (false, false) => session.quit().await,
        }
        Err(Failure::starttls_refused(reply).into())
    }

    async fn open(&self, stream: Stream) -> Result<Session<Stream>, Failure> {
        let session = Session::open_as(
            stream,
            self.protocol,
            self.settings.clone(),
            self.ends,
            self.reporter.clone(),
            &self.redaction(),
        )
        .await?;
        match session.server_names().iter().find(|name| self.is_own(name)) {
            None => Ok(session),
            Some(name) => {
                let failure = Failure::is_this_host(name);
                session.quit().await;
                Err(failure)
            }
        }
    }

    fn is_own(&self, name: &DnsName) -> bool {
        self.own_names.iter().any(|own| own.dns_name() == name)
    }

    async fn handshake(&self, socket: Socket) -> Result<Secure, NotEstablished> {
        let left = self.ends.map(|ends| ends.saturating_duration_since(Instant::now()));
        let limit = left.map_or(self.settings.timeouts.tls, |left| left.min(self.settings.timeouts.tls));
        let made = self.connector.handshake(socket, self.peer, self.requirement.promise, limit).await;
        match made {
            Ok(Handshake { stream, secured }) => {
                let binding = self.login.and_then(|_| binding(stream.get_ref().1));
                self.reporter.secured(&format!("{}, {}", secured.version(), secured.proof()));
                Ok((Stream::Tls(Box::new(stream)), secured, binding))
            }
            Err(error) => {
                let failure = Failure::securing(error, Stage::StartTls);
                Err(NotEstablished { failure, in_handshake: true, secured: None })
            }
        }
    }
}
