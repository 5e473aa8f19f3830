//! Content on its way through DATA: dots doubled, end marked (RFC 5321 section 4.5.2).

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

use super::output::Output;

/// A piece with more lines than this that begin with a dot is copied rather than cut into slices.
const MANY_DOTS: usize = 32;

/// Doubles leading dots and knows whether the content ended its last line. Pieces may end anywhere, also
/// between CR and LF. The content has no bare CR or LF, so a line begins behind every LF.
#[derive(Debug)]
pub(crate) struct DotStuffing {
    last: Option<u8>,
}

impl DotStuffing {
    pub(crate) fn new() -> Self {
        Self { last: None }
    }

    /// Queues a piece without copying it, unless it is full of dots.
    pub(crate) fn piece(&mut self, piece: Bytes, output: &mut Output) {
        let Some(last) = piece.last().copied() else { return };
        let leading = matches!(self.last, None | Some(b'\n')) && piece.starts_with(b".");
        self.last = Some(last);
        let inner = memmem::find_iter(&piece, b"\n.").map(|at| at + 1);
        let dots = leading.then_some(0).into_iter().chain(inner);
        let (few, many): (Vec<usize>, bool) = first_of(dots);
        match many {
            true => output.push(doubled(&piece, leading)),
            false => push_cut(piece, &few, output),
        }
    }

    /// Queues the end: a CRLF only where the content does not end in one, then the dot.
    pub(crate) fn finish(self, output: &mut Output) {
        if !matches!(self.last, None | Some(b'\n')) {
            output.put(b"\r\n");
        }
        output.put(b".\r\n");
    }
}

/// The first places, and whether there are too many of them.
fn first_of(places: impl Iterator<Item = usize>) -> (Vec<usize>, bool) {
    let mut places = places.take(MANY_DOTS + 1);
    let few: Vec<usize> = places.by_ref().take(MANY_DOTS).collect();
    (few, places.next().is_some())
}

fn push_cut(mut piece: Bytes, dots: &[usize], output: &mut Output) {
    let mut cut = 0;
    for dot in dots {
        output.push(piece.split_to(dot - cut));
        output.push(Bytes::from_static(b"."));
        cut = *dot;
    }
    output.push(piece);
}

fn doubled(piece: &[u8], leading: bool) -> Bytes {
    let mut copy = BytesMut::with_capacity(piece.len() + piece.len() / 2);
    if leading {
        copy.put_u8(b'.');
    }
    let mut copied = 0;
    for at in memmem::find_iter(piece, b"\n.") {
        copy.put_slice(&piece[copied..=at]);
        copy.put_u8(b'.');
        copied = at + 1;
    }
    copy.put_slice(&piece[copied..]);
    copy.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let (mut output, mut stuffing) = (Output::default(), DotStuffing::new());
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
        DotStuffing::new().piece(piece.clone(), &mut output);
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
