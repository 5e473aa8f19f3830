//! What has to be known about content before it is sent: line ends, octets, lengths.

use memchr::{memchr, memchr2};

use super::mime_headers::MimeHeaders;

const LINE_END: &[u8] = b"\r\n";

/// What a message is, found out once by looking at every octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ContentFacts {
    /// Octets, each line end counted as two: what RFC 1870 section 5 calls the message size.
    pub size: u64,
    /// Whether an octet above 127 stands anywhere (needs 8BITMIME, RFC 6152).
    pub eight_bit: bool,
    /// Whether a NUL stands anywhere (needs BINARYMIME, RFC 3030).
    pub nul: bool,
    /// Whether the content is not made of lines: its octets go out as they are or not at all (needs BINARYMIME).
    pub binary: bool,
    /// `true` if the header of the message, or of a MIME part at any depth, has UTF-8 beyond ASCII (needs SMTPUTF8,
    /// RFC 6531 section 3.4). A header with invalid UTF-8 does not count.
    pub utf8_header: bool,
    /// Octets of the longest line without its line end; text lines have at most 998
    /// (RFC 5321 section 4.5.3.1.6).
    pub longest_line: u64,
    /// Whether the last line has its end. Where it has none one is added as the message is sent (RFC 5321 section 4.1.1.4),
    /// unless the content is [binary](Self::binary).
    pub ends_line: bool,
}

/// Why content is not acceptable as a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineEndError {
    /// A carriage return that no line feed follows (RFC 5321 section 2.3.8). The number counts octets from 0.
    #[error("a bare carriage return at octet {0}")]
    BareCarriageReturn(u64),
    /// A line feed that follows no carriage return.
    #[error("a bare line feed at octet {0}")]
    BareLineFeed(u64),
}

/// Looks at content piece by piece; the pieces may end anywhere.
#[derive(Debug, Default)]
pub(crate) struct ContentScan {
    facts: ContentFacts,
    line: u64,
    after_cr: bool,
    headers: MimeHeaders,
}

impl ContentScan {
    /// For content of the same kind, line ends of any sort allowed where it is binary.
    pub(super) fn again(facts: &ContentFacts) -> Self {
        if facts.binary { Self::binary() } else { Self::default() }
    }

    /// For octets of which no rule of text holds. What looks like a header is looked at nevertheless.
    pub(super) fn binary() -> Self {
        let facts = ContentFacts { binary: true, ..ContentFacts::default() };
        Self { facts, ..Self::default() }
    }

    /// Takes in the next piece.
    pub(crate) fn add(&mut self, piece: &[u8]) -> Result<(), LineEndError> {
        self.facts.eight_bit |= !piece.is_ascii();
        self.facts.nul |= memchr(0, piece).is_some();
        let mut rest = piece;
        while let Some(at) = self.line_end(rest) {
            self.text(&rest[..at]);
            rest = &rest[at..];
            match rest.strip_prefix(LINE_END).filter(|_| !self.after_cr) {
                Some(next) => {
                    self.facts.size += LINE_END.len() as u64;
                    self.end_line();
                    rest = next;
                }
                None => {
                    self.control(rest[0])?;
                    rest = &rest[1..];
                }
            }
        }
        self.text(rest);
        Ok(())
    }

    /// The facts, once all pieces were added.
    pub(crate) fn finish(mut self) -> Result<ContentFacts, LineEndError> {
        if self.after_cr && !self.facts.binary {
            return Err(LineEndError::BareCarriageReturn(self.facts.size - 1));
        }
        self.line += u64::from(self.after_cr);
        self.facts.longest_line = self.facts.longest_line.max(self.line);
        self.facts.ends_line = self.line == 0;
        self.facts.utf8_header = self.headers.finish();
        Ok(self.facts)
    }

    /// Where the next CR or LF stands; an octet that breaks a CR counts as one.
    fn line_end(&self, rest: &[u8]) -> Option<usize> {
        if self.after_cr && !rest.is_empty() {
            return Some(0);
        }
        memchr2(b'\r', b'\n', rest)
    }

    fn text(&mut self, text: &[u8]) {
        self.facts.size += text.len() as u64;
        self.line += text.len() as u64;
        self.headers.text(text);
    }

    fn control(&mut self, octet: u8) -> Result<(), LineEndError> {
        let at = self.facts.size;
        self.facts.size += 1;
        match (self.after_cr, octet) {
            (true, b'\n') => self.end_line(),
            (false, b'\r') => self.after_cr = true,
            _ if self.facts.binary => self.bare(octet),
            (true, _) => return Err(LineEndError::BareCarriageReturn(at - 1)),
            (false, _) => return Err(LineEndError::BareLineFeed(at)),
        }
        Ok(())
    }

    /// Takes in an octet that ends no line, and the CR before it if there is one.
    fn bare(&mut self, octet: u8) {
        self.line += u64::from(self.after_cr);
        self.after_cr = octet == b'\r';
        if !self.after_cr {
            self.facts.size -= 1;
            self.text(&[octet]);
        }
    }

