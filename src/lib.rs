//! Outbound mail delivery as a library.

// floor 0: words
mod escape;
pub mod mail;
mod status;
// floor 1: the protocol
pub mod proto;
// floor 2: routes and results
mod outcome;
pub mod route;

pub use mail::{
    DnsName, Domain, Envelope, EnvelopeId, ForwardPath, Host, Mailbox, MailboxDomain, Message, Notify,
    NotifyOn, OriginalRecipient, Postmaster, Recipient, RecipientDsn, Ret, ReversePath,
};
pub use outcome::{Delivered, Failure, FailureKind, Outcome};
pub use proto::{ClientName, Protocol, Reply, Stage};
pub use route::{Endpoint, MxRoute, NextHop, Route};
pub use status::{EnhancedCode, StatusClass};
