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
    /// Code of each line, if they differ.
    line_codes: Option<Arc<Vec<ReplyCode>>>,
}

impl Reply {
    /// A reply from its code and its text, lines joined by LF.
    pub(crate) fn new(code: ReplyCode, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        Self { code, enhanced: enhanced_code(code, text), text: text.into(), line_codes: None }
    }

    /// Builds a reply whose lines have different codes. The last code decides. The enhanced status code is that of the first
    /// line with the deciding code.
    pub(crate) fn of_different_codes(codes: Vec<ReplyCode>, text: &[u8]) -> Self {
        let code = codes.last().copied().unwrap_or(ReplyCode::new(0));
        let mut deciding = codes.iter().zip(text.split(is_line_feed)).filter(|(own, _)| **own == code);
        let enhanced = deciding.next().and_then(|(_, line)| enhanced_code(code, line));
        Self { code, enhanced, text: text.into(), line_codes: Some(Arc::new(codes)) }
    }

    /// Returns the reply code. If the lines have different codes, that of the last line.
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
        self.text.split(is_line_feed)
    }

    /// Returns the lines as the server sent them, each with its reply code and separator, escaped to printable text:
    /// `550-5.7.1 first`, `550 5.7.1 last`.
    pub fn wire_lines(&self) -> impl Iterator<Item = String> {
        let mut lines = self.lines().enumerate().peekable();
        std::iter::from_fn(move || {
            let (index, line) = lines.next()?;
            let (code, line) = (self.line_code(index), escape::one_line(line));
            Some(match (lines.peek().is_some(), line.is_empty()) {
                (true, _) => format!("{code}-{line}"),
                (false, false) => format!("{code} {line}"),
                (false, true) => code.to_string(),
            })
        })
    }

    fn line_code(&self, index: usize) -> ReplyCode {
        let different = self.line_codes.as_ref().and_then(|codes| codes.get(index));
        different.copied().unwrap_or(self.code)
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

    /// Keeps at most `max` bytes of text. If a refusal begins with lines of different codes, its last lines, which have the
    /// deciding code, take precedence.
    pub(crate) fn shortened(self, max: usize) -> Self {
        if self.text.len() <= max {
            return self;
        }
        match &self.line_codes {
            Some(codes) if matches!(self.class(), ReplyClass::Transient | ReplyClass::Permanent) => {
                self.with_deciding_lines(codes, max)
            }
            _ => Self { text: self.text[..max].into(), ..self },
        }
    }

    /// Keeps the last lines with the deciding code, and as much of the beginning as fits into `max` bytes.
    fn with_deciding_lines(&self, codes: &[ReplyCode], max: usize) -> Self {
        let is_deciding = |code: &&ReplyCode| **code == self.code;
        let deciding = codes.iter().rev().take_while(is_deciding).count();
        let ends_before = memchr::memrchr_iter(b'\n', &self.text).nth(deciding.saturating_sub(1));
        let tail = &self.text[ends_before.map_or(0, |end| end + 1)..];
        let Some(room) = max.checked_sub(tail.len() + 1) else {
            return Self { text: tail[..tail.len().min(max)].into(), line_codes: None, ..self.clone() };
        };
        let head = &self.text[..room];
        let head_lines = head.split(is_line_feed).count();
        let line_codes = [&codes[..head_lines], &codes[codes.len() - deciding..]].concat();
        let text = [head, tail].join(&b'\n').into();
        Self { text, line_codes: Some(Arc::new(line_codes)), ..self.clone() }
    }
}

fn is_line_feed(octet: &u8) -> bool {
    *octet == b'\n'
}

/// Writes the whole reply in one line of printable text: `550 5.7.1 no`, or `550-5.7.1 no / 550 5.7.1 never` if it has
/// several lines.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        self.wire_lines().try_for_each(|line| {
            write!(f, "{separator}{line}")?;
            separator = " / ";
            Ok(())
        })
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
        assert_eq!(reply(550, "a\x1b[31m\nb\r").to_string(), "550-a\\u{1b}[31m / 550 b\\u{d}");
    }

    fn mixed(lines: &[(u16, &str)]) -> Reply {
        let codes = lines.iter().map(|(code, _)| ReplyCode::new(*code)).collect();
        let text = lines.iter().map(|(_, text)| *text).collect::<Vec<_>>().join("\n");
        Reply::of_different_codes(codes, text.as_bytes())
    }

    #[test]
    fn check_002_each_line_is_shown_with_its_code_and_separator() {
        let lines = |reply: Reply| reply.wire_lines().collect::<Vec<_>>();
        assert_eq!(lines(reply(550, "5.7.1 a\n\n5.7.1 b")), ["550-5.7.1 a", "550-", "550 5.7.1 b"]);
        assert_eq!(lines(reply(550, "a\n")), ["550-a", "550"]);
        assert_eq!(lines(reply(250, "")), ["250"]);
        assert_eq!(lines(mixed(&[(220, "mx ESMTP"), (521, "blocked")])), ["220-mx ESMTP", "521 blocked"]);
    }

    #[test]
    fn check_003_the_enhanced_code_is_that_of_a_line_with_the_deciding_code() {
        let enhanced = |lines: &[(u16, &str)]| mixed(lines).enhanced().map(|code| code.to_string());
        assert_eq!(enhanced(&[(250, "2.1.5 ok"), (550, "5.1.1 no")]).as_deref(), Some("5.1.1"));
        assert_eq!(enhanced(&[(550, "5.7.1 a"), (450, "4.2.0 b"), (550, "c")]).as_deref(), Some("5.7.1"));
        assert_eq!(enhanced(&[(550, "5.7.1 a"), (450, "4.2.0 b"), (554, "c")]), None);
        let text: Vec<_> = mixed(&[(250, "2.1.5 ok"), (550, "5.1.1 no")]).text().collect();
        assert_eq!(text, ["2.1.5 ok", "no"]);
    }

    #[test]
    fn check_003_288_shortening_keeps_the_lines_that_decide() {
        let lines = [(220, "0123456789"), (220, "abcdefghij"), (521, "why"), (521, "so")];
        let shown = |max| mixed(&lines).shortened(max).to_string();
        assert_eq!(shown(28), "220-0123456789 / 220-abcdefghij / 521-why / 521 so");
        assert_eq!(shown(20), "220-0123456789 / 220-ab / 521-why / 521 so");
        assert_eq!(shown(12), "220-01234 / 521-why / 521 so");
        assert_eq!(shown(7), "220- / 521-why / 521 so");
        assert_eq!(shown(6), "521-why / 521 so");
        assert_eq!(shown(5), "521-why / 521 s");
        assert_eq!(shown(0), "521");
        let error = mixed(&[(550, "no such user"), (250, "ok")]).shortened(14);
        assert_eq!(error.to_string(), "550-no such user / 250 o");
    }

    #[test]
    fn check_288_kept_text_is_bounded() {
        assert_eq!(reply(550, "0123456789").shortened(4).to_string(), "550 0123");
    }
}
