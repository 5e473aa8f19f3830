//! The manual: what the crate does, exactly, for those who run it and those who build it in. No code.

#[doc = include_str!("address_policy.md")]
pub mod address_policy {}
#[doc = include_str!("bounds.md")]
pub mod bounds {}
#[doc = include_str!("conformance.md")]
pub mod conformance {}
#[doc = include_str!("content.md")]
pub mod content {}
#[doc = include_str!("credentials.md")]
pub mod credentials {}
#[doc = include_str!("embedding.md")]
pub mod embedding {}
#[doc = include_str!("observing.md")]
pub mod observing {}
#[doc = include_str!("outcomes.md")]
pub mod outcomes {}
#[doc = include_str!("routing.md")]
pub mod routing {}
#[cfg(feature = "testing")]
#[doc = include_str!("testing.md")]
pub mod testing {}
#[doc = include_str!("tls.md")]
pub mod tls {}
#[doc = include_str!("tuning.md")]
pub mod tuning {}
