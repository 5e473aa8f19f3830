//! Where mail goes, as a router says it: routes, next hops, endpoints, and their text form.

mod hop_error;
mod kinds;
mod lookup;
mod next_hop;
mod next_hops;
mod scheme;
mod security;
mod text;
mod weight;

pub use hop_error::NextHopError;
pub use kinds::{Families, MxRoute, Route, RouteReason};
pub use lookup::RelayLookup;
pub use next_hop::{Endpoint, HopTarget, NextHop};
pub use next_hops::NextHops;
pub use security::{HopTls, TlsLevel, TlsLevelError};
pub use text::RouteParseError;
pub(crate) use weight::{by_weight, in_turn};
