//! LMTP (RFC 2033) to Dovecot, along every kind of route that leads to this host.

use nexthop::{Endpoint, Protocol};

use crate::delivery::{deliver, message, told};
use crate::dovecot::Dovecot;
use crate::launcher::processes;
use crate::samples::MESSAGE;
use crate::stored::as_submitted;

/// One transaction with recipients of every kind, one of them twice.
const MIXED: [&str; 5] = [
    "alice@example.test",
    "nobody@example.test",
    "full@example.test",
    "bob@example.test",
    "alice@example.test",
];
const OUTCOMES: [&str; 5] = [
    "delivered 250 2.0.0",
    "failed 550 5.1.1 at rcpt-to",
    "failed 552 5.2.2 at final",
    "delivered 250 2.0.0",
    "delivered 250 2.0.0",
];

#[tokio::test]
async fn check_104_by_the_name_localhost_each_recipient_has_its_own_outcome() {
    let Some(dovecot) = Dovecot::start() else { return };
    let report = deliver(&dovecot.by_localhost(), &MIXED, &message(MESSAGE)).await;
    assert_eq!(told(&report), OUTCOMES);
}

#[tokio::test]
async fn check_104_by_a_loopback_address_each_recipient_has_its_own_outcome() {
    let Some(dovecot) = Dovecot::start() else { return };
    let report = deliver(&dovecot.by_address(), &MIXED, &message(MESSAGE)).await;
    assert_eq!(told(&report), OUTCOMES);
}

#[tokio::test]
async fn check_104_by_a_unix_socket_each_recipient_has_its_own_outcome() {
    let Some(dovecot) = Dovecot::start() else { return };
    let report = deliver(&dovecot.by_socket(), &MIXED, &message(MESSAGE)).await;
    assert_eq!(told(&report), OUTCOMES);
}

#[tokio::test]
async fn lmtp_the_report_names_the_address_that_localhost_led_to() {
    let Some(dovecot) = Dovecot::start() else { return };
    let report = deliver(&dovecot.by_localhost(), &["alice@example.test"], &message(MESSAGE)).await;
    let hop = report.recipients()[0].hop.as_ref().expect("a hop was reached");
    assert_eq!((hop.host(), hop.protocol()), ("localhost", Protocol::Lmtp));
    assert_eq!(hop.endpoint(), &Endpoint::Tcp(dovecot.lmtp_address()));
}

#[tokio::test]
async fn lmtp_only_those_who_are_delivered_have_the_message() {
    let Some(dovecot) = Dovecot::start() else { return };
    deliver(&dovecot.by_socket(), &MIXED[1..], &message(MESSAGE)).await;
    let counts = ["alice", "bob", "carol", "full"].map(|user| dovecot.messages(user).len());
    assert_eq!(counts, [1, 1, 0, 0]);
}

#[tokio::test]
async fn lmtp_a_full_mailbox_may_defer_before_the_content() {
    let Some(dovecot) = Dovecot::start() else { return };
    let to = ["full@example.test", "carol@example.test"];
    let report = deliver(&dovecot.by_quota_socket(), &to, &message(MESSAGE)).await;
    assert_eq!(told(&report), ["deferred 452 4.2.2 at rcpt-to", "delivered 250 2.0.0"]);
}

#[tokio::test]
async fn check_037_with_a_full_mailbox_alone_no_content_is_sent() {
    let Some(dovecot) = Dovecot::start() else { return };
    let report = deliver(&dovecot.by_quota_socket(), &["full@example.test"], &message(MESSAGE)).await;
    assert_eq!(told(&report), ["deferred 452 4.2.2 at rcpt-to"]);
}

#[tokio::test]
async fn lmtp_a_hop_that_is_not_there_is_followed_by_the_next() {
    let Some(dovecot) = Dovecot::start() else { return };
    let route = format!("{}.missing,{}", dovecot.by_socket(), dovecot.by_address());
    let report = deliver(&route, &["alice@example.test"], &message(MESSAGE)).await;
    assert_eq!(told(&report), ["delivered 250 2.0.0"]);
    assert_eq!(as_submitted(&dovecot.messages("alice")[0], MESSAGE.len()), MESSAGE.as_bytes());
}

#[tokio::test]
async fn dovecot_leaves_no_process_behind() {
    let Some(dovecot) = Dovecot::start() else { return };
    deliver(&dovecot.by_socket(), &["alice@example.test"], &message(MESSAGE)).await;
    let group = dovecot.group();
    assert!(processes(group).len() > 1, "several processes work for dovecot");
    drop(dovecot);
    assert_eq!(processes(group), [""; 0]);
}
