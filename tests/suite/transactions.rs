//! MAIL, RCPT, DATA, verdicts; and the recipients that do not fit.

use std::ops::Range;

use nexthop::testing::ScriptedServer;
use nexthop::{Deliverer, Envelope, MemoryResolver, RouteTable};

use crate::support::{
    CLIENT, builder, count, deliver, envelope, in_time, message, outcomes, said, script, session, shown,
    taken, timeouts, words,
};

fn names(range: Range<usize>) -> String {
    range.map(|n| format!("r{n} ")).collect()
}

#[tokio::test]
async fn check_034_recipients_of_one_route_share_a_transaction() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server], "a b a").await, ["delivered 2.0.0"; 3]);
    assert_eq!((server.connections(), taken(&server)), (1, vec!["a b a".to_owned()]));
}

#[tokio::test]
async fn check_034_recipients_of_other_routes_do_not() {
    let one = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let two = ScriptedServer::lmtp().listen_tcp().await.unwrap();
    let table = RouteTable::new(one.url().parse().unwrap());
    let table = table.mailbox("b@x.example", two.url().parse().unwrap()).unwrap();
    let nobody = MemoryResolver::builder().build().unwrap();
    let deliverer = Deliverer::builder(CLIENT).router(table).resolver(nobody).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a b c"), &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"; 3]);
    assert_eq!((taken(&one), taken(&two)), (vec!["a c".to_owned()], vec!["b".to_owned()]));
}

#[tokio::test]
async fn check_035_a_recipient_keeps_its_own_reply_whatever_the_content_gets() {
    for (reply, others) in [
        ("250 2.0.0 ok", "delivered 2.0.0"),
        ("451 4.3.0 no", "deferred refused final 4.3.0"),
        ("554 5.6.0 no", "failed refused final 5.6.0"),
    ] {
        let server = ScriptedServer::smtp()
            .recipient("b@x.example", "450 4.2.1 later")
            .recipient("c@x.example", "550 5.1.1 nobody")
            .final_reply(reply)
            .listen_tcp()
            .await
            .unwrap();
        let wanted = [others, "deferred refused rcpt-to 4.2.1", "failed refused rcpt-to 5.1.1", others];
        assert_eq!(outcomes(&[&server], "a b c d").await, wanted, "{reply}");
    }
}

#[tokio::test]
async fn check_036_a_refused_parameter_is_final() {
    let server = ScriptedServer::smtp().mail("555 5.5.4 SIZE?").listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server], "a").await, ["failed refused mail-from 5.5.4"]);
    assert_eq!(count(&server, "MAIL"), 1);
    let server = ScriptedServer::smtp().mail("455 4.5.4 SIZE?").listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server], "a").await, ["deferred refused mail-from 4.5.4"]);
}

#[tokio::test]
async fn check_037_without_an_accepted_recipient_there_is_no_data() {
    let rules = ScriptedServer::smtp().without("PIPELINING").answer("RCPT", "550 5.1.1 nobody");
    let server = rules.listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server], "a b").await, ["failed refused rcpt-to 5.1.1"; 2]);
    assert_eq!(count(&server, "DATA"), 0);
}

/// A transaction in which the server has room for some recipients.
fn transaction(accepted: usize, full: usize, reply: &str) -> String {
    let said = |reply: &str| format!("C: RCPT *\nS: {reply}\n");
    let recipients = said("250 ok").repeat(accepted) + &said(reply).repeat(full);
    format!("C: MAIL *\nS: 250 ok\n{recipients}C: DATA\nS: 354 go\nC: <content>\nS: 250 2.0.0 ok\n")
}

fn dialogue(transactions: &[String]) -> String {
    let opening = "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 PIPELINING\n";
    format!("{opening}{}C: QUIT\nS: 221 bye", transactions.concat())
}

#[tokio::test]
async fn check_038_recipients_without_room_go_in_further_transactions() {
    for reply in ["452 4.5.3 too many", "552 5.5.3 too many", "452 too many", "552 too many"] {
        let transactions = [transaction(100, 50, reply), transaction(50, 0, reply)];
        let server = script(&[&dialogue(&transactions)]).await;
        let words = outcomes(&[&server], &names(0..150)).await;
        assert!(words.iter().all(|word| word == "delivered 2.0.0"), "{reply}: {words:?}");
        server.finish().await.unwrap();
    }
}

