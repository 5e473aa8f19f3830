//! AUTH (RFC 4954): carries the exchange of a SASL mechanism in commands and replies.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::machine::{Awaited, Interruption, Machine, Need, ProtocolError};
use super::output::Output;
use super::reply::{Reply, ReplyClass, ReplyCode};
use super::sasl::{
    Exchange, Mechanism, Redaction, SaslError, SaslLimits, SaslTerms, SecretOctets, exchange, shown_line,
};
use super::stage::Stage;
use crate::escape;

/// Octets of an AUTH command with its initial response, line end included (RFC 4954 section 4).
const MAX_COMMAND: usize = 512;
/// Octets of a line with a response, line end included (RFC 4954 section 4).
const MAX_RESPONSE: usize = 12_288;
/// Octets kept of what a server says is wrong with a token or a proof.
const MAX_COMPLAINT: usize = 500;
/// Refusals of a mechanism rather than of credentials (RFC 4954 section 6, RFC 5321 section 4.2.4).
const OTHER_MECHANISM: [u16; 3] = [504, 534, 538];
/// Refusal of credentials (RFC 4954 section 6).
const BAD_CREDENTIALS: u16 = 535;
/// SCRAM errors that concern channel binding (RFC 5802 section 7).
const BINDING_ERRORS: [&str; 3] =
    ["channel-bindings-dont-match", "channel-binding-not-supported", "unsupported-channel-binding-type"];
/// SCRAM errors that concern credentials (RFC 5802 section 7).
const CREDENTIALS_ERRORS: [&str; 3] = ["invalid-proof", "unknown-user", "invalid-username-encoding"];

/// One AUTH command up to its end. Neither it nor what comes of it holds a secret that was sent.
#[derive(Debug)]
pub(crate) struct Authentication {
    /// Until it failed.
    exchange: Option<Box<dyn Exchange>>,
    /// The initial response, where it has to wait for the first challenge.
    initial: Option<SecretOctets>,
    awaited: Awaited<Expected>,
    limits: SaslLimits,
    rounds: u32,
    redaction: Redaction,
    result: Option<Result<(), AuthenticationFailure>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// A challenge, or the end.
    Answer,
    /// The reply to `*`.
    Cancelled,
}

