//! What [`HickoryResolver`](nexthop::HickoryResolver) makes of signed, unsigned and broken zones behind Unbound.

use std::time::Duration;

use nexthop::ResolveError;
use nexthop::resolver::{DnssecMode, Query, Resolver};

use crate::dns::{Manner, Nsd};
use crate::dns_rows::{Row, believing, check, resolver};
use crate::dns_zones::{LONG, MANY};

const RECORDS: &[Row<'_>] = &[
    ("MX signed.test", "chain signed.test: 10 mx.signed.test, 20 mx2.signed.test"),
    ("A mx.signed.test", "chain mx.signed.test: 192.0.2.1"),
    ("AAAA mx.signed.test", "chain mx.signed.test: 2001:db8::1"),
    ("TLSA _25._tcp.mx.signed.test", "chain _25._tcp.mx.signed.test: 3 1 1 0badcafe"),
    ("TXT text.signed.test", "chain text.signed.test: neither an exchanger nor an address"),
    ("SRV _submission._tcp.signed.test", "chain _submission._tcp.signed.test: 0 1 587 mx.signed.test"),
    ("SRV _none._tcp.signed.test", "chain _none._tcp.signed.test: 0 0 0 ."),
    ("MX null.signed.test", "chain null.signed.test: 0 ."),
    ("MX number.signed.test", "chain number.signed.test: 10 192.0.2.1"),
    ("MX nsec3.test", "chain nsec3.test: 10 mx.nsec3.test"),
    ("A mx.nsec3.test", "chain mx.nsec3.test: 192.0.2.20"),
    ("A host.partial.test", "chain host.partial.test: 192.0.2.60"),
    ("AAAA forged.partial.test", "chain forged.partial.test: 2001:db8::61"),
    ("A mx.undenied.test", "chain mx.undenied.test: 192.0.2.50"),
];

const WILDCARDS: &[Row<'_>] = &[
    ("MX any.wild.signed.test", "chain any.wild.signed.test: 10 mx.signed.test"),
    ("MX any.other.wild.signed.test", "chain any.other.wild.signed.test: 10 mx.signed.test"),
    ("A any.wild.signed.test", "chain any.wild.signed.test: nothing"),
    ("MX alias-wild.signed.test", "chain any.wild.signed.test: 10 mx.signed.test"),
    ("TLSA _25._tcp.mx2.signed.test", "chain _25._tcp.mx2.signed.test: 3 1 1 0badf00d"),
    ("MX any.wild.nsec3.test", "chain any.wild.nsec3.test: 10 mx.nsec3.test"),
    ("TLSA _25._tcp.mx2.nsec3.test", "chain _25._tcp.mx2.nsec3.test: 3 1 1 0badf00d"),
    ("TLSA _25._tcp.mx2.unsigned.test", "none _25._tcp.mx2.unsigned.test: 3 1 1 0badf00d"),
];

const DENIALS: &[Row<'_>] = &[
    ("MX text.signed.test", "chain text.signed.test: nothing"),
    ("MX empty.signed.test", "chain empty.signed.test: nothing"),
    ("TLSA _24._tcp.mx.signed.test", "no such name"),
    ("TLSA _tcp.mx.signed.test", "chain _tcp.mx.signed.test: nothing"),
    ("MX gone.signed.test", "no such name"),
    ("MX text.nsec3.test", "chain text.nsec3.test: nothing"),
    ("MX empty.nsec3.test", "chain empty.nsec3.test: nothing"),
    ("TLSA _24._tcp.mx.nsec3.test", "no such name"),
    ("MX gone.nsec3.test", "no such name"),
    ("MX text.unsigned.test", "none text.unsigned.test: nothing"),
    ("MX gone.unsigned.test", "no such name"),
    ("MX no-such-zone.test", "no such name"),
    ("MX no-such-top", "no such name"),
];

