//! Plays literal bytes of servers that send one reply too many, one too few, or one for another command.

use super::play::{Play, smtp, terms, with};
use super::*;

const FINAL_DOUBT: &str = "final broken, may have arrived";

fn by_chunks(terms: Terms) -> Terms {
    Terms { capabilities: Capabilities { chunking: true, ..terms.capabilities }, ..terms }
}

/// Returns terms for content by BDAT after the replies to RCPT.
fn waiting(protocol: Protocol) -> Terms {
    Terms { single_flight_limit: 0, ..by_chunks(terms(protocol, true)) }
}

fn lock_step() -> Terms {
    terms(Protocol::Smtp, false)
}

/// Plays a transaction by DATA up to its content. All recipients are accepted.
fn at_content(play: &mut Play<'_>, recipients: usize) {
    play.sent();
    play.says(format!("250\r\n{}354\r\n", "250\r\n".repeat(recipients)));
}

/// Returns the verdicts after these final replies to content by DATA for two recipients of LMTP.
fn lmtp_finals(replies: &[&str]) -> Vec<String> {
    with(terms(Protocol::Lmtp, true), "ab", |mut play| {
        at_content(&mut play, 2);
        play.hears(replies.join("\r\n").as_bytes());
        play.hears(b"\r\n");
        let (verdicts, ending) = play.ends();
        assert_eq!(ending, Ending::Unusable, "{replies:?}");
        verdicts
    })
}

#[test]
fn attack_a24_a_surplus_final_reply_puts_those_verdicts_in_doubt_that_it_may_have_moved() {
    for (replies, verdicts) in [
        (["250 a", "250 a", "550 b"], ["delivered 250 a", FINAL_DOUBT]),
        (["550 a", "550 a", "250 b"], ["final 550 a", FINAL_DOUBT]),
        (["550 x", "250 a", "250 b"], [FINAL_DOUBT, "delivered 250 a"]),
        (["250 a", "550 b", "250 b"], ["delivered 250 a", "final 550 b"]),
        (["550 a", "250 b", "550 b"], [FINAL_DOUBT, FINAL_DOUBT]),
        (["250 a", "250 b", "250 b"], ["delivered 250 a", "delivered 250 b"]),
        (["450 a", "550 b", "550 b"], [FINAL_DOUBT, "final 550 b"]),
    ] {
        assert_eq!(lmtp_finals(&replies), verdicts, "{replies:?}");
    }
}

#[test]
fn attack_a24_several_surplus_final_replies_may_have_moved_all_of_them() {
    assert_eq!(lmtp_finals(&["550 a", "250 b", "250 x", "550 x"]), [FINAL_DOUBT, "delivered 250 b"]);
    assert_eq!(lmtp_finals(&["250 a", "250 b", "250 x", "250 x"]), ["delivered 250 a", "delivered 250 b"]);
}

#[test]
fn law_2_a_reply_behind_the_final_one_counts_if_it_contradicts_it() {
    for (behind, verdict) in [
        ("550 no\r\n", FINAL_DOUBT),
        ("450 no\r\n", FINAL_DOUBT),
        ("55", FINAL_DOUBT),
        ("550-no\r\n", FINAL_DOUBT),
        ("250 again\r\n", "delivered 250 queued"),
        ("\r\n", "delivered 250 queued"),
        ("421 idle\r\n", "delivered 250 queued"),
    ] {
        with(smtp(), "a", |mut play| {
            at_content(&mut play, 1);
            play.hears(format!("250 queued\r\n{behind}").as_bytes());
            assert_eq!(play.ends(), (vec![verdict.into()], Ending::Unusable), "{behind:?}");
        });
    }
}

#[test]
fn law_2_a_refusal_counts_no_more_if_a_consent_stands_behind_it() {
    with(smtp(), "a", |mut play| {
        at_content(&mut play, 1);
        play.hears(b"550 surplus\r\n250 queued\r\n");
        assert_eq!(play.ends().0, [FINAL_DOUBT]);
    });
    with(lock_step(), "a", |mut play| {
        play.sent();
        play.hears(b"550 surplus\r\n250 sender\r\n");
        assert_eq!(play.ends(), (vec!["rcpt-to broken".into()], Ending::Unusable));
    });
}

