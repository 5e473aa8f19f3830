//! SASL (RFC 4422) for a client, without sockets, clock or randomness: mechanisms as small machines, and the
//! choice between them.

mod channel_binding;
mod choice;
mod cram_md5;
mod credentials;
mod error;
mod exchange;
mod hash;
mod limits;
mod mechanism;
mod mechanism_set;
mod nonce;
mod plain;
mod prepare;
mod redaction;
mod scram;
#[cfg(test)]
mod scram_tests;
mod secret;

pub(crate) use channel_binding::ChannelBinding;
pub(crate) use choice::{SaslPolicy, choose};
pub use credentials::Credentials;
pub use error::{CredentialsError, SaslError};
pub(crate) use exchange::{Exchange, SaslTerms, exchange};
pub use limits::SaslLimits;
pub use mechanism::{Mechanism, UnknownMechanism};
pub use mechanism_set::MechanismSet;
pub(crate) use nonce::Nonce;
pub(crate) use redaction::{Redaction, shown_line};
pub use secret::Secret;
pub(crate) use secret::SecretOctets;
