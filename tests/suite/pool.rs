//! Connections that are kept and shared: how often a message costs a round trip, and what becomes of mail where one breaks.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use nexthop::testing::ScriptedServer;
use nexthop::{Deliverer, Envelope, MemoryResolver, Message, PoolSettings, Report};

use crate::routes::{by_mx, neighbours};
use crate::sink::{CHUNKING, Manner, PIPELINING, Sink};
use crate::support::{SINGLE_FLIGHT, builder, envelope, in_time, message, script, shown, single_flight};
use crate::traps::Dialled;

/// One connection, kept for long.
fn one() -> PoolSettings {
    let mut pool = PoolSettings::default();
    (pool.connections, pool.idle) = (1, Duration::from_secs(60));
    pool
}

fn deliverer(sink: &Sink, pool: PoolSettings) -> Deliverer {
    builder(&sink.url()).pool(pool).build().unwrap()
}

/// Messages one after another.
async fn in_turn(deliverer: &Deliverer, envelope: &Envelope, count: usize) {
    for _ in 0..count {
        assert!(in_time(deliverer.deliver(envelope, &message())).await.is_delivered());
    }
}

/// Messages all at once.
async fn at_once(deliverer: &Deliverer, count: usize) -> Vec<Report> {
    let messages: Vec<_> =
        (0..count).map(|number| Message::from_text(format!("Subject: {number}\n\nx\n")).unwrap()).collect();
    let envelope = envelope("a");
    in_time(join_all(messages.iter().map(|message| deliverer.deliver(&envelope, message)))).await
}

#[tokio::test]
async fn a_message_on_a_kept_session_costs_two_round_trips_however_many_recipients() {
    let many: Vec<_> = (0..100).map(|n| format!("r{n}")).collect();
    for to in ["a", &many.join(" ")] {
        let sink = Sink::listen(PIPELINING).await;
        in_turn(&deliverer(&sink, one()), &envelope(to), 10).await;
        assert_eq!((sink.turns(), sink.connections()), (1 + 2 * 10, 1));
    }
}

#[tokio::test]
async fn with_chunks_a_message_costs_two_round_trips_and_one_in_a_single_flight() {
    for (limit, turns) in [(0, 2), (SINGLE_FLIGHT, 1)] {
        let sink = Sink::listen(CHUNKING).await;
        let deliverer = builder(&sink.url()).pool(one()).single_flight_limit(limit).build().unwrap();
        in_turn(&deliverer, &envelope("a b c"), 10).await;
        assert_eq!((sink.turns(), sink.connections()), (1 + turns * 10, 1));
    }
}

#[tokio::test]
async fn with_the_next_message_waiting_one_costs_one_round_trip_without_chunks() {
    let sink = Sink::listen(PIPELINING).await;
    let deliverer = deliverer(&sink, one());
    // the first shows what the server offers
    in_turn(&deliverer, &envelope("a"), 1).await;
    let before = sink.turns();
    assert!(at_once(&deliverer, 10).await.iter().all(Report::is_delivered));
    // the first of them goes ahead alone: its commands, and then its content with the commands of the next
    assert_eq!((sink.turns() - before, sink.connections()), (10 + 1, 1));
    let subjects: Vec<_> = sink.messages()[1..].iter().map(|message| message[9..10].to_owned()).collect();
    assert_eq!(subjects.join(""), "0123456789");
}

#[tokio::test]
async fn in_a_window_of_four_a_message_costs_a_quarter_of_a_round_trip() {
    let sink = Sink::listen(CHUNKING).await;
    let mut pool = one();
    pool.window = 4;
    let deliverer = single_flight(&sink.url()).pool(pool).build().unwrap();
    in_turn(&deliverer, &envelope("a"), 1).await;
    let before = sink.turns();
    assert!(at_once(&deliverer, 16).await.iter().all(Report::is_delivered));
    assert_eq!(sink.messages().len(), 17);
    assert!(sink.turns() - before <= 5, "{} turns for 16 messages", sink.turns() - before);
}

#[tokio::test]
async fn without_pipelining_every_command_costs_one_and_reuse_adds_none() {
    let sink = Sink::listen(Manner::default()).await;
    in_turn(&deliverer(&sink, one()), &envelope("a b c"), 5).await;
    assert_eq!((sink.turns(), sink.connections()), (1 + 5 * (4 + 2), 1));
}

