//! [`Ledger`]: what a scripted dialogue says of the envelope.

use std::collections::VecDeque;

use super::command::{self, Chunk};
use super::record::Received;

/// A command whose reply is still to come.
#[derive(Debug)]
enum Awaited {
    Mail(String),
    Recipient(String),
    Other,
}

/// Ties the replies to the commands, in their order (RFC 2920 section 3.1).
#[derive(Debug, Default)]
pub(super) struct Ledger {
    awaited: VecDeque<Awaited>,
    reverse_path: String,
    recipients: Vec<String>,
    chunks: Vec<u8>,
    chunk: Option<Chunk>,
}

impl Ledger {
    /// The client sent this line.
    pub(super) fn command(&mut self, line: &[u8]) {
        self.chunk = Chunk::parse(line).filter(|_| command::verb(line) == "BDAT");
        let path = command::path(line);
        self.awaited.push_back(match (command::verb(line).as_str(), path) {
            ("MAIL", Some(path)) => Awaited::Mail(path),
            ("RCPT", Some(path)) => Awaited::Recipient(path),
            _ => Awaited::Other,
        });
    }

    /// The server sent these octets.
    pub(super) fn replies(&mut self, octets: &[u8]) {
        octets.split_inclusive(|octet| *octet == b'\n').for_each(|line| self.reply(line));
    }

    fn reply(&mut self, line: &[u8]) {
        let [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', after, ..] = line else { return };
        if *after == b'-' {
            return;
        }
        let awaited = self.awaited.pop_front();
        if line[0] == b'2' {
            self.accepted(awaited);
        }
    }

    fn accepted(&mut self, awaited: Option<Awaited>) {
        match awaited {
            Some(Awaited::Mail(path)) => {
                self.reverse_path = path;
                self.recipients.clear();
                self.chunks.clear();
            }
            Some(Awaited::Recipient(path)) => self.recipients.push(path),
            Some(Awaited::Other) | None => {}
        }
    }

    /// The client sent octets that are no line; with the last chunk they make a message.
    pub(super) fn octets(&mut self, octets: &[u8]) -> Option<Received> {
        let chunk = self.chunk.take()?;
        self.chunks.extend_from_slice(octets);
        let content = chunk.last.then(|| std::mem::take(&mut self.chunks))?;
        Some(self.received(content))
    }

    /// Octets of chunks that are no message yet.
    pub(super) fn pending(&self) -> usize {
        self.chunks.len()
    }

    /// The client sent content.
    pub(super) fn content(&mut self, content: Vec<u8>) -> Received {
        self.awaited.push_back(Awaited::Other);
        self.received(content)
    }

    fn received(&self, content: Vec<u8>) -> Received {
        Received { reverse_path: self.reverse_path.clone(), recipients: self.recipients.clone(), content }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelined_replies_find_their_recipients() {
        let mut ledger = Ledger::default();
        ledger.replies(b"220 mx.example\r\n");
        for line in ["MAIL FROM:<a@x.example>", "RCPT TO:<b@x.example>", "RCPT TO:<c@x.example>", "DATA"] {
            ledger.command(line.as_bytes());
        }
        ledger.replies(b"250 ok\r\n550-no\r\n550 no\r\n250 ok\r\n354 go\r\n");
        let received = ledger.content(b"x\r\n".to_vec());
        assert_eq!(received.reverse_path, "a@x.example");
        assert_eq!(received.recipients, ["c@x.example"]);
    }

    #[test]
    fn chunks_add_up_to_a_message() {
        let mut ledger = Ledger::default();
        ledger.command(b"BDAT 3");
        assert!(ledger.octets(b"abc").is_none());
        ledger.command(b"BDAT 2 LAST");
        assert_eq!(ledger.octets(b"de").unwrap().content, b"abcde");
    }
}
