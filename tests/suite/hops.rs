//! Several next hops in turn, and what one that fails leaves to the next.

use nexthop::Message;
use nexthop::testing::ScriptedServer;

use crate::support::{
    SOON, attempts, builder, deliver, envelope, in_time, message, outcomes, route, script, shown, taken,
    timeouts,
};

/// A first hop that does not deliver: its URL, the word of a recipient if there is no other hop, and whether a
/// connection came about. The server, where there is one, stays until the end of the test.
struct Bad {
    what: &'static str,
    url: String,
    word: &'static str,
    reached: bool,
    _server: Option<ScriptedServer>,
}

async fn bad(what: &'static str, dialogue: &str, word: &'static str) -> Bad {
    let server = script(&[dialogue]).await;
    Bad { what, url: server.url(), word, reached: true, _server: Some(server) }
}

fn nobody(what: &'static str, url: &str, word: &'static str) -> Bad {
    Bad { what, url: url.into(), word, reached: false, _server: None }
}

const UNTIL_DATA: &str =
    "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 PIPELINING\nC: MAIL *\nC: RCPT *\nC: RCPT *\nC: DATA\n";

async fn bad_hops() -> Vec<Bad> {
    let after_data = |said: &str| format!("{UNTIL_DATA}{said}\nC: <rest>");
    vec![
        nobody("no socket file", "lmtp+unix:///nonexistent/lmtp", "deferred connecting - 4.4.1"),
        nobody("nobody listens", "smtp://127.0.0.1:1", "deferred connecting - 4.4.1"),
        nobody("an address that cannot be dialled", "smtp://0.0.0.0:2525", "failed forbidden - 5.4.4"),
        nobody("a name that is unknown", "smtp://gone.example", "deferred resolving - 4.4.4"),
        bad("garbage", "S: what do you want?\nC: <rest>", "deferred protocol greeting 4.5.0").await,
        bad("closes", "S: <close>", "deferred disconnected greeting 4.4.2").await,
        bad("resets", "S: <reset>", "deferred disconnected greeting 4.4.2").await,
        bad("stalls", "S: <silence>", "deferred timed-out greeting 4.4.2").await,
        bad("floods", "S: <repeat 100000 '220-x\\r\\n'>\nC: <rest>", "deferred protocol greeting 4.5.0")
            .await,
        bad("too early", "S: <raw '220 x\\r\\n250 x\\r\\n'>\nC: <rest>", "deferred protocol hello 4.5.0")
            .await,
        bad("busy", "S: 421 busy", "deferred refused greeting 4.3.2").await,
        bad("refuses us", "S: 554 5.7.1 no\nC: QUIT\nS: 221 bye", "deferred refused greeting 4.3.2").await,
        bad(
            "refuses EHLO",
            "S: 220 x\nC: EHLO *\nS: 554 no\nC: QUIT\nS: 221 bye",
            "deferred refused hello 4.3.2",
        )
        .await,
        bad("closes after EHLO", "S: 220 x\nC: EHLO *\nS: <close>", "deferred disconnected hello 4.4.2")
            .await,
        bad("stalls after EHLO", "S: 220 x\nC: EHLO *\nS: <silence>", "deferred timed-out hello 4.4.2").await,
        bad(
            "MAIL later",
            &after_data("S: 450 4.7.1 grey\nS: 503 no\nS: 503 no\nS: 503 no"),
            "deferred refused mail-from 4.7.1",
        )
        .await,
        bad(
            "RCPT later",
            &after_data("S: 250 ok\nS: 450 4.7.1 grey\nS: 450 4.7.1 grey\nS: 503 no"),
            "deferred refused rcpt-to 4.7.1",
        )
        .await,
        bad(
            "DATA later",
            &after_data("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 451 4.3.0 no"),
            "deferred refused data 4.3.0",
        )
        .await,
        bad(
            "closes at DATA",
            &format!("{UNTIL_DATA}S: 250 a\nS: 250 b\nS: 250 c\nS: <close>"),
            "deferred disconnected data 4.4.2",
        )
        .await,
    ]
}

