//! What Dovecot stores is what was submitted, octet for octet.

use nexthop::Message;

use crate::delivery::{along, envelope, message, told};
use crate::dovecot::Dovecot;
use crate::samples;
use crate::stored::{as_submitted, sha256};

/// Delivers a message to two users, by BDAT or by DATA, and compares what they have with `submitted`.
async fn stores(chunking: bool, message: &Message, submitted: &str) {
    let Some(dovecot) = Dovecot::start() else { return };
    let deliverer =
        along(&dovecot.by_socket()).chunking(chunking).build().expect("the configuration is sound");
    let report = deliverer.deliver(&envelope(&["alice@example.test", "bob@example.test"]), message).await;
    assert_eq!(told(&report), ["delivered 250 2.0.0"; 2]);
    for user in ["alice", "bob"] {
        let stored = dovecot.messages(user);
        assert_eq!(stored.len(), 1, "{user}");
        let stored = as_submitted(&stored[0], submitted.len());
        assert_eq!(sha256(&stored), sha256(submitted.as_bytes()), "{user}");
    }
}

async fn stores_as_it_is(content: String) {
    for chunking in [true, false] {
        stores(chunking, &message(content.clone()), &content).await;
    }
}

#[tokio::test]
async fn check_045_lmtp_stores_what_a_server_may_be_tempted_to_change() {
    stores_as_it_is(samples::MESSAGE.to_owned()).await;
}

#[tokio::test]
async fn check_050_lmtp_stores_leading_dots() {
    stores_as_it_is(samples::leading_dots()).await;
}

#[tokio::test]
async fn check_054_lmtp_stores_long_lines() {
    stores_as_it_is(samples::long_lines()).await;
}

#[tokio::test]
async fn check_056_lmtp_stores_octets_above_127() {
    stores_as_it_is(samples::eight_bit()).await;
}

#[tokio::test]
async fn check_051_lmtp_stores_empty_lines_at_the_end() {
    stores_as_it_is(samples::empty_lines_at_the_end()).await;
}

#[tokio::test]
async fn check_051_lmtp_stores_a_line_end_where_the_last_one_is_missing() {
    let content = samples::leading_dots();
    let unended = content.trim_end().to_owned();
    stores(false, &message(unended), &content).await;
}

#[tokio::test]
async fn check_119_lmtp_stores_the_line_end_that_was_missing_also_from_chunks() {
    let content = samples::leading_dots();
    let unended = content.trim_end().to_owned();
    stores(true, &message(unended), &content).await;
}

#[tokio::test]
async fn lmtp_stores_a_header_in_front_of_the_message() {
    let header = "Received: from client.example by mail.example.net; Fri, 21 Nov 2025 09:00:01 +0000\r\n";
    let with_header = message(samples::MESSAGE).with_header(header).expect("a header line");
    stores(true, &with_header, &format!("{header}{}", samples::MESSAGE)).await;
}

#[tokio::test]
async fn lmtp_stores_a_file_of_five_mebibytes() {
    let (folder, content) = (tempfile::tempdir().expect("a folder"), samples::five_mebibytes());
    let path = samples::file(folder.path(), &content);
    let message = Message::from_file(path).await.expect("lines end in CRLF");
    for chunking in [true, false] {
        stores(chunking, &message, &content).await;
    }
}

#[tokio::test]
async fn lmtp_stores_a_header_in_front_of_a_file() {
    let (folder, content) = (tempfile::tempdir().expect("a folder"), samples::leading_dots());
    let path = samples::file(folder.path(), &content);
    let file = Message::from_file(path).await.expect("lines end in CRLF");
    let header = "X-Host: mail.example.net\r\n\tand folded\r\n";
    stores(true, &file.with_header(header).expect("header lines"), &format!("{header}{content}")).await;
}
