//! [`Requirement`]: what a hop must prove. Computed once, in a plan, from everything that has a say.

use super::secured::{Proof, Secured};
use crate::route::{HopTarget, HopTls, NextHop, TlsLevel};

/// How TLS begins on a connection, and what it must prove before anything of a message goes over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Requirement {
    /// How TLS begins.
    pub start: Start,
    /// What it must prove.
    pub promise: Promise,
}

/// How TLS begins on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Start {
    /// Not at all.
    Never,
    /// By STARTTLS, if the server offers it (RFC 3207).
    StartTls,
    /// With the first octet (RFC 8314 section 3.3).
    Immediate,
}

/// What a connection promises. Ordered: each promise holds what those before it do. DANE and MTA-STS have their
/// places behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Promise {
    /// Nothing: cleartext will do.
    Nothing,
    /// That nobody listens: TLS, whatever the certificate says.
    Encrypted,
    /// That it is the host: a certificate for its name from a trusted issuer (RFC 9525).
    Pkix,
}

impl Requirement {
    /// No TLS.
    pub(crate) const CLEARTEXT: Self = Self { start: Start::Never, promise: Promise::Nothing };

    /// What an exchanger found by MX must prove.
    pub(crate) fn of_exchanger(configured: TlsLevel) -> Self {
        Self::by_starttls(configured)
    }

    /// What a next hop must prove: what it says itself, and never less than is configured. `any_certificate` is the
    /// operator's word that no certificate of a relay is to be looked at.
    pub(crate) fn of_relay(hop: &NextHop, configured: TlsLevel, any_certificate: bool) -> Self {
        let local = matches!(hop.target(), HopTarget::Unix(_));
        let required = match hop.tls() {
            // nobody listens on a unix socket
            HopTls::Configured if local && configured == TlsLevel::Opportunistic => Self::CLEARTEXT,
            HopTls::Configured => Self::by_starttls(configured),
            HopTls::StartTls(level) => Self::by_starttls(level.max(configured)),
            HopTls::Immediate(level) => {
                Self { start: Start::Immediate, promise: immediate(level.max(configured)) }
            }
        };
        match any_certificate || hop.accepts_invalid_certificates() {
            true => Self { promise: required.promise.min(Promise::Encrypted), ..required },
            false => required,
        }
    }

    /// What a relay must prove before credentials are sent to it: never less than the hop itself asks for.
    pub(crate) fn with_credentials(self, any_certificate: bool) -> Self {
        let least = if any_certificate { Promise::Encrypted } else { Promise::Pkix };
        let start = if self.start == Start::Never { Start::StartTls } else { self.start };
        Self { start, promise: self.promise.max(least) }
    }

    fn by_starttls(level: TlsLevel) -> Self {
        match level {
            TlsLevel::Off => Self::CLEARTEXT,
            TlsLevel::Opportunistic => Self { start: Start::StartTls, promise: Promise::Nothing },
            TlsLevel::Required => Self { start: Start::StartTls, promise: Promise::Encrypted },
            TlsLevel::Verified => Self { start: Start::StartTls, promise: Promise::Pkix },
        }
    }

    /// Whether cleartext will do.
    pub fn allows_cleartext(&self) -> bool {
        self.promise == Promise::Nothing && self.start != Start::Immediate
    }

    /// Whether a connection proves enough; `None` is cleartext.
    pub fn is_met_by(&self, secured: Option<&Secured>) -> bool {
        let proved = secured.map_or(Promise::Nothing, |secured| match secured.proof() {
            Proof::Unverified => Promise::Encrypted,
            Proof::Pkix => Promise::Pkix,
        });
        proved >= self.promise && (secured.is_some() || self.allows_cleartext())
    }

    /// The level as a word.
    pub fn level(&self) -> TlsLevel {
        match (self.start, self.promise) {
            (Start::Never, _) => TlsLevel::Off,
            (Start::StartTls, Promise::Nothing) => TlsLevel::Opportunistic,
            (_, Promise::Nothing | Promise::Encrypted) => TlsLevel::Required,
            (_, Promise::Pkix) => TlsLevel::Verified,
        }
    }
}

/// TLS that begins at once is never less than encrypted.
fn immediate(level: TlsLevel) -> Promise {
    match level {
        TlsLevel::Verified => Promise::Pkix,
        TlsLevel::Off | TlsLevel::Opportunistic | TlsLevel::Required => Promise::Encrypted,
    }
}

#[cfg(test)]
mod tests {
    use super::super::secured::TlsVersion;
    use super::*;

    fn of(hop: &str, configured: TlsLevel, any_certificate: bool) -> (Start, Promise) {
        let required = Requirement::of_relay(&hop.parse().unwrap(), configured, any_certificate);
        (required.start, required.promise)
    }

    #[test]
    fn law_6_a_hop_and_the_settings_can_only_raise_each_other() {
        use Promise::*;
        use Start::*;
        use TlsLevel::*;
        for (hop, configured, wanted) in [
            ("smtp://h", Off, (Never, Nothing)),
            ("smtp://h", Opportunistic, (StartTls, Nothing)),
            ("lmtp://h", Required, (StartTls, Encrypted)),
            ("smtp://h", Verified, (StartTls, Pkix)),
            ("submission://h", Off, (StartTls, Pkix)),
            ("smtps://h", Off, (Immediate, Pkix)),
            ("lmtps://h", Opportunistic, (Immediate, Pkix)),
            ("lmtp+unix:///s", Opportunistic, (Never, Nothing)),
            ("lmtp+unix:///s", Required, (StartTls, Encrypted)),
            ("lmtps+unix:///s", Off, (Immediate, Encrypted)),
            ("lmtps+unix:///s", Verified, (Immediate, Pkix)),
        ] {
            assert_eq!(of(hop, configured, false), wanted, "{hop} {configured}");
        }
    }

    #[test]
    fn any_certificate_leaves_the_encryption() {
        assert_eq!(of("smtps://h", TlsLevel::Off, true), (Start::Immediate, Promise::Encrypted));
        assert_eq!(of("submission://h", TlsLevel::Off, true), (Start::StartTls, Promise::Encrypted));
        assert_eq!(of("smtp://h", TlsLevel::Opportunistic, true), (Start::StartTls, Promise::Nothing));
    }

    #[test]
    fn a_promise_is_met_by_what_was_proved() {
        let encrypted = Secured::new(TlsVersion::V1_3, Proof::Unverified, false);
        let verified = Secured::new(TlsVersion::V1_3, Proof::Pkix, false);
        let met = |level, secured| Requirement::of_exchanger(level).is_met_by(secured);
        for (level, wanted) in [
            (TlsLevel::Off, [true; 3]),
            (TlsLevel::Opportunistic, [true; 3]),
            (TlsLevel::Required, [false, true, true]),
            (TlsLevel::Verified, [false, false, true]),
        ] {
            let found = [None, Some(&encrypted), Some(&verified)].map(|secured| met(level, secured));
            assert_eq!(found, wanted, "{level}");
        }
    }
}
