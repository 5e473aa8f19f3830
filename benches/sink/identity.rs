//! [`Identity`]: a certificate for `localhost` and its address, with its root.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    folder: TempDir,
}

impl Identity {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?
            .signed_by(&key, &root)?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("roots.pem"), root.pem())?;
        let key = PrivateKeyDer::try_from(key.serialize_der())?;
        // said, not guessed, for other features may bring another one
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![leaf.der().clone()], key)?);
        Ok(Self { config, folder })
    }

    /// The file with the root.
    pub(crate) fn roots(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    /// A path for a unix socket.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
