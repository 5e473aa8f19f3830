//! [`TlsSettings`]: what a host chooses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::route::TlsLevel;

/// How connections are secured. The defaults: TLS wherever it is offered, the roots of the system, no client
/// certificate.
///
/// TLS 1.2 and 1.3 are spoken (RFC 9325 section 3.1.1), without renegotiation, compression and early data.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TlsSettings {
    /// The level of hops that say nothing themselves: mail exchangers, and relays as `smtp://` and `lmtp://`
    /// name them. [`TlsLevel::Opportunistic`].
    pub level: TlsLevel,
    /// Whose certificates are trusted. [`Roots::System`].
    pub roots: Roots,
    /// The certificate that the client shows where a server asks for one. None.
    pub client_identity: Option<ClientIdentity>,
    /// Whether **any** certificate will do on relay hops, also where one is to be verified: whoever is on the way
    /// can read and change the mail and the credentials. Never applies to mail exchangers. `false`.
    pub accept_invalid_certificates: bool,
    /// Whether a handshake that fails on an opportunistic hop is followed by a new connection in the clear.
    /// `true` (RFC 7435 section 3).
    pub cleartext_after_failure: bool,
    provider: Option<Arc<CryptoProvider>>,
}

/// Whose certificates are trusted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Roots {
    /// Those that the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others. Read once, when a deliverer is
    /// built. Needs the feature `native-roots`; without it there are none.
    System,
    /// Those in this PEM file, and no others.
    File(PathBuf),
    /// Nobody's: every hop that must be verified fails.
    None,
}

/// A certificate chain with its private key, from PEM files.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientIdentity {
    /// The chain, the client's own certificate first.
    pub certificates: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

impl ClientIdentity {
    /// Names the files. They are read when a deliverer is built.
    pub fn new(certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificates: certificates.into(), key: key.into() }
    }
}

/// What is wrong with a [`TlsSettings`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSettingsError {
    /// A file is not readable as what it should be.
    #[error("cannot use {} as {what}", path.display())]
    #[non_exhaustive]
    File {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No certificate is trusted, and the level needs one that is.
    #[error("no trust anchors were found, and the level `verified` needs some")]
    NoRoots,
    /// The crate was built without `aws-lc-rs` and `ring`, and no provider was given.
    #[error("no cryptography: enable the feature `aws-lc-rs` or `ring`, or give a provider")]
    NoProvider,
    /// The provider does not fit.
    #[error("the cryptography does not fit")]
    Provider(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            level: TlsLevel::default(),
            roots: Roots::System,
            client_identity: None,
            accept_invalid_certificates: false,
            cleartext_after_failure: true,
            provider: None,
        }
    }
}

impl TlsSettings {
    /// Settings over a cryptography of the host's own. The one place where a type of rustls is asked for; it follows
    /// the major version of rustls.
    pub fn from_rustls(provider: Arc<CryptoProvider>) -> Self {
        Self { provider: Some(provider), ..Self::default() }
    }

    pub(super) fn provider(&self) -> Result<Arc<CryptoProvider>, TlsSettingsError> {
        self.provider.clone().or_else(default_provider).ok_or(TlsSettingsError::NoProvider)
    }

    pub(super) fn root_store(&self) -> Result<RootCertStore, TlsSettingsError> {
        let store = match &self.roots {
            Roots::System => system_roots(),
            Roots::File(path) => roots_of(path)?,
            Roots::None => RootCertStore::empty(),
        };
        match store.is_empty() && self.level == TlsLevel::Verified {
            true => Err(TlsSettingsError::NoRoots),
            false => Ok(store),
        }
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl ClientIdentity {
    pub(super) fn read(&self) -> Result<Identity, TlsSettingsError> {
        let certificates = certificates(&self.certificates, "a certificate chain")?;
        let key = PrivateKeyDer::from_pem_file(&self.key);
        let key = key.map_err(|error| unusable(&self.key, "a private key", error))?;
        Ok((certificates, key))
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsSettingsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path, "trust anchors")? {
        store.add(certificate).map_err(|error| unusable(path, "trust anchors", error))?;
    }
    Ok(store)
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsSettingsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(certificates) if certificates.is_empty() => {
            Err(unusable(path, what, "there is no certificate in it"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(path, what, error)),
    }
}

fn unusable(
    path: &Path,
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TlsSettingsError {
    TlsSettingsError::File { path: path.to_owned(), what, source: source.into() }
}

/// What the system trusts; certificates that cannot be read are left out.
#[cfg(feature = "native-roots")]
fn system_roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

#[cfg(not(feature = "native-roots"))]
fn system_roots() -> RootCertStore {
    RootCertStore::empty()
}

#[cfg(feature = "aws-lc-rs")]
pub(crate) fn default_provider() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
pub(crate) fn default_provider() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
pub(crate) fn default_provider() -> Option<Arc<CryptoProvider>> {
    None
}
