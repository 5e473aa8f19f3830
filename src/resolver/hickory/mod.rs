//! [`HickoryResolver`]: a stub resolver over the exchanges of hickory.

mod exchange;
mod response;
mod settings;
mod stub;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
mod walk;
mod wire;

pub use settings::{DnssecMode, ResolverSettings};
pub use stub::{HickoryResolver, SystemConfigError};