#[tokio::test]
async fn one_message_on_a_fresh_session_costs_three_turns_and_two_in_a_single_flight() {
    for (manner, limit, turns) in [(PIPELINING, 0, 3), (CHUNKING, 0, 3), (CHUNKING, SINGLE_FLIGHT, 2)] {
        let sink = Sink::listen(manner).await;
        let deliverer = builder(&sink.url()).single_flight_limit(limit).build().unwrap();
        in_turn(&deliverer, &envelope("a"), 1).await;
        assert_eq!(sink.turns(), turns);
    }
}

#[tokio::test]
async fn check_015_a_kept_connection_that_was_closed_costs_nobody_a_message() {
    for manner in [
        Manner { closes_after: Some(1), ..PIPELINING },
        Manner { closes_after: Some(2), ..PIPELINING },
        Manner { closes_after: Some(1), ..CHUNKING },
    ] {
        let sink = Sink::listen(manner).await;
        in_turn(&deliverer(&sink, one()), &envelope("a"), 6).await;
        assert_eq!(sink.messages().len(), 6);
    }
}

#[tokio::test]
async fn no_more_connections_than_the_host_wants_and_everybody_has_a_turn() {
    let sink = Sink::listen(PIPELINING).await;
    let mut pool = one();
    pool.connections = 3;
    let deliverer = deliverer(&sink, pool);
    assert!(at_once(&deliverer, 50).await.iter().all(Report::is_delivered));
    assert_eq!((sink.messages().len(), sink.most_open()), (50, 3));
    assert_eq!((deliverer.connections().opened, deliverer.connections().idle), (3, 3));
    in_time(deliverer.close_idle()).await;
    assert_eq!(deliverer.connections().idle, 0);
}

#[tokio::test]
async fn a_connection_takes_no_more_messages_than_the_host_wants() {
    let sink = Sink::listen(PIPELINING).await;
    let mut pool = one();
    pool.messages = 2;
    in_turn(&deliverer(&sink, pool), &envelope("a"), 5).await;
    assert_eq!(sink.connections(), 3);
}

#[tokio::test]
async fn law_3_what_was_sent_on_a_connection_that_broke_may_have_arrived_and_the_rest_goes_elsewhere() {
    let sink = Sink::listen(Manner { mute_after: Some(1), ..CHUNKING }).await;
    let mut pool = one();
    pool.window = 4;
    let deliverer = single_flight(&sink.url()).pool(pool).build().unwrap();
    in_turn(&deliverer, &envelope("a"), 1).await;
    let reports = at_once(&deliverer, 4).await;
    let words: Vec<_> = reports.iter().flat_map(shown).collect();
    let unknown = words.iter().filter(|word| word.ends_with('?')).count();
    let delivered = words.iter().filter(|word| word.starts_with("delivered")).count();
    assert_eq!((unknown + delivered, words.len()), (4, 4), "{words:?}");
    let taken = sink.messages().len() - 1;
    assert!(unknown >= 1 && (delivered..=4).contains(&taken), "{taken} were taken: {words:?}");
}

/// A server that takes so many messages behind the first without a word and closes, and one that could be tried in its place.
async fn silent_and_other(silent_for: usize) -> (Sink, Sink, String) {
    let sink = Sink::listen(Manner { silent_for: Some(silent_for), ..CHUNKING }).await;
    let other = Sink::listen(CHUNKING).await;
    let routes = format!("{},{}", sink.url(), other.url());
    (sink, other, routes)
}

#[tokio::test]
async fn law_3_all_that_went_behind_a_message_on_a_connection_that_broke_may_have_arrived() {
    let (sink, other, routes) = silent_and_other(3).await;
    let mut pool = one();
    pool.window = 4;
    let deliverer = single_flight(&routes).pool(pool).build().unwrap();
    in_turn(&deliverer, &envelope("a"), 1).await;
    // the server closes when it has all three, so all three were written
    let reports = at_once(&deliverer, 3).await;
    let words: Vec<_> = reports.iter().flat_map(shown).collect();
    assert!(words.len() == 3 && words.iter().all(|word| word.ends_with('?')), "{words:?}");
    assert_eq!((sink.messages().len(), other.messages().len()), (4, 0));
}

