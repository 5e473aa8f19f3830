//! [`Bdat`]: whether a server that offers CHUNKING knows the command.

use super::reply::ReplyCode;

/// What the server makes of BDAT, by its first reply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bdat {
    /// It was not answered.
    Unheard,
    Known,
    /// It was answered as a command that the server does not know, or not where RFC 3030 section 2 has it.
    Unknown,
}

impl Bdat {
    /// What is known after a reply to a chunk; `accepted` tells whether a recipient is there to get it.
    pub(super) fn after(self, code: ReplyCode, accepted: bool) -> Self {
        let out_of_order = accepted && code == ReplyCode::BAD_SEQUENCE;
        match self {
            Self::Unheard if out_of_order || code.is_unknown_command() => Self::Unknown,
            Self::Unheard => Self::Known,
            known => known,
        }
    }
}
