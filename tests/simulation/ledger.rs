//! What the servers of a world took, decided and noticed.

use std::collections::BTreeSet;
use std::fmt;

/// One attempt of the host to deliver a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attempt {
    pub(crate) message: usize,
    pub(crate) number: usize,
}

/// A message that was taken completely, for one recipient.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) attempt: Attempt,
    pub(crate) recipient: String,
    /// Whether the content is that of the message.
    pub(crate) is_exact: bool,
    /// Whether the positive reply was written.
    pub(crate) is_answered: bool,
}

/// A recipient that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) attempt: Attempt,
    pub(crate) recipient: String,
    pub(crate) connection: usize,
    /// Whether nobody used the connection before.
    pub(crate) is_first: bool,
}

/// The ledger of all servers.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
    pub(crate) asked: BTreeSet<Asked>,
    /// Attempts that used a connection on which replies were out of step with commands.
    pub(crate) doubtful: BTreeSet<Attempt>,
    /// What clients must not say.
    pub(crate) improper: Vec<String>,
}

impl Attempt {
    /// Reads the reverse-path of a message of the host.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("<m")?;
        let (both, _) = rest.split_once('@')?;
        let (message, number) = both.split_once('.')?;
        Some(Self { message: message.parse().ok()?, number: number.parse().ok()? })
    }
}

/// `m3.1`: message 3, attempt 1.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}.{}", self.message, self.number)
    }
}