#[tokio::test]
async fn check_038_a_server_with_little_room_is_asked_for_no_more_than_it_took() {
    let transactions =
        [(2, 5), (2, 0), (2, 0), (1, 0)].map(|(ok, full)| transaction(ok, full, "452 4.5.3 full"));
    let server = script(&[&dialogue(&transactions)]).await;
    assert_eq!(outcomes(&[&server], &names(0..7)).await, ["delivered 2.0.0"; 7]);
    server.finish().await.unwrap();
    assert_eq!(taken(&server), ["r0 r1", "r2 r3", "r4 r5", "r6"]);
}

#[tokio::test]
async fn check_038_a_server_that_takes_nobody_is_asked_once() {
    for reply in ["452 4.5.3 too many", "452 later"] {
        let server = ScriptedServer::smtp().answer("RCPT", reply).listen_tcp().await.unwrap();
        let words = outcomes(&[&server], "a b").await;
        assert!(
            words.iter().all(|word| word.starts_with("deferred refused rcpt-to 4.")),
            "{reply}: {words:?}"
        );
        assert_eq!((count(&server, "MAIL"), count(&server, "RCPT")), (1, 2));
    }
}

#[tokio::test]
async fn check_038_one_recipient_that_never_fits_holds_nobody_up() {
    let rules = ScriptedServer::smtp().recipient("no@x.example", "452 4.5.3 full");
    let server = rules.listen_tcp().await.unwrap();
    let words = outcomes(&[&server], "a no b").await;
    assert_eq!(words, ["delivered 2.0.0", "deferred refused rcpt-to 4.5.3", "delivered 2.0.0"]);
    assert_eq!(count(&server, "MAIL"), 2);
}

#[tokio::test]
async fn check_038_a_full_mailbox_is_not_a_full_transaction() {
    let rules = ScriptedServer::smtp().recipient("no@x.example", "452 4.2.2 mailbox full");
    let server = rules.listen_tcp().await.unwrap();
    let words = outcomes(&[&server], "a no").await;
    assert_eq!(words, ["delivered 2.0.0", "deferred refused rcpt-to 4.2.2"]);
    assert_eq!(count(&server, "MAIL"), 1);
}

#[tokio::test]
async fn check_038_no_transaction_has_more_recipients_than_the_host_wants() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let mut limits = nexthop::deliverer::DeliveryLimits::default();
    limits.recipients = 3;
    let deliverer = builder(&server.url()).limits(limits).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope(&names(0..7)), &message())).await;
    assert!(report.is_delivered(), "{report}");
    assert_eq!(
        (server.connections(), taken(&server)),
        (1, ["r0 r1 r2", "r3 r4 r5", "r6"].map(String::from).into())
    );
}

#[tokio::test]
async fn check_014_038_recipients_without_room_move_on_when_the_server_leaves() {
    let first = dialogue(&[transaction(1, 1, "452 4.5.3 full")]).replace("C: QUIT\nS: 221 bye", "S: <close>");
    let server = script(&[&first]).await;
    let next = ScriptedServer::smtp().listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server, &next], "a b").await, ["delivered 2.0.0"; 2]);
    assert_eq!((taken(&server), taken(&next)), (vec!["a".to_owned()], vec!["b".to_owned()]));
}

#[tokio::test]
async fn check_039_552_to_a_recipient_is_read_by_its_enhanced_code() {
    for (reply, wanted) in [
        ("552 5.3.4 message too big", "failed refused rcpt-to 5.3.4"),
        ("552 5.2.2 mailbox full", "failed refused rcpt-to 5.2.2"),
        ("552 5.2.3 too big for this mailbox", "failed refused rcpt-to 5.2.3"),
        ("552 5.5.3 too many recipients", "deferred refused rcpt-to 4.5.3"),
        ("552 too many recipients", "deferred refused rcpt-to 4.5.3"),
        ("452 4.5.3 too many recipients", "deferred refused rcpt-to 4.5.3"),
    ] {
        let server = ScriptedServer::smtp().recipient("b@x.example", reply).listen_tcp().await.unwrap();
        let mut session = session(&server).await;
        let (envelope, message) = (envelope("a b"), message());
        let outcomes = in_time(session.send(&envelope, &message)).await;
        assert_eq!(words(&outcomes), ["delivered 2.0.0", wanted], "{reply}");
    }
}

