//! Extensions of SMTP as Postfix has them, and transactions that are full.

use nexthop::deliverer::DeliveryLimits;
use nexthop::{Envelope, EnvelopeId, Notify, OriginalRecipient, Recipient, Ret};

use crate::delivery::{along, deliver, envelope, message, told};
use crate::postfix::Postfix;
use crate::samples::{self, MESSAGE};

/// What stands in front of a message that Postfix delivered to alice.
fn trace(postfix: &Postfix, content: &str) -> String {
    let stored = &postfix.await_messages("alice", 1)[0];
    let text = String::from_utf8_lossy(stored).into_owned();
    let first = content.lines().next().expect("a message has lines");
    text.split_once(first).map(|(trace, _)| trace.to_owned()).expect("the message is stored")
}

/// How Postfix says the message came: the `with` of its `Received:` (RFC 3848, RFC 6531 section 4.3).
async fn check_with(content: String, with: &str) {
    let Some(postfix) = Postfix::start() else { return };
    let report = deliver(&postfix.route(), &["alice@example.test"], &message(content.clone())).await;
    assert_eq!(told(&report), ["delivered 250 2.0.0"]);
    let trace = trace(&postfix, &content);
    assert!(trace.contains(&format!(" with {with} ")), "{trace}");
}

#[tokio::test]
async fn check_139_smtp_a_utf8_header_is_announced() {
    check_with(samples::utf8_header(), "UTF8SMTP").await;
}

#[tokio::test]
async fn check_140_smtp_octets_above_127_in_the_body_are_no_utf8_header() {
    check_with(samples::eight_bit(), "ESMTP").await;
}

#[tokio::test]
async fn check_033_smtp_the_null_reverse_path_stays_one() {
    let Some(postfix) = Postfix::start() else { return };
    let envelope = Envelope::new("").expect("the null path").to("alice@example.test").expect("a mailbox");
    let deliverer = along(&postfix.route()).build().expect("the configuration is sound");
    let report = deliverer.deliver(&envelope, &message(MESSAGE)).await;
    assert_eq!(told(&report), ["delivered 250 2.0.0"]);
    let trace = trace(&postfix, MESSAGE);
    assert!(trace.starts_with("Return-Path: <>\n"), "{trace}");
}

#[tokio::test]
async fn check_154_smtp_postfix_reads_the_wishes_about_reports() {
    let Some(postfix) = Postfix::start() else { return };
    let original = OriginalRecipient::parse("rfc822;A+l=ice@Example.test").expect("a type and an address");
    let alice = Recipient::parse("alice@example.test").expect("a mailbox");
    let alice = alice.with_notify(Notify::Never).with_original_recipient(original);
    let id = EnvelopeId::parse("QQ +=314 159").expect("printable");
    let envelope = envelope(&[""; 0]).with_ret(Ret::Headers).with_envelope_id(id).recipient(alice);
    let deliverer = along(&postfix.route()).build().expect("the configuration is sound");
    let report = deliverer.deliver(&envelope, &message(MESSAGE)).await;
    assert_eq!(told(&report), ["delivered 250 2.0.0"]);
}

/// Delivers to so many recipients, at most `limit` of them at once; what Postfix was told.
async fn commands_for(count: usize, limit: usize) -> Option<String> {
    let postfix = Postfix::start()?;
    let mut limits = DeliveryLimits::default();
    limits.recipients = limit;
    let deliverer = along(&postfix.route()).limits(limits).build().expect("the configuration is sound");
    let report = deliverer.deliver(&envelope(&samples::recipients(count)), &message(MESSAGE)).await;
    assert_eq!(told(&report), vec!["delivered 250 2.0.0"; count]);
    Some(postfix.await_commands())
}

#[tokio::test]
async fn check_034_smtp_more_recipients_than_the_limit_take_further_transactions() {
    let Some(commands) = commands_for(100, 40).await else { return };
    assert_eq!(commands, "ehlo=1 mail=3 rcpt=100 bdat=3 quit=1 commands=108");
}

#[tokio::test]
async fn check_038_smtp_recipients_beyond_what_the_server_takes_at_once_are_asked_again() {
    let Some(commands) = commands_for(1010, 2000).await else { return };
    assert_eq!(commands, "ehlo=1 mail=2 rcpt=1020 bdat=2 quit=1 commands=1026");
}
