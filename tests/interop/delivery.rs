//! Deliveries by the crate, and what a test says about them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nexthop::deliverer::{DelivererBuilder, Hop};
use nexthop::plan::PlanSettings;
use nexthop::tls::{Roots, Secured};
use nexthop::{
    ClientName, DefaultPolicy, Deliverer, Envelope, HopTls, Host, MemoryResolver, Message, NextHop, Outcome,
    PoolSettings, Protocol, RecipientReport, Report, Route, RouteTable, SessionSettings, Timeouts,
    TlsSettings,
};

use crate::samples::MESSAGE;

const CLIENT: &str = "client.example";

/// Whoever is to be delivered goes along one route. The policy is that of hosts that set none, the DNS is empty.
pub(crate) fn along(route: &str) -> DelivererBuilder {
    by(route.parse().expect("a route"))
}

/// The same to a hop that may say what no text does.
pub(crate) fn to(hop: NextHop) -> DelivererBuilder {
    by(Route::relay(hop))
}

/// The same by MX to an exchanger at a loopback address, where an exchanger may be otherwise never.
pub(crate) fn by_mx(address: SocketAddr) -> DelivererBuilder {
    let dns = MemoryResolver::builder()
        .mx("example.test", 10, "mx.example.test")
        .ipv4("mx.example.test", [127, 0, 0, 1])
        .build()
        .expect("sound records");
    let mut plan = PlanSettings::default();
    plan.mx_port = address.port();
    let policy = DefaultPolicy::default().allow("127.0.0.1".parse().expect("a block"));
    by(Route::mx()).resolver(dns).plan(plan).address_policy(policy)
}

fn by(route: Route) -> DelivererBuilder {
    let table = RouteTable::new(route);
    let builder = Deliverer::builder(CLIENT).router(table).resolver(MemoryResolver::default());
    builder.timeouts(timeouts()).pool(nothing_kept())
}

/// Every delivery has a connection of its own.
fn nothing_kept() -> PoolSettings {
    let mut pool = PoolSettings::default();
    pool.idle = Duration::ZERO;
    pool
}

/// A server that says nothing makes a test fail rather than wait.
fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.session = Some(Duration::from_secs(30));
    timeouts
}

pub(crate) fn session_settings() -> SessionSettings {
    let mut settings = SessionSettings::new(ClientName::parse(CLIENT).expect("a name"));
    settings.timeouts = timeouts();
    settings
}

pub(crate) fn envelope(to: &[impl AsRef<str> + Sync]) -> Envelope {
    let envelope = Envelope::new("sender@example.net").expect("a mailbox");
    to.iter().fold(envelope, |envelope, to| envelope.to(to.as_ref()).expect("a mailbox"))
}

pub(crate) fn message(content: impl Into<String>) -> Message {
    Message::from_bytes(content.into()).expect("lines end in CRLF")
}

/// Delivers a message along a route with nothing but defaults.
pub(crate) async fn deliver(route: &str, to: &[impl AsRef<str> + Sync], message: &Message) -> Report {
    along(route).build().expect("the configuration is sound").deliver(&envelope(to), message).await
}

/// What is told of each recipient: [`line`] by line.
pub(crate) fn told(report: &Report) -> Vec<String> {
    report.iter().map(|(_, outcome)| line(outcome)).collect()
}

/// The word for an outcome, reply code and status, and for a refusal the stage: `failed 550 5.1.1 at rcpt-to`.
pub(crate) fn line(outcome: &Outcome) -> String {
    let code = outcome.reply().map_or_else(|| "-".to_owned(), |reply| reply.code().to_string());
    let (status, stage) = (outcome.status(), outcome.failure().and_then(nexthop::Failure::stage));
    let stage = stage.map(|stage| format!(" at {stage}")).unwrap_or_default();
    format!("{} {code} {status}{stage}", word(outcome))
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered(_) => "delivered",
        Outcome::Deferred(_) => "deferred",
        Outcome::Failed(_) => "failed",
    }
}

/// A hop on this host, by its name.
pub(crate) fn hop(protocol: Protocol, address: SocketAddr, tls: HopTls) -> NextHop {
    let host = Host::parse("localhost").expect("a name");
    NextHop::tcp(protocol, host, address.port()).expect("a port").with_tls(tls)
}

/// Trusts the issuers in a file.
pub(crate) fn trusting(roots: impl Into<PathBuf>) -> TlsSettings {
    let mut settings = TlsSettings::default();
    settings.roots = Roots::File(roots.into());
    settings
}

/// Delivers to `alice` along a route, and says how that went: [`line_with_tls`].
pub(crate) async fn deliver_one(builder: DelivererBuilder) -> String {
    deliver_one_with(&builder.build().expect("the configuration is sound")).await
}

/// The same by a deliverer that may have delivered before.
pub(crate) async fn deliver_one_with(deliverer: &Deliverer) -> String {
    let report = deliverer.deliver(&envelope(&["alice@example.test"]), &message(MESSAGE)).await;
    line_with_tls(&report.recipients()[0])
}

/// [`line`], and of a recipient who was delivered what TLS proved, of another one the kind of failure:
/// `delivered 250 2.0.0, TLSv1.3 pkix`, `deferred - 4.7.5 at start-tls, securing`.
pub(crate) fn line_with_tls(report: &RecipientReport) -> String {
    let more = match report.outcome.failure() {
        Some(failure) => failure.kind().to_string(),
        None => report.hop.as_ref().and_then(Hop::secured).map_or("in the clear".into(), proof),
    };
    format!("{}, {more}", line(&report.outcome))
}

fn proof(secured: &Secured) -> String {
    format!("{} {}", secured.version(), secured.proof())
}
