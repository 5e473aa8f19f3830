//! A server that takes every message and keeps none, as fast as it can: what the benches deliver to.

mod dialogue;
mod identity;
mod server;

pub(crate) use identity::Identity;
pub(crate) use server::{Sink, SinkSettings};
