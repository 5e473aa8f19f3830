//! Servers that mean harm, or know no better.

use std::net::Shutdown;
use std::time::Instant;

use nexthop::testing::ScriptedServer;
use nexthop::transport::Session;
use nexthop::{Failure, Message, Protocol};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::content::hear;
use crate::support::{
    builder, deliver, envelope, in_time, message, outcomes, said, script, session, settings, shown, words,
};
use crate::tap::Tap;

/// Why no session comes about with a server that says this, and how many octets of it were read.
async fn turned_away(says: &str) -> (Failure, usize) {
    let server = script(&[says]).await;
    let (stream, notes) = Tap::connect(&server).await;
    let failure = in_time(Session::open(stream, Protocol::Smtp, settings())).await.unwrap_err();
    (failure, notes.read())
}

/// Octets that a client reads ahead of what it looks at.
const READ: usize = 16 * 1024;

#[tokio::test]
async fn check_011_attack_a14_endless_replies_are_left_at_the_limit() {
    for says in [
        r#"S: <repeat 100000000 "220-x\r\n">"#,
        r#"S: <repeat 100000000 "220-\r\n">"#,
        "S: 220 x\nC: EHLO *\nS: <repeat 100000000 '250-X-KEYWORD yes\\r\\n'>",
    ] {
        let (failure, read) = turned_away(says).await;
        assert_eq!(failure.kind().to_string(), "protocol", "{says}");
        assert!(read <= 65_536 + READ, "{says}: read {read}");
    }
}

#[tokio::test]
async fn check_010_attack_a15_a_line_without_an_end_is_left_at_the_limit() {
    for says in [
        r#"S: <repeat 104857600 "2">"#,
        r#"S: <raw "220 ">
            S: <repeat 104857600 "x">"#,
    ] {
        let began = Instant::now();
        let (failure, read) = turned_away(says).await;
        assert_eq!(failure.kind().to_string(), "protocol");
        assert!(read <= 8192 + READ, "read {read}");
        assert!(began.elapsed().as_secs() < 10);
    }
}

#[tokio::test]
async fn check_010_long_lines_up_to_the_limit_are_taken() {
    for length in [511, 2000, 8000] {
        let greeting = format!("220 {}", "x".repeat(length));
        let server = ScriptedServer::smtp().greeting(&greeting).listen_tcp().await.unwrap();
        assert_eq!(outcomes(&[&server], "a").await, ["delivered 2.0.0"], "{length}");
    }
}

#[tokio::test]
async fn attack_a14_a_flood_instead_of_an_answer_to_rcpt_is_bounded() {
    let server = script(&["S: 220 x\nC: EHLO *\nS: 250 x\nC: MAIL *\nS: 250 ok\nC: RCPT *\n\
        S: <repeat 100000000 '250-x\\r\\n'>"])
    .await;
    let (stream, notes) = Tap::connect(&server).await;
    let mut session = in_time(Session::open(stream, Protocol::Smtp, settings())).await.unwrap();
    let (envelope, message) = (envelope("a"), message());
    let outcomes = in_time(session.send(&envelope, &message)).await;
    assert_eq!(words(&outcomes), ["deferred protocol rcpt-to 4.5.0"]);
    assert!(notes.read() <= 65_536 + READ, "read {}", notes.read());
}

#[tokio::test]
async fn attack_a05_nothing_is_said_to_a_server_of_another_protocol() {
    for banner in
        ["SSH-2.0-OpenSSH_9.9", "HTTP/1.1 400 Bad Request", "* OK IMAP4rev1", "+OK POP3", "-ERR unknown", ""]
    {
        let server = script(&[&format!("S: <raw \"{banner}\\r\\n\">\nC: <close>")]).await;
        assert_eq!(outcomes(&[&server], "a").await, ["deferred protocol greeting 4.5.0"], "{banner}");
        server.finish().await.unwrap();
    }
}

