//! What becomes of the octets of a message.

use nexthop::testing::ScriptedServer;
use nexthop::transport::Session;
use nexthop::{MemoryResolver, Message, PoolSettings, Protocol};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::naive::Naive;
use crate::routes::{by_mx, neighbours};
use crate::support::{
    builder, count, envelope, in_time, message, outcomes, said, session, settings, shown, words,
};
use crate::tap::Tap;

/// What arrives of a message.
async fn arrives(message: &Message) -> Vec<u8> {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let deliverer = builder(&server.url()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), message)).await;
    assert!(report.is_delivered(), "{report}");
    server.messages().remove(0).content
}

/// Octets with lines of all lengths, many of which begin with dots.
fn varied(size: usize) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(1);
    let mut content = Vec::with_capacity(size + 1000);
    while content.len() < size {
        content.extend(std::iter::repeat_n(b'.', dice.usize(..4)));
        content.extend((0..dice.usize(..90)).map(|_| dice.u8(b' '..=b'~')));
        content.extend_from_slice(b"\r\n");
    }
    content
}

#[tokio::test]
async fn check_045_a_message_of_octets_arrives_unchanged() {
    let content = varied(300_000);
    assert!(arrives(&Message::from_bytes(content.clone()).unwrap()).await == content);
}

#[tokio::test]
async fn check_045_a_big_file_with_a_line_in_front_arrives_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("message");
    let content = varied(64 * 1024).repeat(160);
    std::fs::write(&path, &content).unwrap();
    let header = "Received: from a.example by client.example; Fri, 21 Nov 2025 09:00:00 +0000\r\n";
    let message = Message::from_file(&path).await.unwrap().with_header(header).unwrap();
    let arrived = arrives(&message).await;
    let sum =
        |parts: &[&[u8]]| parts.iter().fold(Sha256::new(), |sum, part| sum.chain_update(part)).finalize();
    assert_eq!(sum(&[&arrived]), sum(&[header.as_bytes(), &content]));
}

#[tokio::test]
async fn check_050_051_dots_and_the_last_line_end() {
    for (content, arrived) in [
        (".", ".\r\n"),
        ("..", "..\r\n"),
        ("a\r\n.\r\n", "a\r\n.\r\n"),
        (".a\r\n..\r\n.", ".a\r\n..\r\n.\r\n"),
        ("a", "a\r\n"),
        ("\r\n", "\r\n"),
        ("", ""),
    ] {
        let message = Message::from_bytes(content).unwrap();
        assert_eq!(arrives(&message).await, arrived.as_bytes(), "{content:?}");
    }
}

#[tokio::test]
async fn check_054_long_lines_are_neither_cut_nor_folded() {
    for length in [998, 999, 100_000] {
        let content = format!("a: b\r\n\r\n{}\r\n", ".".repeat(length)).into_bytes();
        assert!(arrives(&Message::from_bytes(content.clone()).unwrap()).await == content, "{length}");
    }
}

const SMUGGLED: [&str; 10] = [
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r",
    "\r\n.\r",
    "\r.\r\n",
    "\n.\r",
    "\r\r\n.\r\r\n",
    "\r\n\0.\r\n",
    "\r\n.\0\r\n",
];

/// Contents with something in them that a naive server might take for the end.
fn corpus() -> Vec<String> {
    let second = "MAIL FROM:<x@evil.example>\r\nRCPT TO:<y@evil.example>\r\nDATA\r\nsmuggled";
    SMUGGLED
        .iter()
        .chain(&["\r\n.\r\n"])
        .flat_map(|end| {
            [format!("a: b\r\n\r\ntext{end}{second}{end}"), format!("{end}{second}"), format!("text{end}")]
        })
        .collect()
}

/// What a client sends of a message after DATA; nothing if it does not come to that.
async fn sent_after_data(message: &Message) -> Option<Vec<u8>> {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let (stream, notes) = Tap::connect(&server).await;
    let mut session = in_time(Session::open(stream, Protocol::Smtp, settings())).await.unwrap();
    let envelope = envelope("a");
    in_time(session.send(&envelope, message)).await;
    in_time(session.quit()).await;
    let wrote = notes.wrote();
    let data = wrote.windows(8).position(|octets| octets == b"\r\nDATA\r\n")?;
    Some(wrote[data + 8..].to_vec())
}

async fn smuggles_nothing(message: &Message, content: &str) {
    let Some(sent) = sent_after_data(message).await else { return };
    for naive in Naive::ALL {
        assert_eq!(naive.after_the_end(&sent), ["QUIT"], "{naive:?} reads {content:?}");
    }
}

