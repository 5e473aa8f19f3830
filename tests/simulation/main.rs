//! Random worlds, judged: whole deliveries in a simulated network, in virtual time.
//!
//! A seed makes a [world](world): domains, servers with faults, partitions, messages, cancellations. A [host](host)
//! delivers the messages through one deliverer and tries again what is deferred. Then the [judge](judge) compares what the
//! host was told with the [ledger](ledger) of the servers.
//!
//! `SIMULATION_SECONDS` sets how long new seeds are tried. `cargo run --release --example simulate` runs any number of
//! seeds, and replays one.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod campaign;
mod fault;
mod host;
mod judge;
mod ledger;
mod names;
mod panics;
mod run;
mod seeds;
mod server;
mod world;

use std::time::Duration;

use campaign::Limits;

/// Time for which worlds are tried.
const SECONDS: u64 = 60;

#[test]
fn no_rule_is_broken_in_random_worlds() {
    let seconds =
        std::env::var("SIMULATION_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    for seed in seeds::FAILED_ONCE {
        assert_clean(*seed);
    }
    let limits = Limits { time: Some(Duration::from_secs(seconds)), until_broken: false };
    let summary = campaign::run(0..u64::MAX, limits);
    println!("{summary}");
    assert!(summary.is_clean(), "run `cargo run --example simulate -- --seed N --transcript`");
}

fn assert_clean(seed: u64) {
    let ran = run::run(seed, false);
    assert!(ran.violations.is_empty(), "seed {seed}: {:?}", ran.violations);
}

#[test]
fn two_runs_of_one_seed_have_the_same_transcript() {
    for seed in 0..50 {
        let [first, second] = [run::run(seed, true), run::run(seed, true)];
        assert_eq!(first.transcript, second.transcript, "seed {seed}");
    }
}
