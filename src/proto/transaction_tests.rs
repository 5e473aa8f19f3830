//! Literal octets played at the transaction.

use proptest::prelude::*;

use super::play::{CONTENT, Play, envelope, facts, line, smtp, terms, with};
use super::*;
use crate::mail::{Envelope, Message, Recipient};

const MAIL: &str = "MAIL FROM:<s@example.net>\r\n";
const GROUP_A: &str = "MAIL FROM:<s@example.net>\r\nRCPT TO:<a@x.example>\r\nDATA\r\n";
const WIRE: &str = "Subject: x\r\n\r\n..hello\r\n.\r\n";

#[test]
fn check_113_a_group_ends_with_data_and_the_content_with_the_dot() {
    with(smtp(), "a", |mut play| {
        assert_eq!(play.sent(), GROUP_A);
        assert_eq!(play.says("250 ok\r\n250 ok\r\n354 go\r\n"), WIRE);
        assert_eq!(play.says("250 2.0.0 queued\r\n"), "");
        assert_eq!(play.ends(), (vec!["delivered 250 2.0.0 queued".into()], Ending::Complete));
    });
}

#[test]
fn check_112_without_pipelining_every_command_waits() {
    with(terms(Protocol::Smtp, false), "ab", |mut play| {
        assert_eq!(play.sent(), MAIL);
        assert_eq!(play.says("250\r\n"), "RCPT TO:<a@x.example>\r\n");
        assert_eq!(play.says("250\r\n"), "RCPT TO:<b@x.example>\r\n");
        assert_eq!(play.says("250\r\n"), "DATA\r\n");
        assert_eq!(play.says("354\r\n"), WIRE);
        play.says("250\r\n");
        assert_eq!(play.ends(), (vec!["delivered 250".into(), "delivered 250".into()], Ending::Complete));
    });
}

#[test]
fn check_112_a_host_may_do_without_pipelining() {
    with(Terms { pipelining: false, ..smtp() }, "a", |mut play| assert_eq!(play.sent(), MAIL));
}

#[test]
fn check_035_every_reply_belongs_to_its_recipient() {
    for last in ["250 ok", "451 no"] {
        with(smtp(), "abcd", |mut play| {
            play.sent();
            play.says("250\r\n250 a\r\n450 b\r\n550 c\r\n250 d\r\n354\r\n");
            play.says(format!("{last}\r\n"));
            let content = if last == "250 ok" { "delivered 250 ok" } else { "final 451 no" };
            assert_eq!(play.ends().0, [content, "rcpt-to 450 b", "rcpt-to 550 c", content]);
        });
    }
}

#[test]
fn check_114_replies_are_tied_by_their_order_not_by_their_text() {
    with(smtp(), "ab", |mut play| {
        play.sent();
        play.says("250 DATA\r\n550 <b@x.example>\r\n250 <a@x.example>\r\n354 MAIL\r\n");
        play.says("250 no <b@x.example>\r\n");
        assert_eq!(play.ends().0, ["rcpt-to 550 <b@x.example>", "delivered 250 no <b@x.example>"]);
    });
}

#[test]
fn check_007_only_the_code_decides() {
    with(smtp(), "ab", |mut play| {
        play.sent();
        play.says("250\r\n250 5.1.1 nope\r\n550 2.1.5 ok\r\n354\r\n");
        play.says("250\r\n");
        assert_eq!(play.ends().0, ["delivered 250", "rcpt-to 550 2.1.5 ok"]);
    });
}

#[test]
fn check_004_005_other_2yz_codes_accept() {
    with(smtp(), "abc", |mut play| {
        play.sent();
        play.says("299\r\n251 will forward to <x@evil.example>\r\n252\r\n299\r\n354\r\n");
        play.says("260\r\n");
        assert_eq!(play.ends().0, ["delivered 260"; 3]);
    });
}

#[test]
fn check_037_without_an_accepted_recipient_no_data_is_sent() {
    with(terms(Protocol::Smtp, false), "a", |mut play| {
        play.sent();
        play.says("250\r\n");
        assert_eq!(play.says("550 no\r\n"), "");
        assert_eq!(play.ends(), (vec!["rcpt-to 550 no".into()], Ending::Aborted));
    });
}

