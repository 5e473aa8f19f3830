//! An independent reader of both directions of a connection: replies, commands and content, as a strict server has them.

use memchr::memmem;
use nexthop::Protocol;

/// A complete reply, and where it stands in the stream of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// Texts of the lines, separated by LF.
    pub(super) text: Vec<u8>,
    pub(super) begin: usize,
    pub(super) end: usize,
}

impl Reply {
    pub(super) fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.code / 100, 4 | 5)
    }
}

/// Replies at the beginning of a stream, and what follows them.
#[derive(Debug, Default)]
pub(super) struct Replies {
    pub(super) all: Vec<Reply>,
    /// Whether a line follows that is no reply, or a reply with different codes that is no refusal.
    pub(super) is_broken: bool,
    /// Whether other bytes follow.
    pub(super) has_rest: bool,
}

impl Replies {
    pub(super) fn read(stream: &[u8]) -> Self {
        let mut replies = Self::default();
        let (mut begin, mut at) = (0, 0);
        let mut lines: Vec<(u16, &[u8])> = Vec::new();
        while let Some(length) = stream[at..].iter().position(|byte| *byte == b'\n') {
            let Some((code, is_last, text)) = reply_line(&stream[at..at + length]) else {
                replies.is_broken = true;
                return replies;
            };
            at += length + 1;
            lines.push((code, text));
            if !is_last {
                continue;
            }
            let is_mixed = lines.iter().any(|(other, _)| *other != code);
            if is_mixed && !matches!(code / 100, 4 | 5) {
                replies.is_broken = true;
                return replies;
            }
            let texts: Vec<&[u8]> = lines.drain(..).map(|(_, text)| text).collect();
            replies.all.push(Reply { code, text: texts.join(&b'\n'), begin, end: at });
            begin = at;
        }
        replies.has_rest = begin < stream.len();
        replies
    }
}

fn reply_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let line = line.strip_suffix(b"\r")?;
    let code = std::str::from_utf8(line.get(..3)?).ok()?;
    let code = code.bytes().all(|digit| digit.is_ascii_digit()).then(|| code.parse().ok())??;
    match line.get(3) {
        None => Some((code, true, &[])),
        Some(b' ') => Some((code, true, &line[4..])),
        Some(b'-') => Some((code, false, &line[4..])),
        Some(_) => None,
    }
}

/// What a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Greeting,
    Mail,
    /// RCPT for the recipient of this number.
    Rcpt(usize),
    Data,
    /// A chunk that is not the last.
    Chunk,
    /// The content, for all recipients.
    Content,
    /// The content, for the recipient of this number.
    ContentFor(usize),
    Other,
}

/// Something that is answered by one reply, and the number of bytes of the client up to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) asked: Asked,
    pub(super) end: usize,
    /// Number of the transaction, counted from 1; 0 before the first one.
    pub(super) transaction: usize,
}

/// Content of one transaction.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// Bytes between DATA and the dot, as they were sent.
    pub(super) stuffed: Vec<u8>,
    /// Number of bytes of the client up to the end of the content, if it came.
    pub(super) end: Option<usize>,
    /// Numbers of the recipients that had been accepted by then.
    pub(super) accepted: Vec<usize>,
    pub(super) chunks: Vec<usize>,
}

/// The dialogue as the server sees it. The reply of a step has the same index.
#[derive(Debug)]
pub(super) struct Dialogue<'a> {
    protocol: Protocol,
    written: &'a [u8],
    at: usize,
    replies: &'a [Reply],
    pub(super) steps: Vec<Step>,
    pub(super) lines: Vec<&'a [u8]>,
    /// One for each MAIL.
    pub(super) contents: Vec<Content>,
    /// Steps of RCPT in the current transaction.
    rcpts: Vec<(usize, usize)>,
}

impl<'a> Dialogue<'a> {
    pub(super) fn read(protocol: Protocol, written: &'a [u8], replies: &'a [Reply]) -> Self {
        let mut dialogue = Self {
            protocol,
            written,
            at: 0,
            replies,
            steps: vec![Step { asked: Asked::Greeting, end: 0, transaction: 0 }],
            lines: Vec::new(),
            contents: Vec::new(),
            rcpts: Vec::new(),
        };
        while let Some(line) = dialogue.line() {
            dialogue.lines.push(line);
            dialogue.command(line);
        }
        dialogue
    }

