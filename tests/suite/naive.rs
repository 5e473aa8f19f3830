//! Servers that read content with less care than they should, to see what could be smuggled past them (check 053).

/// How a server reads lines.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Naive {
    /// Only CRLF ends a line, as RFC 5321 has it.
    Strict,
    /// LF ends a line, with or without CR.
    LineFeed,
    /// CR, LF and CRLF end a line.
    CarriageReturn,
    /// CR is dropped wherever it stands, LF ends a line.
    WithoutCr,
    /// NUL is dropped wherever it stands.
    WithoutNul,
}

impl Naive {
    pub(crate) const ALL: [Self; 5] =
        [Self::Strict, Self::LineFeed, Self::CarriageReturn, Self::WithoutCr, Self::WithoutNul];

    /// What follows the first lone dot in what a client sent after DATA, line by line.
    pub(crate) fn after_the_end(self, sent: &[u8]) -> Vec<String> {
        let lines = self.lines(sent);
        let end = lines.iter().position(|line| line == ".");
        lines.into_iter().skip(end.map_or(0, |end| end + 1)).collect()
    }

    fn lines(self, sent: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(sent);
        let text = match self {
            Self::Strict => text.replace("\r\n", "\u{1}"),
            Self::LineFeed => text.replace("\r\n", "\u{1}").replace('\n', "\u{1}"),
            Self::CarriageReturn => text.replace("\r\n", "\u{1}").replace(['\r', '\n'], "\u{1}"),
            Self::WithoutCr => text.replace('\r', "").replace('\n', "\u{1}"),
            Self::WithoutNul => text.replace('\0', "").replace("\r\n", "\u{1}"),
        };
        text.split_terminator('\u{1}').map(String::from).collect()
    }
}

#[test]
fn naive_servers_fall_for_what_they_should() {
    let sent = |end: &str| format!("a{end}MAIL\r\n.\r\nQUIT\r\n").into_bytes();
    let fooled = |end: &str| Naive::ALL.map(|naive| naive.after_the_end(&sent(end)).contains(&"MAIL".into()));
    assert_eq!(fooled("\r\n.\r\n"), [true; 5]);
    assert_eq!(fooled("\n.\n"), [false, true, true, true, false]);
    assert_eq!(fooled("\r.\r"), [false, false, true, false, false]);
    assert_eq!(fooled("\r\r\n.\r\r\n"), [false, false, true, true, false]);
    assert_eq!(fooled("\r\n\0.\r\n"), [false, false, false, false, true]);
    assert_eq!(fooled("\r\n"), [false; 5]);
}
