//! [`Bdat`]: whether a server that offers CHUNKING knows the command.

use super::reply::ReplyCode;

/// What the server makes of BDAT, by its first reply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bdat {
    /// It was not answered.
    Unheard,
    /// Some LMTP recipients were refused by codes of unknown commands, and no other reply to BDAT came yet.
    Doubted,
    Known,
    /// It was answered as a command that the server does not know, or not where RFC 3030 section 2 has it.
    Unknown,
}

impl Bdat {
    /// What is known after a reply to a chunk; `accepted` tells whether a recipient is there to get it.
    pub(super) fn after(self, code: ReplyCode, accepted: bool) -> Self {
        match self {
            Self::Unheard if denies_bdat(code, accepted) => Self::Unknown,
            Self::Unheard => Self::Known,
            known => known,
        }
    }

    /// Returns the state after a final reply of LMTP to the last chunk. Such a reply is about one recipient: only if all
    /// of them are those of an unknown command the server does not know BDAT.
    pub(super) fn after_final_of_one(self, code: ReplyCode) -> Self {
        match self {
            Self::Unheard | Self::Doubted if denies_bdat(code, true) => Self::Doubted,
            Self::Unheard | Self::Doubted => Self::Known,
            known => known,
        }
    }

    /// Returns the state when no reply to BDAT is due any more.
    pub(super) fn concluded(self) -> Self {
        if self == Self::Doubted { Self::Unknown } else { self }
    }
}

fn denies_bdat(code: ReplyCode, accepted: bool) -> bool {
    code.is_unknown_command() || accepted && code == ReplyCode::BAD_SEQUENCE
}
