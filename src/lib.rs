//! Outbound mail delivery as a library.

// The modules stand in the order of their floors; a module uses only floors above its own.
// rustfmt would sort them within a block, so a comment stands between those whose order says something.

// floor 0: words
mod escape;
pub mod mail;
mod status;
// floor 1: the protocol
pub mod proto;
// floor 2: routes and results
mod outcome;
pub mod route;
// floor 3: the questions a host may answer itself
pub mod policy;
pub mod router;
// floor 6: tools for the tests of a host
#[cfg(feature = "testing")]
pub mod testing;

pub use mail::{
    DnsName, Domain, Envelope, EnvelopeId, ForwardPath, Host, Mailbox, MailboxDomain, Message, Notify,
    NotifyOn, OriginalRecipient, Postmaster, Recipient, RecipientDsn, Ret, ReversePath,
};
pub use outcome::{Delivered, Failure, FailureKind, Outcome};
pub use policy::{AddressPolicy, DefaultPolicy};
pub use proto::{ClientName, Protocol, Reply, Stage};
pub use route::{Endpoint, Families, HopTarget, MxRoute, NextHop, Route, RouteReason};
pub use router::{Attempt, Pattern, RouteRequest, RouteTable, Router, RouterError};
pub use status::{EnhancedCode, StatusClass};
