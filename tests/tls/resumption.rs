//! Which sessions are resumed, and which never.

use nexthop::TlsLevel::{Off, Opportunistic, Required, Verified};
use nexthop::testing::{ScriptedServer, ServerIdentity};
use nexthop::{Deliverer, Route, RouteTable};

use crate::bed::{builder, deliverer, hop, hop_to, send, send_to, settings};
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
    let proof = |report: &nexthop::RecipientReport| report.hop.as_ref().unwrap().secured().unwrap().proof();
    assert_eq!((proof(&first), proof(&second)), (nexthop::tls::Proof::Pkix, nexthop::tls::Proof::Pkix));
}

/// A deliverer with a hop for the recipients of one domain and another for all others.
fn two_hops(pki: &Pki, first: &str, second: &str) -> Deliverer {
    let router = RouteTable::new(first.parse().unwrap()).domain("second.example", second.parse().unwrap());
    let builder = builder(Route::mx(), settings(pki, Off)).router(router.unwrap());
    builder.build().unwrap()
}

/// Delivers to the first hop, then to the second, and says whether the latter resumed.
async fn second_resumes(pki: &Pki, first: &str, second: &str) -> bool {
    let deliverer = two_hops(pki, first, second);
    assert!(!resumes(&deliverer, "a@first.example").await);
    resumes(&deliverer, "a@second.example").await
}

#[tokio::test]
async fn check_174_attack_a45_no_session_is_resumed_for_another_name() {
    let pki = Pki::new();
    let server = listen(&pki.good_for(&[HOST, "other.example"])).await;
    let (first, second) = (hop("submission", &server), hop_to("submission", "other.example", &server));
    assert!(!second_resumes(&pki, &first, &second).await);
    assert_eq!(resumed_at(&server), [false, false]);
}

#[tokio::test]
async fn check_174_attack_a45_no_session_is_resumed_at_another_port() {
    let pki = Pki::new();
    let identity = pki.good();
    let servers = [listen(&identity).await, listen(&identity).await];
    let [first, second] = servers.each_ref().map(|server| hop("submission", server));
    assert!(!second_resumes(&pki, &first, &second).await);
    assert_eq!(servers.each_ref().map(resumed_at), [[false], [false]]);
}

#[tokio::test]
async fn check_174_attack_a45_an_unverified_session_is_not_resumed_where_one_is_to_be_verified() {
    let pki = Pki::new();
    let server = listen(&pki.good()).await;
    let mut tls = settings(&pki, Required);
    tls.level = Required;
    let (first, second) = (hop("smtp", &server), hop("submission", &server));
    let router = RouteTable::new(first.parse().unwrap()).domain("second.example", second.parse().unwrap());
    let deliverer = builder(Route::mx(), tls).router(router.unwrap()).build().unwrap();
    assert!(!resumes(&deliverer, "a@first.example").await);
    assert!(!resumes(&deliverer, "a@second.example").await);
    assert_eq!(resumed_at(&server), [false, false]);
}

#[tokio::test]
async fn check_174_an_unverified_session_does_not_let_a_bad_certificate_in() {
    let pki = Pki::new();
    let server = listen(&pki.self_signed()).await;
    let (first, second) = (hop("smtp", &server), hop("submission", &server));
    let router = RouteTable::new(first.parse().unwrap()).domain("second.example", second.parse().unwrap());
    let deliverer = builder(Route::mx(), settings(&pki, Required)).router(router.unwrap()).build().unwrap();
    assert!(!resumes(&deliverer, "a@first.example").await);
    assert!(!send_to(&deliverer, "a@second.example").await.outcome.is_delivered());
    assert_eq!(server.messages().len(), 1);
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