#[tokio::test]
async fn check_053_attack_a31_content_as_octets_smuggles_nothing_past_naive_servers() {
    for content in corpus() {
        if let Ok(message) = Message::from_bytes(content.clone()) {
            smuggles_nothing(&message, &content).await;
        }
    }
}

#[tokio::test]
async fn check_053_attack_a31_content_as_text_smuggles_nothing_past_naive_servers() {
    for content in corpus() {
        if let Ok(message) = Message::from_text(&content) {
            smuggles_nothing(&message, &content).await;
        }
    }
}

#[tokio::test]
async fn check_053_attack_a31_content_in_pieces_smuggles_nothing_past_naive_servers() {
    let content = "a\r\n.\r\nMAIL FROM:<x@evil.example>\r\n.\r\n";
    for cut in 0..=content.len() {
        let (first, second) = content.split_at(cut);
        let pieces = [first, second].map(|piece| bytes::Bytes::copy_from_slice(piece.as_bytes()));
        let message = Message::from_segments(pieces).unwrap();
        smuggles_nothing(&message, content).await;
    }
}

#[test]
fn check_052_053_bare_line_ends_are_refused_in_octets_wherever_they_are_cut() {
    let bare = SMUGGLED.iter().filter(|end| !end.contains('\0'));
    for content in bare.map(|end| format!("text{end}text\r\n")) {
        for cut in 0..=content.len() {
            let (first, second) = content.split_at(cut);
            let pieces = [first, second].map(|piece| bytes::Bytes::copy_from_slice(piece.as_bytes()));
            assert!(Message::from_segments(pieces).is_err(), "{content:?} cut at {cut}");
        }
    }
}

#[tokio::test]
async fn check_055_nul_is_sent_to_nobody_and_failed() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let deliverer = builder(&server.url()).build().unwrap();
    let message = Message::from_bytes("a: b\r\n\r\n\0\r\n").unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message)).await;
    assert_eq!(shown(&report), ["failed unsupported - 5.6.3"]);
    assert_eq!(said(&server, 0), "EHLO client.example|QUIT");
}

#[tokio::test]
async fn check_056_high_octets_go_only_where_8bitmime_is_offered() {
    let message = Message::from_bytes("a: b\r\n\r\n\u{fc}\r\n").unwrap();
    let without = ScriptedServer::smtp().without("8BITMIME").listen_tcp().await.unwrap();
    let with = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let alone = builder(&without.url()).build().unwrap();
    let report = in_time(alone.deliver(&envelope("a"), &message)).await;
    assert_eq!(shown(&report), ["failed unsupported - 5.6.3"]);
    let both = builder(&crate::support::route(&[&without, &with])).build().unwrap();
    let report = in_time(both.deliver(&envelope("a"), &message)).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"], "another hop may do better");
    assert!(said(&with, 0).contains(" BODY=8BITMIME|"));
}

/// Reads until what was read ends so.
pub(crate) async fn hear(stream: &mut (impl AsyncRead + Unpin), end: &[u8]) {
    let mut heard = Vec::new();
    while !heard.ends_with(end) {
        assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0, "the client left");
    }
}

/// Takes a message up to so many octets of its content.
async fn take(listener: &TcpListener, octets: usize) -> (TcpStream, Vec<u8>) {
    let (mut stream, mut content) = (listener.accept().await.unwrap().0, Vec::new());
    stream.write_all(b"220 x\r\n").await.unwrap();
    hear(&mut stream, b"\r\n").await;
    stream.write_all(b"250-x\r\n250 PIPELINING\r\n").await.unwrap();
    hear(&mut stream, b"DATA\r\n").await;
    stream.write_all(b"250 ok\r\n250 ok\r\n354 go\r\n").await.unwrap();
    while content.len() < octets {
        stream.read_buf(&mut content).await.unwrap();
    }
    (stream, content)
}

#[tokio::test]
async fn check_289_attack_a52_a_dropped_delivery_leaves_no_part_of_a_message() {
    // more than the buffers of both sides hold
    let content = "0123456789abcd\r\n".repeat(800_000);
    let message = Message::from_bytes(content.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deliverer = builder(&format!("smtp://{}", listener.local_addr().unwrap())).build().unwrap();
    let envelope = envelope("a");
    for octets in [0, 1, 1_000_000, content.len() - 10_000] {
        let (mut stream, mut heard) = tokio::select! {
            taken = in_time(take(&listener, octets)) => taken,
            report = deliverer.deliver(&envelope, &message) => panic!("{report}"),
        };
        // the delivery is dropped by now,
        // and what it had not read may make a reset of it
        let _ = in_time(stream.read_to_end(&mut heard)).await;
        let whole = heard.len() == content.len() + 3;
        assert!(whole || !heard.ends_with(b"\r\n.\r\n"), "after {octets} octets");
        assert!(!whole || octets > 5_000_000, "the buffers hold all of it");
    }
}

#[tokio::test]
async fn check_290_attack_a32_a_file_that_shrank_is_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("message");
    std::fs::write(&path, varied(500_000)).unwrap();
    let message = Message::from_file(&path).await.unwrap();
    std::fs::write(&path, varied(300_000)).unwrap();
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let deliverer = builder(&server.url()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message)).await;
    assert_eq!(shown(&report), ["deferred local content 4.3.0"]);
    assert!(server.messages().is_empty());
}

