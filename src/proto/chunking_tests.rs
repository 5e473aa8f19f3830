//! Literal octets played at a transaction with a server that offers CHUNKING.

use bytes::Bytes;
use proptest::prelude::*;

use super::chunks::CHUNK;
use super::play::{CONTENT, Play, envelope, line, terms, with};
use super::*;
use crate::mail::{ContentFacts, Message};

const MAIL: &str = "MAIL FROM:<s@example.net>\r\n";
const RCPT_A: &str = "RCPT TO:<a@x.example>\r\n";
const LAST: &str = "BDAT 22 LAST\r\nSubject: x\r\n\r\n.hello\r\n";
const MIB: usize = CHUNK as usize;

fn chunking(protocol: Protocol, pipelining: bool) -> Terms {
    let terms = terms(protocol, pipelining);
    Terms { capabilities: Capabilities { chunking: true, ..terms.capabilities }, ..terms }
}

fn smtp() -> Terms {
    chunking(Protocol::Smtp, true)
}

fn lmtp() -> Terms {
    chunking(Protocol::Lmtp, true)
}

/// The content waits for the replies to RCPT.
fn waiting(terms: Terms) -> Terms {
    Terms { single_flight_limit: 0, ..terms }
}

/// Plays with one recipient and content of so many octets, in pieces of 64 KiB.
fn with_octets<T>(terms: Terms, size: usize, play: impl FnOnce(Play<'_>) -> T) -> T {
    with_pieces(terms, size as u64, pieces(&Bytes::from(vec![b'x'; size]), 64 * 1024), play)
}

fn pieces(content: &Bytes, size: usize) -> Vec<Bytes> {
    content.chunks(size).map(|piece| content.slice_ref(piece)).collect()
}

/// Plays with one recipient, content that is announced with a size, and what is read of it.
fn with_pieces<T>(terms: Terms, size: u64, pieces: Vec<Bytes>, play: impl FnOnce(Play<'_>) -> T) -> T {
    let envelope = envelope(&["a@x.example"]);
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let facts = ContentFacts { size, ends_line: true, ..ContentFacts::default() };
    let content = pieces.into_iter().rev().collect();
    let mut player = Play::new(terms, &envelope, &recipients, &facts);
    player.content = content;
    play(player)
}

/// What went out: its commands, and what there is of the content.
fn apart(mut wire: &[u8]) -> (Vec<String>, Vec<u8>) {
    let (mut commands, mut content) = (Vec::new(), Vec::new());
    while let Some(end) = wire.windows(2).position(|pair| pair == b"\r\n") {
        let command = String::from_utf8(wire[..end].to_vec()).unwrap();
        let octets =
            command.strip_prefix("BDAT ").map_or(0, |words| words.trim_end_matches(" LAST").parse().unwrap());
        wire = &wire[end + 2..];
        let (chunk, rest) = wire.split_at(wire.len().min(octets));
        content.extend_from_slice(chunk);
        wire = rest;
        commands.push(command);
    }
    (commands, content)
}

/// Whether the server has the end of a message of `size` octets, and nothing behind it.
fn is_complete(wire: &[u8], size: usize) -> bool {
    let (commands, content) = apart(wire);
    content.len() == size && commands.last().is_some_and(|command| command.ends_with("LAST"))
}

/// Writes in steps and hears the lines; then the connection is lost.
fn random_play(mut play: Play<'_>, lines: &[String], step: usize, size: usize) -> Result<(), TestCaseError> {
    let (mut wire, mut broken_at, mut complete_at) = (Vec::new(), None, lines.len());
    for (number, line) in lines.iter().enumerate() {
        for _ in 0..9 {
            play.need();
            wire.extend(play.write(step));
        }
        if is_complete(&wire, size) {
            complete_at = complete_at.min(number);
        }
        play.hears(format!("{} #{number}\r\n", line.trim_end()).as_bytes());
        if play.machine.ending == Ending::Unusable && broken_at.is_none() {
            broken_at = Some(wire.len());
        }
    }
    while play.need() != Need::Nothing && !play.output.is_empty() {
        wire.extend(play.write(step.max(9000)));
    }
    prop_assert!(broken_at.is_none_or(|at| at == wire.len()), "something goes out after an error");
    let complete = is_complete(&wire, size);
    let (commands, _) = apart(&wire);
    prop_assert!(!commands.iter().any(|command| command == "DATA"));
    for verdict in play.lost().0 {
        let heard =
            verdict.strip_prefix("delivered").and_then(|reply| reply.rsplit('#').next()).map(str::parse);
        if let Some(number) = heard {
            prop_assert!(number.unwrap_or(0) >= complete_at, "{verdict:?} though {commands:?} {complete_at}");
        }
        prop_assert!(!verdict.contains("may have") || complete, "{verdict:?} after {commands:?}");
    }
    Ok(())
}

fn reply(code: u16, text: &'static str) -> Reply {
    Reply::new(ReplyCode::new(code), text)
}

/// The commands of chunks in what went out, without the content.
fn chunks(wire: &str) -> Vec<&str> {
    wire.lines().map(|line| line.trim_start_matches('x')).filter(|line| line.starts_with("BDAT")).collect()
}

#[test]
fn check_119_a_small_message_goes_out_with_its_commands_octet_for_octet() {
    with(smtp(), "a", |mut play| {
        assert_eq!(play.need(), Need::Io(Stage::MailFrom));
        let flight = [MAIL, RCPT_A, LAST].concat();
        assert_eq!(play.output.len(), flight.len(), "all of it is queued at once");
        assert_eq!(play.sent(), flight);
        play.says("250\r\n250\r\n250 2.0.0 queued\r\n");
        assert_eq!(play.ends(), (vec!["delivered 250 2.0.0 queued".into()], Ending::Complete));
    });
}

#[test]
fn check_120_bdat_waits_for_all_recipients_if_nothing_is_to_go_out_in_one_flight() {
    with(waiting(smtp()), "ab", |mut play| {
        assert_eq!(play.sent(), [MAIL, RCPT_A, "RCPT TO:<b@x.example>\r\n"].concat());
        assert_eq!(play.says("250\r\n250\r\n"), "");
        assert_eq!(play.says("250\r\n"), LAST);
        play.says("250\r\n");
        assert_eq!(play.ends(), (vec!["delivered 250".into(); 2], Ending::Complete));
    });
}

#[test]
fn check_120_bdat_waits_where_the_message_is_too_big_for_one_flight() {
    for (limit, flight) in [(22, true), (21, false)] {
        with(Terms { single_flight_limit: limit, ..smtp() }, "a", |mut play| {
            assert_eq!(play.sent().contains("BDAT"), flight, "{limit}");
        });
    }
}

#[test]
fn check_120_more_than_one_chunk_is_never_one_flight() {
    for (size, flight) in [(MIB, true), (MIB + 1, false)] {
        with_octets(Terms { single_flight_limit: usize::MAX, ..smtp() }, size, |mut play| {
            assert_eq!(play.sent().contains("BDAT"), flight, "{size}");
        });
    }
}

#[test]
fn check_120_bdat_waits_where_the_recipients_do_not_fit_into_a_group() {
    let names: Vec<_> = (0..1000).map(|n| format!("r{n}@x.example")).collect();
    let envelope = envelope(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let facts = *Message::from_bytes(CONTENT).unwrap().facts();
    let mut play = Play::new(smtp(), &envelope, &recipients, &facts);
    assert!(!play.sent().contains("BDAT"));
    assert_eq!(play.says("250\r\n".repeat(1000)), "");
    assert_eq!(play.says("250\r\n"), LAST);
}

#[test]
fn check_112_without_pipelining_commands_and_chunks_wait() {
    with_octets(chunking(Protocol::Smtp, false), 2 * MIB, |mut play| {
        assert_eq!(play.sent(), MAIL);
        assert_eq!(play.says("250\r\n"), RCPT_A);
        assert_eq!(chunks(&play.says("250\r\n")), ["BDAT 1048576"]);
        assert_eq!(chunks(&play.says("250\r\n")), ["BDAT 1048576 LAST"]);
        play.says("250\r\n");
        assert_eq!(play.ends(), (vec!["delivered 250".into()], Ending::Complete));
    });
}

#[test]
fn check_122_124_with_pipelining_chunks_go_ahead_of_their_replies() {
    with_octets(smtp(), 2 * MIB + 5, |mut play| {
        play.sent();
        let wire = play.says("250\r\n250\r\n");
        assert_eq!(chunks(&wire), ["BDAT 1048576", "BDAT 1048576", "BDAT 5 LAST"]);
        assert_eq!(wire.len(), 2 * MIB + 5 + 2 * "BDAT 1048576\r\n".len() + "BDAT 5 LAST\r\n".len());
        play.says("250\r\n250\r\n");
        assert_eq!(play.need(), Need::Io(Stage::Final));
        play.says("250 queued\r\n");
        assert_eq!(play.ends(), (vec!["delivered 250 queued".into()], Ending::Complete));
    });
}

#[test]
fn check_119_pieces_are_cut_at_the_border_of_a_chunk_and_not_copied() {
    let content: Bytes = (0..MIB + 100).map(|n| b'a' + (n % 23) as u8).collect();
    let (first, second) = (content.slice(..MIB - 10), content.slice(MIB - 10..));
    with_pieces(smtp(), content.len() as u64, vec![first, second.clone()], |mut play| {
        play.sent();
        play.hears(b"250\r\n250\r\n");
        let queued = play.output.take_all();
        let queued: Vec<_> = queued.iter().collect();
        assert_eq!(queued[0], b"BDAT 1048576\r\n");
        assert_eq!((queued[1].as_ptr(), queued[1].len()), (content.as_ptr(), MIB - 10));
    });
    with_octets(waiting(smtp()), MIB + 100, |mut play| {
        play.content = vec![second.clone(), content.slice(..MIB - 10)];
        play.sent();
        let wire =
            play.says("250\r\n250\r\n").replace("BDAT 1048576\r\n", "").replace("BDAT 100 LAST\r\n", "");
        assert_eq!(wire.as_bytes(), content);
    });
}

#[test]
fn check_119_the_empty_message_is_bdat_0_last() {
    for terms in [smtp(), waiting(smtp()), chunking(Protocol::Smtp, false)] {
        with_pieces(terms, 0, Vec::new(), |mut play| {
            let wire = play.sent() + &play.says("250\r\n") + &play.says("250\r\n");
            assert_eq!(wire, [MAIL, RCPT_A, "BDAT 0 LAST\r\n"].concat());
            play.says("250\r\n");
            assert_eq!(play.ends(), (vec!["delivered 250".into()], Ending::Complete));
        });
    }
}

#[test]
fn check_120_the_empty_message_waits_too_if_nothing_is_to_go_out_in_one_flight() {
    with_pieces(waiting(smtp()), 0, Vec::new(), |mut play| assert_eq!(play.sent(), [MAIL, RCPT_A].concat()));
}

#[test]
fn check_123_data_and_bdat_never_stand_in_one_transaction() {
    for terms in [smtp(), waiting(smtp()), lmtp()] {
        with(terms, "a", |mut play| {
            let wire = play.sent() + &play.says("250\r\n250\r\n");
            assert!(wire.contains("BDAT") && !wire.contains("DATA\r\n"), "{wire}");
        });
    }
    with(Terms { chunking: false, ..smtp() }, "a", |mut play| {
        assert_eq!(play.sent(), [MAIL, RCPT_A, "DATA\r\n"].concat());
    });
}

#[test]
fn check_037_without_an_accepted_recipient_no_bdat_is_sent() {
    for terms in [waiting(smtp()), waiting(lmtp()), chunking(Protocol::Smtp, false)] {
        with(terms, "a", |mut play| {
            play.sent();
            assert_eq!(play.says("250\r\n"), if terms.capabilities.pipelining { "" } else { RCPT_A });
            assert_eq!(play.says("550 no\r\n"), "");
            assert_eq!(play.ends(), (vec!["rcpt-to 550 no".into()], Ending::Aborted));
        });
    }
}

#[test]
fn check_115_mail_refused_ahead_of_the_content() {
    with(waiting(smtp()), "ab", |mut play| {
        play.sent();
        assert_eq!(play.says("550 no\r\n503\r\n503\r\n"), "");
        assert_eq!(play.ends(), (vec!["mail-from 550 no".into(); 2], Ending::Aborted));
    });
}

#[test]
fn check_115_after_a_refusal_no_content_begins_that_could_have_gone_out_in_one_flight() {
    with(smtp(), "a", |mut play| {
        let ahead = 16 * 1024 - 10;
        play.output.put(&vec![b'-'; ahead]);
        play.need();
        assert_eq!(play.output.len(), ahead + MAIL.len(), "no more is queued at once");
        play.write(usize::MAX);
        play.machine.handle_reply(reply(550, "no"), &mut play.output);
        assert_eq!(play.sent(), "");
        assert_eq!(play.ends(), (vec!["mail-from 550 no".into()], Ending::Aborted));
    });
}

#[test]
fn law_2_check_115_116_a_2yz_to_a_flight_that_was_refused_delivers_nobody() {
    for (before, verdict) in
        [("550 no\r\n503\r\n", "mail-from 550 no"), ("250\r\n550 no\r\n", "rcpt-to 550 no")]
    {
        for last in ["250 queued", "503 no", "554 no valid recipients", "451 x"] {
            with(smtp(), "a", |mut play| {
                play.sent();
                play.says(format!("{before}{last}\r\n"));
                assert!(!play.machine.chunking_unknown(), "{last}");
                assert_eq!(play.ends(), (vec![verdict.into()], Ending::Aborted), "{last}");
            });
        }
    }
}

#[test]
fn check_006_nothing_follows_a_code_without_meaning_to_a_flight() {
    for terms in [smtp(), lmtp()] {
        with(terms, "a", |mut play| {
            play.sent();
            assert_eq!(play.says("250\r\n354 what\r\n"), "");
            let arrived = if terms.protocol == Protocol::Smtp { ", may have arrived" } else { "" };
            assert_eq!(play.ends(), (vec![format!("rcpt-to broken{arrived}")], Ending::Unusable));
        });
    }
}

#[test]
fn check_104_lmtp_answers_a_flight_once_for_each_accepted_recipient() {
    with(lmtp(), "abc", |mut play| {
        play.sent();
        play.says("250\r\n250\r\n550 no\r\n250\r\n");
        play.says("250 a\r\n");
        assert_eq!(play.need(), Need::Io(Stage::Final));
        play.says("250 c\r\n");
        assert_eq!(
            play.ends(),
            (
                vec!["delivered 250 a".into(), "rcpt-to 550 no".into(), "delivered 250 c".into()],
                Ending::Complete
            )
        );
    });
}

#[test]
fn check_104_lmtp_answers_the_last_chunk_once_for_each_accepted_recipient() {
    with(waiting(lmtp()), "abc", |mut play| {
        play.sent();
        assert_eq!(play.says("250\r\n550 no\r\n250\r\n250\r\n"), LAST);
        play.says("250 b\r\n452 c\r\n");
        assert_eq!(
            play.ends(),
            (vec!["rcpt-to 550 no".into(), "delivered 250 b".into(), "final 452 c".into()], Ending::Aborted)
        );
    });
}

#[test]
fn law_2_check_109_content_of_lmtp_never_precedes_the_replies_to_rcpt() {
    with(lmtp(), "ab", |mut play| {
        assert!(!play.sent().contains("BDAT"));
        assert_eq!(play.says("250\r\n550 no\r\n"), "");
        assert_eq!(play.says("550 no\r\n"), "");
        assert_eq!(play.ends(), (vec!["rcpt-to 550 no".into(); 2], Ending::Aborted));
    });
}

#[test]
fn law_3_check_042_a_flight_that_is_lost_unanswered_may_have_arrived() {
    for (protocol, heard, stage) in [
        (Protocol::Smtp, "", "mail-from"),
        (Protocol::Smtp, "250\r\n", "rcpt-to"),
        (Protocol::Smtp, "250\r\n250\r\n", "final"),
        (Protocol::Lmtp, "250\r\n250\r\n", "final"),
    ] {
        with(chunking(protocol, true), "a", |mut play| {
            play.sent();
            play.says(heard);
            let wanted = (vec![format!("{stage} broken, may have arrived")], Ending::Unusable);
            assert_eq!(play.lost(), wanted, "{protocol:?} after {heard:?}");
        });
    }
}

#[test]
fn check_042_a_flight_whose_last_octet_was_not_written_cannot_have_arrived() {
    with(smtp(), "a", |mut play| {
        play.need();
        play.write(MAIL.len() + RCPT_A.len() + LAST.len() - 1);
        assert_eq!(play.lost().0, ["mail-from broken"]);
    });
}

#[test]
fn check_042_a_loss_in_mid_chunk_cannot_have_arrived_and_one_behind_the_last_may() {
    with_octets(waiting(smtp()), MIB + 1, |mut play| {
        play.sent();
        play.hears(b"250\r\n250\r\n");
        play.write(500);
        assert_eq!(play.lost().0, ["content broken"]);
    });
    with_octets(waiting(smtp()), MIB + 1, |mut play| {
        play.sent();
        play.says("250\r\n250\r\n");
        assert_eq!(play.lost().0, ["content broken, may have arrived"], "a reply to a chunk is still due");
    });
}

#[test]
fn check_121_no_chunk_follows_one_that_was_refused() {
    for refusal in ["452 4.3.1 full", "552 5.3.4 too big"] {
        with_octets(chunking(Protocol::Smtp, false), 3 * MIB, |mut play| {
            let replies = ["250\r\n".into(), "250\r\n".into(), "250\r\n".into(), format!("{refusal}\r\n")];
            let mut wire = play.sent();
            replies.iter().for_each(|reply: &String| wire += &play.says(reply));
            assert_eq!(chunks(&wire), ["BDAT 1048576"; 2]);
            assert_eq!(play.ends(), (vec![format!("content {refusal}")], Ending::Aborted));
        });
    }
}

#[test]
fn check_122_all_replies_to_chunks_in_flight_are_read_and_the_first_failure_counts() {
    for (others, ending) in [(["503 a", "503 b"], Ending::Aborted), (["250 a", "250 b"], Ending::Aborted)] {
        with_octets(smtp(), 3 * MIB, |mut play| {
            play.sent();
            play.says("250\r\n250\r\n");
            play.says("452 full\r\n");
            for other in others {
                assert_eq!(
                    play.need(),
                    Need::Io(if other.ends_with('a') { Stage::Content } else { Stage::Final })
                );
                assert_eq!(play.says(format!("{other}\r\n")), "");
            }
            assert!(!play.machine.chunking_unknown());
            assert_eq!(play.ends(), (vec!["content 452 full".into()], ending));
        });
    }
}

#[test]
fn check_121_a_refusal_while_the_next_chunk_is_half_written_ends_the_session() {
    with_octets(smtp(), 3 * MIB, |mut play| {
        play.sent();
        play.hears(b"250\r\n250\r\n");
        let mut wire = Vec::new();
        while wire.len() < MIB + 1000 {
            wire.extend(play.write(usize::MAX));
            play.need();
        }
        play.hears(b"452 full\r\n");
        assert!(play.output.is_empty(), "nothing goes out after it");
        assert_eq!(play.ends(), (vec!["content 452 full".into()], Ending::Unusable));
    });
}

#[test]
fn check_121_a_refusal_while_the_next_chunk_lacks_content_ends_the_session() {
    with_octets(smtp(), 2 * MIB, |mut play| {
        let (chunk, begun) = (Bytes::from(vec![b'x'; MIB]), Bytes::from_static(b"begun"));
        play.content = vec![chunk];
        play.sent();
        play.machine.handle_reply(reply(250, ""), &mut play.output);
        play.machine.handle_reply(reply(250, ""), &mut play.output);
        for piece in [play.content[0].clone(), begun] {
            assert_eq!(play.machine.poll(&mut play.output), Need::Content);
            play.machine.handle_content(Some(piece), &mut play.output);
            play.output.advance(usize::MAX);
        }
        play.machine.handle_reply(reply(452, "full"), &mut play.output);
        assert_eq!(play.ends(), (vec!["content 452 full".into()], Ending::Unusable));
    });
}

#[test]
fn attack_a22_a_reply_too_many_between_two_chunks_is_no_refusal_of_the_content() {
    with_octets(chunking(Protocol::Smtp, false), MIB + 1, |mut play| {
        play.sent();
        play.says("250\r\n");
        assert_eq!(chunks(&play.says("250\r\n")), ["BDAT 1048576"]);
        play.hears(b"250 chunk\r\n550 surplus\r\n");
        assert!(play.output.is_empty(), "the next chunk does not go out");
        assert_eq!(play.ends(), (vec!["content broken".into()], Ending::Unusable));
    });
}

#[test]
fn check_121_a_refusal_before_the_last_octet_was_written_keeps_the_end_back() {
    with_octets(smtp(), MIB + 10, |mut play| {
        play.sent();
        play.hears(b"250\r\n250\r\n");
        let whole = MIB + 10 + "BDAT 1048576\r\n".len() + "BDAT 10 LAST\r\n".len();
        let mut written = 0;
        while written < whole - 1 {
            written += play.write((whole - 1 - written).min(40_000)).len();
            play.need();
        }
        assert_eq!(play.output.len(), 1);
        play.hears(b"452 full\r\n");
        assert!(play.output.is_empty());
        assert_eq!(play.ends(), (vec!["content 452 full".into()], Ending::Unusable));
    });
}

#[test]
fn check_121_lmtp_ends_the_session_where_replies_to_the_last_chunk_cannot_be_counted() {
    with_octets(lmtp(), MIB + 10, |mut play| {
        play.sent();
        play.says("250\r\n250\r\n");
        play.says("452 full\r\n");
        assert_eq!(play.ends(), (vec!["content 452 full".into()], Ending::Unusable));
    });
}

#[test]
fn check_121_a_refused_end_of_the_content_is_followed_by_rset() {
    for terms in [smtp(), waiting(smtp()), lmtp()] {
        with(terms, "a", |mut play| {
            play.sent();
            play.says("250\r\n250\r\n");
            play.says("550 5.7.1 spam\r\n");
            assert!(!play.machine.chunking_unknown());
            assert_eq!(play.ends(), (vec!["final 550 5.7.1 spam".into()], Ending::Aborted));
        });
    }
}

#[test]
fn check_009_3yz_and_codes_without_meaning_answer_no_chunk() {
    for code in ["354", "300", "150", "650"] {
        with(smtp(), "a", |mut play| {
            play.sent();
            play.says(format!("250\r\n250\r\n{code}\r\n"));
            assert_eq!(play.ends(), (vec!["final broken, may have arrived".into()], Ending::Unusable));
        });
        with_octets(chunking(Protocol::Smtp, false), MIB + 1, |mut play| {
            play.sent();
            play.says("250\r\n");
            play.says("250\r\n");
            assert_eq!(play.says(format!("{code}\r\n")), "", "{code}");
            assert_eq!(play.ends(), (vec!["content broken".into()], Ending::Unusable));
        });
    }
}

#[test]
fn check_043_attack_a23_a_2yz_before_the_end_was_written_is_no_acceptance() {
    for (size, behind) in [(CONTENT.len(), 5), (MIB + 10, 5)] {
        with_octets(waiting(smtp()), size, |mut play| {
            play.sent();
            play.hears(b"250\r\n250\r\n");
            play.write(behind);
            play.hears(b"250 queued\r\n");
            assert!(play.output.is_empty(), "no end of the content goes out");
            assert_eq!(play.ends(), (vec!["content broken".into()], Ending::Unusable));
        });
    }
}

#[test]
fn attack_a22_replies_ahead_of_a_flight_deliver_nothing() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        for written in [0, 5, MAIL.len() - 1] {
            with(chunking(protocol, true), "a", |mut play| {
                play.need();
                play.write(written);
                play.hears(b"550 x\r\n250\r\n250\r\n250\r\n");
                assert_eq!(play.ends(), (vec!["mail-from broken".into()], Ending::Unusable));
            });
        }
    }
}

#[test]
fn check_044_attack_a27_a_refusal_in_mid_chunk_counts_and_the_chunk_is_not_completed() {
    for early in ["552 too big", "452 full", "421 bye"] {
        with_octets(waiting(smtp()), MIB + 10, |mut play| {
            play.sent();
            play.hears(b"250\r\n250\r\n");
            play.write(100);
            play.hears(format!("{early}\r\n").as_bytes());
            assert!(play.output.is_empty());
            assert_eq!(play.ends(), (vec![format!("content {early}")], Ending::Unusable));
        });
    }
}

#[test]
fn check_014_421_ends_a_flight_wherever_it_comes_and_refusals_stand() {
    for (before, verdicts) in [
        ("", ["mail-from 421 bye, may have arrived"; 2]),
        ("250\r\n550 no\r\n", ["rcpt-to 550 no", "rcpt-to 421 bye, may have arrived"]),
        ("250\r\n550 no\r\n250\r\n", ["rcpt-to 550 no", "final 421 bye"]),
    ] {
        with(smtp(), "ab", |mut play| {
            play.sent();
            play.says(format!("{before}421 bye\r\n"));
            assert_eq!(play.ends(), (verdicts.map(String::from).into(), Ending::Unusable));
        });
    }
}

#[test]
fn law_3_check_106_421_to_one_lmtp_recipient_of_a_flight_is_no_answer_to_the_others() {
    with(lmtp(), "abc", |mut play| {
        play.sent();
        play.says("250\r\n250\r\n250\r\n250\r\n");
        play.says("250 a\r\n421 bye\r\n");
        assert_eq!(play.ends().0, ["delivered 250 a", "final 421 bye", "final broken, may have arrived"]);
    });
}

#[test]
fn attack_a32_content_of_another_size_is_never_ended() {
    for terms in [smtp(), waiting(smtp()), chunking(Protocol::Smtp, false), lmtp()] {
        for read in [
            &["short"][..],
            &[],
            &["0123456789", "0123456789", "0123456789"],
            &["twenty-two octets long", "!"],
        ] {
            let pieces = read.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
            with_pieces(terms, 22, pieces, |mut play| {
                let wire = play.sent() + &play.says("250\r\n") + &play.says("250\r\n");
                let content = wire.split_once("LAST\r\n").map_or("", |(_, content)| content);
                assert!(content.len() < 22, "{wire}");
                assert_eq!(play.ends(), (vec!["content broken".into()], Ending::Unusable));
            });
        }
    }
}

#[test]
fn attack_a32_the_last_octets_wait_until_there_is_no_more_content() {
    with(smtp(), "a", |mut play| {
        assert_eq!(play.machine.poll(&mut play.output), Need::Content);
        play.machine.handle_content(Some(Bytes::from_static(CONTENT)), &mut play.output);
        assert_eq!(play.machine.poll(&mut play.output), Need::Content);
        assert!(play.output.len() < MAIL.len() + RCPT_A.len() + LAST.len());
        assert!(!play.machine.has_sent_all());
        let unread = Interruption::Content(std::sync::Arc::new(std::io::ErrorKind::NotFound.into()));
        play.machine.handle_interruption(unread, &mut play.output);
        assert!(play.output.is_empty());
        assert_eq!(play.ends(), (vec!["content broken".into()], Ending::Unusable));
    });
}

#[test]
fn check_123_a_server_that_does_not_know_bdat_is_known_and_left() {
    for code in ["500", "502", "503", "504"] {
        for terms in [smtp(), waiting(smtp()), lmtp(), waiting(lmtp())] {
            with(terms, "ab", |mut play| {
                play.sent();
                play.says("250\r\n250\r\n250\r\n");
                play.says(format!("{code} what\r\n"));
                if terms.protocol == Protocol::Lmtp {
                    assert!(!play.machine.chunking_unknown(), "one reply is about one recipient");
                    play.says(format!("{code} what\r\n"));
                }
                assert!(play.machine.chunking_unknown(), "{code}");
                assert_eq!(play.ends(), (vec![format!("final {code} what"); 2], Ending::Unusable));
            });
        }
    }
}

#[test]
fn check_123_a_server_that_does_not_know_bdat_is_known_by_its_first_chunk_alone() {
    for (replies, unknown) in
        [("502 what\r\n", true), ("250\r\n502 what\r\n", false), ("452\r\n502\r\n", false)]
    {
        with_octets(smtp(), 2 * MIB, |mut play| {
            play.sent();
            play.says("250\r\n250\r\n");
            play.says(replies);
            assert_eq!(play.machine.chunking_unknown(), unknown, "{replies}");
        });
    }
    with_octets(waiting(smtp()), 2 * MIB, |mut play| {
        play.sent();
        play.hears(b"250\r\n250\r\n");
        play.write(20);
        play.hears(b"500 what\r\n");
        assert!(play.machine.chunking_unknown(), "in mid-chunk");
    });
}

#[test]
fn check_123_other_refusals_say_nothing_about_bdat() {
    for reply in ["550 no", "452 full", "501 syntax", "554 no", "421 bye"] {
        with(smtp(), "a", |mut play| {
            play.sent();
            play.says(format!("250\r\n250\r\n{reply}\r\n"));
            assert!(!play.machine.chunking_unknown(), "{reply}");
        });
    }
}

#[test]
fn a_transaction_opened_ahead_goes_on_in_the_stream_it_was_appended_to() {
    with(smtp(), "a", |mut play| {
        play.need();
        assert!(play.machine.has_sent_all() && !play.machine.is_settled() && play.machine.heard_nothing());
        let mut stream = Output::default();
        stream.put(b"what stands in front\r\n");
        let base = stream.end();
        stream.append(play.output.take_all(), Vec::new());
        play.machine.shift(base);
        stream.advance(stream.len() - 1);
        assert!(play.lost_in(&mut stream).iter().all(|verdict| verdict == "mail-from broken"));
    });
}

#[test]
fn a_shifted_transaction_ties_replies_to_the_places_it_moved_to() {
    with(smtp(), "a", |mut play| {
        play.need();
        play.machine.shift(100);
        let parts = play.output.take_all();
        play.output.put(&[b'-'; 100]);
        play.output.append(parts, Vec::new());
        play.write(100 + MAIL.len());
        play.hears(b"250\r\n");
        assert!(!play.machine.heard_nothing());
        play.hears(b"250\r\n");
        assert_eq!(play.ends(), (vec!["rcpt-to broken".into()], Ending::Unusable), "RCPT was not written");
    });
}

#[test]
fn what_is_still_to_come_is_known_in_every_form() {
    let known = |play: &mut Play<'_>| {
        play.need();
        let machine = &play.machine;
        (machine.wants_content_only(), machine.has_sent_all(), machine.is_settled())
    };
    for (terms, opened, answered) in [
        (smtp(), (false, true, false), (false, true, false)),
        (lmtp(), (true, false, false), (false, true, false)),
        (waiting(smtp()), (true, false, false), (false, true, false)),
        (Terms { chunking: false, ..smtp() }, (true, false, false), (true, false, false)),
        (chunking(Protocol::Smtp, false), (false, false, false), (false, false, false)),
    ] {
        with(terms, "a", |mut play| {
            assert_eq!(known(&mut play), opened);
            play.sent();
            play.says("250\r\n");
            if terms.capabilities.pipelining {
                play.says("250\r\n");
            }
            assert_eq!(known(&mut play), answered);
            play.says("421 bye\r\n");
            assert_eq!(known(&mut play), (false, true, true));
        });
    }
}

