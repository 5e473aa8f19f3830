//! [`Outcome`] and [`Failure`]: what became of a recipient. What is permanent is decided here and nowhere else.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::escape;
use crate::proto::{
    AuthenticationFailure, Interruption, Missing, ProtocolError, Reply, ReplyClass, ReplyCode, Stage, Verdict,
};
use crate::status::{EnhancedCode, StatusClass};

/// Octets of a detail that is made for people.
const MAX_DETAIL: usize = 1000;

/// What became of one recipient.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "RFC 5321 section 4.2.5: taken over, not yet, never")]
pub enum Outcome {
    /// A server, or the host's own store, took the message over.
    Delivered(Delivered),
    /// Not yet: the message is to be kept and tried again.
    Deferred(Failure),
    /// Never: the sender is to be told.
    Failed(Failure),
}

impl Outcome {
    /// Whether the message was taken over.
    pub fn is_delivered(&self) -> bool {
        matches!(self, Self::Delivered(_))
    }

    /// Why it was not.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Delivered(_) => None,
            Self::Deferred(failure) | Self::Failed(failure) => Some(failure),
        }
    }

    /// The server's enhanced status code where it sent one of the right class, else the crate's own.
    pub fn status(&self) -> EnhancedCode {
        match self {
            Self::Delivered(delivered) => delivered.status(),
            Self::Deferred(failure) | Self::Failed(failure) => failure.status(),
        }
    }

    /// What the server said that decided the outcome.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Delivered(delivered) => delivered.reply(),
            Self::Deferred(failure) | Self::Failed(failure) => failure.reply(),
        }
    }
}

/// One line for an operator: `delivered (250 2.0.0 queued)`, `deferred (4.4.1): …`, `failed (5.1.1): …`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered(delivered) => match delivered.reply() {
                Some(reply) => write!(f, "delivered ({reply})"),
                None => write!(f, "delivered ({})", delivered.status()),
            },
            Self::Deferred(failure) => write!(f, "deferred ({}): {}", failure.status(), failure.detail()),
            Self::Failed(failure) => write!(f, "failed ({}): {}", failure.status(), failure.detail()),
        }
    }
}

/// A message that was taken over.
#[derive(Debug, Clone)]
pub struct Delivered {
    reply: Option<Reply>,
}

impl Delivered {
    /// Taken over by the host's own store.
    pub fn locally() -> Self {
        Self { reply: None }
    }

    /// What the server said to the end of the content; `None` for a local delivery.
    pub fn reply(&self) -> Option<&Reply> {
        self.reply.as_ref()
    }

    /// The server's enhanced status code, else 2.0.0.
    pub fn status(&self) -> EnhancedCode {
        let said = self.reply.as_ref().and_then(Reply::enhanced);
        said.unwrap_or(EnhancedCode::new(StatusClass::Success, 0, 0))
    }
}

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// There is no way: the router or the DNS says so, or a mail loop.
    Routing,
    /// The DNS did not answer, or not usably.
    Resolving,
    /// The address policy denies every address.
    Forbidden,
    /// No connection came about.
    Connecting,
    /// TLS was not to be had as it was required.
    Securing,
    /// The credentials were not taken.
    Authenticating,
    /// A server said 4yz or 5yz.
    Refused,
    /// A server does not keep to the protocol.
    Protocol,
    /// A server did not answer in time.
    TimedOut,
    /// The connection was lost.
    Disconnected,
    /// A server lacks an extension that the message needs.
    Unsupported,
    /// Held back by the host's own limits.
    Throttled,
    /// Something on this host: its store, its configuration, the file of the message.
    Local,
}

/// The word of command lines and JSON, such as `timed-out`.
impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Routing => "routing",
            Self::Resolving => "resolving",
            Self::Forbidden => "forbidden",
            Self::Connecting => "connecting",
            Self::Securing => "securing",
            Self::Authenticating => "authenticating",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
            Self::TimedOut => "timed-out",
            Self::Disconnected => "disconnected",
            Self::Unsupported => "unsupported",
            Self::Throttled => "throttled",
            Self::Local => "local",
        })
    }
}

