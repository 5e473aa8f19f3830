//! Which names are asked for, and which certificates speak for them.

use nexthop::plan::PlanSettings;
use nexthop::testing::{ScriptedServer, ServerIdentity};
use nexthop::{Route, TlsLevel};
use rcgen::SanType;

use crate::bed::{builder, hop, hop_to, outcome, send, sent, settings};
use crate::pki::{HOST, Pki, params};

/// The name in the ClientHello to a hop that is written so.
async fn sni(pki: &Pki, host: &str) -> Option<String> {
    let server = ScriptedServer::smtp().tls(&pki.good()).listen_tcp().await.unwrap();
    let report = sent(&hop_to("smtp", host, &server), settings(pki, TlsLevel::Required)).await;
    assert_eq!(outcome(&report), "delivered unverified", "{host}: {report}");
    server.handshakes()[0].sni.clone()
}

#[tokio::test]
async fn check_171_names_are_asked_for_as_a_labels_without_a_final_dot() {
    let pki = Pki::new();
    for (host, asked) in [
        ("good.example", "good.example"),
        ("Good.Example", "good.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ] {
        assert_eq!(sni(&pki, host).await.as_deref(), Some(asked), "{host}");
    }
}

#[tokio::test]
async fn check_171_addresses_are_not_asked_for() {
    assert_eq!(sni(&Pki::new(), "127.0.0.1").await, None);
}

#[tokio::test]
async fn check_171_attack_a46_an_exchanger_is_asked_for_by_its_own_name() {
    let pki = Pki::new();
    let server = ScriptedServer::smtp().tls(&pki.good_for(&[HOST])).listen_tcp().await.unwrap();
    let mut plan = PlanSettings::default();
    plan.mx_port = server.address().port();
    let builder = builder(Route::mx(), settings(&pki, TlsLevel::Verified)).plan(plan);
    let report = send(&builder.build().unwrap()).await;
    assert_eq!(outcome(&report), "delivered pkix", "{report}");
    assert_eq!(server.handshakes()[0].sni.as_deref(), Some(HOST));
}

/// Whether a certificate speaks for a host.
async fn speaks_for(pki: &Pki, identity: &ServerIdentity, host: &str) -> bool {
    let server = ScriptedServer::smtp().tls(identity).listen_tcp().await.unwrap();
    let report = sent(&hop_to("smtp", host, &server), settings(pki, TlsLevel::Verified)).await;
    let outcome = outcome(&report);
    assert!(
        ["delivered pkix", "deferred 4.7.5 securing start-tls"].contains(&outcome.as_str()),
        "{host}: {report}"
    );
    assert_eq!(server.messages().is_empty(), outcome != "delivered pkix");
    outcome == "delivered pkix"
}

#[tokio::test]
async fn check_172_attack_a43_names_match_whole_and_label_by_label() {
    let pki = Pki::new();
    for (name, host, speaks) in [
        ("good.example", "good.example", true),
        ("GOOD.example", "good.example", true),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", true),
        ("*.good.example", "mx.good.example", true),
        ("*.good.example", "good.example", false),
        ("*.example", "mx.good.example", false),
        ("mx.*.example", "mx.good.example", false),
        ("m*.good.example", "mx.good.example", false),
        ("*x.good.example", "mx.good.example", false),
        ("*", "good.example", false),
        ("*.example", "good.example", false),
        ("*.*.example", "mx.good.example", false),
        ("good.example.", "good.example", false),
        ("good.example.evil.example", "good.example", false),
        ("evil.good.example", "good.example", false),
        ("good.example\0.evil.example", "good.example", false),
    ] {
        let identity = pki.good_for(&[name]);
        assert_eq!(speaks_for(&pki, &identity, host).await, speaks, "{name:?} for {host}");
    }
}

#[tokio::test]
async fn check_172_any_of_several_names_will_do() {
    let pki = Pki::new();
    assert!(speaks_for(&pki, &pki.good_for(&["other.example", HOST]), HOST).await);
}

#[tokio::test]
async fn check_172_a_common_name_is_no_name() {
    let pki = Pki::new();
    assert!(!speaks_for(&pki, &pki.common_name_alone(), HOST).await);
}

#[tokio::test]
async fn check_172_an_address_needs_a_certificate_for_the_address() {
    let pki = Pki::new();
    assert!(speaks_for(&pki, &pki.of_address(), "127.0.0.1").await);
    assert!(!speaks_for(&pki, &pki.good(), "127.0.0.1").await);
    assert!(!speaks_for(&pki, &pki.of_address(), HOST).await);
}

#[tokio::test]
async fn attack_a43_an_address_as_a_name_is_none() {
    let pki = Pki::new();
    let mut as_name = params(&[]);
    as_name.subject_alt_names = vec![SanType::DnsName("127.0.0.1".try_into().unwrap())];
    assert!(!speaks_for(&pki, &pki.issued(as_name), "127.0.0.1").await);
}

#[tokio::test]
async fn check_172_a_name_is_compared_with_what_was_configured_not_with_what_it_led_to() {
    let pki = Pki::new();
    let server = ScriptedServer::smtp().tls(&pki.good_for(&["other.example"])).listen_tcp().await.unwrap();
    let report = sent(&hop("submission", &server), settings(&pki, TlsLevel::Off)).await;
    assert_eq!(outcome(&report), "deferred 4.7.5 securing start-tls");
    let report = sent(&hop_to("submission", "other.example", &server), settings(&pki, TlsLevel::Off)).await;
    assert_eq!(outcome(&report), "delivered pkix");
}
