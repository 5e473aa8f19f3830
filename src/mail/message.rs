//! [`Message`]: the content, header included, that is handed on unchanged.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::content_facts::{ContentFacts, ContentScan, LineEndError};
use super::content_reader::ContentReader;

/// Octets read from a file at once.
const FILE_BLOCK: usize = 64 * 1024;

/// The content of a message, header included. Cheap to clone; nothing of it is ever changed.
///
/// Content is a row of segments, so that a host can put its `Received:` line in front without copying the
/// rest, or a file that is opened anew for each attempt and never held in memory as a whole.
///
/// ```
/// use nexthop::Message;
///
/// let message = Message::from_bytes("Subject: hello\r\n\r\nworld\r\n")?
///     .with_header("Received: from client.example by mail.example.net; Thu, 1 Jan 2026 00:00:00 +0000\r\n")?;
/// assert_eq!(message.facts().size, 108);
/// # Ok::<(), nexthop::mail::MessageError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Message {
    /// Segments in front of the file, or all of them.
    segments: Arc<[Bytes]>,
    file: Option<Arc<ContentFile>>,
    facts: ContentFacts,
}

/// A file that is the last part of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContentFile {
    pub(super) path: PathBuf,
    /// What it was when it was looked at; a file that is something else is not sent.
    pub(super) facts: ContentFacts,
}

