//! Runs a cell: delivers its messages, and hands reports and ledger to the judge.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use nexthop::deliverer::{DelivererBuilder, Report};
use nexthop::tls::{Roots, TlsSettings};
use nexthop::{
    Deliverer, Envelope, MemoryResolver, Message, PoolSettings, Protocol, Route, RouteTable, Timeouts,
};
use tokio::time::{sleep, timeout};

use crate::cells::{Cell, Sharing};
use crate::clock::{self, Activity};
use crate::fault::Step;
use crate::judge::{self, Violation};
use crate::ledger::Ledger;
use crate::server::Server;

/// Time limit of each step of a delivery.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(2);
/// Time after which a delivery hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between messages on a kept connection, in which a late surplus reply arrives.
const BETWEEN: Duration = clock::STEP;
/// Time after which a connection that is kept is closed.
const KEPT: Duration = Duration::from_secs(600);

/// A message with the report on it; `None` if the delivery did not end.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) message: usize,
    pub(crate) report: Option<Report>,
}

/// The result of a cell.
#[derive(Debug)]
pub(crate) struct CellResult {
    pub(crate) violations: Vec<Violation>,
    pub(crate) ledger: Ledger,
    /// The reports, as lines.
    pub(crate) reports: Vec<String>,
}

/// Runs a cell in a runtime of its own, with a server on this path.
pub(crate) fn run(cell: &Cell, path: &Path) -> CellResult {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (server, deliveries) = runtime.block_on(async {
        let activity = Activity::default();
        let server = Server::listen(cell, path, activity.clone());
        tokio::spawn(clock::drive(activity));
        let deliveries = deliver_all(cell, &server, &deliverer(cell, path)).await;
        (server, deliveries)
    });
    drop(runtime);
    server.remove_socket();
    let ledger = server.ledger().clone();
    let violations = judge::judge(cell, &ledger, &deliveries);
    CellResult { violations, ledger, reports: deliveries.iter().map(shown).collect() }
}

fn shown(delivery: &Delivery) -> String {
    let report = delivery.report.as_ref().map(Report::to_string);
    format!("m{} {}", delivery.message, report.unwrap_or_default().replace('\n', ", "))
}

fn deliverer(cell: &Cell, path: &Path) -> Deliverer {
    let scheme = if cell.transport.protocol == Protocol::Lmtp { "lmtp+unix" } else { "smtp+unix" };
    let route: Route = format!("{scheme}://{}", path.display()).parse().unwrap();
    let mut pool = PoolSettings::default();
    pool.connections = 1;
    pool.idle = if cell.sharing == Sharing::Fresh { Duration::ZERO } else { KEPT };
    let mut tls = TlsSettings::default();
    tls.roots = Roots::None;
    let builder = Deliverer::builder("client.example")
        .router(RouteTable::new(route))
        .resolver(MemoryResolver::builder().build().unwrap())
        .timeouts(timeouts())
        .tls(tls)
        .pool(pool);
    with_single_flight(builder, cell.transport.single_flight).build().unwrap()
}

/// Lets content precede the replies to RCPT, which it must not do by default.
fn with_single_flight(builder: DelivererBuilder, is_allowed: bool) -> DelivererBuilder {
    if is_allowed { builder.single_flight_limit(64 * 1024) } else { builder }
}

fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.connect = TIME_LIMIT;
    timeouts.greeting = TIME_LIMIT;
    timeouts.hello = TIME_LIMIT;
    timeouts.mail = TIME_LIMIT;
    timeouts.recipient = TIME_LIMIT;
    timeouts.data_start = TIME_LIMIT;
    timeouts.data_block = TIME_LIMIT;
    timeouts.final_reply = TIME_LIMIT;
    timeouts.quit = TIME_LIMIT;
    timeouts
}

/// Delivers the messages of a cell, and one or two more that the server has no fault for: the reply to a RSET behind the
/// last message may disturb the next.
async fn deliver_all(cell: &Cell, server: &Server, deliverer: &Deliverer) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    let rounds: &[&[usize]] = match cell.sharing {
        Sharing::Fresh => &[&[1], &[2], &[5], &[6]],
        Sharing::Kept => &[&[1], &[2], &[3], &[5], &[6]],
        Sharing::Leader | Sharing::Follower => &[&[1], &[2, 3, 4], &[5], &[6]],
    };
    let is_needed = |round: &&&[usize]| **round != [5] || !cell.is_single() || cell.fault.step == Step::Reset;
    for round in rounds.iter().filter(is_needed) {
        if round[0] > 4 {
            server.heal();
        }
        let round = round.iter().map(|message| deliver(cell, server, deliverer, *message));
        deliveries.extend(join_all(round).await);
        sleep(BETWEEN).await;
    }
    deliverer.close_idle().await;
    deliveries
}

async fn deliver(cell: &Cell, server: &Server, deliverer: &Deliverer, message: usize) -> Delivery {
    let envelope = Envelope::new(&format!("m{message}@sender.example")).unwrap();
    let to = |envelope: Envelope, index| envelope.to(&format!("r{index}@x.example")).unwrap();
    let envelope = (0..cell.recipients).fold(envelope, to);
    let content = Message::from_bytes(server.content(message).to_vec()).unwrap();
    let report = timeout(PATIENCE, deliverer.deliver(&envelope, &content)).await.ok();
    Delivery { message, report }
}
