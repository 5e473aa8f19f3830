//! [`HickoryResolver`]: a stub resolver over the DNS messages of hickory.

mod cache;
mod edns;
mod exchange;
mod extended_error;
mod lookup;
mod permits;
mod reply;
mod response;
mod servers;
mod settings;
mod stub;
mod system;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
mod udp;
mod walk;
mod wire;

pub use settings::{DnssecMode, ResolverSettings};
pub use stub::HickoryResolver;
pub use system::SystemConfigError;
