//! What became of a recipient. What is permanent is decided here and nowhere else.

mod failure;
mod judging;
mod kind;
mod reasons;
mod taken;

pub use failure::Failure;
pub(crate) use judging::is_too_many_recipients;
pub use kind::FailureKind;
pub use taken::{Delivered, Outcome};