#[test]
fn law_3_refusals_of_lmtp_recipients_are_in_doubt_where_a_final_reply_is_missing() {
    with(terms(Protocol::Lmtp, true), "abc", |mut play| {
        at_content(&mut play, 3);
        play.hears(b"554 no\r\n250 ok\r\n");
        play.machine.handle_interruption(Interruption::TimedOut, &mut play.output);
        assert_eq!(play.sent(), "NOOP\r\n");
        play.machine.handle_interruption(Interruption::TimedOut, &mut play.output);
        assert_eq!(play.ends().0, [FINAL_DOUBT, "delivered 250 ok", FINAL_DOUBT], "a mailbox that hangs");
    });
    with(terms(Protocol::Lmtp, true), "ab", |mut play| {
        at_content(&mut play, 2);
        play.hears(b"554 no\r\n");
        assert_eq!(
            play.lost().0,
            ["final 554 no", FINAL_DOUBT],
            "a server that closes has answered in order"
        );
    });
}

#[test]
fn law_2_an_lmtp_server_that_answers_noop_left_a_final_reply_out() {
    with(terms(Protocol::Lmtp, true), "abc", |mut play| {
        at_content(&mut play, 3);
        play.hears(b"250 b\r\n250 c\r\n");
        play.machine.handle_interruption(Interruption::TimedOut, &mut play.output);
        assert_eq!(play.sent(), "NOOP\r\n");
        assert_eq!(play.need(), Need::Io(Stage::Quit));
        play.hears(b"250 noop\r\n");
        play.machine.handle_interruption(Interruption::TimedOut, &mut play.output);
        assert_eq!(play.ends(), (vec![FINAL_DOUBT.into(); 3], Ending::Unusable));
    });
}

#[test]
fn check_107_an_lmtp_server_that_was_slow_with_one_mailbox_has_answered_in_order() {
    with(terms(Protocol::Lmtp, true), "abc", |mut play| {
        at_content(&mut play, 3);
        play.hears(b"250 a\r\n");
        play.machine.handle_interruption(Interruption::TimedOut, &mut play.output);
        play.sent();
        play.hears(b"452 b\r\n250 c\r\n250 noop\r\n");
        let verdicts = ["delivered 250 a", "final 452 b", "delivered 250 c"].map(String::from);
        assert_eq!(play.ends(), (verdicts.into(), Ending::Complete));
    });
    with(terms(Protocol::Lmtp, true), "ab", |mut play| {
        at_content(&mut play, 2);
        play.hears(b"250 a\r\n");
        play.machine.handle_interruption(Interruption::TimedOut, &mut play.output);
        play.sent();
        play.hears(b"421 closing\r\n");
        assert_eq!(play.ends().0, ["delivered 250 a", FINAL_DOUBT]);
    });
}

#[test]
fn no_noop_is_sent_where_no_final_reply_came_or_there_is_one_for_all() {
    for (protocol, recipients) in [(Protocol::Lmtp, "ab"), (Protocol::Smtp, "ab")] {
        with(terms(protocol, true), recipients, |mut play| {
            at_content(&mut play, 2);
            play.machine.handle_interruption(Interruption::TimedOut, &mut play.output);
            assert_eq!(play.ends().0, [FINAL_DOUBT; 2], "{protocol:?}");
        });
    }
}

#[test]
fn law_2_behind_a_chunk_any_surplus_reply_puts_all_verdicts_in_doubt() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        for (behind, verdicts) in [
            ("250 again\r\n", [FINAL_DOUBT, FINAL_DOUBT]),
            ("550 no\r\n", [FINAL_DOUBT, FINAL_DOUBT]),
            ("421 idle\r\n", ["delivered 250 queued", "rcpt-to 550 no"]),
        ] {
            with(waiting(protocol), "ab", |mut play| {
                play.sent();
                play.says("250\r\n250\r\n550 no\r\n");
                play.hears(format!("250 queued\r\n{behind}").as_bytes());
                let is_notice = behind.starts_with("421");
                let ends = play.ends();
                assert_eq!(ends, (verdicts.map(String::from).into(), Ending::Unusable), "{is_notice}");
            });
        }
    }
}

