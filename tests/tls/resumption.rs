//! Which sessions are resumed, and which never.

use nexthop::TlsLevel::{Off, Opportunistic, Required, Verified};
use nexthop::testing::{ScriptedServer, ServerIdentity};
use nexthop::tls::Proof;
use nexthop::{Deliverer, RecipientReport, Route, RouteTable, TlsLevel};

use crate::bed::{builder, deliverer, hop, hop_to, outcome, send, send_to, settings};
use crate::pki::{HOST, Pki};

/// Whether a message was delivered by a session that was resumed.
async fn resumes(deliverer: &Deliverer, recipient: &str) -> bool {
    let report = send_to(deliverer, recipient).await;
    assert!(report.outcome.is_delivered(), "{report}");
    report.hop.unwrap().secured().unwrap().is_resumed()
}

fn resumed_at(server: &ScriptedServer) -> Vec<bool> {
    server.handshakes().iter().map(|handshake| handshake.resumed).collect()
}

async fn listen(identity: &ServerIdentity) -> ScriptedServer {
    ScriptedServer::smtp().tls(identity).listen_tcp().await.unwrap()
}

#[tokio::test]
async fn check_174_the_second_connection_to_a_relay_resumes() {
    let pki = Pki::new();
    for (identity, version) in [(pki.good(), "1.3"), (pki.good().tls_1_2_alone().unwrap(), "1.2")] {
        for level in [Opportunistic, Required, Verified] {
            let server = listen(&identity).await;
            let deliverer = deliverer(&hop("smtp", &server), settings(&pki, level));
            let told =
                [resumes(&deliverer, "a@example.org").await, resumes(&deliverer, "a@example.org").await];
            assert_eq!(told, [false, true], "{version} {level}");
            assert_eq!(resumed_at(&server), [false, true], "{version} {level}");
        }
    }
}

#[tokio::test]
async fn check_174_what_a_resumed_session_proved_is_told_as_before() {
    let pki = Pki::new();
    let server = listen(&pki.good()).await;
    let deliverer = deliverer(&hop("smtp", &server), settings(&pki, Verified));
    let [first, second] = [send(&deliverer).await, send(&deliverer).await];
    let proof = |report: &RecipientReport| report.hop.as_ref().unwrap().secured().unwrap().proof();
    assert_eq!((proof(&first), proof(&second)), (Proof::Pkix, Proof::Pkix));
}

/// A deliverer with a hop for most recipients and another for those of one domain.
fn two_hops(pki: &Pki, level: TlsLevel, first: &str, second: &str) -> Deliverer {
    let router = RouteTable::new(first.parse().unwrap()).domain("second.example", second.parse().unwrap());
    builder(Route::mx(), settings(pki, level)).router(router.unwrap()).build().unwrap()
}

/// Whether deliveries to the first hop, to the second, and to the first again are of resumed sessions.
async fn in_turns(deliverer: &Deliverer) -> [bool; 3] {
    let first = resumes(deliverer, "a@first.example").await;
    let second = resumes(deliverer, "a@second.example").await;
    [first, second, resumes(deliverer, "a@first.example").await]
}

#[tokio::test]
async fn check_174_attack_a45_no_session_is_resumed_for_another_name() {
    let pki = Pki::new();
    let server = listen(&pki.good_for(&[HOST, "other.example"])).await;
    let (first, second) = (hop("submission", &server), hop_to("submission", "other.example", &server));
    // and the sessions of one name are not pushed out by those of another
    assert_eq!(in_turns(&two_hops(&pki, Off, &first, &second)).await, [false, false, true]);
    assert_eq!(resumed_at(&server), [false, false, true]);
}

#[tokio::test]
async fn check_174_attack_a45_no_session_is_resumed_at_another_port() {
    let pki = Pki::new();
    let identity = pki.good();
    let (one, other) = (listen(&identity).await, listen(&identity).await);
    let (first, second) = (hop("submission", &one), hop("submission", &other));
    assert_eq!(in_turns(&two_hops(&pki, Off, &first, &second)).await, [false, false, true]);
    assert_eq!((resumed_at(&one), resumed_at(&other)), (vec![false, true], vec![false]));
}

#[tokio::test]
async fn check_174_attack_a45_no_session_is_resumed_at_another_level() {
    let pki = Pki::new();
    let server = listen(&pki.good()).await;
    for (first, second) in [("smtp", "submission"), ("submission", "smtp")] {
        let [first, second] = [first, second].map(|scheme| hop(scheme, &server));
        let found = in_turns(&two_hops(&pki, Required, &first, &second)).await;
        assert_eq!(found, [false, false, true], "{first} {second}");
    }
}

#[tokio::test]
async fn check_174_an_unverified_session_does_not_let_a_bad_certificate_in() {
    let pki = Pki::new();
    let server = listen(&pki.self_signed()).await;
    let deliverer = two_hops(&pki, Required, &hop("smtp", &server), &hop("submission", &server));
    assert!(!resumes(&deliverer, "a@first.example").await);
    let report = send_to(&deliverer, "a@second.example").await;
    assert_eq!(outcome(&report), "deferred 4.7.5 securing start-tls");
}

#[tokio::test]
async fn check_170_no_data_is_sent_early() {
    let pki = Pki::new();
    let server = listen(&pki.good()).await;
    let deliverer = deliverer(&hop("smtp", &server), settings(&pki, Verified));
    for _ in 0..3 {
        resumes(&deliverer, "a@example.org").await;
    }
    let early: Vec<_> = server.handshakes().iter().map(|made| (made.resumed, made.early_data)).collect();
    assert_eq!(early, [(false, false), (true, false), (true, false)]);
}

#[tokio::test]
async fn check_174_deliverers_do_not_share_sessions() {
    let pki = Pki::new();
    let server = listen(&pki.good()).await;
    for _ in 0..2 {
        assert!(!resumes(&deliverer(&hop("smtp", &server), settings(&pki, Required)), "a@x.example").await);
    }
    assert_eq!(resumed_at(&server), [false, false]);
}
