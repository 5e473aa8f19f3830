//! What a host sets: roots, a certificate of its own, whether any certificate will do.

use std::path::Path;

use nexthop::TlsLevel::{Off, Opportunistic, Required, Verified};
use nexthop::deliverer::BuildError;
use nexthop::plan::PlanSettings;
use nexthop::testing::ScriptedServer;
use nexthop::tls::{ClientIdentity, Roots, TlsSettingsError};
use nexthop::{LoginSettings, Route, TlsSettings};

use crate::bed::{builder, hop, outcome, send, sent, settings, wire};
use crate::pki::Pki;

fn refused(tls: TlsSettings) -> BuildError {
    builder(Route::mx(), tls).build().unwrap_err()
}

/// The settings are refused, and the message names the file.
fn refused_for(tls: TlsSettings, file: &Path) {
    let error = refused(tls);
    assert!(
        matches!(&error, BuildError::Tls(TlsSettingsError::File { path, .. }) if path == file),
        "{error}"
    );
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

/// Files that are no certificates, each with a file name.
fn bad_files(pki: &Pki) -> Vec<std::path::PathBuf> {
    let garbage = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n";
    vec![
        pki.path("missing.pem"),
        pki.write("empty.pem", ""),
        pki.write("text.pem", "no certificate\n"),
        pki.write("cut.pem", "-----BEGIN CERTIFICATE-----\nMII"),
        pki.write("garbage.pem", garbage),
    ]
}

#[test]
fn unusable_roots_are_an_error_that_names_the_file() {
    let pki = Pki::new();
    for file in bad_files(&pki) {
        let mut tls = settings(&pki, Opportunistic);
        tls.roots = Roots::File(file.clone());
        refused_for(tls, &file);
    }
}

#[test]
fn an_unusable_client_certificate_is_an_error_that_names_the_file() {
    let pki = Pki::new();
    let (chain, key, _) = pki.client();
    let of = |chain: &Path, key: &Path| {
        let mut tls = settings(&pki, Opportunistic);
        tls.client_identity = Some(ClientIdentity::new(chain, key));
        tls
    };
    // what is in the certificates is the server's to judge, but for the first
    for file in &bad_files(&pki)[..4] {
        refused_for(of(file, &key), file);
        refused_for(of(&chain, file), file);
    }
    let another = pki.write("another.key", &rcgen::KeyPair::generate().unwrap().serialize_pem());
    refused_for(of(&chain, &another), &another);
}

#[test]
fn verification_without_roots_is_an_error() {
    let mut tls = TlsSettings::default();
    (tls.level, tls.roots) = (Verified, Roots::None);
    let error = refused(tls);
    assert!(matches!(error, BuildError::Tls(TlsSettingsError::NoRoots)), "{error}");
}

#[tokio::test]
async fn without_roots_a_hop_that_must_be_verified_is_deferred() {
    let pki = Pki::new();
    let server = ScriptedServer::smtp().tls(&pki.good()).listen_tcp().await.unwrap();
    let mut tls = settings(&pki, Opportunistic);
    tls.roots = Roots::None;
    let report = sent(&hop("submission", &server), tls.clone()).await;
    assert_eq!(outcome(&report), "deferred 4.7.5 securing start-tls");
    assert!(report.to_string().contains("no trust anchors"), "{report}");
    assert_eq!(wire(&server).await, ["EHLO STARTTLS <tls> <no-tls>"]);
    assert_eq!(outcome(&sent(&hop("smtp", &server), tls).await), "delivered unverified");
}

#[tokio::test]
async fn any_certificate_will_do_on_a_relay_that_the_host_says_so_of() {
    let pki = Pki::new();
    let mut tls = settings(&pki, Verified);
    tls.accept_invalid_certificates = true;
    for identity in [pki.wrong_name(), pki.expired(), pki.self_signed()] {
        let by_command = ScriptedServer::smtp().tls(&identity).listen_tcp().await.unwrap();
        let at_once = ScriptedServer::smtp().implicit_tls(&identity).listen_tcp().await.unwrap();
        for hop in [hop("smtp", &by_command), hop("submission", &by_command), hop("smtps", &at_once)] {
            assert_eq!(outcome(&sent(&hop, tls.clone()).await), "delivered unverified", "{hop}");
        }
    }
}

#[tokio::test]
async fn any_certificate_is_no_cleartext() {
    let pki = Pki::new();
    let mut tls = settings(&pki, Verified);
    tls.accept_invalid_certificates = true;
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let report = sent(&hop("smtp", &server), tls).await;
    assert_eq!(outcome(&report), "deferred 4.7.5 securing start-tls");
    assert_eq!(wire(&server).await, ["EHLO QUIT"]);
}

#[tokio::test]
async fn law_6_not_any_certificate_will_do_of_a_mail_exchanger() {
    let pki = Pki::new();
    let mut tls = settings(&pki, Verified);
    tls.accept_invalid_certificates = true;
    let server = ScriptedServer::smtp().tls(&pki.self_signed()).listen_tcp().await.unwrap();
    let mut plan = PlanSettings::default();
    plan.mx_port = server.address().port();
    let report = send(&builder(Route::mx(), tls).plan(plan).build().unwrap()).await;
    assert_eq!(outcome(&report), "deferred 4.7.5 securing start-tls");
    assert_eq!(wire(&server).await, ["EHLO STARTTLS <tls> <no-tls>"]);
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_asked_for() {
    let pki = Pki::new();
    let (chain, key, certificate) = pki.client();
    for level in [Required, Verified] {
        let asking = pki.good().asking_clients().unwrap();
        let server = ScriptedServer::smtp().tls(&asking).listen_tcp().await.unwrap();
        let mut tls = settings(&pki, level);
        assert!(sent(&hop("smtp", &server), tls.clone()).await.outcome.is_delivered());
        tls.client_identity = Some(ClientIdentity::new(&chain, &key));
        assert!(sent(&hop("smtp", &server), tls).await.outcome.is_delivered());
        let shown: Vec<_> = server.handshakes().into_iter().map(|made| made.client_certificate).collect();
        assert_eq!(shown, [None, Some(certificate.clone())], "{level}");
    }
}

#[tokio::test]
async fn check_166_cleartext_after_a_failure_can_be_turned_off() {
    let pki = Pki::new();
    let script = "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: <close>";
    let server = ScriptedServer::script(script).listen_tcp().await.unwrap();
    let mut tls = settings(&pki, Opportunistic);
    tls.cleartext_after_failure = false;
    let report = sent(&hop("smtp", &server), tls).await;
    assert_eq!(outcome(&report), "deferred 4.7.5 securing start-tls");
    assert_eq!(wire(&server).await, ["EHLO STARTTLS"]);
}

/// A password that may go in the clear on loopback still goes to nobody whose handshake failed.
#[tokio::test]
async fn law_10_check_166_no_cleartext_after_a_failure_where_credentials_are_to_be_sent() {
    let pki = Pki::new();
    let script = "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: <close>";
    let server = ScriptedServer::script(script).then("S: 220 x").listen_tcp().await.unwrap();
    let mut login = LoginSettings::default();
    login.cleartext_on_loopback = true;
    let relay = format!("smtp://ann:secret@127.0.0.1:{}", server.address().port());
    let builder = builder(relay.parse().unwrap(), settings(&pki, Opportunistic));
    let deliverer = builder.login(login).build().unwrap();
    assert_eq!(outcome(&send(&deliverer).await), "deferred 4.7.5 securing start-tls");
    assert_eq!(wire(&server).await, ["EHLO STARTTLS"]);
}

#[tokio::test]
async fn law_6_a_hop_is_not_lowered_by_the_settings() {
    let pki = Pki::new();
    for level in [Off, Opportunistic] {
        let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
        let report = sent(&hop("submission", &server), settings(&pki, level)).await;
        assert_eq!(outcome(&report), "deferred 4.7.5 securing start-tls", "{level}");
        assert_eq!(wire(&server).await, ["EHLO QUIT"], "{level}");
    }
}
