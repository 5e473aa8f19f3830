//! One hop, decided: from a route to the addresses that may be dialled, with the reason of every decision.

mod addresses;
mod candidate;
mod destination;
mod explain;
mod mx;
mod planner;
#[cfg(test)]
mod planner_tests;
mod settings;

pub use candidate::{Candidate, Dial, Plan, Standing};
pub use destination::Destination;
pub use planner::Planner;
pub use settings::PlanSettings;