#[test]
fn check_115_mail_refused_in_a_group_and_354_gets_a_lone_dot() {
    with(smtp(), "ab", |mut play| {
        play.sent();
        assert_eq!(play.says("550 no\r\n503\r\n503\r\n354 go\r\n"), ".\r\n");
        play.says("250 ok\r\n");
        assert_eq!(play.ends(), (vec!["mail-from 550 no".into(); 2], Ending::Complete));
    });
}

#[test]
fn check_115_mail_refused_in_a_group_and_503_to_the_rest() {
    with(smtp(), "a", |mut play| {
        play.sent();
        assert_eq!(play.says("550 no\r\n503\r\n503\r\n"), "");
        assert_eq!(play.ends(), (vec!["mail-from 550 no".into()], Ending::Aborted));
    });
}

#[test]
fn check_116_a_2yz_to_a_lone_dot_delivers_nobody() {
    with(smtp(), "a", |mut play| {
        play.sent();
        assert_eq!(play.says("250\r\n550 no\r\n354\r\n"), ".\r\n");
        play.says("250 queued\r\n");
        assert_eq!(play.ends().0, ["rcpt-to 550 no"]);
    });
}

#[test]
fn check_108_lmtp_awaits_nothing_after_a_lone_dot() {
    with(terms(Protocol::Lmtp, true), "a", |mut play| {
        play.sent();
        assert_eq!(play.says("250\r\n550 no\r\n354\r\n"), ".\r\n");
        assert_eq!(play.ends(), (vec!["rcpt-to 550 no".into()], Ending::Unusable));
    });
}

#[test]
fn check_104_105_lmtp_has_a_reply_for_each_accepted_recipient() {
    with(terms(Protocol::Lmtp, true), "aab", |mut play| {
        play.sent();
        play.says("250\r\n250\r\n250\r\n550 no\r\n354\r\n");
        play.says("250-x\r\n250 a\r\n");
        play.says("452 full\r\n");
        assert_eq!(
            play.ends(),
            (
                vec!["delivered 250-x / 250 a".into(), "final 452 full".into(), "rcpt-to 550 no".into()],
                Ending::Complete
            )
        );
    });
}

#[test]
fn check_106_lmtp_replies_that_came_count_and_the_rest_may_have_arrived() {
    with(terms(Protocol::Lmtp, true), "abc", |mut play| {
        play.sent();
        play.says("250\r\n250\r\n250\r\n250\r\n354\r\n");
        play.says("250 a\r\n");
        let may = "final broken, may have arrived".to_owned();
        assert_eq!(play.lost(), (vec!["delivered 250 a".into(), may.clone(), may], Ending::Unusable));
    });
}

#[test]
fn law_3_check_106_421_to_one_lmtp_recipient_is_no_answer_to_the_others() {
    with(terms(Protocol::Lmtp, true), "abc", |mut play| {
        play.sent();
        play.says("250\r\n250\r\n250\r\n250\r\n354\r\n");
        play.says("250 a\r\n421 bye\r\n");
        assert_eq!(play.ends().0, ["delivered 250 a", "final 421 bye", "final broken, may have arrived"]);
    });
}

#[test]
fn attack_a24_a_surplus_lmtp_reply_changes_nothing() {
    with(terms(Protocol::Lmtp, true), "ab", |mut play| {
        play.sent();
        play.says("250\r\n250\r\n250\r\n354\r\n");
        play.says("250 a\r\n550 b\r\n250 c\r\n");
        assert_eq!(play.input.rest(), b"250 c\r\n", "is left for the session to find");
        assert_eq!(play.ends().0, ["delivered 250 a", "final 550 b"]);
    });
}

#[test]
fn check_014_421_ends_it_wherever_it_comes_and_refusals_stand() {
    for (before, stage) in [("", "mail-from"), ("250\r\n", "rcpt-to"), ("250\r\n550 no\r\n", "rcpt-to")] {
        with(smtp(), "abc", |mut play| {
            play.sent();
            assert_eq!(play.says(format!("{before}421 bye\r\n")), "");
            let (verdicts, ending) = play.ends();
            let first =
                if before.contains("550") { "rcpt-to 550 no".to_owned() } else { format!("{stage} 421 bye") };
            assert_eq!(verdicts, [first, format!("{stage} 421 bye"), format!("{stage} 421 bye")]);
            assert_eq!(ending, Ending::Unusable);
        });
    }
}

