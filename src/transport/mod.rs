//! One connection: dialling what a policy permits, and holding a session on it.

mod connect;
mod content_source;
mod drive;
#[cfg(test)]
mod drive_tests;
mod establish;
mod session;
mod stream;
mod timeouts;

pub(crate) use connect::connect;
pub(crate) use establish::{Established, NotEstablished, Terms, establish};
pub(crate) use session::was_accepted;
pub use session::{Session, SessionSettings};
#[cfg(feature = "testing")]
pub(crate) use stream::Socket;
pub(crate) use stream::Stream;
pub use timeouts::Timeouts;
