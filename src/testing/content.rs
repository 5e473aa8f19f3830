//! [`ContentReader`]: finds the end of the content and takes the stuffed dots out (RFC 5321 section 4.5.2).

use memchr::memchr;

/// Where the reader stands; only CRLF ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    Dot,
    DotCr,
    Text,
    Cr,
    End,
}

/// Reads content in pieces of any size.
#[derive(Debug)]
pub(super) struct ContentReader {
    at: At,
    content: Vec<u8>,
    limit: usize,
    length: usize,
}

impl ContentReader {
    /// A reader that keeps `limit` octets at most.
    pub(super) fn new(limit: usize) -> Self {
        Self { at: At::LineStart, content: Vec::new(), limit, length: 0 }
    }

    /// Takes a piece and returns how many of its octets belong to the content and its end.
    pub(super) fn feed(&mut self, piece: &[u8]) -> usize {
        let mut used = 0;
        while let (Some(&octet), false) = (piece.get(used), self.is_ended()) {
            used += match self.at {
                At::Text => self.text(&piece[used..]),
                _ => self.octet(octet),
            };
        }
        used
    }

    /// Whether the lone dot was read.
    pub(super) fn is_ended(&self) -> bool {
        self.at == At::End
    }

    /// Octets so far, kept or not.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The content, if it kept to the limit.
    pub(super) fn into_content(self) -> Option<Vec<u8>> {
        (self.length <= self.limit).then_some(self.content)
    }

    fn text(&mut self, piece: &[u8]) -> usize {
        let end = memchr(b'\r', piece).unwrap_or(piece.len());
        self.keep(&piece[..end]);
        if end < piece.len() { end + self.octet(b'\r') } else { end }
    }

    fn octet(&mut self, octet: u8) -> usize {
        self.at = match (self.at, octet) {
            (At::LineStart, b'.') => At::Dot,
            (At::Dot, b'\r') => At::DotCr,
            (At::DotCr, b'\n') => At::End,
            (At::DotCr, _) => {
                self.keep(b"\r");
                self.after(At::Cr, octet)
            }
            (at, _) => self.after(at, octet),
        };
        1
    }

    fn after(&mut self, at: At, octet: u8) -> At {
        self.keep(&[octet]);
        match (at, octet) {
            (_, b'\r') => At::Cr,
            (At::Cr, b'\n') => At::LineStart,
            _ => At::Text,
        }
    }

    fn keep(&mut self, octets: &[u8]) {
        self.length = self.length.saturating_add(octets.len());
        if self.length <= self.limit {
            self.content.extend_from_slice(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &[u8], piece: usize) -> (Vec<u8>, usize) {
        let mut reader = ContentReader::new(1024);
        let used = wire.chunks(piece).map(|piece| reader.feed(piece)).sum();
        assert!(reader.is_ended());
        (reader.into_content().unwrap(), used)
    }

    #[test]
    fn stuffed_dots_come_out_however_the_content_is_cut() {
        let wire = b"..\r\n...\r\na.\r\n.\rb\r\n.\r\r\n\r\n.\r\n";
        for piece in 1..=wire.len() {
            let (content, used) = read(wire, piece);
            assert_eq!(content, b".\r\n..\r\na.\r\n\rb\r\n\r\r\n\r\n".as_slice(), "pieces of {piece}");
            assert_eq!(used, wire.len());
        }
    }

    #[test]
    fn only_crlf_dot_crlf_ends_the_content() {
        let wire = b"a\n.\nb\n.\r\nc\r\n.\nd\r.\re\r\r\n.\n\r\nf\r\n.\r\nQUIT\r\n";
        let (content, used) = read(wire, wire.len());
        assert_eq!(used, wire.len() - "QUIT\r\n".len());
        assert!(content.ends_with(b"\r\nf\r\n"));
    }

    #[test]
    fn a_lone_dot_at_once_is_no_content() {
        assert_eq!(read(b".\r\n", 1), (Vec::new(), 3));
    }

    #[test]
    fn what_exceeds_the_limit_is_read_but_not_kept() {
        let mut reader = ContentReader::new(4);
        reader.feed(b"abcdefgh\r\n.\r\n");
        assert!(reader.is_ended());
        assert_eq!(reader.length(), 10);
        assert_eq!(reader.into_content(), None);
    }
}
