//! Which addresses may be dialled: [`AddressPolicy`], and the [`DefaultPolicy`] that tells strangers from relays.

mod address_policy;
mod cidr;
mod combine;
mod default_policy;
mod embedded;
mod special_purpose;
#[cfg(test)]
mod tests;

pub use address_policy::{AddressPolicy, Denial, Origin, Peer, Permitted, Verdict};
pub use cidr::{Cidr, CidrError};
pub use combine::And;
pub use default_policy::{DefaultPolicy, Nat64PrefixError};
