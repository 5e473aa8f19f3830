//! Content in chunks of known length (RFC 3030).

use nexthop::testing::{Rules, ScriptedServer};
use nexthop::transport::Session;
use nexthop::{Message, Protocol};

use crate::support::{
    builder, count, envelope, in_time, message, outcomes, route, said, script, session, settings, shown,
    single_flight, words,
};
use crate::tap::Tap;

const MIB: usize = 1024 * 1024;

fn smtp() -> Rules {
    ScriptedServer::smtp().keyword("CHUNKING")
}

fn lmtp() -> Rules {
    ScriptedServer::lmtp().keyword("CHUNKING")
}

/// Octets of every kind, dots and line ends among them, that no line end ends.
fn octets(size: usize) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(1);
    (0..size).map(|_| *dice.choice(b"..\r\n\0x\xff").unwrap_or(&b'y')).collect()
}

fn text(size: usize) -> Message {
    Message::from_bytes(".234567\r\n".repeat(size / 9)).unwrap()
}

#[tokio::test]
async fn check_119_a_small_message_is_three_lines_and_its_octets() {
    let server = smtp().without("SIZE").listen_tcp().await.unwrap();
    let (stream, notes) = Tap::connect(&server).await;
    let mut session = in_time(Session::open(stream, Protocol::Smtp, settings())).await.unwrap();
    let before = notes.wrote().len();
    let outcomes = in_time(session.send(&envelope("a"), &message())).await;
    assert_eq!(words(&outcomes), ["delivered 2.0.0"]);
    let flight =
        "MAIL FROM:<s@example.net>\r\nRCPT TO:<a@x.example>\r\nBDAT 20 LAST\r\nSubject: x\r\n\r\ntext\r\n";
    assert_eq!(String::from_utf8_lossy(&notes.wrote()[before..]), flight);
}

#[tokio::test]
async fn check_119_124_octets_of_all_kinds_arrive_unchanged_in_many_chunks() {
    for rules in [smtp(), lmtp(), smtp().without("PIPELINING")] {
        let server = rules.keyword("BINARYMIME").listen_tcp().await.unwrap();
        let content = octets(3 * MIB + 1);
        let deliverer = builder(&server.url()).build().unwrap();
        let report =
            in_time(deliverer.deliver(&envelope("a b"), &Message::from_binary(content.clone()))).await;
        assert!(report.is_delivered(), "{report}");
        assert!(server.messages().remove(0).content == content);
        assert_eq!((count(&server, "BDAT 1048576"), count(&server, "BDAT 1 LAST")), (3, 1));
    }
}

#[tokio::test]
async fn check_119_a_file_with_a_line_in_front_arrives_in_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("message");
    let content = "a: b\r\n.\r\n".repeat(200_000);
    std::fs::write(&path, &content).unwrap();
    let message = Message::from_file(&path).await.unwrap().with_header("X: y\r\n").unwrap();
    let server = smtp().listen_tcp().await.unwrap();
    let report = in_time(builder(&server.url()).build().unwrap().deliver(&envelope("a"), &message)).await;
    assert!(report.is_delivered(), "{report}");
    assert!(server.messages().remove(0).content == format!("X: y\r\n{content}").into_bytes());
}

#[tokio::test]
async fn check_123_chunking_is_used_only_where_it_is_wanted_and_offered() {
    for (rules, wanted, command) in [
        (smtp(), true, "BDAT"),
        (smtp(), false, "DATA"),
        (ScriptedServer::smtp(), true, "DATA"),
        (smtp().without("PIPELINING"), true, "BDAT"),
    ] {
        let server = rules.listen_tcp().await.unwrap();
        let deliverer = builder(&server.url()).chunking(wanted).build().unwrap();
        let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
        assert!(report.is_delivered(), "{report}");
        assert_eq!(count(&server, command), 1, "{}", said(&server, 0));
        assert_eq!(count(&server, "BDAT") + count(&server, "DATA"), 1);
    }
}

