//! Servers with rules, and a client of raw octets.

use crate::route::NextHop;

use super::test_client::Client;
use super::{Limits, ListenError, Rules, ScriptedServer};

const ENVELOPE: &str = "MAIL FROM:<a@example.net>\nRCPT TO:<b@example.org>";

/// A server and a client that was greeted.
async fn greeted(rules: Rules, hello: &str) -> (ScriptedServer, Client<tokio::net::TcpStream>) {
    let server = rules.without("SMTPUTF8").without("8BITMIME").listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.hear(if hello == "LHLO x" { "220 mx.example LMTP" } else { "220 mx.example ESMTP" }).await;
    client.send(format!("{hello}\r\n")).await;
    (server, client)
}

async fn smtp(rules: Rules) -> (ScriptedServer, Client<tokio::net::TcpStream>) {
    let (server, mut client) = greeted(rules.without("SIZE"), "EHLO x").await;
    client.hear("250-mx.example").await;
    (server, client)
}

#[tokio::test]
async fn an_smtp_server_takes_a_message() {
    let (server, mut client) = smtp(ScriptedServer::smtp()).await;
    client.hear("250-PIPELINING\n250 ENHANCEDSTATUSCODES").await;
    client.talk(&format!("{ENVELOPE}\nDATA"), "250 2.1.0 ok\n250 2.1.5 ok\n354 go ahead").await;
    client.talk("Subject: x\n..\n.", "250 2.0.0 taken").await;
    client.talk("QUIT", "221 2.0.0 bye").await;
    assert_eq!(client.rest().await, "");
    assert_eq!(server.messages()[0].content, b"Subject: x\r\n.\r\n");
    assert_eq!(server.messages()[0].recipients, ["b@example.org"]);
    assert_eq!(server.finish().await, Ok(()));
}

#[tokio::test]
async fn an_lmtp_server_replies_for_each_accepted_recipient() {
    let rules = ScriptedServer::lmtp()
        .without("SIZE")
        .recipient("bob@example.org", "550 5.1.1 no such user")
        .final_for("Carol@example.org", "452-4.2.2 full\n452 4.2.2 try again")
        .final_reply("250 2.1.5 delivered");
    let (server, mut client) = greeted(rules, "LHLO x").await;
    client.hear("250-mx.example\n250-PIPELINING\n250 ENHANCEDSTATUSCODES").await;
    client.talk("MAIL FROM:<>", "250 2.1.0 ok").await;
    client
        .talk("RCPT TO:<ann@example.org>\nRCPT TO:<bob@example.org>", "250 2.1.5 ok\n550 5.1.1 no such user")
        .await;
    client.talk("RCPT TO:<carol@example.org>\nDATA", "250 2.1.5 ok\n354 go ahead").await;
    client.talk(".", "250 2.1.5 delivered\n452-4.2.2 full\n452 4.2.2 try again").await;
    assert_eq!(server.messages()[0].recipients, ["ann@example.org", "carol@example.org"]);
}

#[tokio::test]
async fn the_order_of_commands_is_enforced() {
    let order = "503 5.5.1 bad sequence of commands";
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.hear("220 mx.example ESMTP").await;
    client.talk("MAIL FROM:<a@example.net>", order).await;
    client.talk("HELO x", "250 mx.example").await;
    client.talk("RCPT TO:<b@example.org>", order).await;
    client.talk("MAIL FROM:<a@example.net>", "250 2.1.0 ok").await;
    client.talk("MAIL FROM:<a@example.net>", order).await;
    client.talk("DATA", order).await;
    client.talk("RSET", "250 2.0.0 ok").await;
    client.talk("RCPT TO:<b@example.org>", order).await;
    client.talk("LHLO x", "500 5.5.1 command not known").await;
    client.talk("BDAT 0 LAST", "500 5.5.1 command not known").await;
    client.talk("MAIL FROM:a@example.net", "501 5.5.4 syntax error").await;
    assert_eq!(server.messages(), []);
}

