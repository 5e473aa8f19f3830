//! Commands, read as a server reads them.

/// The first word in capitals.
pub(super) fn verb(line: &[u8]) -> String {
    let word = line.split(|octet| *octet == b' ').next().unwrap_or_default();
    String::from_utf8_lossy(word).to_ascii_uppercase()
}

/// The mailbox between the angle brackets of MAIL or RCPT; a quoted string may hold a bracket.
pub(super) fn path(line: &[u8]) -> Option<String> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let inner = line[colon + 1..].strip_prefix(b"<")?;
    let mut quoted = Quoted::default();
    let end = inner.iter().position(|octet| !quoted.next(*octet) && *octet == b'>')?;
    Some(String::from_utf8_lossy(&inner[..end]).into_owned())
}

/// Follows a quoted string and its quoted pairs (RFC 5321 section 4.1.2).
#[derive(Default)]
struct Quoted {
    inside: bool,
    escaped: bool,
}

impl Quoted {
    fn next(&mut self, octet: u8) -> bool {
        let escaped = std::mem::take(&mut self.escaped);
        match octet {
            b'\\' if self.inside && !escaped => self.escaped = true,
            b'"' if !escaped => self.inside = !self.inside,
            _ => {}
        }
        self.inside
    }
}

/// What BDAT says (RFC 3030 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) octets: u64,
    pub(super) last: bool,
}

impl Chunk {
    /// Reads `BDAT 12` or `BDAT 12 LAST`.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.to_ascii_uppercase();
        let mut words = line.split(' ');
        let (_, octets, last) = (words.next()?, words.next()?, words.next());
        let known = matches!(last, None | Some("LAST")) && words.next().is_none();
        let octets = octets.parse().ok()?;
        known.then_some(Self { octets, last: last.is_some() })
    }
}

/// Whether a reply, or its last line, says yes (RFC 5321 section 4.2.1).
pub(super) fn is_positive(reply: &str) -> bool {
    reply.starts_with('2')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_at_the_bracket_outside_quotes() {
        for (line, mailbox) in [
            ("MAIL FROM:<> SIZE=1", Some("")),
            ("RCPT TO:<a@b.example> NOTIFY=NEVER", Some("a@b.example")),
            (r#"RCPT TO:<"a>\"b"@c.example>"#, Some(r#""a>\"b"@c.example"#)),
            ("RCPT TO: <a@b.example>", None),
            ("RCPT TO:<a@b.example", None),
            ("RCPT", None),
        ] {
            assert_eq!(path(line.as_bytes()).as_deref(), mailbox, "{line}");
        }
    }

    #[test]
    fn chunks_have_a_size_and_may_be_the_last() {
        assert_eq!(Chunk::parse(b"BDAT 12"), Some(Chunk { octets: 12, last: false }));
        assert_eq!(Chunk::parse(b"bdat 0 last"), Some(Chunk { octets: 0, last: true }));
        for bad in ["BDAT", "BDAT x", "BDAT -1", "BDAT 1 FIRST", "BDAT 1 LAST x"] {
            assert_eq!(Chunk::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
