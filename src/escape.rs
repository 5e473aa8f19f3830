//! Text of a peer or a caller made fit for one line of a log, a report, a terminal.

use std::fmt::Write;

/// One line of printable text: control characters, line separators and characters that turn the direction of
/// writing become `\u{1b}`, octets that are not UTF-8 become `\xE9`.
pub(crate) fn one_line(octets: &[u8]) -> String {
    let mut line = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_char(&mut line, c));
        for octet in chunk.invalid() {
            // writing to a String does not fail
            let _ = write!(line, "\\x{octet:02X}");
        }
    }
    line
}

fn push_char(line: &mut String, c: char) {
    if is_dangerous(c) {
        line.extend(c.escape_unicode());
    } else {
        line.push(c);
    }
}

fn is_dangerous(c: char) -> bool {
    let invisible = matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() || invisible
}

/// At most `max` octets of `text`, cut at a character.
pub(crate) fn shorten(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_a19_nothing_breaks_out_of_its_line() {
        let shown = one_line("a\r\nb\x00\x1b[31m\u{202e}\u{2028}\u{85}é".as_bytes());
        assert_eq!(shown, "a\\u{d}\\u{a}b\\u{0}\\u{1b}[31m\\u{202e}\\u{2028}\\u{85}é");
    }

    #[test]
    fn check_013_octets_that_are_not_utf8_are_shown_as_numbers() {
        assert_eq!(one_line(b"caf\xE9"), "caf\\xE9");
    }

    #[test]
    fn a_cut_does_not_split_a_character() {
        assert_eq!(shorten("aé", 2), "a");
        assert_eq!(shorten("aé", 3), "aé");
    }
}
