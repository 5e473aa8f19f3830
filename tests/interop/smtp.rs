//! SMTP (RFC 5321) against Postfix.

use crate::MESSAGE;
use crate::dialogue::Dialogue;
use crate::launcher::processes;
use crate::postfix::Postfix;
use crate::stored::as_submitted;

fn connect(postfix: &Postfix) -> Dialogue {
    Dialogue::tcp(postfix.address(), "EHLO")
}

#[test]
fn smtp_stores_the_octets_that_were_sent() {
    let Some(postfix) = Postfix::start() else { return };
    let mut smtp = connect(&postfix);
    smtp.say("MAIL FROM:<sender@example.net>", "250 ");
    smtp.say("RCPT TO:<alice@example.test>", "250 2.1.5 ");
    smtp.say("RCPT TO:<bob@example.test>", "250 2.1.5 ");
    smtp.send_content(MESSAGE);
    smtp.expect("250 2.0.0 ");
    for user in ["alice", "bob"] {
        let stored = postfix.await_messages(user, 1);
        assert_eq!(as_submitted(&stored[0], MESSAGE.len()), MESSAGE, "{user}");
    }
}

#[test]
fn smtp_refuses_recipients_each_in_its_way() {
    let Some(postfix) = Postfix::start() else { return };
    let mut smtp = connect(&postfix);
    smtp.say("MAIL FROM:<sender@example.net>", "250 ");
    smtp.say("RCPT TO:<nobody@example.test>", "550 5.1.1 ");
    smtp.say("RCPT TO:<busy@example.test>", "450 4.2.0 ");
    smtp.say("RCPT TO:<alice@example.net>", "554 5.7.1 ");
    smtp.say("RCPT TO:<carol@example.test>", "250 2.1.5 ");
}

#[test]
fn smtp_refuses_a_declared_size_above_the_limit() {
    let Some(postfix) = Postfix::start() else { return };
    connect(&postfix).say("MAIL FROM:<sender@example.net> SIZE=100001", "552 5.3.4 ");
}

#[test]
fn smtp_refuses_content_above_the_limit() {
    let Some(postfix) = Postfix::start() else { return };
    let mut smtp = connect(&postfix);
    smtp.say("MAIL FROM:<sender@example.net>", "250 ");
    smtp.say("RCPT TO:<alice@example.test>", "250 2.1.5 ");
    smtp.send_content(&[MESSAGE, &b"filler\r\n".repeat(20_000)].concat());
    smtp.expect("552 5.3.4 ");
    assert!(postfix.messages("alice").is_empty());
}

#[test]
fn postfix_leaves_no_process_behind() {
    let Some(postfix) = Postfix::start() else { return };
    connect(&postfix).say("NOOP", "250 ");
    let group = postfix.group();
    assert!(processes(group).len() > 1, "several processes work for postfix");
    drop(postfix);
    assert_eq!(processes(group), [""; 0]);
}
