//! Whole deliveries to servers that send too many or too few replies, or replies to other commands.

use std::time::Duration;

use nexthop::{Deliverer, PoolSettings};

use crate::support::{
    SOON, builder, count, envelope, in_time, message, outcomes, route, script, shown, single_flight, timeouts,
};

const SMTP: &str = "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 PIPELINING\n";
const PLAIN: &str = "S: 220 x\nC: EHLO *\nS: 250 x\n";
const CHUNKS: &str = "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250-PIPELINING\nS: 250 CHUNKING\n";
const COMMANDS: &str = "C: MAIL *\nC: RCPT *\nC: DATA\n";
const CONTENT: &str = "S: 250 ok\nS: 250 ok\nS: 354 go\nC: <content>\n";
const LOCK_STEP: &str =
    "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC: <content>\nS: 250 2.0.0 taken\n";

const DELIVERED: &str = "delivered 2.0.0";
const OPEN: &str = "deferred protocol final 4.5.0?";

fn kept() -> PoolSettings {
    let mut pool = PoolSettings::default();
    (pool.connections, pool.idle) = (1, Duration::from_secs(60));
    pool
}

/// Delivers messages to `a`, one after another, and returns their outcomes.
async fn in_turn(deliverer: &Deliverer, messages: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..messages {
        all.extend(shown(&in_time(deliverer.deliver(&envelope("a"), &message())).await));
    }
    all
}

#[tokio::test]
async fn law_2_a_server_with_surplus_replies_gets_lock_step_and_data_from_then_on() {
    let surplus = "C: MAIL *\nC: RCPT *\nS: 250 ok\nS: 250 ok\nC: BDAT 20 LAST\nC: <octets 20>\n\
        S: <raw '250 taken\\r\\n250 surplus\\r\\n'>\nC: <close>";
    let later = format!("{CHUNKS}{LOCK_STEP}C: QUIT\nS: 221 bye");
    let server = script(&[&format!("{CHUNKS}{surplus}"), &later, &later]).await;
    let deliverer = builder(&server.url()).pool(kept()).build().unwrap();
    assert_eq!(in_turn(&deliverer, 1).await, [OPEN]);
    assert_eq!(in_turn(&deliverer, 1).await, [DELIVERED]);
    in_time(deliverer.close_idle()).await;
}

#[tokio::test]
async fn law_2_in_lock_step_by_data_a_harmless_surplus_reply_only_costs_the_connection() {
    let surplus = LOCK_STEP
        .replace("S: 250 2.0.0 taken", "S: <raw '250 2.0.0 taken\\r\\n250 surplus\\r\\n'>\nC: <close>");
    let dialogue = format!("{PLAIN}{surplus}");
    let server = script(&[&dialogue, &dialogue]).await;
    let deliverer = builder(&server.url()).pool(kept()).build().unwrap();
    assert_eq!(in_turn(&deliverer, 2).await, [DELIVERED; 2]);
    in_time(server.finish()).await.unwrap();
}

#[tokio::test]
async fn a_group_that_was_not_answered_completely_is_repeated_in_lock_step_in_the_same_attempt() {
    for loses in [
        "S: 250 ok\nS: <silence>",
        "S: 250 ok\nS: 550 5.1.1 no\nS: <silence>",
        "S: 550 5.1.1 surplus\nS: 250 ok\nC: <close>",
    ] {
        let group = format!("{SMTP}{COMMANDS}{loses}");
        let server = script(&[&group, &format!("{SMTP}{LOCK_STEP}C: QUIT\nS: 221 bye")]).await;
        let limits = timeouts(|timeouts| (timeouts.recipient, timeouts.data_start) = (SOON, SOON));
        let deliverer = builder(&server.url()).timeouts(limits).build().unwrap();
        assert_eq!(in_turn(&deliverer, 1).await, [DELIVERED], "{loses}");
        in_time(server.finish()).await.unwrap();
    }
}

