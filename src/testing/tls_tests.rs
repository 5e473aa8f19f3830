//! Servers in TLS, and a client that believes everything.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::{TlsVersion, default_provider};

use super::test_client::Client;
use super::{Departure, Got, IdentityError, ScriptedServer, ServerIdentity};

fn made() -> (Vec<u8>, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["mx.example".to_owned()]).unwrap();
    (made.cert.der().to_vec(), made.signing_key.serialize_der())
}

fn identity() -> ServerIdentity {
    let (certificate, key) = made();
    ServerIdentity::new(vec![certificate], key).unwrap()
}

#[derive(Debug)]
struct Believer;

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// The configuration of a client, with a certificate to show if there is one.
fn config(shown: Option<(Vec<u8>, Vec<u8>)>) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(default_provider().unwrap())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believer));
    Arc::new(match shown {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
            config.with_client_auth_cert(vec![certificate.into()], key).unwrap()
        }
    })
}

async fn secure(client: Client<TcpStream>, config: &Arc<ClientConfig>) -> Client<TlsStream<TcpStream>> {
    let name = ServerName::try_from("mx.example").unwrap();
    Client(TlsConnector::from(Arc::clone(config)).connect(name, client.0).await.unwrap())
}

#[tokio::test]
async fn starttls_is_advertised_and_forgets_the_cleartext() {
    let rules = ScriptedServer::smtp().tls(&identity()).without("SMTPUTF8").without("8BITMIME");
    let rules = rules.without_in_tls("SIZE").keyword_in_tls("X-MORE").keyword_in_tls("CHUNKING");
    let server = rules.listen_tcp().await.unwrap();
    assert!(server.url().starts_with("smtp://"), "{}", server.url());
    let mut client = Client::tcp(&server).await;
    client.hear("220 mx.example ESMTP").await;
    let keywords = "250-mx.example\n250-PIPELINING\n250-ENHANCEDSTATUSCODES";
    client.talk("STARTTLS", "503 5.5.1 bad sequence of commands").await;
    client.talk("EHLO x", &format!("{keywords}\n250-SIZE\n250 STARTTLS")).await;
    client.talk("STARTTLS", "220 2.0.0 go ahead").await;

    let mut client = secure(client, &config(None)).await;
    client.talk("MAIL FROM:<>", "503 5.5.1 bad sequence of commands").await;
    client.talk("EHLO x", &format!("{keywords}\n250-X-MORE\n250 CHUNKING")).await;
    client.talk("STARTTLS", "503 5.5.1 bad sequence of commands").await;
    client.talk("MAIL FROM:<>", "250 2.1.0 ok").await;
    client.talk("RCPT TO:<b@example.org>", "250 2.1.5 ok").await;
    client.talk("BDAT 0 LAST\nQUIT", "250 2.0.0 taken\n221 2.0.0 bye").await;
    assert_eq!(client.rest().await, "");
    let transcript = &server.transcript()[0];
    let secured = transcript.iter().position(|line| line == "S: <tls>").unwrap();
    assert_eq!(transcript[secured - 2..secured], ["C: STARTTLS", "S: 220 2.0.0 go ahead"]);
    assert_eq!(transcript[secured + 1], "C: MAIL FROM:<>");
}

#[tokio::test]
async fn a_refused_starttls_leaves_the_connection_as_it_is() {
    let rules = ScriptedServer::smtp().tls(&identity()).answer("STARTTLS", "454 4.7.0 not now");
    let server = rules.listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.talk("HELO x", "220 mx.example ESMTP\n250 mx.example").await;
    client.talk("STARTTLS", "454 4.7.0 not now").await;
    client.talk("NOOP", "250 2.0.0 ok").await;
}

#[tokio::test]
async fn a_server_without_an_identity_knows_no_starttls() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.talk("HELO x", "220 mx.example ESMTP\n250 mx.example").await;
    client.talk("STARTTLS", "500 5.5.1 command not known").await;
}

