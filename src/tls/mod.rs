//! What a connection must prove, and how it is proved: TLS by rustls (RFC 3207, RFC 8314, RFC 9325).

mod connector;
#[cfg(test)]
mod connector_tests;
mod error;
mod remembering;
#[cfg(test)]
mod remembering_tests;
mod requirement;
mod secured;
mod settings;
mod verifier;

pub(crate) use connector::{Connector, Handshake, Peer, binding};
pub use error::TlsError;
pub use requirement::{Promise, Requirement, Start};
pub use secured::{Proof, Secured, TlsVersion};
#[cfg(feature = "testing")]
pub(crate) use settings::default_provider;
pub use settings::{ClientIdentity, Roots, TlsSettings, TlsSettingsError};
