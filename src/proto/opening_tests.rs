//! Literal octets played at the opening.

use std::io::IoSlice;

use super::*;

/// Plays what the server says, piece by piece, and gives what went out and what came of it.
fn play(protocol: Protocol, pieces: &[&str]) -> (String, Result<Capabilities, String>) {
    play_with(|name, output| Opening::new(protocol, name, output), "", pieces)
}

/// The same where something goes out before the server says anything.
fn early(protocol: Protocol, ahead: Ahead, pieces: &[&str]) -> (String, Result<Capabilities, String>) {
    play_with(|name, output| Opening::early(protocol, name, ahead, output), "-- ", pieces)
}

/// What goes out at first stands before a mark.
fn play_with(
    begin: impl for<'a> FnOnce(&'a ClientName, &mut Output) -> Opening<'a>,
    mark: &str,
    pieces: &[&str],
) -> (String, Result<Capabilities, String>) {
    let name = ClientName::parse("c.example").unwrap();
    let mut output = Output::default();
    let mut opening = begin(&name, &mut output);
    let mut first = drain(&mut output);
    first.extend_from_slice(mark.as_bytes());
    let mut parser = ReplyParser::new(ReplyLimits::default());
    let (mut input, mut wire) = (Input::default(), first);
    for piece in pieces {
        input.extend_from_slice(piece.as_bytes());
        while opening.poll(&mut output) != Need::Nothing {
            let Ok(Some(reply)) = parser.next(&mut input) else { break };
            opening.handle_reply(reply, &mut output);
        }
        wire.extend(drain(&mut output));
    }
    (String::from_utf8(wire).unwrap(), opening.finish().map(|server| server.capabilities).map_err(shown))
}

fn drain(output: &mut Output) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 4];
    let used = output.slices(&mut slices);
    let octets: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
    output.advance(octets.len());
    octets
}

fn shown(verdict: Verdict) -> String {
    match verdict {
        Verdict::Refused(stage, reply) => format!("{stage} {reply}"),
        Verdict::Broken { stage, why, .. } => format!("{stage} broken: {why}"),
        other => format!("{other:?}"),
    }
}

const EHLO: &str = "EHLO c.example\r\n";

#[test]
fn check_018_nothing_is_sent_before_the_greeting_is_complete() {
    assert_eq!(play(Protocol::Smtp, &["220-wait\r\n", "220 "]).0, "");
    assert_eq!(play(Protocol::Smtp, &["220-wait\r\n", "220 now\r\n"]).0, EHLO);
}

#[test]
fn what_may_go_early_goes_at_once_and_once() {
    let answers = ["220 x\r\n", "250-x\r\n250 STARTTLS\r\n"];
    let (sent, result) = early(Protocol::Smtp, Ahead::StartTls, &answers);
    assert_eq!((sent.as_str(), result.unwrap().starttls), ("EHLO c.example\r\nSTARTTLS\r\n-- ", true));
    let (sent, result) = early(Protocol::Lmtp, Ahead::Nothing, &[&answers.concat()]);
    assert_eq!((sent.as_str(), result.unwrap().starttls), ("LHLO c.example\r\n-- ", true));
}

#[test]
fn check_019_020_what_went_early_is_refused_as_ever_and_helo_is_said_where_nothing_stands_behind_ehlo() {
    for greeting in ["554 no", "521 never", "450 busy", "421 bye"] {
        let (sent, result) = early(Protocol::Smtp, Ahead::Nothing, &[&format!("{greeting}\r\n")]);
        assert_eq!((sent, result.unwrap_err()), (format!("{EHLO}-- "), format!("greeting {greeting}")));
    }
    let unknown = ["220 x\r\n", "500 ?\r\n", "250 x\r\n"];
    let (sent, result) = early(Protocol::Smtp, Ahead::Nothing, &unknown);
    assert_eq!((sent, result), (format!("{EHLO}-- HELO c.example\r\n"), Ok(Capabilities::default())));
    let (sent, result) = early(Protocol::Smtp, Ahead::StartTls, &unknown);
    assert_eq!((sent, result.unwrap_err().as_str()), (format!("{EHLO}STARTTLS\r\n-- "), "hello 500 ?"));
}

