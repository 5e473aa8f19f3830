//! When hosts are given, on a resolver that takes its time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::{Destination, HostPlan, PlanSettings, Planner};
use crate::mail::Recipient;
use crate::policy::DefaultPolicy;
use crate::resolver::{
    Answer, MemoryResolver, MemoryResolverBuilder, Mx, Query, RecordKind, ResolveError, Resolver, Srv, Tlsa,
    Txt,
};
use crate::route::{Families, MxRoute, Route};

const ROUND_TRIP: u64 = 50;

/// Answers after so many milliseconds, which depend on kind and name.
#[derive(Debug)]
struct Slow {
    dns: MemoryResolver,
    delay: fn(RecordKind, &str) -> u64,
}

impl Slow {
    async fn wait(&self, kind: RecordKind, query: &Query) {
        sleep(Duration::from_millis((self.delay)(kind, query.name.as_str()))).await;
    }
}

#[async_trait]
impl Resolver for Slow {
    async fn mx(&self, query: &Query) -> Result<Answer<Mx>, ResolveError> {
        self.wait(RecordKind::Mx, query).await;
        self.dns.mx(query).await
    }

    async fn ipv4(&self, query: &Query) -> Result<Answer<Ipv4Addr>, ResolveError> {
        self.wait(RecordKind::Ipv4, query).await;
        self.dns.ipv4(query).await
    }

    async fn ipv6(&self, query: &Query) -> Result<Answer<Ipv6Addr>, ResolveError> {
        self.wait(RecordKind::Ipv6, query).await;
        self.dns.ipv6(query).await
    }

    async fn tlsa(&self, query: &Query) -> Result<Answer<Tlsa>, ResolveError> {
        self.dns.tlsa(query).await
    }

    async fn txt(&self, query: &Query) -> Result<Answer<Txt>, ResolveError> {
        self.dns.txt(query).await
    }

    async fn srv(&self, query: &Query) -> Result<Answer<Srv>, ResolveError> {
        self.dns.srv(query).await
    }
}

/// Exchangers `a.example` to `d.example` with an address of each family, in this order.
fn four() -> MemoryResolverBuilder {
    ["a", "b", "c", "d"].iter().zip(1..).fold(MemoryResolver::builder(), |dns, (name, number)| {
        let name = format!("{name}.example");
        dns.mx("x.example", number * 10, &name)
            .ipv4(&name, [198, 41, 0, number as u8])
            .ipv6(&name, Ipv6Addr::from(0x2600 << 112 | u128::from(number)))
    })
}

/// Hosts with their addresses, and after how many milliseconds they were given.
async fn given(
    dns: MemoryResolverBuilder,
    families: Families,
    delay: fn(RecordKind, &str) -> u64,
) -> Vec<(u128, String)> {
    given_with(dns, families, delay, PlanSettings::default()).await
}

async fn given_with(
    dns: MemoryResolverBuilder,
    families: Families,
    delay: fn(RecordKind, &str) -> u64,
    settings: PlanSettings,
) -> Vec<(u128, String)> {
    let (resolver, policy) = (Slow { dns: dns.build().unwrap(), delay }, DefaultPolicy::default());
    let local: [IpAddr; 2] = ["192.0.2.200".parse().unwrap(), "2001:db8::200".parse().unwrap()];
    let planner = Planner::new(&resolver, &policy, &settings).with_sources(&local);
    let route = Route::Mx(MxRoute { families, ..MxRoute::default() });
    let destination = Destination::new(&route, &Recipient::parse("ann@x.example").unwrap()).unwrap().unwrap();
    let (mut planning, begin, mut given) = (planner.planning(&destination), Instant::now(), Vec::new());
    while let Some(host) = planning.next().await {
        let had: Vec<_> = host.candidates.iter().filter_map(|c| c.endpoint.clone()).collect();
        let (place, mut line) = (host.place, line(&host));
        given.push((begin.elapsed().as_millis(), line.clone()));
        if let Some(place) = place {
            let rest = planning.rest(place, &had).await;
            line = self::line(&HostPlan { candidates: rest, ..host });
            given.push((begin.elapsed().as_millis(), format!("then {line}")));
        }
    }
    given
}

/// `a.example 4 6`, or why not.
fn line(host: &HostPlan) -> String {
    let name = host.candidates.first().map(|c| c.name()).unwrap_or_default();
    let family = |c: &super::Candidate| match (c.failure(), &c.endpoint) {
        (None, Some(crate::route::Endpoint::Tcp(to))) => if to.is_ipv4() { "4" } else { "6" }.to_owned(),
        (failure, _) => failure.map(|failure| failure.status().to_string()).unwrap_or_default(),
    };
    host.candidates.iter().map(family).fold(name, |line, family| format!("{line} {family}"))
}

fn at(millis: u128, line: &str) -> (u128, String) {
    (millis, line.to_owned())
}

