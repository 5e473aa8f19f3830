//! [`Job`]: what is to be delivered, and where to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Error;

pub(crate) const SENDER: &str = "news@sender.example";
/// Who the clients say they are.
pub(crate) const CLIENT: &str = "client.example";
const HEADER: &str = "From: <news@sender.example>\r\nSubject: bench\r\n\r\n";
const LINE: &str = "The quick brown fox jumps over the lazy dog, and over the lazy dog it jumps.\r\n";

#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) target: Target,
    pub(crate) connections: usize,
    pub(crate) recipients: usize,
    pub(crate) content: Vec<u8>,
    /// Messages of this crate on their way on a connection at a time; above 1 in a single flight only.
    pub(crate) window: usize,
    /// Deliveries of this crate that are under way for each place in a window.
    pub(crate) waiting: usize,
    /// Whether this crate keeps connections.
    pub(crate) kept: bool,
}

/// A server on a loopback port or, by LMTP, on a unix socket.
#[derive(Clone)]
pub(crate) enum Target {
    Tcp(u16),
    /// With STARTTLS.
    Tls {
        port: u16,
        roots: PathBuf,
        config: Arc<ClientConfig>,
        lettre: TlsParameters,
    },
    Unix(PathBuf),
}

impl Job {
    /// Messages of so many octets.
    pub(crate) fn new(target: Target, connections: usize, recipients: usize, size: usize) -> Self {
        let lines = LINE.bytes().cycle().take(size.saturating_sub(HEADER.len() + 2));
        let content = HEADER.bytes().chain(lines).chain(*b"\r\n").collect();
        Self { target, connections, recipients, content, window: 1, waiting: 2, kept: true }
    }

    /// The same, without a delivery that waits for the one before it.
    pub(super) fn in_turn(&self) -> Self {
        Self { waiting: 1, ..self.clone() }
    }

    pub(crate) fn recipients(&self) -> impl Iterator<Item = String> {
        (0..self.recipients).map(|index| format!("recipient{index}@next.example"))
    }
}

impl Target {
    /// A port with STARTTLS, whose certificate is for `localhost` and leads to one of the roots.
    pub(crate) fn tls(port: u16, roots: &Path) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(roots)? {
            store.add(root?)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(store).with_no_client_auth();
        let lettre = TlsParameters::builder("localhost".to_owned()).certificate_store(CertificateStore::None);
        let lettre = lettre.add_root_certificate(Certificate::from_pem(&std::fs::read(roots)?)?).build()?;
        Ok(Self::Tls { port, roots: roots.to_owned(), config: Arc::new(config), lettre })
    }
}

/// `tcp:2525`, `tls:2525:/roots.pem`, `unix:/socket`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "tcp:{port}"),
            Self::Tls { port, roots, .. } => write!(f, "tls:{port}:{}", roots.display()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once(':').ok_or("no target")? {
            ("tcp", port) => Ok(Self::Tcp(port.parse()?)),
            ("tls", rest) => {
                let (port, roots) = rest.split_once(':').ok_or("no roots")?;
                Self::tls(port.parse()?, Path::new(roots))
            }
            (_, path) => Ok(Self::Unix(path.into())),
        }
    }
}
