//! The words of mail: names, mailboxes, the envelope, the message. No I/O, no decisions.

mod domain;
mod dsn;
mod envelope;
mod host;
mod local_part;
mod mailbox;
pub(crate) mod xtext;

pub use domain::{DnsName, Domain, DomainError};
pub use dsn::{DsnError, EnvelopeId, Notify, NotifyOn, OriginalRecipient, RecipientDsn, Ret};
pub use envelope::{Envelope, ForwardPath, Postmaster, Recipient, ReversePath};
pub use host::{Host, HostError};
pub use mailbox::{Mailbox, MailboxDomain, MailboxError};
