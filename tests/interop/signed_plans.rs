//! Plans by mail exchangers, from a real DNS.

use std::net::IpAddr;

use nexthop::plan::{Candidate, Destination, Plan, PlanSettings, Planner, Standing};
use nexthop::{DefaultPolicy, Endpoint, HickoryResolver, Recipient, Route};

use crate::dns::{Manner, Nsd};
use crate::dns_rows::believing;

/// A domain, and its plan as [`told`] has it.
type PlanRow<'a> = (&'a str, &'a str);

const EXCHANGERS: &[PlanRow<'_>] = &[
    (
        "signed.test",
        "10 mx.signed.test 2001:db8::1, 10 mx.signed.test 192.0.2.1, 20 mx2.signed.test 192.0.2.2",
    ),
    ("any.wild.signed.test", "10 mx.signed.test 2001:db8::1, 10 mx.signed.test 192.0.2.1"),
    ("unsigned.test", "10 mx.unsigned.test 192.0.2.50"),
    ("nsec3.test", "10 mx.nsec3.test 192.0.2.20"),
];

const ALIASES: &[PlanRow<'_>] = &[
    (
        "alias-domain.signed.test",
        "10 mx.signed.test 2001:db8::1, 10 mx.signed.test 192.0.2.1, 20 mx2.signed.test 192.0.2.2",
    ),
    ("out-domain.signed.test", "10 mx.unsigned.test 192.0.2.50"),
    ("alias-implicit.signed.test", "0 implicit.signed.test 192.0.2.5"),
    ("step0.signed.test", "0 step11.signed.test 192.0.2.12"),
    ("alias-null.signed.test", "5.1.10"),
    ("out-null.signed.test", "5.1.10"),
    ("alias-gone.signed.test", "5.1.2"),
    ("out-gone.signed.test", "5.1.2"),
    ("alias-text.signed.test", "5.4.4"),
    ("loop.signed.test", "4.4.3"),
    ("to-bogus.signed.test", "4.4.3"),
    ("to-broken.signed.test", "4.4.3"),
];

const IMPLICIT: &[PlanRow<'_>] = &[
    ("implicit.signed.test", "0 implicit.signed.test 192.0.2.5"),
    ("implicit6.signed.test", "0 implicit6.signed.test 2001:db8::6"),
    ("text.signed.test", "5.4.4"),
    ("text.unsigned.test", "5.4.4"),
    ("empty.nsec3.test", "5.4.4"),
];

const NULL: &[PlanRow<'_>] = &[
    ("null.signed.test", "5.1.10"),
    ("null.nsec3.test", "5.1.10"),
    ("null.unsigned.test", "5.1.10"),
    ("late-null.signed.test", "5.1.10"),
    ("mixed-null.signed.test", "10 mx2.signed.test 192.0.2.2"),
];

const NO_SUCH_DOMAIN: &[PlanRow<'_>] = &[
    ("gone.signed.test", "5.1.2"),
    ("gone.nsec3.test", "5.1.2"),
    ("gone.unsigned.test", "5.1.2"),
    ("no-such-zone.test", "5.1.2"),
];

const WITHOUT_ADDRESSES: &[PlanRow<'_>] = &[
    ("deaf.signed.test", "5.4.4"),
    ("gone-host.signed.test", "5.4.4"),
    ("number.signed.test", "5.4.4"),
    ("bogus-host.signed.test", "4.4.3"),
    ("broken-host.signed.test", "4.4.3"),
    ("bogus-or-gone.signed.test", "4.4.3"),
    ("bogus-or-good.signed.test", "10 mx.bogus.test unusable, 20 mx2.signed.test 192.0.2.2"),
];

const ALIASED_HOSTS: &[PlanRow<'_>] = &[
    ("alias-host.signed.test", "10 alias.signed.test 2001:db8::1, 10 alias.signed.test 192.0.2.1"),
    ("far-host.signed.test", "10 out.signed.test 192.0.2.50"),
];

