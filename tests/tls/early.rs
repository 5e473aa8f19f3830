//! STARTTLS, and commands behind a handshake, that are said before what comes before them was read.

use std::sync::Arc;
use std::time::Duration;

use nexthop::TlsLevel::{self, Opportunistic, Required, Verified};
use nexthop::testing::ScriptedServer;
use nexthop::transport::Timeouts;

use crate::bed::{builder, deliverer, hop, outcome, send, settings, wire};
use crate::overheard::Overheard;
use crate::pki::Pki;

const GREETING: &str = "S: 220 mx.example\n";
const EHLO: &str = "C: EHLO client.example\n";
const STARTTLS: &str = "C: STARTTLS\n";
const OFFERS: &str = "S: 250-mx.example\nS: 250-PIPELINING\nS: 250-STARTTLS\nS: 250 PIPECONNECT\n";
const SECURED: &str = "S: 250-mx.example\nS: 250-PIPELINING\nS: 250 PIPECONNECT\n";
const SECURES: &str = "S: 220 go\nS: <tls>\n";
const COMMANDS: &str = "C: MAIL FROM:<news@example.net>\nC: RCPT TO:<ann@example.org>\nC: DATA\n";
const TAKES_COMMANDS: &str = "S: 250 ok\nS: 250 ok\nS: 354 go\n";
const CONTENT: &str = "C: <content>\nC: QUIT\nS: 250 2.0.0 taken\nS: 221 bye\n";
/// Long enough for a server on this host to answer.
const SOON: Duration = Duration::from_millis(500);
const DEFERRED: &str = "deferred 4.7.5 securing start-tls";

/// A session with a client that waits for each answer before TLS and behind it.
fn patient() -> String {
    let start = [GREETING, EHLO, OFFERS, STARTTLS, SECURES, EHLO, SECURED];
    [&start.concat(), COMMANDS, TAKES_COMMANDS, CONTENT].concat()
}

/// The same in the clear.
fn in_the_clear(offers: &str) -> String {
    [GREETING, EHLO, offers, COMMANDS, TAKES_COMMANDS, CONTENT].concat()
}

/// A client that says STARTTLS at once, and what becomes of it.
fn hasty(answers: &[&str]) -> String {
    [EHLO, STARTTLS, GREETING, OFFERS, &answers.concat()].concat()
}

/// A client that says its commands at once behind the handshake, and what becomes of them.
fn hasty_in_tls(answers: &[&str]) -> String {
    hasty(&[SECURES, EHLO, COMMANDS, &answers.concat()])
}

/// What becomes of a message after each of these dialogues but the first, which is that of [`patient`]; and what the client
/// said on the last connection.
async fn outcomes(level: TlsLevel, dialogues: &[&str], messages: usize) -> (Vec<String>, String) {
    outcomes_with(level, dialogues, messages, Timeouts::default()).await
}

async fn outcomes_with(
    level: TlsLevel,
    dialogues: &[&str],
    messages: usize,
    timeouts: Timeouts,
) -> (Vec<String>, String) {
    let pki = Pki::new();
    let first = patient();
    let script = dialogues.iter().fold(ScriptedServer::script(&first), |script, next| script.then(next));
    let server = script.tls(&pki.good()).listen_tcp().await.unwrap();
    let overheard = Arc::new(Overheard::default());
    let route = hop("smtp", &server).parse().unwrap();
    let builder = builder(route, settings(&pki, level)).timeouts(timeouts).observer(overheard.clone());
    let deliverer = builder.build().unwrap();
    assert!(send(&deliverer).await.outcome.is_delivered());
    let mut outcomes = Vec::new();
    for _ in 0..messages {
        outcomes.push(outcome(&send(&deliverer).await));
    }
    server.finish().await.unwrap();
    overheard.assert_as_in(&[&[first.as_str()], dialogues].concat());
    (outcomes, wire(&server).await.pop().unwrap())
}

const PKIX: &str = "delivered pkix";
const UNVERIFIED: &str = "delivered unverified";
const CLEAR: &str = "delivered clear";

#[tokio::test]
async fn starttls_goes_with_ehlo_and_the_commands_with_the_one_behind_the_handshake() {
    for (level, delivered) in [(Verified, PKIX), (Required, UNVERIFIED), (Opportunistic, UNVERIFIED)] {
        let early = hasty_in_tls(&[SECURED, TAKES_COMMANDS, CONTENT]);
        let dialogues: [&str; 2] = [&early, &early];
        assert_eq!(outcomes(level, &dialogues, 2).await.0, [delivered; 2]);
    }
}

