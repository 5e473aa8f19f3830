//! [`Session`]: SMTP or LMTP on a stream.

use tokio::io::{AsyncRead, AsyncWrite};

use super::content_source::ContentSource;
use super::drive::Link;
use super::timeouts::Timeouts;
use crate::mail::{Envelope, Message, Recipient};
use crate::outcome::{Failure, Outcome};
use crate::proto::{
    Capabilities, ClientName, Ending, Interruption, Machine, Opening, Protocol, Reply, ReplyCode,
    ReplyLimits, Single, Stage, Terms, Transaction, Verdict,
};

/// How sessions are held.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionSettings {
    /// What is said in EHLO or LHLO (RFC 5321 section 4.1.1.1).
    pub client_name: ClientName,
    /// Time limits.
    pub timeouts: Timeouts,
    /// How much a server may say.
    pub replies: ReplyLimits,
    /// Whether commands go out in groups where the server offers PIPELINING (RFC 2920); `true`.
    pub pipelining: bool,
    /// Whether octets above 127 are sent to a server that does not offer 8BITMIME, as to a relay that is known
    /// to take them; `false` (RFC 6152 section 3).
    pub eight_bit_clean: bool,
}

impl SessionSettings {
    /// The defaults, with the name that the client gives itself.
    pub fn new(client_name: ClientName) -> Self {
        Self {
            client_name,
            timeouts: Timeouts::default(),
            replies: ReplyLimits::default(),
            pipelining: true,
            eight_bit_clean: false,
        }
    }
}

/// A session of SMTP (RFC 5321) or LMTP (RFC 2033) on any stream.
///
/// The crate opens sessions itself, over connections to addresses that a policy permits. A host with a stream
/// of its own can hold one on it:
///
/// ```
/// use nexthop::testing::ScriptedServer;
/// use nexthop::transport::{Session, SessionSettings};
/// use nexthop::{ClientName, Envelope, Message, Protocol};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let server = ScriptedServer::lmtp().listen_tcp().await?;
/// let stream = tokio::net::TcpStream::connect(server.address()).await?;
///
/// let settings = SessionSettings::new(ClientName::parse("mail.example.net")?);
/// let mut session = Session::open(stream, Protocol::Lmtp, settings).await?;
/// let envelope = Envelope::new("news@example.net")?.to("ann@lists.example")?;
/// let message = Message::from_text("Subject: hello\n\nworld\n")?;
/// for outcome in session.send(&envelope, &message).await {
///     assert!(outcome.is_delivered(), "{outcome}");
/// }
/// session.quit().await;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Session<S> {
    link: Link<S>,
    protocol: Protocol,
    settings: SessionSettings,
    capabilities: Capabilities,
    state: State,
}

