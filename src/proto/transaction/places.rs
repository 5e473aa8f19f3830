//! Where a transaction stands in the stream, and what may go behind it.

use super::{Ending, Expected, Protocol, Transaction};

/// Octets of `RSET` with its line end.
const RESET: u64 = 6;

impl Transaction<'_> {
    /// Its beginning was queued in an output of its own, and sent in another stream from `base` on; behind a RSET whose
    /// reply comes first, if there is one.
    pub(crate) fn follow(&mut self, base: u64, after_reset: bool) {
        self.shift(if after_reset { base + RESET } else { base });
        if after_reset {
            self.awaited.expect_first(base + RESET, Expected::ResetBefore);
        }
    }

    /// The place in the stream behind the end of the content, once that is queued.
    pub(crate) fn end_of_content(&self) -> Option<u64> {
        self.end_of_content
    }

    /// In which state it leaves the session.
    pub(crate) fn ending(&self) -> Ending {
        self.ending
    }

    /// Returns `true` if the end of the content is queued and nothing went wrong, so that a command may follow.
    ///
    /// Under LMTP none may: if a reply for one recipient were missing, the reply to the command would be taken for it.
    pub(crate) fn may_be_followed(&self) -> bool {
        let is_sound =
            !self.refused && self.ending != Ending::Unusable && self.terms.protocol == Protocol::Smtp;
        is_sound && self.end_of_content.is_some() && !self.terms.lock_step()
    }

    /// Whether content goes by BDAT.
    pub(crate) fn uses_chunks(&self) -> bool {
        self.terms.by_chunks()
    }

    /// Whether it is known that nobody has to be asked for once more on the connection.
    pub(crate) fn may_be_last(&self) -> bool {
        self.slots.need_no_other()
    }
}
