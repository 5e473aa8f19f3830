//! What every test needs: a deliverer, a message, and the words that went over the wire.

use std::time::Duration;

use nexthop::deliverer::DelivererBuilder;
use nexthop::testing::ScriptedServer;
use nexthop::tls::Roots;
use nexthop::{
    DefaultPolicy, Deliverer, Envelope, MemoryResolver, Message, PoolSettings, Protocol, RecipientReport,
    Route, RouteTable, TlsLevel, TlsSettings,
};

use crate::pki::{HOST, Pki};

/// Names that lead to the servers of a test.
const NAMES: [&str; 4] = [HOST, "other.example", "xn--bcher-kva.example", "mx.good.example"];

/// A session in the clear, and one by STARTTLS.
pub(crate) const CLEAR: &str = "EHLO MAIL RCPT DATA content QUIT";
pub(crate) const BY_STARTTLS: &str = "EHLO STARTTLS <tls> EHLO MAIL RCPT DATA content QUIT";

/// The name of the protocol's first command.
pub(crate) fn hello(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "EHLO",
        Protocol::Lmtp => "LHLO",
    }
}

/// A level, with the root of the tests.
pub(crate) fn settings(pki: &Pki, level: TlsLevel) -> TlsSettings {
    let mut settings = TlsSettings::default();
    settings.level = level;
    settings.roots = Roots::File(pki.roots());
    settings
}

/// A deliverer that takes every recipient to one route, with the names of the tests.
pub(crate) fn builder(route: Route, tls: TlsSettings) -> DelivererBuilder {
    let resolver = NAMES
        .into_iter()
        .fold(MemoryResolver::builder(), |resolver, name| resolver.ipv4(name, [127, 0, 0, 1]));
    let resolver = resolver.mx("example.org", 10, HOST).build().unwrap();
    Deliverer::builder("client.example")
        .resolver(resolver)
        .address_policy(DefaultPolicy::default().allow("127.0.0.1".parse().unwrap()))
        .router(RouteTable::new(route))
        .tls(tls)
        .pool(nothing_kept())
}

/// Every delivery has a connection of its own.
fn nothing_kept() -> PoolSettings {
    let mut pool = PoolSettings::default();
    pool.idle = Duration::ZERO;
    pool
}

pub(crate) fn deliverer(hop: &str, tls: TlsSettings) -> Deliverer {
    builder(hop.parse().unwrap(), tls).build().unwrap()
}

/// The route to a server under the name of the tests: `smtp://good.example:2525`.
pub(crate) fn hop(scheme: &str, server: &ScriptedServer) -> String {
    hop_to(scheme, HOST, server)
}

pub(crate) fn hop_to(scheme: &str, host: &str, server: &ScriptedServer) -> String {
    format!("{scheme}://{host}:{}", server.address().port())
}

/// What became of a message to one recipient. A delivery that takes too long fails the test instead of stopping it.
pub(crate) async fn send(deliverer: &Deliverer) -> RecipientReport {
    send_to(deliverer, "ann@example.org").await
}

pub(crate) async fn send_to(deliverer: &Deliverer, recipient: &str) -> RecipientReport {
    let envelope = Envelope::new("news@example.net").unwrap().to(recipient).unwrap();
    let message = Message::from_text("Subject: x\n\nx\n").unwrap();
    let report = tokio::time::timeout(Duration::from_secs(20), deliverer.deliver(&envelope, &message));
    report.await.expect("a delivery without end").recipients()[0].clone()
}

/// One message to a hop.
pub(crate) async fn sent(hop: &str, tls: TlsSettings) -> RecipientReport {
    send(&deliverer(hop, tls)).await
}

/// The outcome in a few words: `delivered clear`, `delivered pkix`, `deferred 4.7.5 securing start-tls`.
pub(crate) fn outcome(report: &RecipientReport) -> String {
    let Some(failure) = report.outcome.failure() else {
        let secured = report.hop.as_ref().and_then(|hop| hop.secured());
        return format!(
            "delivered {}",
            secured.map_or("clear".into(), |secured| secured.proof().to_string())
        );
    };
    let word = if failure.is_permanent() { "failed" } else { "deferred" };
    let stage = failure.stage().map_or("no stage".into(), |stage| stage.to_string());
    format!("{word} {} {} {stage}", failure.status(), failure.kind())
}

/// The words of each connection, in order: the verbs of the client (LHLO counts as EHLO), `content`, `<tls>` where a
/// handshake began, `<no-tls>` where it failed, `<record>` for a TLS record that a script took, `<cut>` for the end of
/// TLS without close_notify. Alerts in the clear are left out.
pub(crate) async fn wire(server: &ScriptedServer) -> Vec<String> {
    server.ended().await;
    let words =
        |lines: &Vec<String>| lines.iter().filter_map(|line| word(line)).collect::<Vec<_>>().join(" ");
    server.transcript().iter().map(words).collect()
}

fn word(line: &str) -> Option<String> {
    let known = [
        ("S: <tls>", "<tls>"),
        ("C: <no tls", "<no-tls>"),
        ("C: <content", "content"),
        ("C: <tls record", "<record>"),
        ("C: <no close_notify>", "<cut>"),
        ("C: LHLO", "EHLO"),
    ];
    if let Some((_, word)) = known.iter().find(|(start, _)| line.starts_with(start)) {
        return Some((*word).to_owned());
    }
    let said = line.strip_prefix("C: ")?;
    let verb = said.split(' ').next().unwrap_or(said);
    (!verb.starts_with(r"\u{15}")).then(|| verb.to_owned())
}
