//! [`Remembering`]: a verifier that judges the chain of one host once.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::verifier::not_after;

/// Judges as another verifier does, and remembers the last chain that was accepted.
///
/// What PKIX says depends on the chain, the name, the trust anchors and the time, and on nothing else: the anchors are
/// those of the verifier, so for the same octets and the same name the answer stays until a certificate of the chain
/// expires. That the server has the key is proved in every handshake that is not resumed, whatever is remembered.
#[derive(Debug)]
pub(super) struct Remembering {
    judge: Arc<dyn ServerCertVerifier>,
    last: Mutex<Option<Accepted>>,
}

/// A chain that was accepted for a name, at a time and up to another.
#[derive(Debug)]
struct Accepted {
    name: ServerName<'static>,
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    since: UnixTime,
    until: UnixTime,
}

impl Remembering {
    /// Remembers what this one accepts.
    pub(super) fn new(judge: Arc<dyn ServerCertVerifier>) -> Self {
        Self { judge, last: Mutex::new(None) }
    }

    /// Only one chain is kept: where the servers of a name show different ones, some are judged again.
    fn remember(&self, accepted: Option<Accepted>) {
        if accepted.is_some() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = accepted;
        }
    }
}

impl Accepted {
    /// `None` if it cannot be said how long it holds.
    fn new(
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        since: UnixTime,
    ) -> Option<Self> {
        let mut until = not_after(leaf)?;
        for intermediate in intermediates {
            until = until.min(not_after(intermediate)?);
        }
        Some(Self {
            name: name.to_owned(),
            leaf: leaf.clone().into_owned(),
            intermediates: intermediates.iter().map(|each| each.clone().into_owned()).collect(),
            since,
            until,
        })
    }

    fn covers(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        let in_time = self.since <= now && now <= self.until;
        in_time && self.name == *name && self.leaf == *leaf && self.intermediates == intermediates
    }
}

impl ServerCertVerifier for Remembering {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|last| last.covers(end_entity, intermediates, server_name, now)) {
            return Ok(ServerCertVerified::assertion());
        }
        drop(last);
        let verified =
            self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        self.remember(Accepted::new(end_entity, intermediates, server_name, now));
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}
