//! DNS datagrams into the stub resolver.
//!
//! An input is a byte of settings and datagrams, each behind its length in two bytes. With `AIMED` a datagram consists of a
//! header and what follows the question: id, QR bit and question are put in.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use nexthop::DnsName;
use nexthop::resolver::RecordKind;
use nexthop::testing::entry_points::{DnsStep, DnsWalk};

use super::trace::Trace;

/// Id of all queries.
const ID: u16 = 0x6e68;
/// Number of aliases that are followed.
const MAX_ALIASES: usize = 4;
/// Bytes of the largest datagram (the receive buffer of the resolver).
const MAX_DATAGRAM: usize = 4096;
/// Setting: id, QR bit and question are put in.
const AIMED: u8 = 8;
const HEADER: usize = 12;
/// The class IN.
const IN: u16 = 1;
const CNAME: u16 = 5;

/// Kinds of records with their numbers.
const KINDS: [(RecordKind, u16); 6] = [
    (RecordKind::Mx, 15),
    (RecordKind::Ipv4, 1),
    (RecordKind::Ipv6, 28),
    (RecordKind::Tlsa, 52),
    (RecordKind::Txt, 16),
    (RecordKind::Srv, 33),
];

/// A record, and the names in it as lower-case text.
#[derive(Debug)]
struct Record<'a> {
    owner: String,
    kind: u16,
    class: u16,
    data: &'a [u8],
    /// Place of the data in the message.
    place: usize,
}

/// Feeds a lookup with datagrams.
pub(crate) fn dns(input: &[u8]) -> Trace {
    let mut trace = Trace::new();
    look_up(input, &mut trace);
    trace
}

/// Returns the name in which the lookup ends, and the result of the last datagram, as text.
pub(crate) fn result(input: &[u8]) -> String {
    look_up(input, &mut Trace::new())
}

fn look_up(input: &[u8], trace: &mut Trace) -> String {
    let Some((first, mut rest)) = input.split_first() else { return String::new() };
    let (kind, number) = KINDS[usize::from(first & 7) % KINDS.len()];
    let mut walk = DnsWalk::new(DnsName::parse("a.test").expect("a name"), kind, MAX_ALIASES);
    let (mut asked, mut last) = (0, DnsStep::Ignored);
    trace.add([*first & 7]);
    while let Some((datagram, behind)) = next(rest) {
        rest = behind;
        let is_aimed = first & AIMED != 0;
        let datagram = if is_aimed { aimed(datagram, walk.name(), number) } else { datagram.to_vec() };
        let name = walk.name().clone();
        last = walk.take(ID, &datagram);
        trace.add(format!("{last:?}").split(['0', '[']).next().unwrap_or_default());
        check(&datagram, &name, number, &walk, &last);
        match last {
            DnsStep::Ignored => {}
            DnsStep::Ask => {
                asked += 1;
                assert!(asked <= MAX_ALIASES, "the lookup does not end");
            }
            DnsStep::Failed(_) | DnsStep::NoSuchName | DnsStep::Records(_) => break,
        }
    }
    format!("{} {last:?}", walk.name())
}

fn next(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, behind) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length)) % (MAX_DATAGRAM + 1);
    Some(behind.split_at(length.min(behind.len())))
}

fn aimed(datagram: &[u8], name: &DnsName, kind: u16) -> Vec<u8> {
    let mut message = datagram.to_vec();
    message.resize(message.len().max(HEADER), 0);
    message[..2].copy_from_slice(&ID.to_be_bytes());
    message[2] |= 0x80;
    message[4..6].copy_from_slice(&[0, 1]);
    let labels = name.as_str().split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    let question = labels.chain([0]).chain(kind.to_be_bytes()).chain(IN.to_be_bytes());
    message.splice(HEADER..HEADER, question);
    message
}

/// Compares a step with what an independent reader makes of the datagram.
fn check(datagram: &[u8], name: &DnsName, kind: u16, walk: &DnsWalk, step: &DnsStep) {
    if matches!(step, DnsStep::Ignored | DnsStep::Failed(_)) {
        return;
    }
    assert_eq!(datagram[..2], ID.to_be_bytes(), "another id was taken");
    assert!(datagram[2] & 0x80 != 0, "a query was taken");
    assert_eq!(number(datagram, 4), Some(1), "another number of questions was taken");
    let (question, end) = read_name(datagram, HEADER).expect("a question was taken");
    assert_eq!(question, name.as_str(), "another question was taken");
    assert_eq!(
        (number(datagram, end), number(datagram, end + 2)),
        (Some(kind), Some(IN)),
        "another kind was taken"
    );
    assert!(matches!(datagram[3] & 0x0f, 0 | 3), "an error was taken for an answer");
    let records = answers(datagram, end + 4);
    check_way(name, walk.name(), &records, datagram);
    if let DnsStep::Records(found) = step {
        let own = records.iter().filter(|record| record.kind == kind && record.class == IN);
        let own: Vec<_> = own.filter(|record| record.owner == walk.name().as_str()).collect();
        assert_eq!(found.len(), own.len(), "{found:?} of {records:?}");
        let known: BTreeSet<String> = own.iter().filter_map(|record| shown(record)).collect();
        let is_known = |found: &String| kind != 1 && kind != 28 || known.contains(found);
        assert!(found.iter().all(is_known), "{found:?} of {records:?}");
    }
}