/// Why a recipient was not delivered. Cheap to clone: many recipients may share one.
///
/// [`Display`](fmt::Display) speaks of this layer only, [`Error::source`] leads to the cause, and
/// [`Failure::detail`] has both in one line.
#[derive(Clone)]
pub struct Failure(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: FailureKind,
    what: String,
    status: EnhancedCode,
    lasting: Lasting,
    stage: Option<Stage>,
    reply: Option<Reply>,
    may_have_arrived: bool,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// How long a failure lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasting {
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

    /// A failure of the host's own store or set-up that may be over at the next attempt (4.3.0).
    pub fn local_for_now(what: impl Into<String>) -> Self {
        Self::new(FailureKind::Local, Lasting::Temporary, (3, 0), what.into())
    }

    /// A failure of the host's own store that lasts; `status` gets class 5.
    pub fn local_for_good(status: EnhancedCode, what: impl Into<String>) -> Self {
        let numbers = (status.subject(), status.detail());
        Self::new(FailureKind::Local, Lasting::Everywhere, numbers, what.into())
    }

    /// The router refuses the recipient.
    pub(crate) fn route_refused(text: &str) -> Self {
        Self::new(FailureKind::Routing, Lasting::Everywhere, (7, 1), text.to_owned())
    }

    /// The router holds the recipient back.
    pub(crate) fn route_deferred(text: &str) -> Self {
        Self::new(FailureKind::Routing, Lasting::Temporary, (7, 1), text.to_owned())
    }

    /// The router failed.
    pub(crate) fn router(source: impl Error + Send + Sync + 'static) -> Self {
        Self::new(FailureKind::Routing, Lasting::Temporary, (4, 3), "no route was found".into())
            .because(source)
    }

    /// There is no way to the recipient, for good; subject and detail of the status say why.
    pub(crate) fn no_way(numbers: (u16, u16), what: String) -> Self {
        Self::new(FailureKind::Routing, Lasting::Everywhere, numbers, what)
    }

    /// A lookup failed for now.
    pub(crate) fn resolving(what: String, source: impl Error + Send + Sync + 'static) -> Self {
        Self::new(FailureKind::Resolving, Lasting::Temporary, (4, 3), what).because(source)
    }

    /// A host of which there are no addresses, so that another one may do better.
    pub(crate) fn no_addresses(what: String) -> Self {
        Self::new(FailureKind::Routing, Lasting::AtThisHost, (4, 4), what)
    }

    /// A relay of which there are no addresses: a slip of the operator's, or of the DNS.
    pub(crate) fn unknown_relay(what: String) -> Self {
        Self::new(FailureKind::Resolving, Lasting::Temporary, (4, 4), what)
    }

    /// An exchanger that is this host, or is no better than this host.
    pub(crate) fn leads_back(host: &str) -> Self {
        let what = format!("mail to {host} would come back to this host");
        Self::new(FailureKind::Routing, Lasting::AtThisHost, (4, 6), what)
    }

    /// A server that calls itself by a name of this host.
    pub(crate) fn is_this_host(name: impl fmt::Display) -> Self {
        let what = format!("the server calls itself {name}, as this host does: mail would loop");
        Self::new(FailureKind::Routing, Lasting::AtThisHost, (4, 6), what).at(Stage::Hello)
    }

    /// Whether mail leads back to this host, so that hosts that are no better do as well (RFC 5321 section 5.1).
    pub(crate) fn is_loop(&self) -> bool {
        self.0.kind == FailureKind::Routing && (self.0.status.subject(), self.0.status.detail()) == (4, 6)
    }

    /// Whether there was no connection, or the server closed it instead of greeting (421, RFC 5321 section 3.8) or said
    /// nothing at all.
    pub(crate) fn is_unreachable(&self) -> bool {
        let closing = self.reply().is_some_and(|reply| reply.code() == ReplyCode::SERVICE_CLOSING);
        let silent = self.0.kind == FailureKind::TimedOut;
        self.0.kind == FailureKind::Connecting
            || (self.0.stage == Some(Stage::Greeting) && (closing || silent))
    }

    /// A connection was lost on which the whole message had been sent behind another one's (law 3).
    pub(crate) fn may_have_arrived_by_another() -> Self {
        Self::broken(Stage::Final, Interruption::Disconnected, true)
    }

    /// The time for the attempt was over before a host was tried.
    pub(crate) fn out_of_time() -> Self {
        let what = "the time for the attempt is over".to_owned();
        Self::new(FailureKind::TimedOut, Lasting::Temporary, (4, 7), what)
    }

    /// The address policy denies an address.
    pub(crate) fn forbidden(what: String) -> Self {
        Self::new(FailureKind::Forbidden, Lasting::AtThisHost, (4, 4), what)
    }

    /// No connection came about.
    pub(crate) fn connecting(what: String, source: impl Error + Send + Sync + 'static) -> Self {
        Self::new(FailureKind::Connecting, Lasting::Temporary, (4, 1), what).because(source)
    }

    /// TLS was not to be had as it was required (4.7.5, RFC 3463, RFC 7672 section 2.2).
    pub(crate) fn securing(error: impl Error + Send + Sync + 'static, stage: Stage) -> Self {
        let what = "the connection is not secured as it must be".to_owned();
        Self::new(FailureKind::Securing, Lasting::Temporary, (7, 5), what).because(error).at(stage)
    }

    /// The server offered STARTTLS and refused it where it was required.
    pub(crate) fn starttls_refused(reply: Reply) -> Self {
        let what = format!("the server said {reply} to STARTTLS");
        Self::new(FailureKind::Securing, Lasting::Temporary, (7, 5), what)
            .at(Stage::StartTls)
            .with_reply(reply)
    }

    /// The server closes the session instead of doing what it was asked for (RFC 5321 section 3.8).
    pub(crate) fn closing(stage: Stage, reply: Reply) -> Self {
        Self::refused(stage, reply, false)
    }

    /// The client could not log in. A relay's refusal of the credentials is no refusal of the mail (check 186).
    pub(crate) fn authenticating(failure: AuthenticationFailure) -> Self {
        let (reply, numbers) = match &failure {
            AuthenticationFailure::Refused { reply, .. } if reply.code() == ReplyCode::SERVICE_CLOSING => {
                return Self::closing(Stage::Auth, reply.clone());
            }
            AuthenticationFailure::Interrupted(why) => return Self::broken(Stage::Auth, why.clone(), false),
            AuthenticationFailure::Refused { reply, .. } => (Some(reply.clone()), (7, 8)),
            AuthenticationFailure::Mechanism(_) | AuthenticationFailure::NoMechanism => (None, (7, 0)),
        };
        let what = match &reply {
            Some(reply) => format!("the server said {reply} to AUTH"),
            None => "the client did not log in".to_owned(),
        };
        let failed = Self::new(FailureKind::Authenticating, Lasting::Temporary, numbers, what);
        let failed = failed.because(failure).at(Stage::Auth);
        match reply {
            Some(reply) => failed.with_reply(reply),
            None => failed,
        }
    }

    /// Credentials are to be sent, and the connection is not fit for them.
    pub(crate) fn unsafe_for_credentials() -> Self {
        let what = "credentials are not sent over a connection that proves too little".to_owned();
        Self::new(FailureKind::Authenticating, Lasting::Temporary, (7, 5), what).at(Stage::Auth)
    }

    /// The provider of credentials failed.
    pub(crate) fn no_credentials(source: impl Error + Send + Sync + 'static) -> Self {
        let what = "no credentials for the relay".to_owned();
        Self::new(FailureKind::Authenticating, Lasting::Temporary, (7, 0), what).because(source)
    }

    /// Octets came between the answer to STARTTLS and the handshake.
    pub(crate) fn injected() -> Self {
        let what = "the server sent octets in the clear after STARTTLS".to_owned();
        Self::new(FailureKind::Securing, Lasting::Temporary, (7, 5), what).at(Stage::StartTls)
    }

    /// A verdict of a dialogue; `others` tells whether the server accepted another recipient.
    ///
    /// # Errors
    /// Everything but a delivery.
    pub(crate) fn judge(verdict: Verdict, others: bool) -> Result<Delivered, Self> {
        match verdict {
            Verdict::Delivered(reply) => Ok(Delivered { reply: Some(reply) }),
            Verdict::Refused(stage, reply) => Err(Self::refused(stage, reply, others)),
            Verdict::Unsupported(missing) => Err(Self::unsupported(missing)),
            Verdict::Broken { stage, why, may_have_arrived } => {
                Err(Self::broken(stage, why, may_have_arrived))
            }
        }
    }

    fn refused(stage: Stage, reply: Reply, others: bool) -> Self {
        let lasting = lasting(stage, &reply, others);
        let what = format!("the server said {reply} to {}", asked(stage));
        let numbers = own_status(stage, &reply, lasting);
        Self::new(FailureKind::Refused, lasting, numbers, what).at(stage).with_reply(reply)
    }

    fn unsupported(missing: Missing) -> Self {
        let numbers = match missing {
            Missing::EightBitMime | Missing::BinaryMime => (6, 3),
            Missing::Utf8Mailbox => (6, 7),
            Missing::Utf8Header => (6, 9),
            Missing::ShortLines { .. } => (6, 0),
            Missing::Size { .. } => (3, 4),
        };
        Self::new(FailureKind::Unsupported, Lasting::AtThisHost, numbers, missing.to_string())
    }

    fn broken(stage: Stage, why: Interruption, may_have_arrived: bool) -> Self {
        let (kind, numbers) = match &why {
            Interruption::Disconnected | Interruption::Io(_) => (FailureKind::Disconnected, (4, 2)),
            Interruption::TimedOut | Interruption::SessionTimedOut => (FailureKind::TimedOut, (4, 2)),
            Interruption::Protocol(_) => (FailureKind::Protocol, (5, 0)),
            Interruption::Content(_) => (FailureKind::Local, (3, 0)),
        };
        let mut failure =
            Self::new(kind, Lasting::Temporary, numbers, lost(stage, may_have_arrived)).at(stage);
        let inner = failure.inner();
        inner.reply = senseless_reply(&why).cloned();
        inner.may_have_arrived = may_have_arrived;
        inner.source = Some(Arc::new(why));
        failure
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

    fn new(kind: FailureKind, lasting: Lasting, numbers: (u16, u16), what: String) -> Self {
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
    fn at(mut self, stage: Stage) -> Self {
        self.inner().stage = shown_stage(stage);
        self
    }

    /// With what the server said, whose enhanced status code counts where its class fits.
    fn with_reply(mut self, reply: Reply) -> Self {
        let inner = self.inner();
        let said = reply.enhanced().filter(|code| code.class() == inner.status.class());
        inner.status = said.unwrap_or(inner.status);
        inner.reply = Some(reply);
        self
    }

    fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.inner().source = Some(Arc::new(source));
        self
    }

    fn inner(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure.is_permanent() {
            true => Self::Failed(failure),
            false => Self::Deferred(failure),
        }
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

/// The table of conformance: what a 4yz or 5yz reply means at a stage.
fn lasting(stage: Stage, reply: &Reply, others: bool) -> Lasting {
    match (reply.class(), stage) {
        (ReplyClass::Permanent, Stage::Greeting) if reply.code() == ReplyCode::NO_MAIL_SERVICE => {
            Lasting::AtThisHost
        }
        // the host does not like us, or is not set up: another one, or the same one later, may
        (ReplyClass::Permanent, Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Auth) => {
            Lasting::Temporary
        }
        (ReplyClass::Permanent, Stage::RcptTo) if is_too_many_recipients(reply, others) => Lasting::Temporary,
        (ReplyClass::Permanent, _) => Lasting::Everywhere,
        _ => Lasting::Temporary,
    }
}

/// Whether a refusal of a recipient means that the transaction is full (RFC 5321 section 4.5.3.1.10): 452, and
/// 552 unless its enhanced code speaks of the message or the mailbox (RFC 1870 section 6.4 uses it for that).
pub(crate) fn is_too_many_recipients(reply: &Reply, others: bool) -> bool {
    let numbers = reply.enhanced().map(|code| (code.subject(), code.detail()));
    match (reply.code().as_u16(), numbers) {
        (452, Some((5, 3))) | (552, Some((5, 3))) => true,
        (452 | 552, None) => others,
        (452, Some(_)) => others && numbers != Some((2, 2)),
        _ => false,
    }
}

fn own_status(stage: Stage, reply: &Reply, lasting: Lasting) -> (u16, u16) {
    match stage {
        Stage::Greeting | Stage::Hello => (3, 2),
        Stage::RcptTo if reply.code().as_u16() == 552 && lasting == Lasting::Temporary => (5, 3),
        _ => (0, 0),
    }
}

/// Stages of housekeeping are no recipient's business.
fn shown_stage(stage: Stage) -> Option<Stage> {
    (!matches!(stage, Stage::Reset | Stage::Quit)).then_some(stage)
}

fn asked(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "the connection",
        Stage::Hello => "EHLO",
        Stage::StartTls => "STARTTLS",
        Stage::Auth => "AUTH",
        Stage::MailFrom => "MAIL FROM",
        Stage::RcptTo => "RCPT TO",
        Stage::Data => "DATA",
        Stage::Content => "a part of the content",
        Stage::Final => "the message",
        Stage::Reset => "RSET",
        Stage::Quit => "QUIT",
    }
}

fn lost(stage: Stage, may_have_arrived: bool) -> String {
    let arrived = if may_have_arrived { " (the message may have arrived)" } else { "" };
    match stage {
        Stage::Greeting => "no greeting".to_owned(),
        Stage::Content => "the content could not be sent".to_owned(),
        stage => format!("no answer to {}{arrived}", asked(stage)),
    }
}

fn senseless_reply(why: &Interruption) -> Option<&Reply> {
    match why {
        Interruption::Protocol(ProtocolError::Unexpected(reply) | ProtocolError::Unsolicited(reply)) => {
            Some(reply)
        }
        _ => None,
    }
}