#[tokio::test]
async fn chunks_are_taken_once_chunking_is_advertised() {
    let (server, mut client) = smtp(ScriptedServer::smtp().keyword("CHUNKING")).await;
    client.hear("250-PIPELINING\n250-ENHANCEDSTATUSCODES\n250 CHUNKING").await;
    client.talk("BDAT 3\na", "503 5.5.1 bad sequence of commands").await;
    client.send("MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nBDAT 3\r\n.\r\nBDAT 2 LAST\r\n.x").await;
    client.hear("250 2.1.0 ok\n250 2.1.5 ok\n250 2.0.0 ok\n250 2.0.0 taken").await;
    assert_eq!(server.messages()[0].content, b".\r\n.x");
}

#[tokio::test]
async fn under_lmtp_the_last_chunk_has_no_reply_without_a_recipient() {
    let (_server, mut client) =
        greeted(ScriptedServer::lmtp().without("SIZE").keyword("CHUNKING"), "LHLO x").await;
    client.hear("250-mx.example\n250-PIPELINING\n250-ENHANCEDSTATUSCODES\n250 CHUNKING").await;
    client.talk("MAIL FROM:<>\nBDAT 0", "250 2.1.0 ok\n503 5.5.1 bad sequence of commands").await;
    client.talk("BDAT 0 LAST\nNOOP", "250 2.0.0 ok").await;
}

#[tokio::test]
async fn a_transaction_in_chunks_has_no_data() {
    let order = "503 5.5.1 bad sequence of commands";
    let (_server, mut client) = smtp(ScriptedServer::smtp().keyword("CHUNKING")).await;
    client.hear("250-PIPELINING\n250-ENHANCEDSTATUSCODES\n250 CHUNKING").await;
    client.talk(&format!("{ENVELOPE}\nBDAT 0"), "250 2.1.0 ok\n250 2.1.5 ok\n250 2.0.0 ok").await;
    client.talk("DATA", order).await;
    client.talk("RCPT TO:<c@example.org>", order).await;
    client.talk("BDAT 0 LAST", "250 2.0.0 taken").await;
}

#[tokio::test]
async fn a_refused_chunk_ends_the_transaction_until_rset() {
    let order = "503 5.5.1 bad sequence of commands";
    let rules = ScriptedServer::smtp().keyword("CHUNKING").answer("BDAT", "452 4.3.1 full");
    let (server, mut client) = smtp(rules).await;
    client.hear("250-PIPELINING\n250-ENHANCEDSTATUSCODES\n250 CHUNKING").await;
    for chunk in ["BDAT 0", "BDAT 0 LAST"] {
        client.talk(&format!("{ENVELOPE}\n{chunk}"), "250 2.1.0 ok\n250 2.1.5 ok\n452 4.3.1 full").await;
        client.talk("BDAT 0 LAST", order).await;
        client.talk("MAIL FROM:<>", order).await;
        client.talk("RSET", "250 2.0.0 ok").await;
    }
    assert_eq!(server.messages(), []);
}

