//! How much of the processor a thread had.

mod time;

pub(crate) use time::processor_time;