#[tokio::test]
async fn law_3_who_leaves_the_line_after_another_sent_its_message_may_have_delivered_it() {
    // the server says nothing and closes never
    let (sink, other, routes) = silent_and_other(usize::MAX).await;
    let mut pool = one();
    pool.window = 4;
    let mut limits = nexthop::DeliveryLimits::default();
    limits.attempt = Some(Duration::from_secs(1));
    let deliverer = single_flight(&routes).pool(pool).limits(limits).build().unwrap();
    in_turn(&deliverer, &envelope("a"), 1).await;
    let (to, text) = (envelope("a"), message());
    let mut first = Box::pin(deliverer.deliver(&to, &text));
    let mut second = Box::pin(deliverer.deliver(&to, &text));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    // sends what the second offers, and is not looked after while the time of the second passes
    assert!(futures_util::poll!(&mut first).is_pending());
    let report = in_time(second).await;
    assert!(shown(&report).iter().all(|word| word.ends_with('?')), "{report:?}");
    drop(first);
    assert_eq!(other.messages().len(), 0);
    assert!(!sink.messages().is_empty());
}

#[tokio::test]
async fn law_3_what_was_not_sent_whole_behind_a_message_goes_elsewhere_when_the_connection_breaks() {
    // without chunks the commands of the second go behind the content of the first, and its content does not
    let sink = Sink::listen(Manner { mute_after: Some(1), ..PIPELINING }).await;
    let other = Sink::listen(PIPELINING).await;
    let deliverer = builder(&format!("{},{}", sink.url(), other.url())).pool(one()).build().unwrap();
    in_turn(&deliverer, &envelope("a"), 1).await;
    let reports = at_once(&deliverer, 2).await;
    let words: Vec<_> = reports.iter().flat_map(shown).collect();
    assert!(words[0].ends_with('?') && words[1].starts_with("delivered"), "{words:?}");
    let taken: Vec<_> = [&sink, &other].iter().flat_map(|sink| sink.messages()).collect();
    assert_eq!(taken.iter().filter(|message| message.contains("Subject: 1")).count(), 1, "{taken:?}");
}

#[tokio::test]
async fn law_3_what_was_handed_over_and_not_written_yet_goes_elsewhere_when_the_connection_breaks() {
    // reads nothing after the first message until it is let, and closes then
    let sink = Sink::listen(Manner { is_held: true, is_once: true, mute_after: Some(1), ..CHUNKING }).await;
    let other = Sink::listen(CHUNKING).await;
    let mut pool = one();
    // together far more than any socket buffer holds
    (pool.window, pool.messages) = (2000, 10_000);
    let deliverer = single_flight(&format!("{},{}", sink.url(), other.url())).pool(pool).build().unwrap();
    sink.release(1);
    in_turn(&deliverer, &envelope("a"), 1).await;
    let text = Message::from_text(format!("Subject: x\n\n{}", "0123456789\n".repeat(600))).unwrap();
    let to = envelope("a");
    let mut all: Vec<_> = (0..2000).map(|_| Box::pin(deliverer.deliver(&to, &text))).collect();
    for delivery in &mut all {
        assert!(futures_util::poll!(delivery).is_pending());
    }
    // sends what the others offer
    assert!(futures_util::poll!(&mut all[0]).is_pending());
    sink.release(1);
    let words: Vec<_> = in_time(join_all(all)).await.iter().flat_map(shown).collect();
    let unknown = words.iter().filter(|word| word.ends_with('?')).count();
    let elsewhere = words.iter().filter(|word| word.starts_with("delivered")).count();
    assert_eq!((unknown + elsewhere, other.messages().len()), (words.len(), elsewhere));
    assert!(unknown > 0 && elsewhere > 0, "{unknown} {elsewhere}");
}

#[tokio::test]
async fn room_that_came_to_whoever_waited_is_kept_though_nobody_was_at_home_meanwhile() {
    // the connection of the first message ends with it, the next one is turned away, so that the address is tried last
    let sink = Sink::listen(Manner { closes_after: Some(1), turns_away: Some(2), ..PIPELINING }).await;
    let deliverer = deliverer(&sink, one());
    in_turn(&deliverer, &envelope("a"), 1).await;
    let words: Vec<_> = at_once(&deliverer, 4).await.iter().flat_map(shown).collect();
    let delivered = words.iter().filter(|word| word.starts_with("delivered")).count();
    assert_eq!((words.len(), delivered), (4, 3), "{words:?}");
    // nobody had room twice, or went to the end of the line
    assert_eq!((sink.connections(), sink.most_open()), (5, 1));
    let subjects: Vec<_> = sink.messages()[1..].iter().map(|message| message[9..10].to_owned()).collect();
    assert_eq!(subjects.join(""), "123");
}

