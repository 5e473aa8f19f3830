//! Outbound mail delivery as a library.

// floor 0: words
pub mod mail;
mod status;
// floor 1: the protocol
pub mod proto;
// floor 2: routes and results
pub mod resolver;
pub mod route;

pub use mail::{DnsName, Domain, Host};
pub use proto::Protocol;
#[cfg(feature = "hickory")]
pub use resolver::HickoryResolver;
pub use resolver::{MemoryResolver, ResolveError, Resolver};
pub use route::{Endpoint, MxRoute, NextHop, Route};
pub use status::{EnhancedCode, StatusClass};