#[test]
fn check_118_what_was_answered_before_eof_counts_and_the_group_is_not_at_fault() {
    with(smtp(), "abc", |mut play| {
        play.sent();
        play.says("250\r\n250\r\n550 no\r\n");
        play.machine.handle_interruption(Interruption::Disconnected, &mut play.output);
        assert_eq!(play.machine.fault(), None);
        assert_eq!(play.ends().0, ["rcpt-to broken", "rcpt-to 550 no", "rcpt-to broken"]);
    });
}

#[test]
fn check_118_after_eof_in_lock_step_refusals_count() {
    with(terms(Protocol::Smtp, false), "abc", |mut play| {
        play.sent();
        for reply in ["250\r\n", "250\r\n", "550 no\r\n"] {
            play.says(reply);
        }
        assert_eq!(play.lost().0, ["rcpt-to broken", "rcpt-to 550 no", "rcpt-to broken"]);
    });
}

#[test]
fn check_006_008_codes_without_meaning_end_the_transaction() {
    for code in ["150", "650", "000", "999", "354", "300"] {
        with(smtp(), "ab", |mut play| {
            play.sent();
            assert_eq!(play.says(format!("250\r\n{code} x\r\n250\r\n354\r\n")), "");
            assert_eq!(play.ends(), (vec!["rcpt-to broken".into(); 2], Ending::Unusable), "{code}");
        });
    }
}

#[test]
fn check_009_only_354_starts_the_content() {
    for code in ["250", "300", "355", "220"] {
        with(smtp(), "a", |mut play| {
            play.sent();
            assert_eq!(play.says(format!("250\r\n250\r\n{code}\r\n")), "", "{code}");
            assert_eq!(play.ends(), (vec!["data broken".into()], Ending::Unusable));
        });
    }
}

#[test]
fn check_035_a_refused_data_is_the_answer_of_those_that_were_accepted() {
    with(smtp(), "ab", |mut play| {
        play.sent();
        assert_eq!(play.says("250\r\n250\r\n550 no\r\n451 later\r\n"), "");
        assert_eq!(play.ends(), (vec!["data 451 later".into(), "rcpt-to 550 no".into()], Ending::Aborted));
    });
}

#[test]
fn check_042_a_loss_after_the_end_of_the_content_may_have_arrived() {
    with(smtp(), "a", |mut play| {
        play.sent();
        play.says("250\r\n250\r\n354\r\n");
        assert_eq!(play.lost().0, ["final broken, may have arrived"]);
    });
}

#[test]
fn check_042_a_loss_before_the_last_octet_of_the_end_cannot_have_arrived() {
    with(smtp(), "a", |mut play| {
        play.sent();
        play.hears(b"250\r\n250\r\n354\r\n");
        play.write(WIRE.len() - 1);
        assert_eq!(play.lost().0, ["content broken"]);
    });
}

#[test]
fn check_043_attack_a23_an_early_250_is_no_acceptance() {
    with(smtp(), "a", |mut play| {
        play.sent();
        play.hears(b"250\r\n250\r\n354\r\n250 queued\r\n");
        assert!(play.output.is_empty(), "no end of the content goes out");
        assert_eq!(play.ends(), (vec!["content broken".into()], Ending::Unusable));
    });
}

#[test]
fn check_044_attack_a27_an_early_refusal_counts_and_the_content_is_not_ended() {
    for early in ["552 too big", "452 full", "421 bye"] {
        with(smtp(), "ab", |mut play| {
            play.sent();
            play.hears(b"250\r\n250\r\n550 no\r\n354\r\n");
            play.write(5);
            play.hears(format!("{early}\r\n").as_bytes());
            assert!(play.output.is_empty(), "no end of the content goes out");
            assert_eq!(
                play.ends(),
                (vec![format!("content {early}"), "rcpt-to 550 no".into()], Ending::Unusable)
            );
        });
    }
}

#[test]
fn attack_a22_replies_ahead_of_commands_deliver_nothing() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        for pipelining in [true, false] {
            with(terms(protocol, pipelining), "ab", |mut play| {
                play.sent();
                play.says("250\r\n250\r\n250\r\n250\r\n354\r\n250\r\n250\r\n");
                let (verdicts, ending) = play.ends();
                assert!(verdicts.iter().all(|verdict| verdict.ends_with("broken")), "{verdicts:?}");
                assert_eq!(ending, Ending::Unusable);
            });
        }
    }
}

