//! The whole: from an envelope and a message to one outcome a recipient.

mod attempt;
mod builder;
mod by_pool;
mod converse;
mod deliver;
mod early;
mod fixed;
mod group;
mod habits;
mod host_memory;
#[cfg(feature = "json")]
mod json;
mod line;
mod recent;
mod report;
mod routes;
mod settle;
mod sources;
mod visit;

pub use builder::{BuildError, DelivererBuilder, DeliveryLimits};
pub use deliver::Deliverer;
pub use group::GroupPlan;
pub use report::{Hop, HopAttempt, Iter, RecipientReport, Report};
pub use sources::SourceAddress;
