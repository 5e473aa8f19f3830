//! [`Input`]: octets that were read and not used yet.

/// Octets of the largest buffer that is kept while nothing is in it.
const KEPT: usize = 512;

/// Octets from the peer, in order. Its buffer is kept when all of them were used.
#[derive(Debug, Default)]
pub(crate) struct Input {
    octets: Vec<u8>,
    /// How many of them were used.
    used: usize,
}

impl Input {
    pub(crate) fn extend_from_slice(&mut self, octets: &[u8]) {
        if self.used > 0 {
            self.octets.drain(..self.used);
            self.used = 0;
        }
        self.octets.extend_from_slice(octets);
    }

    /// Those that were not used.
    #[inline]
    pub(crate) fn rest(&self) -> &[u8] {
        &self.octets[self.used..]
    }

    /// Uses so many of them, or all if there are fewer.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        self.used += count;
        if self.used >= self.octets.len() {
            self.octets.clear();
            self.used = 0;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.octets.len() - self.used
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Gives back what an idle session needs not keep.
    pub(crate) fn give_back(&mut self) {
        if self.is_empty() && self.octets.capacity() > KEPT {
            self.octets = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_buffer_is_kept_and_a_large_one_given_back() {
        for (octets, is_kept) in [(KEPT, true), (KEPT + 1, false)] {
            let mut input = Input::default();
            input.extend_from_slice(&vec![b'x'; octets]);
            input.give_back();
            assert_eq!(input.len(), octets, "what was not used stays");
            input.advance(octets);
            input.give_back();
            assert_eq!(input.octets.capacity() > 0, is_kept);
        }
    }

    proptest! {
        #[test]
        fn what_was_not_used_is_there(steps in prop::collection::vec(("[a-z]{0,9}", 0..9usize), 0..9)) {
            let (mut input, mut wanted) = (Input::default(), Vec::new());
            for (octets, count) in steps {
                input.extend_from_slice(octets.as_bytes());
                wanted.extend_from_slice(octets.as_bytes());
                input.advance(count);
                wanted.drain(..count.min(wanted.len()));
                prop_assert_eq!(input.rest(), &wanted[..]);
                prop_assert_eq!((input.len(), input.is_empty()), (wanted.len(), wanted.is_empty()));
            }
        }
    }
}
