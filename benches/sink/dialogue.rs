//! [`Dialogue`]: octets in, replies out.

use bytes::{Buf, BytesMut};
use memchr::{memchr, memmem};

const OK: &[u8] = b"250 2.0.0 ok\r\n";
const END: &[u8] = b"\r\n.\r\n";

/// One connection's SMTP or LMTP, whichever the client greets with. Nothing is refused, and content is not looked at.
#[derive(Debug)]
pub(super) struct Dialogue {
    lmtp: bool,
    capabilities: String,
    awaited: Awaited,
    recipients: usize,
    pub(super) replies: Vec<u8>,
    pub(super) messages: u64,
    /// Whether the client said QUIT, or STARTTLS.
    pub(super) ending: Option<Ending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Quit,
    StartTls,
}

#[derive(Debug, Clone, Copy)]
enum Awaited {
    Command,
    Content,
    Chunk { left: usize, last: bool },
}

impl Dialogue {
    pub(super) fn new(keywords: &[&str]) -> Self {
        let lines = ["sink.example", "PIPELINING", "8BITMIME", "SIZE 4294967296", "ENHANCEDSTATUSCODES"];
        let lines: String = lines.iter().chain(keywords).map(|line| format!("250-{line}\r\n")).collect();
        Self {
            lmtp: false,
            capabilities: format!("{lines}250 HELP\r\n"),
            awaited: Awaited::Command,
            recipients: 0,
            replies: Vec::new(),
            messages: 0,
            ending: None,
        }
    }

    /// Takes all that is complete.
    pub(super) fn take(&mut self, input: &mut BytesMut) {
        while self.ending.is_none() && self.step(input) {}
    }

    /// Whether there was enough for a step.
    fn step(&mut self, input: &mut BytesMut) -> bool {
        match self.awaited {
            Awaited::Command => self.line(input),
            Awaited::Content => self.content(input),
            Awaited::Chunk { left, last } => self.chunk(input, left, last),
        }
    }

    fn line(&mut self, input: &mut BytesMut) -> bool {
        let Some(end) = memchr(b'\n', input) else { return false };
        let line = input.split_to(end + 1);
        self.command(&line);
        true
    }

    fn command(&mut self, line: &[u8]) {
        match line.first_chunk().unwrap_or(b"    ") {
            b"MAIL" => self.recipients = 0,
            b"RCPT" => self.recipients += 1,
            verb @ (b"EHLO" | b"LHLO") => {
                self.lmtp = verb == b"LHLO";
                return self.replies.extend_from_slice(self.capabilities.as_bytes());
            }
            b"DATA" => {
                self.awaited = Awaited::Content;
                return self.replies.extend_from_slice(b"354 go\r\n");
            }
            b"BDAT" => {
                self.awaited = chunk(line);
                return;
            }
            b"STAR" => self.ending = Some(Ending::StartTls),
            b"QUIT" => self.ending = Some(Ending::Quit),
            _ => {}
        }
        self.replies.extend_from_slice(OK);
    }

    /// Drops content up to its end, but for what may be the beginning of the end.
    fn content(&mut self, input: &mut BytesMut) -> bool {
        let Some(end) = memmem::find(input, END) else {
            input.advance(input.len().saturating_sub(END.len() - 1));
            return false;
        };
        input.advance(end + END.len());
        self.taken();
        true
    }

    fn chunk(&mut self, input: &mut BytesMut, left: usize, last: bool) -> bool {
        let here = left.min(input.len());
        input.advance(here);
        self.awaited = Awaited::Chunk { left: left - here, last };
        if here < left {
            return false;
        }
        self.awaited = Awaited::Command;
        if last {
            self.taken();
        } else {
            self.replies.extend_from_slice(OK);
        }
        true
    }

    fn taken(&mut self) {
        self.awaited = Awaited::Command;
        self.messages += 1;
        let replies = if self.lmtp { self.recipients } else { 1 };
        (0..replies).for_each(|_| self.replies.extend_from_slice(OK));
    }
}

/// What follows `BDAT 1024 LAST`.
fn chunk(line: &[u8]) -> Awaited {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_whitespace().skip(1);
    let left = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    Awaited::Chunk { left, last: words.next().is_some() }
}
