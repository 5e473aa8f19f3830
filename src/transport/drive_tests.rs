//! Time, loss and cancellation of a session on a stream of the test's own.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep, timeout};

use super::{Session, SessionSettings, Timeouts};
use crate::mail::{Envelope, Message};
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::proto::{ClientName, Protocol, Stage};

fn settings() -> SessionSettings {
    SessionSettings::new(ClientName::parse("c.example").unwrap())
}

fn envelope(recipients: usize) -> Envelope {
    let envelope = Envelope::new("s@example.net").unwrap();
    (0..recipients).fold(envelope, |envelope, n| envelope.to(&format!("r{n}@x.example")).unwrap())
}

/// The other end of a stream: a server that is played by a test.
struct Server(DuplexStream);

impl Server {
    async fn says(&mut self, octets: &str) {
        self.0.write_all(octets.as_bytes()).await.unwrap();
    }

    /// Reads until `end` was sent, and gives what came.
    async fn hears(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(end.as_bytes()) {
            let octet = self.0.read_u8().await.unwrap_or_else(|_| panic!("closed after {heard:?}"));
            heard.push(octet);
        }
        String::from_utf8(heard).unwrap()
    }

    /// What comes until the client closes.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.unwrap();
        rest
    }

    /// Greets and answers EHLO or LHLO.
    async fn opens(&mut self, keywords: &str) {
        self.says("220 x\r\n").await;
        self.hears("\r\n").await;
        self.says(&format!("250-x\r\n{keywords}250 HELP\r\n")).await;
    }
}

/// A session that was opened, and its server.
async fn opened(
    protocol: Protocol,
    settings: SessionSettings,
    keywords: &str,
) -> (Session<DuplexStream>, Server) {
    let (client, server) = duplex(1 << 16);
    let mut server = Server(server);
    let (session, ()) = tokio::join!(Session::open(client, protocol, settings), server.opens(keywords));
    (session.unwrap(), server)
}

fn failure(outcome: &Outcome) -> (FailureKind, Option<Stage>, bool) {
    let Outcome::Deferred(failure) = outcome else { panic!("{outcome}") };
    (failure.kind(), failure.stage(), failure.may_have_arrived())
}

