//! [`TlsError`]: why a connection was not secured.

use std::io;
use std::sync::Arc;

use rustls::CertificateError;

/// Why a connection was not secured.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The server does not offer STARTTLS.
    #[error("the server does not offer STARTTLS")]
    NotOffered,
    /// The server does not offer STARTTLS, and credentials are to be sent.
    #[error("the server does not offer STARTTLS, and credentials are not sent in the clear")]
    NotOfferedForCredentials,
    /// A certificate is to be verified, and no issuer is trusted.
    #[error("no trust anchors are loaded")]
    NoRoots,
    /// A certificate is to be verified, and there is no name to verify it for.
    #[error("there is no host name to verify a certificate for")]
    NoName,
    /// The certificate does not prove what it must.
    #[error("the certificate is not accepted")]
    Certificate(#[source] Arc<io::Error>),
    /// The handshake failed.
    #[error("the TLS handshake failed")]
    Handshake(#[source] Arc<io::Error>),
    /// The handshake took too long.
    #[error("the TLS handshake took too long")]
    TimedOut,
    /// The cryptography has no randomness.
    #[error("no random octets are to be had")]
    NoRandomness,
    /// The session does not prove what was promised.
    #[error("the connection does not prove what it must")]
    Insufficient,
}

impl TlsError {
    /// What an I/O error of a handshake is about.
    pub(super) fn of_handshake(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            // rustls would show its name alone
            Some(rustls::Error::InvalidCertificate(CertificateError::Other(reason))) => {
                Self::Certificate(Arc::new(io::Error::other(reason.clone())))
            }
            Some(rustls::Error::InvalidCertificate(_)) => Self::Certificate(Arc::new(error)),
            _ => Self::Handshake(Arc::new(error)),
        }
    }
}