#[test]
fn check_051_119_a_last_line_is_given_its_end_by_bdat_as_well() {
    let content = Bytes::from_static(b"a: b\r\n\r\nx");
    let message = Message::from_bytes(content.clone()).unwrap();
    let envelope = envelope(&["a@x.example"]);
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let mut play = Play::new(smtp(), &envelope, &recipients, message.facts());
    play.content = vec![content];
    assert!(play.sent().ends_with("BDAT 11 LAST\r\na: b\r\n\r\nx\r\n"));
}

#[test]
fn check_015_the_reply_to_a_reset_in_front_is_no_word_about_the_message_behind_it() {
    with(terms(Protocol::Smtp, true), "a", |mut play| {
        let mut own = Output::default();
        assert_eq!(play.machine.poll(&mut own), Need::Io(Stage::MailFrom));
        play.output.put(b"RSET\r\n");
        play.output.append(own.take_all(), Vec::new());
        play.machine.follow(0, true);
        play.sent();
        play.says("250 reset\r\n");
        assert!(play.machine.heard_nothing());
        play.says("250 sender\r\n");
        assert!(!play.machine.heard_nothing());
    });
}

fn binary(terms: Terms) -> Terms {
    Terms { capabilities: Capabilities { binary_mime: true, size: None, ..terms.capabilities }, ..terms }
}

