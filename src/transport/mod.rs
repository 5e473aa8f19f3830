//! One connection: dialling what a policy permits, and holding a session on it.

mod connect;
mod content_source;
mod drive;
#[cfg(test)]
mod drive_tests;
mod session;
mod stream;
mod timeouts;

pub(crate) use connect::connect;
pub use session::{Session, SessionSettings};
pub(crate) use stream::Stream;
pub use timeouts::Timeouts;
