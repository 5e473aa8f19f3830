//! [`Connector`]: handshakes, with one configuration for each host and promise.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientConnection, Resumption, WebPkiServerVerifier};
use rustls::crypto::SecureRandom;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::TlsError;
use super::remembering::Remembering;
use super::requirement::Promise;
use super::secured::{Proof, Secured, TlsVersion};
use super::settings::{TlsSettings, TlsSettingsError};
use super::verifier::{AcceptAny, Pkix};
use crate::mail::Host;
use crate::proto::ChannelBinding;
use crate::random::Randomness;
use crate::route::Endpoint;

/// Configurations that are kept, each with the tickets of its host.
const MAX_CONFIGURATIONS: u64 = 1000;
/// How long one is kept without use.
const IDLE: Duration = Duration::from_secs(3600);
/// Sessions of a host that are kept for resumption.
const TICKETS: usize = 8;

/// Makes handshakes. Tickets are kept by host, endpoint and promise, so that no session proves for one what it
/// proved for another (RFC 9325 section 3.4).
#[derive(Debug)]
pub(crate) struct Connector {
    /// For levels that promise nothing of the peer.
    any: ClientConfig,
    /// For PKIX; `None` without trust anchors.
    pkix: Option<(ClientConfig, Arc<Pkix>)>,
    configurations: Cache<Key, Configuration>,
    random: &'static dyn SecureRandom,
    /// For tests: takes the place of `random`.
    seeded: Randomness,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    host: Option<Host>,
    endpoint: Endpoint,
    verified: bool,
}

/// How handshakes with a host are made, with its tickets, and who judges its chains; `None`: nobody.
#[derive(Debug, Clone)]
pub(super) struct Configuration {
    config: Arc<ClientConfig>,
    pub(super) verifier: Option<Arc<Remembering>>,
}

/// Whom a handshake is made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'a> {
    /// The name for SNI and certificate; `None` on a unix socket.
    pub(crate) host: Option<&'a Host>,
    pub(crate) endpoint: &'a Endpoint,
}

/// A stream in TLS, and what its handshake proved.
#[derive(Debug)]
pub(crate) struct Handshake<S> {
    pub(crate) stream: TlsStream<S>,
    pub(crate) secured: Secured,
}

impl Connector {
    /// Reads the files that the settings name, and the roots of the system.
    pub(crate) fn new(settings: &TlsSettings) -> Result<Self, TlsSettingsError> {
        let provider = settings.provider()?;
        let identity =
            settings.client_identity.as_ref().map(|identity| identity.read().map(|read| (identity, read)));
        let identity = identity.transpose()?;
        let configured = |verifier: Arc<dyn ServerCertVerifier>| {
            let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(|error| TlsSettingsError::Provider(Box::new(error)))?
                .dangerous()
                .with_custom_certificate_verifier(verifier);
            match &identity {
                None => Ok(builder.with_no_client_auth()),
                Some((files, (chain, key))) => builder
                    .with_client_auth_cert(chain.clone(), key.clone_key())
                    .map_err(|error| TlsSettingsError::File {
                        path: files.key.clone(),
                        what: "the key of the client certificate",
                        source: Box::new(error),
                    }),
            }
        };
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        let any = configured(Arc::new(AcceptAny::new(schemes)))?;
        let roots = settings.root_store()?;
        let pkix = match roots.is_empty() {
            true => None,
            false => {
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
                let verifier =
                    verifier.build().map_err(|error| TlsSettingsError::Provider(Box::new(error)))?;
                let verifier = Arc::new(Pkix(verifier));
                Some((configured(Arc::clone(&verifier) as _)?, verifier))
            }
        };
        let configurations = Cache::builder().max_capacity(MAX_CONFIGURATIONS).time_to_idle(IDLE).build();
        let (random, seeded) = (provider.secure_random, Randomness::default());
        Ok(Self { any, pkix, configurations, random, seeded })
    }

