//! SMTP (RFC 5321) to Postfix as a relay.

use nexthop::deliverer::DelivererBuilder;
use nexthop::{FailureKind, Message};
use tokio::net::TcpListener;

use crate::delivery::{along, deliver, envelope, message, told};
use crate::launcher::{free_address, processes};
use crate::postfix::Postfix;
use crate::samples::{self, MESSAGE};
use crate::stored::{as_submitted, sha256};
use crate::tap::turns;

async fn stores(content: String) {
    for chunking in [true, false] {
        stores_by(chunking, &content).await;
    }
}

async fn stores_by(chunking: bool, content: &str) {
    let Some(postfix) = Postfix::start() else { return };
    let to = ["alice@example.test", "bob@example.test"];
    let deliverer = along(&postfix.route()).chunking(chunking).build().expect("the configuration is sound");
    let report = deliverer.deliver(&envelope(&to), &message(content)).await;
    assert_eq!(told(&report), ["delivered 250 2.0.0"; 2]);
    for user in ["alice", "bob"] {
        let stored = as_submitted(&postfix.await_messages(user, 1)[0], content.len());
        assert_eq!(sha256(&stored), sha256(content.as_bytes()), "{user}");
    }
}

#[tokio::test]
async fn check_045_smtp_stores_what_a_server_may_be_tempted_to_change() {
    stores(MESSAGE.to_owned()).await;
}

#[tokio::test]
async fn check_050_smtp_stores_leading_dots() {
    stores(samples::leading_dots()).await;
}

#[tokio::test]
async fn check_054_smtp_stores_long_lines() {
    stores(samples::long_lines()).await;
}

#[tokio::test]
async fn check_056_smtp_stores_octets_above_127() {
    stores(samples::eight_bit()).await;
}

#[tokio::test]
async fn check_051_smtp_stores_empty_lines_at_the_end() {
    stores(samples::empty_lines_at_the_end()).await;
}

#[tokio::test]
async fn check_035_smtp_recipients_are_refused_each_in_its_way() {
    let Some(postfix) = Postfix::start() else { return };
    let to = ["nobody@example.test", "busy@example.test", "alice@example.net", "carol@example.test"];
    let report = deliver(&postfix.route(), &to, &message(MESSAGE)).await;
    let outcomes = [
        "failed 550 5.1.1 at rcpt-to",
        "deferred 450 4.2.0 at rcpt-to",
        "failed 554 5.7.1 at rcpt-to",
        "delivered 250 2.0.0",
    ];
    assert_eq!(told(&report), outcomes);
}

#[tokio::test]
async fn check_037_smtp_recipients_that_are_all_refused_keep_their_own_replies() {
    let Some(postfix) = Postfix::start() else { return };
    let report =
        deliver(&postfix.route(), &["nobody@example.test", "busy@example.test"], &message(MESSAGE)).await;
    assert_eq!(told(&report), ["failed 550 5.1.1 at rcpt-to", "deferred 450 4.2.0 at rcpt-to"]);
}

/// More than the maximum that the server declares.
fn too_large() -> Message {
    message(MESSAGE.to_owned() + &"filler\r\n".repeat(12_500))
}

#[tokio::test]
async fn check_129_smtp_a_message_above_the_declared_size_is_not_begun() {
    let Some(postfix) = Postfix::start() else { return };
    let report = deliver(&postfix.route(), &["alice@example.test"], &too_large()).await;
    assert_eq!(told(&report), ["failed - 5.3.4"]);
    let failure = report.recipients()[0].outcome.failure().expect("it failed");
    assert_eq!(failure.kind(), FailureKind::Unsupported);
    assert_eq!(postfix.await_commands(), "ehlo=1 quit=1 commands=2");
}

#[tokio::test]
async fn check_034_smtp_a_hundred_recipients_share_one_transaction() {
    let Some(postfix) = Postfix::start() else { return };
    let report = deliver(&postfix.route(), &samples::recipients(100), &message(MESSAGE)).await;
    assert_eq!(told(&report), ["delivered 250 2.0.0"; 100]);
    assert_eq!(postfix.await_commands(), "ehlo=1 mail=1 rcpt=100 bdat=1 quit=1 commands=104");
    assert_eq!(postfix.await_messages("alice", 100).len(), 100);
}

/// How often the client speaks when it delivers to so many recipients, and waits for the server in between.
async fn turns_for(count: usize, change: impl FnOnce(DelivererBuilder) -> DelivererBuilder) -> Option<usize> {
    let postfix = Postfix::start()?;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
    let route = format!("smtp://{}", listener.local_addr().expect("it is bound"));
    let deliverer = change(along(&route)).build().expect("the configuration is sound");
    let (envelope, message) = (envelope(&samples::recipients(count)), message(MESSAGE));
    let (report, turns) =
        tokio::join!(deliverer.deliver(&envelope, &message), turns(listener, postfix.address()));
    assert_eq!(told(&report), vec!["delivered 250 2.0.0"; count]);
    Some(turns)
}

#[tokio::test]
async fn check_113_smtp_a_hundred_recipients_take_three_turns() {
    let Some(turns) = turns_for(100, |builder| builder.chunking(false)).await else { return };
    // EHLO; MAIL, RCPT and DATA; the content and QUIT
    assert_eq!(turns, 3);
}

#[tokio::test]
async fn check_119_smtp_a_small_message_in_a_chunk_takes_one_turn() {
    let Some(turns) = turns_for(100, |builder| builder).await else { return };
    // EHLO; MAIL, RCPT, BDAT and the content; QUIT
    assert_eq!(turns, 3);
}

#[tokio::test]
async fn check_120_smtp_content_may_wait_for_the_recipients() {
    let Some(turns) = turns_for(100, |builder| builder.single_flight_limit(0)).await else { return };
    // EHLO; MAIL and RCPT; BDAT, the content and QUIT
    assert_eq!(turns, 3);
}

#[tokio::test]
async fn check_112_smtp_without_pipelining_each_command_has_its_turn() {
    let Some(turns) = turns_for(10, |builder| builder.pipelining(false).chunking(false)).await else {
        return;
    };
    // EHLO, MAIL, each RCPT, DATA, the content, QUIT
    assert_eq!(turns, 15);
}

#[tokio::test]
async fn smtp_a_relay_that_refuses_connections_is_followed_by_the_next() {
    let Some(postfix) = Postfix::start() else { return };
    let nobody = free_address();
    let route = format!("smtp://{nobody},{}", postfix.route());
    let report = deliver(&route, &["alice@example.test"], &message(MESSAGE)).await;
    assert_eq!(told(&report), ["delivered 250 2.0.0"]);
    let [attempt] = &report.recipients()[0].attempts[..] else { panic!("one attempt besides: {report:?}") };
    assert_eq!((attempt.host(), attempt.failure().kind()), ("127.0.0.1", FailureKind::Connecting));
}

#[tokio::test]
async fn postfix_leaves_no_process_behind() {
    let Some(postfix) = Postfix::start() else { return };
    deliver(&postfix.route(), &["alice@example.test"], &message(MESSAGE)).await;
    let group = postfix.group();
    assert!(processes(group).len() > 1, "several processes work for postfix");
    drop(postfix);
    assert_eq!(processes(group), [""; 0]);
}
