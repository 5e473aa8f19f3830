//! Plans over a resolver that answers from a script.

use std::net::IpAddr;

use super::{Destination, Plan, PlanSettings, Planner, Standing};
use crate::mail::{Domain, Recipient};
use crate::outcome::FailureKind;
use crate::policy::DefaultPolicy;
use crate::resolver::{MemoryResolver, MemoryResolverBuilder, RecordKind, ResolveError};
use crate::route::{Route, TlsLevel};
use crate::tls::TlsSettings;

pub(super) const PUBLIC: [u8; 4] = [198, 41, 0, 4];
/// An address of this host.
const OWN: [u8; 4] = [198, 41, 0, 99];

pub(super) fn dns() -> MemoryResolverBuilder {
    MemoryResolver::builder()
}

/// The plan for a recipient on a route, and what was asked.
pub(super) async fn plan_on(route: &str, to: &str, dns: MemoryResolverBuilder) -> (Plan, Vec<String>) {
    let resolver = dns.build().unwrap();
    let policy = DefaultPolicy::default();
    let own_addresses = vec![OWN.into()];
    let own_names = vec![Domain::parse("me.example").unwrap()];
    let settings = PlanSettings { own_names, own_addresses, ..PlanSettings::default() };
    let route: Route = route.parse().unwrap();
    let destination = Destination::new(&route, &Recipient::parse(to).unwrap()).unwrap().unwrap();
    let local = ["192.0.2.200".parse().unwrap(), "2001:db8::200".parse().unwrap()];
    let planner = Planner::new(&resolver, &policy, &settings).with_sources(&local);
    let plan = planner.plan(&destination).await;
    (plan, resolver.queries().iter().map(|(kind, name)| format!("{kind} {name}")).collect())
}

async fn plan(dns: MemoryResolverBuilder) -> (Plan, Vec<String>) {
    plan_on("mx", "ann@x.example", dns).await
}

/// What a plan says, candidate after candidate.
pub(super) fn shown(plan: &Plan) -> Vec<String> {
    plan.candidates.iter().map(ToString::to_string).collect()
}

/// Status and kind of the reason why nothing can be dialled.
pub(super) fn error(plan: &Plan) -> (String, FailureKind) {
    let failure = plan.error().expect("nothing can be dialled");
    (failure.status().to_string(), failure.kind())
}

#[tokio::test]
async fn check_069_addresses_of_the_domain_are_not_used_beside_mx() {
    let dns = dns().mx("x.example", 10, "mx.x.example").ipv4("x.example", PUBLIC).name("mx.x.example");
    let (plan, asked) = plan(dns).await;
    assert_eq!(error(&plan), ("5.4.4".into(), FailureKind::Routing));
    assert!(!asked.contains(&"A x.example".into()), "{asked:?}");
}

#[tokio::test]
async fn check_070_without_mx_the_domain_is_its_own_exchanger() {
    let (plan, asked) = plan(dns().ipv4("x.example", PUBLIC)).await;
    assert_eq!(shown(&plan), ["0 x.example 198.41.0.4:25 (dnssec insecure) smtp tls opportunistic: allowed"]);
    assert_eq!(asked, ["MX x.example", "AAAA x.example", "A x.example"]);
}

#[tokio::test]
async fn check_070_073_the_implicit_exchanger_stands_at_the_end_of_the_alias() {
    let (plan, _) = plan(dns().cname("x.example", "real.example").ipv4("real.example", PUBLIC)).await;
    assert_eq!(
        shown(&plan),
        ["0 real.example 198.41.0.4:25 (dnssec insecure) smtp tls opportunistic: allowed"]
    );
}

#[tokio::test]
async fn check_071_a_domain_that_does_not_exist_is_asked_once_and_failed() {
    let (plan, asked) = plan(dns()).await;
    assert_eq!(error(&plan), ("5.1.2".into(), FailureKind::Routing));
    assert_eq!(asked, ["MX x.example"]);
}

