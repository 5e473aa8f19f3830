//! [`Expected`]: what a reply in a transaction answers.

use super::reply::ReplyCode;
use super::stage::Stage;

/// A command, or the end of content, that is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// The reply to a RSET that was sent before the transaction.
    ResetBefore,
    Mail,
    /// RCPT for the recipient of this index.
    Rcpt(usize),
    Data,
    /// A chunk that is not the last one.
    Chunk,
    /// The content, for all accepted recipients.
    Final,
    /// The content, for the recipient of this index.
    FinalOf(usize),
    /// RSET after a refusal of DATA. Its reply shows if replies and commands are in step.
    Reset,
    /// A dot that nobody is to get.
    LoneDot,
}

impl Expected {
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Mail => Stage::MailFrom,
            Self::Rcpt(_) => Stage::RcptTo,
            Self::Data => Stage::Data,
            Self::Chunk => Stage::Content,
            Self::ResetBefore | Self::Reset => Stage::Reset,
            Self::Final | Self::FinalOf(_) | Self::LoneDot => Stage::Final,
        }
    }

    /// Whether a reply with this code only lets the transaction go on: nothing else that it says is kept.
    pub(super) fn goes_on_with(self, code: ReplyCode) -> bool {
        match self {
            Self::ResetBefore | Self::Mail | Self::Rcpt(_) | Self::Chunk => code.is_completed(),
            Self::Data => code == ReplyCode::START_CONTENT,
            _ => false,
        }
    }

    pub(super) fn is_rcpt(self) -> bool {
        matches!(self, Self::Rcpt(_))
    }

    pub(super) fn is_of_content(self) -> bool {
        matches!(self, Self::Chunk | Self::Final | Self::FinalOf(_))
    }
}
