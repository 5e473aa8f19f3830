//! Reply streams into a session: greeting, EHLO, and up to two transactions.
//!
//! An input is two bytes of settings and a script of the server.

use std::ops::Range;
use std::sync::LazyLock;

use nexthop::transport::{Session, SessionSettings};
use nexthop::{ClientName, Envelope, Message, Outcome, Protocol};

use super::commands;
use super::dialogue::{Asked, Content, Dialogue, Replies, Reply, Step};
use super::script::{divided, joined, releases};
use super::trace::Trace;
use super::wire::{Record, Release, Script, Wire};

/// Bytes that the client reads at once.
const READ: usize = 4096;
/// Bytes of a script that is also sent byte by byte.
const MAX_DIVIDED: usize = 2000;
/// Characters of a detail.
const MAX_DETAIL: usize = 1000;

/// Settings of both sides, from two bytes.
#[derive(Debug, Clone)]
struct Setup {
    protocol: Protocol,
    settings: SessionSettings,
    closes: bool,
    messages: usize,
    appetite: usize,
    write_step: usize,
    recipients: usize,
    content: usize,
}

/// A message that was handed to a session.
#[derive(Debug)]
struct Sent {
    outcomes: Vec<Outcome>,
    /// Bytes that the client had written before and after.
    written: Range<usize>,
}

/// A session that is over.
#[derive(Debug)]
struct Run {
    record: Record,
    /// `None`: there was no session.
    messages: Option<Vec<Sent>>,
    /// What is compared with another run.
    shown: Vec<String>,
}

static CONTENTS: LazyLock<[Message; 4]> = LazyLock::new(|| {
    let long = [b"Subject: x\r\n\r\n".to_vec(), b"a line of text\r\n.\r\n".repeat(2500)].concat();
    [
        Message::from_bytes(&b"Subject: x\r\n\r\n.hello\r\n"[..]),
        Message::from_bytes(&b"Subject: x\r\n\r\n.\r\n..\r\nno end"[..]),
        Message::from_bytes("Subject: x\r\n\r\nGrüße\r\n"),
        Message::from_bytes(long),
    ]
    .map(|message| message.expect("lines end in CRLF"))
});

/// Runs a script in several divisions and judges the outcomes.
pub(crate) fn replies(input: &[u8]) -> Trace {
    let [first, second, script @ ..] = input else { return Trace::new() };
    let setup = Setup::new(*first, *second);
    let releases = releases(script);
    let run = setup.run(releases.clone());
    let is_exact = setup.judge(&run);
    let bytes: usize = releases.iter().flat_map(|release| &release.pieces).map(Vec::len).sum();
    let divisions = [Some(joined(&releases)), (bytes <= MAX_DIVIDED).then(|| divided(&releases))];
    for division in divisions.into_iter().flatten() {
        let other = setup.run(division);
        if setup.judge(&other) && is_exact {
            assert_eq!(run.shown, other.shown, "the same bytes in other pieces have another result");
        }
    }
    let mut trace = Trace::new();
    trace.add([*first & 3]);
    run.trace(&mut trace);
    trace
}

/// Returns the outcomes of an input as text.
pub(crate) fn outcomes(input: &[u8]) -> Vec<String> {
    let run = Setup::new(input[0], input[1]).run(releases(&input[2..]));
    run.shown
}

impl Setup {
    fn new(first: u8, second: u8) -> Self {
        let has = |bit: u8| first & 1 << bit != 0;
        let name = ClientName::parse("client.example").expect("a name");
        let mut settings = SessionSettings::new(name);
        settings.pipelining = !has(1);
        settings.chunking = !has(2);
        if has(3) {
            settings.replies.line = 128;
            settings.replies.lines = 8;
            settings.replies.reply = 400;
            settings.replies.kept_text = 24;
        }
        settings.single_flight_limit = if has(6) { 64 * 1024 } else { 0 };
        Self {
            protocol: if has(0) { Protocol::Lmtp } else { Protocol::Smtp },
            settings,
            closes: !has(4),
            messages: if has(5) { 2 } else { 1 },
            appetite: if has(7) { 48 } else { 0 },
            write_step: [0, 1, 7, 100][usize::from(second >> 4 & 3)],
            recipients: 1 + usize::from(second & 3),
            content: usize::from(second >> 2 & 3),
        }
    }

    fn envelope(&self) -> Envelope {
        let numbers = 0..self.recipients;
        let recipients = numbers.map(|number| format!("r{number}@x.example"));
        let envelope = Envelope::new("s@example.net").expect("a path");
        recipients.fold(envelope, |envelope, recipient| envelope.to(&recipient).expect("a path"))
    }

    fn run(&self, releases: Vec<Release>) -> Run {
        // a large content is not worth tiny writes
        let write_step = if self.content == 3 && self.write_step > 0 { 1000 } else { self.write_step };
        let appetite = if self.content == 3 { self.appetite * 100 } else { self.appetite };
        let wire = Wire::new(Script { releases: releases.into(), closes: self.closes, write_step, appetite });
        let mut shown = Vec::new();
        let messages = wire.run(self.hold(wire.clone(), &mut shown));
        Run { record: wire.into_record(), messages, shown }
    }

