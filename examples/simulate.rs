//! Delivers in random simulated worlds, and judges what was reported by what the servers have.
//!
//! ```text
//! cargo run --release --example simulate -- --seeds 0..100000
//! cargo run --release --example simulate -- --seed 17 --transcript
//! ```

#![expect(clippy::unwrap_used, reason = "the worlds of tests, whose helpers may panic")]

#[path = "../tests/simulation/campaign.rs"]
mod campaign;
#[path = "../tests/simulation/fault.rs"]
mod fault;
#[path = "../tests/simulation/host.rs"]
mod host;
#[path = "../tests/simulation/judge.rs"]
mod judge;
#[path = "../tests/simulation/ledger.rs"]
mod ledger;
#[path = "../tests/simulation/names.rs"]
mod names;
#[path = "../tests/simulation/panics.rs"]
mod panics;
#[path = "../tests/simulation/run.rs"]
mod run;
#[path = "../tests/simulation/server.rs"]
mod server;
#[path = "../tests/simulation/world.rs"]
mod world;

use std::ops::Range;
use std::process::ExitCode;

use campaign::Limits;
use clap::Parser;

/// Runs simulated worlds.
#[derive(Debug, Parser)]
struct Options {
    /// The seeds, as in `0..1000`.
    #[arg(long, value_parser = range, default_value = "0..1000")]
    seeds: Range<u64>,
    /// Ends at the first world in which a rule is broken.
    #[arg(long)]
    until_broken: bool,
    /// One seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Prints the world of the seed and everything that happens in it.
    #[arg(long, requires = "seed")]
    transcript: bool,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("two numbers with .. between them")?;
    let number = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    Ok(number(first)?..number(end)?)
}

fn main() -> ExitCode {
    let options = Options::parse();
    let is_clean = match options.seed {
        Some(seed) => replay(seed, options.transcript),
        None => {
            let summary =
                campaign::run(options.seeds, Limits { time: None, until_broken: options.until_broken });
            println!("{summary}");
            summary.is_clean()
        }
    };
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64, with_transcript: bool) -> bool {
    let ran = run::run(seed, with_transcript);
    if with_transcript {
        println!("{:#?}", world::World::of_seed(seed));
        ran.transcript.iter().for_each(|line| println!("{line}"));
    }
    ran.violations.iter().for_each(|violation| println!("{violation}"));
    ran.violations.is_empty()
}
