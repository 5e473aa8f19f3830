use super::*;

impl Transaction<'_> {
    pub(crate) fn shift(&mut self, base: u64) {
        self.awaited.shift(base);
        self.end_of_content = self.end_of_content.map(|end| end + base);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.awaited.is_empty() && matches!(self.progress, Progress::Sent)
    }

    pub(crate) fn wants_content_only(&self) -> bool {
        matches!(self.progress, Progress::Sent) && self.end_of_content.is_none() && !self.awaited.is_empty()
    }

    pub(crate) fn chunking_unknown(&self) -> bool {
        false
    }

    pub(crate) fn uses_chunks(&self) -> bool {
        false
    }
}
