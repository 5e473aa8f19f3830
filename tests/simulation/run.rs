//! Runs a world in a runtime of its own, and has it judged.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexthop::testing::{HostState, Network};
use nexthop::tls::{Roots, TlsSettings};
use nexthop::{
    Deliverer, DeliveryLimits, MemoryResolver, NextHop, PoolSettings, Route, RouteTable, SourceAddress,
    Timeouts,
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::host::{self, Journal, SharedJournal};
use crate::judge::{self, Violation};
use crate::ledger::Ledger;
use crate::names::Names;
use crate::panics;
use crate::server::{self, Scene};
use crate::world::{Client, Way, World};

/// What came of a world.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) violations: Vec<Violation>,
    pub(crate) transcript: Vec<String>,
}

/// Runs the world of a seed. The transcript has the dialogues if it is to be verbose.
pub(crate) fn run(seed: u64, is_verbose: bool) -> Ran {
    panics::watch();
    let world = World::of_seed(seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(live(&world, is_verbose))
}

async fn live(world: &World, is_verbose: bool) -> Ran {
    let network = Network::new(world.seed);
    let scene = Arc::new(Scene {
        network: network.clone(),
        seed: world.seed,
        calm: Instant::now() + world.storm,
        contents: world.messages.iter().map(|message| message.content.clone()).collect(),
        ledger: Mutex::new(Ledger::default()),
        is_verbose,
    });
    for (number, settings) in world.servers.iter().enumerate() {
        let listener = match &settings.endpoint {
            nexthop::Endpoint::Tcp(address) => network.listen(*address),
            nexthop::Endpoint::Unix(path) => network.listen_unix(path),
        };
        let listener = listener.unwrap();
        listener.set_backlog(settings.backlog);
        tokio::spawn(server::serve(Arc::clone(&scene), settings.clone(), number, listener));
        tokio::spawn(outages(Arc::clone(&scene), settings.clone()));
    }
    for partition in &world.partitions {
        match partition.host {
            Some(host) => network.partition(host, partition.from, partition.length),
            None => network.partition_all(partition.from, partition.length),
        }
    }
    let deliverer = deliverer(world, &scene);
    let journal = SharedJournal::default();
    host::journal(&journal).pending =
        world.messages.iter().map(|message| message.recipients.clone()).collect();
    let mut tasks = Vec::new();
    for (number, message) in world.messages.iter().enumerate() {
        let (scene, deliverer, journal) = (Arc::clone(&scene), deliverer.clone(), Arc::clone(&journal));
        tasks.push(tokio::spawn(host::deliver(scene, deliverer, journal, number, message.clone())));
    }
    for time in world.client.closes_idle.clone() {
        let deliverer = deliverer.clone();
        tokio::spawn(async move {
            sleep(time).await;
            deliverer.close_idle().await;
        });
    }
    for task in tasks {
        // a panic is counted
        let _ = task.await;
    }
    deliverer.close_idle().await;
    // connections that were given up are closed in the background
    sleep(world.client.timeout + Duration::from_secs(2)).await;
    let left = world.servers.iter().filter(|server| network.held(&server.endpoint) > 0);
    let left: Vec<_> =
        left.map(|server| format!("the client holds a connection to {}", server.endpoint)).collect();
    // servers learn of the loss of some connections by their patience only
    sleep_until(scene.calm.max(Instant::now()) + server::LONGEST_PATIENCE * 2).await;
    let journal = std::mem::take::<Journal>(&mut host::journal(&journal));
    let mut violations = judge::judge(world, &scene, &journal, &left);
    violations.extend(panics::any().then(Violation::panicked));
    Ran { violations, transcript: network.transcript() }
}

/// Changes the state of a host over time.
async fn outages(scene: Arc<Scene>, settings: crate::world::Server) {
    let (Some(host), began) = (settings.host(), Instant::now()) else { return };
    for outage in &settings.outages {
        sleep_until(began + outage.from).await;
        if scene.is_calm() {
            return;
        }
        scene.network.set_host(host, outage.state);
        scene.note(|| format!("host {host}: {:?}", outage.state));
        sleep_until((Instant::now() + outage.length).min(scene.calm)).await;
        scene.network.set_host(host, HostState::Up);
        scene.note(|| format!("host {host}: up"));
    }
}

fn deliverer(world: &World, scene: &Arc<Scene>) -> Deliverer {
    let mut dns = MemoryResolver::builder();
    let mut routes = RouteTable::new(Route::mx());
    for domain in &world.domains {
        match &domain.way {
            Way::Mx(exchangers) => {
                for exchanger in exchangers {
                    dns = dns.mx(&domain.name, exchanger.preference, &exchanger.name);
                    for address in &exchanger.addresses {
                        dns = dns.ipv4(&exchanger.name, *address);
                    }
                }
            }
            Way::Relays { hops, single_flight } => {
                let hop =
                    |hop: &String| hop.parse::<NextHop>().unwrap().with_single_flight_limit(*single_flight);
                let hops: Vec<_> = hops.iter().map(hop).collect();
                routes = routes.domain(&domain.name, Route::relays(hops)).unwrap();
            }
        }
    }
    let Client {
        connections, per_address, idle, age, messages, window, learned_limit, timeout, attempt, ..
    } = world.client;
    let mut pool = PoolSettings::default();
    (pool.connections, pool.max_connections_per_address) = (connections, per_address);
    (pool.idle, pool.age, pool.messages) = (idle, age, messages);
    (pool.window, pool.learned_limit_ttl) = (window, learned_limit);
    let mut limits = DeliveryLimits::default();
    (limits.attempt, limits.recipients) = (attempt, world.client.recipients);
    limits.max_sessions = world.client.max_sessions;
    let mut tls = TlsSettings::default();
    tls.roots = Roots::None;
    let dns = Names::new(dns.build().unwrap(), scene, world);
    let mut builder = Deliverer::builder("client.example");
    for number in 0..world.client.sources {
        builder = builder.source_address(SourceAddress::new([45, 1, 1, 1 + number].into()));
    }
    builder
        .resolver(dns)
        .pipelining(world.client.pipelining)
        .chunking(world.client.chunking)
        .router(routes)
        .dialer(scene.network.dialer())
        .single_flight_limit(1)
        .timeouts(timeouts(timeout))
        .limits(limits)
        .pool(pool)
        .tls(tls)
        .seed(world.seed)
        .build()
        .unwrap()
}

fn timeouts(limit: Duration) -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.connect = limit;
    timeouts.greeting = limit;
    timeouts.hello = limit;
    timeouts.mail = limit;
    timeouts.recipient = limit;
    timeouts.data_start = limit;
    timeouts.data_block = limit;
    timeouts.final_reply = limit;
    timeouts.quit = limit;
    timeouts
}
