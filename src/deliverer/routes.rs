//! [`Routes`]: what the router said of the recipients of an envelope.

use crate::outcome::Failure;
use crate::route::Route;

/// The answer for one recipient.
pub(super) type Answer = Result<Route, Failure>;

/// The routes of all recipients, in the order of the envelope.
#[derive(Debug)]
pub(super) enum Routes {
    /// So many recipients, and all have this one.
    Same(Route, usize),
    /// Each has its own; `None`: it has to be waited for.
    Each(Vec<Option<Answer>>),
}

impl Routes {
    /// Those of nobody.
    pub(super) fn new() -> Self {
        Self::Each(Vec::new())
    }

    /// Adds the next one, if it is certainly that of all before it.
    #[inline]
    pub(super) fn push_same(&mut self, route: &Route) -> bool {
        match self {
            Self::Same(same, count) if route.same_as(same) => {
                *count += 1;
                true
            }
            _ => false,
        }
    }

    /// Adds the next one, which is not that of all before it.
    pub(super) fn push(&mut self, answer: Option<Answer>) {
        match (&mut *self, answer) {
            (Self::Each(each), Some(Ok(route))) if each.is_empty() => *self = Self::Same(route, 1),
            (Self::Same(..), answer) => {
                let mut each: Vec<_> =
                    std::mem::replace(self, Self::new()).into_answers().into_iter().map(Some).collect();
                each.push(answer);
                *self = Self::Each(each);
            }
            (Self::Each(each), answer) => each.push(answer),
        }
    }

    /// One a recipient.
    pub(super) fn into_answers(self) -> Vec<Answer> {
        let none = || Err(Failure::local_for_now("no route was found"));
        match self {
            Self::Same(route, count) => vec![Ok(route); count],
            Self::Each(each) => each.into_iter().map(|answer| answer.unwrap_or_else(none)).collect(),
        }
    }
}