#[tokio::test]
async fn pipelining_that_was_not_offered_ends_the_connection() {
    let (_server, mut client) = smtp(ScriptedServer::smtp().without("PIPELINING")).await;
    client.hear("250 ENHANCEDSTATUSCODES").await;
    client.talk(ENVELOPE, "421 5.5.0 improper pipelining").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn data_comes_last_in_a_group() {
    let (server, mut client) = smtp(ScriptedServer::smtp()).await;
    client.hear("250-PIPELINING\n250 ENHANCEDSTATUSCODES").await;
    client
        .talk(&format!("{ENVELOPE}\nDATA\nx\n."), "250 2.1.0 ok\n250 2.1.5 ok\n421 5.5.0 improper pipelining")
        .await;
    assert_eq!(server.messages(), []);
}

#[tokio::test]
async fn a_bare_line_feed_ends_the_connection() {
    let (_server, mut client) = smtp(ScriptedServer::smtp()).await;
    client.hear("250-PIPELINING\n250 ENHANCEDSTATUSCODES").await;
    client.send("NOOP\n").await;
    assert_eq!(client.rest().await, "421 5.5.2 bare CR or LF\r\n");
}

#[tokio::test]
async fn commands_are_answered_as_told() {
    let rules = ScriptedServer::smtp()
        .mail("451 4.3.0 later")
        .answer("noop", "250-a\n250 b")
        .answer("EHLO", "502 no");
    let server = rules.listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.hear("220 mx.example ESMTP").await;
    client.talk("EHLO x", "502 no").await;
    client.talk("HELO x", "250 mx.example").await;
    client.talk("NOOP", "250-a\n250 b").await;
    client.talk("MAIL FROM:<>", "451 4.3.0 later").await;
    client.talk("RCPT TO:<b@example.org>", "503 5.5.1 bad sequence of commands").await;
}

#[tokio::test]
async fn refused_data_has_no_content() {
    let (_server, mut client) = smtp(ScriptedServer::smtp().answer("DATA", "451 4.3.0 later")).await;
    client.hear("250-PIPELINING\n250 ENHANCEDSTATUSCODES").await;
    client.talk(&format!("{ENVELOPE}\nDATA"), "250 2.1.0 ok\n250 2.1.5 ok\n451 4.3.0 later").await;
    client.talk("NOOP", "250 2.0.0 ok").await;
}

#[tokio::test]
async fn after_a_refusing_greeting_only_quit_is_served() {
    let server = ScriptedServer::smtp().greeting("554 5.3.2 no").listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.hear("554 5.3.2 no").await;
    client.talk("EHLO x", "503 5.5.1 bad sequence of commands").await;
    client.talk("QUIT", "221 2.0.0 bye").await;
}

#[tokio::test]
async fn a_421_ends_the_connection() {
    let server = ScriptedServer::smtp().greeting("421 4.3.2 not now").listen_tcp().await.unwrap();
    assert_eq!(Client::tcp(&server).await.rest().await, "421 4.3.2 not now\r\n");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn what_exceeds_a_limit_is_refused() {
    let limits = Limits { line: 64, content: 4, ..Limits::default() };
    let (server, mut client) = smtp(ScriptedServer::smtp().keyword("CHUNKING").limits(limits)).await;
    client.hear("250-PIPELINING\n250-ENHANCEDSTATUSCODES\n250 CHUNKING").await;
    let accepted = "250 2.1.0 ok\n250 2.1.5 ok";
    client.talk(&format!("{ENVELOPE}\nDATA"), &format!("{accepted}\n354 go ahead")).await;
    client.talk("abc\n.", "552 5.3.4 message too big").await;
    client.talk(&format!("{ENVELOPE}\nBDAT 3\na"), &format!("{accepted}\n250 2.0.0 ok")).await;
    client.talk("BDAT 3 LAST\na", "552 5.3.4 message too big").await;
    assert_eq!(server.messages(), []);
    client.send("x".repeat(200)).await;
    assert_eq!(client.rest().await, "500 5.5.2 line too long\r\n");
}

#[tokio::test]
async fn a_server_that_ends_the_connection_does_not_reset_it() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.hear("220 mx.example ESMTP").await;
    // more than the server reads at once
    client.send("x".repeat(64 * 1024)).await;
    assert_eq!(client.rest().await, "500 5.5.2 line too long\r\n");
    client.send("QUIT\r\n").await;
}

#[tokio::test]
async fn a_unix_socket_is_there_as_long_as_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b,c%.sock");
    let server = ScriptedServer::lmtp().listen_unix(&path).await.unwrap();
    let mut client = Client::unix(&server).await;
    client.hear("220 mx.example LMTP").await;
    let hop: NextHop = server.url().parse().unwrap();
    assert_eq!(hop, NextHop::unix(crate::proto::Protocol::Lmtp, &path).unwrap());
    let second = ScriptedServer::lmtp().listen_unix(&path).await.unwrap_err();
    assert!(matches!(second, ListenError::Io(_)));
    assert!(path.exists());
    drop(server);
    assert!(!path.exists());
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn many_clients_are_served_at_once() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let mut first = Client::tcp(&server).await;
    let mut second = Client::tcp(&server).await;
    second.hear("220 mx.example ESMTP").await;
    first.hear("220 mx.example ESMTP").await;
    second.talk("NOOP", "250 2.0.0 ok").await;
    assert_eq!(server.connections(), 2);
    assert_eq!(server.url().parse::<NextHop>().unwrap().to_string(), server.url());
}
