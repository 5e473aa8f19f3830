//! The default policy against the registries: every row, every form, every origin.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::prelude::*;

use super::special_purpose::{BLOCKS, Category};
use super::{AddressPolicy, Cidr, DefaultPolicy, Origin, Peer, Permitted, Verdict};
use crate::mail::Host;
use crate::route::Route;

const STRANGERS: [Origin; 3] = [Origin::Mx, Origin::Literal, Origin::StsHost];
const RELAYS: [Origin; 3] = [Origin::RelayName, Origin::RelayLiteral, Origin::Localhost];

/// The registered blocks, and some that are not: no stranger may lead there.
const CLOSED: &str = "
    0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 100.100.100.200/32
    127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 169.254.42.42/32 169.254.169.253/32
    169.254.169.254/32 169.254.170.2/32 169.254.170.23/32 192.0.0.0/24 192.0.0.0/29 192.0.0.8/32
    192.0.0.9/32 192.0.0.10/32 192.0.0.170/32 192.0.0.171/32 192.0.0.192/32 192.0.2.0/24
    198.51.100.0/24 203.0.113.0/24 192.31.196.0/24 192.175.48.0/24 192.52.193.0/24 192.88.99.0/24
    192.88.99.2/32 198.18.0.0/15 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32 ::/128 ::1/128 ::/96
    ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001::/32
    2001:1::1/128 2001:1::2/128 2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48
    2620:4f:8000::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 3fff::/20 2002::/16
    5f00::/16 fc00::/7 fd00:ec2::254/128 fd00:ec2::23/128 fd20:ce::254/128 fd00:42::42/128 fe80::/10
    fe80::a9fe:a9fe/128 fec0::/10 ff00::/8";

/// Never allocated as global unicast.
const UNALLOCATED: &str = "
    ::1:0:0:0/80 1::/16 200::/7 400::/6 800::/5 1000::/4 4000::/3 8000::/1";

/// Just outside the blocks above, and a few anybody knows.
const OPEN: &str = "
    1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0
    191.255.255.255 192.0.1.0 192.0.1.255 192.0.3.0 192.31.195.255 192.31.197.0 192.52.192.255
    192.52.194.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 192.175.47.255 192.175.49.0
    198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
    8.8.8.8 64:ff9b::1.0.0.0 64:ff9b::223.255.255.255 2000:: 2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff
    2001:200:: 2001:db7:ffff:ffff:ffff:ffff:ffff:ffff 2001:db9::
    2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2003:: 2620:4f:7fff:ffff:ffff:ffff:ffff:ffff
    2620:4f:8001:: 3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3fff:1000::
    3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2001:4860:4860::8888";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn block(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn ask(policy: &DefaultPolicy, address: IpAddr, origin: Origin) -> Verdict {
    let (host, route) = (Host::Address(address), Route::mx());
    policy.check(&Peer::new(address, 25, &host, origin, &route))
}

fn allows(policy: &DefaultPolicy, address: &str, origin: Origin) -> bool {
    ask(policy, address.parse().unwrap(), origin).is_allow()
}

fn reason(policy: &DefaultPolicy, text: &str, origin: Origin) -> String {
    match ask(policy, address(text), origin) {
        Verdict::Allow => panic!("{text} is allowed"),
        Verdict::Deny(denial) => denial.reason().to_owned(),
    }
}

/// First, last, and one in between.
fn samples(text: &str) -> [IpAddr; 3] {
    let block: IpNet = text.parse().unwrap();
    let inside = match (block.network(), block.broadcast()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() + (last.to_bits() - first.to_bits()) / 3))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() + (last.to_bits() - first.to_bits()) / 3))
        }
        _ => unreachable!("both ends of a block are of one family"),
    };
    [block.network(), inside, block.broadcast()]
}

