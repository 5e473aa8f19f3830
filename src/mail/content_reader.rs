//! [`ContentReader`]: the content of a message, piece by piece.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use tokio::task::spawn_blocking;

use super::content_facts::{ContentFacts, ContentScan};
use super::message::{ContentFile, Message};

/// Octets of the largest piece of a segment. They are there already, so that it takes no memory.
const PIECE: usize = 1024 * 1024;
/// Octets that are read from a file at once.
const BLOCK: usize = 32 * 1024;

/// Reads the content of a message from its beginning: what a store of the host's own needs.
///
/// Segments are handed out without a copy, files are opened anew and read in blocks of 32 KiB. A block is used again once
/// the piece was dropped.
#[derive(Debug)]
pub struct ContentReader<'a> {
    segments: std::slice::Iter<'a, Bytes>,
    current: Bytes,
    file: FilePart<'a>,
}

#[derive(Debug)]
enum FilePart<'a> {
    /// There is none, or it was read.
    End,
    Closed(&'a ContentFile),
    Open(Box<OpenFile>),
    /// It could not be read, or nobody knows how far it was.
    Lost,
}

impl<'a> ContentReader<'a> {
    pub(super) fn new(message: &'a Message) -> Self {
        let file = message.file().map_or(FilePart::End, FilePart::Closed);
        Self { segments: message.segments().iter(), current: Bytes::new(), file }
    }

    /// The next piece, at most 1 MiB; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is not what it was when it was looked at: what was read of it is no message.
    ///
    /// # Cancellation
    /// A piece may be lost, and then there is none behind it but an error; begin again.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.current.is_empty() {
            self.current = self.segments.next().cloned().unwrap_or_default();
        }
        match self.current.len() {
            0 => self.next_block().await,
            length => Ok(Some(self.current.split_to(length.min(PIECE)))),
        }
    }

    /// Whether it is known that no piece is left.
    pub(crate) fn is_at_end(&self) -> bool {
        self.current.is_empty() && self.segments.len() == 0 && matches!(self.file, FilePart::End)
    }

    async fn next_block(&mut self) -> io::Result<Option<Bytes>> {
        let block = match std::mem::replace(&mut self.file, FilePart::Lost) {
            FilePart::End => None,
            FilePart::Closed(part) => Some(OpenFile::first_block(part).await?),
            FilePart::Open(file) => Some(file.next_block().await?),
            FilePart::Lost => {
                return Err(io::Error::other("the file of the message was not read to its end"));
            }
        };
        let Some((file, block)) = block.filter(|(_, block)| !block.is_empty()) else {
            self.file = FilePart::End;
            return Ok(None);
        };
        self.file = FilePart::Open(file);
        Ok(Some(block))
    }
}

/// A file that is being read. What takes time is done on tokio's blocking threads, what is found out about the octets as
/// well.
#[derive(Debug)]
struct OpenFile {
    file: File,
    facts: ContentFacts,
    left: u64,
    scan: ContentScan,
    /// The block that is read next, and the one of which something may still wait to be written.
    blocks: [BytesMut; 2],
}

impl OpenFile {
    async fn first_block(part: &ContentFile) -> io::Result<(Box<Self>, Bytes)> {
        let (path, facts) = (part.path.clone(), part.facts);
        in_background(move || Self::open(path, facts)?.read()).await
    }

    async fn next_block(self: Box<Self>) -> io::Result<(Box<Self>, Bytes)> {
        in_background(move || self.read()).await
    }

    fn open(path: PathBuf, facts: ContentFacts) -> io::Result<Box<Self>> {
        let (left, scan, blocks) = (facts.size, ContentScan::again(&facts), Default::default());
        Ok(Box::new(Self { file: File::open(path)?, facts, left, scan, blocks }))
    }

    /// The next block; an empty one is the end of what was looked at.
    fn read(mut self: Box<Self>) -> io::Result<(Box<Self>, Bytes)> {
        let [block, other] = &mut self.blocks;
        block.resize(BLOCK, 0);
        let read = read_once(&mut self.file, block)?;
        let piece = block.split_to(read).freeze();
        block.clear();
        std::mem::swap(block, other);
        self.left = self.left.checked_sub(read as u64).ok_or_else(changed)?;
        self.scan.add(&piece).map_err(|_| changed())?;
        if piece.is_empty() && std::mem::take(&mut self.scan).finish().ok() != Some(self.facts) {
            return Err(changed());
        }
        Ok((self, piece))
    }
}

fn read_once(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
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
            assert!(piece.len() <= PIECE && !piece.is_empty());
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

    #[tokio::test]
    async fn law_2_check_290_after_an_error_there_is_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        std::fs::write(&path, "a: b\r\n\r\n").unwrap();
        let message = Message::from_file(&path).await.unwrap();
        std::fs::write(&path, "a: b\r\n").unwrap();
        let mut source = message.reader();
        source.next().await.unwrap();
        for _ in 0..2 {
            assert!(source.next().await.is_err());
        }
    }

    #[test]
    fn law_2_after_a_read_that_was_dropped_there_is_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        std::fs::write(&path, "a: b\r\n\r\n").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let message = Message::from_file(&path).await.unwrap();
            let mut source = message.reader();
            // the only thread that could read is busy
            let (done, busy) = std::sync::mpsc::channel::<()>();
            let other = spawn_blocking(move || busy.recv().is_err());
            assert!(futures_util::FutureExt::now_or_never(source.next()).is_none());
            drop(done);
            assert!(other.await.unwrap());
            assert!(source.next().await.is_err());
        });
    }

    #[tokio::test]
    async fn blocks_of_a_file_are_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        std::fs::write(&path, "a: b\r\n".repeat(100_000)).unwrap();
        let message = Message::from_file(&path).await.unwrap();
        let (mut source, mut places) = (message.reader(), std::collections::HashSet::new());
        while let Some(piece) = source.next().await.unwrap() {
            places.insert(piece.as_ptr());
        }
        assert_eq!(places.len(), 2);
    }
}
