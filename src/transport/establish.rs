//! From a dialled socket to a session that proves what it must.

use super::session::{Session, SessionSettings};
use super::stream::{Socket, Stream};
use crate::outcome::Failure;
use crate::proto::{Protocol, Reply, ReplyClass, ReplyCode};
use crate::tls::{Connector, Peer, Requirement, Secured, Start, TlsError};

/// What is wanted of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) settings: &'a SessionSettings,
    pub(crate) connector: &'a Connector,
    pub(crate) peer: Peer<'a>,
    pub(crate) requirement: Requirement,
}

/// A session, and what its connection proved; `None`: it is in the clear.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) session: Session<Stream>,
    pub(crate) secured: Option<Secured>,
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
/// said (law 6).
pub(crate) async fn establish(socket: Socket, terms: Terms<'_>) -> Result<Established, NotEstablished> {
    let established = match terms.requirement.start {
        Start::Immediate => terms.immediate(socket).await,
        Start::StartTls => terms.by_starttls(socket).await,
        Start::Never => terms.in_the_clear(socket).await,
    }?;
    match terms.requirement.is_met_by(established.secured.as_ref()) {
        true => Ok(established),
        false => {
            established.session.quit().await;
            Err(Failure::securing(TlsError::NotOffered).into())
        }
    }
}

impl Terms<'_> {
    async fn in_the_clear(&self, socket: Socket) -> Result<Established, NotEstablished> {
        let session = self.open(Stream::Plain(socket)).await?;
        Ok(Established { session, secured: None })
    }

    async fn immediate(&self, socket: Socket) -> Result<Established, NotEstablished> {
        let (stream, secured) = self.handshake(socket).await?;
        let session = self.open(stream).await?;
        Ok(Established { session, secured: Some(secured) })
    }

    async fn by_starttls(&self, socket: Socket) -> Result<Established, NotEstablished> {
        let mut session = self.open(Stream::Plain(socket)).await?;
        if !session.capabilities().starttls {
            return Ok(Established { session, secured: None });
        }
        let reply = session.start_tls().await?;
        if reply.class() != ReplyClass::Completed {
            return self.without(session, reply).await;
        }
        // RFC 3207 section 4.2: nothing that was read in the clear is carried over
        let Some(Stream::Plain(socket)) = session.into_bare_stream().await else {
            return Err(Failure::injected().into());
        };
        let (stream, secured) = self.handshake(socket).await?;
        let session = Session::reopen(stream, self.protocol, self.settings.clone()).await?;
        Ok(Established { session, secured: Some(secured) })
    }

    /// The server offers STARTTLS and refuses it: where cleartext will do, the same session goes on.
    async fn without(&self, session: Session<Stream>, reply: Reply) -> Result<Established, NotEstablished> {
        let closing = reply.code() == ReplyCode::SERVICE_CLOSING;
        if self.requirement.allows_cleartext() && !closing {
            return Ok(Established { session, secured: None });
        }
        if !closing {
            session.quit().await;
        }
        Err(Failure::starttls_refused(reply).into())
    }

    async fn open(&self, stream: Stream) -> Result<Session<Stream>, Failure> {
        Session::open(stream, self.protocol, self.settings.clone()).await
    }

    async fn handshake(&self, socket: Socket) -> Result<(Stream, Secured), NotEstablished> {
        let limit = self.settings.timeouts.tls;
        let made = self.connector.handshake(socket, self.peer, self.requirement.promise, limit).await;
        match made {
            Ok((stream, secured)) => Ok((Stream::Tls(Box::new(stream)), secured)),
            Err(error) => Err(NotEstablished { failure: Failure::securing(error), in_handshake: true }),
        }
    }
}
