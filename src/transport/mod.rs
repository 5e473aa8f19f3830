//! One connection: dialling what a policy permits, and holding a session on it.

mod alarm;
mod connect;
mod connection;
mod drive;
#[cfg(test)]
mod drive_tests;
mod early;
mod establish;
mod login;
mod race;
mod session;
mod stream;
mod timeouts;

pub(crate) use alarm::{after, end_of};
pub(crate) use connect::connect;
pub(crate) use connection::{Closed, Connection};
pub(crate) use early::{Early, Offers};
pub(crate) use establish::{Demands, Established, NotEstablished, Remedy, establish};
pub(crate) use login::Login;
pub use login::LoginSettings;
pub(crate) use race::{Joins, Race};
pub use session::{Session, SessionSettings};
#[cfg(feature = "testing")]
pub(crate) use stream::Socket;
pub(crate) use stream::Stream;
pub use timeouts::Timeouts;
