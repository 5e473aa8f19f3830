//! Commands that go out before the greeting was read, to servers that announced on a connection before that they take them so.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexthop::deliverer::DelivererBuilder;
use nexthop::testing::ScriptedServer;
use nexthop::{Event, FailureKind, LoginSettings, MemoryResolver, Message, Observer, TlsLevel, TlsSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::overheard::Overheard;
use crate::routes::by_mx;
use crate::sink::{CHUNKING, Manner, PIPELINING, Sink};
use crate::support::{
    self, CLIENT, SINGLE_FLIGHT, SOON, envelope, in_time, message, nothing_kept, said, script, shown, taken,
    timeouts,
};

const EHLO: &str = "C: EHLO client.example\n";
const COMMANDS: &str = "C: MAIL FROM:<s@example.net>\nC: RCPT TO:<a@x.example>\nC: DATA\n";
const GREETING: &str = "S: 220 mx.example\n";
const OFFERS: &str = "S: 250-mx.example\nS: 250-PIPELINING\nS: 250 PIPECONNECT\n";
const TAKES_COMMANDS: &str = "S: 250 ok\nS: 250 ok\nS: 354 go\n";
const CONTENT: &str = "C: <content>\nC: QUIT\nS: 250 2.0.0 taken\nS: 221 bye\n";

/// Everything goes to these next hops in the clear: where TLS is wanted the envelope waits for it.
fn builder(route: &str) -> DelivererBuilder {
    support::builder(route).tls(without_tls())
}

fn without_tls() -> TlsSettings {
    let mut tls = TlsSettings::default();
    tls.level = TlsLevel::Off;
    tls
}

/// A session with a client that waits for the greeting, at a server that offers this.
fn patient_to(offers: &str) -> String {
    [GREETING, EHLO, offers, COMMANDS, TAKES_COMMANDS, CONTENT].concat()
}

fn patient() -> String {
    patient_to(OFFERS)
}

/// What a client says that waits for nothing, and what becomes of it.
fn hasty(answers: &[&str]) -> String {
    [EHLO, COMMANDS, &answers.concat()].concat()
}

fn early() -> String {
    hasty(&[GREETING, OFFERS, TAKES_COMMANDS, CONTENT])
}

/// What becomes of one message after another at a server that speaks these dialogues, and of nothing more.
async fn outcomes(dialogues: &[&str], messages: usize) -> Vec<String> {
    outcomes_with(dialogues, messages, |builder| builder).await
}

async fn outcomes_with(
    dialogues: &[&str],
    messages: usize,
    choose: impl FnOnce(DelivererBuilder) -> DelivererBuilder,
) -> Vec<String> {
    let server = script(dialogues).await;
    let overheard = Arc::new(Overheard::default());
    let deliverer = choose(builder(&server.url())).observer(overheard.clone()).build().unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..messages {
        outcomes.extend(shown(&in_time(deliverer.deliver(&envelope("a"), &message())).await));
    }
    in_time(server.finish()).await.unwrap();
    overheard.assert_as_in(dialogues);
    outcomes
}

const DELIVERED: &str = "delivered 2.0.0";

#[tokio::test]
async fn a_fresh_session_costs_two_turns_once_the_server_announced_that_it_takes_commands_early() {
    for (manner, turns) in [(PIPELINING, [3, 2, 2]), (CHUNKING, [3, 2, 2])] {
        let sink = Sink::listen(Manner { is_early: true, ..manner }).await;
        let deliverer = builder(&sink.url()).build().unwrap();
        for (place, turns) in turns.into_iter().enumerate() {
            let before = sink.turns();
            assert!(in_time(deliverer.deliver(&envelope("a"), &message())).await.is_delivered());
            assert_eq!((sink.turns() - before, sink.connections()), (turns, place + 1));
        }
        assert_eq!(sink.messages().len(), 3);
    }
}

#[tokio::test]
async fn everything_up_to_the_content_is_said_before_the_greeting() {
    assert_eq!(outcomes(&[&patient(), &early(), &early()], 3).await, [DELIVERED; 3]);
}

#[tokio::test]
async fn with_chunks_content_waits_for_the_answers_to_the_recipients() {
    let offers = OFFERS.replace("250 PIPECONNECT", "250-CHUNKING\nS: 250 X_PIPE_CONNECT");
    let (mail, chunk) = ("C: MAIL *\nC: RCPT *\n", "C: BDAT 20 LAST\nC: <octets 20>\n");
    let goodbye = "C: QUIT\nS: 250 2.0.0 taken\nS: 221 bye\n";
    let answers = "S: 250 ok\nS: 250 ok\n";
    let first = [GREETING, EHLO, &offers, mail, chunk, "C: QUIT\n", answers, &goodbye[8..]].concat();
    let second = [EHLO, mail, GREETING, &offers, answers, chunk, goodbye].concat();
    // the content of a message that could be taken at once waits as well
    let other = [EHLO, mail, GREETING, OFFERS, answers, "C: <close>\n"].concat();
    let dialogues: [&str; 4] = [&first, &second, &other, &first];
    let single = |builder: DelivererBuilder| builder.single_flight_limit(SINGLE_FLIGHT);
    assert_eq!(outcomes_with(&dialogues, 3, single).await, [DELIVERED; 3]);
}

#[tokio::test]
async fn under_lmtp_lhlo_and_the_commands_are_said_early_as_well() {
    let server = ScriptedServer::lmtp().keyword("PIPECONNECT").listen_tcp().await.unwrap();
    let deliverer = builder(&server.url()).build().unwrap();
    for _ in 0..2 {
        assert!(in_time(deliverer.deliver(&envelope("a b"), &message())).await.is_delivered());
    }
    assert_eq!(taken(&server), ["a b", "a b"]);
}

#[tokio::test]
async fn where_it_is_turned_off_the_greeting_is_waited_for() {
    let off = |builder: DelivererBuilder| builder.early_pipelining(false);
    assert_eq!(outcomes_with(&[&patient(), &patient()], 2, off).await, [DELIVERED; 2]);
    let lock_step = [
        GREETING,
        EHLO,
        OFFERS,
        "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC: <content>\nS: 250 2.0.0 ok\nC: QUIT\n",
    ];
    let lock_step = lock_step.concat();
    let dialogues: [&str; 2] = [&lock_step, &lock_step];
    assert_eq!(outcomes_with(&dialogues, 2, |builder| builder.pipelining(false)).await, [DELIVERED; 2]);
}

#[tokio::test]
async fn recipients_and_senders_are_refused_as_at_any_other_time() {
    let refused =
        hasty(&[GREETING, OFFERS, "S: 250 ok\nS: 550 5.1.1 no\nS: 554 nobody\nC: QUIT\nS: 221 bye\n"]);
    let sender = hasty(&[GREETING, OFFERS, "S: 450 4.7.1 no\nS: 503 no\nS: 503 no\nC: QUIT\n"]);
    let dialogues: [&str; 4] = [&patient(), &refused, &sender, &early()];
    assert_eq!(
        outcomes(&dialogues, 4).await,
        [DELIVERED, "failed refused rcpt-to 5.1.1", "deferred refused mail-from 4.7.1", DELIVERED]
    );
}

#[tokio::test]
async fn a_server_that_offers_something_else_is_left_and_spoken_to_once_more_without_haste() {
    for offers in [
        OFFERS.replace("S: 250 P", "S: 250-SIZE 1000\nS: 250 P"),
        OFFERS.replace("250 PIPECONNECT", "250 DSN"),
        OFFERS.replace("250-PIPELINING\n", "250-8BITMIME\n"),
        OFFERS.replace("S: 250 P", "S: 250-AUTH PLAIN\nS: 250 P"),
        "S: 250 mx.example\n".to_owned(),
    ] {
        let other = hasty(&[GREETING, &offers, TAKES_COMMANDS, "C: <close>\n"]);
        // it is not believed for a while
        let dialogues: [&str; 4] = [&patient(), &other, &patient(), &patient()];
        assert_eq!(outcomes(&dialogues, 3).await, [DELIVERED; 3], "{offers}");
    }
}

#[tokio::test]
async fn a_server_that_knows_no_ehlo_any_more_is_greeted_with_helo_on_another_connection() {
    for code in [500, 502, 550] {
        let refuses = format!("S: {code} what?\n");
        let no_ehlo = hasty(&[GREETING, &refuses, "S: 503 no\nS: 503 no\nS: 503 no\nC: <close>\n"]);
        let helo = [
            GREETING,
            EHLO,
            &refuses,
            "C: HELO client.example\nS: 250 mx.example\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\n",
            "C: DATA\nS: 354 go\nC: <content>\nS: 250 2.0.0 ok\nC: QUIT\n",
        ];
        let dialogues: [&str; 3] = [&patient(), &no_ehlo, &helo.concat()];
        assert_eq!(outcomes(&dialogues, 2).await, [DELIVERED; 2], "{code}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_connection_or_of_ehlo_has_the_outcome_that_it_always_has_and_costs_no_other_connection()
 {
    for (refusal, outcome) in
        [("554 no mail", "deferred refused greeting 4.3.2"), ("421 busy", "deferred refused greeting 4.3.2")]
    {
        let refusal = format!("S: {refusal}\n");
        let refused = hasty(&[&refusal, "C: <close>\n"]);
        let dialogues: [&str; 3] = [&patient(), &refused, &patient()];
        // the server may still be closing the connection of the message before, and 421 is not taken for its limit
        let unlimited = |builder: DelivererBuilder| {
            let mut settings = nothing_kept();
            settings.learned_limit_ttl = Duration::ZERO;
            builder.pool(settings)
        };
        assert_eq!(outcomes_with(&dialogues, 3, unlimited).await, [DELIVERED, outcome, DELIVERED]);
    }
    for refusal in ["451 later", "554 no", "421 busy"] {
        let refusal = format!("S: {refusal}\n");
        let refused = hasty(&[GREETING, &refusal, "C: <close>\n"]);
        let dialogues: [&str; 3] = [&patient(), &refused, &patient()];
        let outcome = "deferred refused hello 4.3.2";
        assert_eq!(outcomes(&dialogues, 3).await, [DELIVERED, outcome, DELIVERED]);
    }
}

#[tokio::test]
async fn a_refusal_for_good_of_a_connection_that_was_spoken_to_early_is_believed_when_it_is_said_to_a_patient_client()
 {
    let refused = hasty(&["S: 521 5.5.1 protocol error\n", "C: <close>\n"]);
    let dialogues: [&str; 4] = [&patient(), &refused, &patient(), &patient()];
    assert_eq!(outcomes(&dialogues, 3).await, [DELIVERED; 3]);
    let dialogues: [&str; 3] = [&patient(), &refused, "S: 521 no mail at all\nC: QUIT\n"];
    assert_eq!(outcomes(&dialogues, 2).await, [DELIVERED, "failed refused greeting 5.3.2"]);
}

#[tokio::test]
async fn an_early_sender_that_came_out_of_order_comes_again_in_order() {
    let early = hasty(&[GREETING, OFFERS, "S: 503 5.5.1 EHLO first\nS: 503 no\nS: 503 no\nC: <close>\n"]);
    let dialogues: [&str; 4] = [&patient(), &early, &patient(), &patient()];
    assert_eq!(outcomes(&dialogues, 3).await, [DELIVERED; 3]);
    let (once, answers) =
        ([GREETING, EHLO, OFFERS, COMMANDS].concat(), "S: 503 no\nS: 503 no\nS: 503 no\nC: QUIT\n");
    let dialogues: [&str; 3] = [&patient(), &early, &[once.as_str(), answers].concat()];
    assert_eq!(outcomes(&dialogues, 2).await, [DELIVERED, "failed refused mail-from 5.0.0"]);
}

#[tokio::test]
async fn an_empty_message_is_content_too_and_waits_for_the_answers() {
    let offers = OFFERS.replace("250 PIPECONNECT", "250-CHUNKING\nS: 250 PIPECONNECT");
    let commands = "C: MAIL *\nC: RCPT *\n";
    let second = [
        EHLO,
        commands,
        GREETING,
        &offers,
        "S: 250 ok\nS: 250 ok\nC: BDAT 0 LAST\nC: QUIT\nS: 250 2.0.0 ok\n",
    ];
    let first = [
        GREETING,
        EHLO,
        &offers,
        commands,
        "C: BDAT 0 LAST\nC: QUIT\nS: 250 ok\nS: 250 ok\nS: 250 2.0.0 ok\n",
    ];
    let server = script(&[&first.concat(), &second.concat()]).await;
    let overheard = Arc::new(Overheard::default());
    let deliverer = builder(&server.url())
        .single_flight_limit(SINGLE_FLIGHT)
        .observer(overheard.clone())
        .build()
        .unwrap();
    let empty = Message::from_bytes("").unwrap();
    for _ in 0..2 {
        let report = in_time(deliverer.deliver(&envelope("a"), &empty)).await;
        assert_eq!(shown(&report), [DELIVERED]);
    }
    in_time(server.finish()).await.unwrap();
    overheard.assert_as_in(&[&first.concat(), &second.concat()]);
}

#[tokio::test]
async fn a_connection_that_is_lost_amid_early_commands_is_followed_by_one_without_them() {
    for lost in [
        hasty(&["S: <close>\n"]),
        hasty(&["S: <reset>\n"]),
        hasty(&[GREETING, "S: <close>\n"]),
        hasty(&[GREETING, OFFERS, "S: <close>\n"]),
        hasty(&[GREETING, OFFERS, "S: 250 ok\nS: <close>\n"]),
        hasty(&[GREETING, OFFERS, "S: 250 ok\nS: 250 ok\nS: <close>\n"]),
    ] {
        let dialogues: [&str; 4] = [&patient(), &lost, &patient(), &patient()];
        assert_eq!(outcomes(&dialogues, 3).await, [DELIVERED; 3], "{lost}");
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_again_without_early_commands_is_the_last_one() {
    for (lost, again, outcome) in [
        (hasty(&["S: <close>\n"]), "S: <close>".to_owned(), "deferred disconnected greeting 4.4.2"),
        (
            hasty(&[GREETING, OFFERS, "S: <close>\n"]),
            [GREETING, EHLO, OFFERS, COMMANDS, "S: <close>"].concat(),
            "deferred disconnected mail-from 4.4.2",
        ),
    ] {
        let dialogues: [&str; 3] = [&patient(), &lost, &again];
        assert_eq!(outcomes(&dialogues, 2).await, [DELIVERED, outcome]);
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_amid_the_content_is_followed_by_none() {
    let lost = hasty(&[GREETING, OFFERS, TAKES_COMMANDS, "C: <content>\nC: QUIT\nS: <close>\n"]);
    let dialogues: [&str; 2] = [&patient(), &lost];
    assert_eq!(outcomes(&dialogues, 2).await, [DELIVERED, "deferred disconnected final 4.4.2?"]);
}

#[tokio::test]
async fn a_connection_that_is_lost_before_the_end_of_the_content_is_followed_by_none() {
    let lost = hasty(&[GREETING, OFFERS, TAKES_COMMANDS, "S: <reset>\n"]);
    let server = script(&[&patient(), &lost]).await;
    let deliverer = builder(&server.url()).build().unwrap();
    assert!(in_time(deliverer.deliver(&envelope("a"), &message())).await.is_delivered());
    let large = Message::from_bytes("0123456789\r\n".repeat(2 << 20)).unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &large)).await;
    assert_eq!(shown(&report), ["deferred disconnected content 4.4.2"]);
    in_time(server.finish()).await.unwrap();
}

#[tokio::test]
async fn where_no_other_connection_comes_about_that_is_what_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let server = async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let answers = "220 x\r\n|250-x\r\n250-PIPELINING\r\n250 PIPECONNECT\r\n|250 ok\r\n250 ok\r\n354 go\r\n|250 2.0.0 ok\r\n221 bye\r\n";
        for answer in answers.split('|') {
            first.write_all(answer.as_bytes()).await.unwrap();
            let _ = first.read(&mut [0; 4096]).await.unwrap();
        }
        let (mut second, _) = listener.accept().await.unwrap();
        drop(listener);
        let _ = second.read(&mut [0; 4096]).await.unwrap();
    };
    let server = tokio::spawn(server);
    let deliverer = builder(&url).build().unwrap();
    assert!(in_time(deliverer.deliver(&envelope("a"), &message())).await.is_delivered());
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    let recipient = &report.recipients()[0];
    assert_eq!(recipient.outcome.failure().unwrap().kind(), FailureKind::Connecting);
    assert!(recipient.hop.is_none(), "{report}");
    server.await.unwrap();
}

#[tokio::test]
async fn a_server_that_loses_groups_is_spoken_to_without_haste_however_it_announces() {
    let silent = [GREETING, EHLO, OFFERS, COMMANDS, "S: 250 ok\nS: <silence>\n"].concat();
    let lock_step = [GREETING, EHLO, OFFERS, "C: MAIL *\nS: 450 4.7.1 no\nC: QUIT\n"].concat();
    let short = |builder: DelivererBuilder| builder.timeouts(timeouts(|timeouts| timeouts.recipient = SOON));
    let dialogues: [&str; 3] = [&silent, &lock_step, &lock_step];
    assert_eq!(outcomes_with(&dialogues, 2, short).await, ["deferred refused mail-from 4.7.1"; 2]);
}

#[tokio::test]
async fn a_server_that_falls_silent_at_early_commands_is_not_spoken_to_so_again() {
    for (silent, outcome) in [
        (hasty(&[GREETING, "S: <silence>\n"]), "deferred timed-out hello 4.4.2"),
        (hasty(&[GREETING, OFFERS, "S: 250 ok\nS: <silence>\n"]), "deferred timed-out rcpt-to 4.4.2"),
    ] {
        let short = |builder: DelivererBuilder| {
            builder.timeouts(timeouts(|timeouts| (timeouts.hello, timeouts.recipient) = (SOON, SOON)))
        };
        // and in groups as ever: it may well be that nothing was lost but what came early
        let dialogues: [&str; 3] = [&patient(), &silent, &patient()];
        assert_eq!(outcomes_with(&dialogues, 3, short).await, [DELIVERED, outcome, DELIVERED]);
    }
}

#[tokio::test]
async fn answers_that_make_no_sense_are_no_delivery_and_end_the_haste() {
    let senseless = hasty(&[GREETING, OFFERS, "S: 354 go\nC: <close>\n"]);
    let dialogues: [&str; 3] = [&patient(), &senseless, &patient()];
    let found = outcomes(&dialogues, 3).await;
    assert_eq!(found, [DELIVERED, "deferred protocol mail-from 4.5.0", DELIVERED]);
}

#[tokio::test]
async fn commands_that_do_not_fit_a_group_wait_and_helo_may_take_the_place_of_ehlo_then() {
    let many = envelope(&(0..1000).map(|number| format!("recipient{number}")).collect::<Vec<_>>().join(" "));
    let only_ehlo = [
        EHLO,
        GREETING,
        "S: 502 what?\nC: HELO client.example\nS: 250 mx.example\nC: MAIL *\nS: 450 4.7.1 no\nC: QUIT\n",
    ];
    let server = script(&[&patient(), &only_ehlo.concat()]).await;
    let deliverer = builder(&server.url()).build().unwrap();
    assert!(in_time(deliverer.deliver(&envelope("a"), &message())).await.is_delivered());
    let report = in_time(deliverer.deliver(&many, &message())).await;
    assert_eq!(shown(&report), ["deferred refused mail-from 4.7.1"; 1000]);
    in_time(server.finish()).await.unwrap();
}

#[tokio::test]
async fn what_a_refused_ehlo_alone_ends_with_is_quit() {
    let many = envelope(&(0..1000).map(|number| format!("recipient{number}")).collect::<Vec<_>>().join(" "));
    let refused = [EHLO, GREETING, "S: 451 later\nC: QUIT\nS: 221 bye\n"].concat();
    let server = script(&[&patient(), &refused]).await;
    let deliverer = builder(&server.url()).build().unwrap();
    assert!(in_time(deliverer.deliver(&envelope("a"), &message())).await.is_delivered());
    let report = in_time(deliverer.deliver(&many, &message())).await;
    assert_eq!(shown(&report), ["deferred refused hello 4.3.2"; 1000]);
    in_time(server.finish()).await.unwrap();
}

#[tokio::test]
async fn check_077_a_stranger_with_our_own_name_is_a_loop_however_early_it_was_spoken_to() {
    let greets = hasty(&[&format!("S: 220 {CLIENT}\n"), OFFERS, TAKES_COMMANDS, "C: <close>\n"]);
    let offers = OFFERS.replace("mx.example", CLIENT);
    let says = hasty(&[GREETING, &offers, "C: <close>\n"]);
    // what it offers is something else besides
    let offers = offers.replace("S: 250 P", "S: 250-DSN\nS: 250 P");
    let changed = hasty(&[GREETING, &offers, TAKES_COMMANDS, "C: <close>\n"]);
    for own in [greets, says, changed] {
        let server = script(&[&patient(), &own]).await;
        let dns =
            MemoryResolver::builder().mx("x.example", 10, "mx.example").ipv4("mx.example", [127, 0, 0, 1]);
        let deliverer = by_mx(dns, server.address().port()).tls(without_tls()).build().unwrap();
        assert!(in_time(deliverer.deliver(&envelope("a"), &message())).await.is_delivered());
        let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
        assert_eq!(shown(&report), ["failed routing hello 5.4.6"]);
        in_time(server.finish()).await.unwrap();
    }
}

#[tokio::test]
async fn before_a_login_nothing_of_the_envelope_is_said_early() {
    let offers = OFFERS.replace("S: 250 P", "S: 250-AUTH PLAIN\nS: 250 P");
    let session = "C: AUTH PLAIN *\nS: 235 2.7.0 in\n";
    let commands = COMMANDS.replace("net>", "net> AUTH=<>");
    let rest = [session, &commands, TAKES_COMMANDS, CONTENT].concat();
    let first = [GREETING, EHLO, &offers, &rest].concat();
    let second = [EHLO, GREETING, &offers, &rest].concat();
    let server = script(&[&first, &second]).await;
    let mut login = LoginSettings::default();
    login.cleartext_on_loopback = true;
    let url = server.url().replace("smtp://", "smtp://ann:secret@");
    let deliverer = builder(&url).login(login).build().unwrap();
    for _ in 0..2 {
        let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
        assert_eq!(shown(&report), [DELIVERED]);
    }
    in_time(server.finish()).await.unwrap();
}

/// What an observer hears of the dialogue.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn observe(&self, event: &Event<'_>) {
        let line = match event {
            Event::Sent { line, .. } => format!("C: {}", line.split([' ', ':']).next().unwrap()),
            Event::Received { reply, .. } => format!("S: {}", reply.code()),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn an_observer_hears_early_commands_when_they_are_said() {
    let server = script(&[&patient(), &early()]).await;
    let heard = Arc::new(Heard::default());
    let deliverer = builder(&server.url()).observer(heard.clone()).build().unwrap();
    for _ in 0..2 {
        heard.0.lock().unwrap().clear();
        assert!(in_time(deliverer.deliver(&envelope("a"), &message())).await.is_delivered());
    }
    let lines = heard.0.lock().unwrap().join(" ");
    let wanted =
        "C: EHLO C: MAIL C: RCPT C: DATA S: 220 S: 250 S: 250 S: 250 S: 354 C: . C: QUIT S: 250 S: 221";
    assert_eq!(lines, wanted);
    assert!(said(&server, 1).starts_with("EHLO client.example|MAIL"));
}
