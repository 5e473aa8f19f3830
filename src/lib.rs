//! Brings a message to the next hop of each of its recipients, over SMTP or LMTP, and returns one outcome a
//! recipient.
//!
//! ```
//! use nexthop::testing::ScriptedServer; // an LMTP server for tests; feature `testing`
//! use nexthop::{Deliverer, Envelope, Message, Route, RouteTable};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = ScriptedServer::lmtp().listen_tcp().await?;
//! let lmtp = format!("lmtp://localhost:{}", store.address().port());
//!
//! let deliverer = Deliverer::builder("mail.example.net")
//!     .router(RouteTable::new(Route::mx()).domain("lists.example", lmtp.parse()?)?)
//!     .build()?;
//! let envelope = Envelope::new("news@example.net")?.to("ann@lists.example")?;
//! let message = Message::from_text("Subject: hello\n\nworld\n")?;
//! for (recipient, outcome) in &deliverer.deliver(&envelope, &message).await {
//!     println!("{recipient}: {outcome}");
//!     assert!(outcome.is_delivered());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What a host can put in the place of ours
//!
//! | trait | the question | what there is |
//! |---|---|---|
//! | [`Router`] | where does this recipient's mail go? | [`RouteTable`], and [`FallbackRelay`] around any |
//! | [`Resolver`] | what does the DNS say of this name? | `HickoryResolver` (feature `hickory`), [`MemoryResolver`] |
//! | [`AddressPolicy`] | may this address be dialled? | [`DefaultPolicy`] |
//! | [`LocalDelivery`] | keep this message for these recipients | none: it is the host's store |
//! | [`CredentialProvider`] | who is the client at this relay? | [`StoredCredentials`], [`StaticCredentials`] |
//! | [`Dialer`] | open a connection to this address | [`SystemDialer`], [`Socks5Dialer`], [`ProxyProtocolDialer`], [`Proxy`] from a URL |
//! | [`Observer`] | hear what happens on connections | none: its words are the host's |
//!
//! # A delivery
//!
//! ```text
//!  envelope + message
//!         │  for each recipient: Router::route            Local ─▶ LocalDelivery
//!         ▼                                               Refuse/Defer ─▶ outcome
//!  groups of recipients with equal routes
//!         │  plan: MX order, null MX, loop rule, limits ◀── Resolver
//!         ▼
//!  candidates, in order ── AddressPolicy::check ─▶ Permitted (the only thing that can be dialled)
//!         │  who the client is, at relays only ◀── CredentialProvider
//!         │  pool: a connection that is kept and promises the same, or a turn on one, or a new one:
//!         │    transport: TCP or unix socket, the addresses of a host in a race
//!         │    greeting, EHLO or LHLO
//!         │    tls: STARTTLS or from the first octet ─▶ Secured, what the server proved
//!         │    login: AUTH
//!         ▼                                                          ─▶ Observer
//!  proto: MAIL, RCPT, DATA or BDAT ─▶ one verdict a recipient; the connection goes back to the pool
//!         │  unresolved recipients go on to the next candidate
//!         ▼
//!  Report: one Outcome a recipient, with the attempts that led to it
//! ```
//!
//! Each step can be used alone: a [`Router`], [`plan::Planner`], [`Session`]. The [manual] says how, and gives the
//! exact rules: [routing](manual::routing), [outcomes and retries](manual::outcomes),
//! [address policy](manual::address_policy), [TLS](manual::tls), [credentials](manual::credentials),
//! [content](manual::content), [bounds and time limits](manual::bounds), [tuning](manual::tuning),
//! [observing](manual::observing), [embedding](manual::embedding), [conformance](manual::conformance).
//! The feature `testing` adds a page on testing a host, `manual::testing`.
//!
//! # What this crate leaves to you
//!
//! - The queue: when to try again, when to give up, how long to keep a message.
//! - Reports to senders. An [`Outcome`] has what one needs to be written (RFC 3464).
//! - The message. Nothing in it is changed; a `Received:` line is put in front by [`Message::with_header`].
//! - How many deliveries run at once, and how fast. Of connections to one server there are no more than
//!   [`PoolSettings::connections`].
//! - Configuration, logs, metrics; an [`Observer`] hears what they need. There is no global state, and no task
//!   outlives a call but the one that closes idle connections; [`Deliverer::close_idle`] is for the end of a process.
//!
//! # Features
//!
//! | feature | what it brings | dependencies it adds |
//! |---|---|---|
//! | `hickory` (default) | `HickoryResolver`, the default resolver | `hickory-resolver` |
//! | `json` | [`Report`]s and plans as JSON, `RouteTable::from_json` | `serde`, `serde_json` |
//! | `testing` | `testing::ScriptedServer`, a scripted SMTP and LMTP server | none |
//! | `aws-lc-rs` (default) | the cryptography of TLS | `aws-lc-rs`, which compiles C |
//! | `ring` | the same, used where `aws-lc-rs` is not enabled | `ring` |
//! | `native-roots` (default) | the trust anchors of the system: [`tls::Roots`] | `rustls-native-certs` |

