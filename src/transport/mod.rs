//! One connection: dialling what a policy permits, and holding a session on it.

mod alarm;
mod connection;
mod dialer;
mod drive;
#[cfg(test)]
mod drive_tests;
mod early;
mod establish;
mod login;
mod proxy;
mod proxy_protocol_dialer;
mod proxy_server;
mod race;
mod session;
mod socks5_dialer;
mod stream;
mod system_dialer;
mod timeouts;

pub use crate::plan::DialTarget;
pub(crate) use alarm::{after, end_of};
pub(crate) use connection::{Closed, Connection};
pub(crate) use dialer::connect;
pub use dialer::{DialRequest, DialedStream, Dialer};
pub(crate) use early::{Early, Offers};
pub(crate) use establish::{Demands, Established, NotEstablished, Remedy, establish};
pub(crate) use login::Login;
pub use login::LoginSettings;
pub use proxy::{Proxy, ProxyParseError};
pub use proxy_protocol_dialer::{ProxyProtocolDialer, ProxyProtocolVersion};
pub(crate) use race::{Joins, Race};
pub use session::{Session, SessionSettings};
pub use socks5_dialer::{Socks5CredentialsError, Socks5Dialer};
pub(crate) use stream::Stream;
#[cfg(feature = "testing")]
pub(crate) use stream::hand_on;
pub use system_dialer::SystemDialer;
pub use timeouts::Timeouts;
