//! Messages that a client or a server may be tempted to change, and recipients.

use std::path::{Path, PathBuf};

/// A message that begins as if a server had been at it before, and has what a server may be tempted to change.
pub(crate) const MESSAGE: &str = "Received: from earlier.example by client.example; Fri, 21 Nov 2025 09:00:00 +0000\r\n\
    From: Sender <sender>\r\n\
    Subject: folded\r\n\tand ended by a space \r\n\
    Content-Type: text/plain\r\n\
    \r\n\
    From here on text: and\ttrailing\t\r\n";

/// The header of the others.
const HEADER: &str = "From: sender@example.net\r\nSubject: sample\r\nMIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
/// Octets of a block in which files and content are handled.
const BLOCK: usize = 64 * 1024;

fn with_body(body: &str) -> String {
    format!("{HEADER}{body}")
}

/// Lines that begin with dots, among them some that look like the end of the content.
pub(crate) fn leading_dots() -> String {
    with_body(&format!(".\r\n..\r\n.a\r\n\r\n.\r\n.\r\n{}text\r\n.\r\n", ".b\r\n".repeat(200)))
}

/// Lines of more than the 998 octets that RFC 5321 section 4.5.3.1.6 gives them, and of more than buffers have.
pub(crate) fn long_lines() -> String {
    let lines = [998, 999, 2048, 4096, 8192, 30_000].map(|length| "x".repeat(length) + "\r\n.");
    with_body(&format!("{}\r\n", lines.concat()))
}

/// Octets above 127.
pub(crate) fn eight_bit() -> String {
    with_body("Grüße: ümläute, and 漢字\r\n")
}

/// A header with octets above 127, as RFC 6532 has it.
pub(crate) fn utf8_header() -> String {
    format!("X-Greeting: Grüße\r\n{MESSAGE}")
}

pub(crate) fn empty_lines_at_the_end() -> String {
    with_body("text\r\n\r\n\r\n\r\n")
}

/// Five MiB in which a dot begins a line at every border of two blocks, in turn before and behind it.
pub(crate) fn five_mebibytes() -> String {
    let mut text = with_body("");
    for n in 1..=80 {
        let dot = BLOCK * n - n % 2;
        let filler = "filler that fills a line\r\n".repeat((dot - text.len()) / 26 - 1);
        text.push_str(&filler);
        let rest = dot - text.len() - 2;
        text.push_str(&format!("{}\r\n.{n}\r\n", "y".repeat(rest)));
    }
    text
}

/// Recipients that are one user of Postfix.
pub(crate) fn recipients(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("alice+{n}@example.test")).collect()
}

/// Puts a message into a file.
pub(crate) fn file(folder: &Path, content: &str) -> PathBuf {
    let path = folder.join("message.eml");
    std::fs::write(&path, content).expect("the folder is ours");
    path
}

#[test]
fn in_five_mebibytes_a_dot_begins_a_line_at_every_border() {
    let text = five_mebibytes().into_bytes();
    assert!(text.len() > 80 * BLOCK);
    for n in 1..=80 {
        let dot = BLOCK * n - n % 2;
        assert_eq!(&text[dot - 2..=dot], b"\r\n.", "{n}");
    }
}