fn impatient(route: &str) -> nexthop::Deliverer {
    let limits = timeouts(|timeouts| (timeouts.greeting, timeouts.hello) = (SOON, SOON));
    builder(route).timeouts(limits).build().unwrap()
}

#[tokio::test]
async fn check_288_every_way_to_fail_has_its_kind_stage_and_status() {
    for bad in bad_hops().await {
        let report = in_time(impatient(&bad.url).deliver(&envelope("a a"), &message())).await;
        assert_eq!(shown(&report), [bad.word; 2], "{}", bad.what);
        let first = &report.recipients()[0];
        assert_eq!(first.hop.is_some(), bad.reached, "{}", bad.what);
        assert_eq!(
            attempts(first).len(),
            usize::from(!bad.reached),
            "{}: the deciding hop stands once",
            bad.what
        );
    }
}

#[tokio::test]
async fn check_085_101_every_failure_for_now_leads_to_the_next_hop() {
    for bad in bad_hops().await {
        let good = ScriptedServer::smtp().listen_tcp().await.unwrap();
        let route = format!("{},{}", bad.url, good.url());
        let report = in_time(impatient(&route).deliver(&envelope("a b"), &message())).await;
        assert_eq!(shown(&report), ["delivered 2.0.0"; 2], "{}", bad.what);
        assert_eq!(taken(&good), ["a b"], "{}", bad.what);
        let kind = bad.word.split(' ').nth(1).unwrap();
        for recipient in report.recipients() {
            assert_eq!(attempts(recipient), [kind], "{}", bad.what);
            let hop = recipient.hop.as_ref().unwrap();
            assert_eq!(hop.endpoint().to_string(), good.address().to_string(), "{}", bad.what);
        }
    }
}

