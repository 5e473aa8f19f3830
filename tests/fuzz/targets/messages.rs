//! Messages: facts, and the way through DATA and BDAT to an independent reader.
//!
//! An input is a byte of settings, a byte that divides the content, and the content.

use bytes::Bytes;
use memchr::memmem;
use nexthop::mail::{ContentFacts, MessageError};
use nexthop::transport::{Session, SessionSettings};
use nexthop::{ClientName, Envelope, FailureKind, Message, Outcome, Protocol};

use super::commands;
use super::dialogue::{Dialogue, Replies};
use super::trace::Trace;
use super::wire::{Record, Release, Script, Wire};

/// Bytes of the largest chunk.
const CHUNK: usize = 1024 * 1024;
/// Bytes of a content that is repeated until it needs several chunks.
const MANY: usize = 2 * CHUNK + 1000;

/// How a message is made, and sent.
#[derive(Debug, Clone, Copy)]
struct Setup {
    protocol: Protocol,
    is_text: bool,
    is_binary: bool,
    chunking: bool,
    has_header: bool,
    is_large: bool,
    is_pipelined: bool,
    divisor: u8,
}

/// Checks a message, and sends it.
pub(crate) fn messages(input: &[u8]) -> Trace {
    let mut trace = Trace::new();
    let [first, divisor, content @ ..] = input else { return trace };
    let setup = Setup::new(*first, *divisor);
    let content = setup.enlarged(content);
    trace.add([*first]);
    let wanted = if setup.is_text { with_crlf(&content) } else { content.clone() };
    let is_sound = setup.is_binary || !has_bare_line_end(&wanted);
    let message = match setup.message(&content) {
        Ok(message) => message,
        Err(error) => {
            assert!(!is_sound, "{error}: {}", content.escape_ascii());
            trace.add("refused");
            return trace;
        }
    };
    assert!(is_sound, "accepted: {}", content.escape_ascii());
    let (message, wanted) = if setup.has_header { with_header(&message, wanted) } else { (message, wanted) };
    assert_eq!(stored(&message), wanted, "the message is not what was given");
    check_facts(message.facts(), &wanted, setup.is_binary);
    let facts = message.facts();
    trace.add(format!("{} {} {} {}", facts.eight_bit, facts.nul, facts.utf8_header, facts.ends_line));
    setup.send(&message, wanted, &mut trace);
    trace
}

impl Setup {
    fn new(first: u8, divisor: u8) -> Self {
        let has = |bit: u8| first & 1 << bit != 0;
        Self {
            protocol: if has(0) { Protocol::Lmtp } else { Protocol::Smtp },
            is_text: has(1) && !has(2),
            is_binary: has(2),
            chunking: has(3),
            has_header: has(4),
            is_pipelined: has(5),
            // costly, and hardly ever of use
            is_large: first == 0xc8 && divisor == 0x11,
            divisor,
        }
    }

    fn enlarged(&self, content: &[u8]) -> Vec<u8> {
        match self.is_large && !content.is_empty() {
            true => content.iter().copied().cycle().take(MANY + content.len()).collect(),
            false => content.to_vec(),
        }
    }

    fn message(&self, content: &[u8]) -> Result<Message, MessageError> {
        if self.is_binary {
            return Ok(Message::from_binary(content.to_vec()));
        }
        if self.is_text {
            return Message::from_text(content);
        }
        let whole = Message::from_bytes(content.to_vec());
        let divided = Message::from_segments(self.segments(content));
        match (&whole, &divided) {
            (Ok(whole), Ok(divided)) => {
                assert_eq!(whole.facts(), divided.facts(), "segments change the facts")
            }
            (whole, divided) => assert_eq!(whole.is_ok(), divided.is_ok(), "segments change the message"),
        }
        divided
    }

    /// Parts of sizes that follow from the divisor.
    fn segments(&self, content: &[u8]) -> Vec<Bytes> {
        let (mut segments, mut rest, mut size) = (Vec::new(), content, usize::from(self.divisor));
        while !rest.is_empty() {
            size = if content.len() > CHUNK { 1 + size * 7919 % 300_000 } else { (size * 7 + 3) % 41 };
            let (segment, behind) = rest.split_at(size.min(rest.len()));
            segments.push(Bytes::copy_from_slice(segment));
            rest = behind;
        }
        segments
    }

