//! Octets to replies (RFC 5321 sections 4.2 and 4.5.3.1.5).

use super::input::Input;
use super::machine::SurplusInput;
use super::reply::{Reply, ReplyClass, ReplyCode};

/// How much a server may say in one reply.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ReplyLimits {
    /// Octets of a line, line end included; 12 296, so that a challenge of an authentication fits in
    /// (RFC 4954 section 4). RFC 5321 section 4.5.3.1.5 asks for 512.
    pub line: usize,
    /// Lines of a reply, 1000.
    pub lines: usize,
    /// Octets of a reply, 65 536.
    pub reply: usize,
    /// Octets of a reply's text that an outcome keeps, 2048.
    pub kept_text: usize,
}

impl Default for ReplyLimits {
    fn default() -> Self {
        Self { line: 12_296, lines: 1000, reply: 65_536, kept_text: 2048 }
    }
}

/// Maximum number of surplus replies that are parsed. Further ones would change nothing.
const MAX_SURPLUS: usize = 16;

/// Why octets are not a reply. After any of these the connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// No three digits, or neither space, hyphen nor line end behind them.
    #[error("a line that is not a reply")]
    Malformed,
    /// A line ended by LF alone: what follows might be meant as another reply.
    #[error("a reply line with a bare line feed")]
    BareLineFeed,
    /// The lines of one reply have different codes, and the last one is neither 4yz nor 5yz. A last line with 4yz or 5yz
    /// decides instead, and is no error.
    #[error("a reply with different codes: {0}")]
    MixedCodes(Reply),
    /// More octets in a line than [`ReplyLimits::line`].
    #[error("a reply line that is too long")]
    LineTooLong,
    /// More lines or octets than [`ReplyLimits`] allow.
    #[error("a reply that is too long")]
    ReplyTooLong,
}

/// What came next.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Nothing that is complete.
    Nothing,
    /// A reply of which only the code was asked for.
    Code,
    Reply(Reply),
}

/// What a complete line is.
enum Line<'l> {
    /// One of several.
    Part,
    /// The last of several.
    Last(ReplyCode),
    /// A whole reply.
    Whole(ReplyCode, &'l [u8]),
}

/// Takes complete lines out of a buffer and joins them to replies.
#[derive(Debug)]
pub(crate) struct ReplyParser {
    limits: ReplyLimits,
    /// Octets of the buffer that are known to hold no line feed.
    scanned: usize,
    code: Option<ReplyCode>,
    text: Vec<u8>,
    lines: usize,
    /// Code of each line. Empty until one differs from those before it.
    different: Vec<ReplyCode>,
}

impl ReplyParser {
    pub(crate) fn new(limits: ReplyLimits) -> Self {
        Self { limits, scanned: 0, code: None, text: Vec::new(), lines: 0, different: Vec::new() }
    }

    /// The next complete reply of `input`, which loses the octets that were used.
    pub(crate) fn next(&mut self, input: &mut Input) -> Result<Option<Reply>, ReplyError> {
        match self.hear(input, |_| false)? {
            Heard::Reply(reply) => Ok(Some(reply)),
            Heard::Nothing | Heard::Code => Ok(None),
        }
    }

    /// The next complete reply of `input`, or only that there was one if its code is taken.
    #[inline]
    pub(crate) fn hear(
        &mut self,
        input: &mut Input,
        mut take: impl FnMut(ReplyCode) -> bool,
    ) -> Result<Heard, ReplyError> {
        while let Some(end) = self.line_end(input.rest())? {
            let heard = match self.line(&input.rest()[..end])? {
                Line::Part => {
                    input.advance(end + 1);
                    continue;
                }
                Line::Last(_) if !self.different.is_empty() => Heard::Reply(self.of_different_codes()?),
                Line::Last(code) | Line::Whole(code, _) if take(code) => Heard::Code,
                Line::Last(code) => Heard::Reply(Reply::new(code, &self.text)),
                Line::Whole(code, text) => Heard::Reply(Reply::new(code, text)),
            };
            self.text = Vec::new();
            input.advance(end + 1);
            return Ok(heard);
        }
        Ok(Heard::Nothing)
    }

    /// Takes the input that is left when no reply is due, or returns `None` if there is none.
    pub(crate) fn take_surplus(&mut self, input: &mut Input) -> Option<SurplusInput> {
        if input.is_empty() && !self.is_amid_reply() {
            return None;
        }
        let mut surplus = SurplusInput::default();
        while surplus.codes.len() < MAX_SURPLUS {
            match self.next(input) {
                Ok(Some(reply)) => {
                    surplus.codes.push(reply.code());
                    surplus.notice = Some(reply).filter(|reply| reply.code() == ReplyCode::SERVICE_CLOSING);
                }
                Ok(None) | Err(_) => break,
            }
        }
        surplus.is_garbled = !input.is_empty() || self.is_amid_reply();
        if surplus.codes.is_empty() && self.is_begun_notice(input) {
            surplus.is_begun_notice = true;
            return Some(surplus);
        }
        // an incomplete refusal counts as a refusal
        let class = self.code.map(|code| code.as_u16() / 100).or_else(|| digit(input.rest().first()));
        surplus
            .codes
            .extend(class.filter(|class| matches!(class, 4 | 5)).map(|class| ReplyCode::new(class * 100)));
        Some(surplus)
    }

