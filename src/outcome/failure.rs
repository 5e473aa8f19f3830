//! [`Failure`]: why a recipient was not delivered, and what that means.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::kind::FailureKind;
use crate::escape;
use crate::proto::{Interruption, Reply, ReplyCode, Stage};
use crate::status::{EnhancedCode, StatusClass};

/// Octets of a detail that is made for people.
const MAX_DETAIL: usize = 1000;

/// Why a recipient was not delivered. Cheap to clone: many recipients may share one.
///
/// [`Display`](fmt::Display) speaks of this layer only, [`Error::source`] leads to the cause, and
/// [`Failure::detail`] has both in one line.
#[derive(Clone)]
pub struct Failure(pub(super) Arc<Inner>);

#[derive(Debug, Clone)]
pub(super) struct Inner {
    pub(super) kind: FailureKind,
    pub(super) what: String,
    pub(super) status: EnhancedCode,
    pub(super) lasting: Lasting,
    pub(super) stage: Option<Stage>,
    pub(super) reply: Option<Reply>,
    pub(super) may_have_arrived: bool,
    pub(super) source: Option<Arc<dyn Error + Send + Sync>>,
}

/// How long a failure lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// It may be over at the next attempt.
    Temporary,
    /// It will be the same at this host, but another one may do better.
    AtThisHost,
    /// It will be the same everywhere.
    Everywhere,
}

impl Failure {
    /// What kind of thing went wrong.
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// What the dialogue waited for; `None` outside a dialogue.
    pub fn stage(&self) -> Option<Stage> {
        self.0.stage
    }

    /// What the server said; never worded by the crate.
    pub fn reply(&self) -> Option<&Reply> {
        self.0.reply.as_ref()
    }

    /// The server's enhanced status code where its class fits, else the crate's own.
    pub fn status(&self) -> EnhancedCode {
        self.0.status
    }

    /// Whether trying again is of no use.
    pub fn is_permanent(&self) -> bool {
        self.0.lasting != Lasting::Temporary
    }

    /// Whether the server had the end of the content and did not answer: a new attempt may deliver the message
    /// a second time (RFC 1047).
    pub fn may_have_arrived(&self) -> bool {
        self.0.may_have_arrived
    }

