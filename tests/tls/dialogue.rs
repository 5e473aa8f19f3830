//! What is said inside TLS, and how it ends.

use std::time::{Duration, Instant};

use nexthop::TlsLevel::{Opportunistic, Required, Verified};
use nexthop::testing::{Rules, ScriptedServer};
use nexthop::tls::TlsVersion;
use nexthop::{FailureKind, RecipientReport, Stage, Timeouts};

use crate::bed::{BY_STARTTLS, CLEAR, builder, hop, outcome, send, sent, settings, wire};
use crate::pki::Pki;

const DEFERRED: &str = "deferred 4.7.5 securing start-tls";

/// Delivers by STARTTLS to a verified server with these rules.
async fn by(rules: impl FnOnce(Rules) -> Rules) -> (RecipientReport, ScriptedServer) {
    let pki = Pki::new();
    let server = rules(ScriptedServer::smtp().tls(&pki.good())).listen_tcp().await.unwrap();
    let report = sent(&hop("smtp", &server), settings(&pki, Verified)).await;
    (report, server)
}

/// The lines of the client in the only connection.
fn said(server: &ScriptedServer) -> Vec<String> {
    let said = |line: &String| line.strip_prefix("C: ").map(str::to_owned);
    server.transcript()[0].iter().filter_map(said).collect()
}

#[tokio::test]
async fn check_161_the_handshake_follows_the_answer_to_starttls() {
    let pki = Pki::new();
    let script =
        "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nC: <tls-record>\nS: <close>";
    let server = ScriptedServer::script(script).listen_tcp().await.unwrap();
    let report = sent(&hop("smtp", &server), settings(&pki, Verified)).await;
    assert_eq!(outcome(&report), DEFERRED);
    server.finish().await.unwrap();
}

#[tokio::test]
async fn check_163_attack_a36_only_what_is_offered_inside_tls_is_used() {
    let (report, server) = by(|rules| {
        rules
            .keyword("CHUNKING")
            .without_in_tls("CHUNKING")
            .without_in_tls("SIZE")
            .without_in_tls("PIPELINING")
    })
    .await;
    assert!(report.outcome.is_delivered(), "{report}");
    let said = said(&server);
    assert!(said.contains(&"MAIL FROM:<news@example.net>".into()), "{said:?}");
    assert!(said.contains(&"DATA".into()), "{said:?}");
}

#[tokio::test]
async fn check_163_what_is_offered_inside_tls_alone_is_used() {
    let (report, server) =
        by(|rules| rules.without("SIZE").without("8BITMIME").keyword_in_tls("SIZE 1000")).await;
    assert!(report.outcome.is_delivered(), "{report}");
    let said = said(&server);
    assert!(said.iter().any(|line| line.starts_with("MAIL FROM:<news@example.net> SIZE=")), "{said:?}");
}

#[tokio::test]
async fn check_163_a_limit_that_was_named_in_the_clear_is_forgotten() {
    let (report, _) = by(|rules| rules.keyword("SIZE 1").keyword_in_tls("SIZE 0")).await;
    assert!(report.outcome.is_delivered(), "{report}");
}

#[tokio::test]
async fn check_163_a_limit_that_is_named_in_tls_counts() {
    let (report, _) = by(|rules| rules.keyword("SIZE 0").keyword_in_tls("SIZE 1")).await;
    let failure = report.outcome.failure().unwrap();
    assert_eq!(failure.kind(), FailureKind::Unsupported);
}

#[tokio::test]
async fn check_164_starttls_is_not_used_inside_tls() {
    let (report, server) = by(|rules| rules.keyword_in_tls("STARTTLS")).await;
    assert!(report.outcome.is_delivered(), "{report}");
    assert_eq!(wire(&server).await, [BY_STARTTLS]);
}

#[tokio::test]
async fn check_164_starttls_is_not_used_inside_tls_from_the_first_octet() {
    let pki = Pki::new();
    let rules = ScriptedServer::smtp().implicit_tls(&pki.good()).keyword_in_tls("STARTTLS");
    let server = rules.listen_tcp().await.unwrap();
    assert!(sent(&hop("smtps", &server), settings(&pki, Verified)).await.outcome.is_delivered());
    assert_eq!(wire(&server).await, ["<tls> EHLO MAIL RCPT DATA content QUIT"]);
}

#[tokio::test]
async fn attack_a36_a_server_that_forgets_ehlo_is_not_served_in_the_clear() {
    let pki = Pki::new();
    for level in [Required, Verified] {
        let rules = ScriptedServer::smtp().tls(&pki.good()).answer("EHLO", "502 5.5.1 what?");
        let server = rules.listen_tcp().await.unwrap();
        let report = sent(&hop("smtp", &server), settings(&pki, level)).await;
        assert_eq!(outcome(&report), DEFERRED);
        assert_eq!(wire(&server).await, ["EHLO HELO QUIT"]);
    }
}

#[tokio::test]
async fn attack_a35_a_keyword_that_was_made_unknown_is_none() {
    let pki = Pki::new();
    for (level, found, words) in
        [(Opportunistic, "delivered clear", CLEAR), (Required, DEFERRED, "EHLO QUIT")]
    {
        let server = ScriptedServer::smtp().keyword("XXXXXXXA").listen_tcp().await.unwrap();
        let report = sent(&hop("smtp", &server), settings(&pki, level)).await;
        assert_eq!((outcome(&report).as_str(), wire(&server).await), (found, vec![words.to_owned()]));
    }
}