#[tokio::test]
async fn nothing_may_follow_starttls_but_a_handshake() {
    let server = ScriptedServer::smtp().tls(&identity()).listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.talk("HELO x", "220 mx.example ESMTP\n250 mx.example").await;
    client.talk("STARTTLS\nMAIL FROM:<>", "421 5.5.0 improper pipelining").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_connection_without_a_handshake_is_heard_to_its_end() {
    let server = ScriptedServer::lmtp().implicit_tls(&identity()).listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.send("LHLO x\r\n").await;
    client.rest().await;
    client.send("MAIL").await;
    drop(client);
    server.ended().await;
    let transcript = &server.transcript()[0];
    assert!(transcript[1].starts_with("C: <no tls: received corrupt message"), "{transcript:?}");
    assert_eq!(transcript[2..], ["C: MAIL"]);
    assert_eq!(server.handshakes(), []);
}

#[tokio::test]
async fn tls_from_the_first_octet() {
    let folder = tempfile::tempdir().unwrap();
    let identity = identity();
    let at_socket = ScriptedServer::lmtp().implicit_tls(&identity);
    let at_socket = at_socket.listen_unix(folder.path().join("s")).await.unwrap();
    assert!(at_socket.url().starts_with("lmtps+unix:///"), "{}", at_socket.url());

    let server = ScriptedServer::smtp().implicit_tls(&identity).listen_tcp().await.unwrap();
    assert!(server.url().starts_with("smtps://127.0.0.1:"), "{}", server.url());
    let mut client = secure(Client::tcp(&server).await, &config(None)).await;
    client.hear("220 mx.example ESMTP").await;
    client.talk("NOOP", "250 2.0.0 ok").await;
}

#[tokio::test]
async fn handshakes_say_what_the_client_did() {
    let (certificate, key) = made();
    let server = ScriptedServer::smtp().implicit_tls(&identity().asking_clients().unwrap());
    let server = server.listen_tcp().await.unwrap();
    let config = config(Some((certificate.clone(), key)));
    for _ in 0..2 {
        let mut client = secure(Client::tcp(&server).await, &config).await;
        client.talk("QUIT", "220 mx.example ESMTP\n221 2.0.0 bye").await;
        client.rest().await;
    }
    let [first, second] = &server.handshakes()[..] else { panic!("two handshakes") };
    assert_eq!((first.connection, first.sni.as_deref()), (1, Some("mx.example")));
    assert_eq!((first.version, first.resumed, first.early_data), (TlsVersion::V1_3, false, false));
    assert_eq!(first.client_certificate.as_ref(), Some(&certificate));
    assert_eq!((second.connection, second.resumed), (2, true));
}

#[tokio::test]
async fn tls_1_2_alone() {
    let server = ScriptedServer::smtp().implicit_tls(&identity().tls_1_2_alone().unwrap());
    let server = server.listen_tcp().await.unwrap();
    secure(Client::tcp(&server).await, &config(None)).await.hear("220 mx.example ESMTP").await;
    assert_eq!(server.handshakes()[0].version, TlsVersion::V1_2);
}

#[tokio::test]
async fn sessions_begun_at_one_server_are_resumed_at_another_of_the_same_identity() {
    let (identity, config) = (identity(), config(None));
    let first = ScriptedServer::smtp().implicit_tls(&identity).listen_tcp().await.unwrap();
    let second = ScriptedServer::smtp().implicit_tls(&identity).listen_tcp().await.unwrap();
    for server in [&first, &second] {
        secure(Client::tcp(server).await, &config).await.hear("220 mx.example ESMTP").await;
    }
    assert!(second.handshakes()[0].resumed);
}

#[tokio::test]
async fn a_script_goes_on_inside_tls() {
    let script = "S: 220 x\nC: STARTTLS\nS: 220 go\nS: <tls>\nC: NOOP\nS: 250 x";
    let server = ScriptedServer::script(script).tls(&identity()).listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.talk("STARTTLS", "220 x\n220 go").await;
    let mut client = secure(client, &config(None)).await;
    client.talk("NOOP", "250 x").await;
    assert_eq!(client.rest().await, "");
    drop(client);
    assert_eq!(server.finish().await, Ok(()));
    assert_eq!(server.handshakes().len(), 1);
}

#[tokio::test]
async fn a_script_that_begins_in_tls_has_such_a_url() {
    let script = ScriptedServer::script("S: <tls>\nS: 220 x\nC: LHLO *").tls(&identity());
    let server = script.listen_tcp().await.unwrap();
    assert!(server.url().starts_with("lmtps://"), "{}", server.url());
}

#[tokio::test]
async fn closing_in_tls_says_nothing_more() {
    let server = ScriptedServer::script("S: <tls>\nS: 220 x\nS: <close>").tls(&identity());
    let server = server.listen_tcp().await.unwrap();
    let mut client = secure(Client::tcp(&server).await, &config(None)).await;
    client.hear("220 x").await;
    let cut = tokio::io::AsyncReadExt::read_u8(&mut client.0).await.unwrap_err();
    assert_eq!(
        cut.to_string(),
        "peer closed connection without sending TLS close_notify: \
https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html#unexpected-eof"
    );
}

#[tokio::test]
async fn a_client_that_leaves_tls_without_a_word_is_written_down() {
    let server = ScriptedServer::smtp().implicit_tls(&identity()).listen_tcp().await.unwrap();
    let mut client = secure(Client::tcp(&server).await, &config(None)).await;
    client.hear("220 mx.example ESMTP").await;
    drop(client);
    server.ended().await;
    assert_eq!(server.transcript()[0].last().unwrap(), "C: <no close_notify>");
}

#[tokio::test]
async fn a_client_that_wants_no_tls_departs() {
    let server = ScriptedServer::script("S: 220 x\nC: STARTTLS\nS: 220 go\nS: <tls>").tls(&identity());
    let server = server.listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.talk("STARTTLS", "220 x\n220 go").await;
    drop(client);
    let Err(Departure { line: 4, got: Got::NoTls(why), .. }) = server.finish().await else {
        panic!("a departure from the fourth line")
    };
    assert_eq!(why, "tls handshake eof");
}

#[tokio::test]
async fn octets_before_the_handshake_are_a_departure() {
    let server = ScriptedServer::script("S: 220 x\nC: STARTTLS\nS: 220 go\nS: <tls>").tls(&identity());
    let server = server.listen_tcp().await.unwrap();
    Client::tcp(&server).await.send("STARTTLS\r\nNOOP").await;
    let got = Got::Line("NOOP".into());
    let departure = Departure { connection: 1, line: 4, expected: "<tls>".into(), got };
    assert_eq!(server.finish().await, Err(departure));
}

#[tokio::test]
async fn tls_records_are_expected_without_a_handshake() {
    let server = ScriptedServer::script("C: <tls-record>\nS: 1\nC: <tls-record>").listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.send(b"\x16\x03\x01\0\x02").await;
    client.send(b"xx").await;
    client.hear("1").await;
    client.send("NOOP\r\n").await;
    let got = Got::Line("no TLS record".into());
    let departure = Departure { connection: 1, line: 3, expected: "<tls-record>".into(), got };
    assert_eq!(server.finish().await, Err(departure));
    assert_eq!(server.transcript()[0][0], "C: <tls record of type 22>");
}

#[test]
fn an_identity_needs_the_key_of_its_certificate() {
    let ((certificate, key), (other, _)) = (made(), made());
    assert!(ServerIdentity::new(vec![certificate.clone()], key.clone()).is_ok());
    for (chain, key) in [(vec![other], key.clone()), (vec![], key), (vec![certificate], b"none".to_vec())] {
        let error = ServerIdentity::new(chain, key).unwrap_err();
        assert!(matches!(error, IdentityError::Unusable(_)), "{error}");
    }
}