#[test]
fn check_117_many_recipients_go_out_in_bounded_groups() {
    let names: Vec<_> = (0..5000).map(|n| format!("r{n}@x.example")).collect();
    let envelope = envelope(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let mut play = Play::new(smtp(), &envelope, &recipients, &facts());
    let (mut commands, mut most) = (0, 0);
    play.need();
    while !play.output.is_empty() {
        most = most.max(play.output.len());
        commands += play.write(usize::MAX).iter().filter(|octet| **octet == b'\n').count();
        play.need();
    }
    assert_eq!(commands, 5002);
    assert!(most < 20_000, "{most} octets at once");
}

#[test]
fn check_033_the_null_reverse_path_is_sent_as_it_is() {
    let envelope = Envelope::new("").unwrap().to("a@x.example").unwrap();
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let mut play = Play::new(terms(Protocol::Smtp, false), &envelope, &recipients, &facts());
    assert_eq!(play.sent(), "MAIL FROM:<>\r\n");
}

#[test]
fn check_049_postmaster_needs_no_domain() {
    let envelope = Envelope::new("").unwrap().to("Postmaster").unwrap();
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let mut play = Play::new(smtp(), &envelope, &recipients, &facts());
    assert_eq!(play.sent(), "MAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n");
}

fn mail_line(capabilities: Capabilities, envelope: &Envelope, content: &'static [u8]) -> String {
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let facts = *Message::from_bytes(content).unwrap().facts();
    let mut play = Play::new(Terms { capabilities, ..smtp() }, envelope, &recipients, &facts);
    play.sent()
}

#[test]
fn check_025_056_128_parameters_are_sent_where_they_are_offered() {
    let eight_bit = "Subject: x\r\n\r\nGr\u{fc}\u{df}e\r\n".as_bytes();
    let offered =
        Capabilities { size: Some(SizeLimit::Octets(1000)), eight_bit_mime: true, ..Capabilities::default() };
    assert_eq!(
        mail_line(offered, &envelope(&["a@x.example"]), eight_bit),
        "MAIL FROM:<s@example.net> SIZE=23 BODY=8BITMIME\r\n"
    );
    assert_eq!(mail_line(Capabilities::default(), &envelope(&["a@x.example"]), CONTENT), MAIL);
}

#[test]
fn check_148_149_151_dsn_parameters_are_passed_or_left_out() {
    use crate::mail::{EnvelopeId, ForwardPath, Notify, OriginalRecipient, Ret};
    let recipient = Recipient::new(ForwardPath::parse("a@x.example").unwrap())
        .with_notify(Notify::parse("success,delay").unwrap())
        .with_original_recipient(OriginalRecipient::parse("rfc822;A+B@X").unwrap());
    let envelope = Envelope::new("s@example.net")
        .unwrap()
        .recipient(recipient)
        .with_ret(Ret::Headers)
        .with_envelope_id(EnvelopeId::parse("a+b").unwrap());
    let dsn = Capabilities { dsn: true, pipelining: true, ..Capabilities::default() };
    assert_eq!(
        mail_line(dsn, &envelope, CONTENT),
        "MAIL FROM:<s@example.net> RET=HDRS ENVID=a+2Bb\r\n\
         RCPT TO:<a@x.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;A+2BB@X\r\nDATA\r\n"
    );
    assert_eq!(mail_line(Capabilities { dsn: false, ..dsn }, &envelope, CONTENT), GROUP_A);
}

fn verdicts_before_mail(
    capabilities: Capabilities,
    recipients: &[&str],
    content: &'static [u8],
) -> Vec<String> {
    let envelope = envelope(recipients);
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let facts = *Message::from_bytes(content).unwrap().facts();
    let mut play = Play::new(Terms { capabilities, ..smtp() }, &envelope, &recipients, &facts);
    assert_eq!(play.sent(), "", "nothing is sent");
    play.ends().0
}

#[test]
fn check_055_056_129_141_what_the_server_lacks_is_said_before_mail() {
    let plain = Capabilities::default();
    let eight = Capabilities { eight_bit_mime: true, ..plain };
    let small = Capabilities { size: Some(SizeLimit::Octets(10)), ..plain };
    let utf8_header = "Subject: \u{fc}\r\n\r\n".as_bytes();
    assert_eq!(verdicts_before_mail(plain, &["a@x.example"], b"a: b\r\n\r\n\xfc\r\n"), ["EightBitMime"]);
    assert_eq!(verdicts_before_mail(eight, &["a@x.example"], b"a: b\r\n\r\n\0\r\n"), ["BinaryMime"]);
    assert_eq!(verdicts_before_mail(eight, &["a@x.example"], utf8_header), ["Utf8Header"]);
    assert_eq!(verdicts_before_mail(eight, &["\u{fc}@x.example"], CONTENT), ["Utf8Mailbox"]);
    assert_eq!(verdicts_before_mail(small, &["a@x.example"], CONTENT), ["Size { limit: 10, size: 22 }"]);
}

/// First commands for a message with UTF-8 in its header, or the extension that is missing.
fn utf8_header(terms: Terms, envelope: &Envelope) -> String {
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let message = Message::from_bytes("Subject: \u{fc}\r\n\r\n".as_bytes()).unwrap();
    let mut play = Play::new(terms, envelope, &recipients, message.facts());
    let sent = play.sent();
    if sent.is_empty() { play.ends().0.join(" ") } else { sent }
}

#[test]
fn check_141_a_relay_without_smtputf8_receives_a_utf8_header_as_eight_bit_content() {
    let plain = Capabilities::default();
    let eight = Capabilities { eight_bit_mime: true, ..plain };
    let both = Capabilities { smtp_utf8: true, ..eight };
    let relay = |capabilities| Terms { capabilities, utf8_header_as_eight_bit: true, ..smtp() };
    let exchanger = |capabilities| Terms { capabilities, ..smtp() };
    let to = envelope(&["a@x.example"]);
    let declared = to.clone().without_smtp_utf8();
    let (as_eight_bit, as_utf8) = (
        "MAIL FROM:<s@example.net> BODY=8BITMIME\r\n",
        "MAIL FROM:<s@example.net> BODY=8BITMIME SMTPUTF8\r\n",
    );
    for (terms, envelope, wanted) in [
        (relay(eight), &to, as_eight_bit),
        (relay(both), &to, as_utf8),
        (relay(plain), &to, "EightBitMime"),
        (exchanger(eight), &to, "Utf8Header"),
        (exchanger(both), &to, as_utf8),
        (exchanger(plain), &to, "Utf8Header"),
        (relay(eight), &declared, as_eight_bit),
        (relay(both), &declared, as_eight_bit),
        (exchanger(eight), &declared, as_eight_bit),
        (exchanger(both), &declared, as_eight_bit),
        (exchanger(plain), &declared, "EightBitMime"),
    ] {
        assert_eq!(utf8_header(terms, envelope), wanted, "{terms:?} {envelope:?}");
    }
}

#[test]
fn check_141_a_mailbox_in_utf8_needs_smtputf8_wherever_it_goes() {
    let eight = Capabilities { eight_bit_mime: true, ..Capabilities::default() };
    let relay = Terms { capabilities: eight, utf8_header_as_eight_bit: true, ..smtp() };
    let to = envelope(&["\u{fc}@x.example"]).without_smtp_utf8();
    assert_eq!(utf8_header(relay, &to), "Utf8Mailbox");
    let offered = Terms { capabilities: Capabilities { smtp_utf8: true, ..eight }, ..relay };
    assert!(utf8_header(offered, &to).ends_with(" SMTPUTF8\r\n"));
}

#[test]
fn check_146_an_original_recipient_is_in_utf8_only_behind_smtputf8() {
    use crate::mail::OriginalRecipient;
    let to = |mailbox: &str| {
        let original = OriginalRecipient::parse("utf-8;\u{fc}@x").unwrap();
        let recipient = Recipient::parse(mailbox).unwrap().with_original_recipient(original);
        Envelope::new("").unwrap().recipient(recipient)
    };
    let dsn = Capabilities { dsn: true, pipelining: true, ..Capabilities::default() };
    let utf8 = Capabilities { smtp_utf8: true, ..dsn };
    for (offered, mailbox, wanted) in [
        (dsn, "a@x.example", r" ORCPT=utf-8;\x{FC}@x"),
        (utf8, "a@x.example", r" ORCPT=utf-8;\x{FC}@x"),
        (utf8, "\u{e4}@x.example", " ORCPT=utf-8;\u{fc}@x"),
    ] {
        let sent = mail_line(offered, &to(mailbox), CONTENT);
        assert!(sent.contains(&format!("<{mailbox}>{wanted}\r\n")), "{sent}");
    }
}

#[test]
fn check_054_long_lines_are_sent_unless_the_host_refuses_them() {
    for (length, refuse, sent) in [(998, true, true), (999, true, false), (999, false, true)] {
        let content = [vec![b'x'; length], b"\r\n".to_vec()].concat();
        let facts = *Message::from_bytes(content).unwrap().facts();
        let envelope = envelope(&["a@x.example"]);
        let recipients: Vec<_> = envelope.recipients().iter().collect();
        let mut play =
            Play::new(Terms { refuse_long_lines: refuse, ..smtp() }, &envelope, &recipients, &facts);
        assert_eq!(!play.sent().is_empty(), sent, "{length} {refuse}");
    }
}

#[test]
fn check_141_only_the_recipients_that_need_smtputf8_go_without_it() {
    let envelope = envelope(&["\u{fc}@x.example", "a@x.example"]);
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    let mut play = Play::new(smtp(), &envelope, &recipients, &facts());
    assert_eq!(play.sent(), GROUP_A);
    play.says("250\r\n250\r\n354\r\n");
    play.says("250\r\n");
    assert_eq!(play.ends().0, ["Utf8Mailbox", "delivered 250"]);
}

/// What is seen on the wire must be a prefix of what a sound client may send.
fn check_wire(wire: &str, accepted: bool) -> Result<(), TestCaseError> {
    let data = wire.find("DATA\r\n").map(|at| at + 6);
    let behind = data.map_or("", |at| &wire[at..]);
    // RSET is no content
    let content = behind.strip_prefix("RSET\r\n").unwrap_or(behind);
    prop_assert!(content.is_empty() || content == ".\r\n" || accepted, "content without 354: {wire:?}");
    prop_assert!(!wire.contains("..hello\r\n.\r\n."), "two ends: {wire:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn replies_that_are_left_out_change_nothing(
        lines in prop::collection::vec(line(), 0..14),
        recipients in 1..5usize,
        (lmtp, pipelining, chunking, together) in any::<(bool, bool, bool, bool)>(),
        step in prop_oneof![1..40usize, Just(usize::MAX)],
    ) {
        let plain = terms(if lmtp { Protocol::Lmtp } else { Protocol::Smtp }, pipelining);
        let terms = Terms { capabilities: Capabilities { chunking, ..plain.capabilities }, ..plain };
        let pieces = if together { vec![lines.concat()] } else { lines };
        let played = [true, false].map(|by_code| {
            with(terms, &"abcd"[..recipients], |mut play| {
                play.by_code = by_code;
                let mut wire = Vec::new();
                for piece in &pieces {
                    play.need();
                    wire.extend(play.write(step));
                    play.hears(piece.as_bytes());
                }
                let heard_nothing = play.machine.heard_nothing();
                (wire, heard_nothing, play.lost())
            })
        });
        prop_assert_eq!(&played[0], &played[1]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn check_286_random_replies_give_every_recipient_one_verdict(
        lines in prop::collection::vec(line(), 0..14),
        recipients in 0..5usize,
        lmtp in any::<bool>(),
        pipelining in any::<bool>(),
        together in any::<bool>(),
        step in prop_oneof![1..40usize, Just(usize::MAX)],
    ) {
        let protocol = if lmtp { Protocol::Lmtp } else { Protocol::Smtp };
        with(terms(protocol, pipelining), &"abcd"[..recipients], |mut play| {
            let mut wire = Vec::new();
            let (mut go, mut broken_at) = (false, None);
            let pieces = if together { vec![lines.concat()] } else { lines.clone() };
            for piece in &pieces {
                while play.need() != Need::Nothing && !play.output.is_empty() {
                    wire.extend(play.write(step));
                }
                go |= piece.contains("354");
                play.hears(piece.as_bytes());
                if play.machine.ending == Ending::Unusable && broken_at.is_none() && play.output.is_empty() {
                    broken_at = Some(wire.len());
                }
            }
            while play.need() != Need::Nothing && !play.output.is_empty() {
                wire.extend(play.write(step));
            }
            if let Some(at) = broken_at {
                prop_assert_eq!(at, wire.len(), "nothing goes out after an error");
            }
            let ended = wire.ends_with(b"..hello\r\n.\r\n");
            let (verdicts, _) = play.lost();
            prop_assert_eq!(verdicts.len(), recipients);
            for verdict in &verdicts {
                prop_assert!(!verdict.starts_with("delivered") || ended, "{verdicts:?} after {wire:?}");
                prop_assert!(!verdict.contains("may have") || ended, "{verdicts:?} after {wire:?}");
            }
            check_wire(std::str::from_utf8(&wire).unwrap(), go)
        })?;
    }
}
