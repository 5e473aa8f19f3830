//! [`Output`]: octets that wait to be written, as slices that are never joined.

use std::fmt;
use std::io::IoSlice;

use bytes::Bytes;

use super::parts::Parts;

/// Octets on their way to the peer, in order. Counts what was queued and what was written, so that a reply can be told
/// from an answer to a command that is still here.
#[derive(Default)]
pub(crate) struct Output {
    waiting: Parts,
    written: u64,
    /// `true` once the connection can no longer be written.
    is_cut: bool,
    /// How much was written when the reply that is handed over began to come; `None`: as much as now.
    heard_at: Option<u64>,
    /// Lines that were queued, for whoever listens; `None` if nobody does.
    journal: Option<Vec<SpokenLine>>,
}

/// A line that was queued, as it may be shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SpokenLine {
    Plain(String),
    /// Of an authentication, without what is secret in it.
    Authentication(String),
}

impl Output {
    /// Keeps the lines that are queued from now on until they are asked for.
    pub(crate) fn keep_journal(&mut self) {
        self.journal = Some(Vec::new());
    }

    /// Whether lines are kept.
    #[inline]
    pub(crate) fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// The lines that were queued since the last time.
    pub(crate) fn take_journal(&mut self) -> Vec<SpokenLine> {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Makes room for lines of so many octets.
    pub(crate) fn reserve(&mut self, octets: usize) {
        self.waiting.reserve_text(octets);
    }

    /// Appends text that is known to end a line, or to be one: the end of the last line of content, or the dot behind it.
    pub(crate) fn put(&mut self, text: &[u8]) {
        let added = self.waiting.write(|all| all.extend_from_slice(text));
        if let Some(journal) = &mut self.journal {
            note(journal, added);
        }
    }

    /// Appends a line: what `write` adds to the text that is handed to it, without control characters, and a line end.
    #[inline]
    pub(crate) fn put_line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let added = self.waiting.write(|text| {
            let begin = text.len();
            write(text);
            drop_controls(text, begin);
            text.extend_from_slice(b"\r\n");
        });
        if let Some(journal) = &mut self.journal {
            note(journal, added);
        }
    }

    /// Appends a line that holds a secret without copying it; `shown` is what may be shown of it.
    pub(crate) fn push_secret(&mut self, line: Bytes, shown: &str) {
        self.push(line);
        if let Some(journal) = &mut self.journal {
            journal.push(SpokenLine::Authentication(shown.to_owned()));
        }
    }

    /// Appends content without copying it.
    pub(crate) fn push(&mut self, content: Bytes) {
        self.waiting.push(content);
    }

    /// Appends content that is too short to be a slice of its own.
    pub(crate) fn put_copy(&mut self, content: &[u8]) {
        self.waiting.copy(content);
    }

    /// Takes out everything that waits, to be appended to another stream.
    pub(crate) fn take_all(&mut self) -> Parts {
        std::mem::take(&mut self.waiting)
    }

    /// Octets that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The place in the whole stream behind the last octet that was queued.
    pub(crate) fn end(&self) -> u64 {
        self.written + self.waiting.len() as u64
    }

    /// The place in the whole stream behind the last octet that was written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Notes that the connection can no longer be written, although replies may still arrive.
    pub(crate) fn cut(&mut self) {
        self.is_cut = true;
        self.clear();
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Notes how much was written when the reply that is handed over next began to come.
    pub(crate) fn hear_at(&mut self, written: u64) {
        self.heard_at = Some(written);
    }

    /// The place in the stream behind which nothing was written when the latest reply began to come: what stands there
    /// cannot be what it answers.
    pub(crate) fn heard_at(&self) -> u64 {
        self.heard_at.unwrap_or(self.written)
    }

    /// Fills `slices` with what comes next and says how many of them are in use.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.waiting.slices(slices)
    }

    /// How many slices all of it is.
    pub(crate) fn slice_count(&self) -> usize {
        self.waiting.count()
    }

    /// Octets that wait and were copied here.
    pub(crate) fn text_len(&self) -> usize {
        self.waiting.text_len()
    }

    /// Drops the first `count` octets, which were written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count.min(self.len()) as u64;
        self.waiting.advance(count);
    }

    /// Queues what another output held, with its lines.
    pub(crate) fn append(&mut self, parts: Parts, lines: Vec<SpokenLine>) {
        self.waiting.append(parts);
        if let Some(journal) = &mut self.journal {
            journal.extend(lines);
        }
    }

    /// Drops everything that was not written.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Gives back room that is not needed while nothing is said.
    pub(crate) fn give_back(&mut self) {
        self.waiting.give_back();
    }
}

