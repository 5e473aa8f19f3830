//! A transaction whose server is typed in by hand, for tests.

use std::io::IoSlice;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::mail::{ContentFacts, Envelope, Message, Recipient};

pub(super) const CONTENT: &[u8] = b"Subject: x\r\n\r\n.hello\r\n";

/// A transaction with its server's replies typed in by hand.
pub(super) struct Play<'a> {
    pub(super) machine: Transaction<'a>,
    pub(super) output: Output,
    pub(super) input: Input,
    parser: ReplyParser,
    /// Whether replies are left out of which the code will do.
    pub(super) by_code: bool,
    pub(super) content: Vec<Bytes>,
}

impl<'a> Play<'a> {
    pub(super) fn new(
        terms: Terms,
        envelope: &'a Envelope,
        recipients: &'a [&'a Recipient],
        facts: &ContentFacts,
    ) -> Self {
        Self {
            machine: Transaction::new(terms, envelope, recipients, facts),
            output: Output::default(),
            input: Input::default(),
            parser: ReplyParser::new(ReplyLimits::default()),
            by_code: true,
            content: vec![Bytes::from_static(CONTENT)],
        }
    }

    /// What the machine needs, content served.
    pub(super) fn need(&mut self) -> Need {
        loop {
            match self.machine.poll(&mut self.output) {
                Need::Content => {
                    let piece = self.content.pop();
                    self.machine.handle_content(piece, &mut self.output);
                }
                need => return need,
            }
        }
    }

    /// Everything that goes out now.
    pub(super) fn sent(&mut self) -> String {
        let mut wire = Vec::new();
        while self.need() != Need::Nothing && !self.output.is_empty() {
            wire.extend(self.write(usize::MAX));
        }
        String::from_utf8(wire).unwrap()
    }

    /// At most `max` octets that go out now.
    pub(super) fn write(&mut self, max: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let used = self.output.slices(&mut slices);
        let mut octets: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
        octets.truncate(max);
        self.output.advance(octets.len());
        octets
    }

    /// Hands in what the server says, and gives what goes out then.
    pub(super) fn says(&mut self, octets: impl AsRef<[u8]>) -> String {
        self.hears(octets.as_ref());
        self.sent()
    }

    pub(super) fn hears(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
        while self.need() != Need::Nothing {
            let heard = self.next_heard();
            self.machine.poll(&mut self.output);
            match heard {
                Ok(Heard::Reply(reply)) => self.machine.handle_reply(reply, &mut self.output),
                Ok(Heard::Nothing | Heard::Code) => {
                    self.need();
                    return;
                }
                Err(error) => {
                    return self
                        .machine
                        .handle_interruption(ProtocolError::from(error).into(), &mut self.output);
                }
            }
        }
    }

    /// What comes behind replies of which the code did; the machine is not asked between these.
    fn next_heard(&mut self) -> Result<Heard, ReplyError> {
        loop {
            let take = |code| self.by_code && self.machine.handle_code(code, &mut self.output);
            match self.parser.hear(&mut self.input, take)? {
                Heard::Code => {}
                other => return Ok(other),
            }
        }
    }

    pub(super) fn lost(mut self) -> (Vec<String>, Ending) {
        self.machine.handle_interruption(Interruption::Disconnected, &mut self.output);
        self.ends()
    }

    /// The verdicts after a loss, with what was written in another stream.
    pub(super) fn lost_in(mut self, stream: &mut Output) -> Vec<String> {
        self.machine.handle_interruption(Interruption::Disconnected, stream);
        self.machine.finish().0.iter().map(shown).collect()
    }

    pub(super) fn ends(mut self) -> (Vec<String>, Ending) {
        assert_eq!(self.need(), Need::Nothing);
        if let Some(surplus) = self.parser.take_surplus(&mut self.input) {
            self.machine.handle_surplus(&surplus);
        }
        let (verdicts, ending) = self.machine.finish();
        (verdicts.iter().map(shown).collect(), ending)
    }
}

pub(super) fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Delivered(reply) => format!("delivered {reply}"),
        Verdict::Refused(stage, reply) => format!("{stage} {reply}"),
        Verdict::ClosedBehind(stage, reply) => format!("{stage} {reply}, may have arrived"),
        Verdict::Unsupported(missing) => format!("{missing:?}"),
        Verdict::Broken { stage, may_have_arrived: true, .. } => format!("{stage} broken, may have arrived"),
        Verdict::Broken { stage, .. } => format!("{stage} broken"),
    }
}

pub(super) fn terms(protocol: Protocol, pipelining: bool) -> Terms {
    let capabilities = Capabilities { pipelining, ..Capabilities::default() };
    Terms {
        protocol,
        capabilities,
        pipelining: true,
        chunking: true,
        single_flight_limit: 64 * 1024,
        eight_bit_clean: false,
        utf8_header_as_eight_bit: false,
        refuse_long_lines: false,
        authenticated: false,
        kept_text: 2048,
    }
}

pub(super) fn smtp() -> Terms {
    terms(Protocol::Smtp, true)
}

pub(super) fn envelope(recipients: &[&str]) -> Envelope {
    let envelope = Envelope::new("s@example.net").unwrap();
    recipients.iter().fold(envelope, |envelope, recipient| envelope.to(recipient).unwrap())
}

pub(super) fn facts() -> ContentFacts {
    *Message::from_bytes(CONTENT).unwrap().facts()
}

/// Runs a play with the recipients a@x.example, b@x.example and so on.
pub(super) fn with<T>(terms: Terms, names: &str, play: impl FnOnce(Play<'_>) -> T) -> T {
    let names: Vec<_> = names.chars().map(|name| format!("{name}@x.example")).collect();
    let envelope = envelope(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let recipients: Vec<_> = envelope.recipients().iter().collect();
    play(Play::new(terms, &envelope, &recipients, &facts()))
}

/// A line of a server that keeps to the protocol, or not.
pub(super) fn line() -> impl Strategy<Value = String> {
    let usual = prop::sample::select(vec![
        "250 ok",
        "250 ok",
        "250-a\r\n250 b",
        "354 go",
        "354 go",
        "550 no",
        "450 no",
    ]);
    let odd = prop::sample::select(vec![
        "421 bye",
        "251 x",
        "299 x",
        "150 x",
        "999 x",
        "250",
        "354",
        "junk",
        "250-a\r\n550 b",
        "250 a\n250 b",
        "2",
        "",
        "552 5.3.4",
    ]);
    prop_oneof![8 => usual, 2 => odd].prop_map(|line| format!("{line}\r\n"))
}