#[tokio::test]
async fn attack_a22_a_dialogue_told_in_advance_delivers_nothing() {
    let all = r"220 x\r\n250-x\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n";
    let server = script(&[&format!("S: <raw \"{all}\">\nC: <rest>")]).await;
    assert_eq!(outcomes(&[&server], "a").await, ["deferred protocol hello 4.5.0"]);
    assert!(!said(&server, 0).contains("MAIL"), "{}", said(&server, 0));
}

#[tokio::test]
async fn attack_a22_replies_ahead_of_the_content_deliver_nothing() {
    let server =
        script(&["S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 PIPELINING\nC: MAIL *\nC: RCPT *\nC: DATA\n\
        S: <raw '250 ok\\r\\n250 ok\\r\\n354 go\\r\\n250 2.0.0 queued\\r\\n'>\nC: <rest>"])
        .await;
    assert_eq!(outcomes(&[&server], "a").await, ["deferred protocol content 4.5.0"]);
    assert!(server.messages().is_empty());
}

#[tokio::test]
async fn attack_a21_a_server_that_says_250_to_everything_gets_no_content() {
    let server = ScriptedServer::smtp().answer("DATA", "250 sure").listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server], "a").await, ["deferred protocol data 4.5.0"]);
}

#[tokio::test]
async fn attack_a21_what_a_lying_server_said_is_kept() {
    let server =
        ScriptedServer::smtp().final_reply("250 2.0.0 queued as nothing").listen_tcp().await.unwrap();
    let report = deliver(&[&server], "a").await;
    let reply = report.recipients()[0].outcome.reply().unwrap();
    assert_eq!(reply.to_string(), "250 2.0.0 queued as nothing");
}

/// A server that gets content of this size to the extent of `<octets n>` and then does something else.
async fn amid_content(then: &str) -> (Vec<String>, ScriptedServer) {
    let server = script(&[&format!(
        "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 PIPELINING\nC: MAIL *\nC: RCPT *\nC: DATA\n\
        S: 250 ok\nS: 250 ok\nS: 354 go\nC: <octets 1000000>\n{then}"
    )])
    .await;
    let deliverer = builder(&server.url()).build().unwrap();
    let message = Message::from_bytes("0123456789abcd\r\n".repeat(800_000)).unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message)).await;
    (shown(&report), server)
}

#[tokio::test]
async fn check_044_attack_a27_a_refusal_amid_the_content_counts_though_nobody_reads() {
    let (words, server) = amid_content("S: <raw '552 5.3.4 too big\\r\\n'>\nS: <silence>").await;
    assert_eq!(words, ["failed refused content 5.3.4"]);
    assert!(server.messages().is_empty());
}

#[tokio::test]
async fn check_044_attack_a27_a_server_that_reads_on_gets_no_end() {
    let (words, server) = amid_content("S: <raw '451 4.3.1 disk full\\r\\n'>\nC: <content>").await;
    assert_eq!(words, ["deferred refused content 4.3.1"]);
    assert!(server.messages().is_empty(), "the content was ended");
}

/// The server cannot be written to any more, says so a little later, and is heard.
#[tokio::test]
async fn check_044_a_refusal_is_heard_though_nothing_can_be_written() {
    let (client, mut server) = UnixStream::pair().unwrap();
    let (envelope, message) = (envelope("a"), message());
    let played = async {
        server.write_all(b"220 x\r\n").await.unwrap();
        hear(&mut server, b"\r\n").await;
        server.write_all(b"250-x\r\n250 PIPELINING\r\n").await.unwrap();
        hear(&mut server, b"DATA\r\n").await;
        let deaf = server.into_std().unwrap();
        deaf.shutdown(Shutdown::Read).unwrap();
        let mut server = UnixStream::from_std(deaf).unwrap();
        server.write_all(b"250 ok\r\n250 ok\r\n354 go\r\n").await.unwrap();
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        server.write_all(b"552 5.3.4 too big\r\n").await.unwrap();
    };
    let sent = async {
        let mut session = Session::open(client, Protocol::Smtp, settings()).await.unwrap();
        session.send(&envelope, &message).await
    };
    let (outcomes, ()) = Box::pin(in_time(async { tokio::join!(sent, played) })).await;
    assert_eq!(words(&outcomes), ["failed refused content 5.3.4"]);
}