const ALIASES: &[Row<'_>] = &[
    ("A alias.signed.test", "chain mx.signed.test: 192.0.2.1"),
    ("MX alias-domain.signed.test", "chain signed.test: 10 mx.signed.test, 20 mx2.signed.test"),
    ("MX alias-text.signed.test", "chain text.signed.test: nothing"),
    ("MX alias-gone.signed.test", "no such name"),
    ("MX alias-null.signed.test", "chain null.signed.test: 0 ."),
    ("MX alias-implicit.signed.test", "chain implicit.signed.test: nothing"),
    ("A other.signed.test", "chain mx.nsec3.test: 192.0.2.20"),
    ("A alias.nsec3.test", "chain mx.nsec3.test: 192.0.2.20"),
    ("MX alias-text.nsec3.test", "chain text.nsec3.test: nothing"),
    ("MX alias-gone.nsec3.test", "no such name"),
    ("A step0.signed.test", "chain step11.signed.test: 192.0.2.12"),
    ("MX step0.signed.test", "chain step11.signed.test: nothing"),
    ("SRV _submissions._tcp.signed.test", "chain _submission._tcp.signed.test: 0 1 587 mx.signed.test"),
    ("TLSA _587._tcp.mx.signed.test", "chain tlsa.dane.signed.test: 2 0 1 0badcafe"),
];

const INSECURE: &[Row<'_>] = &[
    ("MX unsigned.test", "none unsigned.test: 10 mx.unsigned.test"),
    ("TLSA _25._tcp.mx.unsigned.test", "none _25._tcp.mx.unsigned.test: 3 1 1 0badcafe"),
    ("MX island.test", "none island.test: 10 mx.island.test"),
    ("A mx.island.test", "none mx.island.test: 192.0.2.50"),
    ("MX algorithm.test", "none algorithm.test: 10 mx.algorithm.test"),
];

const MIXED: &[Row<'_>] = &[
    ("A out.signed.test", "first mx.unsigned.test: 192.0.2.50"),
    ("MX out-domain.signed.test", "first unsigned.test: 10 mx.unsigned.test"),
    ("MX out-text.signed.test", "first text.unsigned.test: nothing"),
    ("MX out-gone.signed.test", "no such name"),
    ("A out-and-in.signed.test", "first mx.signed.test: 192.0.2.1"),
    ("A out-island.signed.test", "first mx.island.test: 192.0.2.50"),
    ("TLSA _26._tcp.mx.signed.test", "first _25._tcp.mx.unsigned.test: 3 1 1 0badcafe"),
    ("A out.nsec3.test", "first mx.unsigned.test: 192.0.2.50"),
    ("A into.unsigned.test", "none mx.signed.test: 192.0.2.1"),
    ("MX to-text.unsigned.test", "none text.signed.test: nothing"),
    ("MX to-gone.unsigned.test", "no such name"),
    ("A into.island.test", "none mx.signed.test: 192.0.2.1"),
];

const BOGUS: &[Row<'_>] = &[
    ("MX bogus.test", "bogus"),
    ("TLSA _25._tcp.mx.bogus.test", "bogus"),
    ("MX gone.bogus.test", "bogus"),
    ("MX text.bogus.test", "bogus"),
    ("A mx.expired.test", "bogus"),
    ("A mx.early.test", "bogus"),
    ("A mx.digest.test", "bogus"),
    ("A mx.stripped.test", "bogus"),
    ("MX gone.stripped.test", "bogus"),
    ("A mx.bare.test", "bogus"),
    ("TLSA _24._tcp.mx.bare.test", "bogus"),
    ("MX text.undenied.test", "bogus"),
    ("MX gone.undenied.test", "bogus"),
    ("A forged.partial.test", "bogus"),
    ("A bare.partial.test", "bogus"),
    ("TLSA _25._tcp.host.partial.test", "bogus"),
    ("MX forged-mx.partial.test", "bogus"),
    ("A forged-alias.partial.test", "bogus"),
    ("A to-bogus.signed.test", "bogus"),
    ("A to-bogus.unsigned.test", "bogus"),
];

