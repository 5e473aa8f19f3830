//! What the tests have in common: short ways to say what is delivered where, and what became of it.

use std::future::Future;
use std::time::Duration;

use nexthop::deliverer::{DelivererBuilder, Report};
use nexthop::testing::ScriptedServer;
use nexthop::transport::{Session, SessionSettings};
use nexthop::{
    ClientName, Deliverer, Envelope, MemoryResolver, Message, Outcome, PoolSettings, Protocol,
    RecipientReport, Route, RouteTable, Stage, Timeouts,
};
use tokio::net::TcpStream;

/// What the client calls itself.
pub(crate) const CLIENT: &str = "client.example";

/// A time that only a test which hangs takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs to the end, or fails the test that would hang.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("the client waits for ever")
}

/// Everything goes to these next hops, in turn; no name is known.
pub(crate) fn builder(route: &str) -> DelivererBuilder {
    let route: Route = route.parse().unwrap();
    let nobody = MemoryResolver::builder().build().unwrap();
    let builder = Deliverer::builder(CLIENT).router(RouteTable::new(route)).resolver(nobody);
    builder.timeouts(timeouts(|_| ())).pool(nothing_kept())
}

/// Returns the same builder, with content sent together with its commands.
pub(crate) fn single_flight(route: &str) -> DelivererBuilder {
    builder(route).single_flight_limit(SINGLE_FLIGHT)
}

/// Size of the largest message that is sent together with its commands, in bytes, in tests that allow it.
pub(crate) const SINGLE_FLIGHT: usize = 64 * 1024;

/// Every delivery has a connection of its own.
pub(crate) fn nothing_kept() -> PoolSettings {
    let mut pool = PoolSettings::default();
    pool.idle = Duration::ZERO;
    pool
}

/// The time limits of the RFC, but a short one where a test waits for it to pass.
pub(crate) fn timeouts(change: impl FnOnce(&mut Timeouts)) -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.quit = SOON;
    change(&mut timeouts);
    timeouts
}

/// A time limit that a test waits for.
pub(crate) const SOON: Duration = Duration::from_millis(100);

/// `a b` is from `s@example.net` to `a@x.example` and `b@x.example`.
pub(crate) fn envelope(to: &str) -> Envelope {
    let envelope = Envelope::new("s@example.net").unwrap();
    to.split_whitespace().fold(envelope, |envelope, name| envelope.to(&format!("{name}@x.example")).unwrap())
}

pub(crate) fn message() -> Message {
    Message::from_bytes("Subject: x\r\n\r\ntext\r\n").unwrap()
}

/// The route that leads to these servers, in turn.
pub(crate) fn route(servers: &[&ScriptedServer]) -> String {
    servers.iter().map(|server| server.url()).collect::<Vec<_>>().join(",")
}

/// Delivers a short message to servers, in turn.
pub(crate) async fn deliver(servers: &[&ScriptedServer], to: &str) -> Report {
    let deliverer = builder(&route(servers)).build().unwrap();
    in_time(deliverer.deliver(&envelope(to), &message())).await
}

/// What became of the recipients of [`deliver`].
pub(crate) async fn outcomes(servers: &[&ScriptedServer], to: &str) -> Vec<String> {
    shown(&deliver(servers, to).await)
}

/// A server that speaks these dialogues, one a connection.
pub(crate) async fn script(dialogues: &[&str]) -> ScriptedServer {
    let (first, others) = dialogues.split_first().unwrap();
    let script = others.iter().fold(ScriptedServer::script(first), |script, next| script.then(next));
    script.listen_tcp().await.unwrap()
}

/// A session with a server.
pub(crate) async fn session(server: &ScriptedServer) -> Session<TcpStream> {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let protocol = if server.url().starts_with("lmtp") { Protocol::Lmtp } else { Protocol::Smtp };
    in_time(Session::open(stream, protocol, settings())).await.unwrap()
}

pub(crate) fn settings() -> SessionSettings {
    let mut settings = SessionSettings::new(ClientName::parse(CLIENT).unwrap());
    settings.timeouts = timeouts(|_| ());
    settings
}

/// `delivered 2.0.0`, `deferred refused rcpt-to 4.2.2`, `failed …`; with `?` behind it the message may have arrived.
pub(crate) fn word(outcome: &Outcome) -> String {
    let (word, failure) = match outcome {
        Outcome::Delivered(_) => return format!("delivered {}", outcome.status()),
        Outcome::Deferred(failure) => ("deferred", failure),
        Outcome::Failed(failure) => ("failed", failure),
    };
    let stage = failure.stage().map_or("-".into(), |stage: Stage| stage.to_string());
    let arrived = if failure.may_have_arrived() { "?" } else { "" };
    format!("{word} {} {stage} {}{arrived}", failure.kind(), failure.status())
}

pub(crate) fn words(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().map(word).collect()
}

pub(crate) fn shown(report: &Report) -> Vec<String> {
    report.iter().map(|(_, outcome)| word(outcome)).collect()
}

/// The kinds of the failures at other hops than the one that decided.
pub(crate) fn attempts(report: &RecipientReport) -> Vec<String> {
    report.attempts.iter().map(|attempt| attempt.failure().kind().to_string()).collect()
}

/// What the client said on a connection of a server, in one line.
pub(crate) fn said(server: &ScriptedServer, connection: usize) -> String {
    let lines = &server.transcript()[connection];
    lines.iter().filter_map(|line| line.strip_prefix("C: ")).collect::<Vec<_>>().join("|")
}

/// How often the client said a command, on all connections.
pub(crate) fn count(server: &ScriptedServer, command: &str) -> usize {
    let start = format!("C: {command}");
    server.transcript().iter().flatten().filter(|line| line.starts_with(&start)).count()
}

/// The recipients of each message that a server got, without their domain.
pub(crate) fn taken(server: &ScriptedServer) -> Vec<String> {
    let names = |recipients: &[String]| recipients.join(" ").replace("@x.example", "");
    server.messages().iter().map(|message| names(&message.recipients)).collect()
}
