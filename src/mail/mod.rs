//! The words of mail: names, mailboxes, the envelope, the message.

mod content_facts;
mod content_reader;
mod domain;
mod dsn;
mod envelope;
mod host;
mod local_part;
mod mailbox;
mod message;
mod mime_headers;
mod xtext;

pub use content_facts::{ContentFacts, LineEndError};
pub use content_reader::ContentReader;
pub use domain::{DnsName, Domain, DomainError};
pub use dsn::{DsnError, EnvelopeId, Notify, NotifyOn, OriginalRecipient, RecipientDsn, Ret};
pub use envelope::{Envelope, EnvelopeError, ForwardPath, Postmaster, Recipient, ReversePath};
pub use host::{Host, HostError};
pub use mailbox::{Mailbox, MailboxDomain, MailboxError};
pub use message::{Message, MessageError};
