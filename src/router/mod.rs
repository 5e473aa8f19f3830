//! Where the mail of a recipient goes: the question, and answers to it.

mod ask;
mod fallback;
#[cfg(feature = "json")]
mod json_routes;
mod pattern;
mod table;

pub use ask::{Attempt, RouteRequest, Router, RouterError};
pub use fallback::{FallbackRelay, NoFallbackHops};
#[cfg(feature = "json")]
pub use json_routes::{JsonRouteError, JsonRoutesError};
pub use pattern::{Pattern, PatternError};
pub use table::RouteTable;