#[test]
fn attack_a22_answers_that_come_before_an_early_ehlo_was_written_break_it() {
    let name = ClientName::parse("c.example").unwrap();
    let mut output = Output::default();
    let mut opening = Opening::early(Protocol::Smtp, &name, Ahead::StartTls, &mut output);
    for text in ["x", "x\nSTARTTLS"] {
        opening
            .handle_reply(Reply::new(ReplyCode::new(if text == "x" { 220 } else { 250 }), text), &mut output);
    }
    assert_eq!(shown(opening.finish().unwrap_err()), "hello broken: the server broke the protocol");
}

#[test]
fn check_019_a_greeting_that_refuses_ends_it() {
    for greeting in ["554 no", "521 never", "450 busy", "421 bye"] {
        let (sent, result) = play(Protocol::Smtp, &[&format!("{greeting}\r\n")]);
        assert_eq!((sent.as_str(), result.unwrap_err()), ("", format!("greeting {greeting}")));
    }
}

#[test]
fn check_020_helo_is_said_where_ehlo_is_unknown_and_nowhere_else() {
    for code in [500, 501, 502, 504, 550] {
        let (sent, result) =
            play(Protocol::Smtp, &["220 x\r\n", &format!("{code} ?\r\n"), "250-x\r\n250 PIPELINING\r\n"]);
        assert_eq!(sent, format!("{EHLO}HELO c.example\r\n"));
        assert_eq!(result.unwrap(), Capabilities::default(), "HELO offers nothing");
    }
    for reply in ["451 later", "421 bye", "554 no", "530 no"] {
        let (sent, result) = play(Protocol::Smtp, &["220 x\r\n", &format!("{reply}\r\n")]);
        assert_eq!((sent.as_str(), result.unwrap_err()), (EHLO, format!("hello {reply}")));
    }
}

#[test]
fn check_020_a_refused_helo_is_the_end() {
    let (_, result) = play(Protocol::Smtp, &["220 x\r\n", "500 ?\r\n", "550 no\r\n"]);
    assert_eq!(result.unwrap_err(), "hello 550 no");
}

#[test]
fn check_102_lmtp_says_lhlo_and_never_helo() {
    assert_eq!(play(Protocol::Lmtp, &["220 x\r\n", "250 x\r\n"]).0, "LHLO c.example\r\n");
    let (sent, result) = play(Protocol::Lmtp, &["220 x\r\n", "500 ?\r\n"]);
    assert_eq!((sent.as_str(), result.unwrap_err().as_str()), ("LHLO c.example\r\n", "hello 500 ?"));
}

#[test]
fn check_006_008_greetings_and_answers_without_meaning_break_it() {
    for greeting in ["354 go", "150 x", "999 x"] {
        let (sent, result) = play(Protocol::Smtp, &[&format!("{greeting}\r\n")]);
        assert!(sent.is_empty() && result.unwrap_err().starts_with("greeting broken"), "{greeting}");
    }
    assert!(play(Protocol::Smtp, &["220 x\r\n", "354 x\r\n"]).1.unwrap_err().starts_with("hello broken"));
}

#[test]
fn attack_a22_an_answer_ahead_of_ehlo_breaks_it() {
    let (_, result) = play(Protocol::Smtp, &["220 x\r\n250-x\r\n250 PIPELINING\r\n"]);
    assert_eq!(result.unwrap_err(), "hello broken: the server broke the protocol");
}

#[test]
fn check_157_greeting_and_hello_have_no_enhanced_code() {
    let name = ClientName::parse("c.example").unwrap();
    let mut output = Output::default();
    let mut opening = Opening::new(Protocol::Smtp, &name, &output);
    opening.handle_reply(Reply::new(ReplyCode::new(554), "5.7.1 no"), &mut output);
    let Err(Verdict::Refused(_, reply)) = opening.finish() else { panic!("not refused") };
    assert_eq!((reply.enhanced(), reply.to_string().as_str()), (None, "554 5.7.1 no"));
}