    /// Returns the reply to a step.
    pub(super) fn reply(&self, step: usize) -> Option<&'a Reply> {
        self.replies.get(step)
    }

    /// Returns the steps of a transaction with their indexes.
    pub(super) fn of(&self, transaction: usize) -> impl Iterator<Item = (usize, Step)> {
        self.steps.iter().copied().enumerate().filter(move |(_, step)| step.transaction == transaction)
    }

    /// Number of replies that are due once the client has written so many bytes.
    pub(super) fn due(&self, written: usize) -> usize {
        self.steps.iter().filter(|step| step.end <= written).count()
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = &self.written[self.at..];
        let end = memmem::find(rest, b"\r\n")?;
        self.at += end + 2;
        Some(&rest[..end])
    }

    fn expect(&mut self, asked: Asked) {
        self.steps.push(Step { asked, end: self.at, transaction: self.contents.len() });
    }

    fn command(&mut self, line: &[u8]) {
        let is = |verb: &[u8]| line.len() >= verb.len() && line[..verb.len()].eq_ignore_ascii_case(verb);
        if is(b"MAIL FROM:<") {
            self.contents.push(Content::default());
            self.rcpts.clear();
            self.expect(Asked::Mail);
        } else if is(b"RCPT TO:<") {
            let number = self.rcpts.len();
            self.rcpts.push((number_of(line).unwrap_or(number), self.steps.len()));
            self.expect(Asked::Rcpt(number_of(line).unwrap_or(number)));
        } else if line == b"DATA" {
            self.expect(Asked::Data);
            if self.reply(self.steps.len() - 1).is_some_and(|reply| reply.code == 354) {
                self.data();
            }
        } else if is(b"BDAT ") {
            self.bdat(line);
        } else {
            self.expect(Asked::Other);
        }
    }

    fn data(&mut self) {
        let rest = &self.written[self.at..];
        let framed = [b"\r\n", rest].concat();
        let end = memmem::find(&framed, b"\r\n.\r\n");
        let stuffed = end.map_or(rest, |end| &rest[..end]);
        let content = self.contents.last_mut().expect("DATA follows MAIL");
        content.stuffed = stuffed.to_vec();
        content.bytes = unstuffed(stuffed);
        self.at += end.map_or(rest.len(), |end| end + 3);
        if end.is_some() {
            self.end_content();
        }
    }

    fn bdat(&mut self, line: &[u8]) {
        let text = std::str::from_utf8(&line[5..]).expect("BDAT is ASCII");
        let (size, is_last) = text.strip_suffix(" LAST").map_or((text, false), |size| (size, true));
        let size: usize = size.parse().expect("BDAT has a size");
        let rest = &self.written[self.at..];
        let content = self.contents.last_mut().expect("BDAT follows MAIL");
        content.bytes.extend_from_slice(&rest[..size.min(rest.len())]);
        content.chunks.push(size);
        self.at += size.min(rest.len());
        match (rest.len() < size, is_last) {
            // it is not complete
            (true, _) => {}
            (false, true) => self.end_content(),
            (false, false) => self.expect(Asked::Chunk),
        }
    }

    fn end_content(&mut self) {
        let replies = self.replies;
        let is_accepted = |step: usize| replies.get(step).is_some_and(Reply::is_positive);
        let accepted: Vec<usize> =
            self.rcpts.iter().filter(|(_, step)| is_accepted(*step)).map(|(number, _)| *number).collect();
        let content = self.contents.last_mut().expect("content follows MAIL");
        content.end = Some(self.at);
        content.accepted.clone_from(&accepted);
        match self.protocol {
            Protocol::Lmtp => accepted.into_iter().for_each(|number| self.expect(Asked::ContentFor(number))),
            _ => self.expect(Asked::Content),
        }
    }
}

/// Reads `RCPT TO:<r5@…`.
fn number_of(line: &[u8]) -> Option<usize> {
    let rest = std::str::from_utf8(line).ok()?.strip_prefix("RCPT TO:<r")?;
    rest.split_once('@')?.0.parse().ok()
}

/// Removes the first of the dots that begin a line.
fn unstuffed(stuffed: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(stuffed.len());
    let mut is_at_line = true;
    for (index, byte) in stuffed.iter().enumerate() {
        if !(is_at_line && *byte == b'.') {
            content.push(*byte);
        }
        is_at_line = stuffed[..=index].ends_with(b"\r\n");
    }
    content
}
