//! What servers answer: short, long, wrong, early, and nothing at all.

use nexthop::Outcome;
use nexthop::testing::{Rules, ScriptedServer};

use crate::support::{
    count, deliver, envelope, in_time, message, outcomes, said, script, session, taken, word, words,
};

/// What every server says; `{}` is `RCPT` and what follows it.
const OPENING: &str = "S: 220 mx.example\nC: EHLO *\nS: 250-mx.example\nS: 250 PIPELINING\nC: MAIL *\n";

/// The words of three recipients, the second of which is answered 550, at a server that goes on like this after MAIL.
async fn three(after_mail: &str) -> Vec<String> {
    let server = script(&[&format!("{OPENING}{after_mail}")]).await;
    let words = outcomes(&[&server], "a no b").await;
    server.finish().await.unwrap();
    words
}

#[tokio::test]
async fn check_001_codes_need_no_text() {
    let server = script(&["
        S: 220
        C: EHLO *
        S: 250
        C: MAIL *
        S: 250
        C: RCPT *
        S: 250
        C: DATA
        S: 354
        C: <content>
        S: 250
        C: QUIT
        S: 221
    "])
    .await;
    assert_eq!(outcomes(&[&server], "a").await, ["delivered 2.0.0"]);
    server.finish().await.unwrap();
}

fn three_lines(rules: Rules) -> Rules {
    rules
        .greeting("220-a\n220-b\n220 c")
        .mail("250-a\n250-b\n250 c")
        .answer("RCPT", "250-a\n250-b\n250 c")
        .recipient("no@x.example", "550-5.1.1 a\n550-5.1.1 b\n550 5.1.1 c")
        .answer("DATA", "354-a\n354-b\n354 c")
        .answer("RSET", "250-a\n250-b\n250 c")
        .final_reply("250-a\n250-b\n250 queued")
        .answer("QUIT", "221-a\n221-b\n221 c")
}

#[tokio::test]
async fn check_002_every_reply_may_have_several_lines() {
    for rules in [ScriptedServer::smtp(), ScriptedServer::smtp().without("PIPELINING")] {
        let server = three_lines(rules).listen_tcp().await.unwrap();
        let mut session = session(&server).await;
        let (refused, mixed) = (envelope("no"), envelope("a no b"));
        let message = message();
        in_time(session.send(&refused, &message)).await;
        let outcomes = in_time(session.send(&mixed, &message)).await;
        in_time(session.quit()).await;
        assert_eq!(words(&outcomes), ["delivered 2.0.0", "failed refused rcpt-to 5.1.1", "delivered 2.0.0"]);
        let lines = |outcome: &Outcome| outcome.reply().unwrap().text().collect::<Vec<_>>();
        assert_eq!(lines(&outcomes[0]), ["a", "b", "queued"]);
        assert_eq!(lines(&outcomes[1]), ["a", "b", "c"]);
        assert!(said(&server, 0).ends_with("|QUIT"), "{}", said(&server, 0));
    }
}

/// Returns outcome, codes and deciding reply of the first recipient.
async fn judged(rules: Rules, to: &str) -> (String, Vec<String>) {
    let server = rules.listen_tcp().await.unwrap();
    let report = deliver(&[&server], to).await;
    let outcome = &report.recipients()[0].outcome;
    (word(outcome), outcome.reply().unwrap().wire_lines().collect())
}

#[tokio::test]
async fn check_003_of_different_codes_a_negative_last_line_decides_at_every_step_and_all_lines_are_kept() {
    let smtp = ScriptedServer::smtp;
    for (rules, wanted, lines) in [
        (
            smtp().greeting("220-mx ESMTP\n521 5.7.1 blocked"),
            "failed refused greeting 5.3.2",
            "220-mx ESMTP|521 5.7.1 blocked",
        ),
        (
            smtp().greeting("220-mx ESMTP\n554 blocked"),
            "deferred refused greeting 4.3.2",
            "220-mx ESMTP|554 blocked",
        ),
        (
            smtp().greeting("220-mx ESMTP\n421 busy"),
            "deferred refused greeting 4.3.2",
            "220-mx ESMTP|421 busy",
        ),
        (smtp().answer("EHLO", "250-mx\n421 busy"), "deferred refused hello 4.3.2", "250-mx|421 busy"),
        (
            smtp().mail("250-2.1.0 ok\n550 5.7.1 no"),
            "failed refused mail-from 5.7.1",
            "250-2.1.0 ok|550 5.7.1 no",
        ),
        (
            smtp().answer("RCPT", "250-ok\n450 4.2.0 later"),
            "deferred refused rcpt-to 4.2.0",
            "250-ok|450 4.2.0 later",
        ),
        (smtp().answer("DATA", "354-go\n554 5.7.0 no"), "failed refused data 5.7.0", "354-go|554 5.7.0 no"),
        (
            smtp().final_reply("250-ok\n554-5.6.0 bad\n554 5.6.0 never"),
            "failed refused final 5.6.0",
            "250-ok|554-5.6.0 bad|554 5.6.0 never",
        ),
        (
            ScriptedServer::lmtp().final_reply("250-ok\n421 4.3.2 bye"),
            "deferred refused final 4.3.2",
            "250-ok|421 4.3.2 bye",
        ),
    ] {
        let lines: Vec<_> = lines.split('|').map(str::to_owned).collect();
        assert_eq!(judged(rules, "a").await, (wanted.to_owned(), lines));
    }
}

#[tokio::test]
async fn check_003_of_different_codes_a_refusal_concerns_one_recipient() {
    let server =
        ScriptedServer::smtp().recipient("b@x.example", "250-a\n550 5.1.1 b").listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server], "a b").await, ["delivered 2.0.0", "failed refused rcpt-to 5.1.1"]);
}

