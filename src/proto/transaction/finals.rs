//! The end of the content, and the replies to it.

use bytes::Bytes;

use super::{Ending, Expected, LINE_END, Output, Progress, Protocol, Stage, Transaction, Verdict, WrongSize};

impl Transaction<'_> {
    pub(super) fn content_ends(&mut self, output: &mut Output) -> Result<(), WrongSize> {
        match std::mem::replace(&mut self.progress, Progress::Sent) {
            Progress::Content(stuffing) => stuffing.finish(output),
            Progress::Chunks(mut chunks) => {
                if std::mem::take(&mut self.lacks_line_end) {
                    chunks.piece(Bytes::from_static(LINE_END), output)?;
                }
                // the rest of it lies in a chunk of its own: the end is asked for once more
                if chunks.is_between() {
                    self.progress = Progress::Chunks(chunks);
                    return Ok(());
                }
                chunks.finish(output)?;
            }
            _ => return Ok(()),
        }
        self.end_content(output);
        Ok(())
    }

    /// Octets of the content without the line end that it may lack.
    pub(super) fn size_by_data(&self) -> u64 {
        self.size - if self.lacks_line_end { LINE_END.len() as u64 } else { 0 }
    }

    /// Notes that the content is queued to its end.
    ///
    /// LMTP has a final reply for each accepted recipient (RFC 2033 section 4.2). All of them are known by now, as content
    /// under LMTP never precedes the replies to RCPT.
    fn end_content(&mut self, output: &Output) {
        self.end_of_content = Some(output.end());
        match self.terms.protocol {
            Protocol::Smtp => self.awaited.expect(Expected::Final, output),
            Protocol::Lmtp => {
                self.slots.accepted().for_each(|index| self.awaited.expect(Expected::FinalOf(index), output));
            }
        }
    }

    pub(super) fn final_of_all(&mut self, verdict: Verdict) {
        // where nobody was accepted, or a chunk was refused before, RSET is due whatever the server says
        if self.slots.has_accepted() {
            self.slots.close_rest(verdict);
            self.ending = self.after_content();
        }
    }

    pub(super) fn final_of(&mut self, index: usize, verdict: Verdict) {
        self.slots.close(index, verdict);
        if self.awaited.is_empty() {
            self.ending = self.after_content();
        }
    }

    /// After a chunk that was refused RSET is due (RFC 3030 section 2).
    fn after_content(&self) -> Ending {
        match self.terms.by_chunks() && self.slots.any_refused(Stage::Final) {
            true => Ending::Aborted,
            false => Ending::Complete,
        }
    }
}
