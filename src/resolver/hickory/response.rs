//! [`Response`]: what of a DNS response matters, in our own types.

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, RData, Record};

use crate::mail::DnsName;

use super::wire::{WireRecord, dns_name};

/// A response that was accepted: NOERROR or NXDOMAIN.
#[derive(Debug)]
pub(super) struct Response<T> {
    /// The code is NXDOMAIN. It speaks of the last name of the alias chain (RFC 6604 section 2.1).
    pub(super) no_such_name: bool,
    /// The server vouches for every record in it, and can be believed.
    pub(super) authentic: bool,
    pub(super) aliases: Vec<Alias>,
    pub(super) records: Vec<Owned<T>>,
    /// For how many seconds the denial holds (RFC 2308 section 5); `None`: the response denies nothing.
    pub(super) denial_ttl: Option<u32>,
}

/// A CNAME record.
#[derive(Debug)]
pub(super) struct Alias {
    pub(super) owner: DnsName,
    /// `None`: it points to something that cannot be asked for.
    pub(super) target: Option<DnsName>,
    pub(super) ttl: u32,
}

/// A record of the kind asked for.
#[derive(Debug)]
pub(super) struct Owned<T> {
    pub(super) owner: DnsName,
    pub(super) record: T,
    pub(super) ttl: u32,
}

impl<T: WireRecord> Response<T> {
    pub(super) fn read(message: &Message, believes_ad: bool) -> Self {
        Self {
            no_such_name: message.response_code == ResponseCode::NXDomain,
            authentic: believes_ad && message.authentic_data,
            aliases: aliases(message).collect(),
            records: answers(message).filter_map(owned).collect(),
            denial_ttl: message.authorities.iter().find_map(denial_ttl),
        }
    }
}

/// The CNAME records of a response.
pub(super) fn aliases(message: &Message) -> impl Iterator<Item = Alias> {
    answers(message).filter_map(|record| {
        let RData::CNAME(target) = &record.data else { return None };
        Some(Alias { owner: dns_name(&record.name)?, target: dns_name(target), ttl: ttl(record) })
    })
}

fn answers(message: &Message) -> impl Iterator<Item = &Record> {
    message.answers.iter().filter(|record| record.dns_class == DNSClass::IN)
}

fn owned<T: WireRecord>(record: &Record) -> Option<Owned<T>> {
    Some(Owned { owner: dns_name(&record.name)?, record: T::from_wire(&record.data)?, ttl: ttl(record) })
}

fn denial_ttl(record: &Record) -> Option<u32> {
    let RData::SOA(soa) = &record.data else { return None };
    Some(ttl(record).min(soa.minimum))
}

/// In seconds; nonsense is zero (RFC 2181 section 8).
fn ttl(record: &Record) -> u32 {
    if i32::try_from(record.ttl).is_ok() { record.ttl } else { 0 }
}
