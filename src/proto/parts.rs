//! [`Parts`]: octets in order, text in one buffer and content as the slices it came in.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Octets of the first buffer for text: the commands of a usual message.
const TEXT: usize = 256;
/// Octets for which room is made where content is copied.
const COPIED: usize = 16 * 1024;
/// Octets of text that were taken out already and may lie in front of the rest.
const TAKEN: usize = 4096;
/// Octets of text, and parts, for which room is kept where nothing waits.
const KEPT_TEXT: usize = 512;
const KEPT_PARTS: usize = 8;

/// Octets to be written. Buffers are kept when all of it was taken out, so that it allocates when it grows and not
/// otherwise.
#[derive(Default)]
pub(crate) struct Parts {
    text: Vec<u8>,
    /// Where in `text` the first part of it begins.
    begin: usize,
    /// Octets of text in front of all parts: commands alone need no list.
    lead: usize,
    parts: VecDeque<Part>,
    length: usize,
}

/// None is empty.
enum Part {
    /// So many octets of the text.
    Text(usize),
    Content(Bytes),
}

impl Parts {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Makes room for so much text, so that it need not grow piece by piece.
    pub(super) fn reserve_text(&mut self, octets: usize) {
        self.text.reserve(octets);
    }

    /// Appends text, which `write` adds to what is handed to it, and gives what it added.
    #[inline]
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        self.make_room();
        let begin = self.text.len();
        write(&mut self.text);
        let added = self.text.len() - begin;
        self.add_text(added);
        &self.text[begin..]
    }

    /// Appends a copy of content. Room for it is made once and used again: it does not grow as content goes through it.
    pub(super) fn copy(&mut self, content: &[u8]) {
        if self.spare() < content.len() {
            self.drop_taken();
        }
        if self.spare() < content.len() {
            self.text.reserve_exact(COPIED.max(content.len()));
        }
        self.text.extend_from_slice(content);
        self.add_text(content.len());
    }

    /// Appends content without copying it.
    pub(super) fn push(&mut self, content: Bytes) {
        if !content.is_empty() {
            self.length += content.len();
            self.parts.push_back(Part::Content(content));
        }
    }

    /// Appends everything that another one holds; content is not copied.
    pub(super) fn append(&mut self, other: Self) {
        let (lead, mut text) = other.text[other.begin..].split_at(other.lead);
        if !lead.is_empty() {
            self.write(|own| own.extend_from_slice(lead));
        }
        for part in other.parts {
            match part {
                Part::Content(content) => self.push(content),
                Part::Text(length) => {
                    let (first, rest) = text.split_at(length);
                    self.write(|own| own.extend_from_slice(first));
                    text = rest;
                }
            }
        }
    }

    /// Fills `slices` with what comes first and says how many of them are in use.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let used = slices.len().min(self.count());
        slices.iter_mut().zip(self.iter()).for_each(|(slice, part)| *slice = IoSlice::new(part));
        used
    }

    /// How many slices it is.
    pub(super) fn count(&self) -> usize {
        usize::from(self.lead > 0) + self.parts.len()
    }

    /// Octets of text.
    pub(super) fn text_len(&self) -> usize {
        self.text.len() - self.begin
    }

    /// All of it, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let (lead, mut text) = self.text[self.begin..].split_at(self.lead);
        let parts = self.parts.iter().map(move |part| match part {
            Part::Content(content) => &content[..],
            Part::Text(length) => {
                let (first, rest) = text.split_at(*length);
                text = rest;
                first
            }
        });
        Some(lead).filter(|lead| !lead.is_empty()).into_iter().chain(parts)
    }

    /// Drops the first `count` octets, or all if there are fewer.
    pub(super) fn advance(&mut self, count: usize) {
        let mut left = count.min(self.length);
        self.length -= left;
        let of_lead = left.min(self.lead);
        self.lead -= of_lead;
        self.begin += of_lead;
        left -= of_lead;
        if self.lead > 0 {
            return;
        }
        while let Some(first) = self.parts.front_mut() {
            let length = match first {
                Part::Text(length) if *length > left => {
                    *length -= left;
                    self.begin += left;
                    return;
                }
                Part::Text(length) => {
                    self.begin += *length;
                    *length
                }
                Part::Content(content) if content.len() > left => return content.advance(left),
                Part::Content(content) => content.len(),
            };
            left -= length;
            self.parts.pop_front();
        }
        self.clear();
    }

    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.text.clear();
        (self.begin, self.lead, self.length) = (0, 0, 0);
    }

    /// Gives back what an idle session needs not keep.
    pub(super) fn give_back(&mut self) {
        if !self.is_empty() {
            return;
        }
        if self.text.capacity() > KEPT_TEXT {
            self.text = Vec::new();
        }
        if self.parts.capacity() > KEPT_PARTS {
            self.parts = VecDeque::new();
        }
    }

    #[inline]
    fn add_text(&mut self, added: usize) {
        self.length += added;
        match self.parts.back_mut() {
            _ if added == 0 => {}
            None => self.lead += added,
            Some(Part::Text(length)) => *length += added,
            Some(Part::Content(_)) => self.parts.push_back(Part::Text(added)),
        }
    }

    #[inline]
    fn make_room(&mut self) {
        if self.text.is_empty() {
            self.text.reserve(TEXT);
        }
        // moved no more often than as much again was taken out
        if self.begin >= TAKEN && self.begin * 2 >= self.text.len() {
            self.drop_taken();
        }
    }

    fn drop_taken(&mut self) {
        self.text.drain(..self.begin);
        self.begin = 0;
    }

    fn spare(&self) -> usize {
        self.text.capacity() - self.text.len()
    }
}