#[test]
fn law_2_a_surplus_reply_to_a_single_flight_delivers_to_no_recipient_that_was_refused() {
    // the surplus reply to MAIL counts for a, the refusal of a for b, the reply to b for the content
    with(by_chunks(smtp()), "ab", |mut play| {
        play.sent();
        play.hears(b"250 mail\r\n250 surplus\r\n550 a\r\n250 b\r\n250 queued\r\n");
        assert_eq!(play.machine.fault(), None);
        assert_eq!(play.ends().0, [FINAL_DOUBT; 2]);
    });
}

#[test]
fn law_2_check_120_no_chunk_is_written_while_input_is_left() {
    for left in ["250 surplus\r\n", "550 surplus\r\n", "25", "250-sur\r\n"] {
        with(waiting(Protocol::Smtp), "ab", |mut play| {
            play.sent();
            play.hears(format!("250\r\n550 no\r\n250\r\n{left}").as_bytes());
            if left.len() < 5 || left.contains('-') {
                assert!(play.machine.rejects_input(&play.output), "{left:?}");
                play.machine.handle_interruption(ProtocolError::Surplus.into(), &mut play.output);
            }
            assert!(play.output.is_empty(), "{left:?}");
            assert_eq!(play.machine.fault(), Some(ReplyFault::Group));
            let (verdicts, _) = play.ends();
            assert!(verdicts.iter().all(|verdict| verdict.ends_with(" broken")), "{left:?}: {verdicts:?}");
        });
    }
}

#[test]
fn input_is_rejected_only_where_it_can_answer_nothing() {
    with(waiting(Protocol::Smtp), "a", |mut play| {
        play.need();
        assert!(play.machine.rejects_input(&play.output), "nothing was written");
        play.sent();
        assert!(!play.machine.rejects_input(&play.output), "replies are due");
        play.says("250\r\n250\r\n");
        assert!(!play.machine.rejects_input(&play.output), "the final reply is due");
    });
}

#[test]
fn attack_a22_a_reply_together_with_354_keeps_the_content_back() {
    for reply in ["550 no", "250 queued"] {
        with(smtp(), "a", |mut play| {
            play.sent();
            play.hears(format!("250\r\n250\r\n354 go\r\n{reply}\r\n").as_bytes());
            assert!(play.output.is_empty());
            assert_eq!(play.ends(), (vec!["content broken".into()], Ending::Unusable));
        });
    }
}

#[test]
fn law_2_the_reply_to_quit_is_no_final_reply() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        with(terms(protocol, true), "a", |mut play| {
            at_content(&mut play, 1);
            play.hears(b"221 bye\r\n");
            assert_eq!(play.ends(), (vec![FINAL_DOUBT.into()], Ending::Unusable), "{protocol:?}");
        });
    }
}

#[test]
fn law_2_nothing_may_go_behind_content_of_lmtp() {
    for (protocol, may) in [(Protocol::Smtp, true), (Protocol::Lmtp, false)] {
        with(terms(protocol, true), "a", |mut play| {
            at_content(&mut play, 1);
            assert_eq!(play.machine.may_be_followed(), may, "{protocol:?}");
        });
    }
}

#[test]
fn law_3_421_to_a_command_before_content_that_was_written_leaves_open_if_it_arrived() {
    with(by_chunks(smtp()), "ab", |mut play| {
        play.sent();
        play.hears(b"250\r\n421 bye\r\n");
        assert_eq!(play.ends().0, ["rcpt-to 421 bye, may have arrived"; 2]);
    });
    with(by_chunks(smtp()), "a", |mut play| {
        play.sent();
        play.hears(b"250\r\n250\r\n421 bye\r\n");
        assert_eq!(play.ends().0, ["final 421 bye"], "the server did not take the content");
    });
}