#[tokio::test]
async fn check_039_552_to_the_only_recipient_does_not_mean_too_many() {
    let server = ScriptedServer::smtp().answer("RCPT", "552 no room").listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server], "a").await, ["failed refused rcpt-to 5.0.0"]);
}

/// Another recipient was accepted; that the connection went before the message did does not change what 552 means.
#[tokio::test]
async fn check_039_552_beside_an_accepted_recipient_is_no_reason_to_give_up() {
    let opening =
        "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 PIPELINING\nC: MAIL *\nC: RCPT *\nC: RCPT *\nC: DATA\n";
    for rest in ["S: <close>", "S: <reset>", "S: 354 go\nS: <close>", "S: 421 4.3.2 closing\nC: <rest>"] {
        let dialogue = format!("{opening}S: 250 ok\nS: 250 ok\nS: 552 too many recipients\n{rest}");
        let server = script(&[&dialogue]).await;
        let words = outcomes(&[&server], "a b").await;
        assert_eq!(words[1], "deferred refused rcpt-to 4.5.3", "{rest}");
    }
}

#[tokio::test]
async fn check_040_the_words_of_acceptance_are_kept() {
    let server =
        ScriptedServer::smtp().final_reply("250-2.0.0 queued\n250 2.0.0 as 4711").listen_tcp().await.unwrap();
    let report = deliver(&[&server], "a b").await;
    for recipient in report.recipients() {
        let reply = recipient.outcome.reply().unwrap();
        assert_eq!(reply.text().collect::<Vec<_>>(), ["queued", "as 4711"]);
    }
}

#[tokio::test]
async fn check_041_a_message_refused_for_good_is_offered_to_nobody_else() {
    let server = ScriptedServer::smtp().final_reply("554 5.6.0 no").listen_tcp().await.unwrap();
    let next = ScriptedServer::smtp().listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server, &next], "a").await, ["failed refused final 5.6.0"]);
    assert_eq!((count(&server, "DATA"), next.connections()), (1, 0));
}

#[tokio::test]
async fn check_041_a_message_refused_for_now_is_offered_to_the_next_hop() {
    let server = ScriptedServer::smtp().final_reply("451 4.3.0 later").listen_tcp().await.unwrap();
    let next = ScriptedServer::smtp().listen_tcp().await.unwrap();
    assert_eq!(outcomes(&[&server, &next], "a").await, ["delivered 2.0.0"]);
    assert_eq!((count(&server, "DATA"), taken(&next).len()), (1, 1));
}

#[tokio::test]
async fn check_042_attack_a25_silence_after_the_content_leads_to_no_other_hop() {
    let opening = "S: 220 x\nC: EHLO *\nS: 250 x\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC: <content>\n";
    for (end, kind) in [
        ("S: <close>", "disconnected"),
        ("S: <reset>", "disconnected"),
        ("S: <raw '25'>\nS: <close>", "disconnected"),
        ("S: <silence>", "timed-out"),
        ("S: 354 more\nC: <rest>", "protocol"),
        ("S: <raw 'what\\r\\n'>\nC: <rest>", "protocol"),
    ] {
        let server = script(&[&format!("{opening}{end}")]).await;
        let next = ScriptedServer::smtp().listen_tcp().await.unwrap();
        let route = crate::support::route(&[&server, &next]);
        let impatient = timeouts(|timeouts| timeouts.final_reply = crate::support::SOON);
        let deliverer = builder(&route).timeouts(impatient).build().unwrap();
        let word = shown(&in_time(deliverer.deliver(&envelope("a"), &message())).await).remove(0);
        assert!(
            word.starts_with(&format!("deferred {kind} final 4.")) && word.ends_with('?'),
            "{end}: {word}"
        );
        assert_eq!(next.connections(), 0, "{end}");
    }
}

