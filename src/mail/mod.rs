//! The words of mail: names, mailboxes, the envelope, the message.

mod content_facts;
mod domain;
mod host;
mod message;

pub(crate) use content_facts::ContentScan;
pub use content_facts::{ContentFacts, LineEndError};
pub use domain::{DnsName, Domain, DomainError};
pub use host::{Host, HostError};
pub(crate) use message::ContentFile;
pub use message::{Message, MessageError};
