//! What a message costs a client, counted in a process of its own.

mod order;
mod report;

pub(crate) use order::Order;