#[tokio::test]
async fn check_072_a_failed_lookup_is_neither_no_mx_nor_an_implicit_one() {
    for failure in [ResolveError::temporary("SERVFAIL"), ResolveError::bogus("signature")] {
        let dns = dns().ipv4("x.example", PUBLIC).fail("x.example", RecordKind::Mx, failure);
        let (plan, asked) = plan(dns).await;
        assert_eq!(error(&plan), ("4.4.3".into(), FailureKind::Resolving));
        assert_eq!(asked, ["MX x.example"]);
    }
}

#[tokio::test]
async fn check_083_a_null_mx_ends_it_without_a_further_question() {
    let (plan, asked) = plan(dns().mx("x.example", 0, ".").ipv4("x.example", PUBLIC)).await;
    assert_eq!(error(&plan), ("5.1.10".into(), FailureKind::Routing));
    assert_eq!(asked, ["MX x.example"]);
}

#[tokio::test]
async fn check_077_attack_a04_the_best_exchanger_is_this_host() {
    let (plan, _) = plan(dns().mx("x.example", 10, "ME.example").mx("x.example", 20, "mx.x.example")).await;
    assert_eq!(error(&plan), ("5.4.6".into(), FailureKind::Routing));
    assert!(
        plan.to_string()
            .contains("the best mail exchanger of x.example, me.example, has a name of this host"),
        "{plan}"
    );
}

/// Returns the reason that mail to a candidate would come back.
fn leads_back(plan: &Plan, host: &str) -> String {
    let candidate = plan.candidates.iter().find(|candidate| candidate.name() == host).unwrap();
    let detail = candidate.failure().unwrap().detail();
    let start = format!("mail to {host} would come back to this host: ");
    detail.strip_prefix(&start).unwrap_or_else(|| panic!("{detail}")).to_owned()
}

#[tokio::test]
async fn check_077_a_loop_names_the_exchanger_that_is_this_host_with_the_reason() {
    let dns = || {
        dns()
            .mx("x.example", 10, "own.example")
            .mx("x.example", 20, "far.example")
            .ipv4("far.example", PUBLIC)
    };
    let (by_address, _) = plan(dns().ipv4("own.example", OWN)).await;
    let why = "the mail exchanger own.example has 198.41.0.99, an address of this host";
    assert_eq!([leads_back(&by_address, "own.example"), leads_back(&by_address, "far.example")], [why; 2]);
    assert!(by_address.error().unwrap().detail().ends_with(why), "{by_address}");
    let (by_alias, _) = plan(dns().cname("own.example", "me.example").ipv4("me.example", PUBLIC)).await;
    let why = "the mail exchanger own.example leads to me.example, a name of this host";
    assert_eq!(leads_back(&by_alias, "far.example"), why);
    let better = dns().mx("x.example", 5, "far.example").mx("x.example", 30, "me.example").mx(
        "x.example",
        40,
        "worse.example",
    );
    let (by_name, _) = plan(better.ipv4("own.example", PUBLIC)).await;
    assert_eq!(
        leads_back(&by_name, "worse.example"),
        "the mail exchanger me.example has a name of this host"
    );
}

#[tokio::test]
async fn check_077_078_an_exchanger_at_an_own_address_drops_all_that_are_no_better() {
    let dns = || {
        dns()
            .mx("x.example", 5, "a.example")
            .mx("x.example", 10, "b.example")
            .mx("x.example", 20, "c.example")
            .ipv4("a.example", PUBLIC)
            .ipv4("c.example", PUBLIC)
    };
    let (cut, _) = plan(dns().ipv4("b.example", OWN)).await;
    let usable: Vec<_> = cut.candidates.iter().filter(|c| c.failure().is_none()).map(|c| c.name()).collect();
    assert_eq!(usable, ["a.example"]);
    let (own, _) = plan(
        dns()
            .ipv6("b.example", "::ffff:198.41.0.99".parse::<std::net::Ipv6Addr>().unwrap())
            .ipv4("a.example", OWN),
    )
    .await;
    assert_eq!(error(&own), ("5.4.6".into(), FailureKind::Routing));
}

