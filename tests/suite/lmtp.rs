//! LMTP (RFC 2033), over TCP and over unix sockets.

use nexthop::mail::{Notify, Recipient};
use nexthop::testing::ScriptedServer;
use nexthop::{Envelope, Message, Route};

use crate::support::{
    builder, count, deliver, envelope, in_time, message, outcomes, said, script, shown, taken,
};

#[tokio::test]
async fn check_102_a_server_that_knows_no_lhlo_hears_nothing_else() {
    let server = ScriptedServer::lmtp().answer("LHLO", "500 5.5.1 what").listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server], "a").await, ["deferred refused hello 4.3.2"]);
    assert_eq!(said(&server, 0), "LHLO client.example|QUIT");
}

#[test]
fn check_103_lmtp_is_not_spoken_on_port_25() {
    for route in ["lmtp://127.0.0.1:25", "lmtp://relay.example:25", "smtp://a.example,lmtp://[::1]:25"] {
        assert!(route.parse::<Route>().is_err(), "{route}");
    }
}

#[tokio::test]
async fn check_104_duplicates_have_a_reply_each() {
    let rules = ScriptedServer::lmtp()
        .recipient("no@x.example", "550 5.1.1 nobody")
        .final_for("b@x.example", "452 4.2.2 full");
    let server = rules.listen_tcp().await.unwrap();
    let words = outcomes(&[&server], "a no b a").await;
    let (ok, full) = ("delivered 2.0.0", "deferred refused final 4.2.2");
    assert_eq!(words, [ok, "failed refused rcpt-to 5.1.1", full, ok]);
    assert_eq!(taken(&server), ["a b a"]);
}

const CONTENT: &str = "S: 220 x\nC: LHLO *\nS: 250-x\nS: 250 PIPELINING\nC: MAIL *\nC: RCPT *\nC: RCPT *\nC: RCPT *\n\
    C: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: <content>\n";

/// The words of three recipients at a server that says this to the content.
async fn to_content(said: &str) -> Vec<String> {
    let server = script(&[&format!("{CONTENT}{said}")]).await;
    outcomes(&[&server], "a b c").await
}

#[tokio::test]
async fn check_105_a_reply_of_several_lines_is_one_recipients() {
    let words =
        to_content("S: 250-2.0.0 a\nS: 250 2.0.0 b\nS: 550 5.0.1 c\nS: 250 d\nC: QUIT\nS: 221 bye").await;
    assert_eq!(words, ["delivered 2.0.0", "failed refused final 5.0.1", "delivered 2.0.0"]);
}

#[tokio::test]
async fn check_106_attack_a24_replies_that_are_missing_leave_the_last_ones_open() {
    let lost = "deferred disconnected final 4.4.2?";
    assert_eq!(to_content("S: 250 ok\nS: <close>").await, ["delivered 2.0.0", lost, lost]);
    assert_eq!(to_content("S: <close>").await, [lost; 3]);
    let closing = "deferred refused final 4.3.2";
    assert_eq!(to_content("S: 250 ok\nS: 421 4.3.2 closing").await, ["delivered 2.0.0", closing, lost]);
}

#[tokio::test]
async fn attack_a24_a_reply_too_many_leaves_open_what_it_may_have_moved() {
    let words =
        to_content("S: <raw '250 ok\\r\\n452 4.2.2 b\\r\\n250 ok\\r\\n550 5.0.0 surplus\\r\\n'>\nC: <close>")
            .await;
    let open = "deferred protocol final 4.5.0?";
    assert_eq!(words, ["delivered 2.0.0", open, open]);
}

#[tokio::test]
async fn check_106_who_was_answered_is_not_sent_again() {
    let server = script(&[&format!("{CONTENT}S: 250 ok\nS: 421 4.3.2 closing")]).await;
    let next = ScriptedServer::lmtp().listen_tcp().await.unwrap();
    let open = "deferred disconnected final 4.4.2?";
    assert_eq!(outcomes(&[&server, &next], "a b c").await, ["delivered 2.0.0", "delivered 2.0.0", open]);
    // b was told that it was not taken; c was told nothing, and may have the message
    assert_eq!(taken(&next), ["b"]);
}

#[tokio::test]
async fn check_108_without_an_accepted_recipient_nothing_is_waited_for() {
    let server =
        script(&["S: 220 x\nC: LHLO *\nS: 250-x\nS: 250 PIPELINING\nC: MAIL *\nC: RCPT *\nC: DATA\n\
        S: 250 ok\nS: 550 5.1.1 no\nS: 354 go\nC: <content>\nC: <close>"])
        .await;
    assert_eq!(outcomes(&[&server], "a").await, ["failed refused rcpt-to 5.1.1"]);
    server.finish().await.unwrap();
    assert!(server.messages()[0].content.is_empty());
}

#[tokio::test]
async fn check_110_extensions_are_used_as_the_answer_to_lhlo_offers_them() {
    let plain = ["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE"];
    let none = plain.iter().fold(ScriptedServer::lmtp(), |rules, keyword| rules.without(keyword));
    let recipient = Recipient::parse("a@x.example").unwrap().with_notify(Notify::parse("never").unwrap());
    let envelope = Envelope::new("s@example.net").unwrap().recipient(recipient);
    let table = [
        (none, "Subject: x\r\n", "|MAIL FROM:<s@example.net>|RCPT TO:<a@x.example>|"),
        (
            ScriptedServer::lmtp().keyword("DSN"),
            "Subject: \u{fc}\r\n",
            "|MAIL FROM:<s@example.net> SIZE=13 BODY=8BITMIME SMTPUTF8|RCPT TO:<a@x.example> NOTIFY=NEVER|",
        ),
    ];
    for (rules, content, commands) in table {
        let server = rules.listen_tcp().await.unwrap();
        let deliverer = builder(&server.url()).build().unwrap();
        let message = Message::from_bytes(content).unwrap();
        assert!(in_time(deliverer.deliver(&envelope, &message)).await.is_delivered());
        assert!(said(&server, 0).contains(commands), "{}", said(&server, 0));
    }
}

#[tokio::test]
async fn check_111_a_unix_socket_is_reached_by_its_path_and_gets_our_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = ScriptedServer::lmtp().listen_unix(folder.path().join("lmtp")).await.unwrap();
    let report = deliver(&[&server], "a b").await;
    assert_eq!(shown(&report), ["delivered 2.0.0"; 2]);
    assert!(said(&server, 0).starts_with("LHLO client.example|"));
    let hop = report.recipients()[0].hop.as_ref().unwrap();
    assert_eq!(hop.endpoint().to_string(), server.path().display().to_string());
}

#[test]
fn check_111_a_path_that_no_socket_can_have_is_refused() {
    let long = format!("lmtp+unix:///{}", "p".repeat(107));
    for route in [long.as_str(), "lmtp+unix://relative", "lmtp+unix://", "lmtp+unix:///run/\0x"] {
        assert!(route.parse::<Route>().is_err(), "{route:?}");
    }
}

#[tokio::test]
async fn check_112_without_pipelining_lmtp_waits_for_each_reply() {
    let server = ScriptedServer::lmtp().without("PIPELINING").listen_tcp().await.unwrap();
    let deliverer = builder(&server.url()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a b c"), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"; 3]);
    assert_eq!(count(&server, "RCPT"), 3);
}