    fn send(&self, message: &Message, wanted: Vec<u8>, trace: &mut Trace) {
        let is_binary = self.is_binary || wanted.contains(&0);
        let wanted = with_last_line_end(wanted, self.is_binary);
        let chunks = wanted.len().div_ceil(CHUNK).max(1);
        let (outcome, record) = self.hold(message, chunks);
        if is_binary && !self.chunking {
            let kind = outcome.failure().map(nexthop::Failure::kind);
            assert_eq!(kind, Some(FailureKind::Unsupported), "binary content goes by BDAT only: {outcome}");
            return;
        }
        assert!(outcome.is_delivered(), "{outcome}");
        let replies: Vec<u8> =
            record.released.iter().flat_map(|released| released.bytes.iter().copied()).collect();
        let replies = Replies::read(&replies);
        let dialogue = Dialogue::read(self.protocol, &record.written, &replies.all);
        commands::check(&dialogue.lines);
        let [content] = &dialogue.contents[..] else {
            panic!("there is one transaction: {:?}", dialogue.lines)
        };
        assert!(content.end.is_some(), "the content has no end");
        assert_eq!(content.bytes, wanted, "another content arrived");
        assert!(!has_lone_dot(&content.stuffed), "a line with a dot alone");
        if self.chunking {
            let sizes = content.chunks.iter();
            assert!(sizes.clone().all(|size| *size <= CHUNK), "a chunk is too large");
            assert_eq!(sizes.sum::<usize>(), wanted.len(), "chunks have another size in all");
        }
        let mail = String::from_utf8_lossy(dialogue.lines[1]).into_owned();
        let facts = message.facts();
        assert!(mail.contains(&format!(" SIZE={}", facts.size)), "{mail}");
        assert_eq!(mail.contains(" BODY=BINARYMIME"), is_binary, "{mail}");
        assert_eq!(mail.contains(" BODY=8BITMIME"), facts.eight_bit && !is_binary, "{mail}");
        assert_eq!(mail.contains(" SMTPUTF8"), facts.utf8_header, "{mail}");
        trace.add(format!("{}", content.chunks.len()));
    }

    /// Sends to a server that takes everything.
    fn hold(&self, message: &Message, chunks: usize) -> (Outcome, Record) {
        let extension = |is_offered, line: &str| if is_offered { line.to_owned() } else { String::new() };
        let chunking = extension(self.chunking, "250-CHUNKING\r\n250-BINARYMIME\r\n");
        let pipelining = extension(self.is_pipelined, "250-PIPELINING\r\n");
        let hello = format!("250-x\r\n{chunking}{pipelining}250-SMTPUTF8\r\n250-SIZE\r\n250 8BITMIME\r\n");
        let mut replies = vec!["220 x\r\n".to_owned(), hello];
        let ok = || "250 ok\r\n".to_owned();
        let go = || "354 go\r\n".to_owned();
        match (self.is_pipelined, self.chunking) {
            (true, true) => replies.push(ok() + &ok()),
            (true, false) => replies.push(ok() + &ok() + &go()),
            (false, true) => replies.extend([ok(), ok()]),
            (false, false) => replies.extend([ok(), ok(), go()]),
        }
        match (self.is_pipelined, self.chunking) {
            (true, true) => replies.push(ok().repeat(chunks)),
            (false, true) => replies.extend((0..chunks).map(|_| ok())),
            (_, false) => replies.push(ok()),
        }
        let release = |reply: String| Release { pieces: vec![reply.into_bytes()], ..Release::default() };
        let releases = replies.into_iter().map(release).collect();
        let write_step = if self.is_large { 0 } else { usize::from(self.divisor) };
        let wire = Wire::new(Script { releases, closes: true, write_step, appetite: 0 });
        let settings = SessionSettings::new(ClientName::parse("client.example").expect("a name"));
        let envelope = Envelope::new("s@example.net").expect("a path").to("r0@x.example").expect("a path");
        let outcomes = wire.run(async {
            let session = Session::open(wire.clone(), self.protocol, settings).await;
            session.expect("the server greets").send(&envelope, message).await
        });
        (outcomes.into_iter().next().expect("one recipient has one outcome"), wire.into_record())
    }
}

