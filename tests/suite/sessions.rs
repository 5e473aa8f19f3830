//! From the greeting to QUIT.

use std::time::Instant;

use nexthop::mail::{EnvelopeId, Notify, OriginalRecipient, Recipient, Ret};
use nexthop::proto::ReplyLimits;
use nexthop::testing::{Rules, ScriptedServer};
use nexthop::transport::Session;
use nexthop::{Envelope, Message, Protocol};

use crate::sequence::referee;
use crate::support::{
    builder, count, deliver, envelope, in_time, message, outcomes, route, said, script, session, settings,
    shown, taken, timeouts, words,
};

#[tokio::test]
async fn check_019_a_greeting_that_refuses_gets_quit_and_the_next_hop_the_message() {
    for (greeting, said_to_it) in
        [("554 5.7.1 not you", "QUIT"), ("521 no mail here", "QUIT"), ("450 later", "QUIT"), ("421 busy", "")]
    {
        let server = ScriptedServer::smtp().greeting(greeting).listen_tcp().await.unwrap();
        let next = ScriptedServer::smtp().listen_tcp().await.unwrap();
        assert_eq!(outcomes(&[&server, &next], "a").await, ["delivered 2.0.0"], "{greeting}");
        assert_eq!((said(&server, 0).as_str(), taken(&next).len()), (said_to_it, 1), "{greeting}");
    }
}

#[tokio::test]
async fn check_019_a_host_that_never_takes_mail_may_close_at_once() {
    let server = script(&["S: 521 no mail here\nS: <close>"]).await;
    assert_eq!(outcomes(&[&server], "a").await, ["failed refused greeting 5.3.2"]);
}

#[tokio::test]
async fn check_014_019_who_says_421_to_us_hears_nothing_more() {
    for dialogue in ["S: 421 busy\nC: <close>", "S: 220 x\nC: EHLO *\nS: 421 busy\nC: <close>"] {
        let server = script(&[dialogue]).await;
        assert!(outcomes(&[&server], "a").await[0].ends_with(" 4.3.2"), "{dialogue}");
        server.finish().await.unwrap();
    }
}

#[tokio::test]
async fn check_019_only_521_from_every_host_is_for_good() {
    let table = [
        (["521 no", "521 no"], "failed refused greeting 5.3.2"),
        (["521 no", "554 no"], "deferred refused greeting 4.3.2"),
        (["554 no", "521 no"], "deferred refused greeting 4.3.2"),
        (["521 no", "421 no"], "deferred refused greeting 4.3.2"),
    ];
    for (greetings, wanted) in table {
        let first = ScriptedServer::smtp().greeting(greetings[0]).listen_tcp().await.unwrap();
        let second = ScriptedServer::smtp().greeting(greetings[1]).listen_tcp().await.unwrap();
        assert_eq!(outcomes(&[&first, &second], "a").await, [wanted], "{greetings:?}");
    }
}

#[tokio::test]
async fn check_019_every_5yz_greeting_is_permanent_by_a_setting() {
    let table = [
        (["554 no", "550 no"], "failed refused greeting 5.3.2"),
        (["554 no", "521 no"], "failed refused greeting 5.3.2"),
        (["220-mx\n554 no", "554 no"], "failed refused greeting 5.3.2"),
        (["554 no", "450 later"], "deferred refused greeting 4.3.2"),
        (["421 busy", "554 no"], "deferred refused greeting 4.3.2"),
        (["554 no", "220 mx.example"], "delivered 2.0.0"),
    ];
    for (greetings, wanted) in table {
        let [first, second] =
            greetings.map(|greeting| ScriptedServer::smtp().greeting(greeting).listen_tcp());
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        let deliverer = builder(&route(&[&first, &second])).greeting_5yz_is_permanent(true).build().unwrap();
        let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
        assert_eq!(shown(&report), [wanted], "{greetings:?}");
    }
}

#[tokio::test]
async fn check_019_a_5yz_greeting_is_permanent_by_a_setting_of_a_session() {
    for permanent in [false, true] {
        let server = ScriptedServer::smtp().greeting("554 no").listen_tcp().await.unwrap();
        let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let mut settings = settings();
        settings.greeting_5yz_is_permanent = permanent;
        let failure = in_time(Session::open(stream, Protocol::Smtp, settings)).await.unwrap_err();
        assert_eq!(failure.is_permanent(), permanent, "{failure}");
    }
}

#[tokio::test]
async fn check_020_025_after_helo_there_are_no_extensions() {
    let server = ScriptedServer::smtp().answer("EHLO", "502 5.5.1 what").listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server], "a b").await, ["delivered 2.0.0"; 2]);
    let commands = "EHLO client.example|HELO client.example|MAIL FROM:<s@example.net>|RCPT TO:<a@x.example>|";
    assert!(said(&server, 0).starts_with(commands), "{}", said(&server, 0));
}

