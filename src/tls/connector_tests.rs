//! What a session proves, when it is begun and when it is resumed.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;

use super::connector::{Connector, Peer};
use super::error::TlsError;
use super::requirement::Promise;
use super::secured::{Proof, Secured};
use super::settings::{Roots, TlsSettings, default_provider};
use crate::mail::Host;
use crate::route::Endpoint;

/// A connector that trusts one root, and a server with a certificate of that root for `mx.example`.
fn pair() -> (Connector, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["mx.example".to_owned()]).unwrap().signed_by(&key, &root).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    std::fs::write(&file, root.pem()).unwrap();
    let mut settings = TlsSettings::default();
    settings.roots = Roots::File(file);
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    (Connector::new(&settings).unwrap(), TlsAcceptor::from(server(leaf.der().clone(), key)))
}

fn server(
    certificate: CertificateDer<'static>,
    key: rustls::pki_types::PrivateKeyDer<'static>,
) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(default_provider().unwrap());
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(config.with_single_cert(vec![certificate], key).unwrap())
}

type Made = Result<(TlsStream<DuplexStream>, Secured), TlsError>;

/// A handshake and an octet of the server, with which tickets come.
async fn handshake(connector: &Connector, acceptor: &TlsAcceptor, promise: Promise) -> Made {
    let (client, server) = duplex(64 * 1024);
    let host = Host::parse("mx.example").unwrap();
    let endpoint = Endpoint::Tcp(([192, 0, 2, 1], 25).into());
    let peer = Peer { host: Some(&host), endpoint: &endpoint };
    let accepting = async {
        let mut stream = acceptor.accept(server).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream
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
    let (connector, acceptor) = pair();
    let (_, first) = handshake(&connector, &acceptor, Promise::Pkix).await.unwrap();
    let (stream, second) = handshake(&connector, &acceptor, Promise::Pkix).await.unwrap();
    assert_eq!([first.is_resumed(), second.is_resumed()], [false, true]);
    assert_eq!([first.proof(), second.proof()], [Proof::Pkix; 2]);
    // what the certificate proves has changed since: here the name that is asked for, else the time
    let name = ServerName::try_from("other.example").unwrap();
    let judged = connector.judge(stream.get_ref().1, &name, true);
    assert!(matches!(judged, Err(TlsError::Certificate(_))), "{judged:?}");
}

#[tokio::test]
async fn check_174_a_session_that_promised_nothing_proves_nothing_when_resumed() {
    let (connector, acceptor) = pair();
    for resumed in [false, true] {
        let (_, secured) = handshake(&connector, &acceptor, Promise::Encrypted).await.unwrap();
        assert_eq!((secured.proof(), secured.is_resumed()), (Proof::Unverified, resumed));
    }
    let (_, secured) = handshake(&connector, &acceptor, Promise::Pkix).await.unwrap();
    assert_eq!((secured.proof(), secured.is_resumed()), (Proof::Pkix, false));
}