#[tokio::test]
async fn check_049_postmaster_needs_no_domain_at_a_relay() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let envelope = Envelope::new("").unwrap().to("postmaster").unwrap();
    let deliverer = builder(&server.url()).build().unwrap();
    assert!(in_time(deliverer.deliver(&envelope, &message())).await.is_delivered());
    assert!(said(&server, 0).to_ascii_lowercase().contains("|rcpt to:<postmaster>|"), "{}", said(&server, 0));
}

#[tokio::test]
async fn check_117_thousands_of_recipients_and_long_replies_lock_nobody() {
    let long = format!("250 2.1.5 {}", "x".repeat(400));
    let server = ScriptedServer::smtp().answer("RCPT", &long).listen_tcp().await.unwrap();
    let mut session = session(&server).await;
    let (envelope, message) = (envelope(&names(0..5000)), message());
    let outcomes = in_time(session.send(&envelope, &message)).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_delivered()).count(), 5000);
}

#[tokio::test]
async fn check_118_what_was_answered_before_the_end_counts() {
    let opening = "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 PIPELINING\nC: MAIL *\n";
    for end in ["S: <close>", "S: 421 4.3.2 closing\nC: <rest>"] {
        let dialogue = format!("{opening}S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: 250 ok\n{end}");
        let server = script(&[&dialogue]).await;
        let words = outcomes(&[&server], &names(0..10)).await;
        assert_eq!(words[1], "failed refused rcpt-to 5.1.1", "{end}");
        assert_eq!(words.iter().filter(|word| word.starts_with("deferred ")).count(), 9, "{end}: {words:?}");
    }
}

#[tokio::test]
async fn what_ends_a_session_behind_an_answer_is_said_of_what_would_have_come_next() {
    for (offers, rest, outcome) in [
        (
            "DSN",
            "C: MAIL *\nS: <raw \"250 ok\\r\\n421 4.3.2 bye\\r\\n\">\n",
            "deferred refused rcpt-to 4.3.2",
        ),
        (
            "DSN",
            "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: <raw \"250 ok\\r\\n421 4.3.2 bye\\r\\n\">\n",
            "deferred refused data 4.3.2",
        ),
        ("DSN", "C: MAIL *\nS: <raw \"250 ok\\r\\n250 ok\\r\\n\">\n", "deferred protocol rcpt-to 4.5.0"),
        (
            "PIPELINING",
            "C: MAIL *\nC: RCPT *\nC: DATA\nS: <raw \"250 ok\\r\\n250 ok\\r\\n421 4.3.2 bye\\r\\n\">\n",
            "deferred refused data 4.3.2",
        ),
    ] {
        let opening = format!("S: 220 mx.example\nC: EHLO *\nS: 250-mx.example\nS: 250 {offers}\n");
        let server = script(&[&[opening.as_str(), rest].concat()]).await;
        let deliverer = builder(&server.url()).build().unwrap();
        let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
        assert_eq!(shown(&report), [outcome]);
        in_time(server.finish()).await.unwrap();
    }
}

#[tokio::test]
async fn check_064_misplaced_dots_are_sent_quoted_and_equal_their_quoted_form() {
    let server = ScriptedServer::smtp().without("SIZE").listen_tcp().await.unwrap();
    let table = RouteTable::new("refuse:other".parse().unwrap());
    let table = table.with("try..this@a_b.example".parse().unwrap(), server.url().parse().unwrap());
    let deliverer = builder("mx").router(table).build().unwrap();
    let envelope = Envelope::new(".s.@_d.example").unwrap();
    let envelope = ["try..this", r#""try..this""#]
        .into_iter()
        .fold(envelope, |envelope, local_part| envelope.to(&format!("{local_part}@a_b.example")).unwrap());
    let report = in_time(deliverer.deliver(&envelope, &message())).await;
    assert_eq!(shown(&report), ["delivered 2.0.0"; 2]);
    let rcpt = r#"RCPT TO:<"try..this"@a_b.example>"#;
    let sent = format!(r#"MAIL FROM:<".s."@_d.example>|{rcpt}|{rcpt}"#);
    assert!(said(&server, 0).contains(&sent), "{}", said(&server, 0));
}
