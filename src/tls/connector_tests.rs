//! What a session proves, when it is begun and when it is resumed.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;

use super::connector::{Connector, Peer, judge};
use super::error::TlsError;
use super::requirement::Promise;
use super::secured::{Proof, Secured};
use super::settings::{Roots, TlsSettings, default_provider};
use crate::mail::Host;
use crate::route::Endpoint;

/// A connector that trusts one root, a certificate of that root for `mx.example`, and its key.
struct Bed {
    connector: Connector,
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Bed {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["mx.example".to_owned()]).unwrap().signed_by(&key, &root);

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roots.pem");
        std::fs::write(&file, root.pem()).unwrap();
        let mut settings = TlsSettings::default();
        settings.roots = Roots::File(file);
        let connector = Connector::new(&settings).unwrap();
        Self { connector, certificate: leaf.unwrap().der().clone(), key }
    }

    /// A server with the certificate and a key, be it the right one or not.
    fn server(&self, key: &KeyPair, versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
        let provider = default_provider().unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let shown = SingleCertAndKey::from(CertifiedKey::new(vec![self.certificate.clone()], key));
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        Arc::new(config.with_no_client_auth().with_cert_resolver(Arc::new(shown))).into()
    }
}

fn whom() -> (Host, Endpoint) {
    (Host::parse("mx.example").unwrap(), Endpoint::Tcp(([192, 0, 2, 1], 25).into()))
}

type Made = Result<(TlsStream<DuplexStream>, Secured), TlsError>;

/// A handshake and an octet of the server, with which tickets come.
async fn handshake(connector: &Connector, acceptor: &TlsAcceptor, promise: Promise) -> Made {
    let (client, server) = duplex(64 * 1024);
    let (host, endpoint) = whom();
    let peer = Peer { host: Some(&host), endpoint: &endpoint };
    let accepting = async {
        let mut stream = acceptor.accept(server).await.ok()?;
        stream.write_all(b"x").await.unwrap();
        Some(stream)
    };
    let connecting = async {
        let made = connector.handshake(client, peer, promise, Duration::MAX).await?;
        let (mut stream, secured) = (made.stream, made.secured);
        stream.read_u8().await.unwrap();
        Ok((stream, secured))
    };
    let (made, _server) = tokio::join!(connecting, accepting);
    made
}

#[tokio::test]
async fn check_174_a_resumed_session_is_judged_anew() {
    let bed = Bed::new();
    let (connector, acceptor) = (&bed.connector, bed.server(&bed.key, ALL_VERSIONS));
    let (_, first) = handshake(connector, &acceptor, Promise::Pkix).await.unwrap();
    let (stream, second) = handshake(connector, &acceptor, Promise::Pkix).await.unwrap();
    assert_eq!([first.is_resumed(), second.is_resumed()], [false, true]);
    assert_eq!([first.proof(), second.proof()], [Proof::Pkix; 2]);
    // what the certificate proves has changed since: here the name that is asked for, else the time
    let name = ServerName::try_from("other.example").unwrap();
    let (host, endpoint) = whom();
    let peer = Peer { host: Some(&host), endpoint: &endpoint };
    let verifier = connector.configuration(peer, true).unwrap().verifier;
    let judged = judge(stream.get_ref().1, &name, verifier.as_deref());
    assert!(matches!(judged, Err(TlsError::Certificate(_))), "{judged:?}");
}

#[tokio::test]
async fn check_174_a_session_that_promised_nothing_proves_nothing_when_resumed() {
    let bed = Bed::new();
    let (connector, acceptor) = (&bed.connector, bed.server(&bed.key, ALL_VERSIONS));
    for resumed in [false, true] {
        let (_, secured) = handshake(connector, &acceptor, Promise::Encrypted).await.unwrap();
        assert_eq!((secured.proof(), secured.is_resumed()), (Proof::Unverified, resumed));
    }
    let (_, secured) = handshake(connector, &acceptor, Promise::Pkix).await.unwrap();
    assert_eq!((secured.proof(), secured.is_resumed()), (Proof::Pkix, false));
}

#[tokio::test]
async fn a_certificate_without_its_key_proves_nothing() {
    let bed = Bed::new();
    let stolen = KeyPair::generate().unwrap();
    for version in [&TLS12, &TLS13] {
        let acceptor = bed.server(&stolen, &[version]);
        let made = handshake(&bed.connector, &acceptor, Promise::Pkix).await;
        assert!(matches!(made, Err(TlsError::Certificate(_))), "{version:?} {made:?}");
        let (_, secured) = handshake(&bed.connector, &acceptor, Promise::Encrypted).await.unwrap();
        assert_eq!(secured.proof(), Proof::Unverified);
    }
}

#[tokio::test]
async fn a_chain_that_is_known_proves_nothing_without_its_key() {
    let bed = Bed::new();
    let stolen = KeyPair::generate().unwrap();
    for version in [&TLS12, &TLS13] {
        let acceptor = bed.server(&bed.key, &[version]);
        let (_, secured) = handshake(&bed.connector, &acceptor, Promise::Pkix).await.unwrap();
        assert_eq!(secured.proof(), Proof::Pkix);
        let acceptor = bed.server(&stolen, &[version]);
        let made = handshake(&bed.connector, &acceptor, Promise::Pkix).await;
        assert!(matches!(made, Err(TlsError::Certificate(_))), "{version:?} {made:?}");
    }
}
