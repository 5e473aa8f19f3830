//! Authentication with channel binding, and the steps after a refusal of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nexthop::testing::ScriptedServer;
use nexthop::{LoginSettings, Mechanism, RecipientReport, TlsLevel, TlsSettings};

use crate::bed::{builder, send, settings};
use crate::pki::{HOST, Pki};

/// Returns the script of a relay that offers SCRAM with and without channel binding, and refuses the former with these
/// lines.
fn script(refusal: &str, then: &str) -> String {
    format!(
        "S: <tls>\nS: 220 x\nC: EHLO *\nS: 250-x\nS: 250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN\n\
         C: AUTH SCRAM-SHA-256-PLUS *\n{refusal}\n{then}C: QUIT\nS: 221 bye"
    )
}

/// The same mechanism without channel binding, which the relay refuses too.
const UNBOUND: &str = "C: AUTH SCRAM-SHA-256 *\nS: 535 5.7.8 no\n";
const REFUSED: &str = "S: 501 5.5.4 no channel binding";

/// Returns a refusal by `334 e=channel-bindings-dont-match` and 535.
fn binding_error() -> String {
    format!("S: 334 {}\nC: \nS: 535 5.7.8 no", STANDARD.encode("e=channel-bindings-dont-match"))
}

/// Logs in to a relay with this script, and checks that the client played all of it.
async fn logs_in(
    script: &str,
    tls: TlsSettings,
    pki: &Pki,
    only: Option<Mechanism>,
) -> (RecipientReport, ScriptedServer) {
    let server = ScriptedServer::script(script).tls(&pki.good()).listen_tcp().await.unwrap();
    let hop = format!("submissions://ann:secret@{HOST}:{}", server.address().port());
    let mut login = LoginSettings::default();
    login.only = only;
    let deliverer = builder(hop.parse().unwrap(), tls).login(login).build().unwrap();
    let report = send(&deliverer).await;
    assert_eq!(server.finish().await, Ok(()), "{report}");
    (report, server)
}

/// TLS settings that accept any certificate.
fn unproved(pki: &Pki) -> TlsSettings {
    let mut tls = settings(pki, TlsLevel::Required);
    tls.accept_invalid_certificates = true;
    tls
}

#[tokio::test]
async fn check_196_on_verified_tls_the_same_session_goes_on_without_the_refused_binding() {
    let pki = Pki::new();
    for refusal in [REFUSED, &binding_error()] {
        let tls = settings(&pki, TlsLevel::Verified);
        let (report, server) = logs_in(&script(refusal, UNBOUND), tls, &pki, None).await;
        assert_eq!(report.outcome.status().to_string(), "4.7.8", "{report}");
        assert_eq!(server.connections(), 1);
        // the server offered channel binding, so the client must not claim that it did not (RFC 5802 section 6)
        let transcript = server.transcript().concat();
        let first = transcript.iter().find_map(|line| line.strip_prefix("C: AUTH SCRAM-SHA-256 ")).unwrap();
        assert!(STANDARD.decode(first).unwrap().starts_with(b"n,,n=ann,r="), "{first}");
    }
}

#[tokio::test]
async fn attack_a40_on_tls_that_proved_nothing_no_login_follows_a_refused_binding() {
    let pki = Pki::new();
    for refusal in [REFUSED, &binding_error()] {
        let (report, _) = logs_in(&script(refusal, ""), unproved(&pki), &pki, None).await;
        assert!(report.to_string().contains("name the mechanism SCRAM-SHA-256"), "{report}");
    }
}

#[tokio::test]
async fn check_196_on_tls_that_proved_nothing_a_named_mechanism_is_used_without_binding() {
    let pki = Pki::new();
    let script = script("", UNBOUND).replace("C: AUTH SCRAM-SHA-256-PLUS *\n\n", "");
    let (report, _) = logs_in(&script, unproved(&pki), &pki, Some(Mechanism::ScramSha256)).await;
    assert_eq!(report.outcome.status().to_string(), "4.7.8", "{report}");
}

#[tokio::test]
async fn check_186_refused_credentials_end_the_login_whatever_else_is_offered() {
    let pki = Pki::new();
    let tls = settings(&pki, TlsLevel::Verified);
    let (report, _) = logs_in(&script("S: 535 5.7.8 no", ""), tls, &pki, None).await;
    assert_eq!(report.outcome.status().to_string(), "4.7.8", "{report}");
}