/// An IPv4 address in each of the forms that carry one.
fn embeddings(inner: Ipv4Addr) -> Vec<IpAddr> {
    let bits = u128::from(inner.to_bits());
    [
        bits,
        0xffff << 32 | bits,
        0xffff << 48 | bits,
        0x0064_ff9b << 96 | bits,
        0x0064_ff9b_0001 << 80 | bits,
        0x2001 << 112 | bits << 64 | 0xf7f7_f7f7,
        0x2001 << 112 | 0x0808_0808 << 64 | (bits ^ 0xffff_ffff),
        0x2002 << 112 | bits << 80 | 1,
        0x2a00 << 112 | 0x5efe << 32 | bits,
        0x2a00 << 112 | 0x0200_5efe << 32 | bits,
    ]
    .map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
    .to_vec()
}

#[test]
fn check_091_the_table_has_the_rows_of_the_registries_and_no_others() {
    let closed = BLOCKS.iter().filter(|row| row.category != Category::Public && row.cidr.prefix_len() > 0);
    let mut rows: Vec<Cidr> = closed.map(|row| row.cidr).collect();
    let mut expected: Vec<Cidr> = CLOSED.split_whitespace().map(block).collect();
    rows.sort_unstable();
    expected.sort_unstable();
    assert_eq!(rows, expected);
}

#[test]
fn check_091_no_stranger_leads_into_a_special_purpose_block() {
    let policy = DefaultPolicy::default();
    for (text, origin) in CLOSED
        .split_whitespace()
        .chain(UNALLOCATED.split_whitespace())
        .flat_map(|text| STRANGERS.map(|origin| (text, origin)))
    {
        for address in samples(text) {
            assert!(!ask(&policy, address, origin).is_allow(), "{address} of {text} from {origin:?}");
        }
    }
}

#[test]
fn check_091_just_outside_is_public() {
    let policy = DefaultPolicy::default();
    for (address, origin) in
        OPEN.split_whitespace().flat_map(|address| STRANGERS.map(|origin| (address, origin)))
    {
        assert_eq!(
            ask(&policy, address.parse().unwrap(), origin),
            Verdict::Allow,
            "{address} from {origin:?}"
        );
    }
}

#[test]
fn check_091_what_is_public_is_public_for_relays() {
    let policy = DefaultPolicy::default();
    for (address, origin) in
        OPEN.split_whitespace().flat_map(|address| RELAYS.map(|origin| (address, origin)))
    {
        assert_eq!(
            ask(&policy, address.parse().unwrap(), origin),
            Verdict::Allow,
            "{address} from {origin:?}"
        );
    }
}

#[test]
fn check_090_embedded_addresses_are_judged_too() {
    let policy = DefaultPolicy::default();
    for inner in [[127, 0, 0, 1], [10, 0, 0, 1], [169, 254, 169, 254]].map(Ipv4Addr::from) {
        for (address, origin) in embeddings(inner).into_iter().flat_map(|a| STRANGERS.map(|o| (a, o))) {
            assert!(!ask(&policy, address, origin).is_allow(), "{address} holds {inner}");
        }
    }
}

#[test]
fn check_090_the_form_itself_is_not_the_only_reason() {
    // with every form allowed as such, what is inside still counts
    let policy = DefaultPolicy::default().allow(block("::/96")).allow(block("::/0"));
    let policy = ["::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"]
        .into_iter()
        .fold(policy, |policy, form| policy.allow(block(form)));
    for address in embeddings(Ipv4Addr::new(8, 8, 8, 8)) {
        assert_eq!(ask(&policy, address, Origin::Mx), Verdict::Allow, "{address}");
    }
    for inner in [[127, 0, 0, 1], [10, 0, 0, 1], [169, 254, 169, 254]].map(Ipv4Addr::from) {
        for address in embeddings(inner) {
            assert!(!ask(&policy, address, Origin::Mx).is_allow(), "{address} holds {inner}");
        }
    }
}