/// What goes out ahead of a message, or what becomes of its recipient without.
fn opening(terms: Terms, message: &Message) -> String {
    let envelope = envelope(&["a@x.example"]);
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let mut play = Play::new(waiting(terms), &envelope, &recipients, message.facts());
    let sent = play.sent();
    if sent.is_empty() { play.ends().0.concat() } else { sent }
}

#[test]
fn check_125_binary_content_is_announced_and_goes_by_bdat_octet_for_octet() {
    let content = Bytes::from_static(b"a: b\r\n\r\n\0\n.\r\n.\r\n\r.");
    let message = Message::from_binary(content.clone());
    let envelope = envelope(&["a@x.example"]);
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let mut play = Play::new(binary(smtp()), &envelope, &recipients, message.facts());
    play.content = vec![content];
    assert_eq!(
        play.sent(),
        "MAIL FROM:<s@example.net> BODY=BINARYMIME\r\nRCPT TO:<a@x.example>\r\nBDAT 18 LAST\r\n\
         a: b\r\n\r\n\0\n.\r\n.\r\n\r."
    );
}

#[test]
fn check_125_126_what_is_binary_goes_nowhere_without_binarymime_and_chunking() {
    let with_nul = Message::from_bytes("a: b\r\n\r\n\0\r\n").unwrap();
    let plain = Message::from_binary("a: b\r\n\r\nplain\r\n");
    for message in [with_nul, plain] {
        let announced = "MAIL FROM:<s@example.net> BODY=BINARYMIME\r\n";
        assert!(opening(binary(smtp()), &message).starts_with(announced));
        assert_eq!(opening(smtp(), &message), "BinaryMime");
        assert_eq!(opening(Terms { chunking: false, ..binary(smtp()) }, &message), "BinaryMime");
        assert_eq!(opening(binary(terms(Protocol::Smtp, true)), &message), "BinaryMime");
        assert_eq!(opening(Terms { eight_bit_clean: true, ..smtp() }, &message), "BinaryMime");
    }
}

