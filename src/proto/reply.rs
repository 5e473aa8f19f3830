//! [`Reply`]: what a server said (RFC 5321 section 4.2).

use std::fmt;
use std::sync::Arc;

use crate::escape;
use crate::status::{EnhancedCode, StatusClass};

/// A reply code of three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplyCode(u16);

/// What a reply code means by its first digit; decisions are made by this and by nothing else
/// (RFC 5321 sections 4.2.1 and 4.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "RFC 5321 section 4.2.1 defines four classes")]
pub enum ReplyClass {
    /// `2yz`: done.
    Completed,
    /// `3yz`: go on with the content, or with the next part of an authentication.
    Intermediate,
    /// `4yz`: not now.
    Transient,
    /// `5yz`: not this way.
    Permanent,
    /// A first digit that means nothing.
    Undefined,
}

impl ReplyCode {
    /// The service closes the connection (RFC 5321 section 3.8); may answer any command.
    pub const SERVICE_CLOSING: Self = Self(421);
    /// Go ahead with the content.
    pub const START_CONTENT: Self = Self(354);
    /// The host never takes mail (RFC 7504).
    pub const NO_MAIL_SERVICE: Self = Self(521);

    /// The reply to QUIT (RFC 5321 section 4.1.1.10).
    pub(crate) const CLOSING_CHANNEL: Self = Self(221);

    /// The sequence of commands is wrong.
    pub(crate) const BAD_SEQUENCE: Self = Self(503);

    pub(crate) const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Whether the server does not know the command, or not with its parameters (RFC 5321 section 4.2.4).
    pub(crate) const fn is_unknown_command(self) -> bool {
        matches!(self.0, 500 | 502 | 504)
    }

    /// Whether its class is [`ReplyClass::Completed`].
    pub(crate) const fn is_completed(self) -> bool {
        matches!(self.0, 200..=299)
    }

    /// The number, 0 to 999.
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// The class of the first digit.
    pub const fn class(self) -> ReplyClass {
        match self.0 / 100 {
            2 => ReplyClass::Completed,
            3 => ReplyClass::Intermediate,
            4 => ReplyClass::Transient,
            5 => ReplyClass::Permanent,
            _ => ReplyClass::Undefined,
        }
    }
}

/// Three digits.
impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// A complete reply of a server, all its lines. Cheap to clone.
///
/// The octets are the server's and are not to be trusted; [`Display`](fmt::Display) and [`Reply::text`] give
/// them escaped.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    code: ReplyCode,
    enhanced: Option<EnhancedCode>,
    /// What follows code and separator, lines joined by LF, which cannot stand in a line.
    text: Arc<[u8]>,
}

impl Reply {
    /// A reply from its code and its text, lines joined by LF.
    pub(crate) fn new(code: ReplyCode, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        Self { code, enhanced: enhanced_code(code, text), text: text.into() }
    }

    /// The reply code.
    pub fn code(&self) -> ReplyCode {
        self.code
    }

    /// The class of the reply code.
    pub fn class(&self) -> ReplyClass {
        self.code.class()
    }

    /// The enhanced status code at the start of the text, if its class is that of the reply code
    /// (RFC 2034 section 4). A greeting and the answer to EHLO have none.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The lines as the server sent them, without reply code, separator and line end.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split(|octet| *octet == b'\n')
    }

    /// The lines for people: without enhanced status code, escaped to printable text.
    pub fn text(&self) -> impl Iterator<Item = String> {
        let code = self.enhanced.map(|code| code.to_string());
        self.lines().map(move |line| escape::one_line(without_code(line, code.as_deref())))
    }

    /// The same reply, known to carry no enhanced status code (RFC 2034 section 4: greeting and EHLO).
    pub(crate) fn without_enhanced(self) -> Self {
        Self { enhanced: None, ..self }
    }

    /// The same reply in other words, lines joined by LF; both its codes stay.
    pub(crate) fn with_text(self, text: impl AsRef<[u8]>) -> Self {
        Self { text: text.as_ref().into(), ..self }
    }

    /// Drops what is beyond `max` octets of text, so that kept replies are small.
    pub(crate) fn shortened(self, max: usize) -> Self {
        if self.text.len() <= max {
            return self;
        }
        Self { text: self.text[..max].into(), ..self }
    }
}

/// The whole reply in one line of printable text.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        self.lines()
            .filter(|line| !line.is_empty())
            .try_for_each(|line| write!(f, " {}", escape::one_line(line)))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({self})")
    }
}