#[tokio::test]
async fn check_003_of_different_codes_another_last_line_is_no_success_and_ends_the_connection() {
    for (reply, shown) in [("550-a\n250 b", "550-a / 250 b"), ("250-a\x1b\n251 b", "250-a\\u{1b} / 251 b")] {
        let server = ScriptedServer::smtp().recipient("b@x.example", reply).listen_tcp().await.unwrap();
        let report = deliver(&[&server], "a b").await;
        for recipient in report.recipients() {
            assert_eq!(word(&recipient.outcome), "deferred protocol rcpt-to 4.5.0", "{reply:?}");
            let detail = recipient.outcome.failure().unwrap().detail();
            assert!(detail.ends_with(shown), "{detail}");
        }
        assert_eq!((server.messages().len(), count(&server, "QUIT")), (0, 0));
    }
}

#[tokio::test]
async fn check_006_008_009_a_senseless_reply_is_followed_by_no_content() {
    let senseless = [
        ("MAIL", "354 go"),
        ("MAIL", "150 wait"),
        ("RCPT", "354 go"),
        ("RCPT", "000 what"),
        ("RCPT", "999 what"),
        ("DATA", "250 ok"),
        ("DATA", "300 ok"),
        ("DATA", "334 go"),
        ("EHLO", "354 go"),
    ];
    for (verb, reply) in senseless {
        let server = ScriptedServer::smtp().answer(verb, reply).listen_tcp().await.unwrap();
        let word = outcomes(&[&server], "a").await.remove(0);
        assert!(word.starts_with("deferred protocol "), "{verb} {reply}: {word}");
        assert!(!said(&server, 0).contains("<content"), "{verb} {reply}");
    }
}

#[tokio::test]
async fn check_012_a_bare_line_feed_does_not_make_two_replies_of_one() {
    let bare = "S: <raw '250 ok\\n550 x\\r\\n'>\nC: <rest>";
    let words = three(bare).await;
    assert_eq!(words, ["deferred protocol mail-from 4.5.0"; 3]);
}

#[tokio::test]
async fn check_013_octets_that_are_no_text_do_not_matter() {
    let server = script(&[&format!(
        "{OPENING}S: <raw '550 caf\\xE9 \\0 \\x1b[31m\\r\\n'>\nS: 503 no\nS: 503 no\nC: <rest>"
    )])
    .await;
    let report = deliver(&[&server], "a").await;
    let outcome = &report.recipients()[0].outcome;
    assert_eq!(word(outcome), "failed refused mail-from 5.0.0");
    assert_eq!(outcome.reply().unwrap().text().collect::<String>(), "caf\\xE9 \\u{0} \\u{1b}[31m");
}