/// Why something is not acceptable as a message. Nothing is sent of such a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A bare CR or LF, the germ of smuggled messages.
    #[error("the message is not made of lines that end in CRLF")]
    LineEnd(#[from] LineEndError),
    /// A header in front of the message that does not end its last line, or that would end the header.
    #[error("the header to be put in front is not made of complete lines that end in CRLF")]
    IncompleteHeader,
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl Message {
    /// A message whose lines end in CRLF, taken as it is.
    ///
    /// # Errors
    /// A bare CR or LF ([`Message::from_text`] mends the latter), RFC 5321 section 2.3.8.
    pub fn from_bytes(content: impl Into<Bytes>) -> Result<Self, MessageError> {
        Self::from_segments([content.into()])
    }

    /// A message from parts that stand one after another; a line end may lie across two of them.
    ///
    /// # Errors
    /// A bare CR or LF in the whole.
    pub fn from_segments(segments: impl IntoIterator<Item = Bytes>) -> Result<Self, MessageError> {
        let segments: Arc<[Bytes]> = segments.into_iter().filter(|segment| !segment.is_empty()).collect();
        Ok(Self { facts: scan(ContentScan::default(), &segments)?, segments, file: None })
    }

    /// A message whose lines end in LF, in CRLF or in both; all ends become CRLF.
    ///
    /// # Errors
    /// A CR that no LF follows: nobody can say what it was meant to be.
    pub fn from_text(content: impl AsRef<[u8]>) -> Result<Self, MessageError> {
        Self::from_bytes(with_crlf(content.as_ref()))
    }

    /// A message of any octets, taken as it is: a body part of it is binary (RFC 3030 section 3), so that line ends mean
    /// nothing. It goes only to servers that offer BINARYMIME and CHUNKING; elsewhere its recipients fail with 5.6.3,
    /// for nothing is converted.
    #[must_use]
    pub fn from_binary(content: impl Into<Bytes>) -> Self {
        let segments: Arc<[Bytes]> =
            [content.into()].into_iter().filter(|segment| !segment.is_empty()).collect();
        let facts = scan(ContentScan::binary(), &segments);
        Self { facts: facts.unwrap_or_default(), segments, file: None }
    }

    /// A message that lies in a file with CRLF line ends. The file is read through once, block by block, and
    /// again for each attempt; if it has another length by then, or bare line ends, the attempt is broken off.
    ///
    /// Works on tokio's blocking threads. Cancelling it leaves nothing behind.
    ///
    /// # Errors
    /// The file cannot be read, or has a bare CR or LF.
    pub async fn from_file(path: impl Into<PathBuf>) -> Result<Self, MessageError> {
        Self::from_file_scanned(path.into(), ContentScan::default()).await
    }

    /// What [`Message::from_binary`] takes, in a file, read as with [`Message::from_file`].
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn from_binary_file(path: impl Into<PathBuf>) -> Result<Self, MessageError> {
        Self::from_file_scanned(path.into(), ContentScan::binary()).await
    }

    async fn from_file_scanned(path: PathBuf, scan: ContentScan) -> Result<Self, MessageError> {
        let shown = path.clone();
        let scanned = tokio::task::spawn_blocking(move || Self::scan_file(path, scan)).await;
        scanned
            .unwrap_or_else(|panic| Err(MessageError::File { path: shown, source: io::Error::other(panic) }))
    }

    fn scan_file(path: PathBuf, scan: ContentScan) -> Result<Self, MessageError> {
        let scan =
            read_through(&path, scan).map_err(|source| MessageError::File { path: path.clone(), source })?;
        let facts = scan?.finish()?;
        let file = Some(Arc::new(ContentFile { path, facts }));
        Ok(Self { segments: Arc::new([]), file, facts })
    }

    /// The same message with header lines in front, such as the host's `Received:` (RFC 5321 section 4.4).
    ///
    /// # Errors
    /// `lines` has a bare CR or LF, does not end in CRLF, or has an empty line, which would end the header.
    pub fn with_header(&self, lines: impl Into<Bytes>) -> Result<Self, MessageError> {
        let lines = lines.into();
        let header = scan(ContentScan::default(), std::slice::from_ref(&lines));
        let header = header.map_err(|_| MessageError::IncompleteHeader)?;
        let complete = lines.ends_with(b"\r\n") && !lines.starts_with(b"\r\n");
        if !complete || memchr::memmem::find(&lines, b"\r\n\r\n").is_some() {
            return Err(MessageError::IncompleteHeader);
        }
        let segments = std::iter::once(lines).chain(self.segments.iter().cloned()).collect();
        Ok(Self { segments, file: self.file.clone(), facts: sum(header, self.facts) })
    }

    /// The same message, declared to have octets above 127 (RFC 6152), whatever was found.
    #[must_use]
    pub fn declared_eight_bit(mut self) -> Self {
        self.facts.eight_bit = true;
        self
    }

    /// The same message, declared to need SMTPUTF8 (RFC 6531 section 3.4), whatever was found.
    #[must_use]
    pub fn declared_smtp_utf8(mut self) -> Self {
        self.facts.utf8_header = true;
        self
    }

    /// What was found out about the content, or declared.
    pub fn facts(&self) -> &ContentFacts {
        &self.facts
    }

    /// Reads the content from its beginning.
    pub fn reader(&self) -> ContentReader<'_> {
        ContentReader::new(self)
    }

    /// The content, if all of it is in memory.
    pub(crate) fn in_memory(&self) -> Option<&[Bytes]> {
        self.file().is_none().then(|| self.segments())
    }

    pub(super) fn segments(&self) -> &[Bytes] {
        &self.segments
    }

    pub(super) fn file(&self) -> Option<&ContentFile> {
        self.file.as_deref()
    }
}

fn scan(mut scan: ContentScan, segments: &[Bytes]) -> Result<ContentFacts, LineEndError> {
    segments.iter().try_for_each(|segment| scan.add(segment))?;
    scan.finish()
}

/// Reads the whole file without keeping it. The outer error is the file's, the inner one the content's.
fn read_through(path: &Path, mut scan: ContentScan) -> io::Result<Result<ContentScan, LineEndError>> {
    let mut file = std::fs::File::open(path)?;
    let mut block = vec![0; FILE_BLOCK];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(Ok(scan));
        }
        if let Err(error) = scan.add(&block[..read]) {
            return Ok(Err(error));
        }
    }
}

