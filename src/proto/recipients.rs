//! [`Recipients`]: those of an envelope that a transaction is for.

use crate::mail::{Envelope, Recipient};

/// Recipients in their order; the first ones of an envelope, or all, need no list of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Recipients<'a> {
    All(&'a [Recipient]),
    Some(&'a [&'a Recipient]),
}

impl<'a> Recipients<'a> {
    pub(crate) fn of(envelope: &'a Envelope) -> Self {
        Self::All(envelope.recipients())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::All(all) => all.len(),
            Self::Some(some) => some.len(),
        }
    }

    pub(super) fn at(&self, index: usize) -> &'a Recipient {
        match self {
            Self::All(all) => &all[index],
            Self::Some(some) => some[index],
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a Recipient> {
        (0..self.len()).map(move |index| self.at(index))
    }
}

impl<'a> From<&'a [&'a Recipient]> for Recipients<'a> {
    fn from(some: &'a [&'a Recipient]) -> Self {
        Self::Some(some)
    }
}

impl<'a, const N: usize> From<&'a [&'a Recipient; N]> for Recipients<'a> {
    fn from(some: &'a [&'a Recipient; N]) -> Self {
        Self::Some(some)
    }
}
