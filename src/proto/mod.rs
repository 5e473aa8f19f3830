//! The protocol without sockets and without a clock: octets go in, octets and verdicts come out.

mod authentication;
#[cfg(test)]
mod authentication_tests;
mod bdat;
mod capabilities;
#[cfg(test)]
mod chunking_tests;
mod chunks;
mod client_name;
mod command;
mod content;
mod early;
mod expected;
mod flight;
mod input;
mod machine;
mod opening;
#[cfg(test)]
mod opening_tests;
mod output;
mod overlap;
mod parts;
#[cfg(test)]
mod play;
mod protocol;
mod recipients;
mod reply;
mod reply_parser;
mod sasl;
mod single;
mod slots;
mod stage;
#[cfg(test)]
mod surplus_tests;
mod terms;
mod transaction;
#[cfg(test)]
mod transaction_tests;
mod verdict;

pub(crate) use authentication::Authentication;
pub use authentication::AuthenticationFailure;
pub use capabilities::{Capabilities, SizeLimit};
pub use client_name::{ClientName, ClientNameError};
pub(crate) use early::{Ahead, is_hello_unknown};
pub(crate) use flight::Flight;
pub(crate) use input::Input;
pub use machine::{Interruption, ProtocolError};
pub(crate) use machine::{Machine, Need};
pub(crate) use opening::Opening;
pub(crate) use output::{Output, SpokenLine};
pub(crate) use overlap::{Behind, Overlap};
pub use protocol::Protocol;
pub(crate) use recipients::Recipients;
pub use reply::{Reply, ReplyClass, ReplyCode};
pub(crate) use reply_parser::{Heard, ReplyParser};
pub use reply_parser::{ReplyError, ReplyLimits};
pub(crate) use sasl::{ChannelBinding, Nonce, Redaction, SaslPolicy, SaslTerms, choose};
pub use sasl::{
    Credentials, CredentialsError, Mechanism, MechanismSet, SaslError, SaslLimits, Secret, UnknownMechanism,
};
pub(crate) use single::Single;
pub(crate) use slots::Verdicts;
pub use stage::Stage;
pub(crate) use terms::Terms;
pub(crate) use transaction::{Ending, ReplyFault, Transaction};
pub use verdict::Missing;
pub(crate) use verdict::Verdict;
