//! [`MimeHeaders`]: finds the headers of a message and of its parts, line by line (RFC 2045, RFC 2046).

/// Maximum length of a boundary in bytes (RFC 2046 section 5.1.1). A multipart with a longer one is not examined.
const MAX_BOUNDARY: usize = 70;
/// Maximum length of a delimiter line without trailing blanks, in bytes: two hyphens, the boundary, two hyphens.
const MAX_DELIMITER: usize = MAX_BOUNDARY + 4;
/// Maximum depth of nested multiparts. Deeper ones are not examined.
const MAX_DEPTH: usize = 50;
/// Maximum number of bytes of a header line that are read (RFC 5322 section 2.1.1).
const MAX_LINE: usize = 998;
/// Maximum number of bytes of a field with its continuation lines that are read.
const MAX_FIELD: usize = 4096;
/// Initial capacity for a header line, in bytes.
const USUAL_LINE: usize = 128;

/// Media types with a body that begins with a header (RFC 2046 section 5.2, RFC 6532 section 3.7, RFC 5537 section 2.3).
const MESSAGES: [&[u8]; 4] =
    [b"message/rfc822", b"message/global", b"message/news", b"message/external-body"];

/// Finds UTF-8 beyond ASCII in the header of a message and of its parts at any depth (RFC 6531 section 3.4).
///
/// Lines come in pieces that may end anywhere. In a body only the delimiters of the enclosing multiparts are examined.
#[derive(Debug, Default)]
pub(super) struct MimeHeaders {
    section: Section,
    line: PartialLine,
    header: Header,
    /// Enclosing multiparts, outermost first.
    open: Vec<Multipart>,
    has_utf8: bool,
}

/// Section of the message that the current line belongs to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Section {
    #[default]
    Header,
    /// A body inside a multipart.
    Body,
    /// The rest of the message, which has no further header to examine.
    Rest,
}

/// Header of the message or of a part, as far as it has been read.
#[derive(Debug, Default)]
struct Header {
    /// `true` for the header of a part. It ends at the first line that is not a field.
    is_part: bool,
    /// `true` in a digest, whose parts are messages by default (RFC 2046 section 5.1.5).
    is_in_digest: bool,
    has_bytes_above_127: bool,
    is_invalid_utf8: bool,
    field: Option<Field>,
    body: Option<BodyKind>,
    /// `true` if the body is in base64 or quoted-printable, so that nothing in it is a header.
    is_encoded: bool,
}

/// Header field; only the values that are needed are kept.
#[derive(Debug)]
enum Field {
    ContentType(Vec<u8>),
    TransferEncoding(Vec<u8>),
    Other,
}

/// Kind of body that a Content-Type announces.
#[derive(Debug, PartialEq, Eq)]
enum BodyKind {
    Multipart(Multipart),
    /// An embedded message, which begins with a header.
    Message,
    Leaf,
}

#[derive(Debug, PartialEq, Eq)]
struct Multipart {
    boundary: Vec<u8>,
    is_digest: bool,
}

/// The pieces of the current line that have been read.
#[derive(Debug, Default)]
struct PartialLine {
    /// Its beginning, up to the limit of its section.
    start: Vec<u8>,
    /// `true` if anything but blanks follows the beginning.
    has_text_beyond: bool,
    /// `true` if it cannot be a delimiter.
    is_no_delimiter: bool,
    has_bytes_above_127: bool,
    utf8: Utf8Check,
}

impl MimeHeaders {
    /// Handles a piece of the current line, without its line end.
    #[inline]
    pub(super) fn text(&mut self, text: &[u8]) {
        match self.section {
            Section::Rest => {}
            Section::Body => self.line.add_to_delimiter(text),
            Section::Header => self.line.add_to_field(text),
        }
    }

    /// Handles the end of the current line.
    #[inline]
    pub(super) fn end_line(&mut self) {
        match self.section {
            Section::Rest => {}
            Section::Body if self.line.is_no_delimiter => self.line.is_no_delimiter = false,
            Section::Body => self.end_body_line(),
            Section::Header => self.end_header_line(),
        }
    }