    fn end_line(&mut self) {
        self.headers.end_line();
        self.facts.longest_line = self.facts.longest_line.max(self.line);
        self.line = 0;
        self.after_cr = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan_in(content: &[u8], size: usize) -> Result<ContentFacts, LineEndError> {
        let mut scan = ContentScan::default();
        content.chunks(size).try_for_each(|piece| scan.add(piece))?;
        scan.finish()
    }

    fn scan(content: &[u8]) -> Result<ContentFacts, LineEndError> {
        scan_in(content, content.len().max(1))
    }

    #[test]
    fn check_052_bare_line_ends_are_found_wherever_they_stand() {
        assert_eq!(scan(b"ab\ncd\r\n"), Err(LineEndError::BareLineFeed(2)));
        assert_eq!(scan(b"\n"), Err(LineEndError::BareLineFeed(0)));
        assert_eq!(scan(b"ab\rcd\r\n"), Err(LineEndError::BareCarriageReturn(2)));
        assert_eq!(scan(b"ab\r\r\n"), Err(LineEndError::BareCarriageReturn(2)));
        assert_eq!(scan(b"ab\r"), Err(LineEndError::BareCarriageReturn(2)));
        assert!(scan(b"ab\r\n\r\n").is_ok());
    }

    #[test]
    fn check_053_no_smuggling_sequence_passes() {
        let corpus: [&[u8]; 9] = [
            b"\n.\n",
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r.\r",
            b"\r\n.\r",
            b"\r.\r\n",
            b"\n.\r",
            b"\r\r\n.\r\r\n",
            b"\r",
        ];
        for sequence in corpus {
            for content in [
                [b"a", sequence, b"b\r\n"].concat(),
                [sequence, b"a\r\n"].concat(),
                [b"a", sequence].concat(),
            ] {
                for size in 1..=content.len() {
                    assert!(scan_in(&content, size).is_err(), "{content:?} in pieces of {size}");
                }
            }
        }
    }

    #[test]
    fn check_054_the_longest_line_is_known() {
        assert_eq!(scan(&[b"a\r\n", [b'x'; 999].as_slice(), b"\r\nb"].concat()).unwrap().longest_line, 999);
        assert_eq!(scan(&[b'x'; 998]).unwrap().longest_line, 998);
    }

    #[test]
    fn check_128_size_counts_octets() {
        assert_eq!(scan(b"Subject: x\r\n\r\n.\r\n..dot\r\nend\r\n").unwrap().size, 29);
    }

    #[test]
    fn check_140_octets_of_the_body_are_no_utf8_header() {
        let facts = scan("Subject: x\r\n\r\nGrüße\r\n".as_bytes()).unwrap();
        assert!(facts.eight_bit && !facts.utf8_header);
    }

    #[test]
    fn check_141_only_valid_utf8_makes_a_utf8_header() {
        assert!(scan("Subject: Grüße\r\n\r\nx\r\n".as_bytes()).unwrap().utf8_header);
        assert!(scan("Subject: Grüße".as_bytes()).unwrap().utf8_header);
        assert!(!scan(b"Subject: Gr\xfc\xdfe\r\n\r\nx\r\n").unwrap().utf8_header);
        assert!(!scan(b"Subject: Gr\xc3").unwrap().utf8_header);
    }

    #[test]
    fn check_126_binary_content_has_no_rules_but_facts() {
        let mut scan = ContentScan::binary();
        scan.add(b"a: \xc3\xbc\r\r\n\r\n\0\n\n.\r\xfe\r").unwrap();
        let facts = scan.finish().unwrap();
        assert_eq!((facts.size, facts.utf8_header), (17, true));
        assert!(facts.eight_bit && facts.nul && facts.binary);
    }

    #[test]
    fn check_126_a_carriage_return_at_the_end_of_binary_content_is_a_part_of_its_last_line() {
        for (content, longest, ends_line) in
            [(&b"\r"[..], 1, false), (b"a\r\n\r", 1, false), (b"ab\r", 3, false), (b"ab\r\n", 2, true)]
        {
            let mut scan = ContentScan::binary();
            scan.add(content).unwrap();
            let facts = scan.finish().unwrap();
            assert_eq!((facts.longest_line, facts.ends_line), (longest, ends_line), "{content:?}");
        }
    }

    #[test]
    fn check_055_nul_is_found() {
        assert!(scan(b"a\0b\r\n").unwrap().nul);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(content in "(a|é|\r\n|\r\n\r\n|\r|\n|\u{0}){0,12}", size in 1..7usize) {
            prop_assert_eq!(scan_in(content.as_bytes(), size), scan(content.as_bytes()));
        }

        #[test]
        fn check_126_pieces_do_not_matter_to_binary_content(content in "(a|é|\r\n|\r|\n|\u{0}){0,12}", size in 1..7usize) {
            let facts = |size: usize| {
                let mut scan = ContentScan::binary();
                content.as_bytes().chunks(size).for_each(|piece| scan.add(piece).unwrap());
                scan.finish().unwrap()
            };
            prop_assert_eq!(facts(size), facts(1000));
            prop_assert_eq!(facts(size).size, content.len() as u64);
            if let Ok(text) = scan(content.as_bytes()) {
                prop_assert_eq!(ContentFacts { binary: false, ..facts(size) }, text);
            }
        }
    }
}