const FAILING: &[PlanRow<'_>] = &[
    ("bogus.test", "4.4.3"),
    ("expired.test", "4.4.3"),
    ("early.test", "4.4.3"),
    ("digest.test", "4.4.3"),
    ("stripped.test", "4.4.3"),
    ("bare.test", "4.4.3"),
    ("gone.undenied.test", "4.4.3"),
    ("mx.undenied.test", "4.4.3"),
    ("forged-mx.partial.test", "4.4.3"),
    ("forged-alias.partial.test", "4.4.3"),
    ("lame.test", "4.4.3"),
    ("servfail.test", "4.4.3"),
];

/// The addresses in the zones are those of documentation; nobody is dialled.
fn policy() -> DefaultPolicy {
    let blocks = ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"];
    let allow = |policy: DefaultPolicy, block: &str| policy.allow(block.parse().expect("a block"));
    blocks.into_iter().fold(DefaultPolicy::default(), allow)
}

async fn plan(resolver: &HickoryResolver, domain: &str) -> Plan {
    let recipient = Recipient::parse(&format!("ann@{domain}")).expect("a recipient");
    let destination = Destination::new(&Route::mx(), &recipient).expect("a destination").expect("a server");
    let (policy, settings) = (policy(), PlanSettings::default());
    // both families have a source: the order does not depend on the machine
    let local = [IpAddr::from([192, 0, 2, 200]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x200])];
    Planner::new(resolver, &policy, &settings).with_sources(&local).plan(&destination).await
}

/// The candidates with preference, name and address; or the status if nobody can be dialled.
fn told(plan: &Plan) -> String {
    if let Some(failure) = plan.error() {
        return failure.status().to_string();
    }
    plan.candidates.iter().map(candidate).collect::<Vec<_>>().join(", ")
}

fn candidate(candidate: &Candidate) -> String {
    let preference = candidate.preference.expect("an exchanger has one");
    let place = match (&candidate.standing, &candidate.endpoint) {
        (Standing::Allowed(_), Some(Endpoint::Tcp(address))) => address.ip().to_string(),
        (Standing::Unusable(_), _) => "unusable".to_owned(),
        (standing, _) => standing.to_string(),
    };
    format!("{preference} {} {place}", candidate.name())
}

async fn holds(rows: &[PlanRow<'_>]) {
    let Some(nsd) = Nsd::start() else { return };
    let unbound = nsd.unbound(Manner::Validating);
    let (resolver, mut wrong) = (believing(&unbound), String::new());
    for (domain, expected) in rows {
        let plan = plan(&resolver, domain).await;
        if told(&plan) != *expected {
            wrong += &format!("\n{domain}\n  expected: {expected}\n  told:     {}\n{plan}", told(&plan));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn check_069_exchangers_in_their_order() {
    holds(EXCHANGERS).await;
}

#[tokio::test]
async fn check_073_the_domain_at_the_end_of_the_aliases() {
    holds(ALIASES).await;
}

#[tokio::test]
async fn check_070_a_domain_without_exchangers_is_its_own() {
    holds(IMPLICIT).await;
}

#[tokio::test]
async fn check_083_084_null_mx() {
    holds(NULL).await;
}

#[tokio::test]
async fn check_071_no_such_domain() {
    holds(NO_SUCH_DOMAIN).await;
}

#[tokio::test]
async fn check_080_082_exchangers_without_addresses() {
    holds(WITHOUT_ADDRESSES).await;
}

#[tokio::test]
async fn check_079_exchangers_that_are_aliases() {
    holds(ALIASED_HOSTS).await;
}

#[tokio::test]
async fn check_072_205_what_cannot_be_looked_up_is_tried_again() {
    holds(FAILING).await;
}

#[tokio::test]
async fn check_081_087_the_first_ten_of_many_exchangers() {
    let hosts = (1..=10).map(|n| format!("{n} mx{n}.many.signed.test 198.51.100.{n}"));
    holds(&[("many.signed.test", &hosts.collect::<Vec<_>>().join(", "))]).await;
}