#[tokio::test]
async fn check_077_an_implicit_exchanger_that_is_this_host_is_a_loop() {
    let (named, _) = plan_on("mx", "ann@me.example", dns().ipv4("me.example", PUBLIC)).await;
    assert_eq!(error(&named), ("5.4.6".into(), FailureKind::Routing));
    let (addressed, _) = plan(dns().ipv4("x.example", OWN)).await;
    assert_eq!(error(&addressed), ("5.4.6".into(), FailureKind::Routing));
}

#[tokio::test]
async fn check_080_exchangers_without_addresses_fail_unless_nobody_knows() {
    let both = || dns().mx("x.example", 10, "a.example").mx("x.example", 20, "b.example").name("b.example");
    assert_eq!(error(&plan(both()).await.0), ("5.4.4".into(), FailureKind::Routing));
    let doubtful = both().fail("a.example", RecordKind::Ipv4, ResolveError::temporary("SERVFAIL"));
    assert_eq!(error(&plan(doubtful).await.0), ("4.4.3".into(), FailureKind::Resolving));
}

#[tokio::test]
async fn check_082_an_exchanger_that_is_an_address_is_not_dialled() {
    let (plan, asked) = plan(dns().mx("x.example", 10, "192.0.2.1")).await;
    assert_eq!(error(&plan), ("5.4.4".into(), FailureKind::Routing));
    assert_eq!(asked, ["MX x.example"]);
}

#[tokio::test]
async fn check_087_attack_a06_exchangers_and_addresses_are_bounded() {
    let mut dns = dns();
    for host in 0..300u16 {
        let name = format!("mx{host}.example");
        dns = dns.mx("x.example", host, &name);
        for last in 1..=100 {
            dns = dns.ipv4(&name, [198, 41, (host % 250) as u8, last]);
        }
    }
    let (plan, asked) = plan(dns).await;
    assert_eq!((plan.candidates.len(), asked.len()), (80, 21));
}

#[tokio::test]
async fn attack_a06_an_address_of_several_hosts_is_dialled_once() {
    let mut dns = dns();
    for host in 0..5u16 {
        let name = format!("mx{host}.example");
        dns = dns.mx("x.example", host, &name).ipv4(&name, PUBLIC).ipv4(&name, [198, 41, 0, 5]);
    }
    assert_eq!(plan(dns).await.0.candidates.len(), 2);
}

#[tokio::test]
async fn check_066_an_address_literal_is_judged_without_a_question() {
    for (literal, verdict) in
        [("[127.0.0.1]", "denied"), ("[198.41.0.4]", "allowed"), ("[IPv6:::ffff:10.0.0.1]", "denied")]
    {
        let (plan, asked) = plan_on("mx", &format!("u@{literal}"), dns()).await;
        assert!(shown(&plan)[0].contains(verdict), "{plan}");
        assert_eq!(asked, Vec::<String>::new());
    }
}

#[tokio::test]
async fn check_088_a_relay_is_not_asked_for_mx() {
    let (plan, asked) =
        plan_on("smtp://relay.example:2525", "u@x.example", dns().ipv4("relay.example", PUBLIC)).await;
    assert_eq!(
        shown(&plan),
        ["relay.example 198.41.0.4:2525 (dnssec insecure) smtp tls opportunistic: allowed"]
    );
    assert_eq!(asked, ["AAAA relay.example", "A relay.example"]);
}

#[tokio::test]
async fn check_089_092_093_single_addresses_are_dropped_and_the_rest_stays() {
    let dns =
        dns().mx("x.example", 10, "mx.example").ipv4("mx.example", [127, 0, 0, 1]).ipv4("mx.example", PUBLIC);
    let (plan, _) = plan(dns).await;
    let allowed = plan.candidates.iter().filter(|c| matches!(c.standing, Standing::Allowed(_)));
    assert_eq!((plan.candidates.len(), allowed.count()), (2, 1));
    assert!(plan.error().is_none());
}