#[tokio::test]
async fn check_290_a_file_that_is_gone_is_read_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("message");
    std::fs::write(&path, "a: b\r\n").unwrap();
    let message = Message::from_file(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let mut session = session(&server).await;
    let envelope = envelope("a");
    let outcomes = in_time(session.send(&envelope, &message)).await;
    assert_eq!(words(&outcomes), ["deferred local content 4.3.0"]);
    assert!(!session.is_usable());
    drop(session);
    assert!(server.messages().is_empty());
}

#[tokio::test]
async fn check_128_a_message_that_is_too_big_is_not_sent() {
    let size = message().facts().size;
    for (limit, wanted) in [(size, "delivered 2.0.0"), (size - 1, "failed unsupported - 5.3.4")] {
        let rules = ScriptedServer::smtp().keyword(&format!("SIZE {limit}"));
        let server = rules.listen_tcp().await.unwrap();
        assert_eq!(outcomes(&[&server], "a").await, [wanted]);
    }
}

/// A message with UTF-8 in its header, in the clear over SMTP or LMTP without SMTPUTF8.
fn utf8_header() -> Message {
    Message::from_bytes("Subject: Gr\u{fc}\u{df}e\r\n\r\ntext\r\n".as_bytes()).unwrap()
}

#[tokio::test]
async fn check_141_a_relay_without_smtputf8_receives_a_utf8_header_as_eight_bit_content() {
    for rules in [ScriptedServer::smtp(), ScriptedServer::lmtp()] {
        let server = rules.without("SMTPUTF8").without("SIZE").listen_tcp().await.unwrap();
        // the second one waits for the connection of the first
        let mut pool = PoolSettings::default();
        pool.connections = 1;
        let deliverer = builder(&server.url()).pool(pool).build().unwrap();
        let (to, message) = (envelope("a"), utf8_header());
        let (one, two) = in_time(futures_util::future::join(
            deliverer.deliver(&to, &message),
            deliverer.deliver(&to, &message),
        ))
        .await;
        assert!(one.is_delivered() && two.is_delivered(), "{one}\n{two}");
        assert_eq!(server.connections(), 1);
        assert_eq!(count(&server, "MAIL FROM:<s@example.net> BODY=8BITMIME"), 2);
        assert_eq!(count(&server, "MAIL FROM:<s@example.net> BODY=8BITMIME "), 0, "no SMTPUTF8");
    }
}

#[tokio::test]
async fn check_141_an_exchanger_without_smtputf8_receives_a_utf8_header_only_if_the_host_declares_it_eight_bit()
 {
    let (servers, port) = neighbours([ScriptedServer::smtp().without("SMTPUTF8").without("SIZE")]).await;
    let dns = MemoryResolver::builder().ipv4("x.example", [127, 0, 0, 2]);
    let deliverer = by_mx(dns, port).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &utf8_header())).await;
    assert_eq!(shown(&report), ["failed unsupported - 5.6.9"]);
    let declared = envelope("a").without_smtp_utf8();
    let report = in_time(deliverer.deliver(&declared, &utf8_header())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    assert_eq!(count(&servers[0], "MAIL FROM:<s@example.net> BODY=8BITMIME"), 1);
}

#[tokio::test]
async fn check_141_a_utf8_header_is_eight_bit_content_by_a_setting_of_a_session() {
    for (as_eight_bit, wanted) in [(false, "failed unsupported - 5.6.9"), (true, "delivered 2.0.0")] {
        let server = ScriptedServer::lmtp().without("SMTPUTF8").without("SIZE").listen_tcp().await.unwrap();
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let mut settings = settings();
        settings.utf8_header_as_eight_bit = as_eight_bit;
        let mut session = Session::open(stream, Protocol::Lmtp, settings).await.unwrap();
        let outcomes = in_time(session.send(&envelope("a"), &utf8_header())).await;
        assert_eq!(words(&outcomes), [wanted]);
    }
}