/// From one name to another lead only aliases of the message.
fn check_way(from: &DnsName, to: &DnsName, records: &[Record<'_>], message: &[u8]) {
    let mut names = BTreeSet::from([from.as_str().to_owned()]);
    for _ in 0..=MAX_ALIASES {
        let aliases = records.iter().filter(|record| record.kind == CNAME && record.class == IN);
        let known: Vec<_> = aliases.filter(|record| names.contains(&record.owner)).collect();
        names.extend(known.iter().filter_map(|record| Some(read_name(message, record.place)?.0)));
    }
    assert!(names.contains(to.as_str()), "no alias leads from {from} to {to}");
}

fn shown(record: &Record<'_>) -> Option<String> {
    match record.kind {
        1 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(record.data).ok()?).to_string()),
        28 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(record.data).ok()?).to_string()),
        _ => None,
    }
}

/// The records of the answer section.
fn answers(message: &[u8], mut at: usize) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    for _ in 0..number(message, 6).unwrap_or(0) {
        let Some((owner, end)) = read_name(message, at) else { break };
        let (Some(kind), Some(class)) = (number(message, end), number(message, end + 2)) else { break };
        let Some(length) = number(message, end + 8) else { break };
        let place = end + 10;
        let Some(data) = message.get(place..place + usize::from(length)) else { break };
        records.push(Record { owner, kind, class, data, place });
        at = place + data.len();
    }
    records
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

/// Reads a name, with pointers. Returns it in lower case, and the place behind it.
fn read_name(message: &[u8], at: usize) -> Option<(String, usize)> {
    let (mut labels, mut place, mut end) = (Vec::new(), at, None);
    for _ in 0..256 {
        let length = usize::from(*message.get(place)?);
        match length >> 6 {
            0 if length == 0 => return Some((labels.join("."), end.unwrap_or(place + 1))),
            0 => {
                let label = message.get(place + 1..place + 1 + length)?;
                labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
                place += 1 + length;
            }
            3 => {
                end.get_or_insert(place + 2);
                place = usize::from(number(message, place)? & 0x3fff);
            }
            _ => return None,
        }
    }
    None
}

/// Parts of messages.
pub(crate) const TOKENS: &[&[u8]] = &[
    b"nh\x81\x80\0\x01\0\x01\0\0\0\0",
    b"nh\x81\x83\0\x01\0\0\0\x01\0\0",
    b"\x01a\x04test\0\0\x0f\0\x01",
    b"\x01a\x04test\0\0\x01\0\x01",
    b"\x01b\x04test\0",
    b"\x04mail\xc0\x0c",
    b"\xc0\x0c",
    b"\xc0\x0e",
    b"\xc0\x1d",
    b"\xc0\x00",
    b"\xc0\xff",
    b"\xff\xff",
    b"\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02\x01",
    b"\0\x1c\0\x01\0\0\x0e\x10\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01",
    b"\0\x0f\0\x01\0\0\x0e\x10\0\x09\0\x0a\x04mail\xc0\x0c",
    b"\0\x0f\0\x01\0\0\0\0\0\x03\0\0\0",
    b"\0\x05\0\x01\0\0\x0e\x10\0\x04\x01b\xc0\x0e",
    b"\0\x06\0\x01\0\0\x0e\x10\0\x16\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05",
    b"\0\x02\0\x01\0\0\x0e\x10\0\x02\xc0\x0c",
    b"\0\x10\0\x01\0\0\x0e\x10\0\x06\x05hello",
    b"\0\x21\0\x01\0\0\x0e\x10\0\x09\0\0\0\x05\0\x19\x01b\0",
    b"\0\x34\0\x01\0\0\x0e\x10\0\x23\x03\x01\x01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"\0\0\x29\x04\xd0\0\0\0\0\0\0",
    b"\0\0\x29\x04\xd0\0\0\0\0\0\x06\0\x0f\0\x02\0\x06",
    b"\x3f",
    b"\0",
    b"\0\x40",
    b"\x01\0",
];