fn note(journal: &mut Vec<SpokenLine>, line: &[u8]) {
    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
    journal.push(SpokenLine::Plain(String::from_utf8_lossy(line).into_owned()));
}

/// Drops the control characters behind `begin`: each would be, or end, a second command.
#[inline]
fn drop_controls(text: &mut Vec<u8>, begin: usize) {
    if may_have_controls(&text[begin..]) {
        let line = String::from_utf8_lossy(&text[begin..]).replace(char::is_control, "");
        text.truncate(begin);
        text.extend_from_slice(line.as_bytes());
    }
}

/// Octets that are looked at together.
const BLOCK: usize = 16;

/// Whether there is a control character, or what may be a part of one. The last block overlaps the one before.
#[inline]
fn may_have_controls(line: &[u8]) -> bool {
    let Some(last) = line.last_chunk::<BLOCK>() else {
        return line.iter().any(|octet| may_be_control(*octet));
    };
    let (blocks, _) = line.as_chunks::<BLOCK>();
    blocks.iter().fold(is_suspect(last), |found, block| found | is_suspect(block))
}

/// Without a branch, so that all octets are looked at together.
#[inline]
fn is_suspect(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(false, |found, octet| found | may_be_control(*octet))
}

/// Neither a space nor a visible character of ASCII: those lie in one range of signed octets that are one higher.
#[inline]
fn may_be_control(octet: u8) -> bool {
    octet.wrapping_add(1).cast_signed() <= 0x20
}

/// Shows lengths only: what waits may hold a secret.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Output({} octets wait, {} were written)", self.len(), self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(output: &Output) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let used = output.slices(&mut slices);
        slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    #[test]
    fn order_is_kept_and_content_is_not_copied() {
        let mut output = Output::default();
        let content = Bytes::from_static(b"content");
        output.put(b"MAIL\r\n");
        output.push(content.clone());
        output.put(b"QUIT\r\n");
        assert_eq!(shown(&output), b"MAIL\r\ncontentQUIT\r\n");
        let mut slices = [IoSlice::new(&[]); 8];
        output.slices(&mut slices);
        assert_eq!(slices[1].as_ptr(), content.as_ptr());
    }

    #[test]
    fn all_that_waits_is_taken_in_order_and_uncopied() {
        let (mut output, content) = (Output::default(), Bytes::from_static(b"content"));
        output.put(b"BDAT 7 LAST\r\n");
        output.push(content.clone());
        output.put(b"QUIT\r\n");
        output.advance(5);
        let taken = output.take_all();
        let parts: Vec<_> = taken.iter().collect();
        assert_eq!(parts.concat(), b"7 LAST\r\ncontentQUIT\r\n");
        assert_eq!(parts[1].as_ptr(), content.as_ptr());
        assert!(output.is_empty() && shown(&output).is_empty());
    }

    #[test]
    fn attack_a28_no_control_character_gets_into_a_line() {
        let mut output = Output::default();
        output.put_line(|text| text.extend_from_slice("a\r\nDATA\x7f\u{85}\u{9f}\0\t\u{a0}é".as_bytes()));
        assert_eq!(shown(&output), "aDATA\u{a0}é\r\n".as_bytes());
    }

    proptest! {
        #[test]
        fn attack_a28_a_line_is_rid_of_what_is_a_control_character_and_of_nothing_else(line in "\\PC{0,20}.{0,20}") {
            let mut output = Output::default();
            output.put(b"RSET\r\n");
            output.put_line(|text| text.extend_from_slice(line.as_bytes()));
            let wanted = format!("RSET\r\n{}\r\n", line.replace(char::is_control, ""));
            prop_assert_eq!(shown(&output), wanted.into_bytes());
        }

        #[test]
        fn writing_in_any_steps_writes_the_same(parts in proptest::collection::vec("[a-z]{0,9}", 0..8), step in 1..7usize) {
            let mut output = Output::default();
            for (index, part) in parts.iter().enumerate() {
                if index % 2 == 0 { output.put(part.as_bytes()) } else { output.push(Bytes::from(part.clone())) }
            }
            let mut written = Vec::new();
            while !output.is_empty() {
                let next = shown(&output);
                let count = step.min(next.len());
                written.extend_from_slice(&next[..count]);
                output.advance(count);
                prop_assert_eq!(output.written(), written.len() as u64);
            }
            prop_assert_eq!(written, parts.concat().into_bytes());
            prop_assert_eq!(output.end(), output.written());
        }
    }
}