/// Puts a header in front.
fn with_header(message: &Message, wanted: Vec<u8>) -> (Message, Vec<u8>) {
    const HEADER: &[u8] = b"Received: by x.example;\r\n\tThu, 1 Jan 2026 00:00:00 +0000\r\n";
    let message = message.with_header(HEADER).expect("it is a header");
    (message, [HEADER, &wanted].concat())
}

/// Reads a message as a store does.
fn stored(message: &Message) -> Vec<u8> {
    let (mut reader, mut bytes) = (message.reader(), Vec::new());
    let wire = Wire::new(Script::default());
    wire.run(async {
        while let Some(piece) = reader.next().await.expect("it is in memory") {
            assert!(!piece.is_empty() && piece.len() <= CHUNK);
            bytes.extend_from_slice(&piece);
        }
    });
    bytes
}

/// Every LF without CR becomes CRLF.
fn with_crlf(content: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in content {
        if *byte == b'\n' && text.last() != Some(&b'\r') {
            text.push(b'\r');
        }
        text.push(*byte);
    }
    text
}

fn has_bare_line_end(content: &[u8]) -> bool {
    (0..content.len()).any(|place| match content[place] {
        b'\r' => content.get(place + 1) != Some(&b'\n'),
        b'\n' => place == 0 || content[place - 1] != b'\r',
        _ => false,
    })
}

fn with_last_line_end(mut content: Vec<u8>, is_binary: bool) -> Vec<u8> {
    if !content.is_empty() && !content.ends_with(b"\r\n") && !is_binary {
        content.extend_from_slice(b"\r\n");
    }
    content
}

/// Returns `true` if a server that takes LF or CR for a line end would find the end of the content.
fn has_lone_dot(stuffed: &[u8]) -> bool {
    stuffed.split(|byte| matches!(byte, b'\r' | b'\n')).any(|line| line == b".")
}

fn check_facts(facts: &ContentFacts, content: &[u8], is_binary: bool) {
    assert_eq!(facts.size, content.len() as u64, "size");
    assert_eq!(facts.eight_bit, content.iter().any(|byte| *byte > 127), "8-bit");
    assert_eq!(facts.nul, content.contains(&0), "NUL");
    assert_eq!(facts.binary, is_binary, "binary");
    let (mut longest, mut line) = (0, 0);
    for (place, byte) in content.iter().enumerate() {
        line += 1;
        if *byte == b'\n' && place > 0 && content[place - 1] == b'\r' {
            longest = longest.max(line - 2);
            line = 0;
        }
    }
    assert_eq!(facts.ends_line, line == 0, "the end of the last line");
    assert_eq!(facts.longest_line, longest.max(line), "the longest line");
    assert!(!facts.utf8_header || facts.eight_bit, "UTF-8 is 8-bit");
    // a message may begin with its body
    let framed = [b"\r\n", content].concat();
    let header_end = memmem::find(&framed, b"\r\n\r\n").unwrap_or(content.len());
    let header = std::str::from_utf8(&content[..header_end]);
    // in binary content it is open what ends a line
    let is_plain = is_binary || content.is_ascii() || header.is_err();
    assert!(!content.is_ascii() || !facts.utf8_header, "ASCII needs no SMTPUTF8");
    assert!(
        is_plain || !header.is_ok_and(|header| !header.is_ascii()) || facts.utf8_header,
        "UTF-8 in the header"
    );
}

/// Parts of messages.
pub(crate) const TOKENS: &[&[u8]] = &[
    b"Subject: x\r\n\r\n",
    b"\r\n",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r\n.",
    b"..",
    b".",
    b"\r",
    b"\n",
    b"\r\r\n",
    b"\0",
    b"\xc3\xbc",
    b"\xff",
    b"MAIL FROM:<a@b>\r\n",
    b"QUIT\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Type: multipart/digest; boundary=\"b\"\r\n\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"--b\r\n",
    b"--b--\r\n",
    b"\r\n--b\r\nSubject: \xc3\xbc\r\n\r\n",
    b"\t",
    b" folded\r\n",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];
