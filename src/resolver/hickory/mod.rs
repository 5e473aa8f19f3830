//! [`HickoryResolver`]: a stub resolver over the DNS messages of hickory.

mod cache;
mod edns;
#[cfg(feature = "testing")]
mod entry_points;
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

#[cfg(feature = "testing")]
pub use entry_points::{DnsStep, DnsWalk};
pub use settings::{DnssecMode, ResolverSettings};
pub use stub::HickoryResolver;
pub use system::SystemConfigError;
