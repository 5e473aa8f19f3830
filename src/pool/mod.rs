//! Connections that are shared and kept.

mod key;
mod lease;
mod settings;
mod shared;
#[cfg(test)]
mod tests;

pub(crate) use key::Key;
pub(crate) use lease::{Lease, Queue};
pub use settings::PoolSettings;
pub use shared::PoolCounts;
pub(crate) use shared::{Carried, Entry, Offer, Place, Pool, Slot, Turn};
