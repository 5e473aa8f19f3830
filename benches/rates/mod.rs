//! Messages a second of several clients.

mod measure;

pub(crate) use measure::rates;