#[tokio::test(start_paused = true)]
async fn check_096_the_first_of_four_hosts_costs_two_round_trips_and_the_others_none() {
    let given = given(four(), Families::Balanced, |_, _| ROUND_TRIP).await;
    let all = ["a.example 6 4", "b.example 6 4", "c.example 6 4", "d.example 6 4"];
    assert_eq!(given, all.map(|line| at(2 * u128::from(ROUND_TRIP), line)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_host_holds_up_none_that_is_better() {
    let slow_c = |_, name: &str| if name == "c.example" { 9000 } else { ROUND_TRIP };
    let given = given(four(), Families::Balanced, slow_c).await;
    let times: Vec<_> = given.iter().map(|(millis, _)| *millis).collect();
    assert_eq!(times, [100, 100, 9050, 9050]);
}

#[tokio::test(start_paused = true)]
async fn check_096_the_family_that_is_wanted_waits_for_nobody_and_is_waited_for_a_little() {
    let one = || {
        MemoryResolver::builder()
            .mx("x.example", 10, "a.example")
            .ipv4("a.example", [198, 41, 0, 1])
            .ipv6("a.example", Ipv6Addr::from(0x2600 << 112 | 1))
    };
    let late_v6 = |kind, _: &str| if kind == RecordKind::Ipv6 { 40 } else { 0 };
    assert_eq!(given(one(), Families::Balanced, late_v6).await, [at(40, "a.example 6 4")]);
    let later_v6 = |kind, _: &str| if kind == RecordKind::Ipv6 { 200 } else { 0 };
    let two_steps = [at(50, "a.example 4"), at(200, "then a.example 6")];
    assert_eq!(given(one(), Families::Balanced, later_v6).await, two_steps);
    assert_eq!(given(one(), Families::V6ThenV4, later_v6).await, two_steps);
    assert_eq!(given(one(), Families::V4ThenV6, later_v6).await[0], at(0, "a.example 4"));
    let late_v4 = |kind, _: &str| if kind == RecordKind::Ipv4 { 200 } else { 0 };
    assert_eq!(given(one(), Families::Balanced, late_v4).await[0], at(0, "a.example 6"));
}

#[tokio::test(start_paused = true)]
async fn check_077_an_equal_host_that_may_be_this_one_is_waited_for() {
    let dns = MemoryResolver::builder()
        .mx("x.example", 10, "a.example")
        .mx("x.example", 10, "own.example")
        .ipv4("a.example", [198, 41, 0, 1])
        .ipv4("own.example", [198, 41, 0, 99]);
    let settings = PlanSettings { own_addresses: vec![[198, 41, 0, 99].into()], ..PlanSettings::default() };
    let slow_own = |_, name: &str| if name == "own.example" { 3000 } else { 0 };
    let given = given_with(dns, Families::Balanced, slow_own, settings).await;
    assert_eq!(given.iter().map(|(millis, _)| *millis).collect::<Vec<_>>(), [3000, 3000]);
    assert!(given.iter().all(|(_, line)| line.ends_with("5.4.6")), "{given:?}");
}

#[tokio::test(start_paused = true)]
async fn attack_a07_the_time_for_lookups_ends_and_what_is_known_is_used() {
    let slow_b = |_, name: &str| if name == "b.example" { 3_600_000 } else { 0 };
    let given = given(four(), Families::Balanced, slow_b).await;
    assert_eq!(given[0], at(0, "a.example 6 4"));
    assert_eq!(given[1], at(60_000, "b.example 4.4.3"));
    assert_eq!(given[2], at(60_000, "c.example 6 4"));
    let hung = given_with(four(), Families::Balanced, |_, _| 3_600_000, PlanSettings::default()).await;
    assert_eq!(hung, []);
}

#[tokio::test(start_paused = true)]
async fn attack_a07_hosts_beyond_the_questions_for_one_delivery_are_left_for_later() {
    let settings = PlanSettings { max_questions: 5, ..PlanSettings::default() };
    let given = given_with(four(), Families::Balanced, |_, _| 0, settings).await;
    let lines: Vec<_> = given.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines, ["a.example 6 4", "b.example 6 4", "c.example 4.4.3", "d.example 4.4.3"]);
}

#[tokio::test(start_paused = true)]
async fn check_087_a_family_that_comes_late_does_not_double_the_addresses() {
    let mut dns = MemoryResolver::builder().mx("x.example", 10, "a.example");
    for number in 1..=12u8 {
        dns = dns.ipv4("a.example", [198, 41, 0, number]);
        dns = dns.ipv6("a.example", Ipv6Addr::from(0x2600 << 112 | u128::from(number)));
    }
    let late_v4 = |kind, _: &str| if kind == RecordKind::Ipv4 { 200 } else { 0 };
    let given = given(dns, Families::V4ThenV6, late_v4).await;
    let count: usize = given.iter().map(|(_, line)| line.matches([' ']).count()).sum();
    // a family that is not there yet is worth an address beyond the limit
    assert!(given.len() == 2 && count <= 10, "{given:?}");
}
