//! [`Wire`]: a connection as lines, content and chunks, each written down.

use std::io::ErrorKind;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use memchr::memchr;

use crate::escape::one_line;

use super::content::ContentReader;
use super::identity::ServerIdentity;
use super::limits::Limits;
use super::record::Record;
use super::stream::Stream;

/// Octets read from the socket at once.
const READ: usize = 8 * 1024;
/// Octets of the header of a TLS record.
const RECORD_HEADER: usize = 5;

/// Why a client is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It left, or the connection broke.
    Left,
    /// More octets than the limits allow.
    TooLong,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    input: BytesMut,
    output: Vec<u8>,
    record: Arc<Record>,
    connection: usize,
    limits: Limits,
}

impl Wire {
    pub(super) fn new(stream: Stream, record: Arc<Record>, connection: usize, limits: Limits) -> Self {
        Self { stream, input: BytesMut::new(), output: Vec::new(), record, connection, limits }
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn connection(&self) -> usize {
        self.connection
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the client sent more than was read.
    pub(super) fn has_more(&self) -> bool {
        !self.input.is_empty()
    }

    /// Whether the connection is in TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// Waits for a handshake. Without one, the error is the reason, and the connection is still in the clear.
    pub(super) async fn secure(mut self, identity: &ServerIdentity) -> (Self, Result<(), String>) {
        self.note_sent(b"<tls>");
        self.flush().await;
        let (stream, handshake) = self.stream.secure(identity, self.connection + 1).await;
        let wire = Self { stream, ..self };
        let secured = handshake.map(|handshake| wire.record.handshake(handshake));
        let secured = secured.map_err(|error| one_line(error.to_string().as_bytes()));
        if let Err(why) = &secured {
            wire.note("C: ", format!("<no tls: {why}>").as_bytes());
        }
        (wire, secured)
    }

    /// What the client sent although something is to happen before.
    pub(super) fn early(&mut self) -> Option<BytesMut> {
        self.has_more().then(|| self.input.split()).inspect(|octets| self.note("C: ", octets))
    }

    /// Puts a line into what is written next.
    pub(super) fn say(&mut self, line: &str) {
        self.note("S: ", line.as_bytes());
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// Writes down what is sent next.
    pub(super) fn note_sent(&self, octets: &[u8]) {
        self.note("S: ", octets);
    }

    /// Writes octets in a write of their own.
    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<(), Unread> {
        self.flush().await;
        self.stream.write_all(octets).await.map_err(|_| Unread::Left)
    }

    /// Writes what was said. An error shows when the client is read again.
    pub(super) async fn flush(&mut self) {
        if !self.output.is_empty() {
            let _ = self.stream.write_all(&self.output).await;
            self.output.clear();
        }
    }

    /// The next line without its CRLF; one that ends otherwise keeps the line feed.
    pub(super) async fn line(&mut self) -> Result<Vec<u8>, Unread> {
        loop {
            let end = memchr(b'\n', &self.input).map(|at| at + 1);
            if end.unwrap_or(self.input.len()) > self.limits.line {
                return Err(Unread::TooLong);
            }
            match end {
                Some(end) => return Ok(self.take_line(end)),
                None => self.fill().await.inspect_err(|_| self.note_rest())?,
            }
        }
    }

    fn take_line(&mut self, end: usize) -> Vec<u8> {
        let line = self.input.split_to(end);
        let line = line.strip_suffix(b"\r\n").unwrap_or(&line).to_vec();
        self.note("C: ", &line);
        line
    }

    /// Content up to its end, without stuffed dots; nothing if it was longer than the limit.
    pub(super) async fn content(&mut self) -> Result<Option<Vec<u8>>, Unread> {
        let mut reader = ContentReader::new(self.limits.content);
        loop {
            let used = reader.feed(&self.input);
            self.input.advance(used);
            if reader.is_ended() {
                break;
            }
            let length = reader.length();
            self.fill().await.inspect_err(|_| self.note_octets("content, cut after", length as u64))?;
        }
        self.note_octets("content of", reader.length() as u64);
        Ok(reader.into_content())
    }

    /// So many octets; nothing if that is more than `limit`, but read they are.
    pub(super) async fn octets(&mut self, count: u64, limit: usize) -> Result<Option<Vec<u8>>, Unread> {
        let mut octets = Vec::new();
        let mut missing = count;
        while missing > 0 {
            if self.input.is_empty() {
                self.fill().await.inspect_err(|_| self.note_octets("octets, cut after", count - missing))?;
            }
            let piece = self.input.split_to(piece(&self.input, missing));
            missing -= piece.len() as u64;
            if octets.len() + piece.len() <= limit {
                octets.extend_from_slice(&piece);
            }
        }
        self.note_octets("octets,", count);
        Ok((octets.len() as u64 == count).then_some(octets))
    }

    /// Takes a TLS record, whatever it holds (RFC 8446 section 5.1), and says whether it was one.
    pub(super) async fn tls_record(&mut self) -> Result<bool, Unread> {
        while self.input.len() < RECORD_HEADER {
            self.fill().await.inspect_err(|_| self.note_rest())?;
        }
        let [kind, 3, _, high, low] = self.input[..RECORD_HEADER] else { return Ok(false) };
        self.input.advance(RECORD_HEADER);
        let length = u16::from_be_bytes([high, low]);
        self.note("C: ", format!("<tls record of type {kind}>").as_bytes());
        while self.input.len() < usize::from(length) {
            self.fill().await?;
        }
        self.input.advance(usize::from(length));
        Ok(true)
    }

    /// What there is, or the next that comes; nothing once the client left.
    pub(super) async fn anything(&mut self) -> Option<BytesMut> {
        if self.input.is_empty() {
            self.fill().await.ok()?;
        }
        let octets = self.input.split();
        self.note("C: ", &octets);
        Some(octets)
    }

    /// Reads and forgets until the client left.
    pub(super) async fn drain(&mut self) {
        self.input.clear();
        while self.fill().await.is_ok() {
            self.input.clear();
        }
    }

    /// Waits until the client left, and reads nothing.
    pub(super) async fn left(&self) {
        self.stream.left().await;
    }

    /// Closes the server's half.
    pub(super) async fn shutdown(&mut self) {
        self.flush().await;
        // a connection that is broken already needs no end
        let _ = self.stream.shutdown().await;
    }

    /// Breaks off with RST.
    pub(super) fn reset(self) {
        self.stream.reset();
    }

    async fn fill(&mut self) -> Result<(), Unread> {
        self.flush().await;
        self.input.reserve(READ);
        match self.stream.read(&mut self.input).await {
            Ok(0) => Err(Unread::Left),
            Ok(_) => Ok(()),
            Err(error) => {
                self.note_truncation(error.kind());
                Err(Unread::Left)
            }
        }
    }

    /// A client that leaves TLS without close_notify (RFC 8446 section 6.1).
    fn note_truncation(&self, kind: ErrorKind) {
        if self.is_tls() && kind == ErrorKind::UnexpectedEof {
            self.note("C: ", b"<no close_notify>");
        }
    }

    fn note(&self, speaker: &str, octets: &[u8]) {
        self.record.line(self.connection, format!("{speaker}{}", one_line(octets)));
    }

    fn note_octets(&self, what: &str, count: u64) {
        self.record.line(self.connection, format!("C: <{what} {count} octets>"));
    }

    fn note_rest(&self) {
        if self.has_more() {
            self.record.line(self.connection, format!("C: <cut> {}", one_line(&self.input)));
        }
    }
}

/// How much of the input belongs to `missing` octets.
fn piece(input: &[u8], missing: u64) -> usize {
    usize::try_from(missing).map_or(input.len(), |missing| missing.min(input.len()))
}
