//! The protocol without sockets and without a clock: bytes go in, bytes and verdicts come out.

mod protocol;
mod reply;
mod reply_parser;
mod stage;

pub use protocol::Protocol;
pub use reply::{Reply, ReplyClass, ReplyCode};
pub use reply_parser::{ReplyError, ReplyLimits};
pub use stage::Stage;
