//! A plan as text for people.

use std::fmt;

use super::candidate::{Candidate, Note, Plan, Standing};
use crate::mail::Host;

/// One line for the destination, one for what DNSSEC proved of the list of exchangers, one for each candidate, one for
/// each note, and one if there is nothing to dial.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.destination)?;
        self.security.map_or(Ok(()), |security| write!(f, "\n  the list of exchangers is {security}"))?;
        self.candidates.iter().try_for_each(|candidate| write!(f, "\n  {candidate}"))?;
        self.notes.iter().try_for_each(|note| write!(f, "\n  {note}"))?;
        self.error().map_or(Ok(()), |failure| {
            let outcome = if failure.is_permanent() { "fails" } else { "is deferred" };
            write!(f, "\n  {outcome} ({}): {}", failure.status(), failure.detail())
        })
    }
}

/// `10 mx.example.org 192.0.2.1:25 (dnssec secure) smtp tls opportunistic: allowed`, or why not.
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
        if let Some(security) = self.security {
            write!(f, "(dnssec {security}) ")?;
        }
        if let Some(name) = &self.certificate_name {
            write!(f, "as {name} ")?;
        }
        write!(f, "{} tls {}: {}", self.protocol, self.tls.level(), self.standing)
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

/// `2 of 12 hosts are left out`, or addresses of a host.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostsLeftOut { kept, left_out } => {
                write!(f, "{left_out} of {} hosts are left out: the limit is {kept}", kept + left_out)
            }
            Self::AddressesLeftOut { host, kept, left_out } => {
                let all = kept + left_out;
                write!(f, "{left_out} of {all} addresses of {host} are left out: the limit is {kept}")
            }
        }
    }
}
