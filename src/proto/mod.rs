//! The protocol without sockets and without a clock: bytes go in, bytes and verdicts come out.

mod protocol;

pub use protocol::Protocol;