/// A server that says 421 at one point, and what is left for the next one of `a`, `no` and `b`.
fn closing() -> Vec<(&'static str, Rules, &'static str)> {
    let smtp = || ScriptedServer::smtp().recipient("no@x.example", "550 5.1.1 nobody");
    let lock_step = || smtp().without("PIPELINING");
    let bye = "421 4.3.2 closing";
    vec![
        ("greeting", smtp().greeting(bye), "a no b"),
        ("EHLO", smtp().answer("EHLO", bye), "a no b"),
        ("HELO", smtp().answer("EHLO", "502 what").answer("HELO", bye), "a no b"),
        ("MAIL", smtp().mail(bye), "a no b"),
        ("MAIL alone", lock_step().mail(bye), "a no b"),
        ("first RCPT", smtp().recipient("a@x.example", bye), "a no b"),
        ("last RCPT", smtp().recipient("b@x.example", bye), "a b"),
        ("last RCPT alone", lock_step().recipient("b@x.example", bye), "a b"),
        ("DATA", smtp().answer("DATA", bye), "a b"),
        ("content", smtp().final_reply(bye), "a b"),
        ("QUIT", smtp().answer("QUIT", bye), ""),
    ]
}

#[tokio::test]
async fn check_014_421_anywhere_leaves_the_rest_to_the_next_hop() {
    for (point, rules, rest) in closing() {
        let server = rules.listen_tcp().await.unwrap();
        let next = ScriptedServer::smtp().listen_tcp().await.unwrap();
        let words = outcomes(&[&server, &next], "a no b").await;
        assert_eq!(taken(&next).concat(), rest, "{point}");
        let refused = if rest.contains("no") { "delivered 2.0.0" } else { "failed refused rcpt-to 5.1.1" };
        assert_eq!(words, ["delivered 2.0.0", refused, "delivered 2.0.0"], "{point}");
    }
}

#[tokio::test]
async fn check_014_421_without_another_hop_defers_what_is_not_refused() {
    for (point, rules, rest) in closing() {
        let server = rules.listen_tcp().await.unwrap();
        let words = outcomes(&[&server], "a no b").await;
        let deferred = words.iter().filter(|word| word.starts_with("deferred refused ")).count();
        assert_eq!(deferred, rest.split_whitespace().count(), "{point}: {words:?}");
        assert_eq!(words[1].starts_with("failed"), !rest.contains("no"), "{point}: {words:?}");
    }
}

#[tokio::test]
async fn check_014_421_to_rset_ends_the_session() {
    let rules = ScriptedServer::smtp()
        .recipient("a@x.example", "550 no")
        .answer("RSET", "421 4.3.2 closing")
        .listen_tcp()
        .await;
    let server = rules.unwrap();
    let mut session = session(&server).await;
    let (first, second) = (envelope("a"), envelope("b"));
    let message = message();
    in_time(session.send(&first, &message)).await;
    let outcomes = in_time(session.send(&second, &message)).await;
    assert_eq!(words(&outcomes), ["deferred disconnected mail-from 4.4.2"]);
    assert!(!session.is_usable());
    assert!(said(&server, 0).ends_with("|RSET"), "{}", said(&server, 0));
}

const TAKES_IT: &str = "
    S: 220 mx.example
    C: EHLO *
    S: 250 mx.example
    C: MAIL *
    S: 250 ok
    C: RCPT *
    S: 250 ok
    C: DATA
    S: 354 go
    C: <content>
    S: 250 2.0.0 ok
";

#[tokio::test]
async fn check_015_what_comes_between_two_messages_belongs_to_neither() {
    let closes = format!("{TAKES_IT}\nS: <raw '421 4.4.2 idle\\r\\n'>\nS: <close>");
    let stays = format!("{TAKES_IT}\nC: QUIT\nS: 221 bye");
    let server = script(&[&closes, &stays]).await;
    for _ in 0..2 {
        assert_eq!(outcomes(&[&server], "a").await, ["delivered 2.0.0"]);
    }
    assert_eq!(server.messages().len(), 2);
}

