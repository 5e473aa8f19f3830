//! [`Terms`]: what a server offers and what the host decided, and what follows for a message before MAIL is sent.

use super::capabilities::{Capabilities, SizeLimit};
use super::chunks::CHUNK;
use super::command::{Body, MailParameters, RcptParameters, Requests};
use super::protocol::Protocol;
use super::verdict::Missing;
use crate::mail::{ContentFacts, Envelope, ReversePath};

/// Octets of a text line without its end (RFC 5321 section 4.5.3.1.6).
const MAX_LINE: u64 = 998;

/// What is known of the server and decided by the host about a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) protocol: Protocol,
    pub(crate) capabilities: Capabilities,
    /// Whether commands may go out in groups, if the server offers it.
    pub(crate) pipelining: bool,
    /// Whether content may go out by BDAT, if the server offers it.
    pub(crate) chunking: bool,
    /// Octets of the largest message whose content goes out by BDAT together with its commands; 0: none does.
    pub(crate) single_flight_limit: usize,
    /// Whether octets above 127 are sent to a server that does not offer 8BITMIME.
    pub(crate) eight_bit_clean: bool,
    /// `true` if UTF-8 in the header is sent as 8-bit content to a server that does not offer SMTPUTF8.
    pub(crate) utf8_header_as_eight_bit: bool,
    /// Whether messages with lines of more than 998 octets are not sent.
    pub(crate) refuse_long_lines: bool,
    /// Whether the client has logged in, so that a server may take the sender for somebody it knows.
    pub(crate) authenticated: bool,
    /// Octets of text kept of a reply.
    pub(crate) kept_text: usize,
}

impl Terms {
    pub(super) fn lock_step(&self) -> bool {
        !(self.pipelining && self.capabilities.pipelining)
    }

    /// Whether content goes by BDAT and not by DATA.
    pub(crate) fn by_chunks(&self) -> bool {
        self.chunking && self.capabilities.chunking
    }

    /// Returns `true` if content must be sent by BDAT (RFC 3030 section 3).
    pub(crate) fn needs_chunks(facts: &ContentFacts) -> bool {
        is_binary(facts)
    }

    /// Whether a message of so many octets goes out together with its commands.
    ///
    /// Never under LMTP: the number of replies to the content depends on those to RCPT, so a surplus reply could not be
    /// noticed.
    pub(crate) fn is_single_flight(&self, octets: u64) -> bool {
        self.protocol == Protocol::Smtp
            && self.by_chunks()
            && !self.lock_step()
            && octets <= (self.single_flight_limit as u64).min(CHUNK)
            && self.single_flight_limit > 0
    }

    /// What the server lacks for a recipient of a message for which this is lacking; `ascii` tells whether the mailboxes
    /// of both ends are.
    pub(super) fn missing(&self, ascii: bool, lacking: Option<Missing>) -> Option<Missing> {
        match ascii || self.capabilities.smtp_utf8 {
            true => lacking,
            false => Some(Missing::Utf8Mailbox),
        }
    }

    /// Returns `true` if the header needs SMTPUTF8 (RFC 6531 section 3.4).
    ///
    /// UTF-8 in it is 8-bit content instead if the message arrived without SMTPUTF8, or if the settings say so for servers
    /// that do not offer SMTPUTF8.
    fn has_utf8_header(&self, envelope: &Envelope, facts: &ContentFacts) -> bool {
        let is_eight_bit = self.utf8_header_as_eight_bit && !self.capabilities.smtp_utf8;
        facts.utf8_header && !is_eight_bit && !envelope.is_without_smtp_utf8()
    }

    /// What the server lacks for the message, whoever is to have it.
    pub(super) fn missing_for(&self, envelope: &Envelope, facts: &ContentFacts) -> Option<Missing> {
        let offered = &self.capabilities;
        if self.has_utf8_header(envelope, facts) && !offered.smtp_utf8 && !self.eight_bit_clean {
            return Some(Missing::Utf8Header);
        }
        if is_binary(facts) && !self.takes_binary() {
            return Some(Missing::BinaryMime);
        }
        if self.body(facts).is_none() && facts.eight_bit && !self.eight_bit_clean {
            return Some(Missing::EightBitMime);
        }
        if self.refuse_long_lines && !facts.binary && facts.longest_line > MAX_LINE {
            return Some(Missing::ShortLines { longest: facts.longest_line });
        }
        match offered.size {
            Some(SizeLimit::Octets(limit)) if facts.size > limit => {
                Some(Missing::Size { limit, size: facts.size })
            }
            _ => None,
        }
    }

    /// RFC 3030 section 3: binary content never goes by DATA.
    fn takes_binary(&self) -> bool {
        self.by_chunks() && self.capabilities.binary_mime
    }

    fn body(&self, facts: &ContentFacts) -> Option<Body> {
        let eight_bit = facts.eight_bit && self.capabilities.eight_bit_mime;
        if is_binary(facts) { Some(Body::Binary) } else { eight_bit.then_some(Body::EightBit) }
    }

    /// What goes into MAIL; `ascii` tells whether all mailboxes are.
    pub(super) fn parameters<'a>(
        &self,
        envelope: &'a Envelope,
        facts: &ContentFacts,
        ascii: bool,
    ) -> MailParameters<'a> {
        let offered = &self.capabilities;
        let dsn = offered.dsn;
        MailParameters {
            size: offered.size.map(|_| facts.size),
            body: self.body(facts),
            no_identity: self.authenticated && !offered.auth.is_empty(),
            smtp_utf8: offered.smtp_utf8 && (!ascii || self.has_utf8_header(envelope, facts)),
            // RFC 3461 section 6.1: a notification asks for none
            ret: envelope.ret().filter(|_| dsn && *envelope.reverse_path() != ReversePath::Null),
            envelope_id: envelope.envelope_id().filter(|_| dsn),
        }
    }

    /// Returns the parameters of RCPT after MAIL with these parameters.
    pub(super) fn rcpt_parameters(&self, envelope: &Envelope, mail: &MailParameters<'_>) -> RcptParameters {
        let requests = match (self.capabilities.dsn, envelope.reverse_path()) {
            (false, _) => Requests::None,
            (true, ReversePath::Null) => Requests::NeverOnly,
            (true, ReversePath::Mailbox(_)) => Requests::All,
        };
        RcptParameters { requests, smtp_utf8: mail.smtp_utf8 }
    }
}

/// What text cannot be: its octets stand for themselves, line ends included, or there is a NUL among them.
fn is_binary(facts: &ContentFacts) -> bool {
    facts.binary || facts.nul
}
