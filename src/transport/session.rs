//! [`Session`]: SMTP or LMTP on a stream.

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::alarm::after;
use super::drive::Link;
use super::login::Dialogue;
use super::timeouts::Timeouts;
use crate::mail::{ContentReader, DnsName, Envelope, Message};
use crate::observer::{Observer, Reporter, TraceLevels};
use crate::outcome::{Failure, Outcome};
use crate::proto::{
    Ahead, Authentication, AuthenticationFailure, Behind, Capabilities, ClientName, Ending, Machine,
    Mechanism, MechanismSet, Opening, Overlap, Protocol, Recipients, Redaction, Reply, ReplyCode,
    ReplyLimits, SaslTerms, Single, Stage, Terms, Transaction, Verdict, Verdicts,
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
    /// Whether content goes out in chunks of known length where the server offers CHUNKING (RFC 3030); `true`.
    pub chunking: bool,
    /// Size in bytes of the largest message that is sent together with its commands, in one round trip, over SMTP, if the
    /// server offers PIPELINING and CHUNKING. With 0, content never precedes the replies to RCPT (RFC 3030 section 2). See
    /// [`DelivererBuilder::single_flight_limit`](crate::DelivererBuilder::single_flight_limit) for the risk. Default: 0.
    pub single_flight_limit: usize,
    /// Whether octets above 127 are sent to a server that does not offer 8BITMIME, as to a relay that is known
    /// to take them; `false` (RFC 6152 section 3).
    pub eight_bit_clean: bool,
    /// Sends UTF-8 in the header as 8-bit content to a server that offers 8BITMIME but not SMTPUTF8.
    ///
    /// Use it for the operator's own relay or mail store, such as an LMTP server. With `false` such a message fails (5.6.9,
    /// RFC 6531 section 3.2). A deliverer sets `true` for relays, and `false` for the mail exchangers of MX routes.
    /// Default: `false`.
    pub utf8_header_as_eight_bit: bool,
    /// Whether messages with lines of more than 998 octets are failed (5.6.0) rather than sent as they are; `false`
    /// (RFC 5321 section 4.5.3.1.6).
    pub refuse_long_lines: bool,
    /// Treats every 5yz greeting as permanent (5.3.2), not only 521 (RFC 5321 section 3.1, RFC 7504). A 554 greeting often
    /// refuses the client's address only for a while. Default: `false`.
    pub greeting_5yz_is_permanent: bool,
    /// Who hears what is said; nobody.
    pub observer: Option<Arc<dyn Observer>>,
    /// What the observer hears beyond the dialogue.
    pub trace: TraceLevels,
}

impl SessionSettings {
    /// The defaults, with the name that the client gives itself.
    pub fn new(client_name: ClientName) -> Self {
        Self {
            client_name,
            timeouts: Timeouts::default(),
            replies: ReplyLimits::default(),
            pipelining: true,
            chunking: true,
            single_flight_limit: 0,
            eight_bit_clean: false,
            utf8_header_as_eight_bit: false,
            refuse_long_lines: false,
            greeting_5yz_is_permanent: false,
            observer: None,
            trace: TraceLevels::default(),
        }
    }

    /// What is known of a server and decided by the host.
    pub(crate) fn terms(&self, protocol: Protocol, capabilities: Capabilities, authenticated: bool) -> Terms {
        Terms {
            protocol,
            capabilities,
            pipelining: self.pipelining,
            chunking: self.chunking,
            single_flight_limit: self.single_flight_limit,
            eight_bit_clean: self.eight_bit_clean,
            utf8_header_as_eight_bit: self.utf8_header_as_eight_bit,
            refuse_long_lines: self.refuse_long_lines,
            authenticated,
            kept_text: self.replies.kept_text,
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
    server_names: Vec<DnsName>,
    state: State,
    authenticated: bool,
    /// The place in the stream where what was sent behind EHLO begins, until it is answered.
    ahead_at: Option<u64>,
}

/// Time limit for the client's last bytes, which are close_notify in TLS.
const SHUTDOWN: Duration = Duration::from_secs(1);

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
        let reporter = Reporter::new(settings.observer.clone(), settings.trace, "session");
        let ends = settings.timeouts.session.map(after);
        Self::new(stream, protocol, settings, ends, reporter, &Redaction::default()).begin(None).await
    }

