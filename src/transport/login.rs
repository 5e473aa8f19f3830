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
    /// The only mechanism that is used. Default: the strongest that is offered. If channel binding is refused and the
    /// certificate is verified, the same mechanism without it is tried next.
    pub only: Option<Mechanism>,
    /// Whether CRAM-MD5 may be used without being named; `false`, for it is weak (RFC 2195).
    pub cram_md5: bool,
    /// Whether credentials may go to a loopback TCP address in the clear; `false`. Whoever may run programs on this
    /// host may listen there in the relay's place. Through a proxy they never do.
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
    /// `true` if the connection ends at the endpoint and not at a proxy, whose loopback addresses are those of another host.
    pub(crate) is_direct: bool,
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
        self.is_direct && self.settings.is_private(endpoint)
    }

    /// The next mechanism to try.
    pub(crate) fn mechanism(
        &self,
        offered: MechanismSet,
        tried: MechanismSet,
        channel: Channel<'_>,
    ) -> Option<Mechanism> {
        let policy = SaslPolicy {
            only: self.settings.only,
            plaintext_allowed: true,
            cram_md5_allowed: self.settings.cram_md5,
            unbound_after_refusal: channel.is_verified,
        };
        choose(offered, tried, self.credentials, &policy, channel.binding)
    }

    /// Returns the mechanism to try on the same session after a refusal.
    ///
    /// If channel binding may have been refused and the certificate is verified, that is the same mechanism without it.
    fn mechanism_after(
        &self,
        refused: Mechanism,
        refusal: &AuthenticationFailure,
        offered: MechanismSet,
        tried: MechanismSet,
        channel: Channel<'_>,
    ) -> Option<Mechanism> {
        let unbound = self.unbound(refused, refusal, offered).filter(|unbound| !tried.contains(*unbound));
        match unbound {
            Some(unbound) if channel.is_verified => Some(unbound),
            _ if refusal.permits_another() => self.mechanism(offered, tried, channel),
            _ => None,
        }
    }

    /// Returns the mechanism without channel binding that may succeed although this one was refused.
    fn unbound(
        &self,
        refused: Mechanism,
        refusal: &AuthenticationFailure,
        offered: MechanismSet,
    ) -> Option<Mechanism> {
        let is_permitted = self.settings.only.is_none() && refusal.may_refuse_channel_binding();
        refused.unbound().filter(|unbound| is_permitted && offered.contains(*unbound))
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

/// Properties of the connection that the choice of a mechanism depends on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Channel<'a> {
    pub(crate) binding: Option<&'a ChannelBinding>,
    /// `true` if the certificate of the server was verified.
    pub(crate) is_verified: bool,
}

