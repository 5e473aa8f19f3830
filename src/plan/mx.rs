//! MX records to hosts in order (RFC 5321 section 5.1, RFC 7505). Pure but for the dice.

use crate::mail::{DnsName, Domain};
use crate::random::Randomness;
use crate::resolver::{Exchange, Mx};

/// What the MX records of a domain say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exchangers {
    /// There are none: the domain is its own exchanger.
    Implicit,
    /// The domain takes no mail.
    Null,
    /// These, the most preferred one first; those that lead back come last.
    Hosts(Vec<Exchanger>),
    /// The most preferred one is this host. Contains its name.
    Loop(DnsName),
}

/// A mail exchanger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchanger {
    pub(super) preference: u16,
    /// Its name, or the text that is none.
    pub(super) host: Result<DnsName, String>,
    /// Name of the exchanger that is this host, if mail would come back from this one: it is the same, or less or equally
    /// preferred.
    pub(super) leads_back: Option<DnsName>,
}

/// Reads the records. A `.` alone is a null MX whatever its preference, beside others it is left out.
pub(super) fn exchangers(records: &[Mx], own_names: &[Domain], random: &Randomness) -> Exchangers {
    if records.is_empty() {
        return Exchangers::Implicit;
    }
    let mut hosts: Vec<_> = records.iter().filter_map(exchanger).collect();
    if hosts.is_empty() {
        return Exchangers::Null;
    }
    if let Some((preference, own)) = best_own(&hosts, own_names) {
        if hosts.iter().all(|mx| mx.preference >= preference) {
            return Exchangers::Loop(own);
        }
        let not_preferred = hosts.iter_mut().filter(|mx| mx.preference >= preference);
        not_preferred.for_each(|mx| mx.leads_back = Some(own.clone()));
    }
    // equal preferences share the load
    random.shuffle(&mut hosts);
    hosts.sort_by_key(|mx| mx.preference);
    Exchangers::Hosts(without_doubles(hosts))
}

fn exchanger(record: &Mx) -> Option<Exchanger> {
    let host = match &record.exchange {
        Exchange::Null => return None,
        Exchange::Name(name) => Ok(name.clone()),
        Exchange::Invalid(text) => Err(text.clone()),
    };
    Some(Exchanger { preference: record.preference, host, leads_back: None })
}

/// Returns preference and name of the most preferred exchanger with a name of this host.
fn best_own(exchangers: &[Exchanger], own_names: &[Domain]) -> Option<(u16, DnsName)> {
    let named = exchangers.iter().filter_map(|mx| Some((mx.preference, mx.host.as_ref().ok()?)));
    let own = named.filter(|(_, name)| own_names.iter().any(|own| own.dns_name() == *name));
    own.min_by_key(|(preference, _)| *preference).map(|(preference, name)| (preference, name.clone()))
}

fn without_doubles(hosts: Vec<Exchanger>) -> Vec<Exchanger> {
    let mut seen = std::collections::HashSet::new();
    hosts.into_iter().filter(|mx| seen.insert(mx.host.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mx(preference: u16, exchange: &str) -> Mx {
        Mx { preference, exchange: Exchange::parse(exchange) }
    }

    fn names(records: &[Mx], own: &[&str]) -> Vec<String> {
        let own: Vec<_> = own.iter().map(|name| Domain::parse(name).unwrap()).collect();
        match exchangers(records, &own, &Randomness::default()) {
            Exchangers::Hosts(hosts) => hosts
                .into_iter()
                .filter(|mx| mx.leads_back.is_none())
                .map(|mx| mx.host.map_or_else(|text| text, |name| name.to_string()))
                .collect(),
            Exchangers::Loop(own) => vec![format!("Loop by {own}")],
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn check_074_lower_preferences_come_first() {
        assert_eq!(names(&[mx(20, "b.x"), mx(5, "a.x"), mx(30, "c.x")], &[]), ["a.x", "b.x", "c.x"]);
    }

    #[test]
    fn check_074_equal_preferences_take_turns() {
        let records = [mx(5, "a.x"), mx(5, "b.x"), mx(5, "c.x"), mx(9, "d.x")];
        let mut first = std::collections::HashMap::new();
        for _ in 0..3000 {
            let order = names(&records, &[]);
            assert_eq!(order[3], "d.x");
            *first.entry(order[0].clone()).or_insert(0) += 1;
        }
        // a third each; six standard deviations are 155
        assert!(first.len() == 3 && first.values().all(|count| (845..1155).contains(count)), "{first:?}");
    }

    #[test]
    fn check_083_084_a_dot_alone_is_a_null_mx_and_beside_others_nothing() {
        assert_eq!(names(&[mx(0, ".")], &[]), ["Null"]);
        assert_eq!(names(&[mx(10, ".")], &[]), ["Null"]);
        assert_eq!(names(&[mx(0, "."), mx(10, "a.x")], &[]), ["a.x"]);
    }

    #[test]
    fn check_070_no_records_mean_the_domain_itself() {
        assert_eq!(names(&[], &[]), ["Implicit"]);
    }

    #[test]
    fn check_077_ourselves_and_what_is_no_better_are_left_out() {
        let records = [mx(5, "a.x"), mx(10, "Me.Example"), mx(10, "b.x"), mx(20, "c.x")];
        assert_eq!(names(&records, &["me.example"]), ["a.x"]);
        assert_eq!(names(&records[1..], &["me.example"]), ["Loop by me.example"]);
        let two = [mx(10, "me.example"), mx(5, "us.example"), mx(20, "c.x")];
        assert_eq!(names(&two, &["me.example", "us.example"]), ["Loop by us.example"]);
        assert_eq!(names(&records, &["other.example"]).len(), 4);
    }

    #[test]
    fn check_082_an_address_as_exchanger_is_kept_as_unusable() {
        assert_eq!(names(&[mx(1, "192.0.2.1"), mx(2, "a.x")], &[]), ["192.0.2.1", "a.x"]);
    }

    #[test]
    fn a_host_named_twice_is_tried_once() {
        assert_eq!(names(&[mx(1, "a.x"), mx(2, "A.x"), mx(3, "b.x")], &[]), ["a.x", "b.x"]);
    }
}
