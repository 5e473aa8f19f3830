//! [`ContentReader`]: the content of a message, piece by piece.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::content_facts::{ContentFacts, ContentScan};
use super::message::{ContentFile, Message};

/// Octets of a piece. Segments are handed out in slices of this size, files read in blocks of it.
const PIECE: usize = 64 * 1024;

/// Reads the content of a message from its beginning: what a store of the host's own needs.
///
/// Segments are handed out without a copy, files are opened anew and read in blocks of 64 KiB.
#[derive(Debug)]
pub struct ContentReader<'a> {
    segments: std::slice::Iter<'a, Bytes>,
    current: Bytes,
    file: FilePart<'a>,
}

#[derive(Debug)]
enum FilePart<'a> {
    None,
    Closed(&'a ContentFile),
    Open { file: File, facts: ContentFacts, left: u64, scan: ContentScan },
}

impl<'a> ContentReader<'a> {
    pub(super) fn new(message: &'a Message) -> Self {
        let file = message.file().map_or(FilePart::None, FilePart::Closed);
        Self { segments: message.segments().iter(), current: Bytes::new(), file }
    }

    /// The next piece, at most 64 KiB; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is not what it was when it was looked at: what was read of it is no message.
    ///
    /// # Cancellation
    /// A piece may be lost; begin again.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.current.is_empty() {
            self.current = self.segments.next().cloned().unwrap_or_default();
        }
        match self.current.len() {
            0 => self.next_block().await,
            length => Ok(Some(self.current.split_to(length.min(PIECE)))),
        }
    }

    async fn next_block(&mut self) -> io::Result<Option<Bytes>> {
        if let FilePart::Closed(part) = self.file {
            let file = File::open(&part.path).await?;
            let (facts, left) = (part.facts, part.facts.size);
            self.file = FilePart::Open { file, facts, left, scan: ContentScan::again(&facts) };
        }
        let FilePart::Open { file, facts, left, scan } = &mut self.file else { return Ok(None) };
        let mut block = BytesMut::with_capacity(PIECE);
        if file.read_buf(&mut block).await? == 0 {
            return end_of_file(*facts, std::mem::take(scan)).map(|()| None);
        }
        *left = left.checked_sub(block.len() as u64).ok_or_else(changed)?;
        scan.add(&block).map_err(|_| changed())?;
        Ok(Some(block.freeze()))
    }
}

fn end_of_file(facts: ContentFacts, scan: ContentScan) -> io::Result<()> {
    let unchanged = scan.finish().is_ok_and(|found| found == facts);
    unchanged.then_some(()).ok_or_else(changed)
}

fn changed() -> io::Error {
    io::Error::other("the file of the message was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(message: &Message) -> io::Result<Vec<u8>> {
        let (mut source, mut content) = (ContentReader::new(message), Vec::new());
        while let Some(piece) = source.next().await? {
            assert!(piece.len() <= PIECE);
            content.extend_from_slice(&piece);
        }
        Ok(content)
    }

    #[tokio::test]
    async fn segments_come_out_in_order_and_uncopied() {
        let big = Bytes::from(b"abcdefgh".repeat(20_000));
        let message = Message::from_segments([Bytes::from_static(b"x: y\r\n\r\n"), big.clone()]).unwrap();
        assert_eq!(read(&message).await.unwrap(), [b"x: y\r\n\r\n", &big[..]].concat());
        let mut source = ContentReader::new(&message);
        source.next().await.unwrap();
        assert_eq!(source.next().await.unwrap().unwrap().as_ptr(), big.as_ptr());
    }

    #[tokio::test]
    async fn a_file_is_read_again_for_every_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        let content = "a: b\r\n".repeat(30_000);
        std::fs::write(&path, &content).unwrap();
        let message = Message::from_file(&path).await.unwrap().with_header("X: y\r\n").unwrap();
        for _ in 0..2 {
            assert_eq!(read(&message).await.unwrap(), format!("X: y\r\n{content}").as_bytes());
        }
    }

    #[tokio::test]
    async fn check_126_a_binary_file_is_read_as_it_is_and_never_as_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        let content = b"a: b\r\n\r\n\0\n\r\r\xff\r";
        std::fs::write(&path, content).unwrap();
        let message = Message::from_binary_file(&path).await.unwrap();
        assert_eq!(read(&message).await.unwrap(), content);
        std::fs::write(&path, &content[1..]).unwrap();
        assert!(read(&message).await.is_err());
    }

    #[tokio::test]
    async fn check_290_attack_a32_a_file_that_changed_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        std::fs::write(&path, "a: b\r\n\r\n").unwrap();
        let message = Message::from_file(&path).await.unwrap();
        for other in ["a: b\r\n", "a: b\r\n\r\n\r\n", "a: b\n\n\n\n", "a: b\r\n\r\r", "a\0 b\r\n\r\n"] {
            std::fs::write(&path, other).unwrap();
            assert!(read(&message).await.is_err(), "{other:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&message).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
