//! Mailboxes, domains, hosts, and parameters of DSN: what parses can be shown and parsed again, and may be sent.
//!
//! An input is the text.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use nexthop::resolver::Exchange;
use nexthop::transport::{Session, SessionSettings};
use nexthop::{
    ClientName, DnsName, Domain, Envelope, EnvelopeId, ForwardPath, Host, Mailbox, MailboxDomain, Message,
    Notify, OriginalRecipient, Protocol, Recipient, Ret, ReversePath,
};

use super::commands;
use super::dialogue::{Dialogue, Replies};
use super::trace::Trace;
use super::wire::{Release, Script, Wire};

/// Bytes of a name without its final dot (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;
/// Bytes of a label.
const MAX_LABEL: usize = 63;
/// Bytes of a local part (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL_PART: usize = 64;

/// Parses a text as everything that it may be.
pub(crate) fn names(input: &[u8]) -> Trace {
    let text = String::from_utf8_lossy(input);
    let mut trace = Trace::new();
    let mailbox: Option<Mailbox> = round_trip(&text, &mut trace);
    mailbox.iter().for_each(check_mailbox);
    round_trip::<MailboxDomain>(&text, &mut trace);
    let domain: Option<Domain> = round_trip(&text, &mut trace);
    domain.iter().for_each(|domain| check_name(domain.as_str()));
    let name: Option<DnsName> = round_trip(&text, &mut trace);
    name.iter().for_each(|name| check_name(name.as_str()));
    round_trip::<Host>(&text, &mut trace);
    round_trip::<ClientName>(&text, &mut trace);
    let reverse: Option<ReversePath> = round_trip(&text, &mut trace);
    let forward: Option<ForwardPath> = round_trip(&text, &mut trace);
    round_trip::<Notify>(&text, &mut trace);
    round_trip::<Ret>(&text, &mut trace);
    let id: Option<EnvelopeId> = round_trip(&text, &mut trace);
    if let Some(id) = &id {
        assert_eq!(EnvelopeId::from_xtext(&id.to_xtext()).as_ref(), Ok(id), "xtext changes {id}");
    }
    let original: Option<OriginalRecipient> = round_trip(&text, &mut trace);
    exchange(&text);
    if let (None, None, None, None) = (&reverse, &forward, &id, &original) {
        return trace;
    }
    dialogue(reverse, forward, id, original);
    trace
}

/// Parses, shows and parses again. An error is one printable line.
fn round_trip<T>(text: &str, trace: &mut Trace) -> Option<T>
where
    T: FromStr + Display + Debug + PartialEq,
    T::Err: Debug + Display + PartialEq,
{
    match text.parse::<T>() {
        Ok(value) => {
            let shown = value.to_string();
            assert!(!shown.contains(char::is_control), "{shown:?} has a control character");
            assert_eq!(shown.parse::<T>().as_ref(), Ok(&value), "{text:?} is shown as {shown:?}");
            trace.add("ok");
            Some(value)
        }
        Err(error) => {
            assert!(!error.to_string().contains(char::is_control), "{error:?} has a control character");
            trace.add_variant(&error);
            None
        }
    }
}

fn check_mailbox(mailbox: &Mailbox) {
    assert!(mailbox.local_part().len() <= MAX_LOCAL_PART, "the local part of {mailbox} is too long");
    assert!(mailbox.to_string().len() <= 254, "{mailbox} is too long");
    assert_eq!(mailbox.is_ascii(), mailbox.to_string().is_ascii());
    assert_eq!(mailbox.to_string(), format!("{}@{}", mailbox.local_part(), mailbox.domain()));
    if let Some(domain) = mailbox.domain().name() {
        check_name(domain.as_str());
    }
    let bracketed: Mailbox = format!("<{mailbox}>").parse().expect("angle brackets are dropped");
    assert_eq!(&bracketed, mailbox);
}

fn check_name(name: &str) {
    assert!(name.len() <= MAX_NAME, "{name} is too long");
    let is_label = |label: &str| (1..=MAX_LABEL).contains(&label.len());
    assert!(name.split('.').all(is_label), "{name} has a label of a wrong length");
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    assert!(name.chars().all(is_allowed), "{name:?} has a wrong character");
    let last = name.rsplit('.').next().unwrap_or(name);
    assert!(!last.chars().all(|c| c.is_ascii_digit()), "{name} is an address");
}