#[tokio::test]
async fn check_020_a_server_that_cannot_just_now_hears_no_helo() {
    for reply in ["451 4.3.0 later", "421 4.3.2 closing", "554 5.7.1 no"] {
        let server = ScriptedServer::smtp().answer("EHLO", reply).listen_tcp().await.unwrap();
        assert!(outcomes(&[&server], "a").await[0].starts_with("deferred refused hello 4."), "{reply}");
        assert_eq!(count(&server, "HELO"), 0, "{reply}");
    }
}

#[tokio::test]
async fn check_112_a_host_may_have_every_reply_waited_for() {
    let server = script(&["
        S: 220 mx.example
        C: EHLO *
        S: 250-mx.example
        S: 250 PIPELINING
        C: MAIL *
        S: 550 5.7.1 no
        C: QUIT
        S: 221 bye
    "])
    .await;
    let deliverer = builder(&server.url()).pipelining(false).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["failed refused mail-from 5.7.1"]);
    server.finish().await.unwrap();
}

#[tokio::test]
async fn check_010_a_host_may_let_servers_say_less() {
    let server =
        ScriptedServer::smtp().greeting(&format!("220 {}", "x".repeat(100))).listen_tcp().await.unwrap();
    for (limit, word) in [(90, "deferred protocol greeting 4.5.0"), (110, "delivered 2.0.0")] {
        let mut limits = ReplyLimits::default();
        limits.line = limit;
        let deliverer = builder(&server.url()).reply_limits(limits).build().unwrap();
        assert_eq!(shown(&in_time(deliverer.deliver(&envelope("a"), &message())).await), [word]);
    }
}

#[tokio::test]
async fn check_026_033_a_dialogue_octet_for_octet() {
    let server = script(&["
        S: 220 mx.example
        C: EHLO client.example
        S: 250 mx.example
        C: MAIL FROM:<>
        S: 250 ok
        C: RCPT TO:<John.O'N+Tag@x.example>
        S: 250 ok
        C: RCPT TO:<\"a b\"@x.example>
        S: 250 ok
        C: DATA
        S: 354 go
        C: <content>
        S: 250 ok
        C: QUIT
        S: 221 bye
    "])
    .await;
    let envelope = Envelope::new("").unwrap().to("John.O'N+Tag@x.example").unwrap().to("\"a b\"@x.example");
    let deliverer = builder(&server.url()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope.unwrap(), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"; 2]);
    server.finish().await.unwrap();
}

#[tokio::test]
async fn check_027_the_longest_commands_are_sent_whole() {
    let label = "d".repeat(62);
    let mailbox = format!("{}@{label}.{label}.{label}", "l".repeat(64));
    assert_eq!(mailbox.len(), 253);
    let id = "i".repeat(100);
    let original = format!("rfc822;{}", "o".repeat(493));
    let recipient = Recipient::parse(&mailbox)
        .unwrap()
        .with_notify(Notify::parse("success,failure,delay").unwrap())
        .with_original_recipient(OriginalRecipient::parse(&original).unwrap());
    let envelope = Envelope::new(&mailbox)
        .unwrap()
        .with_ret(Ret::parse("full").unwrap())
        .with_envelope_id(EnvelopeId::parse(&id).unwrap())
        .recipient(recipient);
    let message = Message::from_bytes("Subject: ü\r\n\r\nü\r\n").unwrap();
    let server = ScriptedServer::smtp().keyword("DSN").listen_tcp().await.unwrap();
    let deliverer = builder(&server.url()).build().unwrap();
    assert!(in_time(deliverer.deliver(&envelope, &message)).await.is_delivered());
    let mail = format!("MAIL FROM:<{mailbox}> SIZE=19 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID={id}");
    let rcpt = format!("RCPT TO:<{mailbox}> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT={original}");
    assert!(said(&server, 0).contains(&format!("|{mail}|{rcpt}|DATA|")), "{}", said(&server, 0));
    // 512, and what the extensions add: SIZE 26, 8BITMIME 17, SMTPUTF8 10, and their own bounds for DSN
    assert!(mail.len() + 2 <= 512 + 26 + 17 + 10 + " RET=FULL ENVID=".len() + 100);
    assert!(rcpt.len() + 2 <= 512 + " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=".len() + 500);
}

/// Rules of which every answer is picked by chance.
fn by_chance(dice: &mut fastrand::Rng) -> Rules {
    let mut pick = |replies: &[&'static str]| replies[dice.usize(..replies.len())];
    let rules = ScriptedServer::smtp()
        .without("PIPELINING")
        .mail(pick(&["250 ok", "250 ok", "250 ok", "451 later", "550 no"]))
        .answer("DATA", pick(&["354 go", "354 go", "354 go", "451 later", "554 no"]))
        .answer("RSET", pick(&["250 ok", "250 ok", "500 what"]))
        .final_reply(pick(&["250 ok", "250 ok", "451 later", "554 no"]));
    ["a", "b", "c"].iter().fold(rules, |rules, name| {
        rules.recipient(&format!("{name}@x.example"), pick(&["250 ok", "250 ok", "452 full", "550 no"]))
    })
}

#[tokio::test]
async fn check_028_one_transaction_at_a_time_whatever_fails() {
    for seed in 0..60 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let server = by_chance(&mut dice).listen_tcp().await.unwrap();
        let mut session = session(&server).await;
        for to in ["a b", "c", "a", "b c a"] {
            let (envelope, message) = (envelope(to), message());
            in_time(session.send(&envelope, &message)).await;
        }
        in_time(session.quit()).await;
        assert_eq!(referee(&server.transcript()[0]), Ok(()), "seed {seed}");
    }
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
    C: QUIT
";

#[tokio::test]
async fn check_030_quit_comes_last_and_a_silent_server_costs_little() {
    let server = script(&[&format!("{TAKES_IT}\nS: <silence>")]).await;
    let deliverer = builder(&server.url()).timeouts(timeouts(|_| ())).build().unwrap();
    let began = Instant::now();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"]);
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    server.finish().await.unwrap();
}

#[tokio::test]
async fn check_030_the_server_hears_quit_before_the_connection_ends() {
    let cases = [
        ScriptedServer::smtp(),
        ScriptedServer::smtp().mail("550 no"),
        ScriptedServer::smtp().answer("RCPT", "550 no"),
        ScriptedServer::smtp().final_reply("554 no"),
    ];
    for rules in cases {
        let server = rules.listen_tcp().await.unwrap();
        deliver(&[&server], "a").await;
        assert!(said(&server, 0).ends_with("|QUIT"), "{}", said(&server, 0));
    }
}

#[tokio::test]
async fn check_031_nothing_after_the_verdict_changes_it() {
    for after in
        ["S: 554 never", "S: 421 closing", "S: <reset>", "S: <close>", "S: <raw '??\\r\\n'>", "S: 354 go"]
    {
        let server = script(&[&format!("{TAKES_IT}\n{after}")]).await;
        assert_eq!(outcomes(&[&server], "a").await, ["delivered 2.0.0"], "{after}");
    }
}

#[tokio::test]
async fn check_029_after_a_transaction_that_came_to_nothing_rset_comes_first() {
    let server = ScriptedServer::smtp().recipient("a@x.example", "550 no").listen_tcp().await.unwrap();
    let mut session = session(&server).await;
    let (first, second, message) = (envelope("a"), envelope("b"), message());
    in_time(session.send(&first, &message)).await;
    let outcomes = in_time(session.send(&second, &message)).await;
    assert_eq!(words(&outcomes), ["delivered 2.0.0"]);
    assert_eq!(count(&server, "RSET"), 1);
    in_time(session.send(&second, &message)).await;
    assert_eq!(count(&server, "RSET"), 1, "a complete transaction needs none");
}

#[tokio::test]
async fn check_028_029_a_refused_content_ends_its_transaction() {
    for rules in [ScriptedServer::smtp(), ScriptedServer::lmtp()] {
        let server = rules.final_reply("554 5.6.0 no").listen_tcp().await.unwrap();
        let mut session = session(&server).await;
        let (envelope, message) = (envelope("a b"), message());
        for _ in 0..2 {
            let outcomes = in_time(session.send(&envelope, &message)).await;
            assert_eq!(words(&outcomes), ["failed refused final 5.6.0"; 2]);
        }
        assert_eq!((count(&server, "MAIL"), count(&server, "RSET")), (2, 0));
    }
}

/// What a relay hears from a client that logs in and then sends a message.
async fn heard_with_a_login() -> Vec<String> {
    let script = "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 AUTH PLAIN\nC: AUTH PLAIN *\nS: 235 2.7.0 in\nC: MAIL *\n\
                  S: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC: <content>\nS: 250 taken\nC: QUIT\nS: 221 bye";
    let server = nexthop::testing::ScriptedServer::script(script).listen_tcp().await.unwrap();
    let mut login = nexthop::LoginSettings::default();
    login.cleartext_on_loopback = true;
    let hop = format!("smtp://ann:s3cret@{}", server.address());
    let deliverer = nexthop::Deliverer::builder("mail.example.net")
        .resolver(nexthop::MemoryResolver::default())
        .router(nexthop::RouteTable::new(hop.parse().unwrap()))
        .login(login)
        .build()
        .unwrap();
    let envelope = nexthop::Envelope::new("s@example.net").unwrap().to("a@x.example").unwrap();
    let message = nexthop::Message::from_bytes("a: b\r\n").unwrap();
    let report = deliverer.deliver(&envelope, &message).await;
    assert!(report.is_delivered(), "{report}");
    server.finish().await.unwrap();
    server.transcript().concat().into_iter().filter(|line| line.starts_with("C: ")).collect()
}

#[tokio::test]
async fn check_185_without_a_security_layer_no_second_ehlo_follows_the_login() {
    let heard = heard_with_a_login().await;
    assert_eq!(heard.iter().filter(|line| line.starts_with("C: EHLO")).count(), 1, "{heard:?}");
}

#[tokio::test]
async fn check_188_after_a_login_nothing_is_claimed_of_who_submitted_the_message() {
    let heard = heard_with_a_login().await;
    assert!(heard.contains(&"C: MAIL FROM:<s@example.net> AUTH=<>".into()), "{heard:?}");
}