#[tokio::test]
async fn law_3_a_group_is_not_repeated_if_its_content_may_have_arrived() {
    let flight =
        "C: MAIL *\nC: RCPT *\nC: BDAT 20 LAST\nC: <octets 20>\nC: QUIT\nS: 250 ok\nS: 354 what\nC: <close>";
    let (server, other) = (script(&[&format!("{CHUNKS}{flight}")]).await, script(&[SMTP]).await);
    let deliverer = single_flight(&route(&[&server, &other])).build().unwrap();
    assert_eq!(in_turn(&deliverer, 1).await, ["deferred protocol rcpt-to 4.5.0?"]);
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn law_3_421_behind_a_single_flight_leads_to_no_other_host() {
    for replies in ["S: 421 4.3.2 bye", "S: 250 ok\nS: 421 4.3.2 bye"] {
        let flight = format!(
            "{CHUNKS}C: MAIL *\nC: RCPT *\nC: BDAT 20 LAST\nC: <octets 20>\nC: QUIT\n{replies}\nC: <close>"
        );
        let (server, other) = (script(&[&flight]).await, script(&[SMTP]).await);
        let deliverer = single_flight(&route(&[&server, &other])).build().unwrap();
        let words = in_turn(&deliverer, 1).await;
        assert!(words[0].starts_with("deferred refused ") && words[0].ends_with("4.3.2?"), "{words:?}");
        assert_eq!(other.connections(), 0);
    }
}

#[tokio::test]
async fn check_015_a_kept_connection_that_ends_at_any_command_costs_nothing() {
    let first = format!("{SMTP}{COMMANDS}{CONTENT}S: 250 2.0.0 taken\n");
    let fresh = format!("{SMTP}{COMMANDS}{CONTENT}S: 250 2.0.0 taken\n");
    for end in [
        "S: 421 4.3.2 bye\nC: <close>",
        "S: <reset>",
        "S: 250 ok\nS: 421 4.3.2 bye\nC: <close>",
        "S: 250 ok\nS: <close>",
        "S: 250 ok\nS: 250 ok\nS: 421 4.3.2 bye\nC: <close>",
        "S: 250 ok\nS: 250 ok\nS: <close>",
    ] {
        let server = script(&[&format!("{first}{COMMANDS}{end}"), &fresh]).await;
        let deliverer = builder(&server.url()).pool(kept()).build().unwrap();
        assert_eq!(in_turn(&deliverer, 2).await, [DELIVERED; 2], "{end}");
    }
}

#[tokio::test]
async fn check_015_a_kept_connection_that_ends_at_rset_costs_nothing() {
    let refused = format!("{SMTP}{COMMANDS}S: 250 ok\nS: 450 4.2.1 no\nS: 503 no\n");
    for end in ["S: 421 4.3.2 bye\nC: <close>", "S: <close>", "S: 500 what\nC: <close>"] {
        let dialogue = format!("{refused}C: RSET\n{end}");
        let fresh = format!("{SMTP}{COMMANDS}{CONTENT}S: 250 2.0.0 taken\n");
        let server = script(&[&dialogue, &fresh]).await;
        let deliverer = builder(&server.url()).pool(kept()).build().unwrap();
        assert_eq!(in_turn(&deliverer, 2).await, ["deferred refused rcpt-to 4.2.1", DELIVERED], "{end}");
    }
}

#[tokio::test]
async fn law_2_a_refusal_left_over_from_the_message_before_fails_no_recipient() {
    let (first, fresh) = (format!("{PLAIN}{LOCK_STEP}"), format!("{PLAIN}{LOCK_STEP}"));
    // the refusal arrives after MAIL was sent
    let stale = "C: MAIL *\nS: 550 5.0.0 stale\nC: <close>";
    let server = script(&[&format!("{first}{stale}"), &fresh]).await;
    let deliverer = builder(&server.url()).pool(kept()).build().unwrap();
    assert_eq!(in_turn(&deliverer, 2).await, [DELIVERED; 2]);
    // on a new connection it is the reply to MAIL
    let server = script(&[&format!("{PLAIN}C: MAIL *\nS: 550 5.0.0 no\nC: QUIT\nS: 221 bye")]).await;
    assert_eq!(outcomes(&[&server], "a").await, ["failed refused mail-from 5.0.0"]);
}

#[tokio::test]
async fn law_2_nothing_follows_content_of_lmtp_before_its_last_reply() {
    let lmtp = "S: 220 x\nC: LHLO *\nS: 250-x\nS: 250 PIPELINING\nC: MAIL *\nC: RCPT *\nC: RCPT *\nC: DATA\n\
        S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: <content>\n";
    // connections are not kept; even so, QUIT waits for the last reply
    let complete = format!("{lmtp}S: 250 2.0.0 a\nS: 250 2.0.0 b\nC: QUIT\nS: 221 bye");
    let server = script(&[&complete]).await;
    assert_eq!(outcomes(&[&server], "a b").await, [DELIVERED; 2]);
    in_time(server.finish()).await.unwrap();
    // the server hangs in one mailbox, so it does not answer NOOP either
    let server = script(&[&format!("{lmtp}S: 250 2.0.0 a\nC: NOOP\nS: <silence>")]).await;
    let limits = timeouts(|timeouts| timeouts.final_reply = SOON);
    let deliverer = builder(&server.url()).timeouts(limits).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a b"), &message())).await;
    assert_eq!(shown(&report), [DELIVERED, "deferred timed-out final 4.4.2?"]);
    assert_eq!(count(&server, "QUIT"), 0);
}

#[tokio::test]
async fn law_2_the_reply_to_a_quit_that_was_sent_with_the_content_delivers_to_no_recipient() {
    let last = format!("{SMTP}{COMMANDS}{CONTENT}C: QUIT\nS: 221 bye");
    let server = script(&[&last]).await;
    assert_eq!(outcomes(&[&server], "a").await, [OPEN]);
}

#[tokio::test]
async fn check_031_an_odd_reply_to_quit_changes_nothing_unless_another_one_follows() {
    for (replies, outcome) in [
        ("S: 250 2.0.0 taken\nS: 500 what\nS: <close>", DELIVERED),
        ("S: 250 2.0.0 taken\nS: 550 5.7.1 no\nS: 221 bye", OPEN),
    ] {
        let server = script(&[&format!("{SMTP}{COMMANDS}{CONTENT}C: QUIT\n{replies}")]).await;
        assert_eq!(outcomes(&[&server], "a").await, [outcome], "{replies}");
    }
}

#[tokio::test]
async fn check_030_a_sound_connection_that_is_left_for_another_is_left_by_quit() {
    let first = format!("{PLAIN}{LOCK_STEP}C: MAIL *\nS: 550 5.7.1 not you\nC: QUIT\nS: 221 bye");
    let fresh = format!("{PLAIN}C: MAIL *\nS: 550 5.7.1 not you\nC: QUIT\nS: 221 bye");
    let server = script(&[&first, &fresh]).await;
    let deliverer = builder(&server.url()).pool(kept()).build().unwrap();
    assert_eq!(in_turn(&deliverer, 2).await, [DELIVERED, "failed refused mail-from 5.7.1"]);
    in_time(deliverer.close_idle()).await;
    in_time(server.finish()).await.unwrap();
}

#[tokio::test]
async fn check_015_a_second_transaction_of_one_delivery_whose_connection_ended_is_repeated() {
    for end in ["S: 421 4.7.0 one message per connection\nC: <close>", "S: <close>"] {
        let commands = "C: MAIL *\nC: RCPT *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 452 4.5.3 too many\nS: 354 go\nC: <content>\nS: 250 2.0.0 taken\n";
        let server = script(&[
            &format!("{SMTP}{commands}C: MAIL *\nC: RCPT *\nC: DATA\n{end}"),
            &format!("{SMTP}{COMMANDS}{CONTENT}S: 250 2.0.0 taken\n"),
        ])
        .await;
        let deliverer = builder(&server.url()).pool(kept()).build().unwrap();
        let report = in_time(deliverer.deliver(&envelope("a b"), &message())).await;
        assert_eq!(shown(&report), [DELIVERED; 2], "{end}");
    }
}

#[tokio::test]
async fn check_015_421_in_two_segments_behind_the_final_reply_is_a_notice() {
    // the connection is kept; the server gives notice at once, in two segments
    let end = LOCK_STEP.replace(
        "S: 250 2.0.0 taken",
        "S: <raw '250 2.0.0 taken\\r\\n421 4.3.2 '>\nS: <raw 'closing\\r\\n'>\nS: <close>",
    );
    let server = script(&[&format!("{PLAIN}{end}")]).await;
    let deliverer = builder(&server.url()).pool(kept()).build().unwrap();
    assert_eq!(in_turn(&deliverer, 1).await, [DELIVERED]);
}
