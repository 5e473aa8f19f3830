//! The schemes of next hops.

use std::fmt;

use crate::proto::Protocol;

use super::hop_error::NextHopError;
use super::lookup::RelayLookup;
use super::next_hop::{HopTarget, NextHop};
use super::security::{HopTls, TlsLevel};

/// What a scheme stands for.
#[derive(Clone, Copy)]
pub(super) struct Scheme {
    name: &'static str,
    pub(super) protocol: Protocol,
    /// The port where none is named; `None`: a unix socket.
    pub(super) port: Option<u16>,
    pub(super) tls: HopTls,
    pub(super) lookup: RelayLookup,
}

const fn scheme(name: &'static str, protocol: Protocol, port: Option<u16>, tls: HopTls) -> Scheme {
    Scheme { name, protocol, port, tls, lookup: RelayLookup::Addresses }
}

const SMTP: Scheme = scheme("smtp", Protocol::Smtp, Some(25), HopTls::Configured);
const SUBMISSIONS: Scheme =
    scheme("submissions", Protocol::Smtp, Some(465), HopTls::Immediate(TlsLevel::Verified));

/// RFC 5321 section 4.5.4.2 (25), RFC 8314 section 3.3 (465), RFC 6409 section 3.1 (587); 24 is the custom.
/// Nothing names a unix socket, so there TLS is not held against a name. Any of them is read
/// with the suffix of a lookup; [`NextHop::with_lookup`] refuses it where there is no name.
const SCHEMES: [Scheme; 10] = [
    SMTP,
    scheme("lmtp", Protocol::Lmtp, Some(24), HopTls::Configured),
    scheme("smtps", Protocol::Smtp, Some(465), HopTls::Immediate(TlsLevel::Verified)),
    SUBMISSIONS,
    scheme("submission", Protocol::Smtp, Some(587), HopTls::StartTls(TlsLevel::Verified)),
    scheme("lmtps", Protocol::Lmtp, Some(24), HopTls::Immediate(TlsLevel::Verified)),
    scheme("smtp+unix", Protocol::Smtp, None, HopTls::Configured),
    scheme("lmtp+unix", Protocol::Lmtp, None, HopTls::Configured),
    scheme("smtps+unix", Protocol::Smtp, None, HopTls::Immediate(TlsLevel::Required)),
    scheme("lmtps+unix", Protocol::Lmtp, None, HopTls::Immediate(TlsLevel::Required)),
];

impl Scheme {
    pub(super) fn parse(word: &str) -> Result<Self, NextHopError> {
        let lower = word.to_ascii_lowercase();
        let ends = |lookup: &RelayLookup| lower.ends_with(lookup.suffix());
        let lookup = [RelayLookup::Mx, RelayLookup::Srv].into_iter().find(ends).unwrap_or_default();
        let name = lower.strip_suffix(lookup.suffix()).unwrap_or(&lower);
        let found = SCHEMES.into_iter().find(|scheme| scheme.name == name);
        let found = found.map(|scheme| Self { lookup, ..scheme });
        found.ok_or_else(|| NextHopError::UnknownScheme { scheme: word.into() })
    }

    /// The one that says the same about a hop; where none does, the plain one.
    pub(super) fn of(hop: &NextHop) -> Self {
        Self { lookup: hop.lookup(), ..Self::with_tls(hop, hop.tls()) }
    }

    fn with_tls(hop: &NextHop, tls: HopTls) -> Self {
        let unix = matches!(hop.target(), HopTarget::Unix(_));
        let fits = |scheme: &Self| scheme.protocol == hop.protocol() && scheme.port.is_none() == unix;
        let mut fitting = SCHEMES.into_iter().filter(fits);
        let mut exact = fitting.clone().filter(|scheme| scheme.tls == tls);
        let same_service = exact.clone().find(|scheme| scheme.is_submissions() == hop.is_submissions());
        same_service.or_else(|| exact.next()).or_else(|| fitting.next()).unwrap_or(SMTP)
    }

    /// Whether it differs from `smtps`, which says the same about protocol and TLS.
    pub(super) fn is_submissions(&self) -> bool {
        self.name == SUBMISSIONS.name
    }
}

/// With the suffix of the lookup.
impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.lookup.suffix())
    }
}

/// The labels of the service that a hop offers (RFC 2782).
pub(super) fn service_of(hop: &NextHop) -> String {
    // what begins with TLS is a service of its own, whatever it must prove
    let tls = match hop.tls() {
        HopTls::Immediate(_) => HopTls::Immediate(TlsLevel::Verified),
        other => other,
    };
    format!("_{}._tcp", Scheme::with_tls(hop, tls).name)
}