#[tokio::test]
async fn law_1_whoever_has_more_to_say_keeps_the_connection_from_those_in_line_until_all_is_said() {
    for manner in [PIPELINING, CHUNKING] {
        let sink = Sink::listen(manner).await;
        let mut limits = nexthop::DeliveryLimits::default();
        limits.recipients = 1;
        let mut pool = one();
        pool.window = 4;
        let deliverer = single_flight(&sink.url()).pool(pool).limits(limits).build().unwrap();
        in_turn(&deliverer, &envelope("a"), 1).await;
        let (to, text) = (envelope("a b c"), message());
        let reports = in_time(join_all((0..3).map(|_| deliverer.deliver(&to, &text)))).await;
        let words: Vec<_> = reports.iter().flat_map(shown).collect();
        assert!(reports.iter().all(Report::is_delivered), "{manner:?}: {words:?}");
        assert_eq!((sink.messages().len(), sink.connections()), (10, 1));
    }
}

#[tokio::test]
async fn content_in_pieces_that_fill_a_flight_goes_out_whole_from_the_line() {
    let sink = Sink::listen(CHUNKING).await;
    let deliverer = deliverer(&sink, one());
    in_turn(&deliverer, &envelope("a"), 1).await;
    let line = "x".repeat(62) + "\r\n";
    let pieces = [format!("Subject: x\r\n\r\n{}", line.repeat(1015)), line.repeat(8)];
    let message = Message::from_segments(pieces.map(Into::into)).unwrap();
    // their commands leave less room than the content needs
    let to = envelope(&(0..40).map(|n| format!("r{n}")).collect::<Vec<_>>().join(" "));
    let reports = in_time(join_all((0..3).map(|_| deliverer.deliver(&to, &message)))).await;
    let words: Vec<_> = reports.iter().flat_map(shown).collect();
    assert!(reports.iter().all(Report::is_delivered), "{words:?}");
}

#[tokio::test]
async fn law_9_a_delivery_that_is_dropped_leaves_its_connection_to_nobody_and_hurts_nobody() {
    let sink = Sink::listen(Manner { is_held: true, ..PIPELINING }).await;
    sink.release(1);
    let deliverer = deliverer(&sink, one());
    in_turn(&deliverer, &envelope("a"), 1).await;
    let (to, text) = (envelope("a"), message());
    {
        let mut first = Box::pin(deliverer.deliver(&to, &text));
        let mut second = Box::pin(deliverer.deliver(&to, &text));
        // both are under way, one on the connection and one in line, when the first is dropped
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        // the server still holds the command of the one that was dropped
        sink.release(2);
        assert!(in_time(second).await.is_delivered());
    }
    assert_eq!((sink.messages().len(), sink.connections()), (2, 2));
}

#[tokio::test]
async fn a_connection_for_one_case_is_not_used_for_another() {
    let sink = Sink::listen(PIPELINING).await;
    let port = sink.url().rsplit(':').next().unwrap().to_owned();
    let mut pool = one();
    pool.max_connections_per_address = Some(3);
    let deliverer = builder("refuse:nothing")
        .router(Alternating(port))
        .login({
            let mut login = nexthop::LoginSettings::default();
            login.cleartext_on_loopback = true;
            login
        })
        .pool(pool)
        .build()
        .unwrap();
    for to in ["plain", "clean", "source", "plain", "clean", "source"] {
        assert!(in_time(deliverer.deliver(&envelope(to), &message())).await.is_delivered(), "{to}");
    }
    assert_eq!(sink.connections(), 3);
}

/// Sends all to one server, by routes that differ.
#[derive(Debug)]
struct Alternating(String);

#[async_trait::async_trait]
impl nexthop::Router for Alternating {
    async fn route(
        &self,
        request: &nexthop::RouteRequest<'_>,
    ) -> Result<nexthop::Route, nexthop::RouterError> {
        let hop: nexthop::NextHop = format!("smtp://127.0.0.1:{}", self.0).parse().unwrap();
        let who = request.recipient.to_string();
        Ok(nexthop::Route::relay(match who.split('@').next().unwrap() {
            "clean" => hop.taking_eight_bit(),
            "source" => hop.with_sources(vec![[127, 0, 0, 7].into()]),
            _ => hop,
        }))
    }
}

