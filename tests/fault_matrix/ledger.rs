//! The ledger of the server: its decisions, by message and recipient.

use std::collections::BTreeMap;

/// A recipient of a message, both by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) message: usize,
    pub(crate) recipient: usize,
}

/// The decisions about one recipient of one message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    /// Times that the complete content was taken and the positive reply written.
    pub(crate) accepted: usize,
    /// Times that the complete content was taken and the positive reply not written.
    pub(crate) unconfirmed: usize,
    /// Codes of the refusals that were written.
    pub(crate) refusals: Vec<u16>,
    /// Code of the latest decision that was written.
    pub(crate) latest: Option<u16>,
}

/// A decision, carried by a reply that may not be written yet.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) keys: Vec<Key>,
    pub(crate) code: u16,
    /// Whether the content was taken.
    pub(crate) is_accepted: bool,
}

/// Everything that the server decided and noticed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<Key, Entry>,
    /// Command lines that were part of content.
    pub(crate) forged: Vec<String>,
    /// Messages whose content was taken and is not the content that was sent.
    pub(crate) altered: Vec<usize>,
    /// Whether the fault struck.
    pub(crate) has_struck: bool,
    /// Whether a surplus reply was written while the client waited for just one reply. No client can tell the two apart.
    pub(crate) is_indistinguishable: bool,
    /// Messages behind whose content a later message was sent already.
    pub(crate) followed: Vec<usize>,
    pub(crate) connections: usize,
    /// The dialogues, a line an element.
    pub(crate) dialogue: Vec<String>,
}

impl Ledger {
    pub(crate) fn entry(&self, key: Key) -> Entry {
        self.entries.get(&key).cloned().unwrap_or_default()
    }

    /// Notes that the complete content was taken; the reply is not written yet.
    pub(crate) fn take(&mut self, keys: &[Key]) {
        for key in keys {
            self.entries.entry(*key).or_default().unconfirmed += 1;
        }
    }

    /// Notes that the reply with a decision was written.
    pub(crate) fn confirm(&mut self, decision: &Decision) {
        for key in &decision.keys {
            let entry = self.entries.entry(*key).or_default();
            entry.latest = Some(decision.code);
            if decision.is_accepted {
                entry.unconfirmed -= 1;
                entry.accepted += 1;
            }
            if decision.code >= 400 {
                entry.refusals.push(decision.code);
            }
        }
    }
}
