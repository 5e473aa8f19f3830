//! What the heap of this process holds and held.

use std::alloc::System;

use cap::Cap;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: Cap<&StatsAlloc<System>> = Cap::new(&INSTRUMENTED_SYSTEM, usize::MAX);

/// Octets that are allocated now.
pub(crate) fn live() -> usize {
    HEAP.allocated()
}

/// Allocations so far, and those that were made larger or smaller.
pub(crate) fn allocations() -> usize {
    let stats = INSTRUMENTED_SYSTEM.stats();
    stats.allocations + stats.reallocations
}

/// The most octets that are allocated at a time from now on, above what is allocated now.
#[derive(Debug)]
pub(crate) struct Peak {
    before: usize,
    _ballast: Vec<u8>,
}

impl Peak {
    pub(crate) fn begin() -> Self {
        // the most ever cannot be reset, so it is reached once more
        let ballast = Vec::with_capacity(HEAP.max_allocated() - HEAP.allocated());
        Self { before: HEAP.allocated(), _ballast: ballast }
    }

    pub(crate) fn above(&self) -> usize {
        HEAP.max_allocated() - self.before
    }
}