fn exchange(text: &str) {
    let exchange = Exchange::parse(text);
    let shown = exchange.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?} has a control character");
    if let Exchange::Name(name) = exchange {
        check_name(name.as_str());
    }
}

/// Sends what was parsed to a server that takes everything.
fn dialogue(
    reverse: Option<ReversePath>,
    forward: Option<ForwardPath>,
    id: Option<EnvelopeId>,
    original: Option<OriginalRecipient>,
) {
    let recipient =
        Recipient::new(forward.clone().unwrap_or_else(|| "r0@x.example".parse().expect("a path")));
    let recipient = original.into_iter().fold(recipient, Recipient::with_original_recipient);
    let recipient = recipient.with_notify("success,failure,delay".parse().expect("words"));
    let is_null = reverse == Some(ReversePath::Null);
    let envelope =
        Envelope::from_path(reverse.clone().unwrap_or_else(|| "s@example.net".parse().expect("a path")));
    let envelope = id.into_iter().fold(envelope.with_ret(Ret::Headers), Envelope::with_envelope_id);
    let lines = send(&envelope.recipient(recipient));
    let [_, mail, rcpt, ..] = &lines[..] else { panic!("the dialogue has ended: {lines:?}") };
    assert_eq!(
        commands::path(mail),
        format!("<{}>", reverse.unwrap_or("s@example.net".parse().expect("a path")))
    );
    assert_eq!(
        commands::path(rcpt),
        format!("<{}>", forward.unwrap_or("r0@x.example".parse().expect("a path")))
    );
    assert!(is_null || mail.contains(" RET=HDRS"), "{mail}");
}

/// Returns the lines that the client sends for an envelope.
fn send(envelope: &Envelope) -> Vec<String> {
    const REPLIES: [&str; 6] = [
        "220 x\r\n",
        "250-x\r\n250-SMTPUTF8\r\n250-DSN\r\n250-SIZE 100000\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "354 go\r\n",
        "250 ok\r\n",
    ];
    let release = |reply: &str| Release { pieces: vec![reply.as_bytes().to_vec()], ..Release::default() };
    let releases = REPLIES.into_iter().map(release).collect();
    let wire = Wire::new(Script { releases, closes: true, ..Script::default() });
    let settings = SessionSettings::new(ClientName::parse("client.example").expect("a name"));
    let message = Message::from_bytes(&b"Subject: x\r\n\r\nx\r\n"[..]).expect("lines end in CRLF");
    let outcomes = wire.run(async {
        let mut session =
            Session::open(wire.clone(), Protocol::Smtp, settings).await.expect("the server greets");
        session.send(envelope, &message).await
    });
    assert!(outcomes.iter().all(nexthop::Outcome::is_delivered), "{outcomes:?}");
    let record = wire.into_record();
    let replies = Replies::read(REPLIES.concat().as_bytes());
    let dialogue = Dialogue::read(Protocol::Smtp, &record.written, &replies.all);
    commands::check(&dialogue.lines);
    dialogue.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

/// Parts of names.
pub(crate) const TOKENS: &[&[u8]] = &[
    b"a@b.example",
    b"@",
    b".",
    b"..",
    b"\"",
    b"\\",
    b"\\\"",
    b"\"a b\"@x.example",
    b"<",
    b">",
    b"<>",
    b"@h1.example,@h2.example:",
    b",",
    b":",
    b";",
    b"postmaster",
    b"Postmaster@",
    b"[192.0.2.1]",
    b"[IPv6:2001:db8::1]",
    b"[IPv6:::ffff:10.0.0.1]",
    b"2001:db8::1",
    b"127.0.0.1",
    b"0x7f.1",
    b"localhost",
    b"xn--bcher-kva",
    b"xn--",
    b"xn--a",
    b"b\xc3\xbccher",
    b"\xc3\xbc",
    b"\xc3\x9f",
    b"e\xcc\x81",
    b"\xe3\x80\x82",
    b"\xef\xbc\x8e",
    b"\xe2\x80\xa8",
    b"\xc2\xad",
    b"\xe2\x80\x8d",
    b"\xd7\x90",
    b"\xc2\x85",
    b"-",
    b"_",
    b"rfc822;",
    b"utf-8;",
    b"\\x{FC}",
    b"\\x{",
    b"}",
    b"+2B",
    b"+",
    b"=",
    b"never",
    b"success,failure",
    b"hdrs",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.",
    b"\r\n",
    b"\0",
    b"\x7f",
    b" ",
];
