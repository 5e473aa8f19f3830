//! [`Latencies`]: times in a space that does not grow with their number.

use std::time::Duration;

/// Times below this many microseconds are counted one by one; of longer ones six bits are kept, so that a quantile is
/// at most 1/32 too large.
const EXACT: u64 = 64;

/// How long deliveries took, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Latencies {
    pub(crate) fn add(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket(micros);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.max = self.max.max(micros);
    }

    /// The time that so many of a hundred did not exceed.
    pub(crate) fn percentile(&self, percent: u64) -> u64 {
        let mut below = (self.total * percent).div_ceil(100);
        let found = self.counts.iter().position(|count| match below.checked_sub(*count) {
            Some(left) if left > 0 => {
                below = left;
                false
            }
            _ => true,
        });
        found.map_or(0, longest).min(self.max)
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }
}

fn bucket(micros: u64) -> usize {
    let shift = shift(micros);
    usize::try_from(u64::from(shift) * (EXACT / 2) + (micros >> shift)).unwrap_or(usize::MAX)
}

/// Bits that are not kept.
fn shift(micros: u64) -> u32 {
    (u64::BITS - micros.leading_zeros()).saturating_sub(EXACT.trailing_zeros())
}

/// The longest time of a bucket.
fn longest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / (EXACT / 2)).saturating_sub(1);
    ((bucket - shift * (EXACT / 2) + 1) << shift) - 1
}