/// What may happen next on a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// RSET is due.
    Aborted,
    /// Nothing: it broke, or a future was dropped in mid-dialogue.
    Unusable,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// Waits for the greeting and introduces the client: EHLO with a fall-back to HELO, or LHLO.
    ///
    /// # Errors
    /// A server that refuses, breaks the protocol, closes or takes too long; its stage is
    /// [`Stage::Greeting`] or [`Stage::Hello`]. A server that refused was sent QUIT, and nothing else.
    ///
    /// # Cancellation
    /// Dropping the future closes the stream.
    pub async fn open(stream: S, protocol: Protocol, settings: SessionSettings) -> Result<Self, Failure> {
        let session = Self::new(stream, protocol, settings);
        let name = session.settings.client_name.clone();
        let opening = Opening::new(protocol, &name, &session.link.output);
        session.introduce(opening).await
    }

    /// The same session on the stream that TLS made of its own: everything is learnt anew.
    pub(crate) async fn reopen(
        stream: S,
        protocol: Protocol,
        settings: SessionSettings,
    ) -> Result<Self, Failure> {
        let mut session = Self::new(stream, protocol, settings);
        let name = session.settings.client_name.clone();
        let opening = Opening::after_starttls(protocol, &name, &mut session.link.output);
        session.introduce(opening).await
    }

    fn new(stream: S, protocol: Protocol, settings: SessionSettings) -> Self {
        let link = Link::new(stream, settings.replies, &settings.timeouts);
        Self { link, protocol, settings, capabilities: Capabilities::default(), state: State::Ready }
    }

    async fn introduce(mut self, mut opening: Opening<'_>) -> Result<Self, Failure> {
        self.run(&mut opening, None).await;
        match opening.finish() {
            Ok(capabilities) => self.capabilities = capabilities,
            Err(verdict) => return Err(self.turned_away(verdict).await),
        }
        Ok(self)
    }

    /// Asks for TLS. After a positive reply the stream is to be taken and secured, nothing else.
    pub(crate) async fn start_tls(&mut self) -> Result<Reply, Failure> {
        let mut asking = Single::start_tls(&mut self.link.output);
        self.run(&mut asking, None).await;
        asking.finish().map_err(refusal)
    }

    /// The stream, if nothing was read from it that nobody asked for (RFC 3207 section 4, the injection of
    /// CVE-2011-0411).
    pub(crate) async fn into_bare_stream(mut self) -> Option<S> {
        self.link.heard_nothing().await.then(|| self.link.into_stream())
    }

    /// RFC 5321 section 3.1: after a 554 greeting only QUIT; after 421 the server has gone already.
    async fn turned_away(mut self, verdict: Verdict) -> Failure {
        if let Verdict::Refused(_, reply) = &verdict
            && reply.code() != ReplyCode::SERVICE_CLOSING
        {
            self.farewell().await;
        }
        refusal(verdict)
    }

    /// What the server offers.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Whether another message can be sent. The server may still have closed by then.
    pub fn is_usable(&self) -> bool {
        self.state != State::Unusable
    }

    /// Sends a message to all recipients of the envelope in one transaction and gives one outcome for each, in
    /// their order.
    ///
    /// Recipients whose refusal means that the transaction is full (452, RFC 5321 section 4.5.3.1.10) are
    /// deferred here; [`Deliverer`](crate::Deliverer) sends them in further transactions.
    ///
    /// # Cancellation
    /// Dropping the future at any point never makes the server accept a part of the message: the end of the
    /// content is not sent. The session is not usable afterwards.
    pub async fn send(&mut self, envelope: &Envelope, message: &Message) -> Vec<Outcome> {
        let recipients: Vec<_> = envelope.recipients().iter().collect();
        judge_all(self.transact(envelope, &recipients, message).await)
    }

    /// One transaction for some of an envelope's recipients: a verdict for each of them.
    pub(crate) async fn transact(
        &mut self,
        envelope: &Envelope,
        recipients: &[&Recipient],
        message: &Message,
    ) -> Vec<Verdict> {
        if !self.prepare().await {
            return vec![gone(); recipients.len()];
        }
        let mut transaction = Transaction::new(self.terms(), envelope, recipients, message.facts());
        self.run(&mut transaction, Some(ContentSource::new(message))).await;
        let (verdicts, ending) = transaction.finish();
        self.state = match ending {
            Ending::Complete => State::Ready,
            Ending::Aborted => State::Aborted,
            Ending::Unusable => State::Unusable,
        };
        verdicts
    }

    /// Says goodbye and closes. The reply is waited for as long as [`Timeouts::quit`] says; it changes nothing.
    pub async fn quit(mut self) {
        if self.is_usable() {
            self.farewell().await;
        }
    }

    async fn farewell(&mut self) {
        let mut quit = Single::quit(&mut self.link.output);
        self.run(&mut quit, None).await;
        self.link.shutdown(self.settings.timeouts.quit).await;
        self.state = State::Unusable;
    }

    /// Makes sure that a transaction may begin.
    async fn prepare(&mut self) -> bool {
        if self.state == State::Unusable || !self.link.is_quiet().await {
            self.state = State::Unusable;
            return false;
        }
        if self.state == State::Aborted {
            let mut reset = Single::reset(&mut self.link.output);
            self.run(&mut reset, None).await;
            self.state = if reset.is_done() { State::Ready } else { State::Unusable };
        }
        self.is_usable()
    }

    /// Runs a machine. Should the future be dropped in the middle, the session stays unusable.
    async fn run(&mut self, machine: &mut (dyn Machine + Send), content: Option<ContentSource<'_>>) {
        let state = std::mem::replace(&mut self.state, State::Unusable);
        self.link.run(machine, &self.settings.timeouts, content).await;
        self.state = state;
    }

    fn terms(&self) -> Terms {
        Terms {
            protocol: self.protocol,
            capabilities: self.capabilities,
            pipelining: self.settings.pipelining,
            eight_bit_clean: self.settings.eight_bit_clean,
            kept_text: self.settings.replies.kept_text,
        }
    }
}

/// Outcomes of the verdicts of one transaction.
fn judge_all(verdicts: Vec<Verdict>) -> Vec<Outcome> {
    let others = verdicts.iter().any(was_accepted);
    let outcome = |verdict| Failure::judge(verdict, others).map_or_else(Outcome::from, Outcome::Delivered);
    verdicts.into_iter().map(outcome).collect()
}

/// Whether the server accepted the recipient, whatever became of the message.
pub(crate) fn was_accepted(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Delivered(_) => true,
        Verdict::Refused(stage, _) => matches!(stage, Stage::Data | Stage::Content | Stage::Final),
        Verdict::Unsupported(_) | Verdict::Broken { .. } => false,
    }
}

/// The failure of a dialogue before any message.
fn refusal(verdict: Verdict) -> Failure {
    let judged = Failure::judge(verdict, false);
    judged.err().unwrap_or_else(|| Failure::local_for_now("a delivery before any message"))
}

fn gone() -> Verdict {
    Verdict::Broken { stage: Stage::MailFrom, why: Interruption::Disconnected, may_have_arrived: false }
}
