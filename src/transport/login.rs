//! Logging in to a relay (RFC 4954), and where that may be done at all.

use crate::outcome::Failure;
use crate::proto::{
    AuthenticationFailure, ChannelBinding, Credentials, Mechanism, MechanismSet, Nonce, SaslLimits,
    SaslPolicy, SaslTerms, Stage, choose,
};
use crate::route::Endpoint;
use crate::tls::{Connector, Proof, Secured};

/// How the client logs in to relays.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LoginSettings {
    /// The one mechanism that is used; by default the strongest that is offered.
    pub only: Option<Mechanism>,
    /// Whether CRAM-MD5 may be used without being named; `false`, for it is weak (RFC 2195).
    pub cram_md5: bool,
    /// Whether credentials may go to a loopback TCP address in the clear; `false`. Whoever may run programs on this
    /// host may listen there in the relay's place.
    pub cleartext_on_loopback: bool,
    /// How much a server may ask for.
    pub limits: SaslLimits,
}

impl LoginSettings {
    /// Whether what goes there in the clear stays on this host.
    pub(crate) fn is_private(&self, endpoint: &Endpoint) -> bool {
        match endpoint {
            Endpoint::Unix(_) => true,
            Endpoint::Tcp(address) => self.cleartext_on_loopback && address.ip().to_canonical().is_loopback(),
        }
    }
}

/// Who logs in where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Login<'a> {
    pub(crate) credentials: &'a Credentials,
    pub(crate) settings: &'a LoginSettings,
    /// Whether any certificate of the relay will do.
    pub(crate) any_certificate: bool,
    /// The name and the port of the relay, for OAUTHBEARER.
    pub(crate) host: Option<&'a str>,
    pub(crate) port: Option<u16>,
}

impl Login<'_> {
    /// Whether credentials may be sent (law 10): over TLS with a verified certificate, or any where the operator said
    /// so, and where nobody but this host can listen.
    pub(crate) fn is_safe(&self, secured: Option<&Secured>, endpoint: &Endpoint) -> bool {
        match secured {
            Some(secured) => {
                secured.proof() == Proof::Pkix || self.any_certificate || self.is_private(endpoint)
            }
            None => self.is_private(endpoint),
        }
    }

    fn is_private(&self, endpoint: &Endpoint) -> bool {
        self.settings.is_private(endpoint)
    }

    fn policy(&self) -> SaslPolicy {
        let (only, cram_md5_allowed) = (self.settings.only, self.settings.cram_md5);
        SaslPolicy { only, plaintext_allowed: true, cram_md5_allowed }
    }

    /// The next mechanism to try.
    pub(crate) fn mechanism(
        &self,
        offered: MechanismSet,
        tried: MechanismSet,
        binding: Option<&ChannelBinding>,
    ) -> Option<Mechanism> {
        choose(offered, tried, self.credentials, &self.policy(), binding)
    }

    /// The machine's terms for one exchange.
    pub(crate) fn terms<'t>(
        &'t self,
        offered: MechanismSet,
        binding: Option<&'t ChannelBinding>,
        nonce: &'t Nonce,
    ) -> SaslTerms<'t> {
        let (credentials, limits) = (self.credentials, self.settings.limits);
        SaslTerms { credentials, offered, binding, nonce, host: self.host, port: self.port, limits }
    }
}

/// A dialogue that a machine can be run in.
pub(crate) trait Dialogue {
    fn offered(&self) -> MechanismSet;

    /// Runs the machine that is made on the output of the dialogue.
    async fn authenticate(
        &mut self,
        mechanism: Mechanism,
        terms: &SaslTerms<'_>,
    ) -> Result<(), AuthenticationFailure>;
}

/// Logs in with the strongest mechanism, and with the next one where the server refuses the mechanism and not the
/// credentials. The dialogue may go on if the failure says so.
pub(crate) async fn log_in(
    dialogue: &mut impl Dialogue,
    login: &Login<'_>,
    binding: Option<&ChannelBinding>,
    connector: &Connector,
) -> Result<(), Failure> {
    let offered = dialogue.offered();
    let mut tried = MechanismSet::default();
    let mut refusal = AuthenticationFailure::NoMechanism;
    while let Some(mechanism) = login.mechanism(offered, tried, binding) {
        let nonce = Nonce::new(connector.random().map_err(|error| Failure::securing(error, Stage::Auth))?);
        let terms = login.terms(offered, binding, &nonce);
        match dialogue.authenticate(mechanism, &terms).await {
            Ok(()) => return Ok(()),
            Err(failure) if failure.permits_another() => refusal = failure,
            Err(failure) => return Err(Failure::authenticating(failure)),
        }
        tried.extend([mechanism]);
    }
    Err(Failure::authenticating(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::TlsVersion;

    #[test]
    fn law_10_check_180_credentials_go_only_where_nobody_can_listen() {
        let credentials = Credentials::password("u", "p");
        let verified = Secured::new(TlsVersion::V1_3, Proof::Pkix, false);
        let unverified = Secured::new(TlsVersion::V1_3, Proof::Unverified, false);
        let tcp = |address: &str| Endpoint::Tcp(address.parse().unwrap());
        let (far, near, unix) = (tcp("192.0.2.1:25"), tcp("127.0.0.1:25"), Endpoint::Unix("/run/x".into()));
        for (cleartext_on_loopback, any_certificate, secured, endpoint, safe) in [
            (false, false, Some(&verified), &far, true),
            (false, false, Some(&unverified), &far, false),
            (false, true, Some(&unverified), &far, true),
            (true, true, None, &far, false),
            (false, false, None, &near, false),
            (true, false, None, &near, true),
            (false, false, None, &unix, true),
        ] {
            let settings = LoginSettings { cleartext_on_loopback, ..LoginSettings::default() };
            let login = Login {
                credentials: &credentials,
                settings: &settings,
                any_certificate,
                host: None,
                port: None,
            };
            assert_eq!(login.is_safe(secured, endpoint), safe, "{secured:?} {endpoint}");
        }
    }
}
