//! [`Chunks`]: content on its way through BDAT, octet for octet (RFC 3030 section 2).

use bytes::Bytes;

use super::command::Command;
use super::output::Output;

/// Octets of the largest chunk, 1 MiB: a server that has no room says so after that much at the latest.
pub(super) const CHUNK: u64 = 1024 * 1024;

/// Announces chunks and fills them. What ends the content is held back until the reader has said that there is no
/// more: the server never has a complete message that is another one than was announced.
#[derive(Debug)]
pub(super) struct Chunks {
    /// Octets that belong to chunks which were not announced yet.
    unannounced: u64,
    /// Octets that the announced chunk still lacks.
    lacking: u64,
    /// What was read and cannot go out yet.
    held: Bytes,
}

/// The content has more or fewer octets than its facts say.
#[derive(Debug, thiserror::Error)]
#[error("the content does not have the number of octets that was announced")]
pub(super) struct WrongSize;

impl Chunks {
    /// For content of `size` octets.
    pub(super) fn new(size: u64) -> Self {
        Self { unannounced: size, lacking: 0, held: Bytes::new() }
    }

    /// Whether a chunk is to be announced before content can go out.
    pub(super) fn is_between(&self) -> bool {
        self.lacking == 0 && self.unannounced > 0
    }

    /// Whether a chunk was announced that is not complete.
    pub(super) fn is_amid(&self) -> bool {
        self.lacking > 0
    }

    /// Queues BDAT and the available part of the next chunk. Returns the place in the stream behind the command.
    pub(super) fn announce(&mut self, output: &mut Output) -> u64 {
        self.lacking = self.unannounced.min(CHUNK);
        self.unannounced -= self.lacking;
        Command::Bdat(self.lacking, self.unannounced == 0).write(output);
        let place = output.end();
        self.fill(output);
        place
    }

    /// Takes in a piece and queues it up to the border of the chunk, without a copy.
    pub(super) fn piece(&mut self, piece: Bytes, output: &mut Output) -> Result<(), WrongSize> {
        if piece.len() as u64 > self.unread() {
            return Err(WrongSize);
        }
        if !piece.is_empty() {
            self.held = piece;
            self.fill(output);
        }
        Ok(())
    }

    /// Queues the end of the content.
    pub(super) fn finish(self, output: &mut Output) -> Result<(), WrongSize> {
        if self.unannounced > 0 || self.unread() > 0 {
            return Err(WrongSize);
        }
        match self.held.is_empty() {
            true => Command::Bdat(0, true).write(output),
            false => output.push(self.held),
        }
        Ok(())
    }

    fn fill(&mut self, output: &mut Output) {
        let fits = self.held.len().min(usize::try_from(self.lacking).unwrap_or(usize::MAX));
        let ends = self.unannounced == 0 && fits as u64 == self.lacking;
        if !ends {
            self.lacking -= fits as u64;
            output.push(self.held.split_to(fits));
        }
    }

    fn unread(&self) -> u64 {
        self.unannounced + self.lacking - self.held.len() as u64
    }
}
