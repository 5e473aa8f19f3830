//! Content on its way through DATA: dots doubled, end marked (RFC 5321 section 4.5.2).

use std::sync::LazyLock;

use bytes::{Buf, Bytes};
use memchr::memmem::Finder;

use super::output::Output;

/// Where dots are many, what stands between two of them is copied if it is shorter than this.
const SHORT: usize = 1024;
/// Dots are many where so many parts wait.
const MANY: usize = 16;
/// What waits at once at most: parts, as many as are written at once, and octets of text.
const PARTS: usize = 64;
const TEXT: usize = 16 * 1024;

/// A dot that begins a line, found without building what searches for it anew.
static LINE_AND_DOT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n."));

/// Doubles leading dots and knows whether the content ended its last line. Pieces may end anywhere, also
/// between CR and LF. The content has no bare CR or LF, so a line begins behind every LF.
#[derive(Debug)]
pub(crate) struct DotStuffing {
    last: Option<u8>,
    /// Octets of the content that were not handed in.
    lacking: u64,
    /// What is not queued of the latest piece. A dot in front of it has its twin already.
    rest: Bytes,
}

impl DotStuffing {
    /// For content of `size` octets.
    pub(crate) fn new(size: u64) -> Self {
        Self { last: None, lacking: size, rest: Bytes::new() }
    }

    /// Whether the next piece is of use, where there is room for it or not. The end needs none.
    pub(crate) fn takes_more(&self, has_room: bool) -> bool {
        self.is_idle() && (has_room || self.lacking == 0)
    }

    /// Takes in a piece and queues as much of it as is of use, see [`DotStuffing::fill`].
    pub(crate) fn piece(&mut self, piece: Bytes, output: &mut Output) {
        self.flush(output);
        let Some(last) = piece.last().copied() else { return };
        if self.is_at_line() && piece.starts_with(b".") {
            output.put_copy(b".");
        }
        (self.last, self.lacking) = (Some(last), self.lacking.saturating_sub(piece.len() as u64));
        self.rest = piece;
        self.fill(output);
    }

    /// Queues what can be written at once of the latest piece: without copying it, except between many dots.
    pub(crate) fn fill(&mut self, output: &mut Output) {
        while !self.is_idle() && output.slice_count() < PARTS && output.text_len() < TEXT {
            self.cut(output);
        }
    }

    /// Queues the end: a CRLF only where the content does not end in one, then the dot.
    pub(crate) fn finish(mut self, output: &mut Output) {
        self.flush(output);
        if !self.is_at_line() {
            output.put(b"\r\n");
        }
        output.put(b".\r\n");
    }

    fn is_idle(&self) -> bool {
        self.rest.is_empty()
    }

    fn is_at_line(&self) -> bool {
        matches!(self.last, None | Some(b'\n'))
    }

    fn flush(&mut self, output: &mut Output) {
        while !self.is_idle() {
            self.cut(output);
        }
    }

    /// Queues what stands before the next dot that begins a line, and the twin of that.
    fn cut(&mut self, output: &mut Output) {
        let dot = LINE_AND_DOT.find(&self.rest).map(|at| at + 1);
        let length = dot.unwrap_or(self.rest.len());
        match length < SHORT && output.slice_count() >= MANY {
            true => {
                output.put_copy(&self.rest[..length]);
                self.rest.advance(length);
            }
            false => output.push(self.rest.split_to(length)),
        }
        if dot.is_some() {
            output.put_copy(b".");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memchr::memmem;
    use proptest::prelude::*;
    use std::io::IoSlice;

    fn drain(mut output: Output) -> Vec<u8> {
        let mut wire = Vec::new();
        while !output.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let used = output.slices(&mut slices);
            let octets: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
            output.advance(octets.len());
            wire.extend(octets);
        }
        wire
    }

    fn stuffed_in(content: &[u8], size: usize) -> Vec<u8> {
        let (mut output, mut stuffing) = (Output::default(), DotStuffing::new(content.len() as u64));
        for piece in content.chunks(size) {
            stuffing.piece(Bytes::copy_from_slice(piece), &mut output);
        }
        stuffing.finish(&mut output);
        drain(output)
    }

    fn stuffed(content: &[u8]) -> Vec<u8> {
        stuffed_in(content, content.len().max(1))
    }

    /// What a strict server makes of the octets: the content, if the dot is the last line of them.
    fn unstuffed(wire: &[u8]) -> Option<Vec<u8>> {
        let framed = [b"\r\n", wire].concat();
        let end = memmem::find(&framed, b"\r\n.\r\n")?;
        let lines = &framed[..end + 2];
        let plain = String::from_utf8(lines.to_vec()).ok()?.replace("\r\n.", "\r\n");
        (end + 5 == framed.len()).then(|| plain.as_bytes()[2..].to_vec())
    }

    #[test]
    fn check_051_a_line_end_is_added_only_where_it_is_missing() {
        assert_eq!(stuffed(b"a\r\n"), b"a\r\n.\r\n");
        assert_eq!(stuffed(b"a"), b"a\r\n.\r\n");
        assert_eq!(stuffed(b""), b".\r\n");
        assert_eq!(stuffed(b"\r\n"), b"\r\n.\r\n");
    }

    #[test]
    fn check_050_every_leading_dot_is_doubled_wherever_the_pieces_end() {
        for (content, wire) in [
            (b".".as_slice(), b"..\r\n.\r\n".as_slice()),
            (b"..", b"...\r\n.\r\n"),
            (b"a\r\n.\r\n", b"a\r\n..\r\n.\r\n"),
            (b"a\r\n.\r\n..b.\r\n.", b"a\r\n..\r\n...b.\r\n..\r\n.\r\n"),
        ] {
            for size in 1..=content.len() {
                assert_eq!(stuffed_in(content, size), wire, "{content:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn check_050_content_of_nothing_but_dots() {
        let content = b".\r\n".repeat(1000);
        let wire = [b"..\r\n".repeat(1000), b".\r\n".to_vec()].concat();
        for size in [1, 2, 3, 64, 97, 98, 99, 100, 101, 3000] {
            assert_eq!(stuffed_in(&content, size), wire, "pieces of {size}");
        }
    }

    #[test]
    fn content_with_few_dots_is_not_copied() {
        let piece = Bytes::from_static(b"some text\r\n.and a dot\r\n");
        let mut output = Output::default();
        DotStuffing::new(piece.len() as u64).piece(piece.clone(), &mut output);
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(output.slices(&mut slices), 3);
        assert_eq!(slices[0].as_ptr(), piece.as_ptr());
        assert_eq!(slices[2].as_ptr(), piece[11..].as_ptr());
    }

    proptest! {
        #[test]
        fn check_053_a_server_sees_the_content_and_one_end(content in "(\r\n|\\.|a|\r\n\\.){0,120}", size in 1..50usize) {
            let wire = stuffed_in(content.as_bytes(), size);
            let mut wanted = content.into_bytes();
            if !wanted.is_empty() && !wanted.ends_with(b"\n") {
                wanted.extend(b"\r\n");
            }
            prop_assert_eq!(unstuffed(&wire), Some(wanted));
        }
    }
}
