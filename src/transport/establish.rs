//! From a dialled socket to a session that proves what it must.

use super::login::{Login, log_in};
use super::session::{Session, SessionSettings};
use super::stream::{Socket, Stream};
use crate::observer::Reporter;
use crate::outcome::Failure;
use crate::proto::{ChannelBinding, Protocol, Reply, ReplyClass, ReplyCode};
use crate::tls::{Connector, Handshake, Peer, Requirement, Secured, Start, TlsError};

/// What is wanted of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) reporter: &'a Reporter,
    pub(crate) protocol: Protocol,
    pub(crate) settings: &'a SessionSettings,
    pub(crate) connector: &'a Connector,
    pub(crate) peer: Peer<'a>,
    pub(crate) requirement: Requirement,
    pub(crate) login: Option<Login<'a>>,
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
}

impl From<Failure> for NotEstablished {
    fn from(failure: Failure) -> Self {
        Self { failure, in_handshake: false }
    }
}

/// Opens a session and secures it as required. Before the last check nothing but greeting, EHLO and STARTTLS was
/// said (law 6), before the login nothing of the envelope.
pub(crate) async fn establish(socket: Socket, terms: Terms<'_>) -> Result<Established, NotEstablished> {
    let established = match terms.requirement.start {
        Start::Immediate => terms.immediate(socket).await,
        Start::StartTls => terms.by_starttls(socket).await,
        Start::Never => terms.in_the_clear(socket).await,
    }?;
    match terms.requirement.is_met_by(established.secured.as_ref()) {
        true => terms.log_in(established).await,
        false => {
            established.session.quit().await;
            Err(Failure::securing(TlsError::NotOffered).into())
        }
    }
}

/// What comes out of a handshake.
type Secure = (Stream, Secured, Option<ChannelBinding>);

impl Terms<'_> {
    /// Logs in, if that is to be done and may be done here. Otherwise nothing of the envelope is sent.
    async fn log_in(&self, mut established: Established) -> Result<Established, NotEstablished> {
        let Some(login) = &self.login else { return Ok(established) };
        if !login.is_safe(established.secured.as_ref(), self.peer.endpoint) {
            established.session.quit().await;
            return Err(Failure::unsafe_for_credentials().into());
        }
        let binding = established.binding.take();
        match log_in(&mut established.session, login, binding.as_ref(), self.connector).await {
            Ok(()) => Ok(established),
            Err(failure) => {
                established.session.quit().await;
                Err(failure.into())
            }
        }
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
        let reply = session.start_tls().await?;
        if reply.class() != ReplyClass::Completed {
            return self.without(session, reply).await;
        }
        // RFC 3207 section 4.2: nothing that was read in the clear is carried over
        let Some(Stream::Plain(socket)) = session.into_bare_stream().await else {
            return Err(Failure::injected().into());
        };
        let (stream, secured, binding) = self.handshake(socket).await?;
        let session =
            Session::reopen(stream, self.protocol, self.settings.clone(), self.reporter.clone()).await?;
        Ok(Established { session, secured: Some(secured), binding })
    }

    /// The server offers STARTTLS and refuses it: where cleartext will do, the same session goes on.
    async fn without(&self, session: Session<Stream>, reply: Reply) -> Result<Established, NotEstablished> {
        let closing = reply.code() == ReplyCode::SERVICE_CLOSING;
        if self.requirement.allows_cleartext() && !closing {
            return Ok(Established { session, secured: None, binding: None });
        }
        if !closing {
            session.quit().await;
        }
        Err(Failure::starttls_refused(reply).into())
    }

    async fn open(&self, stream: Stream) -> Result<Session<Stream>, Failure> {
        Session::open_as(stream, self.protocol, self.settings.clone(), self.reporter.clone()).await
    }

    async fn handshake(&self, socket: Socket) -> Result<Secure, NotEstablished> {
        let limit = self.settings.timeouts.tls;
        let made = self.connector.handshake(socket, self.peer, self.requirement.promise, limit).await;
        match made {
            Ok(Handshake { stream, secured, binding }) => {
                self.reporter.secured(&format!("{}, {}", secured.version(), secured.proof()));
                Ok((Stream::Tls(Box::new(stream)), secured, binding))
            }
            Err(error) => Err(NotEstablished { failure: Failure::securing(error), in_handshake: true }),
        }
    }
}
