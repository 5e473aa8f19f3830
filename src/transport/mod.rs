//! One connection: dialling what a policy permits, and holding a session on it.

mod content_source;
mod drive;
mod session;
mod timeouts;

pub use session::{Session, SessionSettings};
pub(crate) use session::{judge_all, was_anyone_accepted};
pub use timeouts::Timeouts;
