//! EHLO replies: an independent reading of the keywords, and changes that must not matter.
//!
//! An input is the text of the reply: lines without reply codes, separated by LF.

use std::collections::BTreeSet;

use nexthop::proto::{Capabilities, Mechanism, SizeLimit};
use nexthop::testing::entry_points;

use super::trace::Trace;

/// Reads the keywords of a reply in several spellings.
pub(crate) fn capabilities(input: &[u8]) -> Trace {
    let found = entry_points::capabilities(input);
    check(input, &found);
    let swapped: Vec<u8> = input.iter().map(swapped_case).collect();
    assert_eq!(entry_points::capabilities(&swapped), found, "the case of a keyword matters");
    let (first, rest) = split_first(input);
    let mut reversed: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').rev().collect();
    reversed.insert(0, first);
    let reversed = reversed.join(&b'\n');
    assert_eq!(entry_points::capabilities(&reversed), found, "the order of the lines matters");
    let twice = [input, b"\n", rest].concat();
    assert_eq!(entry_points::capabilities(&twice), found, "a second line changes the first");
    let mut trace = Trace::new();
    trace.add(format!("{found:?}").replace(|c: char| c.is_ascii_digit(), ""));
    trace
}

/// Compares with lists of words.
fn check(input: &[u8], found: &Capabilities) {
    let (_, rest) = split_first(input);
    let lines = rest.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let lines: Vec<String> = lines.map(str::to_ascii_uppercase).collect();
    let words: Vec<Vec<&str>> = lines.iter().map(|line| line.split_ascii_whitespace().collect()).collect();
    let has = |keyword: &str| words.iter().any(|words| *words == [keyword]);
    assert_eq!(found.pipelining, has("PIPELINING"));
    assert_eq!(found.eight_bit_mime, has("8BITMIME"));
    assert_eq!(found.chunking, has("CHUNKING"));
    assert_eq!(found.binary_mime, has("CHUNKING") && has("BINARYMIME"));
    assert_eq!(found.starttls, has("STARTTLS"));
    assert_eq!(found.dsn, has("DSN"));
    assert_eq!(found.early_pipelining, has("PIPECONNECT") || has("X_PIPE_CONNECT"));
    assert_eq!(found.smtp_utf8, words.iter().any(|words| words.first() == Some(&"SMTPUTF8")));
    let sizes = words.iter().filter(|words| words.first() == Some(&"SIZE"));
    let limits: Vec<Option<u64>> = sizes.map(|words| limit(words.get(1).copied())).collect();
    let least = limits.iter().flatten().min();
    let size =
        least.map(|least| SizeLimit::Octets(*least)).or((!limits.is_empty()).then_some(SizeLimit::Unknown));
    assert_eq!(found.size, size);
    let names: BTreeSet<&str> =
        lines.iter().filter_map(|line| mechanisms(line)).flat_map(str::split_ascii_whitespace).collect();
    for mechanism in Mechanism::ALL {
        let is_found = found.auth.iter().any(|found| found == mechanism);
        assert_eq!(is_found, names.contains(mechanism.name()), "{mechanism}");
    }
}

/// A limit above zero that is nothing but digits.
fn limit(text: Option<&str>) -> Option<u64> {
    let mut number = 0_u64;
    for digit in text?.chars() {
        number = number.checked_mul(10)?.checked_add(digit.to_digit(10)?.into())?;
    }
    (number > 0).then_some(number)
}

fn mechanisms(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("AUTH")?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix([' ', '\t', '=']) }
}

fn split_first(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    end.map_or((input, &[]), |end| (&input[..end], &input[end + 1..]))
}

fn swapped_case(byte: &u8) -> u8 {
    if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte }
}

/// Parts of replies.
pub(crate) const TOKENS: &[&[u8]] = &[
    b"mx.example\n",
    b"\nPIPELINING",
    b"\n8BITMIME",
    b"\nCHUNKING",
    b"\nBINARYMIME",
    b"\nSMTPUTF8",
    b"\nSMTPUTF8 later",
    b"\nDSN",
    b"\nSTARTTLS",
    b"\nPIPECONNECT",
    b"\nX_PIPE_CONNECT",
    b"\nSIZE",
    b"\nSIZE 0",
    b"\nSIZE 1000",
    b"\nSIZE 18446744073709551615",
    b"\nSIZE 18446744073709551616",
    b"\nAUTH ",
    b"\nAUTH=",
    b" PLAIN",
    b" LOGIN",
    b" CRAM-MD5",
    b" SCRAM-SHA-1",
    b" SCRAM-SHA-256",
    b" SCRAM-SHA-256-PLUS",
    b" OAUTHBEARER",
    b" XOAUTH2",
    b" EXTERNAL",
    b"\nENHANCEDSTATUSCODES",
    b"\npipelining",
    b"\t",
    b" ",
    b"\r",
    b"\n",
    b"=",
    b"\0",
    b"\xc3\xa9",
    b"\xff",
];
