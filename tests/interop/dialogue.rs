//! A dialogue with an SMTP or LMTP server by hand, one line at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const TIMEOUT: Option<Duration> = Some(Duration::from_secs(10));

pub(crate) trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// A connection on which the client has said hello.
pub(crate) struct Dialogue(BufReader<Box<dyn Stream>>);

impl Dialogue {
    pub(crate) fn tcp(address: SocketAddr, hello: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts connections");
        stream.set_read_timeout(TIMEOUT).expect("the timeout is not zero");
        Self::open(Box::new(stream), hello)
    }

    pub(crate) fn unix(path: &Path, hello: &str) -> Self {
        let stream = UnixStream::connect(path).expect("the server accepts connections");
        stream.set_read_timeout(TIMEOUT).expect("the timeout is not zero");
        Self::open(Box::new(stream), hello)
    }

    fn open(stream: Box<dyn Stream>, hello: &str) -> Self {
        let mut dialogue = Self(BufReader::new(stream));
        dialogue.expect("220 ");
        dialogue.say(&format!("{hello} client.example"), "250 ");
        dialogue
    }

    /// Sends a line and reads a reply.
    #[track_caller]
    pub(crate) fn say(&mut self, line: &str, reply: &str) {
        self.send(format!("{line}\r\n").as_bytes());
        self.expect(reply);
    }

    /// Reads a reply and compares the beginning of its last line.
    #[track_caller]
    pub(crate) fn expect(&mut self, reply: &str) {
        let line = self.last_line();
        assert!(line.starts_with(reply), "{line:?} where {reply:?} is expected");
    }

    /// Announces a message without leading dots and sends it.
    #[track_caller]
    pub(crate) fn send_content(&mut self, content: &[u8]) {
        self.say("DATA", "354 ");
        self.send(content);
        self.send(b".\r\n");
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the server reads");
    }

    fn last_line(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("the server replies");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }
}
