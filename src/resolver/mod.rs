//! What the DNS says: the [`Resolver`] trait and its implementations.

mod answer;
mod error;
#[cfg(feature = "hickory")]
mod hickory;
mod memory;
mod memory_builder;
mod question;
mod record;
mod resolve;
mod special_names;

pub use answer::{Answer, Security};
pub use error::ResolveError;
#[cfg(all(feature = "hickory", feature = "testing"))]
#[doc(hidden)]
pub use hickory::{DnsStep, DnsWalk};
#[cfg(feature = "hickory")]
pub use hickory::{DnssecMode, HickoryResolver, ResolverSettings, SystemConfigError};
pub use memory::MemoryResolver;
pub use memory_builder::{MemoryResolverBuilder, ScriptError};
pub use question::{Query, RecordKind, Requester};
pub use record::{Exchange, Mx, Srv, Tlsa, Txt};
pub use resolve::Resolver;
