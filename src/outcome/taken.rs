//! [`Outcome`]: what became of one recipient.

use std::fmt;

use super::failure::Failure;
use crate::proto::Reply;
use crate::status::{EnhancedCode, StatusClass};

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
    pub(super) reply: Option<Reply>,
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

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure.is_permanent() {
            true => Self::Failed(failure),
            false => Self::Deferred(failure),
        }
    }
}