#[tokio::test]
async fn check_120_with_one_flight_of_0_bdat_waits_for_the_recipients() {
    let server = script(&["
        S: 220 x
        C: EHLO client.example
        S: 250-x
        S: 250-PIPELINING
        S: 250 CHUNKING
        C: MAIL FROM:<s@example.net>
        C: RCPT TO:<a@x.example>
        S: 250 ok
        S: 550 no
        C: QUIT
        S: 221 bye
    "])
    .await;
    let deliverer = builder(&server.url()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["failed refused rcpt-to 5.0.0"]);
    assert_eq!(count(&server, "BDAT"), 0);
}

#[tokio::test]
async fn check_121_rset_follows_a_refused_chunk_and_the_session_goes_on() {
    let server = smtp().without("PIPELINING").answer("BDAT", "452 4.3.1 full").listen_tcp().await.unwrap();
    let mut session = session(&server).await;
    for _ in 0..2 {
        let outcomes = in_time(session.send(&envelope("a"), &text(3 * MIB))).await;
        assert_eq!(words(&outcomes), ["deferred refused content 4.3.1"]);
    }
    assert_eq!((count(&server, "BDAT"), count(&server, "RSET")), (2, 1), "{}", said(&server, 0));
    assert!(session.is_usable());
}

#[tokio::test]
async fn check_121_122_a_refused_chunk_among_others_never_delivers() {
    for rules in [smtp(), lmtp()] {
        let server = rules.answer("BDAT", "552 5.3.4 too big").listen_tcp().await.unwrap();
        let mut session = session(&server).await;
        let outcomes = in_time(session.send(&envelope("a b"), &text(5 * MIB))).await;
        assert_eq!(words(&outcomes), ["failed refused content 5.3.4"; 2]);
        drop(session);
        assert!(server.messages().is_empty());
    }
}

#[tokio::test]
async fn check_104_lmtp_recipients_of_a_flight_have_their_own_replies() {
    let rules = lmtp().recipient("b@x.example", "550 5.1.1 no").final_for("c@x.example", "452 4.2.2 full");
    let server = rules.listen_tcp().await.unwrap();
    let wanted = ["delivered 2.0.0", "failed refused rcpt-to 5.1.1", "deferred refused final 4.2.2"];
    assert_eq!(outcomes(&[&server], "a b c").await, wanted);
}

#[tokio::test]
async fn law_2_check_109_lmtp_never_has_content_before_its_recipients_were_answered() {
    let server = lmtp().answer("RCPT", "550 5.1.1 no").listen_tcp().await.unwrap();
    let deliverer = single_flight(&server.url()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a b"), &message())).await;
    assert_eq!(shown(&report), ["failed refused rcpt-to 5.1.1"; 2]);
    assert_eq!(count(&server, "BDAT"), 0);
}

#[tokio::test]
async fn law_3_check_042_a_flight_that_is_never_answered_leads_to_no_other_hop() {
    let dialogue = "
        S: 220 x
        C: EHLO client.example
        S: 250-x
        S: 250-PIPELINING
        S: 250 CHUNKING
        C: MAIL FROM:<s@example.net>
        C: RCPT TO:<a@x.example>
        C: BDAT 20 LAST
        C: <octets 20>
        S: <close>
    ";
    let (first, second) = (script(&[dialogue]).await, smtp().listen_tcp().await.unwrap());
    let deliverer = single_flight(&route(&[&first, &second])).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["deferred disconnected mail-from 4.4.2?"]);
    assert!(second.transcript().is_empty());
}

#[tokio::test]
async fn attack_a32_a_file_that_shrank_never_has_its_last_chunk_completed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("message");
    for (size, then) in [(5000, 4000), (5000, 6000), (3 * MIB, 3 * MIB - 9), (3 * MIB, 3 * MIB + 9)] {
        std::fs::write(&path, "1234567\r\n".repeat(size / 9)).unwrap();
        let message = Message::from_file(&path).await.unwrap();
        std::fs::write(&path, "1234567\r\n".repeat(then / 9)).unwrap();
        let server = smtp().listen_tcp().await.unwrap();
        let deliverer = builder(&server.url()).build().unwrap();
        let report = in_time(deliverer.deliver(&envelope("a"), &message)).await;
        assert_eq!(shown(&report), ["deferred local content 4.3.0"], "{size} {then}");
        assert!(server.messages().is_empty());
    }
}

#[tokio::test]
async fn attack_a32_a_file_that_became_another_of_the_same_size_is_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("message");
    std::fs::write(&path, "a: b\r\n\r\ntext\r\n").unwrap();
    let message = Message::from_file(&path).await.unwrap();
    std::fs::write(&path, "a: b\r\n\r\nt\0xt\r\n").unwrap();
    let server = smtp().listen_tcp().await.unwrap();
    let deliverer = builder(&server.url()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message)).await;
    assert_eq!(shown(&report), ["deferred local content 4.3.0"]);
    assert!(server.messages().is_empty());
}

#[tokio::test]
async fn check_055_125_a_nul_arrives_where_binarymime_is_offered_and_nowhere_else() {
    let message = Message::from_bytes("a: b\r\n\r\n\0\r\n").unwrap();
    for (rules, wanted, taken) in [
        (smtp().keyword("BINARYMIME"), "delivered 2.0.0", 1),
        (smtp(), "failed unsupported - 5.6.3", 0),
        (ScriptedServer::smtp().keyword("BINARYMIME"), "failed unsupported - 5.6.3", 0),
    ] {
        let server = rules.listen_tcp().await.unwrap();
        let report = in_time(builder(&server.url()).build().unwrap().deliver(&envelope("a"), &message)).await;
        assert_eq!(shown(&report), [wanted]);
        assert_eq!(server.messages().len(), taken);
        assert_eq!(count(&server, "MAIL FROM:<s@example.net> SIZE=11 BODY=BINARYMIME"), taken);
    }
}

#[tokio::test]
async fn a_short_last_segment_may_lie_in_two_chunks() {
    let content = "0123456789\r\n".repeat(MIB / 12 + 100);
    let beyond = content.len() - MIB;
    for last in [beyond - 1, beyond, beyond + 1, 16 * 1024] {
        let segments = content.split_at(content.len() - last);
        let message = Message::from_segments([segments.0, segments.1].map(|part| part.to_owned().into()));
        let server = smtp().listen_tcp().await.unwrap();
        let deliverer = builder(&server.url()).build().unwrap();
        let report = in_time(deliverer.deliver(&envelope("a"), &message.unwrap())).await;
        assert_eq!(shown(&report), ["delivered 2.0.0"], "{last} of {beyond}");
        assert!(server.messages().remove(0).content == content.as_bytes());
    }
}

#[tokio::test]
async fn a_line_end_that_the_content_lacks_may_lie_in_two_chunks() {
    for size in [MIB - 3, MIB - 2, MIB - 1, MIB, 2 * MIB - 1] {
        for rules in [smtp(), smtp().without("PIPELINING"), lmtp()] {
            let server = rules.listen_tcp().await.unwrap();
            let content = "x".repeat(size);
            let deliverer = builder(&server.url()).build().unwrap();
            let message = Message::from_bytes(content.clone()).unwrap();
            let report = in_time(deliverer.deliver(&envelope("a"), &message)).await;
            assert_eq!(shown(&report), ["delivered 2.0.0"], "{size}");
            assert!(server.messages().remove(0).content == (content + "\r\n").as_bytes());
        }
    }
}