/// Logs in with the strongest mechanism, and with the next one where the server refuses the mechanism and not the
/// credentials. The dialogue may go on if the failure says so.
pub(crate) async fn log_in(
    dialogue: &mut impl Dialogue,
    login: &Login<'_>,
    channel: Channel<'_>,
    connector: &Connector,
) -> Result<(), Failure> {
    let offered = dialogue.offered();
    let mut tried = MechanismSet::default();
    let mut failure = AuthenticationFailure::NoMechanism;
    let mut next = login.mechanism(offered, tried, channel);
    while let Some(mechanism) = next {
        let nonce = Nonce::new(connector.random().map_err(|error| Failure::securing(error, Stage::Auth))?);
        let terms = login.terms(offered, channel.binding, &nonce);
        failure = match dialogue.authenticate(mechanism, &terms).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        tried.extend([mechanism]);
        next = login.mechanism_after(mechanism, &failure, offered, tried, channel);
        if next.is_none() && !channel.is_verified && mechanism.is_bound() {
            // the mechanism that a verified certificate would allow
            let verified = Channel { is_verified: true, ..channel };
            let untried = login.mechanism_after(mechanism, &failure, offered, tried, verified);
            failure = failure.with_untried(untried);
        }
    }
    Err(Failure::authenticating(failure))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::proto::{Reply, ReplyCode};
    use crate::tls::{TlsSettings, TlsVersion};

    /// A server that replies to each AUTH with the next of its replies, and records the mechanisms.
    struct Server {
        offered: MechanismSet,
        replies: Vec<(u16, Option<&'static str>)>,
        asked: Vec<String>,
    }

    impl Server {
        fn new(offered: &str, replies: &[(u16, Option<&'static str>)]) -> Self {
            let offered = MechanismSet::from_names(offered.split(' '));
            Self { offered, replies: replies.to_vec(), asked: Vec::new() }
        }
    }

    impl Dialogue for Server {
        fn offered(&self) -> MechanismSet {
            self.offered
        }

        async fn authenticate(
            &mut self,
            mechanism: Mechanism,
            _terms: &SaslTerms<'_>,
        ) -> Result<(), AuthenticationFailure> {
            self.asked.push(mechanism.to_string());
            let (code, error) = self.replies[self.asked.len() - 1];
            if code == 235 {
                return Ok(());
            }
            let reply = Reply::new(ReplyCode::new(code), "no");
            let complaint = error.map(str::to_owned);
            Err(AuthenticationFailure::Refused { reply, complaint, untried: None })
        }
    }

    const BINDING: ChannelBinding = ChannelBinding([7; 32]);
    const VERIFIED: Channel<'_> = Channel { binding: Some(&BINDING), is_verified: true };
    const UNPROVED: Channel<'_> = Channel { binding: Some(&BINDING), is_verified: false };
    const ALL: &str = "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN";

    async fn logged_in(
        server: &mut Server,
        only: Option<Mechanism>,
        channel: Channel<'_>,
    ) -> Result<(), String> {
        let settings = LoginSettings { only, ..LoginSettings::default() };
        let credentials = Credentials::password("u", "p");
        let login = Login {
            credentials: &credentials,
            settings: &settings,
            any_certificate: true,
            host: None,
            port: None,
            is_direct: true,
        };
        let connector = Connector::new(&TlsSettings::default()).unwrap();
        let result = log_in(server, &login, channel, &connector).await;
        result.map_err(|failure| failure.source().map(ToString::to_string).unwrap_or_default())
    }

    #[tokio::test]
    async fn check_196_on_verified_tls_a_refused_binding_is_followed_by_the_same_mechanism_without_it() {
        for refusal in [
            (501, None),
            (504, None),
            (554, None),
            (454, None),
            (535, Some("channel-bindings-dont-match")),
            (550, Some("unsupported-channel-binding-type")),
        ] {
            let mut server = Server::new(ALL, &[refusal, (235, None)]);
            assert_eq!(logged_in(&mut server, None, VERIFIED).await, Ok(()), "{refusal:?}");
            assert_eq!(server.asked, ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"], "{refusal:?}");
        }
    }

    #[tokio::test]
    async fn check_186_after_a_refusal_of_the_credentials_no_other_mechanism_is_tried() {
        for refusal in [(535, None), (535, Some("invalid-proof")), (554, Some("unknown-user")), (421, None)] {
            let mut server = Server::new(ALL, &[refusal]);
            assert!(logged_in(&mut server, None, VERIFIED).await.is_err());
            assert_eq!(server.asked, ["SCRAM-SHA-256-PLUS"], "{refusal:?}");
        }
        let mut server = Server::new(ALL, &[(554, None), (535, None)]);
        assert!(logged_in(&mut server, None, VERIFIED).await.is_err());
        assert_eq!(server.asked, ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
    }

    #[tokio::test]
    async fn check_196_a_refused_binding_does_not_lead_to_another_kind_of_mechanism() {
        let mut server = Server::new("SCRAM-SHA-256-PLUS SCRAM-SHA-1 PLAIN", &[(554, None)]);
        assert!(logged_in(&mut server, None, VERIFIED).await.is_err());
        assert_eq!(server.asked, ["SCRAM-SHA-256-PLUS"]);
    }

    #[tokio::test]
    async fn attack_a40_on_tls_that_proved_nothing_a_refused_binding_ends_the_login_and_the_failure_says_why()
    {
        let named = "SCRAM-SHA-256 was not tried: without channel binding a login can be relayed where the \
                     certificate is not verified; verify the certificate, or name the mechanism SCRAM-SHA-256";
        for refusal in [(501, None), (554, None), (535, Some("channel-bindings-dont-match"))] {
            let mut server = Server::new(ALL, &[refusal]);
            let error = logged_in(&mut server, None, UNPROVED).await.unwrap_err();
            assert!(error.ends_with(named), "{error}");
            assert_eq!(server.asked, ["SCRAM-SHA-256-PLUS"], "{refusal:?}");
        }
    }

    #[tokio::test]
    async fn attack_a40_on_tls_that_proved_nothing_only_bound_mechanisms_follow_a_bound_one() {
        let mut server = Server::new(ALL, &[(504, None), (504, None)]);
        let error = logged_in(&mut server, None, UNPROVED).await.unwrap_err();
        assert_eq!(server.asked, ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"]);
        assert!(error.contains("name the mechanism SCRAM-SHA-1"), "{error}");
        let mut server = Server::new("SCRAM-SHA-256-PLUS PLAIN", &[(504, None)]);
        let error = logged_in(&mut server, None, UNPROVED).await.unwrap_err();
        assert_eq!(server.asked, ["SCRAM-SHA-256-PLUS"]);
        assert!(error.contains("name the mechanism PLAIN"), "{error}");
    }

    #[tokio::test]
    async fn attack_a40_a_refusal_of_the_credentials_has_no_advice() {
        let mut server = Server::new(ALL, &[(535, None)]);
        let error = logged_in(&mut server, None, UNPROVED).await.unwrap_err();
        assert_eq!(error, "the server refused the authentication");
    }

    #[tokio::test]
    async fn check_196_a_named_mechanism_is_used_alone_on_any_tls() {
        for channel in [VERIFIED, UNPROVED] {
            let mut server = Server::new(ALL, &[(235, None)]);
            assert_eq!(logged_in(&mut server, Some(Mechanism::ScramSha256), channel).await, Ok(()));
            assert_eq!(server.asked, ["SCRAM-SHA-256"]);
            let mut server = Server::new(ALL, &[(554, None)]);
            assert!(logged_in(&mut server, Some(Mechanism::ScramSha256Plus), channel).await.is_err());
            assert_eq!(server.asked, ["SCRAM-SHA-256-PLUS"]);
        }
    }

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
                is_direct: true,
            };
            assert_eq!(login.is_safe(secured, endpoint), safe, "{secured:?} {endpoint}");
            // the loopback addresses of a proxy are those of another host
            let through_proxy = Login { is_direct: false, ..login };
            assert_eq!(through_proxy.is_safe(secured, &far), login.is_safe(secured, &far));
            assert!(!through_proxy.is_safe(None, &near));
        }
    }
}
