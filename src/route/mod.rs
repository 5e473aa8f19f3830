//! Where mail goes, as a router says it: routes, next hops, endpoints.

mod next_hop;
mod route;

pub use next_hop::{Endpoint, NextHop};
pub use route::{MxRoute, Route};
