//! Outbound mail delivery as a library.

// floor 0: words
pub mod mail;
mod status;
// floor 1: the protocol
pub mod proto;
// floor 2: routes and results
pub mod route;
// floor 3: the questions a host may answer itself
pub mod router;

pub use mail::{DnsName, Domain, Host, Mailbox, MailboxDomain};
pub use mail::{Envelope, ForwardPath, Postmaster, Recipient, ReversePath};
pub use mail::{EnvelopeId, Notify, NotifyOn, OriginalRecipient, RecipientDsn, Ret};
pub use proto::Protocol;
pub use route::{Endpoint, Families, HopTarget, MxRoute, NextHop, Route, RouteReason};
pub use router::{Attempt, Pattern, RouteRequest, RouteTable, Router, RouterError};
pub use status::{EnhancedCode, StatusClass};
