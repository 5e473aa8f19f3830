//! The words of mail: names, mailboxes, the envelope, the message. No I/O, no decisions.

mod domain;
mod host;

pub use domain::{DnsName, Domain, DomainError};
pub use host::{Host, HostError};