// The modules stand in the order of their floors; a module uses only floors above its own.
// rustfmt would sort them within a block, so a comment stands between those whose order says something.

// floor 0: words
mod escape;
pub mod mail;
mod random;
mod status;
// floor 1: the protocol
pub mod proto;
// floor 2: routes and results
mod outcome;
pub mod route;
// floor 3: the questions a host may answer itself
mod credentials;
mod local;
mod observer;
pub mod policy;
pub mod resolver;
pub mod router;
// floor 4: what a connection must prove
pub mod tls;
// floor 5: one hop, decided
pub mod plan;
// floor 6: one connection
pub mod transport;
// floor 7: connections that are shared and kept
pub mod pool;
// floor 8: the whole
pub mod deliverer;

// beside the floors: the manual, and what the tests of the crate and of hosts need
pub mod manual;
#[cfg(feature = "testing")]
pub mod testing;

pub use credentials::{
    CredentialError, CredentialProvider, CredentialRequest, StaticCredentials, StoredCredentials,
};
pub use deliverer::{
    BuildError, Deliverer, DelivererBuilder, DeliveryLimits, GroupPlan, Hop, HopAttempt, RecipientReport,
    Report, SourceAddress,
};
pub use local::{LocalDelivery, LocalRequest};
pub use mail::{
    DnsName, Domain, Envelope, EnvelopeId, ForwardPath, Host, Mailbox, MailboxDomain, Message, Notify,
    NotifyOn, OriginalRecipient, Postmaster, Recipient, RecipientDsn, Ret, ReversePath,
};
pub use observer::{Event, Observer, TraceLevels};
pub use outcome::{Delivered, Failure, FailureKind, Outcome};
pub use plan::PlanSettings;
pub use policy::{AddressPolicy, DefaultPolicy};
pub use pool::{PoolCounts, PoolSettings};
pub use proto::{ClientName, Credentials, Mechanism, Protocol, Reply, Stage};
#[cfg(feature = "hickory")]
pub use resolver::HickoryResolver;
pub use resolver::{MemoryResolver, ResolveError, Resolver};
pub use route::{
    Endpoint, Families, HopTarget, HopTls, MxRoute, NextHop, NextHops, RelayLookup, Route, RouteReason,
    TlsLevel,
};
pub use router::{Attempt, FallbackRelay, Pattern, RouteRequest, RouteTable, Router, RouterError};
pub use status::{EnhancedCode, StatusClass};
pub use tls::TlsSettings;
pub use transport::{
    Dialer, LoginSettings, Proxy, ProxyProtocolDialer, Session, SessionSettings, Socks5Dialer, SystemDialer,
    Timeouts,
};

/// The README, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
