//! What the benches compare: this crate, a client that does nothing but send and count replies, and two other crates.
//! Each keeps its connections.

mod bare;
mod client;
mod connection;
mod job;
mod lettre;
mod mail_send;
mod nexthop;

pub(crate) use client::{Client, Kind};
pub(crate) use job::{Job, Target};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