#[test]
fn check_127_eight_bit_content_is_sent_as_it_is_or_not_at_all() {
    let message = Message::from_bytes(&b"a: b\r\n\r\n\xfc\r\n"[..]).unwrap();
    let eight = |terms: Terms| Terms {
        capabilities: Capabilities { eight_bit_mime: true, ..terms.capabilities },
        ..terms
    };
    assert!(opening(eight(smtp()), &message).starts_with("MAIL FROM:<s@example.net> BODY=8BITMIME\r\n"));
    assert_eq!(opening(smtp(), &message), "EightBitMime");
    assert_eq!(opening(binary(smtp()), &message), "EightBitMime", "text is not declared binary");
}

#[test]
fn check_056_141_what_is_declared_is_announced() {
    let message = Message::from_bytes("a: b\r\n").unwrap().declared_eight_bit().declared_smtp_utf8();
    let offered = Capabilities { eight_bit_mime: true, smtp_utf8: true, ..smtp().capabilities };
    let wanted = "MAIL FROM:<s@example.net> BODY=8BITMIME SMTPUTF8\r\n";
    assert!(opening(Terms { capabilities: offered, ..smtp() }, &message).starts_with(wanted));
    let without = Capabilities { smtp_utf8: false, ..offered };
    assert_eq!(opening(Terms { capabilities: without, ..smtp() }, &message), "Utf8Header");
}

fn form() -> impl Strategy<Value = Terms> {
    let forms = (any::<bool>(), any::<bool>(), prop::sample::select(vec![0, 64 * 1024]));
    forms.prop_map(|(lmtp, pipelining, single_flight_limit)| {
        let protocol = if lmtp { Protocol::Lmtp } else { Protocol::Smtp };
        Terms { single_flight_limit, ..chunking(protocol, pipelining) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50_000))]

    #[test]
    fn check_286_random_replies_to_bdat_deliver_only_what_is_complete(
        lines in prop::collection::vec(line(), 0..14),
        recipients in 0..5usize,
        form in form(),
        step in prop_oneof![1..40usize, Just(usize::MAX)],
    ) {
        with(form, &"abcd"[..recipients], |play| random_play(play, &lines, step, CONTENT.len()))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn check_286_random_replies_to_many_chunks_deliver_only_what_is_complete(
        lines in prop::collection::vec(line(), 0..10),
        form in form(),
        size in 2 * MIB - 1..2 * MIB + 2,
        step in prop_oneof![9000..1_000_000usize, Just(usize::MAX)],
    ) {
        with_octets(form, size, |play| random_play(play, &lines, step, size))?;
    }
}
