//! SASLprep (RFC 4013), and other looks at what goes into a message.

use stringprep::{saslprep, tables};

use super::error::CredentialsError;
use super::secret::Secret;

/// Prepares a user name or a password as a query (RFC 4013 section 2.5): characters that Unicode 3.2 did not
/// have stay as they are.
pub(super) fn prepared(text: &str, part: &'static str) -> Result<Secret, CredentialsError> {
    let mut prepared = String::with_capacity(3 * text.len());
    for piece in pieces(text) {
        match is_unassigned(piece) {
            true => prepared.push_str(piece),
            false => prepared.push_str(&saslprep(piece).map_err(|_| CredentialsError::Prohibited(part))?),
        }
    }
    let prepared = Secret::new(prepared);
    if !keeps_one_direction(prepared.expose()) {
        return Err(CredentialsError::Prohibited(part));
    }
    filled(prepared.expose(), part)?;
    Ok(prepared)
}

/// An identity that the server is to prepare (RFC 4422 section 3.4.1). It is looked at for characters that
/// would end it, and for those that no name has.
pub(super) fn identity<'a>(text: &'a str, part: &'static str) -> Result<&'a str, CredentialsError> {
    filled(text, part)?;
    match text.contains(char::is_control) {
        true => Err(CredentialsError::Prohibited(part)),
        false => Ok(text),
    }
}

/// A token: visible ASCII (RFC 6750 section 2.1 allows less).
pub(super) fn token(text: &str) -> Result<&str, CredentialsError> {
    filled(text, "token")?;
    match text.bytes().all(|octet| octet.is_ascii_graphic()) {
        true => Ok(text),
        false => Err(CredentialsError::Prohibited("token")),
    }
}

/// A name within a message of GS2 (RFC 5801 section 4, RFC 5802 section 5.1).
pub(super) fn saslname(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn filled(text: &str, part: &'static str) -> Result<(), CredentialsError> {
    (!text.is_empty()).then_some(()).ok_or(CredentialsError::Empty(part))
}

/// Runs of characters that Unicode 3.2 had, and of those that it had not. The latter neither compose with their
/// neighbours nor are they mapped, so the runs can be prepared one by one.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let kind = tables::unassigned_code_point(rest.chars().next()?);
        let end = rest.find(|c| tables::unassigned_code_point(c) != kind).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        Some(piece)
    })
}

fn is_unassigned(piece: &str) -> bool {
    piece.chars().next().is_some_and(tables::unassigned_code_point)
}

/// RFC 3454 section 6, for the whole.
fn keeps_one_direction(text: &str) -> bool {
    let to_the_left = |c: Option<char>| c.is_some_and(tables::bidi_r_or_al);
    !text.contains(tables::bidi_r_or_al)
        || (!text.contains(tables::bidi_l)
            && to_the_left(text.chars().next())
            && to_the_left(text.chars().next_back()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prep(text: &str) -> Result<String, CredentialsError> {
        prepared(text, "password").map(|secret| secret.expose().to_owned())
    }

    const PROHIBITED: Result<String, CredentialsError> = Err(CredentialsError::Prohibited("password"));

    #[test]
    fn check_189_the_examples_of_rfc_4013() {
        assert_eq!(prep("I\u{ad}X").as_deref(), Ok("IX"));
        assert_eq!(prep("user").as_deref(), Ok("user"));
        assert_eq!(prep("USER").as_deref(), Ok("USER"));
        assert_eq!(prep("\u{aa}").as_deref(), Ok("a"));
        assert_eq!(prep("\u{2168}").as_deref(), Ok("IX"));
        assert_eq!(prep("\u{7}"), PROHIBITED);
        assert_eq!(prep("\u{627}1"), PROHIBITED);
    }

    #[test]
    fn check_189_what_is_prohibited_fails() {
        for text in
            ["a\0b", "a\r\nb", "\u{7f}", "\u{85}", "\u{e000}", "\u{fffd}", "\u{202e}x", "\u{627}x\u{627}"]
        {
            assert_eq!(prep(text), PROHIBITED, "{text:?}");
        }
    }

    #[test]
    fn check_189_spaces_become_one_kind() {
        assert_eq!(prep("a\u{a0}b\u{3000}c").as_deref(), Ok("a b c"));
    }

    #[test]
    fn check_189_nothing_is_left() {
        assert_eq!(prep(""), Err(CredentialsError::Empty("password")));
        assert_eq!(prep("\u{ad}"), Err(CredentialsError::Empty("password")));
    }

    #[test]
    fn check_189_characters_younger_than_unicode_3_2_stay() {
        assert_eq!(prep("\u{1f600}\u{ad}e\u{301}\u{1f600}").as_deref(), Ok("\u{1f600}\u{e9}\u{1f600}"));
        assert_eq!(prep("\u{1f600}\u{7}"), PROHIBITED);
        assert_eq!(prep("\u{627}\u{1f600}"), PROHIBITED, "both ends have the direction");
        assert_eq!(prep("\u{627}\u{1f600}\u{627}").as_deref(), Ok("\u{627}\u{1f600}\u{627}"));
    }

    #[test]
    fn attack_a39_a_token_cannot_hold_a_separator() {
        for text in ["a\u{1}auth=Bearer b", "a b", "a\n", "é"] {
            assert_eq!(token(text), Err(CredentialsError::Prohibited("token")), "{text:?}");
        }
        assert_eq!(token("ya29.a-_~+/=="), Ok("ya29.a-_~+/=="));
    }

    #[test]
    fn names_are_escaped_for_gs2() {
        assert_eq!(saslname("a,b=c=2C"), "a=2Cb=3Dc=3D2C");
    }
}
