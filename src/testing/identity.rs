//! [`ServerIdentity`]: who a scripted server is in TLS, and [`Handshake`]: what a client made of it.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, HandshakeKind, ProtocolVersion, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};

use crate::tls::{TlsVersion, default_provider};

/// Octets of early data that a server offers to take, so that a client that sends any is found out.
const EARLY_DATA: u32 = 1024;

/// A certificate chain with its private key, for [`Rules::tls`](super::Rules::tls) and
/// [`Script::tls`](super::Script::tls).
///
/// Clones share their sessions: what a client began at one server, it can resume at another. TLS 1.2 and 1.3 are
/// spoken, and early data is offered.
///
/// ```no_run
/// # fn made() -> (Vec<Vec<u8>>, Vec<u8>) { Default::default() }
/// use nexthop::testing::{ScriptedServer, ServerIdentity};
///
/// let (chain, key) = made(); // of rcgen, say
/// let server = ScriptedServer::smtp().tls(&ServerIdentity::new(chain, key)?);
/// # Ok::<_, nexthop::testing::IdentityError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    parts: Arc<Parts>,
    pub(super) config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Parts {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Why a [`ServerIdentity`] is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The crate was built without `aws-lc-rs` and `ring`.
    #[error("no cryptography: enable the feature `aws-lc-rs` or `ring`")]
    NoProvider,
    /// The key is none, or not that of the first certificate, which must be one.
    #[error("the certificate and the private key cannot be used")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A TLS handshake that a server and a client brought to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handshake {
    /// On which connection, from 1.
    pub connection: usize,
    /// The name that the client asked for (RFC 6066 section 3).
    pub sni: Option<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The version.
    pub version: TlsVersion,
    /// The certificate that the client showed, as DER.
    pub client_certificate: Option<Vec<u8>>,
    /// Whether the client offered to send data before the end of the handshake (RFC 8446 section 2.3).
    pub early_data: bool,
}

impl ServerIdentity {
    /// From certificates in DER, the server's own first, and its private key in PKCS #8 and DER. The chain is shown as
    /// it is, right or wrong.
    ///
    /// # Errors
    /// The key does not fit, the first certificate is none, or the crate was built without cryptography.
    pub fn new(chain: Vec<Vec<u8>>, private_key: Vec<u8>) -> Result<Self, IdentityError> {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let parts = Parts { chain, key: PrivatePkcs8KeyDer::from(private_key).into() };
        Self::build(Arc::new(parts), rustls::ALL_VERSIONS, false)
    }

    /// The same identity, with TLS 1.2 alone and sessions of its own.
    ///
    /// # Errors
    /// As [`ServerIdentity::new`].
    pub fn tls_1_2_alone(&self) -> Result<Self, IdentityError> {
        Self::build(Arc::clone(&self.parts), &[&rustls::version::TLS12], false)
    }

    /// The same identity, with sessions of its own; asks clients for a certificate, and takes any, or none.
    ///
    /// # Errors
    /// As [`ServerIdentity::new`].
    pub fn asking_clients(&self) -> Result<Self, IdentityError> {
        Self::build(Arc::clone(&self.parts), rustls::ALL_VERSIONS, true)
    }

    fn build(
        parts: Arc<Parts>,
        versions: &[&'static SupportedProtocolVersion],
        asks: bool,
    ) -> Result<Self, IdentityError> {
        let provider = default_provider().ok_or(IdentityError::NoProvider)?;
        let clients: Arc<dyn ClientCertVerifier> = match asks {
            true => Arc::new(AnyClient(Arc::clone(&provider))),
            false => WebPkiClientVerifier::no_client_auth(),
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| IdentityError::Unusable(error.into()))?
            .with_client_cert_verifier(clients)
            .with_single_cert(parts.chain.clone(), parts.key.clone_key());
        let mut config = config.map_err(|error| IdentityError::Unusable(error.into()))?;
        config.max_early_data_size = EARLY_DATA;
        Ok(Self { parts, config: Arc::new(config) })
    }
}

impl Handshake {
    /// What a connection says of the handshake that it came from.
    pub(super) fn of(tls: &mut ServerConnection, connection: usize) -> Self {
        let version = match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
            _ => TlsVersion::V1_2,
        };
        let shown = tls.peer_certificates().and_then(<[_]>::first);
        Self {
            connection,
            sni: tls.server_name().map(String::from),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            version,
            client_certificate: shown.map(|certificate| certificate.to_vec()),
            early_data: tls.early_data().is_some(),
        }
    }
}

/// Takes whatever certificate a client shows, as long as the client has its key.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