    /// Waits for the greeting and introduces the client; with something to say `early` it does so at once.
    pub(crate) async fn begin(mut self, early: Option<Ahead>) -> Result<Self, Failure> {
        let (protocol, name) = (self.protocol, self.settings.client_name.clone());
        let opening = match early {
            None => Opening::new(protocol, &name, &self.link.output),
            Some(ahead) => Opening::early(protocol, &name, ahead, &mut self.link.output),
        };
        self.introduce(opening).await
    }

    /// Introduces the client on the stream that TLS made of another session's own: everything is learnt anew.
    pub(crate) async fn begin_again(mut self, ahead: Ahead) -> Result<Self, Failure> {
        let name = self.settings.client_name.clone();
        let opening = Opening::after_starttls(self.protocol, &name, ahead, &mut self.link.output);
        self.introduce(opening).await
    }

    /// A session that is over at a given time, and of which an observer hears under the name of the reporter. Nothing was
    /// said on it yet.
    pub(crate) fn new(
        stream: S,
        protocol: Protocol,
        settings: SessionSettings,
        ends: Option<Instant>,
        reporter: Reporter,
        redaction: &Redaction,
    ) -> Self {
        let mut link = Link::new(stream, settings.replies, ends, reporter);
        link.redact(redaction);
        Self {
            link,
            protocol,
            settings,
            capabilities: Capabilities::default(),
            server_names: Vec::new(),
            state: State::Ready,
            authenticated: false,
            ahead_at: None,
        }
    }

    async fn introduce(mut self, mut opening: Opening<'_>) -> Result<Self, Failure> {
        self.run(&mut opening, None).await;
        let is_answered = !opening.awaits_answers();
        match opening.finish() {
            Ok(introduced) => {
                self.capabilities = introduced.capabilities;
                self.server_names.extend(introduced.names);
                self.ahead_at = introduced.ahead_at;
            }
            Err(verdict) => return Err(self.turned_away(verdict, is_answered).await),
        }
        Ok(self)
    }

    /// The place in the stream where what was sent behind EHLO begins, if it is not answered yet.
    pub(crate) fn ahead_at(&self) -> Option<u64> {
        self.ahead_at
    }

    /// Asks for TLS, if that was not done with EHLO. After a positive reply the stream is to be taken and secured, nothing else.
    pub(crate) async fn start_tls(&mut self) -> Result<Reply, Failure> {
        let mut asking = match self.ahead_at.take() {
            Some(_) => Single::awaited_start_tls(&self.link.output),
            None => Single::start_tls(&mut self.link.output),
        };
        self.run(&mut asking, None).await;
        asking.finish().map_err(refusal)
    }

    /// From now on every reply is rid of what the login sent.
    async fn run_login(&mut self, mut login: Authentication) -> Result<(), AuthenticationFailure> {
        self.run(&mut login, None).await;
        self.link.redact(&login.redaction());
        let result = login.finish();
        match &result {
            Ok(()) => self.authenticated = true,
            Err(AuthenticationFailure::Refused { reply, .. })
                if reply.code() != ReplyCode::SERVICE_CLOSING => {}
            Err(AuthenticationFailure::NoMechanism) => {}
            Err(_) => self.state = State::Unusable,
        }
        result
    }

    /// The stream, if nothing was read from it that nobody asked for (RFC 3207 section 4, the injection of
    /// CVE-2011-0411).
    pub(crate) async fn into_bare_stream(mut self) -> Option<S> {
        self.link.heard_nothing().then(|| self.link.into_stream())
    }

    /// RFC 5321 section 3.1: after a 554 greeting only QUIT; after 421 the server has gone already. Where something else
    /// was said before, QUIT could be taken for content.
    async fn turned_away(mut self, verdict: Verdict, is_answered: bool) -> Failure {
        let verdict = verdict.shortened(self.settings.replies.kept_text);
        if let Verdict::Refused(_, reply) = &verdict {
            match is_answered && reply.code() != ReplyCode::SERVICE_CLOSING {
                true => self.farewell().await,
                false => self.abandon().await,
            }
        }
        match verdict {
            Verdict::Refused(Stage::Greeting, reply) if self.settings.greeting_5yz_is_permanent => {
                Failure::refused_by_permanent_greeting(reply)
            }
            verdict => refusal(verdict),
        }
    }

    /// Closes the client's end without QUIT.
    pub(crate) async fn abandon(&mut self) {
        self.state = State::Unusable;
        self.link.shutdown(self.settings.timeouts.quit.min(SHUTDOWN)).await;
    }

    /// What the server offers.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What the server calls itself in its greeting and in its reply to EHLO (RFC 5321 sections 4.2 and 4.1.1.1), where
    /// that is a name. Nothing proves it.
    pub fn server_names(&self) -> &[DnsName] {
        &self.server_names
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
        let (verdicts, accepted) = self.transact(envelope, message).await;
        judge_all(verdicts, accepted > 0)
    }

