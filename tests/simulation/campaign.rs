//! Runs many worlds on several threads.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::judge::Rule;
use crate::run;

/// What came of many worlds.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    worlds: u64,
    took: Duration,
    /// Seeds that break a rule, with the first circumstances.
    broken: BTreeMap<Rule, BTreeMap<u64, String>>,
}

/// When a campaign ends before all seeds were run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    pub(crate) time: Option<Duration>,
    /// Whether it ends at the first world in which a rule is broken.
    pub(crate) until_broken: bool,
}

/// Runs the worlds of some seeds, within limits.
pub(crate) fn run(seeds: Range<u64>, limits: Limits) -> Summary {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let is_over = AtomicBool::new(false);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_late = limits.time.is_some_and(|time| began.elapsed() > time);
                    if !seeds.contains(&seed) || is_late || is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let ran = run::run(seed, false);
                    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    summary.worlds += 1;
                    is_over.fetch_or(limits.until_broken && !ran.violations.is_empty(), Ordering::Relaxed);
                    for violation in ran.violations {
                        let seeds = summary.broken.entry(violation.rule).or_default();
                        seeds.entry(seed).or_insert(violation.text);
                    }
                }
            });
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.took = began.elapsed();
    summary
}

impl Summary {
    /// Returns `true` if no rule is broken.
    pub(crate) fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }
}

/// Examples that are shown of each rule.
const SHOWN: usize = 8;

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} worlds in {:.1?}", self.worlds, self.took)?;
        for (rule, seeds) in &self.broken {
            writeln!(f, "{rule:?}: {} worlds", seeds.len())?;
            for (seed, text) in seeds.iter().take(SHOWN) {
                writeln!(f, "    seed {seed}: {text}")?;
            }
        }
        Ok(())
    }
}
