//! Sessions with Dovecot on streams that the test opened.

use nexthop::{Outcome, Protocol, Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::delivery::{envelope, line, message, session_settings};
use crate::dovecot::Dovecot;
use crate::samples::{self, MESSAGE};
use crate::stored::{as_submitted, sha256};

async fn open<S: AsyncRead + AsyncWrite + Unpin + Send>(stream: S) -> Session<S> {
    Session::open(stream, Protocol::Lmtp, session_settings()).await.expect("the server is ready")
}

fn lines(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().map(line).collect()
}

/// Two messages on one connection. Recipients of the first transaction do not get the second message.
async fn two_messages<S: AsyncRead + AsyncWrite + Unpin + Send>(mut session: Session<S>, dovecot: &Dovecot) {
    let contents = [MESSAGE.to_owned(), samples::leading_dots()];
    for (user, content) in ["alice", "bob"].iter().zip(&contents) {
        let envelope = envelope(&[&format!("{user}@example.test")]);
        let outcomes = session.send(&envelope, &message(content.clone())).await;
        assert_eq!(lines(&outcomes), ["delivered 250 2.0.0"]);
    }
    session.quit().await;
    for (user, content) in ["alice", "bob"].iter().zip(&contents) {
        let stored = dovecot.messages(user);
        assert_eq!(stored.len(), 1, "{user}");
        assert_eq!(as_submitted(&stored[0], content.len()), content.as_bytes(), "{user}");
    }
}

#[tokio::test]
async fn lmtp_a_tcp_stream_carries_two_messages() {
    let Some(dovecot) = Dovecot::start() else { return };
    let stream = TcpStream::connect(dovecot.lmtp_address()).await.expect("the server listens");
    two_messages(open(stream).await, &dovecot).await;
}

#[tokio::test]
async fn lmtp_a_unix_stream_carries_two_messages() {
    let Some(dovecot) = Dovecot::start() else { return };
    let stream = UnixStream::connect(dovecot.lmtp_socket()).await.expect("the server listens");
    two_messages(open(stream).await, &dovecot).await;
}

#[tokio::test]
async fn check_029_a_session_goes_on_after_a_transaction_without_recipients() {
    let Some(dovecot) = Dovecot::start() else { return };
    let stream = UnixStream::connect(dovecot.lmtp_socket()).await.expect("the server listens");
    let mut session = open(stream).await;
    let refused = session.send(&envelope(&["nobody@example.test"; 2]), &message(MESSAGE)).await;
    assert_eq!(lines(&refused), ["failed 550 5.1.1 at rcpt-to"; 2]);
    let taken = session.send(&envelope(&["alice@example.test"]), &message(MESSAGE)).await;
    assert_eq!(lines(&taken), ["delivered 250 2.0.0"]);
}

/// Sends alice a message with a UTF-8 header, for which Dovecot does not offer what it takes.
async fn send_utf8_header(dovecot: &Dovecot, eight_bit_clean: bool) -> Vec<Outcome> {
    let stream = UnixStream::connect(dovecot.lmtp_socket()).await.expect("the server listens");
    let mut settings = session_settings();
    settings.eight_bit_clean = eight_bit_clean;
    let session = Session::open(stream, Protocol::Lmtp, settings).await;
    let mut session = session.expect("the server is ready");
    session.send(&envelope(&["alice@example.test"]), &message(samples::utf8_header())).await
}

#[tokio::test]
async fn check_141_a_utf8_header_is_not_sent_without_smtputf8() {
    let Some(dovecot) = Dovecot::start() else { return };
    assert_eq!(lines(&send_utf8_header(&dovecot, false).await), ["failed - 5.6.9"]);
}

#[tokio::test]
async fn lmtp_a_server_that_is_known_to_take_a_utf8_header_stores_it() {
    let Some(dovecot) = Dovecot::start() else { return };
    assert_eq!(lines(&send_utf8_header(&dovecot, true).await), ["delivered 250 2.0.0"]);
    let content = samples::utf8_header();
    let stored = as_submitted(&dovecot.messages("alice")[0], content.len());
    assert_eq!(sha256(&stored), sha256(content.as_bytes()));
}
