//! LMTP (RFC 2033) against Dovecot.

use crate::MESSAGE;
use crate::dialogue::Dialogue;
use crate::dovecot::Dovecot;
use crate::launcher::processes;
use crate::stored::as_submitted;

const CASES: [(&str, &str); 4] =
    [("alice", "250 2.1.5 "), ("nobody", "550 5.1.1 "), ("full", "250 2.1.5 "), ("bob", "250 2.1.5 ")];

/// One transaction with recipients of every kind: a reply to each RCPT, and after the content one to each that
/// was accepted.
fn deliver(mut lmtp: Dialogue) {
    lmtp.say("MAIL FROM:<sender@example.net>", "250 ");
    for (user, reply) in CASES {
        lmtp.say(&format!("RCPT TO:<{user}@example.test>"), reply);
    }
    lmtp.send_content(MESSAGE);
    for reply in ["250 2.0.0 <alice@", "552 5.2.2 <full@", "250 2.0.0 <bob@"] {
        lmtp.expect(reply);
    }
}

#[test]
fn lmtp_over_tcp_has_a_reply_for_each_recipient() {
    let Some(dovecot) = Dovecot::start() else { return };
    deliver(Dialogue::tcp(dovecot.lmtp_address(), "LHLO"));
}

#[test]
fn lmtp_over_a_unix_socket_has_a_reply_for_each_recipient() {
    let Some(dovecot) = Dovecot::start() else { return };
    deliver(Dialogue::unix(dovecot.lmtp_socket(), "LHLO"));
}

#[test]
fn lmtp_stores_the_octets_that_were_sent() {
    let Some(dovecot) = Dovecot::start() else { return };
    deliver(Dialogue::unix(dovecot.lmtp_socket(), "LHLO"));
    for user in ["alice", "bob"] {
        let stored = dovecot.messages(user);
        assert_eq!(stored.len(), 1, "{user}");
        assert_eq!(as_submitted(&stored[0], MESSAGE.len()), MESSAGE, "{user}");
    }
    assert!(dovecot.messages("full").is_empty());
}

#[test]
fn lmtp_may_refuse_a_full_mailbox_before_the_content() {
    let Some(dovecot) = Dovecot::start() else { return };
    let mut lmtp = Dialogue::unix(dovecot.quota_socket(), "LHLO");
    lmtp.say("MAIL FROM:<sender@example.net>", "250 ");
    lmtp.say("RCPT TO:<full@example.test>", "452 4.2.2 ");
    lmtp.say("RCPT TO:<carol@example.test>", "250 ");
}

#[test]
fn dovecot_leaves_no_process_behind() {
    let Some(dovecot) = Dovecot::start() else { return };
    deliver(Dialogue::unix(dovecot.lmtp_socket(), "LHLO"));
    let group = dovecot.group();
    assert!(processes(group).len() > 1, "several processes work for dovecot");
    drop(dovecot);
    assert_eq!(processes(group), [""; 0]);
}
