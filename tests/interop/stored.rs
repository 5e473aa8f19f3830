//! What a server made of a message when it stored it.

use sha2::{Digest, Sha256};

/// What a server may put in front of a message on final delivery (RFC 5321 section 4.4).
const TRACE_FIELDS: [&[u8]; 4] = [b"Return-Path:", b"Delivered-To:", b"X-Original-To:", b"Received:"];

/// The last `length` octets of a stored message, with the line ends it travelled with: a message as it was
/// submitted, if that had so many octets.
///
/// # Panics
/// The message is shorter, or something other than whole trace fields stands in front.
pub(crate) fn as_submitted(stored: &[u8], length: usize) -> Vec<u8> {
    let stored = with_crlf(stored);
    let front =
        stored.len().checked_sub(length).expect("the stored message is not shorter than the submitted one");
    let (front, submitted) = stored.split_at(front);
    assert!(is_trace(front), "in front of the message: {}", front.escape_ascii());
    submitted.to_vec()
}

/// The SHA-256 of octets, in hexadecimal: what two large messages are compared by.
pub(crate) fn sha256(octets: &[u8]) -> String {
    Sha256::digest(octets).iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Servers may store a message with the line ends of their own system.
fn with_crlf(stored: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(stored.len() + stored.len() / 32);
    for &octet in stored {
        if octet == b'\n' && text.last() != Some(&b'\r') {
            text.push(b'\r');
        }
        text.push(octet);
    }
    text
}

fn is_trace(front: &[u8]) -> bool {
    let whole = front.is_empty() || front.ends_with(b"\r\n");
    whole
        && front
            .split_inclusive(|&octet| octet == b'\n')
            .all(|line| is_folded(line) || starts_trace_field(line))
}

fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

fn starts_trace_field(line: &[u8]) -> bool {
    TRACE_FIELDS.iter().any(|name| line.starts_with(name))
}

#[test]
fn the_submitted_octets_are_found_behind_what_the_server_put_in_front() {
    let stored = b"Return-Path: <>\nReceived: from a\n\tby b\nReceived: mine\n\ntext\n";
    assert_eq!(as_submitted(stored, 24), b"Received: mine\r\n\r\ntext\r\n");
}

#[test]
#[should_panic(expected = "in front of the message: Received: mi")]
fn a_message_that_lost_an_octet_is_not_taken_for_the_submitted_one() {
    as_submitted(b"Received: mine\n\ntext\n", 12);
}
