//! Rules for every line that a client sends (RFC 5321 section 4.5.3.1).

/// Bytes of a command with its line end (RFC 5321 section 4.5.3.1.4).
const COMMAND: usize = 512;
/// Bytes that extensions add to MAIL: SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531), AUTH (RFC 4954), RET and ENVID
/// (RFC 3461).
const MAIL: usize = 26 + 17 + 10 + 8 + 9 + 108;
/// Bytes that extensions add to RCPT: NOTIFY and ORCPT (RFC 3461).
const RCPT: usize = 36 + 508;
/// Bytes of a path with its angle brackets (RFC 5321 section 4.5.3.1.3).
const PATH: usize = 256;

const VERBS: [&str; 11] = [
    "EHLO ",
    "LHLO ",
    "HELO ",
    "MAIL FROM:<",
    "RCPT TO:<",
    "DATA",
    "BDAT ",
    "RSET",
    "NOOP",
    "QUIT",
    "STARTTLS",
];

/// Checks lines without their line ends.
pub(super) fn check(lines: &[&[u8]]) {
    for line in lines {
        let text = std::str::from_utf8(line).unwrap_or_else(|_| panic!("not UTF-8: {}", line.escape_ascii()));
        assert!(!text.contains(char::is_control), "a control character in {text:?}");
        assert!(VERBS.iter().any(|verb| text.starts_with(verb)), "not a command: {text:?}");
        let extra = match &text[..4] {
            "MAIL" => MAIL,
            "RCPT" => RCPT,
            _ => 0,
        };
        assert!(text.len() + 2 <= COMMAND + extra, "a command of {} bytes: {text:?}", text.len() + 2);
        if extra > 0 {
            assert!(path(text).len() <= PATH, "a path of {} bytes: {text:?}", path(text).len());
        }
    }
}

/// Returns the path of MAIL or RCPT with its angle brackets.
pub(super) fn path(line: &str) -> &str {
    let begin = line.find('<').expect("a path begins with <");
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (index, c) in line[begin..].char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => return &line[begin..=begin + index],
            _ => {}
        }
    }
    panic!("a path without an end: {line:?}");
}
