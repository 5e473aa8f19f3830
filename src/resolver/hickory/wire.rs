//! Records and names, from hickory's types to ours and back.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::op::Query as Question;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::mail::DnsName;

use super::super::error::ResolveError;
use super::super::record::{Exchange, Mx, Record, Srv, Tlsa, Txt};

/// A kind of record that hickory decodes.
pub(super) trait WireRecord: Record + Send + Sync + 'static {
    const TYPE: RecordType;

    /// `None`: another kind.
    fn from_wire(data: &RData) -> Option<Self>;

    /// What the record takes in memory, about.
    fn octets(&self) -> usize {
        size_of::<Self>()
    }
}

impl WireRecord for Mx {
    const TYPE: RecordType = RecordType::MX;

    fn from_wire(data: &RData) -> Option<Self> {
        let RData::MX(mx) = data else { return None };
        Some(Self { preference: mx.preference, exchange: exchange(&mx.exchange) })
    }

    fn octets(&self) -> usize {
        size_of::<Self>() + exchange_octets(&self.exchange)
    }
}

impl WireRecord for Ipv4Addr {
    const TYPE: RecordType = RecordType::A;

    fn from_wire(data: &RData) -> Option<Self> {
        let RData::A(address) = data else { return None };
        Some(address.0)
    }
}

impl WireRecord for Ipv6Addr {
    const TYPE: RecordType = RecordType::AAAA;

    fn from_wire(data: &RData) -> Option<Self> {
        let RData::AAAA(address) = data else { return None };
        Some(address.0)
    }
}

impl WireRecord for Tlsa {
    const TYPE: RecordType = RecordType::TLSA;

    fn from_wire(data: &RData) -> Option<Self> {
        let RData::TLSA(tlsa) = data else { return None };
        Some(Self {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching_type: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        })
    }

    fn octets(&self) -> usize {
        size_of::<Self>() + self.data.len()
    }
}

impl WireRecord for Txt {
    const TYPE: RecordType = RecordType::TXT;

    fn from_wire(data: &RData) -> Option<Self> {
        let RData::TXT(text) = data else { return None };
        Some(Self(text.txt_data.concat()))
    }

    fn octets(&self) -> usize {
        size_of::<Self>() + self.0.len()
    }
}

impl WireRecord for Srv {
    const TYPE: RecordType = RecordType::SRV;

    fn from_wire(data: &RData) -> Option<Self> {
        let RData::SRV(srv) = data else { return None };
        Some(Self {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: exchange(&srv.target),
        })
    }

    fn octets(&self) -> usize {
        size_of::<Self>() + exchange_octets(&self.target)
    }
}

/// The question for a name, which goes out as it is: absolute.
pub(super) fn question(name: &DnsName, kind: RecordType) -> Result<Question, ResolveError> {
    // label by label: the text parser of hickory refuses names that may stand in the DNS
    let labels = name.as_str().split('.').map(str::as_bytes);
    let name = Name::from_labels(labels)
        .map_err(|e| ResolveError::temporary_from("the name cannot be asked for", e))?;
    Ok(Question::query(name, kind))
}

/// The name in lower case: names come back in the case of the question, compressed ones inside records too.
pub(super) fn dns_name(name: &Name) -> Option<DnsName> {
    let labels: Option<Vec<&str>> = name.iter().map(plain_label).collect();
    DnsName::parse(&labels?.join(".")).ok()
}

/// A dot may stand inside a label on the wire; in the text it would divide it.
fn plain_label(label: &[u8]) -> Option<&str> {
    std::str::from_utf8(label).ok().filter(|text| !text.contains('.'))
}

fn exchange(name: &Name) -> Exchange {
    match dns_name(name) {
        _ if name.is_root() => Exchange::Null,
        Some(name) => Exchange::Name(name),
        None => Exchange::Invalid(name.to_ascii().trim_end_matches('.').to_ascii_lowercase()),
    }
}

fn exchange_octets(exchange: &Exchange) -> usize {
    match exchange {
        Exchange::Null => 0,
        Exchange::Name(name) => name.as_str().len(),
        Exchange::Invalid(escaped) => escaped.len(),
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata;

    use super::*;

    fn name(labels: &[&[u8]]) -> Name {
        Name::from_labels(labels.to_vec()).unwrap()
    }

    #[test]
    fn check_067_questions_are_absolute() {
        let asked = question(&DnsName::parse("host").unwrap(), RecordType::MX).unwrap();
        assert_eq!(asked.name().to_ascii(), "host.");
        assert!(asked.name().is_fqdn());
    }

    #[test]
    fn every_name_can_be_asked_for() {
        let longest = [&*"a".repeat(63), &*"b".repeat(63), &*"c".repeat(63), &*"d".repeat(61)].join(".");
        for text in ["_25._tcp.mx.example", "-a.example", "a_b.example", &longest] {
            let asked = question(&DnsName::parse(text).unwrap(), RecordType::A).unwrap();
            assert_eq!(dns_name(asked.name()).unwrap().as_str(), text);
        }
    }

    #[test]
    fn check_068_names_become_lower_case() {
        assert_eq!(dns_name(&name(&[b"mX1", b"EXample"])).unwrap().as_str(), "mx1.example");
    }

    #[test]
    fn check_082_exchanges_that_are_no_names_stay_apart() {
        assert_eq!(exchange(&name(&[b"192", b"0", b"2", b"1"])), Exchange::Invalid("192.0.2.1".into()));
        assert_eq!(exchange(&name(&[b"a.b", b"example"])), Exchange::Invalid("a\\.b.example".into()));
        assert_eq!(exchange(&name(&[b"a\r\n", b"example"])), Exchange::Invalid("a\\015\\012.example".into()));
        assert_eq!(
            exchange(&name(&[b"b\xfccher", b"example"])),
            Exchange::Invalid("b\\374cher.example".into())
        );
        assert_eq!(exchange(&name(&[b"MX", b"example"])), Exchange::parse("mx.example"));
    }

    #[test]
    fn check_083_the_root_is_a_null_mx() {
        assert_eq!(exchange(&Name::root()), Exchange::Null);
    }

    #[test]
    fn check_233_strings_of_a_text_are_joined_without_a_separator() {
        let data = RData::TXT(rdata::TXT::new(vec!["v=STSv1; i".into(), "d=1;".into()]));
        assert_eq!(Txt::from_wire(&data), Some(Txt(b"v=STSv1; id=1;".to_vec())));
    }

    #[test]
    fn unknown_values_of_tlsa_records_are_kept() {
        let data = rdata::TLSA::new(9.into(), 8.into(), 7.into(), vec![1, 2]);
        let tlsa = Tlsa { usage: 9, selector: 8, matching_type: 7, data: vec![1, 2] };
        assert_eq!(Tlsa::from_wire(&RData::TLSA(data)), Some(tlsa));
    }
}