    /// Performs a handshake on a stream within a time limit. The returned stream proves the properties beside it.
    ///
    /// After a failure the stream is dropped.
    pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        peer: Peer<'_>,
        promise: Promise,
        limit: Duration,
    ) -> Result<Handshake<S>, TlsError> {
        let verified = promise >= Promise::Pkix;
        let name = server_name(peer.host, verified)?;
        let Configuration { config, verifier } = self.configuration(peer, verified)?;
        let handshake = TlsConnector::from(config).connect(name.clone(), stream);
        let stream = timeout(limit, handshake).await.map_err(|_| TlsError::TimedOut)?;
        let stream = stream.map_err(TlsError::of_handshake)?;
        let secured = judge(stream.get_ref().1, &name, verifier.as_deref())?;
        Ok(Handshake { stream, secured })
    }

    /// Takes nonces from this source if it has a seed.
    pub(crate) fn seeded(self, seeded: Randomness) -> Self {
        Self { seeded, ..self }
    }

    /// Octets that nobody can foretell, unless there is a seed.
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], TlsError> {
        let mut octets = [0; N];
        if self.seeded.fill_if_seeded(&mut octets) {
            return Ok(octets);
        }
        self.random.fill(&mut octets).map_err(|_| TlsError::NoRandomness)?;
        Ok(octets)
    }

    pub(super) fn configuration(&self, peer: Peer<'_>, verified: bool) -> Result<Configuration, TlsError> {
        let (base, pkix) = match (verified, &self.pkix) {
            (false, _) => (&self.any, None),
            (true, Some((config, pkix))) => (config, Some(pkix)),
            (true, None) => return Err(TlsError::NoRoots),
        };
        let key = Key { host: peer.host.cloned(), endpoint: peer.endpoint.clone(), verified };
        Ok(self.configurations.get_with(key, || Configuration::new(base.clone(), pkix.cloned())))
    }
}

impl Configuration {
    fn new(mut config: ClientConfig, pkix: Option<Arc<Pkix>>) -> Self {
        config.resumption = Resumption::in_memory_sessions(TICKETS);
        let verifier = pkix.map(|pkix| Arc::new(Remembering::new(pkix)));
        if let Some(verifier) = &verifier {
            config.dangerous().set_certificate_verifier(Arc::clone(verifier) as _);
        }
        Self { config: Arc::new(config), verifier }
    }
}

/// What the connection proved. The verifier of its configuration is asked once more: in a resumed session nobody has
/// asked it yet, and the certificate may have expired since.
pub(super) fn judge(
    connection: &ClientConnection,
    name: &ServerName<'_>,
    verifier: Option<&Remembering>,
) -> Result<Secured, TlsError> {
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
        _ => TlsVersion::V1_2,
    };
    let Some(verifier) = verifier else { return Ok(Secured::new(version, Proof::Unverified, resumed)) };
    let Some([leaf, intermediates @ ..]) = connection.peer_certificates() else {
        return Err(TlsError::Insufficient);
    };
    let verdict = verifier.verify_server_cert(leaf, intermediates, name, &[], UnixTime::now());
    verdict.map_err(|error| TlsError::of_handshake(std::io::Error::other(error)))?;
    Ok(Secured::new(version, Proof::Pkix, resumed))
}

/// What both ends of a connection have in common (RFC 9266 section 3). In TLS 1.3 only, for rustls does not say whether
/// a session of TLS 1.2 has an extended master secret (section 4.2).
pub(crate) fn binding(connection: &ClientConnection) -> Option<ChannelBinding> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let exported = connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
    exported.ok().map(ChannelBinding)
}

/// The name for SNI and for the certificate (RFC 9525 section 6.1). Where nothing is verified, a name that is none
/// does no harm.
fn server_name(host: Option<&Host>, verified: bool) -> Result<ServerName<'static>, TlsError> {
    match host {
        Some(Host::Name(name)) => {
            ServerName::try_from(name.as_str().to_owned()).map_err(|_| TlsError::NoName)
        }
        Some(Host::Address(address)) => Ok(ServerName::from(*address)),
        None if verified => Err(TlsError::NoName),
        // an address is never sent as SNI
        None => Ok(ServerName::from(IpAddr::from([127, 0, 0, 1]))),
    }
}