    /// Handles the end of the message. Returns `true` if a header had UTF-8 beyond ASCII.
    pub(super) fn finish(mut self) -> bool {
        if self.section == Section::Header && !self.line.start.is_empty() {
            self.end_header_line();
        }
        if self.section == Section::Header {
            self.end_header();
        }
        self.has_utf8
    }

    fn end_body_line(&mut self) {
        if let Some((index, is_last)) = self.delimiter() {
            self.pass_delimiter(index, is_last);
        }
        self.line.clear();
    }

    fn end_header_line(&mut self) {
        self.read_header_line();
        self.line.clear();
    }

    fn read_header_line(&mut self) {
        if self.line.start.is_empty() {
            return self.begin_body();
        }
        if let Some((index, is_last)) = self.delimiter() {
            self.end_header();
            return self.pass_delimiter(index, is_last);
        }
        let is_field = self.header.read(&self.line.start);
        if !is_field && self.header.is_part {
            return self.begin_body();
        }
        self.header.has_bytes_above_127 |= self.line.has_bytes_above_127;
        self.header.is_invalid_utf8 |= !self.line.utf8.is_valid();
    }

    /// Returns the index of the multipart that the current line delimits, and `true` if the line ends it.
    fn delimiter(&self) -> Option<(usize, bool)> {
        let line = self.line.start.strip_prefix(b"--").filter(|_| !self.line.has_text_beyond)?;
        let line = line.trim_ascii_end();
        let fits = |multipart: &Multipart| match line.strip_prefix(&multipart.boundary[..])? {
            b"" => Some(false),
            b"--" => Some(true),
            _ => None,
        };
        let mut innermost_first = self.open.iter().enumerate().rev();
        innermost_first.find_map(|(index, multipart)| Some((index, fits(multipart)?)))
    }

    /// Leaves the multiparts inside the delimited one. Then its next part begins, or its epilogue.
    fn pass_delimiter(&mut self, index: usize, is_last: bool) {
        self.open.truncate(index + usize::from(!is_last));
        let is_in_digest = self.open.last().is_some_and(|multipart| multipart.is_digest);
        match is_last {
            true => self.begin_leaf(),
            false => self.begin_header(is_in_digest),
        }
    }

    /// Ends a header, and begins the body that it describes.
    fn begin_body(&mut self) {
        let header = self.end_header();
        let default = if header.is_in_digest { BodyKind::Message } else { BodyKind::Leaf };
        match header.body.unwrap_or(default) {
            BodyKind::Multipart(multipart) if self.open.len() < MAX_DEPTH => {
                self.open.push(multipart);
                self.begin_leaf();
            }
            BodyKind::Message if !header.is_encoded => self.begin_header(false),
            BodyKind::Multipart(_) | BodyKind::Message | BodyKind::Leaf => self.begin_leaf(),
        }
    }

    fn end_header(&mut self) -> Header {
        self.header.end_field();
        let header = std::mem::take(&mut self.header);
        self.has_utf8 |= header.has_bytes_above_127 && !header.is_invalid_utf8;
        header
    }

    fn begin_header(&mut self, is_in_digest: bool) {
        self.header = Header { is_part: true, is_in_digest, ..Header::default() };
        // no further header needs to be examined once one has UTF-8
        self.section = if self.has_utf8 { Section::Rest } else { Section::Header };
    }

    fn begin_leaf(&mut self) {
        let may_be_delimited = !self.open.is_empty() && !self.has_utf8;
        self.section = if may_be_delimited { Section::Body } else { Section::Rest };
    }
}

impl Header {
    /// Reads a line. Returns `false` if it is neither a field nor the continuation of one.
    fn read(&mut self, line: &[u8]) -> bool {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return self.field.as_mut().map(|field| field.add(line)).is_some();
        }
        let Some((name, value)) = split_field(line) else { return false };
        self.end_field();
        self.field = Some(Field::new(name, value));
        true
    }

    /// Evaluates the current field, which is complete. The first Content-Type counts.
    fn end_field(&mut self) {
        match self.field.take() {
            Some(Field::ContentType(value)) if self.body.is_none() => {
                self.body = Some(body_kind(&value));
            }
            Some(Field::TransferEncoding(value)) => self.is_encoded |= is_encoded(&value),
            _ => {}
        }
    }
}

