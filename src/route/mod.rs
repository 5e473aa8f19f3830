//! Where mail goes, as a router says it: routes, next hops, endpoints, and their text form.

mod kinds;
mod next_hop;
mod security;
mod text;

pub use kinds::{Families, MxRoute, Route, RouteReason};
pub use next_hop::{Endpoint, HopTarget, NextHop, NextHopError};
pub use security::{HopTls, TlsLevel, TlsLevelError};
pub use text::RouteParseError;