#[tokio::test]
async fn from_the_first_octet_on_commands_go_before_the_greeting_inside_tls() {
    let pki = Pki::new();
    let first = ["S: <tls>\n", GREETING, EHLO, SECURED, COMMANDS, TAKES_COMMANDS, CONTENT].concat();
    let second = ["S: <tls>\n", EHLO, COMMANDS, GREETING, SECURED, TAKES_COMMANDS, CONTENT].concat();
    let script = ScriptedServer::script(&first).then(&second).tls(&pki.good());
    let server = script.listen_tcp().await.unwrap();
    let deliverer = deliverer(&hop("smtps", &server), settings(&pki, Verified));
    for _ in 0..2 {
        assert_eq!(outcome(&send(&deliverer).await), PKIX);
    }
    server.finish().await.unwrap();
}

#[tokio::test]
async fn what_is_announced_before_tls_alone_or_behind_it_alone_counts_there_alone() {
    let pki = Pki::new();
    let silent = |offers: &str| offers.replace("PIPECONNECT", "DSN");
    let (late_first, late) = (silent(OFFERS), silent(SECURED));
    for (first, second, dialogue) in [
        (OFFERS, late.as_str(), [EHLO, STARTTLS, GREETING, OFFERS, SECURES, EHLO, &late, COMMANDS]),
        (&late_first, SECURED, [GREETING, EHLO, &late_first, STARTTLS, SECURES, EHLO, COMMANDS, SECURED]),
    ] {
        let start = [GREETING, EHLO, first, STARTTLS, SECURES, EHLO, second, COMMANDS].concat();
        let rest = [TAKES_COMMANDS, CONTENT].concat();
        let script = ScriptedServer::script(&[start, rest.clone()].concat());
        let script = script.then(&[dialogue.concat(), rest].concat()).tls(&pki.good());
        let server = script.listen_tcp().await.unwrap();
        let deliverer = deliverer(&hop("smtp", &server), settings(&pki, Verified));
        for _ in 0..2 {
            assert_eq!(outcome(&send(&deliverer).await), PKIX);
        }
        server.finish().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_does_not_offer_starttls_any_more_is_asked_once_more_and_gets_what_it_always_would() {
    let stripped = [EHLO, STARTTLS, GREETING, SECURED, "S: 220 go\nC: <close>\n"].concat();
    let clear = in_the_clear(SECURED);
    let dialogues: [&str; 2] = [&stripped, &clear];
    assert_eq!(outcomes(Opportunistic, &dialogues, 1).await.0, [CLEAR]);
    let clear = [GREETING, EHLO, SECURED, "C: QUIT\nS: 221 bye\n"].concat();
    for level in [Required, Verified] {
        let dialogues: [&str; 2] = [&stripped, &clear];
        assert_eq!(outcomes(level, &dialogues, 1).await.0, [DEFERRED]);
    }
}

#[tokio::test]
async fn law_6_a_server_that_offers_starttls_now_has_nothing_of_the_envelope_in_the_clear() {
    let pki = Pki::new();
    // that it did not offer it before may be the work of somebody in between
    let offers_now = [EHLO, GREETING, OFFERS, STARTTLS, SECURES, EHLO, SECURED].concat();
    let offers_now = [&offers_now, COMMANDS, TAKES_COMMANDS, CONTENT].concat();
    let script = ScriptedServer::script(&in_the_clear(SECURED)).then(&offers_now);
    let server = script.tls(&pki.good()).listen_tcp().await.unwrap();
    let deliverer = deliverer(&hop("smtp", &server), settings(&pki, Opportunistic));
    assert_eq!(outcome(&send(&deliverer).await), CLEAR);
    assert_eq!(outcome(&send(&deliverer).await), UNVERIFIED);
    server.finish().await.unwrap();
}

#[tokio::test]
async fn attack_a34_octets_behind_the_answer_to_an_early_starttls_are_found_out() {
    let injected =
        hasty(&["S: <raw \"220 go\\r\\n250-evil.example\\r\\n250 AUTH PLAIN\\r\\n\">\nC: <close>\n"]);
    for level in [Opportunistic, Required, Verified] {
        let (found, words) = outcomes(level, &[&injected], 1).await;
        assert_eq!((found, words.as_str()), (vec![DEFERRED.to_owned()], "EHLO STARTTLS"));
    }
}

#[tokio::test]
async fn an_early_starttls_that_is_refused_is_refused_as_any_other() {
    let refusal = "S: 454 4.7.0 not now\n";
    let goes_on = hasty(&[refusal, COMMANDS, TAKES_COMMANDS, CONTENT]);
    assert_eq!(outcomes(Opportunistic, &[&goes_on], 1).await.0, [CLEAR]);
    let ends = hasty(&[refusal, "C: QUIT\nS: 221 bye\n"]);
    assert_eq!(outcomes(Verified, &[&ends], 1).await.0, ["deferred 4.7.0 securing start-tls"]);
    let leaves = hasty(&["S: 421 4.3.2 bye\n"]);
    assert_eq!(outcomes(Opportunistic, &[&leaves], 1).await.0, ["deferred 4.3.2 refused start-tls"]);
    assert_eq!(outcomes(Verified, &[&leaves], 1).await.0, ["deferred 4.3.2 securing start-tls"]);
}

#[tokio::test]
async fn a_handshake_that_fails_is_no_surprise_and_nothing_of_the_envelope_precedes_it() {
    let alert =
        hasty(&["S: 220 go\nC: <tls-record>\nS: <raw \"\\x15\\x03\\x03\\0\\x02\\x02\\x28\">\nC: <rest>\n"]);
    let (found, words) = outcomes(Verified, &[&alert], 1).await;
    assert_eq!((found, words.as_str()), (vec![DEFERRED.to_owned()], "EHLO STARTTLS <record>"));
    let clear = in_the_clear(OFFERS);
    let dialogues: [&str; 2] = [&alert, &clear];
    assert_eq!(outcomes(Opportunistic, &dialogues, 1).await.0, [CLEAR]);
}

#[tokio::test]
async fn a_connection_lost_at_an_early_starttls_or_behind_the_handshake_is_followed_by_a_patient_one() {
    for lost in [
        [EHLO, STARTTLS, "S: <close>\n"].concat(),
        hasty(&["S: <close>\n"]),
        hasty_in_tls(&["S: <close>\n"]),
        hasty_in_tls(&[SECURED, "S: <close>\n"]),
    ] {
        let patient = patient();
        // it is not believed for a while
        let dialogues: [&str; 3] = [&lost, &patient, &patient];
        assert_eq!(outcomes(Verified, &dialogues, 2).await.0, [PKIX; 2], "{lost}");
    }
}

#[tokio::test]
async fn a_server_that_offers_something_else_inside_tls_is_left_and_spoken_to_without_haste() {
    let refuses = "S: 500 what?\nS: 503 no\nS: 503 no\nS: 503 no\n".to_owned();
    for answer in [SECURED.replace("250 P", "250-SIZE 9\nS: 250 P") + TAKES_COMMANDS, refuses] {
        let (other, patient) = (hasty_in_tls(&[&answer, "C: <close>\n"]), patient());
        let dialogues: [&str; 3] = [&other, &patient, &patient];
        assert_eq!(outcomes(Verified, &dialogues, 2).await.0, [PKIX; 2]);
    }
}

#[tokio::test]
async fn ehlo_refused_behind_the_handshake_has_its_usual_outcome() {
    let refused = hasty_in_tls(&["S: 451 later\nS: 503 no\nS: 503 no\nS: 503 no\nC: <close>\n"]);
    assert_eq!(outcomes(Verified, &[&refused], 1).await.0, ["deferred 4.3.2 refused hello"]);
}

#[tokio::test]
async fn an_early_starttls_that_came_out_of_order_or_got_lost_comes_again_in_order() {
    for lost in ["S: 503 5.5.1 EHLO first\nC: <close>\n", "S: <silence>\n"] {
        for (level, delivered) in [(Verified, PKIX), (Opportunistic, UNVERIFIED)] {
            let (early, patient) = (hasty(&[lost]), patient());
            // it is not believed for a while
            let dialogues: [&str; 3] = [&early, &patient, &patient];
            let mut timeouts = Timeouts::default();
            timeouts.hello = SOON;
            let found = outcomes_with(level, &dialogues, 2, timeouts).await;
            assert_eq!(found.0, [delivered; 2], "{lost}");
        }
    }
}
