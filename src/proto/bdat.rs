//! [`Bdat`]: whether a server that offers CHUNKING knows the command.

use super::reply::ReplyCode;

/// What the server makes of BDAT, by its first reply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bdat {
    /// It was not answered.
    Unheard,
    /// All replies to BDAT so far are LMTP replies for one recipient each, with codes of unknown commands.
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

    /// Returns the state after the LMTP reply to the last chunk for one recipient. Only if all of these replies have codes of
    /// unknown commands, the server does not know BDAT.
    pub(super) fn after_lmtp_final(self, code: ReplyCode) -> Self {
        match self {
            Self::Unheard | Self::Doubted if denies_bdat(code, true) => Self::Doubted,
            Self::Unheard | Self::Doubted => Self::Known,
            known => known,
        }
    }

    /// Returns the state once no further reply to BDAT is due.
    pub(super) fn concluded(self) -> Self {
        if self == Self::Doubted { Self::Unknown } else { self }
    }
}

/// Returns `true` if a reply to BDAT has a code of unknown commands. `accepted`: a recipient was accepted, so that BDAT was
/// in sequence.
fn denies_bdat(code: ReplyCode, accepted: bool) -> bool {
    code.is_unknown_command() || accepted && code == ReplyCode::BAD_SEQUENCE
}
