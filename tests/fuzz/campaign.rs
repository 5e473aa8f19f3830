//! Runs a target: what once failed, the seeds, and inputs that are made from these.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::time::Instant;

use crate::generator::Generator;
use crate::regressions::REGRESSIONS;
use crate::targets::Trace;

/// Seed of the inputs, unless `NEXTHOP_FUZZ_SEED` has another one.
const SEED: u64 = 2821;
/// Attempts to make a failing input shorter.
const MAX_ATTEMPTS: usize = 2000;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Name of the target, and of the folder of its seeds.
    pub(crate) name: &'static str,
    pub(crate) run: fn(&[u8]) -> Trace,
    /// Parts of inputs.
    pub(crate) tokens: &'static [&'static [u8]],
    /// Bytes of the longest input.
    pub(crate) longest: usize,
    /// Number of executions in CI.
    pub(crate) executions: u64,
}

/// Runs a target, and panics with the first input that fails.
pub(crate) fn run(target: &Target) {
    let regressions =
        REGRESSIONS.iter().filter(|(name, _)| *name == target.name).map(|(_, input)| input.to_vec());
    let regressions: Vec<_> = regressions.collect();
    let pool = [regressions, seeds(target.name).into_values().collect()].concat();
    for input in &pool {
        execute(target, input);
    }
    let (executions, seed) = (number("EXECUTIONS", target.executions), number("SEED", SEED));
    let (mut generator, begun) = (Generator::new(seed, pool, target), Instant::now());
    for _ in 0..executions {
        let input = generator.next();
        let trace = execute(target, &input);
        generator.keep(&input, trace.digest());
    }
    let (time, reached) = (begun.elapsed(), generator.reached());
    println!("{}: {executions} executions in {time:.1?}, {reached} different results", target.name);
}

/// Returns the seeds of a target by name. A package has none.
pub(crate) fn seeds(name: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap());
    let seed =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    entries.map(seed).collect()
}

/// Reads `NEXTHOP_FUZZ_…` from the environment.
fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(format!("NEXTHOP_FUZZ_{name}"));
    text.map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("NEXTHOP_FUZZ_{name} is not a number: {text}"))
    })
}

fn execute(target: &Target, input: &[u8]) -> Trace {
    let result = catch_unwind(|| (target.run)(input));
    result.unwrap_or_else(|_| {
        // thousands of messages would hide the first one
        let hook = take_hook();
        set_hook(Box::new(|_| ()));
        let short = shortened(target, input);
        set_hook(hook);
        panic!(
            "the target {} fails; add this to tests/fuzz/regressions.rs:\n    (\"{}\", b\"{}\"),",
            target.name,
            target.name,
            short.escape_ascii()
        )
    })
}

/// Removes parts of an input for as long as it fails.
fn shortened(target: &Target, input: &[u8]) -> Vec<u8> {
    let left = Cell::new(MAX_ATTEMPTS);
    let fails = |input: &[u8]| {
        left.set(left.get().saturating_sub(1));
        left.get() > 0 && catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err()
    };
    let mut short = input.to_vec();
    let mut length = short.len() / 2;
    while length > 0 {
        let mut begin = 0;
        while begin < short.len() {
            let end = (begin + length).min(short.len());
            let without = [&short[..begin], &short[end..]].concat();
            if fails(&without) {
                short = without;
            } else {
                begin = end;
            }
        }
        length /= 2;
    }
    short
}