#[tokio::test]
async fn check_123_a_server_that_does_not_know_what_it_announced_gets_the_message_by_data() {
    let offers =
        nexthop::testing::ScriptedServer::smtp().keyword("CHUNKING").answer("BDAT", "502 5.5.1 what");
    let server = offers.listen_tcp().await.unwrap();
    let deliverer = builder(&server.url()).build().unwrap();
    for _ in 0..2 {
        assert!(in_time(deliverer.deliver(&envelope("a"), &message())).await.is_delivered());
    }
    // the first message took two connections, the second one knew better
    assert_eq!((server.messages().len(), server.connections()), (2, 3));
}

#[tokio::test]
async fn those_who_wait_for_a_dead_address_try_another_one_once_it_is_known() {
    let (mut servers, port) = neighbours([ScriptedServer::smtp(), ScriptedServer::smtp()]).await;
    drop(servers.remove(0));
    let dns = MemoryResolver::builder()
        .mx("x.example", 10, "mx.example")
        .ipv4("mx.example", [127, 0, 0, 2])
        .ipv4("mx.example", [127, 0, 0, 3]);
    let dialled = Dialled::default();
    let deliverer = by_mx(dns, port).pool(one()).observer(dialled.clone()).build().unwrap();
    assert!(at_once(&deliverer, 10).await.iter().all(Report::is_delivered));
    let dead = dialled.endpoints().iter().filter(|endpoint| endpoint.starts_with("127.0.0.2")).count();
    assert_eq!(dead, 1, "{:?}", dialled.endpoints());
}

/// By how many later ones a delivery was overtaken at most, with so many under way.
async fn overtaken(deliverer: &Deliverer, under_way: usize) -> usize {
    let (to, text) = (envelope("a"), message());
    let numbered = |number: usize| {
        let delivery = deliverer.deliver(&to, &text);
        async move { (number, delivery.await.is_delivered()) }
    };
    let mut running: FuturesUnordered<_> = (0..under_way).map(numbered).collect();
    let (mut next, mut done) = (under_way, Vec::new());
    while let Some((number, is_delivered)) = in_time(running.next()).await {
        assert!(is_delivered);
        done.push(number);
        if next < 200 {
            running.push(numbered(next));
            next += 1;
        }
    }
    let earlier_done =
        |(rank, number): (usize, &usize)| done[..rank].iter().filter(|other| *other > number).count();
    done.iter().enumerate().map(earlier_done).max().unwrap_or_default()
}

#[tokio::test]
async fn a_server_that_closes_after_each_message_keeps_nobody_in_line_for_ever() {
    for under_way in 2..=8 {
        let sink = Sink::listen(Manner { closes_after: Some(1), ..PIPELINING }).await;
        let overtaken = overtaken(&deliverer(&sink, one()), under_way).await;
        assert!(overtaken <= under_way, "{overtaken} of {under_way}");
        assert_eq!((sink.messages().len(), sink.most_open()), (200, 1));
    }
}

#[test]
fn connections_of_a_runtime_that_has_ended_are_left_alone_by_the_next_one() {
    let new = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let servers = new();
    let server = servers.block_on(ScriptedServer::smtp().listen_tcp()).unwrap();
    let deliverer = builder(&server.url()).pool(nexthop::PoolSettings::default()).build().unwrap();
    for connections in 1..=3 {
        let report = new().block_on(in_time(deliverer.deliver(&envelope("a"), &message())));
        assert_eq!(shown(&report), ["delivered 2.0.0"]);
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn what_was_offered_and_not_sent_is_said_when_the_connection_is_handed_on() {
    let commands = "C: MAIL FROM:<s@example.net>\nC: RCPT TO:<a@x.example>\nC: DATA\n";
    let taken = [commands, "S: 250 ok\nS: 250 ok\nS: 354 go\nC: <content>\nS: 250 2.0.0 taken\n"].concat();
    // nobody goes behind a transaction that is refused
    let refused = [commands, "S: 450 4.2.0 not now\nS: 503 no\nS: 503 no\nC: RSET\nS: 250 ok\n"].concat();
    let opening = "S: 220 there\nC: EHLO client.example\nS: 250-there\nS: 250 PIPELINING\n";
    let server = script(&[&[opening, &taken, &refused, &taken].concat()]).await;
    let route = format!("smtp://127.0.0.1:{}", server.address().port());
    let deliverer = builder(&route).pool(one()).build().unwrap();
    in_turn(&deliverer, &envelope("a"), 1).await;
    let words: Vec<_> = at_once(&deliverer, 2).await.iter().flat_map(shown).collect();
    assert!(words[0].starts_with("deferred") && words[1].starts_with("delivered"), "{words:?}");
}
