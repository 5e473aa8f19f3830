//! [`Report`]: one outcome a recipient, with the attempts that led to it.

use std::fmt;
use std::sync::Arc;

use crate::escape;
use crate::mail::Recipient;
use crate::outcome::{Failure, Outcome};
use crate::proto::Protocol;
use crate::route::Endpoint;
use crate::tls::Secured;

/// What became of the recipients of one envelope: as many elements as it has recipients, in its order,
/// duplicates included.
///
/// [`Display`](fmt::Display) gives a line a recipient.
#[derive(Debug, Clone)]
pub struct Report {
    recipients: Vec<RecipientReport>,
}

/// What became of one recipient.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecipientReport {
    /// The recipient.
    pub recipient: Recipient,
    /// What became of it.
    pub outcome: Outcome,
    /// The hop that decided the outcome; `None` if none was reached.
    pub hop: Option<Hop>,
    /// The hops that were tried or skipped besides, in order.
    pub attempts: Vec<HopAttempt>,
}

/// A server that a connection was established to. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop(Arc<HopInner>);

#[derive(Debug, PartialEq, Eq)]
struct HopInner {
    host: String,
    endpoint: Endpoint,
    protocol: Protocol,
    secured: Option<Secured>,
}

/// A hop that did not take the message, and why. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HopAttempt(Arc<HopAttemptInner>);

#[derive(Debug)]
struct HopAttemptInner {
    host: String,
    endpoint: Option<Endpoint>,
    failure: Failure,
}

impl Report {
    pub(super) fn new(recipients: Vec<RecipientReport>) -> Self {
        Self { recipients }
    }

    /// All recipients with everything that is known of them.
    pub fn recipients(&self) -> &[RecipientReport] {
        &self.recipients
    }

    /// Recipients and outcomes, in the order of the envelope.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.recipients.iter())
    }

    /// Returns `true` if there are recipients and every one was delivered.
    pub fn is_delivered(&self) -> bool {
        !self.recipients.is_empty()
            && self.recipients.iter().all(|recipient| recipient.outcome.is_delivered())
    }
}

/// Recipients and outcomes of a [`Report`].
#[derive(Debug, Clone)]
pub struct Iter<'a>(std::slice::Iter<'a, RecipientReport>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Recipient, &'a Outcome);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|report| (&report.recipient, &report.outcome))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Report {
    type Item = (&'a Recipient, &'a Outcome);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.recipients.iter().enumerate().try_for_each(|(index, recipient)| {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{recipient}")
        })
    }
}

/// `ann@example.org: delivered (250 ok) by mx.example.org (192.0.2.1:25)`, or why not.
impl fmt::Display for RecipientReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", escape::one_line(self.recipient.to_string().as_bytes()), self.outcome)?;
        match (&self.hop, self.outcome.is_delivered()) {
            (Some(hop), true) => write!(f, " by {hop}"),
            (Some(hop), false) => write!(f, " [{hop}]"),
            (None, _) => Ok(()),
        }
    }
}

impl Hop {
    pub(super) fn new(
        host: String,
        endpoint: Endpoint,
        protocol: Protocol,
        secured: Option<Secured>,
    ) -> Self {
        Self(Arc::new(HopInner { host, endpoint, protocol, secured }))
    }

    /// The host's name or address, or the path of the socket.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// What the connection led to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// What was spoken.
    pub fn protocol(&self) -> Protocol {
        self.0.protocol
    }

    /// What its TLS proved; `None`: the mail went in the clear, or none went.
    pub fn secured(&self) -> Option<&Secured> {
        self.0.secured.as_ref()
    }
}

/// `mx.example.org (192.0.2.1:25)` or the endpoint alone, and `with TLSv1.3` where there was TLS.
impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint().to_string();
        match endpoint == self.host() {
            true => f.write_str(&endpoint),
            false => write!(f, "{} ({endpoint})", self.host()),
        }?;
        let secured = |secured: &Secured| write!(f, " with {}, {}", secured.version(), secured.proof());
        self.secured().map_or(Ok(()), secured)
    }
}

impl HopAttempt {
    pub(super) fn new(host: String, endpoint: Option<Endpoint>, failure: Failure) -> Self {
        Self(Arc::new(HopAttemptInner { host, endpoint, failure }))
    }

    /// The host's name or address, or the path of the socket.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// What was or would have been dialled; `None` if no address is known.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.0.endpoint.as_ref()
    }

    /// Why it did not take the message.
    pub fn failure(&self) -> &Failure {
        &self.0.failure
    }
}