    async fn hold(&self, wire: Wire, shown: &mut Vec<String>) -> Option<Vec<Sent>> {
        let mut session = match Session::open(wire.clone(), self.protocol, self.settings.clone()).await {
            Ok(session) => session,
            Err(failure) => {
                assert!(!failure.may_have_arrived(), "nothing was sent: {failure:?}");
                shown.push(format!("{:?} {:?} {}", failure.kind(), failure.stage(), failure.detail()));
                return None;
            }
        };
        shown.push(format!("{:?} {:?}", session.capabilities(), session.server_names()));
        let (mut messages, envelope) = (Vec::new(), self.envelope());
        for _ in 0..self.messages {
            let begin = wire.written();
            let outcomes = session.send(&envelope, &CONTENTS[self.content]).await;
            shown.extend(outcomes.iter().map(show));
            messages.push(Sent { outcomes, written: begin..wire.written() });
        }
        shown.push(format!("usable: {}", session.is_usable()));
        session.quit().await;
        Some(messages)
    }

    /// Compares a run with what an independent reader makes of both directions. Returns `false` if the server sent more
    /// than was due, so that the result depends on how much the client had read.
    fn judge(&self, run: &Run) -> bool {
        let record = &run.record;
        let stream: Vec<u8> =
            record.released.iter().flat_map(|released| released.bytes.iter().copied()).collect();
        let replies = Replies::read(&stream);
        let dialogue = Dialogue::read(self.protocol, &record.written, &replies.all);
        commands::check(&dialogue.lines);
        self.check_bounds(record, &replies, &stream);
        for sent in run.messages.iter().flatten() {
            assert_eq!(sent.outcomes.len(), self.recipients, "there is one outcome for each recipient");
            let is_mail = |step: &&Step| step.asked == Asked::Mail && sent.written.contains(&(step.end - 1));
            let transaction = dialogue.steps.iter().find(is_mail).map(|step| step.transaction);
            for (number, outcome) in sent.outcomes.iter().enumerate() {
                self.check_kept(outcome, &replies.all);
                self.judge_outcome(number, outcome, transaction, &dialogue, record);
            }
        }
        !has_surplus(record, &replies, &dialogue)
    }

    /// An outcome keeps no more than the limits say, and nothing that the server did not send.
    fn check_kept(&self, outcome: &Outcome, replies: &[Reply]) {
        if let Some(reply) = outcome.reply() {
            assert!(text_of(reply).len() <= self.settings.replies.kept_text, "too much of a reply is kept");
        }
        let Some(failure) = outcome.failure() else { return };
        assert!(failure.detail().chars().count() <= MAX_DETAIL, "the detail is too long");
        if failure.is_permanent() && failure.reply().is_some() {
            assert!(
                replies.iter().any(|reply| reply.code / 100 == 5),
                "there is no reason for a permanent failure"
            );
        }
    }

    fn judge_outcome(
        &self,
        number: usize,
        outcome: &Outcome,
        transaction: Option<usize>,
        dialogue: &Dialogue<'_>,
        record: &Record,
    ) {
        let none = Content::default();
        let content =
            transaction.and_then(|number| dialogue.contents.get(number.checked_sub(1)?)).unwrap_or(&none);
        let steps: Vec<_> = transaction.map(|number| dialogue.of(number).collect()).unwrap_or_default();
        let answers = |asked: &dyn Fn(Asked) -> bool| -> Vec<&Reply> {
            let own = steps.iter().filter(|(_, step)| asked(step.asked));
            own.filter_map(|(index, _)| dialogue.reply(*index)).collect()
        };
        let finals = answers(&|asked| asked == Asked::Content || asked == Asked::ContentFor(number));
        let others =
            answers(&|asked| matches!(asked, Asked::Mail | Asked::Chunk) || asked == Asked::Rcpt(number));
        if outcome.is_delivered() {
            assert!(content.accepted.contains(&number), "the recipient was not accepted");
            assert!(content.end.is_some(), "the content was not complete");
            assert_eq!(content.bytes, with_line_end(self.content), "another content was sent");
            assert!(others.iter().all(|reply| reply.is_positive()), "a command was refused");
            let [last] = finals[..] else { panic!("there is no reply to the content") };
            assert!(last.is_positive(), "the content was refused");
            let written = written_at(record, last.begin);
            assert!(
                content.end.is_some_and(|end| end <= written),
                "the reply came before the end of the content"
            );
            let own = outcome.reply().expect("a server delivered");
            assert_eq!(own.code().as_u16(), last.code, "another reply is kept");
            assert!(last.text.starts_with(&text_of(own)), "the text of another reply is kept");
        } else if content.end.is_some() && content.accepted.contains(&number) {
            let failure = outcome.failure().expect("it is not delivered");
            let is_refused = finals.iter().chain(&others).any(|reply| reply.is_refusal());
            assert!(
                failure.may_have_arrived() || is_refused,
                "the message may have arrived, and the failure does not say so: {}",
                show(outcome)
            );
        }
    }