    /// One transaction: a verdict for each recipient, and how many the server accepted, whatever became of the message.
    async fn transact(&mut self, envelope: &Envelope, message: &Message) -> (Verdicts, usize) {
        let recipients = Recipients::of(envelope);
        if let Err(verdict) = self.prepare().await {
            return (Verdicts::of_all(recipients.len(), verdict), 0);
        }
        let mut transaction = Transaction::new(self.terms(), envelope, recipients, message.facts());
        self.run(&mut transaction, Some(message.reader())).await;
        let accepted = transaction.accepted();
        let (verdicts, ending) = transaction.finish();
        self.state = state_after(ending);
        (verdicts, accepted)
    }

    /// One transaction, that may have been begun on the connection already, and behind its content whatever may go there.
    /// Says whether that was QUIT.
    pub(crate) async fn convey(
        &mut self,
        transaction: &mut Transaction<'_>,
        message: &Message,
        behind: &mut (dyn Behind + Send),
    ) -> bool {
        let mut overlap = Overlap::new(transaction, behind);
        self.run(&mut overlap, Some(message.reader())).await;
        let has_left = overlap.has_left();
        self.state = state_after(transaction.ending());
        has_left
    }

    /// Closes the connection after a QUIT that was sent with the last message.
    pub(crate) async fn left(&mut self) {
        if self.is_usable() {
            self.abandon().await;
        }
    }

    /// Lets go of whoever used it last, for it may be long until somebody uses it again.
    pub(crate) fn rest(&mut self) {
        self.link.rest();
    }

    /// Octets that were written to the stream.
    pub(crate) fn written(&self) -> u64 {
        self.link.output.written()
    }

    /// When everything must be over that is done on it for one delivery.
    pub(crate) fn limit(&mut self, ends: Option<Instant>) {
        let session_ends = self.settings.timeouts.session.map(after);
        self.link.end_at(ends.into_iter().chain(session_ends).min());
    }

    /// Says goodbye and closes. The reply is waited for as long as [`Timeouts::quit`] says; it changes nothing.
    pub async fn quit(mut self) {
        if self.is_usable() {
            self.farewell().await;
        }
    }

    /// Sends QUIT and waits for its reply. The session is of no use then.
    pub(crate) async fn leave(&mut self) {
        self.farewell().await;
    }

    async fn farewell(&mut self) {
        let mut quit = Single::quit(&mut self.link.output);
        self.run(&mut quit, None).await;
        self.abandon().await;
    }

    /// Makes sure that a transaction may begin; otherwise says what becomes of its recipients.
    pub(crate) async fn prepare(&mut self) -> Result<(), Verdict> {
        if self.state == State::Unusable || !self.link.is_quiet() {
            self.state = State::Unusable;
            return Err(self.unasked());
        }
        if self.state == State::Aborted {
            let mut reset = Single::reset(&mut self.link.output);
            self.run(&mut reset, None).await;
            if !reset.is_done() {
                self.state = State::Unusable;
                // a refusal is as good as a closed connection; whoever is slow is not asked over and over again
                return Err(reset.finish().err().unwrap_or_else(Verdict::gone));
            }
            self.state = State::Ready;
        }
        Ok(())
    }

    /// RFC 5321 section 3.8: a server may say 421 at any time.
    fn unasked(&mut self) -> Verdict {
        let closing = self.link.unasked().filter(|reply| reply.code() == ReplyCode::SERVICE_CLOSING);
        closing.map_or_else(Verdict::gone, |reply| Verdict::Refused(Stage::MailFrom, reply))
    }

    /// Runs a machine. Should the future be dropped in the middle, the session stays unusable.
    async fn run(&mut self, machine: &mut (dyn Machine + Send), content: Option<ContentReader<'_>>) {
        let state = std::mem::replace(&mut self.state, State::Unusable);
        self.link.run(machine, &self.settings.timeouts, content).await;
        self.state = state;
    }