#[test]
fn law_3_421_in_place_of_a_final_reply_leaves_open_if_the_message_arrived_when_a_positive_one_follows() {
    for (replies, verdict) in [
        ("421 bye\r\n250 queued\r\n", FINAL_DOUBT),
        ("421 bye\r\n", "final 421 bye"),
        ("421 bye\r\n550 no\r\n", "final 421 bye"),
    ] {
        with(by_chunks(smtp()), "a", |mut play| {
            play.sent();
            play.hears(format!("250\r\n250\r\n{replies}").as_bytes());
            assert_eq!(play.ends(), (vec![verdict.into()], Ending::Unusable), "{replies:?}");
        });
    }
}

#[test]
fn no_refusal_of_a_group_counts_that_was_not_answered_as_it_should() {
    for (replies, why) in [
        ("250\r\n550 a\r\n250\r\n250\r\n", None),
        ("250\r\n550 a\r\n354\r\n", None),
        ("550 left over\r\n250\r\n", None),
        ("550 left over\r\n503\r\n250\r\n", None),
        ("250\r\n550 a\r\n", Some(Interruption::TimedOut)),
        ("250\r\n550 a\r\n150 what\r\n", None),
    ] {
        with(smtp(), "ab", |mut play| {
            play.sent();
            play.hears(replies.as_bytes());
            if let Some(why) = why {
                play.machine.handle_interruption(why, &mut play.output);
            }
            assert_eq!(play.machine.fault(), Some(ReplyFault::Group), "{replies:?}");
            let (verdicts, ending) = play.ends();
            assert!(verdicts.iter().all(|verdict| verdict.ends_with(" broken")), "{replies:?}: {verdicts:?}");
            assert_eq!(ending, Ending::Unusable);
        });
    }
}

#[test]
fn a_refusal_for_now_keeps_its_reply_in_a_group_that_was_not_answered_completely() {
    with(smtp(), "ab", |mut play| {
        play.sent();
        play.says("250\r\n450 a\r\n");
        assert_eq!(play.lost().0, ["rcpt-to 450 a", "rcpt-to broken"]);
    });
}

#[test]
fn refusals_count_where_the_group_is_not_at_fault() {
    // 421 is the answer to all that is open, and our own limits say nothing about the server
    with(smtp(), "ab", |mut play| {
        play.sent();
        play.hears(b"250\r\n550 a\r\n421 bye\r\n");
        assert_eq!(play.machine.fault(), None);
        assert_eq!(play.ends().0, ["rcpt-to 550 a", "rcpt-to 421 bye"]);
    });
    with(smtp(), "ab", |mut play| {
        play.sent();
        play.hears(b"250\r\n550 a\r\n");
        play.machine.handle_interruption(Interruption::SessionTimedOut, &mut play.output);
        assert_eq!(play.machine.fault(), None);
        assert_eq!(play.ends().0, ["rcpt-to 550 a", "rcpt-to broken"]);
    });
}

#[test]
fn silence_and_senseless_replies_are_no_sign_against_groups() {
    with(smtp(), "ab", |mut play| {
        play.sent();
        play.hears(b"250\r\n250\r\n150 what\r\n");
        assert_eq!(play.machine.fault(), None);
        assert_eq!(play.ends().0, ["rcpt-to broken"; 2]);
    });
    with(smtp(), "ab", |mut play| {
        play.sent();
        play.machine.handle_interruption(Interruption::TimedOut, &mut play.output);
        assert_eq!(play.machine.fault(), None, "a server that says nothing at all");
    });
}

#[test]
fn after_354_refusals_of_recipients_count_whatever_follows() {
    with(smtp(), "ab", |mut play| {
        play.sent();
        play.says("250\r\n550 a\r\n250\r\n354\r\n");
        assert_eq!(play.lost().0, ["rcpt-to 550 a", FINAL_DOUBT]);
    });
}