#[tokio::test]
async fn check_016_a_lost_connection_is_as_good_as_451_for_what_was_asked() {
    let refused = "failed refused rcpt-to 5.1.1";
    let lost = "deferred disconnected";
    let table = [
        ("S: <reset>", "mail-from", false),
        ("S: <close>", "mail-from", false),
        ("S: <raw '25'>\nS: <close>", "mail-from", false),
        ("S: 250 ok\nS: <reset>", "rcpt-to", false),
        ("S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: <reset>", "rcpt-to", true),
        ("S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: <close>", "rcpt-to", true),
        ("S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: <raw '250-'>\nS: <close>", "rcpt-to", true),
        ("S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: 250 ok\nS: <close>", "data", true),
    ];
    for (end, stage, known) in table {
        let others = format!("{lost} {stage} 4.4.2");
        let second = if known { refused } else { &others };
        assert_eq!(three(end).await, [&others, second, &others], "{end}");
    }
}

#[tokio::test]
async fn attack_a05_the_banner_of_another_protocol_is_shown() {
    let server = script(&["S: SSH-2.0-Open\x1bSSH\nC: <close>"]).await;
    let report = deliver(&[&server], "a").await;
    let outcome = &report.recipients()[0].outcome;
    assert_eq!(word(outcome), "deferred protocol greeting 4.5.0");
    let detail = outcome.failure().unwrap().detail();
    assert!(detail.ends_with("a line that is not a reply: \"SSH-2.0-Open\\u{1b}SSH\""), "{detail}");
}

#[tokio::test]
async fn check_016_a_refusal_that_is_cut_off_is_shown() {
    for begun in ["S: <raw '554-5.7.1 blocked by a list\\r\\n'>", "S: <raw '554 5.7.1 blocked by a list'>"] {
        let server = script(&[&format!("{begun}\nS: <close>")]).await;
        let report = deliver(&[&server], "a").await;
        let outcome = &report.recipients()[0].outcome;
        assert_eq!(word(outcome), "deferred disconnected greeting 4.4.2");
        let detail = outcome.failure().unwrap().detail();
        assert!(detail.contains("5.7.1 blocked by a list"), "{detail}");
    }
}

#[tokio::test]
async fn check_016_a_reset_while_the_content_is_sent_is_no_delivery() {
    let replies =
        "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: 250 ok\nS: 354 go\nC: RCPT *\nC: RCPT *\nC: RCPT *";
    let words = three(&format!("{replies}\nC: DATA\nC: <octets 4>\nS: <reset>")).await;
    assert!(words[0].starts_with("deferred disconnected "), "{words:?}");
    assert_eq!(words[1], "failed refused rcpt-to 5.1.1");
    assert_eq!(words[2], words[0]);
}

#[tokio::test]
async fn check_017_a_refused_sender_says_nothing_about_the_next_message() {
    let refuses = format!("{OPENING}S: 550 5.7.1 not you\nS: 503 no\nS: 503 no\nC: <rest>");
    let server = script(&[&refuses, &format!("{TAKES_IT}\nC: QUIT\nS: 221 bye")]).await;
    let deliverer = crate::support::builder(&server.url()).build().unwrap();
    let (envelope, message) = (envelope("a"), message());
    let mut words = Vec::new();
    for _ in 0..2 {
        words.extend(crate::support::shown(&in_time(deliverer.deliver(&envelope, &message)).await));
    }
    assert_eq!(words, ["failed refused mail-from 5.7.1", "delivered 2.0.0"]);
}

#[tokio::test]
async fn check_005_other_codes_of_success_change_no_recipient() {
    for reply in ["251 will forward to <x@evil.example>", "252 cannot say", "299 well"] {
        let server = ScriptedServer::smtp().answer("RCPT", reply).listen_tcp().await.unwrap();
        assert_eq!(outcomes(&[&server], "a").await, ["delivered 2.0.0"], "{reply}");
        assert_eq!(taken(&server), ["a"]);
    }
    let server =
        ScriptedServer::smtp().answer("RCPT", "551 try <y@evil.example>").listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server], "a").await, ["failed refused rcpt-to 5.0.0"]);
    assert_eq!(count(&server, "RCPT"), 1);
}
