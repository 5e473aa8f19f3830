//! The ladder of lookups: what is asked, in which round trip, and what comes of every answer.

use std::net::Ipv6Addr;

use nexthop::resolver::{MemoryResolverBuilder, RecordKind};
use nexthop::{MemoryResolver, ResolveError};

use crate::far::hold;

const V4: [u8; 4] = [198, 41, 0, 4];
const OTHER_V4: [u8; 4] = [198, 41, 0, 5];
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0x503, 0, 0, 0, 0, 0, 1);

const ASKED_MX: &str = "MX x.example";
const ASKED_HOST: &str = "MX x.example > A mx.example, AAAA mx.example";
const ASKED_DOMAIN: &str = "MX x.example > A x.example, AAAA x.example";
const ASKED_TARGET: &str = "MX x.example > A c0.example, AAAA c0.example";
const ASKED_BOTH: &str = "MX x.example > A b.example, A mx.example, AAAA b.example, AAAA mx.example";

const GOOD: &str = "10 mx.example 198.41.0.4";
const NO_DOMAIN: &str = "failed 5.1.2 routing";
const NO_MAIL: &str = "failed 5.1.10 routing";
const NO_HOST: &str = "failed 5.4.4 routing";
const LOOP: &str = "failed 5.4.6 routing";
const UNKNOWN: &str = "deferred 4.4.3 resolving";

fn dns() -> MemoryResolverBuilder {
    MemoryResolver::builder()
}

/// One exchanger, `mx.example`.
fn one() -> MemoryResolverBuilder {
    dns().mx("x.example", 10, "mx.example")
}

fn servfail() -> ResolveError {
    ResolveError::temporary("SERVFAIL")
}

fn bogus() -> ResolveError {
    ResolveError::bogus("signature")
}

/// The name is an alias, and after so many steps of `c0.example`.
fn chain(dns: MemoryResolverBuilder, name: &str, steps: usize) -> MemoryResolverBuilder {
    let targets: Vec<_> = (0..steps).rev().map(|step| format!("c{step}.example")).collect();
    let owners = std::iter::once(name).chain(targets.iter().map(String::as_str));
    owners.zip(&targets).fold(dns, |dns, (owner, target)| dns.cname(owner, target))
}

/// The name is an alias of an alias of itself.
fn circle(dns: MemoryResolverBuilder, name: &str) -> MemoryResolverBuilder {
    dns.cname(name, "c.example").cname("c.example", name)
}

#[tokio::test(start_paused = true)]
async fn check_071_072_no_answer_is_no_implicit_exchanger() {
    let fail = |error| dns().ipv4("x.example", V4).fail("x.example", RecordKind::Mx, error);
    let table = [
        ("no such name", dns(), ASKED_MX, NO_DOMAIN),
        ("no such name for MX", fail(ResolveError::NoSuchName), ASKED_MX, NO_DOMAIN),
        ("SERVFAIL", fail(servfail()), ASKED_MX, UNKNOWN),
        ("REFUSED", fail(ResolveError::temporary("REFUSED")), ASKED_MX, UNKNOWN),
        ("bogus", fail(bogus()), ASKED_MX, UNKNOWN),
    ];
    hold("mx", table).await;
}

#[tokio::test(start_paused = true)]
async fn check_083_084_no_address_is_asked_for_after_a_null_mx() {
    let null =
        |preference| dns().mx("x.example", preference, ".").ipv4("x.example", V4).ipv6("x.example", V6);
    let beside = |preference| null(preference).mx("x.example", 10, "mx.example").ipv4("mx.example", V4);
    let aliased = chain(dns(), "x.example", 1).mx("c0.example", 0, ".").ipv4("c0.example", V4);
    let table = [
        ("0 .", null(0), ASKED_MX, NO_MAIL),
        ("10 .", null(10), ASKED_MX, NO_MAIL),
        ("two of them", null(0).mx("x.example", 10, "."), ASKED_MX, NO_MAIL),
        ("behind an alias", aliased, ASKED_MX, NO_MAIL),
        ("0 . and 10 mx", beside(0), ASKED_HOST, GOOD),
        ("20 . and 10 mx", beside(20), ASKED_HOST, GOOD),
    ];
    hold("mx", table).await;
}