const BROKEN: &[Row<'_>] = &[
    ("MX lame.test", "temporary"),
    ("MX servfail.test", "temporary"),
    ("A to-broken.signed.test", "temporary"),
    ("A loop.signed.test", "temporary"),
    ("A endless0.signed.test", "temporary"),
    ("A alias-number.signed.test", "temporary"),
];

/// By the authoritative server itself, which neither resolves for others nor validates.
const DIRECT: &[Row<'_>] = &[
    ("A mx.signed.test", "none mx.signed.test: 192.0.2.1"),
    ("MX text.signed.test", "none text.signed.test: nothing"),
    ("MX gone.signed.test", "no such name"),
    ("A out.signed.test", "none mx.unsigned.test: 192.0.2.50"),
    ("A long0.signed.test", "none long16.signed.test: 192.0.2.12"),
    ("A endless0.signed.test", "temporary"),
    ("A loop.signed.test", "temporary"),
    // a referral
    ("MX lame.test", "temporary"),
];

/// A table against a validating Unbound.
async fn holds(rows: &[Row<'_>]) {
    let Some(nsd) = Nsd::start() else { return };
    let unbound = nsd.unbound(Manner::Validating);
    check(&believing(&unbound), rows).await;
}

#[tokio::test]
async fn check_203_records_of_signed_zones_are_secure() {
    holds(RECORDS).await;
}

#[tokio::test]
async fn check_203_records_by_wildcards_of_signed_zones_are_secure() {
    holds(WILDCARDS).await;
}

#[tokio::test]
async fn check_071_203_denials_of_signed_zones_are_secure() {
    holds(DENIALS).await;
}

#[tokio::test]
async fn check_073_218_aliases_within_signed_zones_are_secure() {
    holds(ALIASES).await;
}

#[tokio::test]
async fn check_203_zones_without_a_chain_of_trust_are_insecure() {
    holds(INSECURE).await;
}

#[tokio::test]
async fn check_216_217_aliases_out_of_and_into_unsigned_zones() {
    holds(MIXED).await;
}

#[tokio::test]
async fn check_204_what_fails_validation_is_bogus() {
    holds(BOGUS).await;
}

#[tokio::test]
async fn check_072_what_is_broken_is_temporary_and_not_bogus() {
    holds(BROKEN).await;
}

#[tokio::test]
async fn check_204_a_server_that_says_why_is_told_apart_too() {
    let Some(nsd) = Nsd::start() else { return };
    let unbound = nsd.unbound(Manner::Explaining);
    check(&believing(&unbound), &[BOGUS, BROKEN].concat()).await;
}

#[tokio::test]
async fn check_204_the_word_of_the_server_is_passed_on() {
    let Some(nsd) = Nsd::start() else { return };
    let unbound = nsd.unbound(Manner::Explaining);
    let error = believing(&unbound).ipv4(&query("mx.expired.test")).await;
    assert!(
        matches!(&error, Err(ResolveError::Bogus { reason, .. }) if reason == "signature expired"),
        "{error:?}"
    );
}

#[tokio::test]
async fn check_203_what_the_server_kept_is_as_secure_and_in_lower_case() {
    let Some(nsd) = Nsd::start() else { return };
    let unbound = nsd.unbound(Manner::Validating);
    for _ in 0..3 {
        // a resolver anew asks anew, in another random case
        check(&believing(&unbound), &[RECORDS, DENIALS, ALIASES, MIXED].concat()).await;
    }
}

#[tokio::test]
async fn check_068_names_of_the_zone_come_in_lower_case() {
    holds(&[
        ("A CAPITAL.signed.TEST", "chain mx.signed.test: 192.0.2.1"),
        ("AAAA capital.signed.test", "chain mx.signed.test: 2001:db8::1"),
    ])
    .await;
}

#[tokio::test]
async fn check_081_more_exchangers_than_udp_carries() {
    let mut exchangers: Vec<String> = (1..=MANY).map(|n| format!("{n} mx{n}.many.signed.test")).collect();
    exchangers.sort();
    holds(&[("MX many.signed.test", &format!("chain many.signed.test: {}", exchangers.join(", ")))]).await;
}

#[tokio::test]
async fn check_081_one_long_answer_after_another() {
    let text = format!("chain long.signed.test: {}", "x".repeat(LONG));
    let Some(nsd) = Nsd::start() else { return };
    let unbound = nsd.unbound(Manner::Validating);
    let resolver = believing(&unbound);
    assert_eq!(resolver.mx(&query("many.signed.test")).await.unwrap().records.len(), MANY);
    check(&resolver, &[("TXT long.signed.test", &text)]).await;
}

#[tokio::test]
async fn check_203_nothing_is_secure_by_a_server_that_does_not_validate() {
    let Some(nsd) = Nsd::start() else { return };
    let unbound = nsd.unbound(Manner::Plain);
    let resolver = believing(&unbound);
    check_unproved(&resolver, &[RECORDS, WILDCARDS, DENIALS, ALIASES, INSECURE, MIXED].concat()).await;
    check(&resolver, &[("A mx.bogus.test", "none mx.bogus.test: 192.0.2.50")]).await;
}

#[tokio::test]
async fn check_072_073_203_an_authoritative_server_is_asked_and_believed_for_what_it_is() {
    let Some(nsd) = Nsd::start() else { return };
    check(&resolver(&[nsd.address()], |settings| settings.dnssec = DnssecMode::Ad), DIRECT).await;
}

#[tokio::test]
async fn check_203_nothing_is_secure_where_dnssec_is_off() {
    let Some(nsd) = Nsd::start() else { return };
    let unbound = nsd.unbound(Manner::Validating);
    let resolver = resolver(&[unbound.address()], |settings| settings.dnssec = DnssecMode::Off);
    check_unproved(&resolver, &[RECORDS, WILDCARDS, DENIALS, ALIASES, INSECURE, MIXED].concat()).await;
}

#[tokio::test]
async fn check_072_what_fails_validation_is_temporary_where_dnssec_is_off() {
    let Some(nsd) = Nsd::start() else { return };
    let unbound = nsd.unbound(Manner::Validating);
    let rows: Vec<Row<'_>> = BOGUS.iter().map(|(question, _)| (*question, "temporary")).collect();
    check(&resolver(&[unbound.address()], |settings| settings.dnssec = DnssecMode::Off), &rows).await;
}

#[tokio::test]
async fn check_072_a_zone_whose_servers_are_silent_is_temporary() {
    let Some(nsd) = Nsd::start() else { return };
    let unbound = nsd.unbound(Manner::Validating);
    let resolver = resolver(&[unbound.address()], |settings| {
        settings.dnssec = DnssecMode::Ad;
        settings.deadline = Duration::from_millis(500);
    });
    check(&resolver, &[("MX silent.test", "temporary")]).await;
}

/// The answers of a table, none of them proved.
async fn check_unproved(resolver: &dyn Resolver, rows: &[Row<'_>]) {
    let unproved = |text: &str| match text.split_once(' ') {
        Some(("chain" | "first", rest)) => format!("none {rest}"),
        _ => text.to_owned(),
    };
    let expected: Vec<String> = rows.iter().map(|(_, expected)| unproved(expected)).collect();
    let rows: Vec<Row<'_>> =
        rows.iter().zip(&expected).map(|((question, _), text)| (*question, &**text)).collect();
    check(resolver, &rows).await;
}

fn query(name: &str) -> Query {
    Query::new(name.parse::<nexthop::DnsName>().expect("a name"))
}
