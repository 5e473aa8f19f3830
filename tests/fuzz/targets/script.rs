//! The text form of a server's script: bytes of the server with marks between them.

use super::wire::Release;

/// The server waits until the client is quiet.
pub(crate) const WAIT: u8 = 0x1c;
/// What follows is another read.
const SPLIT: u8 = 0x1d;
/// The piece so far, repeated as often as the next byte says.
const REPEAT: u8 = 0x1e;
/// The server waits until the client has been quiet for a time limit.
const LATE: u8 = 0x1f;
/// Writes of the client fail from now on; what follows is sent at once.
const DEAF: u8 = 0x16;

/// Bytes of the longest script.
const MAX_BYTES: usize = 200 * 1024;
/// Time limits that a script waits for at most.
const MAX_LATE: usize = 8;

/// Reads a script. Every byte string is one.
pub(super) fn releases(script: &[u8]) -> Vec<Release> {
    let mut all = vec![Release { pieces: vec![Vec::new()], ..Release::default() }];
    let (mut bytes, mut late) = (0, 0);
    let mut rest = script.iter().copied();
    while let Some(byte) = rest.next() {
        let last = all.last_mut().expect("there is always one");
        match byte {
            SPLIT => last.pieces.push(Vec::new()),
            REPEAT => {
                let piece = last.pieces.last_mut().expect("there is always one");
                let times = usize::from(rest.next().unwrap_or(1))
                    .min(MAX_BYTES.saturating_sub(bytes) / piece.len().max(1));
                bytes += piece.len() * times;
                *piece = piece.repeat(times + 1);
            }
            WAIT | LATE | DEAF => {
                late += usize::from(byte == LATE);
                let is_late = byte == LATE && late <= MAX_LATE;
                all.push(Release { pieces: vec![Vec::new()], is_late, is_deaf: byte == DEAF });
            }
            byte => last.pieces.last_mut().expect("there is always one").push(byte),
        }
    }
    all
}

/// The same bytes at the same times, in one piece each.
pub(super) fn joined(releases: &[Release]) -> Vec<Release> {
    let whole = |release: &Release| vec![release.pieces.concat()];
    releases.iter().map(|release| Release { pieces: whole(release), ..release.clone() }).collect()
}

/// The same bytes at the same times, byte by byte.
pub(super) fn divided(releases: &[Release]) -> Vec<Release> {
    let bytes = |release: &Release| release.pieces.concat().into_iter().map(|byte| vec![byte]).collect();
    releases.iter().map(|release| Release { pieces: bytes(release), ..release.clone() }).collect()
}