async fn open_fails(server: impl AsyncFnOnce(&mut Server), settings: SessionSettings) -> (Failure, Duration) {
    let (client, other) = duplex(1 << 16);
    let mut other = Server(other);
    let began = Instant::now();
    let played = async {
        server(&mut other).await;
        sleep(Duration::from_secs(86_400)).await;
    };
    tokio::select! {
        result = Session::open(client, Protocol::Smtp, settings) => (result.unwrap_err(), began.elapsed()),
        () = played => panic!("the client waits for ever"),
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn check_057_060_the_greeting_has_its_time_and_no_more() {
    let (failure, after) = open_fails(async |_| {}, settings()).await;
    assert_eq!((failure.kind(), failure.stage()), (FailureKind::TimedOut, Some(Stage::Greeting)));
    assert_eq!(after, 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn check_061_attack_a16_octets_of_a_reply_do_not_extend_its_time() {
    let drip = async |server: &mut Server| {
        for octet in "220-x\r\n".repeat(100).chars() {
            server.says(&octet.to_string()).await;
            sleep(Duration::from_secs(10)).await;
        }
    };
    let (failure, after) = open_fails(drip, settings()).await;
    assert_eq!((failure.kind(), after), (FailureKind::TimedOut, 5 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn attack_a17_a_session_may_have_a_budget() {
    let mut limited = settings();
    limited.timeouts.session = Some(7 * MINUTE);
    let (mut session, mut server) = opened(Protocol::Smtp, limited, "").await;
    let tarpit = async {
        server.hears("\r\n").await;
        sleep(4 * MINUTE).await;
        server.says("250 ok\r\n").await;
        server.rest().await
    };
    let message = Message::from_bytes("a: b\r\n").unwrap();
    let envelope = envelope(3);
    let sent = async {
        let outcomes = session.send(&envelope, &message).await;
        drop(session);
        outcomes
    };
    let (outcomes, _) = tokio::join!(sent, tarpit);
    assert_eq!(failure(&outcomes[2]), (FailureKind::TimedOut, Some(Stage::RcptTo), false));
}

#[tokio::test(start_paused = true)]
async fn check_057_each_reply_of_a_group_has_its_own_time() {
    let (mut session, mut server) = opened(Protocol::Smtp, settings(), "250-PIPELINING\r\n").await;
    let slow = async {
        server.hears("DATA\r\n").await;
        for _ in 0..21 {
            sleep(4 * MINUTE).await;
            server.says("250 ok\r\n").await;
        }
        sleep(Duration::from_secs(119)).await;
        server.says("354 go\r\n").await;
        server.hears(".\r\n").await;
        sleep(Duration::from_secs(599)).await;
        server.says("250 done\r\n").await;
    };
    let message = Message::from_bytes("a: b\r\n").unwrap();
    let envelope = envelope(20);
    let (outcomes, ()) = tokio::join!(session.send(&envelope, &message), slow);
    assert!(outcomes.iter().all(Outcome::is_delivered), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn check_060_every_stage_has_its_own_knob() {
    type Knob = fn(&mut Timeouts) -> &mut Duration;
    let stages: [(Knob, &str, Stage); 4] = [
        (|t| &mut t.mail, "", Stage::MailFrom),
        (|t| &mut t.recipient, "250\r\n", Stage::RcptTo),
        (|t| &mut t.data_start, "250\r\n250\r\n", Stage::Data),
        (|t| &mut t.final_reply, "250\r\n250\r\n354\r\n", Stage::Final),
    ];
    for (knob, said, stage) in stages {
        let mut limited = settings();
        *knob(&mut limited.timeouts) = Duration::from_secs(7);
        let (mut session, mut server) = opened(Protocol::Smtp, limited, "250-PIPELINING\r\n").await;
        let message = Message::from_bytes("a: b\r\n").unwrap();
        let envelope = envelope(1);
        let began = Instant::now();
        let silent = async {
            server.hears("DATA\r\n").await;
            server.says(said).await;
            server.rest().await
        };
        let (outcomes, _) = tokio::join!(
            async {
                let outcomes = session.send(&envelope, &message).await;
                drop(session);
                outcomes
            },
            silent
        );
        assert_eq!(failure(&outcomes[0]), (FailureKind::TimedOut, Some(stage), stage == Stage::Final));
        assert_eq!(began.elapsed(), Duration::from_secs(7), "{stage}");
    }
}

#[tokio::test(start_paused = true)]
async fn check_058_a_server_that_reads_slowly_gets_all_of_it() {
    let (client, other) = duplex(4096);
    let mut server = Server(other);
    let (session, ()) = tokio::join!(Session::open(client, Protocol::Smtp, settings()), server.opens(""));
    let mut session = session.unwrap();
    let content = "0123456789abcd\r\n".repeat(1000);
    let message = Message::from_bytes(content.clone()).unwrap();
    let envelope = envelope(1);
    let slow = async {
        for reply in ["250\r\n", "250\r\n", "354\r\n"] {
            server.hears("\r\n").await;
            server.says(reply).await;
        }
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n.\r\n") {
            sleep(2 * MINUTE).await;
            let mut block = vec![0; 4096];
            let count = server.0.read(&mut block).await.unwrap();
            heard.extend_from_slice(&block[..count]);
        }
        server.says("250 ok\r\n").await;
        heard
    };
    let (outcomes, heard) = tokio::join!(session.send(&envelope, &message), slow);
    assert!(outcomes[0].is_delivered(), "{}", outcomes[0]);
    assert_eq!(heard, format!("{content}.\r\n").into_bytes());
}

#[tokio::test(start_paused = true)]
async fn check_058_attack_a26_a_server_that_stops_reading_is_left_after_three_minutes() {
    let (mut session, mut server) = opened(Protocol::Smtp, settings(), "250-PIPELINING\r\n").await;
    let message = Message::from_bytes("0123456789abcd\r\n".repeat(20_000)).unwrap();
    let envelope = envelope(1);
    let began = Instant::now();
    let stuck = async {
        server.hears("DATA\r\n").await;
        server.says("250\r\n250\r\n354\r\n").await;
    };
    let (outcomes, ()) = tokio::join!(session.send(&envelope, &message), stuck);
    assert_eq!(failure(&outcomes[0]), (FailureKind::TimedOut, Some(Stage::Content), false));
    assert_eq!(began.elapsed(), 3 * MINUTE);
    assert!(!session.is_usable());
}

#[tokio::test(start_paused = true)]
async fn check_059_107_lmtp_replies_each_have_ten_minutes() {
    let (mut session, mut server) = opened(Protocol::Lmtp, settings(), "250-PIPELINING\r\n").await;
    let message = Message::from_bytes("a: b\r\n").unwrap();
    let envelope = envelope(3);
    let slow = async {
        server.hears("DATA\r\n").await;
        server.says("250\r\n250\r\n250\r\n250\r\n354\r\n").await;
        server.hears(".\r\n").await;
        for _ in 0..3 {
            sleep(9 * MINUTE).await;
            server.says("250 ok\r\n").await;
        }
    };
    let (outcomes, ()) = tokio::join!(session.send(&envelope, &message), slow);
    assert!(outcomes.iter().all(Outcome::is_delivered), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn check_030_031_the_reply_to_quit_is_waited_for_a_little() {
    let (session, mut server) = opened(Protocol::Smtp, settings(), "").await;
    let began = Instant::now();
    let ((), heard) = tokio::join!(session.quit(), server.rest());
    assert_eq!((heard, began.elapsed()), (b"QUIT\r\n".to_vec(), Duration::from_secs(5)));
}

#[tokio::test]
async fn check_117_replies_are_read_while_commands_are_written() {
    // neither side has room for the whole group or for all the replies to it
    let (client, other) = duplex(512);
    let mut server = Server(other);
    let (session, ()) =
        tokio::join!(Session::open(client, Protocol::Smtp, settings()), server.opens("250-PIPELINING\r\n"));
    let mut session = session.unwrap();
    let envelope = envelope(5000);
    let message = Message::from_bytes("a: b\r\n").unwrap();
    let answers = async {
        let mut data = false;
        while !data {
            let line = server.hears("\r\n").await;
            data = line == "DATA\r\n";
            server
                .says(if data { "354 go\r\n" } else { "250 a reply of some length to fill the buffers\r\n" })
                .await;
        }
        server.hears(".\r\n").await;
        server.says("250 ok\r\n").await;
    };
    let (outcomes, ()) = tokio::join!(session.send(&envelope, &message), answers);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_delivered()).count(), 5000);
}

#[tokio::test]
async fn check_289_attack_a52_a_dropped_future_never_ends_the_content() {
    let content = "0123456789abcd\r\n".repeat(2000);
    for room in (0..=content.len() + 3).step_by(997) {
        let (mut session, mut server) = opened(Protocol::Smtp, settings(), "250-PIPELINING\r\n").await;
        let message = Message::from_bytes(content.clone()).unwrap();
        let envelope = envelope(1);
        let mut heard = Vec::new();
        {
            let sending = session.send(&envelope, &message);
            let reading = async {
                server.hears("DATA\r\n").await;
                server.says("250\r\n250\r\n354\r\n").await;
                while heard.len() < room {
                    heard.push(server.0.read_u8().await.unwrap());
                }
            };
            tokio::select! {
                biased;
                () = reading => {}
                _ = sending => panic!("no final reply was sent"),
            }
        }
        let usable = session.is_usable();
        drop(session);
        heard.extend(server.rest().await);
        let whole = heard.ends_with(b"\r\n.\r\n");
        assert!(!usable, "dropped after {room}");
        assert!(!whole || heard.len() == content.len() + 3, "a part of the content was ended after {room}");
    }
}

#[tokio::test]
async fn check_029_after_an_aborted_transaction_rset_comes_first() {
    let (mut session, mut server) = opened(Protocol::Smtp, settings(), "250-PIPELINING\r\n").await;
    let message = Message::from_bytes("a: b\r\n").unwrap();
    let envelope = envelope(1);
    let played = async {
        server.hears("DATA\r\n").await;
        server.says("250\r\n550 no\r\n503\r\n").await;
        let reset = server.hears("\r\n").await;
        server.says("250\r\n").await;
        server.hears("DATA\r\n").await;
        server.says("250\r\n250\r\n354\r\n").await;
        server.hears(".\r\n").await;
        server.says("250\r\n").await;
        reset
    };
    let sent = async { (session.send(&envelope, &message).await, session.send(&envelope, &message).await) };
    let ((first, second), reset) = tokio::join!(sent, played);
    assert!(matches!(first[0], Outcome::Failed(_)) && second[0].is_delivered());
    assert_eq!(reset, "RSET\r\n");
}

#[tokio::test]
async fn check_029_a_refused_rset_ends_the_session() {
    let (mut session, mut server) = opened(Protocol::Smtp, settings(), "250-PIPELINING\r\n").await;
    let message = Message::from_bytes("a: b\r\n").unwrap();
    let envelope = envelope(1);
    let played = async {
        server.hears("DATA\r\n").await;
        server.says("250\r\n550 no\r\n503\r\n").await;
        server.hears("RSET\r\n").await;
        server.says("500 what\r\n").await;
    };
    let sent = async { (session.send(&envelope, &message).await, session.send(&envelope, &message).await) };
    let ((_, second), ()) = tokio::join!(sent, played);
    assert_eq!(failure(&second[0]).0, FailureKind::Disconnected);
    assert!(!session.is_usable());
}

#[tokio::test]
async fn check_015_what_comes_on_an_idle_session_belongs_to_no_message() {
    let (mut session, mut server) = opened(Protocol::Smtp, settings(), "").await;
    server.says("421 bye\r\n").await;
    let outcomes = session.send(&envelope(1), &Message::from_bytes("a: b\r\n").unwrap()).await;
    assert_eq!(failure(&outcomes[0]), (FailureKind::Refused, Some(Stage::MailFrom), false));
    drop(session);
    assert_eq!(server.rest().await, b"", "nothing was sent to it");
}

#[tokio::test]
async fn check_015_nothing_is_sent_to_a_server_that_has_closed() {
    let (mut session, mut server) = opened(Protocol::Smtp, settings(), "").await;
    server.0.shutdown().await.unwrap();
    let outcomes = session.send(&envelope(1), &Message::from_bytes("a: b\r\n").unwrap()).await;
    assert_eq!(failure(&outcomes[0]), (FailureKind::Disconnected, Some(Stage::MailFrom), false));
    drop(session);
    assert_eq!(server.rest().await, b"");
}

#[tokio::test]
async fn check_015_what_came_together_with_the_last_reply_belongs_to_no_message() {
    let (mut session, mut server) = opened(Protocol::Smtp, settings(), "250-PIPELINING\r\n").await;
    let message = Message::from_bytes("a: b\r\n").unwrap();
    let envelope = envelope(1);
    let played = async {
        server.hears("DATA\r\n").await;
        server.says("250\r\n250\r\n354\r\n").await;
        server.hears(".\r\n").await;
        server.says("250 ok\r\n421 bye\r\n").await;
        server.rest().await
    };
    let sent = async {
        let first = session.send(&envelope, &message).await;
        let second = session.send(&envelope, &message).await;
        drop(session);
        (first, second)
    };
    let ((first, second), rest) = tokio::join!(sent, played);
    assert!(first[0].is_delivered(), "{}", first[0]);
    assert_eq!(failure(&second[0]), (FailureKind::Refused, Some(Stage::MailFrom), false));
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn law_2_a_reply_that_began_before_the_end_of_the_content_delivers_nobody() {
    let (mut session, mut server) = opened(Protocol::Smtp, settings(), "250-PIPELINING\r\n").await;
    // more than the stream holds, so that the server speaks amid it
    let message = Message::from_bytes("a: b\r\n".repeat(30_000)).unwrap();
    let envelope = envelope(1);
    let played = async {
        server.hears("DATA\r\n").await;
        server.says("250\r\n250\r\n354 go\r\n").await;
        server.hears("b\r\n").await;
        server.says("250 2.0.0 que").await;
        server.hears("\r\n.\r\n").await;
        server.says("ued\r\n550 5.7.1 no\r\n").await;
    };
    let (outcomes, ()) = tokio::join!(session.send(&envelope, &message), played);
    assert_eq!(failure(&outcomes[0]), (FailureKind::Protocol, Some(Stage::Final), true));
}

#[tokio::test]
async fn attack_a22_no_content_is_sent_while_a_part_of_a_surplus_reply_is_there() {
    for (keywords, replies) in [
        ("250-PIPELINING\r\n", "250\r\n250\r\n354 go\r\n250 2.0.0 que"),
        ("250-PIPELINING\r\n250-CHUNKING\r\n", "250\r\n250\r\n250 2.0.0 que"),
    ] {
        let (mut session, mut server) = opened(Protocol::Smtp, settings(), keywords).await;
        let message = Message::from_bytes("a: b\r\n").unwrap();
        let envelope = envelope(1);
        let played = async {
            server
                .hears(if keywords.contains("CHUNKING") {
                    ">\r\nRCPT TO:<r0@x.example>\r\n"
                } else {
                    "DATA\r\n"
                })
                .await;
            server.says(replies).await;
            server.rest().await
        };
        let sent = async {
            let outcomes = session.send(&envelope, &message).await;
            drop(session);
            outcomes
        };
        let both = timeout(Duration::from_secs(10), async { tokio::join!(sent, played) });
        let (outcomes, rest) = both.await.expect("the client sends content");
        assert_eq!(failure(&outcomes[0]), (FailureKind::Protocol, Some(Stage::Content), false));
        assert_eq!(rest, b"", "{keywords}");
    }
}

#[tokio::test]
async fn check_014_421_at_any_time_is_the_answer_to_what_is_open() {
    let (mut session, mut server) = opened(Protocol::Smtp, settings(), "").await;
    let message = Message::from_bytes("a: b\r\n").unwrap();
    let envelope = envelope(2);
    let played = async {
        server.hears("\r\n").await;
        server.says("250 ok\r\n").await;
        server.hears("\r\n").await;
        server.says("550 no\r\n421 bye\r\n").await;
    };
    let (outcomes, ()) = tokio::join!(session.send(&envelope, &message), played);
    assert_eq!(outcomes[0].reply().map(|reply| reply.code().as_u16()), Some(550));
    assert_eq!(failure(&outcomes[1]).0, FailureKind::Refused);
}

#[tokio::test]
async fn check_044_a_refusal_before_the_close_is_heard_though_writing_fails() {
    let (mut session, mut server) = opened(Protocol::Smtp, settings(), "250-PIPELINING\r\n").await;
    let message = Message::from_bytes("0123456789abcd\r\n".repeat(20_000)).unwrap();
    let envelope = envelope(1);
    let played = async move {
        server.hears("DATA\r\n").await;
        server.says("250\r\n250\r\n354\r\n").await;
        server.hears("\r\n").await;
        server.says("552 5.3.4 too big\r\n").await;
    };
    let (outcomes, ()) = tokio::join!(session.send(&envelope, &message), played);
    let Outcome::Failed(failure) = &outcomes[0] else { panic!("{}", outcomes[0]) };
    assert_eq!((failure.status().to_string().as_str(), failure.stage()), ("5.3.4", Some(Stage::Content)));
}

#[tokio::test]
async fn check_290_a_file_that_changed_never_ends_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    std::fs::write(&path, "a: b\r\n".repeat(100)).unwrap();
    let message = Message::from_file(&path).await.unwrap();
    std::fs::write(&path, "a: b\r\n".repeat(50)).unwrap();
    let (mut session, mut server) = opened(Protocol::Smtp, settings(), "250-PIPELINING\r\n").await;
    let envelope = envelope(1);
    let played = async {
        server.hears("DATA\r\n").await;
        server.says("250\r\n250\r\n354\r\n").await;
        timeout(MINUTE, server.rest()).await.unwrap()
    };
    let sent = async {
        let outcomes = session.send(&envelope, &message).await;
        drop(session);
        outcomes
    };
    let (outcomes, heard) = tokio::join!(sent, played);
    assert_eq!(failure(&outcomes[0]), (FailureKind::Local, Some(Stage::Content), false));
    assert!(!heard.ends_with(b".\r\n"), "{}", String::from_utf8_lossy(&heard));
}