/// The first word, if it is an enhanced status code of the class of the reply.
fn enhanced_code(code: ReplyCode, text: &[u8]) -> Option<EnhancedCode> {
    let class = status_class(code.class())?;
    let [digit, b'.', rest @ ..] = text else { return None };
    if *digit != b'0' + class.digit() {
        return None;
    }
    let (subject, rest) = split_number(rest)?;
    let (detail, rest) = split_number(rest.strip_prefix(b".")?)?;
    matches!(rest.first(), None | Some(b' ' | b'\n')).then(|| EnhancedCode::new(class, subject, detail))
}

/// One to three digits, and what comes behind all digits that are there.
fn split_number(text: &[u8]) -> Option<(u16, &[u8])> {
    let length = text.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    let number = |digits: &[u8]| digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    matches!(length, 1..=3).then(|| (number(digits), rest))
}

fn status_class(class: ReplyClass) -> Option<StatusClass> {
    match class {
        ReplyClass::Completed => Some(StatusClass::Success),
        ReplyClass::Transient => Some(StatusClass::Transient),
        ReplyClass::Permanent => Some(StatusClass::Permanent),
        ReplyClass::Intermediate | ReplyClass::Undefined => None,
    }
}

fn without_code<'a>(line: &'a [u8], code: Option<&str>) -> &'a [u8] {
    let rest = code.and_then(|code| line.strip_prefix(code.as_bytes()));
    match rest {
        Some([]) => &[],
        Some([b' ', rest @ ..]) => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply(code: u16, text: &'static str) -> Reply {
        Reply::new(ReplyCode::new(code), text)
    }

    #[test]
    fn check_004_unknown_codes_are_read_by_their_first_digit() {
        let classes = [299, 354, 459, 599, 150, 650, 0, 999].map(|code| ReplyCode::new(code).class());
        use ReplyClass::*;
        assert_eq!(
            classes,
            [Completed, Intermediate, Transient, Permanent, Undefined, Undefined, Undefined, Undefined]
        );
    }

    #[test]
    fn check_157_the_enhanced_code_has_the_class_of_the_reply() {
        let enhanced = |code, text| reply(code, text).enhanced().map(|e| e.to_string());
        assert_eq!(enhanced(550, "5.1.1 no").as_deref(), Some("5.1.1"));
        assert_eq!(enhanced(250, "2.0.0").as_deref(), Some("2.0.0"));
        for (code, text) in
            [(550, "4.2.2 x"), (250, "2.1"), (354, "2.0.0"), (354, "3.0.0"), (550, "5.1.1x no"), (550, "")]
        {
            assert_eq!(enhanced(code, text), None, "{code} {text}");
        }
    }

    proptest! {
        #[test]
        fn check_157_an_enhanced_code_is_one_wherever_it_is_read(
            code in prop::sample::select(vec![250, 354, 450, 550, 150]),
            text in "[245]?\\.?[0-9]{0,4}\\.?[0-9]{0,4}[ x\n.]{0,2}",
        ) {
            let word = text.split([' ', '\n']).next().and_then(EnhancedCode::parse);
            let wanted = word.filter(|word| status_class(ReplyCode::new(code).class()) == Some(word.class()));
            prop_assert_eq!(Reply::new(ReplyCode::new(code), text).enhanced(), wanted);
        }
    }

    #[test]
    fn check_004_what_is_completed_is_of_that_class() {
        let differs = |code: &ReplyCode| code.is_completed() != (code.class() == ReplyClass::Completed);
        assert_eq!((0..1000).map(ReplyCode::new).find(differs), None);
    }

    #[test]
    fn text_is_without_codes() {
        let lines = |text| reply(550, text).text().collect::<Vec<_>>();
        assert_eq!(lines("5.1.1 a\n5.1.1 b\nc\n5.1.1"), ["a", "b", "c", ""]);
        assert_eq!(lines("4.1.1 a"), ["4.1.1 a"]);
    }

    #[test]
    fn attack_a19_display_is_one_line() {
        assert_eq!(reply(550, "a\x1b[31m\nb\r").to_string(), "550 a\\u{1b}[31m b\\u{d}");
    }

    #[test]
    fn check_288_kept_text_is_bounded() {
        assert_eq!(reply(550, "0123456789").shortened(4).to_string(), "550 0123");
    }
}
