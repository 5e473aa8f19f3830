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
mod local;
pub mod policy;
pub mod resolver;
pub mod router;
// floor 4: what a connection must prove
pub mod tls;
// floor 5: one hop, decided
pub mod plan;
// floor 6: one connection
pub mod transport;
// floor 7: the whole
pub mod deliverer;

// beside the floors: for tests, the crate's own and those of hosts
#[cfg(feature = "testing")]
pub mod testing;

pub use deliverer::{Deliverer, RecipientReport, Report};
pub use local::{LocalDelivery, LocalRequest};
pub use mail::{
    DnsName, Domain, Envelope, EnvelopeId, ForwardPath, Host, Mailbox, MailboxDomain, Message, Notify,
    NotifyOn, OriginalRecipient, Postmaster, Recipient, RecipientDsn, Ret, ReversePath,
};
pub use outcome::{Delivered, Failure, FailureKind, Outcome};
pub use policy::{AddressPolicy, DefaultPolicy};
pub use proto::{ClientName, Protocol, Reply, Stage};
#[cfg(feature = "hickory")]
pub use resolver::HickoryResolver;
pub use resolver::{MemoryResolver, ResolveError, Resolver};
pub use route::{Endpoint, Families, HopTarget, HopTls, MxRoute, NextHop, Route, RouteReason, TlsLevel};
pub use router::{Attempt, Pattern, RouteRequest, RouteTable, Router, RouterError};
pub use status::{EnhancedCode, StatusClass};
pub use tls::TlsSettings;
pub use transport::{Session, SessionSettings, Timeouts};
