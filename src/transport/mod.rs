//! One connection: dialling what a policy permits, and holding a session on it.

mod connect;
mod content_source;
mod drive;
mod session;
mod stream;
mod timeouts;

pub(crate) use connect::connect;
pub use session::{Session, SessionSettings};
pub(crate) use session::was_accepted;
pub(crate) use stream::Stream;
pub use timeouts::Timeouts;
