//! Scripts, played with a client of raw octets.

use std::io::ErrorKind;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::test_client::Client;
use super::{Departure, Got, Limits, ListenError, ScriptedServer};

async fn listen(script: &str) -> ScriptedServer {
    ScriptedServer::script(script).listen_tcp().await.unwrap()
}

/// A client that sends everything at once, and the server after it.
async fn played(script: &str, octets: &str) -> (ScriptedServer, String) {
    let server = listen(script).await;
    let mut client = Client::tcp(&server).await;
    client.send(octets).await;
    let replies = client.rest().await;
    (server, replies)
}

fn departure(connection: usize, line: usize, expected: &str, got: Got) -> Result<(), Departure> {
    Err(Departure { connection, line, expected: expected.into(), got })
}

#[tokio::test]
async fn a_dialogue_runs_to_its_end() {
    let server = listen(
        r"
        S: 220 mx.example ESMTP
        C: EHLO client.example
        S: 250-mx.example
        S: 250 PIPELINING
        C: MAIL FROM:<a@example.net>
        C: RCPT TO:<b@example.org>
        C: RCPT TO:<c@example.org>
        C: DATA
        S: 250 ok
        S: 550 5.1.1 no
        S: 250 ok
        S: 354 go
        C: <content>
        S: 250 taken
        C: QUIT
        S: 221 bye
        ",
    )
    .await;
    let mut client = Client::tcp(&server).await;
    client.hear("220 mx.example ESMTP").await;
    client.talk("EHLO client.example", "250-mx.example\n250 PIPELINING").await;
    let group = "MAIL FROM:<a@example.net>\nRCPT TO:<b@example.org>\nRCPT TO:<c@example.org>\nDATA";
    client.talk(group, "250 ok\n550 5.1.1 no\n250 ok\n354 go").await;
    client.talk("Subject: x\n..\n.", "250 taken").await;
    client.talk("QUIT", "221 bye").await;
    assert_eq!(client.rest().await, "");
    assert_eq!(server.finish().await, Ok(()));

    let [message] = &server.messages()[..] else { panic!("one message") };
    assert_eq!(message.reverse_path, "a@example.net");
    assert_eq!(message.recipients, ["c@example.org"]);
    assert_eq!(message.content, b"Subject: x\r\n.\r\n");
    let transcript = &server.transcript()[0];
    assert_eq!(transcript[..3], ["S: 220 mx.example ESMTP", "C: EHLO client.example", "S: 250-mx.example"]);
    assert!(transcript.contains(&"C: <content of 15 octets>".into()), "{transcript:#?}");
}

#[tokio::test]
async fn another_line_than_the_expected_one_is_a_departure() {
    let (server, replies) = played("S: 220 x\n\nC: EHLO *\nS: 250 x", "HELO client\x07\r\n").await;
    assert_eq!(replies, "220 x\r\n");
    let error = server.finish().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"connection 1, line 3 of its script: expected "EHLO *", got "HELO client\u{7}""#
    );
}

#[tokio::test]
async fn a_line_that_ends_in_lf_alone_is_a_departure() {
    let (server, _) = played("S: 220 x\nC: EHLO x", "EHLO x\n").await;
    let got = Got::Line("EHLO x\\u{a}".into());
    assert_eq!(server.finish().await, departure(1, 2, "EHLO x", got));
}

#[tokio::test]
async fn a_client_that_leaves_early_departs() {
    let server = listen("S: 220 x\nC: QUIT").await;
    let mut client = Client::tcp(&server).await;
    client.talk("", "220 x").await;
    client.send("QU").await;
    drop(client);
    assert_eq!(server.finish().await, departure(1, 2, "QUIT", Got::End));
    assert_eq!(server.transcript()[0][1], "C: <cut> QU");
}

#[tokio::test]
async fn what_comes_after_the_end_is_a_departure() {
    let (server, _) = played("S: 220 x\nC: NOOP\nS: 250 x", "NOOP\r\nQUIT\r\n").await;
    let got = Got::Line("QUIT\\u{d}\\u{a}".into());
    assert_eq!(server.finish().await, departure(1, 3, "the end of the dialogue", got));
}

#[tokio::test]
async fn what_comes_late_after_the_end_is_a_departure() {
    let server = listen("S: 421 x").await;
    let mut client = Client::tcp(&server).await;
    assert_eq!(client.rest().await, "421 x\r\n");
    client.send("QUIT\r\n").await;
    let got = Got::Line("QUIT\\u{d}\\u{a}".into());
    assert_eq!(server.finish().await, departure(1, 1, "the end of the dialogue", got));
}