    /// What is known of the server and decided by the host.
    pub(crate) fn terms(&self) -> Terms {
        self.settings.terms(self.protocol, self.capabilities, self.authenticated)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Dialogue for Session<S> {
    fn offered(&self) -> MechanismSet {
        self.capabilities.auth
    }

    async fn authenticate(
        &mut self,
        mechanism: Mechanism,
        terms: &SaslTerms<'_>,
    ) -> Result<(), AuthenticationFailure> {
        let login = Authentication::new(mechanism, terms, &mut self.link.output);
        self.run_login(login).await
    }
}

fn state_after(ending: Ending) -> State {
    match ending {
        Ending::Complete => State::Ready,
        Ending::Aborted => State::Aborted,
        Ending::Unusable => State::Unusable,
    }
}

/// Outcomes of the verdicts of one transaction; `others` tells whether the server accepted a recipient.
fn judge_all(verdicts: Verdicts, others: bool) -> Vec<Outcome> {
    let outcome = |verdict| Failure::judge(verdict, others).map_or_else(Outcome::from, Outcome::Delivered);
    let (own, rest) = verdicts.into_parts();
    let rest = LazyCell::new(|| outcome(rest));
    own.map(|own| own.map_or_else(|| rest.clone(), outcome)).collect()
}

/// The failure of a dialogue before any message.
fn refusal(verdict: Verdict) -> Failure {
    let judged = Failure::judge(verdict, false);
    judged.err().unwrap_or_else(|| Failure::local_for_now("a delivery before any message"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Credentials, Nonce, SaslLimits};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    /// Greets, and replies to each input in order. Returns the stream after the last input was read.
    async fn serve(mut stream: DuplexStream) -> DuplexStream {
        for reply in ["220 there\r\n", "250-there\r\n250 AUTH PLAIN\r\n", "235 fine\r\n"] {
            stream.write_all(reply.as_bytes()).await.unwrap();
            let _ = stream.read(&mut [0; 512]).await.unwrap();
        }
        stream
    }

    async fn log_in(stream: DuplexStream, credentials: &Credentials) -> Session<DuplexStream> {
        let settings = SessionSettings::new(ClientName::parse("client.example").unwrap());
        let mut session = Session::open(stream, Protocol::Smtp, settings).await.unwrap();
        let (nonce, limits, offered) = (Nonce::of("n"), SaslLimits::default(), session.offered());
        let terms =
            SaslTerms { credentials, offered, binding: None, nonce: &nonce, host: None, port: None, limits };
        session.authenticate(Mechanism::Plain, &terms).await.unwrap();
        session
    }

    #[tokio::test]
    async fn check_201_debugging_a_session_shows_no_secret() {
        let (near, far) = duplex(1024);
        let credentials = Credentials::password("ann", "s3cret-Passw0rd");
        let server = tokio::spawn(serve(far));
        let shown = format!("{:?}", log_in(near, &credentials).await);
        server.abort();
        assert!(!shown.contains("s3cret"), "{shown}");
        // base64 of the same, wherever it begins
        for part in ["czNjcmV0", "MzY3JldC", "zM2NyZX"] {
            assert!(!shown.contains(part), "{shown}");
        }
    }

    #[tokio::test]
    async fn attack_a20_a_reply_with_different_codes_shows_no_secret_of_the_login() {
        let (near, far) = duplex(1024);
        let credentials = Credentials::password("ann", "s3cret-Passw0rd");
        tokio::spawn(async move {
            let mut stream = serve(far).await;
            stream.write_all(b"250-s3cret-Passw0rd\r\n251 ok\r\n").await.unwrap();
        });
        let mut session = log_in(near, &credentials).await;
        let envelope = Envelope::new("").unwrap().to("a@x.example").unwrap();
        let outcomes = session.send(&envelope, &Message::from_bytes("a: b\r\n").unwrap()).await;
        let detail = outcomes[0].failure().unwrap().detail();
        assert!(detail.ends_with("250-*** / 251 ok"), "{detail}");
    }

    #[tokio::test]
    async fn attack_a20_a_secret_is_taken_out_of_different_codes_before_they_are_cut() {
        let (near, far) = duplex(8192);
        let credentials = Credentials::password("ann", "s3cret-Passw0rd");
        tokio::spawn(async move {
            let mut stream = serve(far).await;
            let filler = "x".repeat(2048 - 14);
            stream.write_all(format!("250-{filler}s3cret-Passw0rd\r\n251 ok\r\n").as_bytes()).await.unwrap();
            let _ = stream.read(&mut [0; 512]).await;
        });
        let mut session = log_in(near, &credentials).await;
        let envelope = Envelope::new("").unwrap().to("a@x.example").unwrap();
        let outcomes = session.send(&envelope, &Message::from_bytes("a: b\r\n").unwrap()).await;
        let failure = outcomes[0].failure().unwrap();
        let all = format!("{failure} {failure:?} {}", failure.detail());
        assert!(!all.contains("s3cret-Passw0r"), "leaked: ...{}", &all[all.find("s3cret").unwrap()..][..14]);
    }

    #[tokio::test]
    async fn attack_a20_a_reply_that_ends_amid_a_secret_shows_nothing_of_it() {
        let (near, far) = duplex(8192);
        let credentials = Credentials::password("ann", "s3cret-Passw0rd");
        tokio::spawn(async move {
            let mut stream = serve(far).await;
            stream.write_all(b"550 no s3cret-Passw0r").await.unwrap();
        });
        let mut session = log_in(near, &credentials).await;
        let envelope = Envelope::new("").unwrap().to("a@x.example").unwrap();
        let outcomes = session.send(&envelope, &Message::from_bytes("a: b\r\n").unwrap()).await;
        let failure = outcomes[0].failure().unwrap();
        let all = format!("{failure} {failure:?} {}", failure.detail());
        assert!(!all.contains("s3cret-Passw0r"), "leaked: {all}");
    }

    #[tokio::test]
    async fn law_3_an_early_refusal_that_is_complete_behind_the_end_leaves_open_if_it_arrived() {
        let (near, mut far) = duplex(1024);
        let server = tokio::spawn(async move {
            far.write_all(b"220 there\r\n").await.unwrap();
            for reply in ["250 there\r\n", "250 ok\r\n", "250 ok\r\n"] {
                let _ = far.read(&mut [0; 512]).await.unwrap();
                far.write_all(reply.as_bytes()).await.unwrap();
            }
            let _ = far.read(&mut [0; 512]).await.unwrap();
            far.write_all(b"354 go\r\n").await.unwrap();
            let mut content = vec![0; 100];
            far.read_exact(&mut content).await.unwrap();
            // a refusal begins amid the content, and goes on behind its end
            far.write_all(b"451 4.3.0 busy").await.unwrap();
            while !content.ends_with(b"\r\n.\r\n") {
                let mut piece = [0; 512];
                let count = far.read(&mut piece).await.unwrap();
                assert_ne!(count, 0, "the end of the content came");
                content.extend_from_slice(&piece[..count]);
            }
            far.write_all(b"\r\n250 2.0.0 taken\r\n").await.unwrap();
            far
        });
        let settings = SessionSettings::new(ClientName::parse("client.example").unwrap());
        let mut session = Session::open(near, Protocol::Smtp, settings).await.unwrap();
        let envelope = Envelope::new("").unwrap().to("a@x.example").unwrap();
        let message = Message::from_bytes(format!("a: b\r\n\r\n{}", "0123456789\r\n".repeat(400))).unwrap();
        let outcomes = session.send(&envelope, &message).await;
        server.await.unwrap();
        let failure = outcomes[0].failure().unwrap();
        assert!(failure.may_have_arrived(), "{failure:?}");
    }

    #[test]
    fn law_2_what_was_said_while_content_was_read_answers_nothing() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().max_blocking_threads(1).build().unwrap().block_on(async {
            let (near, mut far) = duplex(4096);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("m");
            std::fs::write(&path, "a: b\r\n").unwrap();
            let message = Message::from_file(&path).await.unwrap();
            let envelope = Envelope::new("").unwrap().to("a@x.example").unwrap();
            far.write_all(b"220 there\r\n").await.unwrap();
            let mut settings = SessionSettings::new(ClientName::parse("client.example").unwrap());
            settings.single_flight_limit = 65_536;
            let opening = tokio::spawn(Session::open(near, Protocol::Smtp, settings));
            let _ = far.read(&mut [0; 512]).await.unwrap();
            far.write_all(b"250-there\r\n250-PIPELINING\r\n250 CHUNKING\r\n").await.unwrap();
            let mut session = opening.await.unwrap().unwrap();
            // until it is let go nothing is read from the file
            let (let_go, held) = std::sync::mpsc::channel::<()>();
            let holding = tokio::task::spawn_blocking(move || held.recv());
            let mut sending = std::pin::pin!(session.send(&envelope, &message));
            assert!(futures_util::poll!(sending.as_mut()).is_pending());
            far.write_all(b"250 a reply to nothing\r\n").await.unwrap();
            let_go.send(()).unwrap();
            holding.await.unwrap().unwrap();
            // it goes away once it was sent anything
            tokio::spawn(async move { far.read(&mut [0; 512]).await });
            let outcomes = sending.await;
            let failure = outcomes[0].failure().unwrap();
            assert_eq!(failure.kind(), crate::outcome::FailureKind::Protocol, "{failure}");
            assert!(!failure.may_have_arrived(), "{failure}");
        });
    }
}
