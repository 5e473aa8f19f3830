//! The breadth of the ladder: every pair of answers for the two families, and many hosts side by side.

use std::net::Ipv6Addr;

use nexthop::resolver::{MemoryResolverBuilder, RecordKind};
use nexthop::{Families, MemoryResolver, MxRoute, ResolveError, Route};

use crate::far::{Planned, comes_of, hold, planned};

const V4: [u8; 4] = [198, 41, 0, 4];
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0x503, 0, 0, 0, 0, 0, 1);

const UNKNOWN: &str = "deferred 4.4.3 resolving";

/// What one family has at a name.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Has {
    Address,
    NoData,
    NoName,
    ServFail,
    Bogus,
}

const ALL: [Has; 5] = [Has::Address, Has::NoData, Has::NoName, Has::ServFail, Has::Bogus];

/// The name, with an answer for a family.
fn set(dns: MemoryResolverBuilder, name: &str, kind: RecordKind, has: Has) -> MemoryResolverBuilder {
    match (has, kind) {
        (Has::Address, RecordKind::Ipv4) => dns.ipv4(name, V4),
        (Has::Address, _) => dns.ipv6(name, V6),
        (Has::NoData, _) => dns.name(name),
        (Has::NoName, _) => dns.fail(name, kind, ResolveError::NoSuchName),
        (Has::ServFail, _) => dns.fail(name, kind, ResolveError::temporary("SERVFAIL")),
        (Has::Bogus, _) => dns.fail(name, kind, ResolveError::bogus("signature")),
    }
}

/// What comes of a pair: what one family has is used, and only if both are denied there is nothing.
fn comes(v4: Has, v6: Has, named: &str, nothing: &str) -> String {
    let (four, six) = (format!("{named} 198.41.0.4"), format!("{named} 2001:503::1"));
    match (v4, v6) {
        (Has::Address, Has::Address) => format!("{six}, {four}"),
        (Has::Address, _) => four,
        (_, Has::Address) => six,
        (Has::ServFail | Has::Bogus, _) | (_, Has::ServFail | Has::Bogus) => UNKNOWN.to_owned(),
        (Has::NoData | Has::NoName, Has::NoData | Has::NoName) => nothing.to_owned(),
    }
}

