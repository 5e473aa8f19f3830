//! A plan as text for people.

use std::fmt;

use super::candidate::{Candidate, Plan, Standing};
use crate::mail::Host;

/// One line for the destination, one for each candidate, and one if there is nothing to dial.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.destination)?;
        self.candidates.iter().try_for_each(|candidate| write!(f, "\n  {candidate}"))?;
        self.error().map_or(Ok(()), |failure| {
            let outcome = if failure.is_permanent() { "fails" } else { "is deferred" };
            write!(f, "\n  {outcome} ({}): {}", failure.status(), failure.detail())
        })
    }
}

/// `10 mx.example.org 192.0.2.1:25 smtp: allowed`, or why not.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(preference) = self.preference {
            write!(f, "{preference} ")?;
        }
        if let Some(Host::Name(name)) = &self.host {
            write!(f, "{name} ")?;
        }
        if let Some(endpoint) = &self.endpoint {
            write!(f, "{endpoint} ")?;
        }
        write!(f, "{}: {}", self.protocol, self.standing)
    }
}

/// `allowed`, `denied: …` or `unusable: …`.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed(_) => f.write_str("allowed"),
            Self::Denied(denial) => write!(f, "denied: {denial}"),
            Self::Unusable(failure) => write!(f, "unusable: {}", failure.detail()),
        }
    }
}