impl Field {
    fn new(name: &[u8], value: &[u8]) -> Self {
        if name.eq_ignore_ascii_case(b"content-type") {
            return Self::ContentType(value.to_vec());
        }
        match name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            true => Self::TransferEncoding(value.to_vec()),
            false => Self::Other,
        }
    }

    fn add(&mut self, line: &[u8]) {
        if let Self::ContentType(value) | Self::TransferEncoding(value) = self {
            let room = MAX_FIELD.saturating_sub(value.len());
            value.extend_from_slice(&line[..line.len().min(room)]);
        }
    }
}

impl PartialLine {
    fn add_to_delimiter(&mut self, text: &[u8]) {
        let Some(first) = text.first().filter(|_| !self.is_no_delimiter) else { return };
        if self.start.is_empty() && *first != b'-' {
            self.is_no_delimiter = true;
            return;
        }
        self.keep(text, MAX_DELIMITER);
    }

    fn add_to_field(&mut self, text: &[u8]) {
        self.has_bytes_above_127 |= !text.is_ascii();
        if self.has_bytes_above_127 {
            self.utf8.add(text);
        }
        if self.start.capacity() == 0 {
            self.start.reserve(USUAL_LINE);
        }
        self.keep(text, MAX_LINE);
    }

    fn keep(&mut self, text: &[u8], max: usize) {
        let room = max.saturating_sub(self.start.len()).min(text.len());
        let (kept, beyond) = text.split_at(room);
        self.start.extend_from_slice(kept);
        self.has_text_beyond |= !beyond.trim_ascii().is_empty();
    }

    fn clear(&mut self) {
        self.start.clear();
        self.has_text_beyond = false;
        self.is_no_delimiter = false;
        if std::mem::take(&mut self.has_bytes_above_127) {
            self.utf8 = Utf8Check::default();
        }
    }
}

/// Returns name and value of a field (RFC 5322 section 2.2). Blanks before the colon are allowed (section 4.5).
fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at(memchr::memchr(b':', line)?);
    let name = name.trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then_some((name, &value[1..]))
}

fn is_encoded(value: &[u8]) -> bool {
    let word = value.trim_ascii().split(|octet| matches!(octet, b' ' | b'\t' | b';' | b'(')).next();
    word.is_some_and(|word| {
        word.eq_ignore_ascii_case(b"base64") || word.eq_ignore_ascii_case(b"quoted-printable")
    })
}

/// Reads a Content-Type (RFC 2045 section 5.1).
fn body_kind(value: &[u8]) -> BodyKind {
    let end = value.iter().position(|octet| matches!(octet, b';' | b'('));
    let (media_type, parameters) = value.split_at(end.unwrap_or(value.len()));
    let media_type = media_type.trim_ascii();
    if MESSAGES.iter().any(|message| media_type.eq_ignore_ascii_case(message)) {
        return BodyKind::Message;
    }
    let is_multipart = media_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    match boundary(parameters).filter(|_| is_multipart) {
        Some(boundary) if (1..=MAX_BOUNDARY).contains(&boundary.len()) => {
            let is_digest = media_type.eq_ignore_ascii_case(b"multipart/digest");
            BodyKind::Multipart(Multipart { boundary, is_digest })
        }
        _ => BodyKind::Leaf,
    }
}

/// Returns the value of the parameter `boundary` without trailing blanks, which a delimiter line does not preserve.
fn boundary(parameters: &[u8]) -> Option<Vec<u8>> {
    let mut rest = parameters;
    loop {
        rest = &rest[memchr::memchr(b';', rest)? + 1..];
        let end = memchr::memchr2(b'=', b';', rest)?;
        let (name, behind) = rest.split_at(end);
        if behind.starts_with(b";") {
            rest = behind;
            continue;
        }
        let (value, behind) = parameter_value(behind[1..].trim_ascii_start());
        if name.trim_ascii().eq_ignore_ascii_case(b"boundary") {
            return Some(value.trim_ascii_end().to_vec());
        }
        rest = behind;
    }
}

/// Reads a token or a quoted string, and returns it with the rest of the text.
fn parameter_value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|octet| matches!(octet, b';' | b' ' | b'\t' | b'('));
        let (token, behind) = text.split_at(end.unwrap_or(text.len()));
        return (token.to_vec(), behind);
    };
    let mut value = Vec::new();
    let mut octets = quoted.iter();
    while let Some(octet) = octets.next() {
        match octet {
            b'"' => break,
            b'\\' => value.extend(octets.next()),
            _ => value.push(*octet),
        }
    }
    (value, octets.as_slice())
}

