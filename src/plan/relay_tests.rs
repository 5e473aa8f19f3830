//! Plans for relays whose servers the DNS names.

use super::planner_tests::{PUBLIC, dns, error, plan_on, shown};
use crate::mail::Host;
use crate::outcome::FailureKind;
use crate::policy::Origin;
use crate::resolver::{Exchange, MemoryResolverBuilder, RecordKind, ResolveError, Srv};

/// A server of a service, at the public address.
fn server(
    dns: MemoryResolverBuilder,
    service: &str,
    priority: u16,
    port: u16,
    target: &str,
) -> MemoryResolverBuilder {
    let record = Srv { priority, weight: 0, port, target: Exchange::parse(target) };
    let dns = dns.srv(service, record);
    if target == "." { dns } else { dns.ipv4(target, PUBLIC) }
}

#[tokio::test]
async fn a_relay_by_mx_is_its_exchangers_and_proves_its_own_name() {
    let dns = dns().mx("relay.example", 20, "b.example").mx("relay.example", 10, "a.example");
    let dns = dns.ipv4("a.example", PUBLIC).ipv4("b.example", [198, 41, 0, 5]);
    let (plan, asked) = plan_on("submission+mx://relay.example", "u@x.example", dns).await;
    let lines = [
        "10 a.example 198.41.0.4:587 (dnssec insecure) as relay.example smtp tls verified: allowed",
        "20 b.example 198.41.0.5:587 (dnssec insecure) as relay.example smtp tls verified: allowed",
    ];
    assert_eq!(shown(&plan), lines);
    assert_eq!(asked[0], "MX relay.example");
    assert_eq!(plan.candidates[0].origin, Some(Origin::RelayName));
}

#[tokio::test]
async fn a_relay_by_srv_is_its_servers_by_priority_at_their_ports() {
    let dns = server(dns(), "_submission._tcp.relay.example", 20, 588, "b.example");
    let dns = server(dns, "_submission._tcp.relay.example", 10, 587, "a.example");
    let (plan, asked) = plan_on("submission+srv://relay.example", "u@x.example", dns).await;
    let endpoints = plan.candidates.iter().filter_map(|candidate| candidate.endpoint.as_ref());
    let endpoints: Vec<_> = endpoints.map(ToString::to_string).collect();
    assert_eq!(endpoints, ["198.41.0.4:587", "198.41.0.4:588"]);
    assert_eq!(asked[0], "SRV _submission._tcp.relay.example");
}

#[tokio::test]
async fn a_relay_without_servers_is_deferred_and_the_next_one_tried() {
    let cases = [
        (dns().name("relay.example"), "smtp+srv://relay.example", FailureKind::Resolving),
        (
            server(dns(), "_smtp._tcp.relay.example", 0, 0, "."),
            "smtp+srv://relay.example",
            FailureKind::Resolving,
        ),
        (
            server(dns(), "_lmtp._tcp.relay.example", 0, 25, "a.example"),
            "lmtp+srv://relay.example",
            FailureKind::Resolving,
        ),
        (dns().mx("relay.example", 0, "."), "smtp+mx://relay.example", FailureKind::Resolving),
        (dns(), "smtp+mx://relay.example", FailureKind::Resolving),
    ];
    for (dns, route, kind) in cases {
        let (plan, _) = plan_on(&format!("{route},smtp://127.0.0.1"), "u@x.example", dns).await;
        let failure = plan.candidates[0].failure().expect("the first is of no use");
        assert_eq!((failure.kind(), failure.is_permanent()), (kind, false), "{plan}");
        assert_eq!(plan.candidates.len(), 2, "{plan}");
        assert!(plan.error().is_none());
    }
}

#[tokio::test]
async fn check_072_a_relay_whose_lookup_fails_is_not_asked_for_addresses() {
    for (route, name, kind) in [
        ("smtp+mx://relay.example", "relay.example", RecordKind::Mx),
        ("smtp+srv://relay.example", "_smtp._tcp.relay.example", RecordKind::Srv),
    ] {
        let dns = dns().ipv4("relay.example", PUBLIC).fail(name, kind, ResolveError::temporary("SERVFAIL"));
        let (plan, asked) = plan_on(route, "u@x.example", dns).await;
        assert_eq!(error(&plan), ("4.4.3".into(), FailureKind::Resolving));
        assert_eq!(asked.len(), 1);
    }
}

#[tokio::test]
async fn check_077_a_relay_by_mx_that_leads_back_is_cut() {
    let dns = dns()
        .mx("relay.example", 10, "a.example")
        .mx("relay.example", 20, "me.example")
        .ipv4("a.example", PUBLIC);
    let (plan, _) = plan_on("smtp+mx://relay.example", "u@x.example", dns).await;
    let words: Vec<_> = plan.candidates.iter().map(|c| c.failure().map(|f| f.status().to_string())).collect();
    assert_eq!(words, [None, Some("5.4.6".to_owned())]);
}

#[tokio::test]
async fn attack_a39_the_dns_does_not_choose_the_name_that_a_certificate_is_for() {
    let dns = server(dns(), "_submissions._tcp.relay.example", 0, 465, "evil.example");
    let (plan, _) = plan_on("submissions+srv://relay.example", "u@x.example", dns).await;
    assert_eq!(plan.candidates[0].certificate_name, Some(Host::parse("relay.example").unwrap()));
}

#[tokio::test]
async fn a_service_of_this_host_is_no_loop() {
    let dns = dns().ipv4("me.example", [198, 41, 0, 99]);
    let record = Srv { priority: 0, weight: 0, port: 24, target: Exchange::parse("me.example") };
    let dns = dns.srv("_lmtp._tcp.store.example", record);
    let (plan, _) = plan_on("lmtp+srv://store.example", "u@x.example", dns).await;
    assert!(plan.error().is_none(), "{plan}");
}

#[tokio::test]
async fn a_relay_by_mx_whose_exchanger_is_no_name_is_deferred() {
    let (plan, _) =
        plan_on("smtp+mx://relay.example", "u@x.example", dns().mx("relay.example", 10, "192.0.2.1")).await;
    assert_eq!(error(&plan), ("4.4.4".into(), FailureKind::Resolving));
}
