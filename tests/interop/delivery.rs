//! Deliveries by the crate, and what a test says about them.

use std::time::Duration;

use nexthop::deliverer::DelivererBuilder;
use nexthop::{
    ClientName, Deliverer, Envelope, MemoryResolver, Message, Outcome, Report, RouteTable, SessionSettings,
    Timeouts,
};

const CLIENT: &str = "client.example";

/// Whoever is to be delivered goes along one route. The policy is that of hosts that set none, the DNS is empty.
pub(crate) fn along(route: &str) -> DelivererBuilder {
    let table = RouteTable::new(route.parse().expect("a route"));
    Deliverer::builder(CLIENT).router(table).resolver(MemoryResolver::default()).timeouts(timeouts())
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
