//! One hop, decided: from a route to the addresses that may be dialled, with the reason of every decision.

mod addresses;
mod candidate;
mod destination;
mod explain;
mod hop;
mod lookup;
mod mx;
mod outline;
mod part;
mod planner;
#[cfg(test)]
mod planner_tests;
mod planning;
#[cfg(test)]
mod planning_tests;
#[cfg(test)]
mod relay_tests;
mod selection;
mod settings;
mod source;

pub use candidate::{Candidate, Dial, DialTarget, Note, Plan, Standing};
pub use destination::Destination;
pub use planner::Planner;
pub(crate) use planning::{HostPlan, Planning};
pub use settings::PlanSettings;
