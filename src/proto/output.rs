//! [`Output`]: octets that wait to be written, as slices that are never joined.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Octets on their way to the peer, in order. Content is kept as the slices it came in; commands are
/// gathered in one buffer. Counts what was queued and what was written, so that a reply can be told from
/// an answer to a command that is still here.
#[derive(Default)]
pub(crate) struct Output {
    ready: VecDeque<Bytes>,
    commands: BytesMut,
    waiting: usize,
    written: u64,
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

    /// The lines that were queued since the last time.
    pub(crate) fn take_journal(&mut self) -> Vec<SpokenLine> {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Appends text by copying it; for commands.
    pub(crate) fn put(&mut self, text: &[u8]) {
        self.put_silently(text);
        if let Some(journal) = &mut self.journal {
            let line = text.strip_suffix(b"\r\n").unwrap_or(text);
            journal.push(SpokenLine::Plain(String::from_utf8_lossy(line).into_owned()));
        }
    }

    /// Appends a line that holds a secret without copying it; `shown` is what may be shown of it.
    pub(crate) fn push_secret(&mut self, line: Bytes, shown: &str) {
        self.push(line);
        if let Some(journal) = &mut self.journal {
            journal.push(SpokenLine::Authentication(shown.to_owned()));
        }
    }

    fn put_silently(&mut self, text: &[u8]) {
        self.commands.put_slice(text);
        self.waiting += text.len();
    }

    /// Appends content without copying it.
    pub(crate) fn push(&mut self, content: Bytes) {
        if content.is_empty() {
            return;
        }
        self.seal();
        self.waiting += content.len();
        self.ready.push_back(content);
    }

    /// Takes out everything that waits, in order, without copying content: to be appended to another stream.
    pub(crate) fn take_all(&mut self) -> Vec<Bytes> {
        self.seal();
        self.waiting = 0;
        self.ready.drain(..).collect()
    }

    /// Octets that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// The place in the whole stream behind the last octet that was queued.
    pub(crate) fn end(&self) -> u64 {
        self.written + self.waiting as u64
    }

    /// The place in the whole stream behind the last octet that was written.
    pub(crate) fn written(&self) -> u64 {
        self.written
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
        let parts = self.ready.iter().map(|part| &part[..]).chain(std::iter::once(&self.commands[..]));
        let mut used = 0;
        for (slice, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slice = IoSlice::new(part);
            used += 1;
        }
        used
    }

    /// Drops the first `count` octets, which were written.
    pub(crate) fn advance(&mut self, count: usize) {
        let mut left = count.min(self.waiting);
        self.waiting -= left;
        self.written += left as u64;
        while let Some(first) = self.ready.front_mut() {
            if left < first.len() {
                return first.advance(left);
            }
            left -= first.len();
            self.ready.pop_front();
        }
        self.commands.advance(left);
    }

    /// Queues what another output held, with its lines.
    pub(crate) fn append(&mut self, octets: Vec<Bytes>, lines: Vec<SpokenLine>) {
        octets.into_iter().for_each(|piece| self.push(piece));
        if let Some(journal) = &mut self.journal {
            journal.extend(lines);
        }
    }

    /// Drops everything that was not written.
    pub(crate) fn clear(&mut self) {
        self.ready.clear();
        self.commands.clear();
        self.waiting = 0;
    }

    fn seal(&mut self) {
        if !self.commands.is_empty() {
            self.ready.push_back(self.commands.split().freeze());
        }
    }
}

/// Shows lengths only: what waits may hold a secret.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Output({} octets wait, {} were written)", self.waiting, self.written)
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
        assert_eq!(taken.concat(), b"7 LAST\r\ncontentQUIT\r\n");
        assert_eq!(taken[1].as_ptr(), content.as_ptr());
        assert!(output.is_empty() && shown(&output).is_empty());
    }

    proptest! {
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