#[tokio::test(start_paused = true)]
async fn check_069_070_the_domain_is_its_own_exchanger_where_there_is_no_mx() {
    let (v4, v6) = (dns().ipv4("x.example", V4), dns().ipv6("x.example", V6));
    let both = dns().ipv4("x.example", V4).ipv6("x.example", V6);
    let beside = one().ipv4("x.example", OTHER_V4).ipv4("mx.example", V4);
    let instead = one().ipv4("x.example", OTHER_V4).name("mx.example");
    let table = [
        ("A", v4, ASKED_DOMAIN, "0 x.example 198.41.0.4"),
        ("AAAA", v6, ASKED_DOMAIN, "0 x.example 2001:503::1"),
        ("both", both, ASKED_DOMAIN, "0 x.example 2001:503::1, 0 x.example 198.41.0.4"),
        ("neither", dns().name("x.example"), ASKED_DOMAIN, NO_HOST),
        ("not beside an exchanger", beside, ASKED_HOST, GOOD),
        ("not instead of one without addresses", instead, ASKED_HOST, NO_HOST),
    ];
    hold("mx", table).await;
}

#[tokio::test(start_paused = true)]
async fn check_073_attack_a08_aliases_of_the_domain_are_followed_to_their_end() {
    let alias = |steps| chain(dns(), "x.example", steps);
    let exchanger = |steps| alias(steps).mx("c0.example", 10, "mx.example").ipv4("mx.example", V4);
    let table = [
        ("1 step to an exchanger", exchanger(1), ASKED_HOST, GOOD),
        ("10 steps to an exchanger", exchanger(10), ASKED_HOST, GOOD),
        ("1 step to a host", alias(1).ipv4("c0.example", V4), ASKED_TARGET, "0 c0.example 198.41.0.4"),
        ("10 steps to a host", alias(10).ipv4("c0.example", V4), ASKED_TARGET, "0 c0.example 198.41.0.4"),
        ("to a name without records", alias(1).name("c0.example"), ASKED_TARGET, NO_HOST),
        ("to nothing", alias(1), ASKED_MX, NO_DOMAIN),
        ("10 steps to nothing", alias(10), ASKED_MX, NO_DOMAIN),
        ("to SERVFAIL", alias(1).fail_all("c0.example", servfail()), ASKED_MX, UNKNOWN),
        ("in a circle", circle(dns(), "x.example"), ASKED_MX, UNKNOWN),
        ("1000 steps", alias(1000).ipv4("c0.example", V4), ASKED_MX, UNKNOWN),
    ];
    hold("mx", table).await;
}

#[tokio::test(start_paused = true)]
async fn check_079_attack_a08_an_exchanger_that_is_an_alias_is_followed() {
    let alias = |steps| chain(one(), "mx.example", steps);
    let beside = circle(one(), "mx.example").mx("x.example", 20, "b.example").ipv4("b.example", V4);
    let table = [
        ("1 step", alias(1).ipv4("c0.example", V4), ASKED_HOST, GOOD),
        ("10 steps", alias(10).ipv4("c0.example", V4), ASKED_HOST, GOOD),
        ("to a name without addresses", alias(1).name("c0.example"), ASKED_HOST, NO_HOST),
        ("to nothing", alias(1), ASKED_HOST, NO_HOST),
        ("in a circle", circle(one(), "mx.example"), ASKED_HOST, UNKNOWN),
        ("in a circle beside a good one", beside, ASKED_BOTH, "20 b.example 198.41.0.4"),
    ];
    hold("mx", table).await;
}

#[tokio::test(start_paused = true)]
async fn check_080_exchangers_without_addresses() {
    let two = || one().mx("x.example", 20, "b.example").ipv4("x.example", V4);
    let second = || two().ipv4("b.example", V4);
    let table = [
        ("none exists", two(), ASKED_BOTH, NO_HOST),
        ("none has addresses", two().name("mx.example").name("b.example"), ASKED_BOTH, NO_HOST),
        ("one is unknown", two().fail_all("mx.example", servfail()), ASKED_BOTH, UNKNOWN),
        ("the other is unknown", two().fail_all("b.example", bogus()), ASKED_BOTH, UNKNOWN),
        ("one has addresses", second(), ASKED_BOTH, "20 b.example 198.41.0.4"),
        (
            "one has addresses, the other is unknown",
            second().fail_all("mx.example", servfail()),
            ASKED_BOTH,
            "20 b.example 198.41.0.4",
        ),
    ];
    hold("mx", table).await;
}

