//! Connections that are shared and kept.

mod endpoint;
mod group;
mod key;
mod lease;
#[cfg(test)]
mod limit_tests;
mod line;
mod settings;
mod shared;
mod slot;
mod source;
mod tend;
#[cfg(test)]
mod tests;
mod ticket;
mod turn;

pub(crate) use endpoint::OtherConnections;
pub(crate) use group::Carried;
pub(crate) use key::Key;
pub(crate) use lease::{Lease, Queue};
pub use settings::PoolSettings;
pub use shared::PoolCounts;
pub(crate) use shared::{Member, Pool};
pub(crate) use slot::Slot;
pub(crate) use ticket::Ticket;
pub(crate) use turn::{Entry, Offer, Place, Turn};