#[tokio::test]
async fn check_093_when_all_addresses_are_denied_it_fails_and_says_why() {
    for address in
        ["127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1", "169.254.169.254", "10.1.2.3", "64:ff9b::7f00:1"]
    {
        let dns = dns().mx("x.example", 10, "mx.example");
        let dns = match address.parse().unwrap() {
            IpAddr::V4(address) => dns.ipv4("mx.example", address),
            IpAddr::V6(address) => dns.ipv6("mx.example", address),
        };
        let (plan, _) = plan(dns).await;
        assert_eq!(error(&plan), ("5.4.4".into(), FailureKind::Forbidden), "{plan}");
    }
}

#[tokio::test]
async fn law_5_the_operators_own_relay_may_be_on_loopback_a_resolved_name_may_not() {
    for (route, allowed) in [
        ("lmtp://127.0.0.1:2424", true),
        ("lmtp://[::1]:2424", true),
        ("lmtp://localhost:2424", true),
        ("lmtp+unix:///run/lmtp", true),
        ("lmtp://10.0.0.1", true),
        ("lmtp://trap.example", false),
    ] {
        let (plan, _) = plan_on(route, "u@x.example", dns().ipv4("trap.example", [127, 0, 0, 1])).await;
        assert_eq!(plan.error().is_none(), allowed, "{plan}");
    }
}

#[tokio::test]
async fn an_unknown_relay_is_deferred() {
    let (plan, _) = plan_on("smtp://gone.example", "u@x.example", dns()).await;
    assert_eq!(error(&plan), ("4.4.4".into(), FailureKind::Resolving));
}

#[tokio::test]
async fn law_5_check_078_an_address_literal_of_this_host_leads_back() {
    for literal in ["[198.41.0.99]", "[IPv6:::ffff:198.41.0.99]"] {
        let (plan, _) = plan_on("mx", &format!("u@{literal}"), dns()).await;
        assert_eq!(error(&plan), ("5.4.6".into(), FailureKind::Routing), "{plan}");
    }
}

#[tokio::test]
async fn law_5_what_was_denied_to_one_relay_is_still_open_to_the_next() {
    let dns = || dns().ipv4("relay.example", [127, 0, 0, 1]);
    let (plan, _) = plan_on("smtp://relay.example:2525,smtp://127.0.0.1:2525", "u@x.example", dns()).await;
    assert!(plan.error().is_none(), "{plan}");
    let (plan, _) = plan_on("smtp://127.0.0.1:2525,lmtp://127.0.0.1:2525", "u@x.example", dns()).await;
    assert_eq!(plan.candidates.len(), 2, "{plan}");
}

#[tokio::test]
async fn attack_a06_an_address_of_several_hosts_is_dialled_once_over_tls_that_names_nobody() {
    let mut dns = dns();
    for host in 0..5u16 {
        let name = format!("mx{host}.example");
        dns = dns.mx("x.example", host, &name).ipv4(&name, PUBLIC);
    }
    let resolver = dns.build().unwrap();
    let (policy, settings) = (DefaultPolicy::default(), PlanSettings::default());
    for (level, count) in [(TlsLevel::Required, 1), (TlsLevel::Verified, 5)] {
        let mut tls = TlsSettings::default();
        tls.level = level;
        let to = Recipient::parse("ann@x.example").unwrap();
        let destination = Destination::new(&Route::mx(), &to).unwrap().unwrap();
        let plan = Planner::new(&resolver, &policy, &settings).with_tls(&tls).plan(&destination).await;
        assert_eq!(plan.candidates.len(), count, "{plan}");
    }
}

#[tokio::test]
async fn check_077_an_alias_of_this_host_is_this_host() {
    let aliased = |name: &str| dns().cname(name, "me.example").ipv4("me.example", PUBLIC);
    let (implicit, _) = plan(aliased("x.example")).await;
    assert_eq!(error(&implicit), ("5.4.6".into(), FailureKind::Routing), "{implicit}");
    let dns = aliased("a.example").mx("x.example", 10, "a.example").mx("x.example", 20, "b.example");
    let (named, _) = plan(dns.ipv4("b.example", [198, 41, 0, 5])).await;
    assert_eq!(error(&named), ("5.4.6".into(), FailureKind::Routing), "{named}");
}
