//! [`Flight`]: the beginning of a transaction, before there is a connection for it.

use super::machine::{Machine, Need};
use super::output::{Output, SpokenLine};
use super::parts::Parts;
use super::transaction::Transaction;
use crate::mail::Message;

/// What a transaction says before it hears anything: its commands up to DATA, or all of it.
#[derive(Debug)]
pub(crate) struct Flight {
    /// As they go into the stream.
    pub(crate) octets: Parts,
    /// Whether the content is in it, so that nothing is left to say.
    pub(crate) is_whole: bool,
    /// Its lines, for whoever listens.
    pub(crate) said: Vec<SpokenLine>,
}

impl Flight {
    /// Takes from a transaction what it may say; `None` if that is not enough to be of use: too many recipients for one
    /// group, content that is not in memory, or a server without PIPELINING.
    pub(crate) fn of(transaction: &mut Transaction<'_>, message: &Message, is_heard: bool) -> Option<Self> {
        let mut output = Output::default();
        if is_heard {
            output.keep_journal();
        }
        let mut content = None;
        loop {
            match transaction.poll(&mut output) {
                Need::Content => {
                    let pieces = content.get_or_insert(message.in_memory()?.iter());
                    transaction.handle_content(pieces.next().cloned(), &mut output);
                }
                Need::Io(_) => break,
                Need::Nothing => return None,
            }
        }
        let is_whole = transaction.may_be_followed();
        // content is all in it, or none: whoever goes on begins with the first octet
        let is_opening = content.is_none() && transaction.wants_content_only();
        let said = output.take_journal();
        let flight = Self { octets: output.take_all(), is_whole, said };
        (is_whole || is_opening).then_some(flight)
    }
}