fn sum(header: ContentFacts, rest: ContentFacts) -> ContentFacts {
    ContentFacts {
        size: header.size + rest.size,
        eight_bit: header.eight_bit || rest.eight_bit,
        nul: header.nul || rest.nul,
        binary: header.binary || rest.binary,
        utf8_header: header.utf8_header || rest.utf8_header,
        longest_line: header.longest_line.max(rest.longest_line),
        ends_line: if rest.size > 0 { rest.ends_line } else { header.ends_line },
    }
}

fn with_crlf(content: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(content.len() + content.len() / 32);
    let mut rest = content;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        let line = &rest[..at];
        text.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        text.extend_from_slice(b"\r\n");
        rest = &rest[at + 1..];
    }
    text.extend_from_slice(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(message: &Message) -> Vec<u8> {
        message.segments().concat()
    }

    #[test]
    fn check_052_text_gets_crlf_and_keeps_the_rest() {
        let text = |input: &str| content(&Message::from_text(input).unwrap());
        assert_eq!(text("a\nb\r\n\n.\n"), b"a\r\nb\r\n\r\n.\r\n");
        assert_eq!(text("a"), b"a");
        for bare in ["a\rb\n", "a\r\r\n", "a\r"] {
            assert!(Message::from_text(bare).is_err(), "{bare:?}");
        }
    }

    #[test]
    fn check_052_bytes_are_taken_as_they_are_or_refused() {
        assert!(matches!(
            Message::from_bytes("a\nb"),
            Err(MessageError::LineEnd(LineEndError::BareLineFeed(1)))
        ));
        assert_eq!(content(&Message::from_bytes("a\r\nb").unwrap()), b"a\r\nb");
    }

    #[test]
    fn check_126_binary_is_taken_as_it_is() {
        let message = Message::from_binary(&b"a: b\r\n\r\n\0\n\xff\r"[..]);
        let message = message.with_header("X: y\r\n").unwrap();
        assert_eq!(content(&message), b"X: y\r\na: b\r\n\r\n\0\n\xff\r");
        let facts = message.facts();
        assert!(facts.binary && facts.nul && facts.eight_bit);
        assert_eq!(facts.size, 18);
        assert!(Message::from_binary(Bytes::new()).facts().binary);
    }

    #[test]
    fn declarations_stand_beside_what_was_found() {
        let plain = Message::from_bytes("a: b\r\n").unwrap();
        let declared = plain.clone().declared_eight_bit().declared_smtp_utf8();
        let wanted = ContentFacts { eight_bit: true, utf8_header: true, ..*plain.facts() };
        assert_eq!(*declared.facts(), wanted);
    }

    #[test]
    fn a_header_goes_in_front_without_a_copy_of_the_rest() {
        let bytes = Bytes::from_static(b"Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n");
        let message = Message::from_bytes(bytes.clone()).unwrap().with_header("Received: y\r\n").unwrap();
        assert_eq!(content(&message), [b"Received: y\r\n".as_slice(), &bytes].concat());
        assert_eq!(message.segments()[1].as_ptr(), bytes.as_ptr());
        assert_eq!(message.facts().size, 13 + bytes.len() as u64);
        assert!(message.facts().eight_bit && !message.facts().utf8_header);
    }

    #[test]
    fn attack_a30_a_header_cannot_end_the_header_or_begin_in_mid_line() {
        let message = Message::from_bytes("a: b\r\n").unwrap();
        for bad in ["", "X: y", "X: y\n", "X: y\r\n\r\nbody\r\n", "\r\nX: y\r\n", "X: y\r\n\r\n"] {
            assert!(message.with_header(bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_file_is_looked_at_and_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        std::fs::write(&path, "a: b\r\n".repeat(20_000)).unwrap();
        let message = Message::from_file(&path).await.unwrap();
        assert_eq!((message.facts().size, message.segments().len()), (120_000, 0));
        std::fs::write(&path, "a\n").unwrap();
        assert!(matches!(Message::from_file(&path).await, Err(MessageError::LineEnd(_))));
        let missing = Message::from_file(folder.path().join("none")).await.unwrap_err();
        assert!(missing.to_string().ends_with("none"), "{missing}");
    }
}