#[tokio::test]
async fn check_085_the_next_hop_sees_only_whom_nobody_answered_for() {
    let first = ScriptedServer::smtp()
        .recipient("b@x.example", "450 4.2.1 later")
        .recipient("c@x.example", "550 5.1.1 nobody")
        .listen_tcp()
        .await
        .unwrap();
    let second =
        ScriptedServer::smtp().recipient("d@x.example", "550 5.1.1 nobody").listen_tcp().await.unwrap();
    let report = deliver(&[&first, &second], "a b c").await;
    assert_eq!(shown(&report), ["delivered 2.0.0", "delivered 2.0.0", "failed refused rcpt-to 5.1.1"]);
    assert_eq!((taken(&first), taken(&second)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    let ports = report.recipients().iter().map(|r| r.hop.as_ref().unwrap().endpoint().to_string());
    let (one, two) = (first.address().to_string(), second.address().to_string());
    assert_eq!(ports.collect::<Vec<_>>(), [one.clone(), two, one]);
}

#[tokio::test]
async fn check_085_when_everybody_is_settled_no_other_hop_is_dialled() {
    let first =
        ScriptedServer::smtp().recipient("b@x.example", "550 5.1.1 nobody").listen_tcp().await.unwrap();
    let second = ScriptedServer::smtp().listen_tcp().await.unwrap();
    deliver(&[&first, &second], "a b").await;
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn check_085_a_sender_refused_for_good_goes_no_further() {
    for (rules, word) in [
        (ScriptedServer::smtp().mail("550 5.7.1 no"), "failed refused mail-from 5.7.1"),
        (ScriptedServer::smtp().answer("RCPT", "550 5.1.1 no"), "failed refused rcpt-to 5.1.1"),
        (ScriptedServer::smtp().answer("DATA", "554 5.7.0 no"), "failed refused data 5.7.0"),
        (ScriptedServer::smtp().final_reply("554 5.6.0 no"), "failed refused final 5.6.0"),
    ] {
        let (first, second) =
            (rules.listen_tcp().await.unwrap(), ScriptedServer::smtp().listen_tcp().await.unwrap());
        assert_eq!(outcomes(&[&first, &second], "a").await, [word]);
        assert_eq!(second.connections(), 0, "{word}");
    }
}

/// Servers that fail in these ways, and what is told of them together.
#[tokio::test]
async fn check_287_what_lasts_at_one_host_is_no_verdict_while_another_gives_hope() {
    let table = [
        ("S: 550 no\nC: QUIT", "S: <close>", "deferred refused greeting 4.3.2"),
        ("S: <close>", "S: 550 no\nC: QUIT", "deferred refused greeting 4.3.2"),
        ("S: 521 no\nC: QUIT", "S: <close>", "deferred disconnected greeting 4.4.2"),
        ("S: <close>", "S: 521 no\nC: QUIT", "deferred disconnected greeting 4.4.2"),
        ("S: 550 no\nC: QUIT", "S: <silence>", "deferred refused greeting 4.3.2"),
        ("S: <close>", "S: what", "deferred protocol greeting 4.5.0"),
    ];
    for (one, two, word) in table {
        let (one_server, two_server) = (script(&[one]).await, script(&[two]).await);
        let route = route(&[&one_server, &two_server]);
        let report = in_time(impatient(&route).deliver(&envelope("a"), &message())).await;
        assert_eq!(shown(&report), [word], "{one} then {two}");
        assert_eq!(attempts(&report.recipients()[0]).len(), 1, "{one} then {two}");
    }
}

#[tokio::test]
async fn check_287_a_forbidden_address_beside_one_that_does_not_answer_is_for_now() {
    for route in ["smtp://0.0.0.0,smtp://127.0.0.1:1", "smtp://127.0.0.1:1,smtp://0.0.0.0"] {
        let report = in_time(impatient(route).deliver(&envelope("a"), &message())).await;
        assert_eq!(shown(&report), ["deferred connecting - 4.4.1"], "{route}");
        assert_eq!(attempts(&report.recipients()[0]).len(), 2, "{route}");
    }
}

#[tokio::test]
async fn check_287_of_reasons_that_last_the_one_that_was_found_by_talking_is_told() {
    let plain = ScriptedServer::smtp().without("8BITMIME").listen_tcp().await.unwrap();
    let message = Message::from_bytes("a: b\r\n\r\n\u{fc}\r\n").unwrap();
    for route in [format!("{},smtp://0.0.0.0", plain.url()), format!("smtp://0.0.0.0,{}", plain.url())] {
        let report = in_time(impatient(&route).deliver(&envelope("a"), &message)).await;
        assert_eq!(shown(&report), ["failed unsupported - 5.6.3"], "{route}");
        assert_eq!(attempts(&report.recipients()[0]), ["forbidden"], "{route}");
    }
}

#[tokio::test]
async fn check_287_a_refusal_of_the_recipient_is_told_rather_than_a_refused_connection() {
    let grey = ScriptedServer::smtp().answer("RCPT", "450 4.7.1 grey").listen_tcp().await.unwrap();
    for route in [format!("{},smtp://127.0.0.1:1", grey.url()), format!("smtp://127.0.0.1:1,{}", grey.url())]
    {
        let report = in_time(impatient(&route).deliver(&envelope("a"), &message())).await;
        assert_eq!(shown(&report), ["deferred refused rcpt-to 4.7.1"], "{route}");
        assert!(report.recipients()[0].hop.is_some());
        assert_eq!(attempts(&report.recipients()[0]), ["connecting"]);
    }
}

#[tokio::test]
async fn check_042_two_recipients_may_part_ways_after_the_content() {
    let opening = "S: 220 x\nC: LHLO *\nS: 250-x\nS: 250 PIPELINING\nC: MAIL *\nC: RCPT *\nC: RCPT *\nC: RCPT *\nC: DATA\n";
    let replies = "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: <content>\n";
    let server = script(&[&format!("{opening}{replies}S: 250 ok\nS: 452 4.2.2 full\nS: <close>")]).await;
    let next = ScriptedServer::lmtp().listen_tcp().await.unwrap();
    let words = outcomes(&[&server, &next], "a b c").await;
    assert_eq!(words, ["delivered 2.0.0", "delivered 2.0.0", "deferred disconnected final 4.4.2?"]);
    assert_eq!(taken(&next), ["b"]);
}