/// Why the client is not authenticated.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationFailure {
    /// The server refused, with 4yz for now; the session goes on, unless it said 421.
    #[non_exhaustive]
    #[error("the server refused the authentication{}{}", said(.complaint.as_deref()), advice(.untried.as_ref()))]
    Refused {
        /// What it said.
        reply: Reply,
        /// What the mechanism let it say of the reason, as one line: an error in JSON (RFC 7628 section 3.2.2), a
        /// word (RFC 5802 section 7).
        complaint: Option<String>,
        /// The mechanism without channel binding that was not tried, because the certificate was not verified: an attacker
        /// who relays the login could have refused channel binding. It is tried if
        /// [`LoginSettings::only`](crate::LoginSettings::only) names it, or the certificate is verified.
        untried: Option<Mechanism>,
    },
    /// The client gave up. The server is not what it should be: the connection is to be closed.
    #[error("the authentication was given up")]
    Mechanism(#[source] SaslError),
    /// The dialogue broke.
    #[error("the authentication broke off")]
    Interrupted(#[source] Interruption),
    /// There is nothing that the server offers, the credentials suit and the host allows.
    #[error("no SASL mechanism that may be used")]
    NoMechanism,
}

/// What is told of the reason.
fn said(complaint: Option<&str>) -> String {
    complaint.map(|complaint| format!(": {complaint}")).unwrap_or_default()
}

/// Explains why a mechanism was not tried, and how to allow it.
fn advice(untried: Option<&Mechanism>) -> String {
    let advice = |mechanism| {
        format!(
            "; {mechanism} was not tried: without channel binding a login can be relayed where the certificate is not \
             verified; verify the certificate, or name the mechanism {mechanism}"
        )
    };
    untried.map(advice).unwrap_or_default()
}

impl AuthenticationFailure {
    /// Whether the server refused the mechanism only, so that another one may be tried on the same session
    /// (RFC 4954 section 4).
    pub(crate) fn permits_another(&self) -> bool {
        matches!(self, Self::Refused { reply, .. } if OTHER_MECHANISM.contains(&reply.code().as_u16()))
    }

    /// Returns `true` if channel binding may be the reason for the refusal, so that the same mechanism may succeed without it
    /// on the same session.
    ///
    /// An error that the mechanism reports decides. Without one, 535 refuses the credentials. 421 always ends the session.
    pub(crate) fn may_refuse_channel_binding(&self) -> bool {
        let Self::Refused { reply, complaint, .. } = self else { return false };
        let error =
            complaint.as_deref().and_then(|complaint| complaint.split(',').next()).unwrap_or_default();
        match reply.code() {
            ReplyCode::SERVICE_CLOSING => false,
            _ if BINDING_ERRORS.contains(&error) => true,
            _ if CREDENTIALS_ERRORS.contains(&error) => false,
            code => code.as_u16() != BAD_CREDENTIALS,
        }
    }

    /// Adds the mechanism that was not tried because the certificate was not verified.
    pub(crate) fn with_untried(mut self, mechanism: Option<Mechanism>) -> Self {
        if let Self::Refused { untried, .. } = &mut self {
            *untried = mechanism;
        }
        self
    }
}

impl Authentication {
    /// Queues AUTH. Credentials that cannot be sent end it before.
    pub(crate) fn new(mechanism: Mechanism, terms: &SaslTerms<'_>, output: &mut Output) -> Self {
        let mut authentication = Self {
            exchange: None,
            initial: None,
            awaited: Awaited::new(),
            limits: terms.limits,
            rounds: 0,
            redaction: Redaction::of(terms.credentials),
            result: None,
        };
        match exchange(mechanism, terms) {
            Ok(exchange) => authentication.begin(mechanism, exchange, output),
            Err(error) => authentication.give_up(error),
        }
        authentication
    }

    /// What is to be taken out of everything that the server says from now on.
    pub(crate) fn redaction(&self) -> Redaction {
        self.redaction.clone()
    }

    /// Whether the client is authenticated.
    pub(crate) fn finish(self) -> Result<(), AuthenticationFailure> {
        let unfinished = AuthenticationFailure::Interrupted(Interruption::Disconnected);
        self.result.unwrap_or(Err(unfinished))
    }

    /// The initial response goes with the command if the line is short enough, else it waits for the first
    /// challenge.
    fn begin(&mut self, mechanism: Mechanism, mut exchange: Box<dyn Exchange>, output: &mut Output) {
        let command = ["AUTH ", mechanism.name()].concat();
        match exchange.initial() {
            Some(response) if fits(&command, &response) => {
                let encoded = self.encode(&response);
                let shown = if encoded.is_empty() { b"=" } else { &encoded[..] };
                send(&[command.as_bytes(), b" ", shown], output);
            }
            Some(response) if encoded_length(&response) + 2 > MAX_RESPONSE => {
                return self.give_up(SaslError::ResponseTooLong);
            }
            initial => {
                self.initial = initial;
                send(&[command.as_bytes()], output);
            }
        }
        self.exchange = Some(exchange);
        self.awaited.expect(Expected::Answer, output);
    }

    /// The response as base64, which is not to be kept either.
    fn encode(&mut self, response: &[u8]) -> SecretOctets {
        let encoded = SecretOctets::from(STANDARD.encode(response).into_bytes());
        self.redaction.add(&encoded);
        encoded
    }

    fn challenged(&mut self, reply: &Reply, output: &mut Output) {
        match self.response(reply) {
            Ok(response) => {
                let encoded = self.encode(&response);
                send(&[&encoded], output);
                self.awaited.expect(Expected::Answer, output);
            }
            Err(error) => self.cancel(error, output),
        }
    }

    fn response(&mut self, reply: &Reply) -> Result<SecretOctets, SaslError> {
        self.rounds += 1;
        if self.rounds > self.limits.max_rounds {
            return Err(SaslError::TooManyRounds);
        }
        let text = challenge_text(reply, self.limits.max_challenge)?;
        // what a server says before the first word of the client is of no account
        let response = match (self.initial.take(), &mut self.exchange) {
            (Some(initial), _) => initial,
            (None, Some(exchange)) => match (decoded(reply, &text), exchange.reads_challenge()) {
                (Ok(challenge), _) => exchange.answer(&challenge)?,
                (Err(_), false) => exchange.answer(&text)?,
                (Err(error), true) => return Err(error),
            },
            (None, None) => return Err(SaslError::UnexpectedChallenge),
        };
        let fits = encoded_length(&response) + 2 <= MAX_RESPONSE;
        fits.then_some(response).ok_or(SaslError::ResponseTooLong)
    }

    /// Says `*`, to which the server is to say 501.
    fn cancel(&mut self, error: SaslError, output: &mut Output) {
        self.give_up(error);
        send(&[b"*"], output);
        self.awaited.expect(Expected::Cancelled, output);
    }

    fn completed(&mut self) {
        let said_all = self.initial.is_none();
        if said_all && self.exchange.as_ref().is_some_and(|exchange| exchange.is_complete()) {
            self.result = Some(Ok(()));
        } else {
            self.give_up(SaslError::Premature);
        }
    }

    fn refused(&mut self, reply: Reply) {
        let complaint = self.exchange.as_ref().and_then(|exchange| exchange.complaint());
        let complaint = complaint.map(|octets| {
            let line = escape::one_line(&self.redaction.text(octets));
            escape::shorten(&line, MAX_COMPLAINT).to_owned()
        });
        let reply = self.redaction.reply(reply);
        self.result = Some(Err(AuthenticationFailure::Refused { reply, complaint, untried: None }));
    }

    fn give_up(&mut self, error: SaslError) {
        self.exchange = None;
        self.initial = None;
        self.result = Some(Err(AuthenticationFailure::Mechanism(error)));
    }

    /// What the client gave up for stays the reason.
    fn break_off(&mut self, why: Interruption) {
        self.awaited.clear();
        self.result.get_or_insert(Err(AuthenticationFailure::Interrupted(why)));
    }
}

impl Machine for Authentication {
    fn poll(&mut self, _output: &mut Output) -> Need {
        match &self.result {
            Some(_) if self.awaited.is_empty() => Need::Nothing,
            _ => Need::Io(Stage::Auth),
        }
    }

    fn handle_reply(&mut self, reply: Reply, output: &mut Output) {
        let Some(expected) = self.awaited.take(output) else {
            return self.break_off(ProtocolError::Unsolicited(self.redaction.reply(reply)).into());
        };
        match (expected, reply.class()) {
            (Expected::Cancelled, _) => {}
            (_, ReplyClass::Completed) => self.completed(),
            (_, ReplyClass::Intermediate) => self.challenged(&reply, output),
            (_, ReplyClass::Transient | ReplyClass::Permanent) => self.refused(reply),
            (_, ReplyClass::Undefined) => {
                self.break_off(ProtocolError::Unexpected(self.redaction.reply(reply)).into());
            }
        }
    }

    fn handle_content(&mut self, _piece: Option<Bytes>, _output: &mut Output) {}

    fn handle_interruption(&mut self, why: Interruption, output: &mut Output) {
        output.clear();
        let why = why.map_reply(|reply| self.redaction.reply(reply));
        self.break_off(why);
    }
}

/// Queues a line in memory that is overwritten once it was sent.
fn send(parts: &[&[u8]], output: &mut Output) {
    let parts: Vec<_> = parts.iter().copied().chain([&b"\r\n"[..]]).collect();
    let line = SecretOctets::join(&parts);
    let shown = shown_line(std::str::from_utf8(&line).unwrap_or_default().trim_end_matches("\r\n"));
    output.push_secret(Bytes::from_owner(line), &shown);
}

fn encoded_length(response: &[u8]) -> usize {
    response.len().div_ceil(3) * 4
}

/// Whether command, space, response and line end fit in one line.
fn fits(command: &str, response: &[u8]) -> bool {
    command.len() + 1 + encoded_length(response).max(1) + 2 <= MAX_COMMAND
}

/// Returns the text of a challenge, its lines joined.
fn challenge_text(reply: &Reply, max: usize) -> Result<SecretOctets, SaslError> {
    let lines: Vec<_> = reply.lines().collect();
    let text = SecretOctets::join(&lines);
    if text.len() > max { Err(SaslError::ChallengeTooLong) } else { Ok(text) }
}

/// Decodes a challenge, which must be one line of base64 and may be empty (RFC 4954 section 4).
fn decoded(reply: &Reply, text: &[u8]) -> Result<SecretOctets, SaslError> {
    if reply.lines().count() != 1 {
        return Err(SaslError::NotBase64);
    }
    STANDARD.decode(text).map(SecretOctets::from).map_err(|_| SaslError::NotBase64)
}
