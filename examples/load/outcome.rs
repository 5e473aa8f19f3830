//! [`Outcome`]: what is said in the end.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use nexthop::Report;
use serde::Serialize;

use crate::arguments::Arguments;
use crate::common::exit::{TEMPORARY_FAILURE, UNAVAILABLE};
use crate::latency::Latencies;

#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    messages: usize,
    recipients: Tally,
    connections: u64,
    seconds: f64,
    messages_per_second: f64,
    bytes: u64,
    latency_us: Quantiles,
    peak_rss_kib: Option<u64>,
}

/// What became of the recipients of all messages.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tally {
    delivered: u64,
    deferred: u64,
    failed: u64,
    may_have_arrived: u64,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    p50: u64,
    p99: u64,
    max: u64,
}

impl Outcome {
    pub(crate) fn new(
        arguments: &Arguments,
        recipients: Tally,
        connections: u64,
        took: Duration,
        latencies: &Latencies,
    ) -> Self {
        let (messages, seconds) = (arguments.messages, took.as_secs_f64());
        let [p50, p99] = [50, 99].map(|percent| latencies.percentile(percent));
        Self {
            messages,
            recipients,
            connections,
            seconds,
            messages_per_second: messages as f64 / seconds,
            bytes: messages as u64 * arguments.size as u64,
            latency_us: Quantiles { p50, p99, max: latencies.max() },
            peak_rss_kib: peak_rss_kib(),
        }
    }

    /// The exit status of sysexits(3) for what became of the recipients.
    pub(crate) fn status(&self) -> ExitCode {
        match &self.recipients {
            Tally { failed: 1.., .. } => ExitCode::from(UNAVAILABLE),
            Tally { deferred: 1.., .. } => ExitCode::from(TEMPORARY_FAILURE),
            _ => ExitCode::SUCCESS,
        }
    }
}

impl Tally {
    pub(crate) fn add(&mut self, report: &Report) {
        report.iter().for_each(|(_, outcome)| self.count(outcome));
    }

    fn count(&mut self, outcome: &nexthop::Outcome) {
        let failure = match outcome {
            nexthop::Outcome::Delivered(_) => {
                self.delivered += 1;
                return;
            }
            nexthop::Outcome::Deferred(failure) => {
                self.deferred += 1;
                failure
            }
            nexthop::Outcome::Failed(failure) => {
                self.failed += 1;
                failure
            }
        };
        self.may_have_arrived += u64::from(failure.may_have_arrived());
    }
}

/// The most memory that this process had in use; known on Linux alone.
fn peak_rss_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, recipients, connections, seconds, messages_per_second, latency_us, .. } = self;
        writeln!(f, "{messages} messages in {seconds:.3} s over {connections} connections")?;
        writeln!(f, "{messages_per_second:.0} messages/s, {:.1} MB/s", self.bytes as f64 / seconds / 1e6)?;
        writeln!(f, "recipients: {recipients}")?;
        let Quantiles { p50, p99, max } = latency_us;
        write!(f, "latency: p50 {p50} us, p99 {p99} us, max {max} us")?;
        self.peak_rss_kib.map_or(Ok(()), |kib| write!(f, "\npeak memory: {kib} KiB"))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delivered, deferred, failed, may_have_arrived } = self;
        write!(
            f,
            "{delivered} delivered, {deferred} deferred, {failed} failed, {may_have_arrived} may have arrived"
        )
    }
}
