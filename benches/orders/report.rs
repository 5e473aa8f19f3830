//! [`Report`].

use std::process::Output;

use crate::clients::Error;

/// What a client said of itself, for each message.
#[derive(Debug)]
pub(crate) struct Report([f64; 3]);

impl Report {
    pub(super) fn of(output: &Output) -> Result<Self, Error> {
        let text = std::str::from_utf8(&output.stdout)?;
        let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self(numbers.try_into().map_err(|_| format!("not a report: {text}"))?))
    }
}

impl Report {
    pub(crate) fn allocations(&self) -> f64 {
        self.0[0]
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [allocations, octets, time] = self.0;
        write!(f, "{allocations:.1} | {octets:.0} | {time:.1}")
    }
}
