//! Verifiers of server certificates: one that accepts all, and one that bounds what PKIX may cost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

/// Certificates that are looked at.
const MAX_CERTIFICATES: usize = 10;
/// Certificates of one subject among them: path building grows steeply with these.
const MAX_OF_ONE_SUBJECT: usize = 4;

/// Accepts every certificate and proves nothing: for levels that promise nothing of the peer.
#[derive(Debug)]
pub(super) struct AcceptAny {
    schemes: Vec<SignatureScheme>,
}

impl AcceptAny {
    /// With the schemes of the provider, and those of servers that know no better.
    pub(super) fn new(mut schemes: Vec<SignatureScheme>) -> Self {
        schemes.extend([SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        Self { schemes }
    }
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// PKIX (RFC 5280, RFC 9525), for chains that are small enough to be looked at.
#[derive(Debug)]
pub(super) struct Pkix(pub(super) Arc<WebPkiServerVerifier>);

/// A chain that is not looked at.
#[derive(Debug, thiserror::Error)]
#[error("the chain has more than {MAX_CERTIFICATES} certificates, or {MAX_OF_ONE_SUBJECT} of one subject")]
struct ChainTooLarge;

impl ServerCertVerifier for Pkix {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !is_small(intermediates) {
            return Err(CertificateError::Other(OtherError(Arc::new(ChainTooLarge))).into());
        }
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Until when a certificate is valid; `None` if that is not to be found out. The parser gives it away as the reason to
/// refuse the certificate at the end of time.
pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Option<UnixTime> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    let end_of_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let usage = webpki::KeyUsage::server_auth();
    match parsed.verify_for_usage(&[], &[], &[], end_of_time, usage, None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => Some(not_after),
        _ => None,
    }
}

fn is_small(intermediates: &[CertificateDer<'_>]) -> bool {
    if intermediates.len() <= MAX_OF_ONE_SUBJECT {
        return true;
    }
    let mut subjects = HashMap::new();
    let fits = |certificate: &CertificateDer<'_>| match webpki::EndEntityCert::try_from(certificate) {
        Ok(parsed) => {
            let count = subjects.entry(parsed.subject().to_vec()).or_insert(0);
            *count += 1;
            *count <= MAX_OF_ONE_SUBJECT
        }
        // what cannot be parsed is not used to build a path either
        Err(_) => true,
    };
    intermediates.len() < MAX_CERTIFICATES && intermediates.iter().all(fits)
}