#[tokio::test(start_paused = true)]
async fn check_082_an_exchanger_that_is_no_name_is_not_asked_for() {
    let named = |exchange| dns().mx("x.example", 5, exchange).ipv4("x.example", OTHER_V4);
    let beside = |exchange| named(exchange).mx("x.example", 10, "mx.example").ipv4("mx.example", V4);
    let table = [
        ("an address", named("198.41.0.4"), ASKED_MX, NO_HOST),
        ("an address with a dot", named("198.41.0.4."), ASKED_MX, NO_HOST),
        ("an address in brackets", named("[198.41.0.4]"), ASKED_MX, NO_HOST),
        ("a space", named("not a name"), ASKED_MX, NO_HOST),
        ("an address beside a name", beside("198.41.0.5"), ASKED_HOST, GOOD),
        ("a space beside a name", beside("not a name"), ASKED_HOST, GOOD),
    ];
    hold("mx", table).await;
}

#[tokio::test(start_paused = true)]
async fn check_077_this_host_and_what_is_no_better_are_not_asked_for() {
    let own = |preference| one().mx("x.example", preference, "ME.example").ipv4("mx.example", V4);
    let only = dns().mx("x.example", 10, "me.example");
    let table = [
        ("alone", only, ASKED_MX, LOOP),
        ("the best", own(5), ASKED_MX, LOOP),
        ("as good as the best", own(10), ASKED_MX, LOOP),
        ("a worse one", own(20), ASKED_HOST, GOOD),
    ];
    hold("mx", table).await;
    let implicit = dns().ipv4("me.example", V4);
    hold("mx:me.example", [("without MX", implicit, "MX me.example", LOOP)]).await;
}

#[tokio::test(start_paused = true)]
async fn check_074_086_preference_is_the_order_whatever_is_proved() {
    let two = || one().mx("x.example", 5, "b.example").ipv4("mx.example", V4).ipv4("b.example", OTHER_V4);
    let order = "5 b.example 198.41.0.5, 10 mx.example 198.41.0.4";
    let table = [
        ("nothing is", two(), ASKED_BOTH, order),
        ("the addresses of the worse one are", two().secure("mx.example"), ASKED_BOTH, order),
    ];
    hold("mx", table).await;
}

#[tokio::test(start_paused = true)]
async fn check_075_097_the_families_take_turns_in_the_order_of_the_resolver() {
    let six = |last| Ipv6Addr::new(0x2001, 0x503, 0, 0, 0, 0, 0, last);
    let host = |six_last: &[u16], four_last: &[u8]| {
        let dns = six_last.iter().fold(one(), |dns, last| dns.ipv6("mx.example", six(*last)));
        four_last.iter().fold(dns, |dns, last| dns.ipv4("mx.example", [198, 41, 0, *last]))
    };
    let more_v6 = "10 mx.example 2001:503::9, 10 mx.example 198.41.0.5, 10 mx.example 2001:503::1, \
                   10 mx.example 198.41.0.4, 10 mx.example 2001:503::3";
    let more_v4 = "10 mx.example 2001:503::9, 10 mx.example 198.41.0.5, 10 mx.example 198.41.0.4";
    let table = [
        ("three and two", host(&[9, 1, 3], &[5, 4]), ASKED_HOST, more_v6),
        ("one and two", host(&[9], &[5, 4]), ASKED_HOST, more_v4),
    ];
    hold("mx", table).await;
}

#[tokio::test(start_paused = true)]
async fn check_088_a_relay_is_asked_for_addresses_alone() {
    let known = dns().ipv4("r.example", V4).mx("r.example", 10, "mx.example").ipv4("mx.example", OTHER_V4);
    let asked = "A r.example, AAAA r.example";
    let table = [
        ("with addresses", known, asked, "r.example 198.41.0.4"),
        (
            "an alias",
            dns().cname("r.example", "c.example").ipv4("c.example", V4),
            asked,
            "r.example 198.41.0.4",
        ),
        ("unknown", dns(), asked, "deferred 4.4.4 resolving"),
        ("without addresses", dns().name("r.example"), asked, "deferred 4.4.4 resolving"),
        ("SERVFAIL", dns().fail_all("r.example", servfail()), asked, UNKNOWN),
    ];
    hold("smtp://r.example", table).await;
    hold("smtp://198.41.0.4", [("an address", dns(), "", "198.41.0.4 198.41.0.4")]).await;
}

#[tokio::test(start_paused = true)]
async fn check_088_exchangers_of_another_domain_are_asked_for_where_the_route_says_so() {
    let other = dns().mx("o.example", 10, "mx.example").ipv4("mx.example", V4);
    let asked = "MX o.example > A mx.example, AAAA mx.example";
    hold("mx:o.example", [("another domain", other, asked, GOOD)]).await;
}
