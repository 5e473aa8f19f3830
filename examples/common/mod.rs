//! What the example programs share.

pub(crate) mod connection;
pub(crate) mod exit;
pub(crate) mod identity;
mod limits;