#[tokio::test]
async fn check_169_tls_1_2_is_enough() {
    let pki = Pki::new();
    let identity = pki.good().tls_1_2_alone().unwrap();
    let server = ScriptedServer::smtp().tls(&identity).listen_tcp().await.unwrap();
    let report = sent(&hop("smtp", &server), settings(&pki, Verified)).await;
    assert_eq!(outcome(&report), "delivered pkix");
    assert_eq!(report.hop.unwrap().secured().unwrap().version(), TlsVersion::V1_2);
}

#[tokio::test]
async fn check_169_tls_1_3_is_preferred() {
    let (report, _) = by(|rules| rules).await;
    assert_eq!(report.hop.unwrap().secured().unwrap().version(), TlsVersion::V1_3);
}

#[tokio::test]
async fn check_176_a_report_says_how_a_hop_was_secured() {
    let (report, _) = by(|rules| rules).await;
    assert!(report.to_string().ends_with(" with TLSv1.3, pkix"), "{report}");
}

#[tokio::test]
async fn check_175_the_client_says_that_it_leaves() {
    let (report, server) = by(|rules| rules).await;
    assert!(report.outcome.is_delivered());
    // `<cut>` would be last
    assert_eq!(wire(&server).await, [BY_STARTTLS]);
}

/// A dialogue inside TLS up to the content, and how it goes on.
async fn ending(rest: &str) -> (RecipientReport, ScriptedServer) {
    let pki = Pki::new();
    let script = format!(
        "S: <tls>\nS: 220 x\nC: EHLO *\nS: 250 x\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\n\
         C: <content>\n{rest}"
    );
    let server = ScriptedServer::script(&script).tls(&pki.good()).listen_tcp().await.unwrap();
    let report = sent(&hop("smtps", &server), settings(&pki, Verified)).await;
    (report, server)
}

#[tokio::test]
async fn check_175_attack_a44_truncation_before_the_final_reply_is_a_lost_connection() {
    for rest in ["S: <close>", "S: <reset>", "S: <raw '250 o'>\nS: <close>", "S: <raw '250 ok\\r'>"] {
        let (report, _) = ending(rest).await;
        let failure = report.outcome.failure().unwrap();
        let found = (failure.kind(), failure.stage(), failure.is_permanent(), failure.may_have_arrived());
        assert_eq!(found, (FailureKind::Disconnected, Some(Stage::Final), false, true), "{rest}");
    }
}

#[tokio::test]
async fn check_175_truncation_after_quit_is_harmless() {
    for rest in ["S: <close>", "S: <reset>", "S: 221 bye\nS: <close>"] {
        let (report, server) = ending(&format!("S: 250 taken\nC: QUIT\n{rest}")).await;
        assert_eq!(outcome(&report), "delivered pkix", "{rest}");
        assert_eq!(server.finish().await, Ok(()));
    }
}

#[tokio::test]
async fn attack_a44_a_reply_may_come_in_records_of_one_octet() {
    let (report, _) = ending(r#"S: <raw "2" "5" "0" " " "o" "k" "\r" "\n">"#).await;
    assert_eq!(outcome(&report), "delivered pkix");
}

/// A server that promises TLS and says nothing more, and whether it has a successor in the clear.
const SILENT: &str = "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: <silence>";
const IN_THE_CLEAR: &str = "S: 220 x\nC: EHLO *\nS: 250 x\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\n\
    S: 354 go\nC: <content>\nS: 250 ok\nC: QUIT\nS: 221 bye";

fn hasty() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.tls = Duration::from_millis(50);
    timeouts
}

#[tokio::test]
async fn attack_a42_a_handshake_that_stalls_ends() {
    let pki = Pki::new();
    let at_once = ScriptedServer::script("S: <silence>").listen_tcp().await.unwrap();
    let by_command = ScriptedServer::script(SILENT).listen_tcp().await.unwrap();
    for hop in [hop("smtps", &at_once), hop("smtp", &by_command)] {
        let begun = Instant::now();
        let builder = builder(hop.parse().unwrap(), settings(&pki, Verified)).timeouts(hasty());
        let report = send(&builder.build().unwrap()).await;
        assert_eq!(outcome(&report), DEFERRED, "{hop}");
        assert!(report.to_string().contains("took too long"), "{report}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn check_166_cleartext_follows_on_a_handshake_that_stalls() {
    let pki = Pki::new();
    let server = ScriptedServer::script(SILENT).then(IN_THE_CLEAR).listen_tcp().await.unwrap();
    let route = hop("smtp", &server).parse().unwrap();
    let builder = builder(route, settings(&pki, Opportunistic)).timeouts(hasty());
    assert_eq!(outcome(&send(&builder.build().unwrap()).await), "delivered clear");
    assert_eq!(server.finish().await, Ok(()));
}

#[tokio::test]
async fn check_165_no_second_connection_where_cleartext_will_not_do() {
    let pki = Pki::new();
    let server = ScriptedServer::smtp().implicit_tls(&pki.self_signed()).listen_tcp().await.unwrap();
    let report = sent(&hop("smtps", &server), settings(&pki, Opportunistic)).await;
    assert_eq!(outcome(&report), DEFERRED);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn check_167_the_next_host_is_tried() {
    let pki = Pki::new();
    let bad = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let good = ScriptedServer::smtp().tls(&pki.good()).listen_tcp().await.unwrap();
    let route = format!("{},{}", hop("smtp", &bad), hop("smtp", &good));
    let report = send(&builder(route.parse().unwrap(), settings(&pki, Verified)).build().unwrap()).await;
    assert_eq!(outcome(&report), "delivered pkix");
    assert_eq!(report.attempts[0].failure().kind(), FailureKind::Securing);
    assert_eq!(bad.messages(), []);
}