    /// Builds a reply whose lines have different codes. A refusal in the last line decides, as servers commonly append one
    /// to the lines of another program. Anything else is an error.
    #[cold]
    fn of_different_codes(&mut self) -> Result<Reply, ReplyError> {
        let reply = Reply::of_different_codes(std::mem::take(&mut self.different), &self.text);
        match reply.class() {
            ReplyClass::Transient | ReplyClass::Permanent => Ok(reply),
            // shortened once secrets are taken out of it, which must not be cut before
            _ => Err(ReplyError::MixedCodes(reply)),
        }
    }

    /// Returns `true` if what has begun is 421, by which a server gives notice that it closes the connection (RFC 5321
    /// section 3.8).
    pub(crate) fn is_begun_notice(&self, input: &Input) -> bool {
        match self.code {
            Some(code) => code == ReplyCode::SERVICE_CLOSING,
            None => input.rest().starts_with(b"421"),
        }
    }

    /// Returns the incomplete reply: its code, the text of its complete lines, and the incomplete line, separated by spaces.
    pub(crate) fn partial_reply(&self, input: &Input) -> Vec<u8> {
        let code = self.code.map(|code| code.to_string()).unwrap_or_default();
        let lines = self.text.split(|octet| *octet == b'\n').chain([input.rest()]);
        let parts: Vec<_> =
            [code.as_bytes()].into_iter().chain(lines).filter(|part| !part.is_empty()).collect();
        parts.join(&b' ')
    }

    /// Whether a reply has begun and not ended.
    pub(crate) fn is_amid_reply(&self) -> bool {
        self.code.is_some()
    }

    /// The place of the next line feed.
    #[inline]
    fn line_end(&mut self, input: &[u8]) -> Result<Option<usize>, ReplyError> {
        let found = memchr::memchr(b'\n', &input[self.scanned..]).map(|at| at + self.scanned);
        self.scanned = if found.is_some() { 0 } else { input.len() };
        if found.unwrap_or(input.len()) >= self.limits.line {
            return Err(ReplyError::LineTooLong);
        }
        Ok(found)
    }

    /// Takes in one line, without its LF.
    #[inline]
    fn line<'l>(&mut self, line: &'l [u8]) -> Result<Line<'l>, ReplyError> {
        let line = line.strip_suffix(b"\r").ok_or(ReplyError::BareLineFeed)?;
        let (code, last, text) = split(line).ok_or(ReplyError::Malformed)?;
        if last && self.code.is_none() {
            return self.fits(1, text.len()).map(|()| Line::Whole(code, text));
        }
        self.add(code, text)?;
        if !last {
            return Ok(Line::Part);
        }
        self.code = None;
        self.lines = 0;
        Ok(Line::Last(code))
    }

    /// Takes in one line of several.
    fn add(&mut self, code: ReplyCode, text: &[u8]) -> Result<(), ReplyError> {
        if let Some(before) = self.code.replace(code) {
            self.text.push(b'\n');
            if before != code && self.different.is_empty() {
                self.different = vec![before; self.lines];
            }
        }
        if !self.different.is_empty() {
            self.different.push(code);
        }
        self.text.extend_from_slice(text);
        self.lines += 1;
        self.fits(self.lines, self.text.len())
    }

    #[inline]
    fn fits(&self, lines: usize, octets: usize) -> Result<(), ReplyError> {
        let fits = lines <= self.limits.lines && octets + 6 * lines <= self.limits.reply;
        fits.then_some(()).ok_or(ReplyError::ReplyTooLong)
    }
}

fn digit(octet: Option<&u8>) -> Option<u16> {
    octet.filter(|octet| octet.is_ascii_digit()).map(|octet| u16::from(octet - b'0'))
}