/// Every pair at a name, on a route that leads there.
async fn hold_pairs(route: &str, dns: fn() -> MemoryResolverBuilder, name: &str, wanted: [&str; 3]) {
    let [asked, named, nothing] = wanted;
    for (v4, v6) in ALL.into_iter().flat_map(|v4| ALL.map(|v6| (v4, v6))) {
        let dns = set(set(dns(), name, RecordKind::Ipv4, v4), name, RecordKind::Ipv6, v6);
        let (what, comes) = (format!("A {v4:?}, AAAA {v6:?}"), comes(v4, v6, named, nothing));
        hold(route, [(what.as_str(), dns, asked, comes.as_str())]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn check_081_every_pair_of_answers_at_an_exchanger() {
    let one = || MemoryResolver::builder().mx("x.example", 10, "mx.example");
    let asked = "MX x.example > A mx.example, AAAA mx.example";
    let wanted = [asked, "10 mx.example", "failed 5.4.4 routing"];
    hold_pairs("mx", one, "mx.example", wanted).await;
}

#[tokio::test(start_paused = true)]
async fn check_081_every_pair_of_answers_at_the_domain_itself() {
    let asked = "MX x.example > A x.example, AAAA x.example";
    let wanted = [asked, "0 x.example", "failed 5.4.4 routing"];
    hold_pairs("mx", || MemoryResolver::builder().name("x.example"), "x.example", wanted).await;
}

#[tokio::test(start_paused = true)]
async fn check_081_every_pair_of_answers_at_a_relay() {
    let wanted = ["A r.example, AAAA r.example", "r.example", "deferred 4.4.4 resolving"];
    hold_pairs("smtp://r.example", MemoryResolver::builder, "r.example", wanted).await;
}

/// So many exchangers, each with addresses of both families.
fn exchangers(count: u16) -> MemoryResolverBuilder {
    (0..count).fold(MemoryResolver::builder(), |dns, number| {
        let host = format!("mx{number}.example");
        let six = Ipv6Addr::new(0x2001, 0x503, 0, 0, 0, 0, 1, number);
        let [high, low] = number.to_be_bytes();
        dns.mx("x.example", number, &host).ipv6(&host, six).ipv4(&host, [198, 42, high, low])
    })
}

fn counts(planned: &Planned) -> Vec<usize> {
    planned.rounds.iter().map(Vec::len).collect()
}

#[tokio::test(start_paused = true)]
async fn check_096_four_hosts_of_two_families_are_asked_for_side_by_side() {
    let planned = planned(&Route::mx(), exchangers(4)).await;
    assert_eq!((counts(&planned), planned.took), (vec![1, 8], 2));
}

#[tokio::test(start_paused = true)]
async fn check_088_relays_in_turn_are_asked_for_side_by_side() {
    let route = (0..4).map(|number| format!("smtp://mx{number}.example")).collect::<Vec<_>>().join(",");
    let planned = planned(&route.parse().unwrap(), exchangers(4)).await;
    assert_eq!((counts(&planned), planned.took), (vec![8], 1));
}

#[tokio::test(start_paused = true)]
async fn check_087_attack_a06_of_5000_exchangers_ten_are_asked_for() {
    let planned = planned(&Route::mx(), exchangers(5000)).await;
    assert_eq!((counts(&planned), planned.took), (vec![1, 20], 2));
    let dialled: Vec<_> = planned.plan.hosts().map(|host| host[0].name()).collect();
    assert_eq!(dialled, (0..10).map(|number| format!("mx{number}.example")).collect::<Vec<_>>());
}

/// 200 exchangers, each an alias of an alias and so on for ten steps.
fn chains() -> MemoryResolverBuilder {
    let steps = (0..200u16).flat_map(|number| (0..10u8).map(move |step| (number, step)));
    let exchangers = (0..200).fold(MemoryResolver::builder(), |dns, number| {
        dns.mx("x.example", number, &format!("c0.m{number}.example"))
    });
    steps.fold(exchangers, |dns, (number, step)| {
        let (owner, target) =
            (format!("c{step}.m{number}.example"), format!("c{}.m{number}.example", step + 1));
        dns.cname(&owner, &target)
    })
}

#[tokio::test(start_paused = true)]
async fn attack_a07_of_200_chains_of_aliases_ten_are_followed() {
    let planned = planned(&Route::mx(), chains()).await;
    assert_eq!((counts(&planned), planned.took), (vec![1, 20], 2));
}

#[tokio::test(start_paused = true)]
async fn check_087_an_exchanger_named_twice_is_asked_for_once() {
    let dns = exchangers(1).mx("x.example", 20, "MX0.example").mx("x.example", 30, "mx0.example.");
    let planned = planned(&Route::mx(), dns).await;
    assert_eq!(counts(&planned), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn check_076_a_limit_of_one_leaves_two_hosts_and_two_addresses() {
    let mut limits = MxRoute::default();
    (limits.max_hosts, limits.max_addresses) = (Some(1), Some(1));
    let planned = planned(&Route::Mx(limits), exchangers(4)).await;
    let dialled = "0 mx0.example 2001:503::1:0, 0 mx0.example 198.42.0.0, \
                   1 mx1.example 2001:503::1:1, 1 mx1.example 198.42.0.1";
    assert_eq!(comes_of(&planned.plan), dialled);
}

#[tokio::test(start_paused = true)]
async fn a_family_that_is_not_wanted_is_not_asked_for() {
    for (families, asked) in [(Families::V4Only, "A mx0.example"), (Families::V6Only, "AAAA mx0.example")] {
        let mut limits = MxRoute::default();
        limits.families = families;
        let planned = planned(&Route::Mx(limits), exchangers(1)).await;
        assert_eq!(planned.rounds, [["MX x.example"], [asked]], "{families:?}");
    }
}