#[tokio::test]
async fn a_client_that_stays_after_the_end_is_not_waited_for() {
    let server = listen("S: 220 x").await;
    let mut client = Client::tcp(&server).await;
    client.hear("220 x").await;
    assert_eq!(server.finish().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_script_that_nobody_played_is_unfinished() {
    let server = listen("\nS: 220 x").await;
    assert_eq!(server.finish().await, departure(1, 2, "a connection", Got::Nothing));
}

#[tokio::test]
async fn the_outcome_says_what_is_still_waited_for() {
    let server = listen("S: 220 x\nC: QUIT").await;
    let mut client = Client::tcp(&server).await;
    client.hear("220 x").await;
    assert_eq!(server.outcome(), departure(1, 2, "QUIT", Got::Nothing));
}

#[tokio::test]
async fn each_connection_has_its_script() {
    let script = ScriptedServer::script("S: 421 first").then("S: 421 second");
    let server = script.listen_tcp().await.unwrap();
    for greeting in ["421 first\r\n", "421 second\r\n"] {
        assert_eq!(Client::tcp(&server).await.rest().await, greeting);
    }
    assert_eq!(server.finish().await, Ok(()));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn one_connection_more_is_a_departure() {
    let server = listen("S: 421 x").await;
    Client::tcp(&server).await.rest().await;
    assert_eq!(Client::tcp(&server).await.rest().await, "");
    assert_eq!(server.finish().await, departure(2, 1, "no further connection", Got::Connection));
}

#[tokio::test]
async fn pieces_of_a_reply_come_one_by_one() {
    let server = listen(r#"S: <raw "25" "0-a\r\n2" "50 b\n">"#).await;
    let mut client = Client::tcp(&server).await;
    let mut pieces = Vec::new();
    let mut buffer = [0; 64];
    loop {
        match client.0.read(&mut buffer).await.unwrap() {
            0 => break,
            n => pieces.push(String::from_utf8(buffer[..n].into()).unwrap()),
        }
    }
    assert_eq!(pieces, ["25", "0-a\r\n2", "50 b\n"]);
}

#[tokio::test]
async fn a_flood_is_written_whole_and_noted_once() {
    let (server, replies) = played(r#"S: <repeat 30000 "250-x\r\n">"#, "").await;
    assert_eq!(replies, "250-x\r\n".repeat(30000));
    assert_eq!(server.transcript()[0].len(), 1);
}

#[tokio::test]
async fn a_flood_ends_when_the_client_leaves() {
    let server = listen(&format!(r#"S: <repeat {} "250-x\r\n">"#, u64::MAX)).await;
    let mut client = Client::tcp(&server).await;
    client.hear("250-x").await;
    drop(client);
    assert_eq!(server.finish().await, Ok(()));
}

#[tokio::test]
async fn a_reset_is_no_end() {
    let server = listen("S: 220 x\nC: NOOP\nS: <reset>").await;
    let mut client = Client::tcp(&server).await;
    client.talk("NOOP", "220 x").await;
    let error = client.0.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.finish().await, Ok(()));
}

#[tokio::test]
async fn a_close_is_an_end() {
    let (server, replies) = played("S: 220 x\nC: NOOP\nS: <close>", "NOOP\r\n").await;
    assert_eq!(replies, "220 x\r\n");
    assert_eq!(server.finish().await, Ok(()));
}

#[tokio::test]
async fn silence_reads_nothing() {
    let server = listen("S: 220 x\nC: NOOP\nS: <silence>").await;
    let mut client = Client::tcp(&server).await;
    client.talk("NOOP", "220 x").await;
    assert_eq!(server.finish().await, Ok(()));
    client.send("QUIT\r\n").await;
    drop(client);
    assert_eq!(server.finish().await, Ok(()));
    assert_eq!(server.transcript()[0], ["S: 220 x", "C: NOOP", "S: <silence>"]);
}

#[tokio::test]
async fn leaving_without_a_word_can_be_expected() {
    let script = "S: 220 x\nC: <close>";
    let server = listen(script).await;
    drop(Client::tcp(&server).await);
    assert_eq!(server.finish().await, Ok(()));

    let server = listen(script).await;
    let mut client = Client::tcp(&server).await;
    client.talk("QUIT", "220 x").await;
    let got = Got::Line("QUIT\\u{d}\\u{a}".into());
    assert_eq!(server.finish().await, departure(1, 2, "<close>", got));
}

#[tokio::test]
async fn anything_can_be_taken_until_the_client_leaves() {
    let server = listen("S: 220 x\nC: <rest>").await;
    let mut client = Client::tcp(&server).await;
    client.talk("x\ny", "220 x").await;
    drop(client);
    assert_eq!(server.finish().await, Ok(()));
}

#[tokio::test]
async fn chunks_are_a_message() {
    let script = r"
        S: 220 x
        C: LHLO *
        C: MAIL FROM:<>
        C: RCPT TO:<b@example.org>
        C: BDAT 4
        C: <octets 4>
        C: BDAT 3 LAST
        C: <octets 3>
        S: <raw '250 x\r\n250 x\r\n250 x\r\n250 x\r\n250 x\r\n'>
    ";
    let octets = "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nBDAT 4\r\n.\r\n.BDAT 3 LAST\r\n\r\n.";
    let (server, _) = played(script, octets).await;
    assert_eq!(server.finish().await, Ok(()));
    assert_eq!(server.messages()[0].content, b".\r\n.\r\n.");
    assert!(server.url().starts_with("lmtp://127.0.0.1:"));
}

#[tokio::test]
async fn content_that_was_cut_is_no_message() {
    let server = listen("S: 354 x\nC: <content>").await;
    let mut client = Client::tcp(&server).await;
    client.talk("Subject: x\n..", "354 x").await;
    drop(client);
    assert_eq!(server.finish().await, departure(1, 2, "<content>", Got::End));
    assert_eq!(server.messages(), []);
    assert_eq!(server.transcript()[0][1], "C: <content, cut after 15 octets>");
}

#[tokio::test]
async fn limits_are_departures() {
    let limits = Limits { line: 6, content: 4, ..Limits::default() };
    for (step, octets) in [("*", "NOOP x\r\n"), ("<content>", "abc\r\n.\r\n"), ("<octets 5>", "abcde")] {
        let script = ScriptedServer::script(&format!("S: 220 x\nC: {step}")).limits(limits.clone());
        let server = script.listen_tcp().await.unwrap();
        let mut client = Client::tcp(&server).await;
        client.send(octets).await;
        assert_eq!(server.finish().await, departure(1, 2, step, Got::TooLong));
    }
}

#[tokio::test]
async fn chunks_are_limited_together() {
    let limits = Limits { content: 4, ..Limits::default() };
    let script = ScriptedServer::script("C: BDAT 3\nC: <octets 3>\nC: BDAT 3\nC: <octets 3>").limits(limits);
    let server = script.listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.send("BDAT 3\r\nabcBDAT 3\r\nabc").await;
    assert_eq!(server.finish().await, departure(1, 4, "<octets 3>", Got::TooLong));
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let limits = Limits { kept: "S: 220 x".len() + "C: NOOP".len(), ..Limits::default() };
    let server =
        ScriptedServer::script("S: 220 x\nC: NOOP\nS: 250 x").limits(limits).listen_tcp().await.unwrap();
    let mut client = Client::tcp(&server).await;
    client.talk("NOOP", "220 x\n250 x").await;
    assert_eq!(server.transcript(), [["S: 220 x", "C: NOOP"]]);
}

#[tokio::test]
async fn a_malformed_script_does_not_listen() {
    let error = ScriptedServer::script("S: 220 x\nQUIT").listen_tcp().await.unwrap_err();
    assert!(matches!(error, ListenError::Script(error) if error.line == 2));
}

#[tokio::test]
async fn only_loopback_addresses_are_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:127.0.0.1]:0"] {
        let address = address.parse().unwrap();
        let error = ScriptedServer::script("S: 220 x").listen_at(address).await.unwrap_err();
        assert!(matches!(error, ListenError::NotLoopback(refused) if refused == address));
    }
    let address = "127.0.0.2:0".parse().unwrap();
    let server = ScriptedServer::script("S: 220 x").listen_at(address).await.unwrap();
    assert_eq!(server.address().ip(), address.ip());
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let server = listen("S: 220 x\nC: QUIT").await;
    let address = server.address();
    let mut client = Client::tcp(&server).await;
    client.hear("220 x").await;
    drop(server);
    assert_eq!(client.rest().await, "");
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