#[test]
fn a_surplus_reply_behind_refusals_makes_the_group_void_and_counts_for_nothing_in_lock_step() {
    with(smtp(), "ab", |mut play| {
        play.sent();
        play.hears(b"250\r\n550 a\r\n550 a\r\n503\r\n450 b\r\n");
        let (verdicts, ending) = play.ends();
        assert_eq!((verdicts, ending), (vec!["rcpt-to broken".into(); 2], Ending::Unusable));
    });
    with(lock_step(), "a", |mut play| {
        play.sent();
        play.says("250\r\n");
        play.hears(b"550 a\r\n550 a\r\n");
        assert_eq!(play.ends(), (vec!["rcpt-to 550 a".into()], Ending::Unusable));
    });
}

#[test]
fn a_refusal_of_data_for_accepted_recipients_is_believed_once_rset_shows_that_replies_are_in_step() {
    for (refusal, reset, verdict, ending) in [
        ("554 a", "250 reset", "data 554 a", Ending::Complete),
        ("554 a", "354 go", "reset broken", Ending::Unusable),
        ("554 a", "503 what", "reset broken", Ending::Unusable),
        ("554 a", "421 bye", "data 554 a", Ending::Unusable),
    ] {
        with(smtp(), "a", |mut play| {
            play.sent();
            assert_eq!(play.says(format!("250\r\n250\r\n{refusal}\r\n")), "RSET\r\n");
            play.says(format!("{reset}\r\n"));
            assert_eq!(play.ends(), (vec![verdict.into()], ending), "{reset}");
        });
    }
    with(smtp(), "a", |mut play| {
        play.sent();
        play.says("250\r\n250\r\n554 a\r\n");
        assert_eq!(play.lost().0, ["data 554 a"], "a server that closes after it refused");
    });
    with(smtp(), "a", |mut play| {
        play.sent();
        assert_eq!(play.says("250\r\n250\r\n451 a\r\n"), "", "a refusal for now harms nothing");
    });
}

#[test]
fn check_123_a_final_reply_of_an_unknown_command_refuses_its_lmtp_recipient_only() {
    for code in [500, 502, 503, 504] {
        with(waiting(Protocol::Lmtp), "abc", |mut play| {
            play.sent();
            play.says("250\r\n250\r\n250\r\n250\r\n");
            play.says(format!("{code} a\r\n250 b\r\n250 c\r\n"));
            assert!(!play.machine.chunking_unknown());
            let verdicts =
                vec![format!("final {code} a"), "delivered 250 b".into(), "delivered 250 c".into()];
            assert_eq!(play.ends(), (verdicts, Ending::Aborted));
        });
    }
}

#[test]
fn law_3_an_lmtp_server_that_seems_not_to_know_bdat_and_is_lost_may_have_the_message() {
    with(waiting(Protocol::Lmtp), "ab", |mut play| {
        play.sent();
        play.says("250\r\n250\r\n250\r\n");
        play.says("500 what\r\n");
        play.machine.handle_interruption(Interruption::TimedOut, &mut play.output);
        assert_eq!(play.sent(), "NOOP\r\n");
        play.machine.handle_interruption(Interruption::TimedOut, &mut play.output);
        assert!(play.machine.chunking_unknown());
        assert_eq!(play.ends().0, [FINAL_DOUBT; 2]);
    });
}

#[test]
fn check_015_a_notice_of_closing_that_came_in_part_puts_no_delivery_in_doubt() {
    for begun in ["421 4.3.2 bye\r\n", "421 4.3.2 b", "421-4.3.2 closing\r\n", "421"] {
        with(smtp(), "a", |mut play| {
            at_content(&mut play, 1);
            play.hears(format!("250 2.0.0 queued\r\n{begun}").as_bytes());
            assert_eq!(play.machine.fault(), None, "{begun:?}");
            assert_eq!(play.ends().0, ["delivered 250 2.0.0 queued"], "{begun:?}");
        });
    }
}