#[tokio::test]
async fn attack_a26_a_flood_of_replies_amid_the_content_ends_it() {
    let (words, _) = amid_content("S: <repeat 40000 '250 well, go on then\\r\\n'>\nS: <silence>").await;
    assert_eq!(words, ["deferred protocol content 4.5.0"]);
}

#[tokio::test]
async fn attack_a26_junk_without_an_end_amid_the_content_ends_it() {
    let (words, _) = amid_content("S: <repeat 1048576 '?'>\nS: <silence>").await;
    assert_eq!(words, ["deferred protocol content 4.5.0"]);
}

#[tokio::test]
async fn attack_a19_no_text_of_a_server_breaks_out_of_its_line() {
    let said = "550 5.1.1 \\0\\x1b[31m\\r \\xE2\\x80\\xAE\\xE2\\x80\\xA8 <script>\\r\\n";
    let server =
        script(&[&format!("S: 220 x\nC: EHLO *\nS: 250 x\nC: MAIL *\nS: <raw '{said}'>\nC: <rest>")]).await;
    let report = deliver(&[&server], "a").await;
    let json = serde_json::to_string(&report).unwrap();
    let texts = [report.to_string(), report.recipients()[0].outcome.to_string(), json];
    for text in texts {
        assert!(text.contains("<script>"), "{text}");
        let dangerous = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}');
        assert!(!text.contains(dangerous), "{text:?}");
    }
}

#[tokio::test]
async fn check_288_attack_a19_what_is_kept_of_a_reply_is_bounded_everywhere() {
    let long = |code: u16| {
        let line = format!("{code}-{}\n", "\x01".repeat(5000));
        format!("{}{code} end", line.repeat(10))
    };
    let servers = [
        ScriptedServer::smtp().greeting(&long(554)),
        ScriptedServer::smtp().answer("EHLO", &long(451)),
        ScriptedServer::smtp().mail(&long(550)),
        ScriptedServer::smtp().mail(&long(150)),
        ScriptedServer::smtp().answer("RCPT", &long(550)),
        ScriptedServer::smtp().final_reply(&long(250)),
        ScriptedServer::smtp().final_reply(&long(354)),
    ];
    for (index, rules) in servers.into_iter().enumerate() {
        let server = rules.listen_tcp().await.unwrap();
        let report = deliver(&[&server], "a").await;
        let outcome = &report.recipients()[0].outcome;
        let kept: usize = outcome.reply().unwrap().lines().map(<[u8]>::len).sum();
        assert!(kept <= 2048, "{index}: {kept} octets are kept");
        let detail = outcome.failure().map_or(0, |failure| failure.detail().len());
        assert!(detail <= 1000, "{index}: a detail of {detail} octets");
        let line = outcome.to_string().len();
        assert!(line <= 20_000, "{index}: a line of {line} octets");
    }
}

#[tokio::test]
async fn check_288_what_is_kept_of_a_reply_with_different_codes_is_bounded_after_rset_too() {
    let long = format!("250-{}\n251 end", "x".repeat(5000));
    let rules = ScriptedServer::smtp().recipient("no@x.example", "550 no").answer("RSET", &long);
    let server = rules.listen_tcp().await.unwrap();
    let mut session = session(&server).await;
    let refused = in_time(session.send(&envelope("no"), &message())).await;
    assert_eq!(words(&refused), ["failed refused rcpt-to 5.0.0"]);
    let outcomes = in_time(session.send(&envelope("a"), &message())).await;
    let reply = outcomes[0].reply().unwrap();
    assert_eq!((words(&outcomes)[0].as_str(), reply.code().as_u16()), ("deferred protocol - 4.5.0", 251));
    assert_eq!(reply.lines().map(<[u8]>::len).sum::<usize>(), 2048);
}