    /// The failure and its causes in one line of printable text.
    pub fn detail(&self) -> String {
        let mut detail = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            detail.push_str(": ");
            detail.push_str(&error.to_string());
            cause = error.source();
        }
        let line = escape::one_line(detail.as_bytes());
        escape::shorten(&line, MAX_DETAIL).to_owned()
    }

    /// Whether mail leads back to this host, so that hosts that are no better do as well (RFC 5321 section 5.1).
    pub(crate) fn is_loop(&self) -> bool {
        self.0.kind == FailureKind::Routing && (self.0.status.subject(), self.0.status.detail()) == (4, 6)
    }

    /// Returns `true` if the server could not be reached, and this is not due to a fault or a time limit of this host.
    ///
    /// The server refused the connection, did not greet within the time limit of that stage, or replied 421 instead of a
    /// greeting (RFC 5321 section 3.8).
    pub(crate) fn is_unreachable(&self) -> bool {
        match (self.0.kind, self.0.stage) {
            (FailureKind::Connecting, _) => self.cause::<io::Error>().is_some_and(is_of_peer),
            (FailureKind::TimedOut, Some(Stage::Greeting)) => !self.is_cut_short(),
            (_, Some(Stage::Greeting)) => self.is_closing(),
            _ => false,
        }
    }

    /// Returns `true` if the server replied 421 instead of a greeting (RFC 5321 section 3.8).
    pub(crate) fn is_turned_away(&self) -> bool {
        self.0.stage == Some(Stage::Greeting) && self.0.kind == FailureKind::Refused && self.is_closing()
    }

    fn is_closing(&self) -> bool {
        self.reply().is_some_and(|reply| reply.code() == ReplyCode::SERVICE_CLOSING)
    }

    /// Returns `true` if the time limit of the session or the attempt ended a wait before that of the stage.
    pub(crate) fn is_cut_short(&self) -> bool {
        matches!(self.cause(), Some(Interruption::SessionTimedOut))
    }

    /// Returns `true` if a greeting was read on the connection. With `immediate` TLS the handshake precedes it.
    pub(crate) fn is_greeted(&self, immediate: bool) -> bool {
        match (self.0.kind, self.0.stage) {
            (FailureKind::Connecting, _) => false,
            (FailureKind::Disconnected | FailureKind::TimedOut, Some(Stage::Greeting)) => false,
            (FailureKind::Securing, _) => !immediate,
            _ => true,
        }
    }

    /// Returns `true` if the server refused the transaction or the recipient. Its other addresses would reply the same.
    pub(crate) fn is_refused_transaction(&self) -> bool {
        use Stage::{Content, Data, Final, MailFrom, RcptTo};
        self.0.kind == FailureKind::Refused
            && matches!(self.0.stage, Some(MailFrom | RcptTo | Data | Content | Final))
    }

    fn cause<E: Error + 'static>(&self) -> Option<&E> {
        self.0.source.as_deref().and_then(|source| source.downcast_ref())
    }

    /// Whether no other host is to be tried for the recipient in this attempt: it would say the same, or the
    /// message may have arrived.
    pub(crate) fn ends_attempt(&self) -> bool {
        self.0.lasting == Lasting::Everywhere || self.0.may_have_arrived
    }

    /// Of two hosts' failures the one that tells more; of equal ones the later. What lasts at one host only
    /// counts for as long as no other host gives hope (check 287).
    pub(crate) fn or_better(self, other: Self) -> Self {
        if other.weight() >= self.weight() { other } else { self }
    }

    /// How much a failure tells, to be compared with that of another host.
    pub(crate) fn weight(&self) -> (bool, u8) {
        let informed = match (self.0.kind, self.0.stage) {
            (FailureKind::Refused, Some(Stage::Greeting | Stage::Hello)) => 5,
            (FailureKind::Refused, _) => 6,
            (FailureKind::Protocol | FailureKind::TimedOut | FailureKind::Disconnected, _) => 4,
            (FailureKind::Unsupported | FailureKind::Securing | FailureKind::Authenticating, _) => 3,
            (FailureKind::Connecting, _) => 2,
            (FailureKind::Forbidden, _) => 0,
            _ => 1,
        };
        (self.0.lasting == Lasting::Temporary, informed)
    }

    pub(super) fn new(kind: FailureKind, lasting: Lasting, numbers: (u16, u16), what: String) -> Self {
        let class =
            if lasting == Lasting::Temporary { StatusClass::Transient } else { StatusClass::Permanent };
        let status = EnhancedCode::new(class, numbers.0, numbers.1);
        let inner = Inner {
            kind,
            what,
            status,
            lasting,
            stage: None,
            reply: None,
            may_have_arrived: false,
            source: None,
        };
        Self(Arc::new(inner))
    }

    /// In a dialogue that waited for this.
    pub(super) fn at(mut self, stage: Stage) -> Self {
        self.inner().stage = shown_stage(stage);
        self
    }

    /// With what the server said, whose enhanced status code counts where its class fits.
    pub(super) fn with_reply(mut self, reply: Reply) -> Self {
        let inner = self.inner();
        let said = reply.enhanced().filter(|code| code.class() == inner.status.class());
        inner.status = said.unwrap_or(inner.status);
        inner.reply = Some(reply);
        self
    }

    pub(super) fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.inner().source = Some(Arc::new(source));
        self
    }

    pub(super) fn inner(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// Returns `true` if a connection failed because of the peer or the network, and not for lack of resources of this host.
fn is_of_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, NotFound,
        TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionRefused
            | ConnectionReset
            | ConnectionAborted
            | HostUnreachable
            | NetworkUnreachable
            | NotFound
            | TimedOut
    )
}

/// Stages of housekeeping are no recipient's business.
fn shown_stage(stage: Stage) -> Option<Stage> {
    (!matches!(stage, Stage::Reset | Stage::Quit)).then_some(stage)
}