#[test]
fn attack_a02_a_relay_name_reaches_nothing_through_an_embedding_either() {
    let policy = DefaultPolicy::default();
    for inner in [[127, 0, 0, 1], [0, 0, 0, 0], [169, 254, 1, 1], [100, 100, 100, 200]].map(Ipv4Addr::from) {
        for address in embeddings(inner) {
            assert!(!ask(&policy, address, Origin::RelayName).is_allow(), "{address} holds {inner}");
        }
    }
    assert!(allows(&policy, "64:ff9b::10.0.0.1", Origin::RelayName));
}

#[test]
fn attack_a01_the_reason_names_the_block() {
    let policy = DefaultPolicy::default();
    for (address, expected) in [
        ("127.0.0.1", "127.0.0.0/8 is loopback (RFC 1122)"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1 holds 10.0.0.1, and 10.0.0.0/8 is private (RFC 1918)"),
        ("2002:7f00:1::", "2002:7f00:1:: holds 127.0.0.1, and 127.0.0.0/8 is loopback (RFC 1122)"),
        ("2002:808:808::", "2002::/16 is 6to4 (RFC 3056)"),
        ("fd00:ec2::254", "fd00:ec2::254/128 is a metadata service (AWS)"),
    ] {
        assert_eq!(reason(&policy, address, Origin::Mx), expected);
    }
}

#[test]
fn check_092_a_relay_may_be_where_a_stranger_may_not() {
    let policy = DefaultPolicy::default();
    assert!(!allows(&policy, "10.1.2.3", Origin::Mx));
    assert!(allows(&policy, "10.1.2.3", Origin::RelayLiteral));
    assert!(!allows(&policy, "127.0.0.1", Origin::Mx));
    assert!(allows(&policy, "127.0.0.1", Origin::RelayLiteral));
    assert!(allows(&policy, "127.0.0.1", Origin::Localhost));
}

#[test]
fn a_relay_name_may_be_private() {
    let policy = DefaultPolicy::default();
    let private = ["10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "fd12::1", "fec0::1"];
    for address in private.into_iter().chain(["192.0.2.1", "198.18.0.1", "2001:db8::1"]) {
        assert!(allows(&policy, address, Origin::RelayName), "{address}");
    }
}

#[test]
fn a_relay_name_leads_to_no_dangerous_place() {
    let policy = DefaultPolicy::default();
    let blocks =
        ["127.0.0.0/8", "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "fe80::/10", "ff00::/8"];
    for address in blocks.into_iter().flat_map(samples) {
        assert!(!ask(&policy, address, Origin::RelayName).is_allow(), "{address}");
    }
    let metadata = ["100.100.100.200", "192.0.0.192", "168.63.129.16", "169.254.170.2", "fd00:ec2::254"];
    let more = ["fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "::", "::1", "4000::1"];
    for address in metadata.into_iter().chain(more) {
        assert!(!allows(&policy, address, Origin::RelayName), "{address}");
    }
}

#[test]
fn a_literal_relay_may_be_whatever_can_be_dialled() {
    let policy = DefaultPolicy::default();
    for address in
        ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1", "240.0.0.1", "fd00:ec2::254"]
    {
        assert!(allows(&policy, address, Origin::RelayLiteral), "{address}");
    }
    for address in
        ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:0.0.0.0", "::ffff:224.0.0.1"]
    {
        assert!(!allows(&policy, address, Origin::RelayLiteral), "{address}");
    }
}

#[test]
fn localhost_elsewhere_is_a_name_like_others() {
    let policy = DefaultPolicy::default();
    for address in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "10.0.0.1", "8.8.8.8"] {
        assert!(allows(&policy, address, Origin::Localhost), "{address}");
    }
    for address in ["0.0.0.0", "169.254.169.254", "64:ff9b::127.0.0.1", "fe80::1"] {
        assert!(!allows(&policy, address, Origin::Localhost), "{address}");
    }
}

#[test]
fn relay_names_may_be_loopback_if_the_host_says_so() {
    let policy = DefaultPolicy::default().relay_names_may_be_loopback();
    for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        assert!(allows(&policy, address, Origin::RelayName), "{address}");
        assert!(!allows(&policy, address, Origin::Mx), "{address}");
    }
    for address in ["0.0.0.0", "0.0.0.1", "169.254.169.254"] {
        assert!(!allows(&policy, address, Origin::RelayName), "{address}");
    }
}

#[test]
fn the_longest_prefix_decides() {
    let policy = DefaultPolicy::default()
        .allow(block("10.0.0.0/8"))
        .deny(block("10.1.0.0/16"))
        .allow(block("10.1.1.0/24"))
        .deny(block("10.1.1.1"));
    for (address, allowed) in
        [("10.0.0.1", true), ("10.1.0.1", false), ("10.1.1.2", true), ("10.1.1.1", false)]
    {
        assert_eq!(allows(&policy, address, Origin::Mx), allowed, "{address}");
    }
}

#[test]
fn of_equal_prefixes_deny_goes_before_allow() {
    let (ten, policy) = (block("10.0.0.0/8"), DefaultPolicy::default());
    assert!(allows(&policy.clone().allow(ten), "10.0.0.1", Origin::Mx));
    let policy = policy.allow(ten).deny(ten);
    assert!(!allows(&policy, "10.0.0.1", Origin::Mx));
    assert_eq!(reason(&policy, "10.0.0.1", Origin::Mx), "10.0.0.0/8 is denied by a rule of this host");
}

#[test]
fn allow_lifts_no_longer_built_in_rule() {
    let policy = DefaultPolicy::default().allow(block("0.0.0.0/0")).allow(block("169.254.0.0/16"));
    assert!(allows(&policy, "169.254.1.1", Origin::Mx));
    assert!(!allows(&policy, "169.254.169.254", Origin::Mx));
    assert!(!allows(&policy, "127.0.0.1", Origin::Mx));
}

#[test]
fn a_public_block_in_the_table_does_not_lift_a_deny() {
    let policy = DefaultPolicy::default().deny(block("::/0"));
    assert!(!allows(&policy, "2a00::1", Origin::Mx));
    assert!(!allows(&policy, "64:ff9b::8.8.8.8", Origin::Mx));
}

#[test]
fn rules_hold_for_every_origin() {
    let policy = DefaultPolicy::default()
        .deny(block("8.8.8.0/24"))
        .deny(block("127.0.0.1"))
        .allow(block("224.0.0.0/4"));
    for origin in STRANGERS.into_iter().chain(RELAYS) {
        assert!(!allows(&policy, "8.8.8.8", origin), "{origin:?}");
        assert!(!allows(&policy, "64:ff9b::8.8.8.8", origin), "{origin:?}");
        assert!(!allows(&policy, "127.0.0.1", origin), "{origin:?}");
        assert!(allows(&policy, "224.0.0.1", origin), "{origin:?}");
    }
}

#[test]
fn check_078_no_stranger_leads_to_ourselves() {
    let own = ["8.8.4.4", "2a00::25", "::ffff:8.8.1.1"].map(address);
    let policy = own.into_iter().fold(DefaultPolicy::default(), DefaultPolicy::own_address);
    for address in ["8.8.4.4", "2a00::25", "8.8.1.1", "64:ff9b::8.8.4.4"] {
        assert!(!allows(&policy, address, Origin::Mx), "{address}");
        assert!(allows(&policy, address, Origin::RelayName), "{address}");
        assert!(allows(&policy, address, Origin::RelayLiteral), "{address}");
    }
    assert!(allows(&policy, "8.8.4.5", Origin::Mx));
}

#[test]
fn check_078_only_a_rule_for_this_address_makes_it_a_strangers() {
    let policy = DefaultPolicy::default().own_address(address("8.8.4.4"));
    assert!(!allows(&policy.clone().allow(block("8.8.4.4/31")), "8.8.4.4", Origin::Mx));
    assert!(allows(&policy.allow(block("8.8.4.4")), "8.8.4.4", Origin::Mx));
}

#[test]
fn loopback_is_never_an_own_address() {
    let policy = DefaultPolicy::default().own_address(address("127.0.0.1")).own_address(address("::1"));
    let policy = policy.allow(block("127.0.0.0/8")).allow(block("::1"));
    assert!(allows(&policy, "127.0.0.1", Origin::Mx));
    assert!(allows(&policy, "::1", Origin::Mx));
}

#[test]
fn check_090_an_operators_nat64_prefix_is_unwrapped() {
    for prefix in ["64:ff9b:1::/96", "fd64::/96", "2a00:64::/96"] {
        let policy = DefaultPolicy::default().nat64_prefix(block(prefix)).unwrap();
        let prefix = prefix.trim_end_matches("/96");
        assert!(allows(&policy, &format!("{prefix}8.8.8.8"), Origin::Mx), "{prefix}");
        assert!(!allows(&policy, &format!("{prefix}127.0.0.1"), Origin::Mx), "{prefix}");
        assert!(!allows(&policy, &format!("{prefix}127.0.0.1"), Origin::RelayName), "{prefix}");
    }
}

#[test]
fn a_nat64_prefix_has_one_of_six_lengths() {
    for bad in ["10.0.0.0/32", "2a00::/31", "2a00::/72", "2a00::/128"] {
        assert!(DefaultPolicy::default().nat64_prefix(block(bad)).is_err(), "{bad}");
    }
}

#[test]
fn what_another_policy_denies_is_denied() {
    let policy = DefaultPolicy::default().and(DefaultPolicy::default().deny(block("8.8.8.8")));
    let (host, route) = (Host::Address(address("8.8.8.8")), Route::mx());
    let peer = Peer::new(address("8.8.8.8"), 25, &host, Origin::Mx, &route);
    assert!(Permitted::check(&policy, &peer).is_err());
}

fn any_origin() -> impl Strategy<Value = Origin> {
    prop::sample::select([STRANGERS, RELAYS].concat())
}

/// Addresses near the edges of the blocks more often than chance has it.
fn any_ipv4() -> impl Strategy<Value = Ipv4Addr> {
    let blocks = prop::sample::select(
        CLOSED.split_whitespace().filter_map(|text| text.parse::<ipnet::Ipv4Net>().ok()).collect::<Vec<_>>(),
    );
    let edge = (blocks, -2i64..3).prop_map(|(block, by)| {
        Ipv4Addr::from_bits((i64::from(block.network().to_bits()) + by).rem_euclid(1 << 32) as u32)
    });
    prop_oneof![any::<u32>().prop_map(Ipv4Addr::from_bits), edge]
}

fn any_rules() -> impl Strategy<Value = DefaultPolicy> {
    let rule = (any_ipv4(), 0u8..=32, any::<bool>());
    prop::collection::vec(rule, 0..4)
        .prop_map(|rules| rules.into_iter().fold(DefaultPolicy::default(), add_rule))
}

fn add_rule(policy: DefaultPolicy, (address, len, allow): (Ipv4Addr, u8, bool)) -> DefaultPolicy {
    let block = block(&ipnet::Ipv4Net::new(address, len).unwrap().trunc().to_string());
    if allow { policy.allow(block) } else { policy.deny(block) }
}

proptest! {
    #[test]
    fn check_090_embedding_never_opens_what_is_closed(
        inner in any_ipv4(),
        origin in any_origin(),
        policy in any_rules(),
    ) {
        prop_assume!(inner.to_bits() > 1);
        let plain = ask(&policy, inner.into(), origin).is_allow();
        for outer in embeddings(inner) {
            prop_assert!(plain || !ask(&policy, outer, origin).is_allow(), "{} holds {}", outer, inner);
        }
    }

    #[test]
    fn no_origin_goes_further_than_a_literal_relay(bits in any::<u128>(), origin in any_origin()) {
        let (policy, address) = (DefaultPolicy::default(), IpAddr::V6(Ipv6Addr::from_bits(bits)));
        let literal = ask(&policy, address, Origin::RelayLiteral).is_allow();
        prop_assert!(literal || !ask(&policy, address, origin).is_allow(), "{}", address);
    }
}
