//! Looks for secrets in texts that must show none.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

/// Octets of a secret that are taken for it.
const PART: usize = 8;
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// # Panics
/// A text shows a part of a secret: as it is, or within base64, wherever that begins.
pub(crate) fn assert_hidden(secret: &str, text: &str) {
    assert!(!shows(text, secret), "{secret:?} is shown in:\n{text}");
}

fn shows(text: &str, secret: &str) -> bool {
    let runs = text.split(|c: char| !is_base64(c)).filter(|run| run.len() >= PART);
    holds(text.as_bytes(), secret) || runs.flat_map(decoded).any(|octets| holds(&octets, secret))
}

fn holds(octets: &[u8], secret: &str) -> bool {
    let part = PART.min(secret.len());
    octets.windows(part).any(|window| secret.as_bytes().windows(part).any(|of_secret| of_secret == window))
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/-_".contains(c)
}

/// What a text is the base64 of, if that begins with one of its first four characters.
fn decoded(run: &str) -> Vec<Vec<u8>> {
    let run = run.replace('+', "-").replace('/', "_");
    let from = |skip: usize| {
        let text = run.get(skip..)?;
        // a single character at the end encodes nothing
        let whole = if text.len() % 4 == 1 { text.len() - 1 } else { text.len() };
        LENIENT.decode(&text[..whole]).ok()
    };
    (0..4).filter_map(from).collect()
}

#[test]
fn a_secret_is_found_as_it_is() {
    assert!(shows("said <s3cret-Passw0rd> here", "s3cret-Passw0rd"));
}

#[test]
fn a_part_of_a_secret_is_found() {
    assert!(shows("said s3cret-P… here", "s3cret-Passw0rd"));
}

#[test]
fn a_secret_is_found_within_base64_wherever_it_stands() {
    for before in ["", "a", "\0ab", "\0tim\0"] {
        let text = format!("AUTH PLAIN x{}", STANDARD.encode(format!("{before}s3cret-Passw0rd?{before}")));
        assert!(shows(&text, "s3cret-Passw0rd?"), "{text}");
    }
}

#[test]
fn what_is_masked_is_not_found() {
    assert!(!shows("AUTH PLAIN ***, and more words that are long enough", "s3cret-Passw0rd"));
}
