//! The whole: from an envelope and a message to one outcome a recipient.

mod attempt;
mod builder;
mod deliver;
mod group;
#[cfg(feature = "json")]
mod json;
mod report;
mod settle;

pub use builder::{BuildError, DelivererBuilder, DeliveryLimits};
pub use deliver::Deliverer;
pub use group::GroupPlan;
pub use report::{Hop, HopAttempt, Iter, RecipientReport, Report};