/// Code, whether this is the last line, and text. Bare codes are legal (RFC 5321 section 4.2).
#[inline]
fn split(line: &[u8]) -> Option<(ReplyCode, bool, &[u8])> {
    let (digits, rest) = line.split_first_chunk::<3>()?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let [first, second, third] = digits.map(|digit| u16::from(digit - b'0'));
    let code = ReplyCode::new(first * 100 + second * 10 + third);
    match rest {
        [] => Some((code, true, rest)),
        [b' ', text @ ..] => Some((code, true, text)),
        [b'-', text @ ..] => Some((code, false, text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All replies of `octets`, which arrive in pieces of `size`.
    fn parse_in(octets: &[u8], size: usize) -> Result<Vec<String>, ReplyError> {
        let mut parser = ReplyParser::new(ReplyLimits::default());
        let (mut input, mut replies) = (Input::default(), Vec::new());
        for piece in octets.chunks(size) {
            input.extend_from_slice(piece);
            while let Some(reply) = parser.next(&mut input)? {
                replies.push(reply.to_string());
            }
        }
        Ok(replies)
    }

    fn parse(octets: &[u8]) -> Result<Vec<String>, ReplyError> {
        parse_in(octets, octets.len().max(1))
    }

    #[test]
    fn check_001_text_and_space_are_optional() {
        assert_eq!(parse(b"250\r\n250 \r\n250 ok\r\n").unwrap(), ["250", "250", "250 ok"]);
        assert_eq!(parse(b"250-\r\n250\r\n").unwrap(), ["250- / 250"]);
    }

    #[test]
    fn check_002_lines_of_one_reply_are_one_reply() {
        assert_eq!(
            parse(b"250-a\r\n250-b\r\n250 c\r\n354 d\r\n").unwrap(),
            ["250-a / 250-b / 250 c", "354 d"]
        );
    }

    #[test]
    fn check_003_a_negative_last_line_decides_and_all_lines_are_kept() {
        assert_eq!(parse(b"220-a\r\n521 b\r\n").unwrap(), ["220-a / 521 b"]);
        assert_eq!(parse(b"250-a\r\n250-b\r\n421 c\r\n").unwrap(), ["250-a / 250-b / 421 c"]);
        assert_eq!(
            parse(b"550-a\r\n450-b\r\n450 c\r\n250 d\r\n").unwrap(),
            ["550-a / 450-b / 450 c", "250 d"]
        );
    }

    #[test]
    fn check_003_any_other_last_line_is_a_protocol_error_with_its_text() {
        for reply in ["550-a\n250 b", "250-a\n251 b", "250-a\n550-b\n250 c", "220-a\n354 b", "250-a\n150 b"] {
            let octets = format!("{}\r\n", reply.replace('\n', "\r\n"));
            let error = parse(octets.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, format!("a reply with different codes: {}", reply.replace('\n', " / ")));
        }
        let long = format!("550-{}\r\n250 {}\r\n", "x".repeat(9000), "y".repeat(9000));
        let Err(ReplyError::MixedCodes(reply)) = parse(long.as_bytes()) else { panic!("it is one reply") };
        let shown = reply.shortened(2048).to_string();
        assert!(shown == format!("550 {}", "x".repeat(2048)), "{} characters", shown.len());
        assert_eq!(parse(&b"250-x\r\n251-y\r\n".repeat(501)), Err(ReplyError::ReplyTooLong));
    }

    #[test]
    fn check_003_a_refusal_behind_other_codes_is_never_taken_by_its_code() {
        let (mut parser, mut input) = (ReplyParser::new(ReplyLimits::default()), Input::default());
        input.extend_from_slice(b"250-a\r\n550 b\r\n250 c\r\n");
        assert!(
            matches!(parser.hear(&mut input, |_| true), Ok(Heard::Reply(reply)) if reply.to_string() == "250-a / 550 b")
        );
        assert!(matches!(parser.hear(&mut input, |_| true), Ok(Heard::Code)));
    }

    #[test]
    fn check_010_long_lines_are_read_up_to_the_limit() {
        for length in [511, 2000, 12_294] {
            let line = format!("250 {}\r\n", "x".repeat(length - 6));
            assert_eq!(parse(line.as_bytes()).unwrap().len(), 1, "{length}");
        }
        assert_eq!(parse(&[b"250 ".as_slice(), &[b'x'; 12_292]].concat()), Err(ReplyError::LineTooLong));
    }

    #[test]
    fn check_011_the_whole_reply_is_bounded() {
        assert_eq!(parse(&b"250-x\r\n".repeat(1001)), Err(ReplyError::ReplyTooLong));
        let long = format!("250-{}\r\n", "x".repeat(4000));
        assert_eq!(parse(&long.as_bytes().repeat(17)), Err(ReplyError::ReplyTooLong));
        assert_eq!(parse(&[b"250-x\r\n".repeat(999), b"250 x\r\n".to_vec()].concat()).unwrap().len(), 1);
    }

    #[test]
    fn check_012_a_bare_line_feed_is_no_line_end() {
        assert_eq!(parse(b"250 ok\n550 x\r\n"), Err(ReplyError::BareLineFeed));
        assert_eq!(parse(b"250 a\rb\r\n").unwrap(), ["250 a\\u{d}b"]);
    }

    #[test]
    fn check_013_any_octet_may_stand_in_the_text() {
        assert_eq!(parse(b"550 caf\xE9 \x00 \x1b[31m\r\n").unwrap(), ["550 caf\\xE9 \\u{0} \\u{1b}[31m"]);
    }

    #[test]
    fn attack_a05_banners_of_other_protocols_are_no_replies() {
        for banner in [
            "SSH-2.0-OpenSSH_9.6\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
            "+OK\r\n",
            "\r\n",
            "25\r\n",
            "2505 x\r\n",
        ] {
            assert_eq!(parse(banner.as_bytes()), Err(ReplyError::Malformed), "{banner:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "((250|550|421)[ -]?[a-z\r\u{0}-\u{ff}]{0,12}\r?\n){0,8}", size in 1..9usize) {
            prop_assert_eq!(parse_in(text.as_bytes(), size), parse(text.as_bytes()));
        }

        #[test]
        fn noise_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..400), size in 1..40usize) {
            let _ = parse_in(&octets, size);
        }
    }
}
