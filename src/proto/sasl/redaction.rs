//! What is left out of replies and traces: secrets, in every form in which a server could repeat them.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

use super::credentials::Credentials;
use super::prepare::prepared;
use super::secret::SecretOctets;
use crate::proto::reply::Reply;

/// What stands in the place of a secret.
const MASK: &str = "***";
/// Characters of base64 below which a part of a longer text says nothing.
const MIN_PART: usize = 4;

/// Octets that are not to be kept. [`Debug`](fmt::Debug) shows none of them.
#[derive(Clone, Default)]
pub(crate) struct Redaction(Vec<SecretOctets>);

impl Redaction {
    /// For the password or the token: as it is, as SASLprep makes it, and as base64, also within the base64 of
    /// something longer.
    pub(crate) fn of(credentials: &Credentials) -> Self {
        let mut redaction = Self::default();
        let Some(secret) = credentials.secret() else { return redaction };
        redaction.add_secret(secret.expose().as_bytes());
        if let Ok(prepared) = prepared(secret.expose(), "secret") {
            redaction.add_secret(prepared.expose().as_bytes());
        }
        redaction
    }

    fn add_secret(&mut self, secret: &[u8]) {
        self.add(secret);
        self.add(STANDARD.encode(secret).as_bytes());
        (0..3).for_each(|shift| self.add_part(secret, shift));
    }

    /// What base64 makes of the secret where `shift` octets, up to a multiple of three, stand before it and others
    /// behind it: characters that depend on those are left out.
    fn add_part(&mut self, secret: &[u8], shift: usize) {
        let filled = SecretOctets::join(&[&[0; 2][..shift], secret]);
        let text = SecretOctets::from(STANDARD.encode(&filled).into_bytes());
        let part = text.get((8 * shift).div_ceil(6)..8 * filled.len() / 6);
        if let Some(part) = part.filter(|part| part.len() >= MIN_PART) {
            self.add(part);
        }
    }

    /// Everything that another one leaves out, too.
    pub(crate) fn extend(&mut self, other: &Self) {
        other.0.iter().for_each(|text| self.add(text));
    }

    /// Text that is not to be kept as it is.
    pub(crate) fn add(&mut self, text: &[u8]) {
        if text.is_empty() || self.0.iter().any(|known| **known == *text) {
            return;
        }
        self.0.push(SecretOctets::join(&[text]));
        // a longer one first, so that no end of it stays when a shorter one is taken out
        self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
    }

    /// The reply with `***` in the place of what is not to be kept. To be done before a reply is shortened.
    pub(crate) fn reply(&self, reply: Reply) -> Reply {
        if self.0.is_empty() {
            return reply;
        }
        let text = reply.lines().collect::<Vec<_>>().join(&b'\n');
        match self.text(&text) {
            Cow::Borrowed(_) => reply,
            Cow::Owned(text) => reply.with_text(text),
        }
    }

    /// Returns `true` if there is nothing to be taken out.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with `***` in the place of what is not to be kept.
    pub(crate) fn text<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        self.0.iter().fold(Cow::Borrowed(text), |text, secret| {
            let clean = memmem::find(&text, secret).is_none();
            if clean { text } else { Cow::Owned(without(&text, secret)) }
        })
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redaction(***)")
    }
}

fn without(text: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    let mut begin = 0;
    for at in memmem::find_iter(text, secret) {
        clean.extend_from_slice(&text[begin..at]);
        clean.extend_from_slice(MASK.as_bytes());
        begin = at + secret.len();
    }
    clean.extend_from_slice(&text[begin..]);
    clean
}

/// A line that the client sends in an authentication, without line end, as a trace may show it: `AUTH PLAIN ***`,
/// `***`. What holds nothing is shown as it is: `AUTH EXTERNAL =`, `*`, the empty line.
pub(crate) fn shown_line(line: &str) -> String {
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some(verb), Some(mechanism), rest) if verb.eq_ignore_ascii_case("AUTH") => match rest {
            None => format!("{verb} {mechanism}"),
            Some(response) => format!("{verb} {mechanism} {}", masked(response)),
        },
        _ => masked(line).to_owned(),
    }
}

fn masked(response: &str) -> &str {
    if matches!(response, "" | "=" | "*") { response } else { MASK }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ReplyCode;
    use proptest::prelude::*;

    fn redacted(redaction: &Redaction, text: &str) -> String {
        let reply = Reply::new(ReplyCode::new(535), text);
        redaction.reply(reply).to_string()
    }

    #[test]
    fn attack_a20_secrets_and_their_base64_are_taken_out() {
        let redaction = Redaction::of(&Credentials::password("u", "s3cr3t-Pa55/word"));
        let encoded = STANDARD.encode("s3cr3t-Pa55/word");
        let text = format!("5.7.8 <s3cr3t-Pa55/word>\n{encoded} no");
        assert_eq!(redacted(&redaction, &text), "535-5.7.8 <***> / 535 *** no");
    }

    #[test]
    fn attack_a20_a_prepared_password_is_taken_out_too() {
        let redaction = Redaction::of(&Credentials::password("u", "hun\u{ad}ter"));
        assert_eq!(redacted(&redaction, "hunter hun\u{ad}ter"), "535 *** ***");
    }

    #[test]
    fn attack_a20_the_enhanced_code_stays_whatever_the_password_is() {
        let redaction = Redaction::of(&Credentials::password("u", "5"));
        let reply = redaction.reply(Reply::new(ReplyCode::new(535), "5.7.8 no 5"));
        assert_eq!(reply.enhanced().map(|code| code.to_string()).as_deref(), Some("5.7.8"));
        assert_eq!(reply.to_string(), "535 ***.7.8 no ***");
    }

    #[test]
    fn attack_a20_of_two_texts_the_longer_is_taken_out_first() {
        let mut redaction = Redaction::default();
        redaction.add(b"secret");
        redaction.add(b"secretary");
        assert_eq!(redacted(&redaction, "secretary"), "535 ***");
    }

    #[test]
    fn check_201_debug_shows_nothing() {
        let redaction = Redaction::of(&Credentials::bearer("ya29"));
        assert_eq!(format!("{redaction:?}"), "Redaction(***)");
    }

    #[test]
    fn check_201_lines_of_a_trace() {
        for (line, shown) in [
            ("AUTH PLAIN AGEAYg==", "AUTH PLAIN ***"),
            ("AUTH LOGIN", "AUTH LOGIN"),
            ("AUTH EXTERNAL =", "AUTH EXTERNAL ="),
            ("AGEAYg==", "***"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(shown_line(line), shown);
        }
    }

    proptest! {
        #[test]
        fn attack_a20_base64_of_something_longer_keeps_nothing_of_the_secret(
            before in "[ -~]{0,9}", secret in "[ -~]{6,20}", behind in "[ -~]{0,9}"
        ) {
            let redaction = Redaction::of(&Credentials::password("u", secret.clone()));
            let text = STANDARD.encode(format!("{before}{secret}{behind}"));
            let kept = redaction.text(text.as_bytes()).into_owned();
            prop_assert!(kept.len() <= text.len() - secret.len() + 3, "{}", String::from_utf8_lossy(&kept));
        }
    }
}