    /// The client stops to read soon after a reply has exceeded the limits.
    fn check_bounds(&self, record: &Record, replies: &Replies, stream: &[u8]) {
        let limits = &self.settings.replies;
        // one read exceeds the limits, and another one looks for what nobody asked for
        let room = limits.reply + limits.line + 2 * READ;
        let begins = replies.all.iter().map(|reply| reply.end);
        let mut begin = 0;
        for end in begins.chain([stream.len()]) {
            // each line counts as 6 bytes at least
            if end - begin > room && record.read > begin + room {
                panic!("{} bytes of a reply were read, from {begin} to {end}", record.read - begin);
            }
            begin = end;
        }
    }
}

impl Run {
    fn trace(&self, trace: &mut Trace) {
        for outcome in self.messages.iter().flatten().flat_map(|sent| &sent.outcomes) {
            trace.add_variant(outcome);
            if let Some(failure) = outcome.failure() {
                trace.add(format!("{:?}{:?}{}", failure.kind(), failure.stage(), failure.may_have_arrived()));
            }
            trace.add(outcome.reply().map(|reply| reply.code().to_string()).unwrap_or_default());
        }
        if self.messages.is_none() {
            self.shown.iter().for_each(|line| trace.add(&line[..line.len().min(24)]));
        }
        let lines = self.record.written.split(|byte| *byte == b'\n').take(24);
        lines.for_each(|line| trace.add(&line[..line.len().min(4)]));
    }
}

/// Everything about an outcome that a caller can see.
fn show(outcome: &Outcome) -> String {
    let failure = outcome.failure();
    let facts = failure.map(|failure| (failure.kind(), failure.stage(), failure.may_have_arrived()));
    format!("{outcome} {facts:?}")
}

fn text_of(reply: &nexthop::Reply) -> Vec<u8> {
    reply.lines().collect::<Vec<_>>().join(&b'\n')
}

fn with_line_end(content: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = CONTENTS[content].reader();
    while let Some(piece) = Wire::new(Script::default()).run(reader.next()).expect("it is in memory") {
        bytes.extend_from_slice(&piece);
    }
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Number of bytes that the client had written when this byte of the server was sent.
fn written_at(record: &Record, place: usize) -> usize {
    let mut sent = 0;
    for released in &record.released {
        sent += released.bytes.len();
        if place < sent {
            return released.written;
        }
    }
    usize::MAX
}

/// Returns `true` if the server had at any time sent more than was due.
fn has_surplus(record: &Record, replies: &Replies, dialogue: &Dialogue<'_>) -> bool {
    let mut sent = 0;
    record.released.iter().any(|released| {
        sent += released.bytes.len();
        let complete = replies.all.iter().take_while(|reply| reply.end <= sent).count();
        let has_rest = replies.all.get(complete.wrapping_sub(1)).map_or(0, |reply| reply.end) < sent;
        let due = dialogue.due(released.written);
        complete > due || complete == due && has_rest
    })
}

/// Parts of scripts.
pub(crate) const TOKENS: &[&[u8]] = &[
    b"220 mx.example ESMTP\r\n",
    b"220-\r\n",
    b"250 ok\r\n",
    b"\x1c250 ok\r\n",
    b"250 2.1.5 ok\r\n",
    b"250-mx.example\r\n",
    b"250-PIPELINING\r\n",
    b"250-CHUNKING\r\n",
    b"250-8BITMIME\r\n",
    b"250-SIZE 100\r\n",
    b"250 DSN\r\n",
    b"250 PIPELINING\r\n",
    b"251 x\r\n",
    b"354 go\r\n",
    b"\x1c354 go\r\n",
    b"421 bye\r\n",
    b"421",
    b"450 4.2.1 later\r\n",
    b"452 4.5.3 too many\r\n",
    b"\x1c500 what\r\n",
    b"502 x\r\n",
    b"503 x\r\n",
    b"550 5.1.1 no\r\n",
    b"550-5.7.1 a\r\n550 5.7.1 b\r\n",
    b"250-a\r\n550 b\r\n",
    b"550-a\r\n250 b\r\n",
    b"552 5.3.4 size\r\n",
    b"221 bye\r\n",
    b"\x1c221 bye\r\n",
    b"150 x\r\n",
    b"299 x\r\n",
    b"999 x\r\n",
    b"250\r\n",
    b"250 ok\n",
    b"SSH-2.0\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b"\x1c",
    b"\x1d",
    b"\x1e\x10",
    b"\x1e\xff",
    b"\x1f",
    b"\x16",
    b"\x1c250 ok\r\n250 ok\r\n354 go\r\n",
    b"\x1c250 ok\r\n550 no\r\n354 go\r\n",
    b"\x1c550 no\r\n550 no\r\n503 no\r\n",
];
