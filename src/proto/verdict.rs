//! [`Verdict`]: what a dialogue says of a recipient, before anybody judges it.

use std::fmt;

use super::machine::Interruption;
use super::reply::{Reply, ReplyClass};
use super::stage::Stage;

/// What happened to one recipient in one dialogue.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// The server took the message, with this reply to its end.
    Delivered(Reply),
    /// The server refused with a 4yz or 5yz reply.
    Refused(Stage, Reply),
    /// The server closed the session by 421 in reply to a command before the content, after the end of the content had been
    /// written.
    ClosedBehind(Stage, Reply),
    /// The server does not offer what the message needs; nothing was sent of it.
    Unsupported(Missing),
    /// The dialogue broke off.
    Broken {
        stage: Stage,
        why: Interruption,
        /// Whether the server had the end of the content.
        may_have_arrived: bool,
    },
}

impl Verdict {
    /// The connection was gone before anything was said of the message.
    pub(crate) fn gone() -> Self {
        Self::Broken { stage: Stage::MailFrom, why: Interruption::Disconnected, may_have_arrived: false }
    }

    /// Returns `true` if the server took the message.
    pub(crate) fn is_delivered(&self) -> bool {
        matches!(self, Self::Delivered(_))
    }

    /// Returns `true` if the server may have the message, or has it.
    pub(crate) fn may_have_arrived(&self) -> bool {
        match self {
            Self::Delivered(_) | Self::ClosedBehind(..) => true,
            Self::Broken { may_have_arrived, .. } => *may_have_arrived,
            Self::Refused(..) | Self::Unsupported(_) => false,
        }
    }

    /// Returns the class of the final reply that led to this verdict, or `None` if none did.
    pub(super) fn final_class(&self) -> Option<ReplyClass> {
        match self {
            Self::Delivered(reply) | Self::Refused(Stage::Final, reply) => Some(reply.class()),
            _ => None,
        }
    }

    /// Returns `true` if a reply led to this verdict.
    pub(super) fn is_of_reply(&self) -> bool {
        !matches!(self, Self::Unsupported(_) | Self::Broken { .. })
    }

    /// Returns `true` if a chunk or the complete content was refused.
    pub(crate) fn is_refused_content(&self) -> bool {
        matches!(self, Self::Refused(Stage::Content | Stage::Final, _))
    }

    /// Returns `true` if the complete content was refused.
    pub(super) fn is_refused_finally(&self) -> bool {
        matches!(self, Self::Refused(Stage::Final, _))
    }

    /// Returns `true` if a 5yz reply to MAIL, RCPT or DATA refused the recipient.
    pub(super) fn is_refused_before_content(&self) -> bool {
        let Self::Refused(Stage::MailFrom | Stage::RcptTo | Stage::Data, reply) = self else { return false };
        reply.class() == ReplyClass::Permanent
    }

    /// Whether the recipient itself was refused.
    pub(crate) fn is_refused_recipient(&self) -> bool {
        matches!(self, Self::Refused(Stage::RcptTo, _))
    }

    /// The same verdict with at most `max` octets of a reply's text.
    pub(crate) fn shortened(self, max: usize) -> Self {
        match self {
            Self::Delivered(reply) => Self::Delivered(reply.shortened(max)),
            Self::Refused(stage, reply) => Self::Refused(stage, reply.shortened(max)),
            Self::ClosedBehind(stage, reply) => Self::ClosedBehind(stage, reply.shortened(max)),
            Self::Broken { stage, why, may_have_arrived } => {
                Self::Broken { stage, why: why.shortened(max), may_have_arrived }
            }
            Self::Unsupported(_) => self,
        }
    }
}

/// What a message needs and a server lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// 8BITMIME for content with octets above 127 (RFC 6152 section 3).
    EightBitMime,
    /// BINARYMIME for content with NUL (RFC 3030 section 3).
    BinaryMime,
    /// SMTPUTF8 for a mailbox (RFC 6531 section 3.2).
    Utf8Mailbox,
    /// SMTPUTF8 for the header of the message (RFC 6531 section 3.2).
    Utf8Header,
    /// Nothing: the host wants no line sent that is longer than 998 octets (RFC 5321 section 4.5.3.1.6).
    ShortLines {
        /// Octets of the longest line.
        longest: u64,
    },
    /// Room for this message: it declares a maximum that is smaller (RFC 1870 section 6.1).
    Size {
        /// Octets of the largest message it takes.
        limit: u64,
        /// Octets of this one.
        size: u64,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EightBitMime => {
                f.write_str("the message has octets above 127 and the server does not offer 8BITMIME")
            }
            Self::BinaryMime => {
                f.write_str("the message has NUL octets and the server does not offer BINARYMIME")
            }
            Self::Utf8Mailbox => f.write_str("a mailbox needs SMTPUTF8, which the server does not offer"),
            Self::Utf8Header => f.write_str("the header needs SMTPUTF8, which the server does not offer"),
            Self::ShortLines { longest } => {
                write!(f, "the message has a line of {longest} octets and may have none longer than 998")
            }
            Self::Size { limit, size } => {
                write!(f, "the message has {size} octets and the server takes at most {limit}")
            }
        }
    }
}