/// Checks that bytes are valid UTF-8. They may come in pieces.
#[derive(Debug, Default)]
struct Utf8Check {
    /// Bytes of a character that the next piece may complete.
    begun: Vec<u8>,
    broken: bool,
}

impl Utf8Check {
    fn add(&mut self, piece: &[u8]) {
        if self.broken || (self.begun.is_empty() && piece.is_ascii()) {
            return;
        }
        self.begun.extend_from_slice(piece);
        match std::str::from_utf8(&self.begun) {
            Ok(_) => self.begun.clear(),
            Err(error) if error.error_len().is_none() => drop(self.begun.drain(..error.valid_up_to())),
            Err(_) => self.broken = true,
        }
    }

    fn is_valid(&self) -> bool {
        !self.broken && self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::content_facts::ContentScan;

    /// Returns `true` if a text, with LF for its line ends, has UTF-8 in a header.
    fn has_utf8_header(text: &str) -> bool {
        in_pieces(text.replace('\n', "\r\n").as_bytes(), usize::MAX)
    }

    fn in_pieces(content: &[u8], size: usize) -> bool {
        let mut scan = ContentScan::default();
        content.chunks(size).for_each(|piece| scan.add(piece).unwrap());
        scan.finish().unwrap().utf8_header
    }

    /// Returns a message with this boundary parameter and this body.
    fn multipart(boundary: &str, text: &str) -> String {
        format!("Subject: x\nContent-Type: multipart/mixed; {boundary}\n\n{text}")
    }

    #[test]
    fn check_139_the_header_of_a_part_is_examined() {
        for text in [
            "--b\nContent-Type: text/plain; name=\"Gr\u{fc}\u{df}e\"\n\nx\n--b--\n",
            "preamble\n--b\n\nx\n--b  \t\nA: x\nB: \u{fc}\n\nx\n--b--\n",
            "--b\nA: x\n folded \u{fc}\n\nx\n",
            "--b\nA: \u{fc}\n--b--\n",
            "--b\nA: \u{fc}",
        ] {
            assert!(has_utf8_header(&multipart("boundary=b", text)), "{text:?}");
        }
    }

    #[test]
    fn check_140_bytes_of_bodies_preambles_and_epilogues_are_no_header() {
        for text in [
            "--b\nContent-Type: text/plain\n\nA: \u{fc}\n--c\nB: \u{fc}\n\n--b--\n",
            "P: \u{fc}\n\nP: \u{fc}\n--b\n\nx\n--b--\nE: \u{fc}\n\nE: \u{fc}\n--b\nE: \u{fc}\n",
            // a part without a header
            "--b\nno field \u{fc}\nA: \u{fc}\n\n--b--\n",
            "--b\n folded \u{fc}\n--b--\n",
            "--b\nGr\u{fc}\u{df}e: x\n\n--b--\n",
            "-- b\nA: \u{fc}\n--bb\nA: \u{fc}\n---b\nA: \u{fc}\n--b x\nA: \u{fc}\n --b\nA: \u{fc}\n--B\nA: \u{fc}\n",
        ] {
            assert!(!has_utf8_header(&multipart("boundary=b", text)), "{text:?}");
        }
        assert!(!has_utf8_header("Subject: x\n\n--b\nA: \u{fc}\n"), "no multipart");
        assert!(!has_utf8_header("Content-Type: text/plain; boundary=b\n\n--b\nA: \u{fc}\n"), "no multipart");
    }

    #[test]
    fn check_141_a_header_of_a_part_that_is_no_utf8_does_not_count() {
        let part = |header: &[u8]| {
            let start = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
            in_pieces(&[start, header, b"\r\n\r\nx\r\n--b--\r\n"].concat(), usize::MAX)
        };
        assert!(part("A: \u{fc}".as_bytes()));
        assert!(!part(b"A: \xfc"));
        assert!(!part("A: \u{fc}\r\nB: \u{fc}".as_bytes().strip_suffix(b"\xbc").unwrap()));
        // another header of the same message does
        assert!(part("A: \u{fc}\r\n\r\nx\r\n--b\r\nA: ".as_bytes()));
        assert!(!in_pieces(b"A: \xc3\r\nB: \xbc\r\n\r\n", usize::MAX), "a character ends with its line");
    }

    #[test]
    fn check_139_parts_in_parts_and_messages_in_parts_are_examined() {
        let nested = |inner: &str, part: &str| {
            multipart("boundary=a", &format!("--a\nContent-Type: {inner}\n\n{part}\n--a--\n"))
        };
        for (inner, part) in [
            ("multipart/alternative; boundary=b", "--b\nA: \u{fc}\n\nx\n--b--"),
            ("MESSAGE/RFC822", "Subject: \u{fc}\n\nx"),
            ("message/global (comment)", "Subject: \u{fc}\n\nx"),
            ("message/rfc822", "Content-Type: message/rfc822\n\nSubject: \u{fc}\n\nx"),
            ("message/rfc822", "Content-Type: multipart/mixed; boundary=b\n\n--b\nA: \u{fc}\n\n--b--"),
            ("multipart/digest; boundary=b", "--b\n\nSubject: \u{fc}\n\nx\n--b--"),
            // the delimiter of an outer multipart ends the inner ones
            ("multipart/mixed; boundary=b", "--b\n\nx\n--a\nA: \u{fc}\n\nx"),
            ("multipart/mixed; boundary=b", "--b\n\nx\n--b--\nx\n--a\nA: \u{fc}\n\nx"),
        ] {
            assert!(has_utf8_header(&nested(inner, part)), "{inner} {part:?}");
        }
        for (inner, part) in [
            ("message/rfc822", "Subject: x\n\nA: \u{fc}"),
            ("message/rfc822\nContent-Transfer-Encoding: Base64", "Subject: \u{fc}\n\nx"),
            ("text/rfc822-headers", "Subject: \u{fc}\n\nx"),
            ("multipart/digest; boundary=b", "--b\nContent-Type: text/plain\n\nSubject: \u{fc}\n\nx\n--b--"),
            ("multipart/mixed; boundary=b", "--b\n\nx\n--b--\nA: \u{fc}\n--b\nA: \u{fc}"),
        ] {
            assert!(!has_utf8_header(&nested(inner, part)), "{inner} {part:?}");
        }
        assert!(has_utf8_header("Content-Type: message/rfc822\n\nSubject: \u{fc}\n"));
    }

    #[test]
    fn check_139_boundaries_are_read_in_every_form() {
        let found = |parameters: &str, boundary: &str| {
            has_utf8_header(&multipart(parameters, &format!("--{boundary}\nA: \u{fc}\n\n")))
        };
        let (longest, too_long) = ("x".repeat(70), "x".repeat(71));
        for (parameters, boundary) in [
            ("boundary=b", "b"),
            ("charset=\"a;boundary=c\"; BOUNDARY = \"b\"; x=y", "b"),
            ("flag; boundary=b (comment)", "b"),
            ("\n\tboundary=\"a b\"", "a b"),
            ("boundary=\"a\\\"b\\\\c \"", "a\"b\\c"),
            ("boundary=\"=_--b--\"", "=_--b--"),
            ("boundary=b; boundary=c", "b"),
            (&format!("boundary={longest}"), &longest),
        ] {
            assert!(found(parameters, boundary), "{parameters}");
        }
        for (parameters, boundary) in
            [("", ""), ("boundary=", ""), ("boundary=\"\"", ""), (&format!("boundary={too_long}"), &too_long)]
        {
            assert!(!found(parameters, boundary), "{parameters}");
        }
        // of two fields the first counts
        let twice =
            "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n\n--b\nA: \u{fc}\n\n";
        assert!(!has_utf8_header(twice));
    }

    #[test]
    fn check_139_the_scan_is_bounded() {
        let nest = |depth: usize| {
            let open = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
            let text = (0..depth).map(open).collect::<String>();
            has_utf8_header(&format!("{text}A: \u{fc}\n\n"))
        };
        assert!(nest(50));
        assert!(!nest(51));
        let padded =
            |count: usize| multipart(&format!("{}boundary=b", "x=y; ".repeat(count)), "--b\nA: \u{fc}\n");
        assert!(has_utf8_header(&padded(100)));
        assert!(!has_utf8_header(&padded(1000)));
        let folded =
            |count: usize| multipart(&format!("{}boundary=b", "x=y;\n ".repeat(count)), "--b\nA: \u{fc}\n");
        assert!(has_utf8_header(&folded(700)));
        assert!(!has_utf8_header(&folded(10_000)));
        let blanks = multipart("boundary=b", &format!("--b{}\nA: \u{fc}\n", " ".repeat(5000)));
        assert!(has_utf8_header(&blanks));
    }

    /// A part of a message.
    #[derive(Debug, Clone)]
    struct Part {
        header: &'static str,
        /// Its header has UTF-8.
        has_utf8: bool,
        body: Body,
    }

    #[derive(Debug, Clone)]
    enum Body {
        Text(String),
        Message(Box<Part>),
        Parts(Vec<Part>),
    }

    impl Part {
        fn has_utf8_header(&self) -> bool {
            let below = match &self.body {
                Body::Text(_) => false,
                Body::Message(message) => message.has_utf8_header(),
                Body::Parts(parts) => parts.iter().any(Self::has_utf8_header),
            };
            self.has_utf8 || below
        }

        fn write(&self, depth: usize, text: &mut String) {
            text.push_str(self.header);
            let boundary = format!("=_{depth}");
            match &self.body {
                Body::Text(body) => {
                    text.push_str("Content-Type: text/plain\r\n\r\n");
                    text.push_str(body);
                }
                Body::Message(message) => {
                    text.push_str("Content-Type: message/rfc822\r\n\r\n");
                    message.write(depth + 1, text);
                }
                Body::Parts(parts) => {
                    text.push_str(&format!(
                        "Content-Type: multipart/mixed;\r\n boundary=\"{boundary}\"\r\n\r\n"
                    ));
                    for part in parts {
                        text.push_str(&format!("\r\n--{boundary}\r\n"));
                        part.write(depth + 1, text);
                    }
                    text.push_str(&format!("\r\n--{boundary}--\r\nepilogue: \u{fc}\r\n"));
                }
            }
        }
    }

    fn part() -> impl Strategy<Value = Part> {
        let header = prop::sample::select(vec![
            ("", false),
            ("A: x\r\n", false),
            ("A: x\r\n y\r\n", false),
            ("A: \u{fc}\r\n", true),
            ("A: x\r\n \u{1f600}\r\n", true),
        ]);
        // mostly ASCII, so that a header decides
        let header = (prop::bool::weighted(0.2), header)
            .prop_map(|(any, header)| if any { header } else { ("A: x\r\n", false) });
        let text = "(A: \u{fc}\r\n|--\u{fc}\r\n|x|\r\n|--=_9\r\n|Content-Type: multipart/mixed; boundary=x\r\n){0,6}";
        let leaf = (header.clone(), text).prop_map(|((header, has_utf8), text)| Part {
            header,
            has_utf8,
            body: Body::Text(text),
        });
        leaf.prop_recursive(4, 12, 3, move |inner| {
            let body = prop_oneof![
                inner.clone().prop_map(|message| Body::Message(Box::new(message))),
                prop::collection::vec(inner, 1..4).prop_map(Body::Parts),
            ];
            (header.clone(), body).prop_map(|((header, has_utf8), body)| Part { header, has_utf8, body })
        })
    }

    proptest! {
        #[test]
        fn check_139_140_headers_at_every_level_count_and_bodies_do_not(part in part(), size in 1..90usize) {
            let mut text = String::new();
            part.write(0, &mut text);
            prop_assert_eq!(in_pieces(text.as_bytes(), usize::MAX), part.has_utf8_header(), "{}", text);
            prop_assert_eq!(in_pieces(text.as_bytes(), size), part.has_utf8_header(), "{}", text);
        }

        #[test]
        fn check_139_pieces_do_not_matter(
            content in "(Content-Type: multipart/mixed; boundary=b\r\n|Content-Type: message/rfc822\r\n|--b|-|--|b| |\t|\r\n|\r\n|\u{fc}|A: |x){0,40}",
            size in 1..9usize,
        ) {
            prop_assert_eq!(in_pieces(content.as_bytes(), size), in_pieces(content.as_bytes(), usize::MAX));
        }
    }
}