/// Shows the length only: what waits may hold a secret.
impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({} octets)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(parts: &[String]) -> Parts {
        let mut all = Parts::default();
        for (index, part) in parts.iter().enumerate() {
            match index % 2 {
                0 => drop(all.write(|text| text.extend_from_slice(part.as_bytes())).len()),
                _ => all.push(Bytes::from(part.clone())),
            }
        }
        all
    }

    fn octets(parts: &Parts) -> Vec<u8> {
        parts.iter().flatten().copied().collect()
    }

    #[test]
    fn room_is_kept_for_the_next_message_and_given_back_where_it_was_a_large_one() {
        let mut parts = filled(&["x".repeat(TEXT), "y".into()]);
        parts.advance(TEXT + 1);
        parts.give_back();
        assert_eq!(parts.text.capacity(), TEXT);
        let mut parts = filled(&vec!["x".repeat(TEXT); 11]);
        parts.advance(usize::MAX);
        parts.give_back();
        assert_eq!((parts.text.capacity(), parts.parts.capacity()), (0, 0));
    }

    #[test]
    fn text_that_was_taken_out_is_not_kept_for_ever() {
        let mut parts = Parts::default();
        for _ in 0..1000 {
            parts.write(|text| text.extend_from_slice(&[b'x'; 100]));
            parts.advance(if parts.len() > 100 { 100 } else { 99 });
        }
        assert!(parts.text.capacity() < 4 * TAKEN, "{}", parts.text.capacity());
    }

    proptest! {
        #[test]
        fn taking_out_in_any_steps_gives_the_same(parts in prop::collection::vec("[a-z]{0,9}", 0..9), step in 1..9usize) {
            let mut all = filled(&parts);
            let mut taken = Vec::new();
            while !all.is_empty() {
                let next = octets(&all);
                prop_assert_eq!(next.len(), all.len());
                taken.extend_from_slice(&next[..step.min(next.len())]);
                all.advance(step);
            }
            prop_assert_eq!(taken, parts.concat().into_bytes());
        }

        #[test]
        fn what_is_appended_stands_behind(
            first in prop::collection::vec("[a-z]{0,9}", 0..5),
            second in prop::collection::vec("[a-z]{0,9}", 0..5),
            cut in 0..30usize,
        ) {
            let (mut all, mut behind) = (filled(&first), filled(&second));
            behind.advance(cut);
            let wanted = [first.concat().into_bytes(), octets(&behind)].concat();
            all.append(behind);
            prop_assert_eq!(octets(&all), wanted);
        }
    }
}
