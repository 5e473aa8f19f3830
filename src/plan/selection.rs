//! Destination address selection (RFC 6724 section 6): the addresses of a host, the best one first.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};

/// The addresses in the order of RFC 6724 section 6; those it does not tell apart keep theirs. `source_of`
/// says which local address a connection would come from, and is not asked where there is nothing to sort.
///
/// Rules 3 (deprecated source) and 4 (home address) are left out: no portable call tells such an address from
/// others. So is rule 7 (native transport): nothing here knows the interface, and 6to4 and Teredo, which an
/// address shows, have labels and precedences of their own. Rule 9 (longest prefix) is left out on purpose,
/// as section 6 allows: it would send every message to the address nearest in number and undo the load
/// sharing of the order of the answer, which RFC 5321 section 5.1 asks to be kept.
pub(super) fn sorted(
    mut addresses: Vec<IpAddr>,
    source_of: impl Fn(IpAddr) -> Option<IpAddr>,
) -> Vec<IpAddr> {
    addresses.sort_by_cached_key(|address| Rank::new(*address, source_of(*address)));
    addresses
}

/// What the rules ask about one destination, in their order; the least rank is the best.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Rule 1: it cannot be reached.
    without_source: bool,
    /// Rule 2: its scope is not that of its source.
    foreign_scope: bool,
    /// Rule 5: its label is not that of its source.
    foreign_label: bool,
    /// Rule 6.
    precedence: Reverse<u8>,
    /// Rule 8.
    scope: u8,
}

impl Rank {
    fn new(address: IpAddr, source: Option<IpAddr>) -> Self {
        let (scope, policy) = (scope(address), Policy::of(address));
        Self {
            without_source: source.is_none(),
            foreign_scope: source.is_some_and(|source| self::scope(source) != scope),
            foreign_label: source.is_some_and(|source| Policy::of(source).label != policy.label),
            precedence: Reverse(policy.precedence),
            scope,
        }
    }
}

// Scopes have the numbers they have in multicast addresses, so that the two compare (section 3.1).
const LINK_LOCAL: u8 = 2;
const SITE_LOCAL: u8 = 5;
const GLOBAL: u8 = 14;

/// The scope of an address (sections 3.1 to 3.4): private and unique local addresses are global.
fn scope(address: IpAddr) -> u8 {
    match address.to_canonical() {
        IpAddr::V4(v4) if v4.is_link_local() || v4.is_loopback() => LINK_LOCAL,
        IpAddr::V6(v6) if v6.is_multicast() => v6.octets()[1] & 0x0f,
        IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.is_loopback() => LINK_LOCAL,
        IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfec0 => SITE_LOCAL,
        _ => GLOBAL,
    }
}

/// A row of the policy table (section 2.1).
struct Policy {
    prefix: Ipv6Addr,
    prefix_len: u32,
    precedence: u8,
    label: u8,
}

/// The default policy table, the longest prefixes first, without the row for all others.
const POLICIES: [Policy; 8] = [
    Policy::new([0, 0, 0, 0, 0, 0, 0, 1], 128, 50, 0),
    Policy::new([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, 35, 4),
    Policy::new([0; 8], 96, 1, 3),
    Policy::new([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, 5, 5),
    Policy::new([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, 30, 2),
    Policy::new([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16, 1, 12),
    Policy::new([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, 1, 11),
    Policy::new([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, 3, 13),
];

/// The row `::/0`.
const OTHERS: Policy = Policy::new([0; 8], 0, 40, 1);

impl Policy {
    const fn new(prefix: [u16; 8], prefix_len: u32, precedence: u8, label: u8) -> Self {
        let [a, b, c, d, e, f, g, h] = prefix;
        Self { prefix: Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix_len, precedence, label }
    }

    /// The row with the longest prefix that fits; IPv4 addresses are looked up as IPv4-mapped ones.
    fn of(address: IpAddr) -> &'static Self {
        let address = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        POLICIES.iter().find(|policy| policy.fits(address)).unwrap_or(&OTHERS)
    }

    fn fits(&self, address: Ipv6Addr) -> bool {
        (address.to_bits() ^ self.prefix.to_bits()).leading_zeros() >= self.prefix_len
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn list(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(address).collect()
    }

    /// Sorts `destination<source` pairs; `-` is no source.
    fn order(pairs: &str) -> Vec<IpAddr> {
        let pairs: Vec<_> = pairs.split_whitespace().map(|pair| pair.split_once('<').unwrap()).collect();
        let destinations = pairs.iter().map(|(destination, _)| address(destination)).collect();
        sorted(destinations, |wanted| {
            let (_, source) = pairs.iter().find(|(destination, _)| address(destination) == wanted)?;
            source.parse().ok()
        })
    }

    /// The order is `expected` for the pairs as they are given and the other way round.
    fn check(pairs: &str, expected: &str) {
        let turned: Vec<_> = pairs.split_whitespace().rev().collect();
        assert_eq!(order(pairs), list(expected), "{pairs}");
        assert_eq!(order(&turned.join(" ")), list(expected), "{turned:?}");
    }

    #[test]
    fn check_097_rule_1_an_address_without_source_is_last() {
        check("::1<- 2001::1<2001:db8::2", "2001::1 ::1");
        check("2001:db8::1<- 192.0.2.1<192.0.2.2", "192.0.2.1 2001:db8::1");
    }

    #[test]
    fn check_097_without_any_source_the_later_rules_decide() {
        check("192.0.2.1<- 2001:db8::1<-", "2001:db8::1 192.0.2.1");
    }

    #[test]
    fn check_097_rule_2_matching_scopes_are_preferred() {
        check("2001:db8:1::1<2001:db8:1::2 198.51.100.121<169.254.13.78", "2001:db8:1::1 198.51.100.121");
        check("2001:db8:1::1<fe80::1 198.51.100.121<198.51.100.117", "198.51.100.121 2001:db8:1::1");
    }

    #[test]
    fn check_097_rule_2_goes_before_rule_5() {
        check("2001:db8::1<fe80::1 2002:c633:6401::1<2001:db8::2", "2002:c633:6401::1 2001:db8::1");
    }

    #[test]
    fn check_097_rule_5_matching_labels_are_preferred() {
        let source = "2002:c633:6401::2";
        check(
            &format!("2002:c633:6401::1<{source} 2001:db8:1::1<{source}"),
            "2002:c633:6401::1 2001:db8:1::1",
        );
        check("fd00::1<fd00::2 2001:db8::1<fd00::2", "fd00::1 2001:db8::1");
        check("2001:db8::1<fd00::2 192.0.2.1<10.0.0.2", "192.0.2.1 2001:db8::1");
        check("2001::1<2001::2 2001:db8::1<2001::2", "2001::1 2001:db8::1");
    }

    #[test]
    fn check_097_rule_6_higher_precedences_are_preferred() {
        check("2001:db8:1::1<2001:db8:1::2 10.1.2.3<10.1.2.4", "2001:db8:1::1 10.1.2.3");
        check(
            "2002:c633:6401::1<2002:c633:6401::2 2001:db8:1::1<2001:db8:1::2",
            "2001:db8:1::1 2002:c633:6401::1",
        );
        check("fd00::1<fd00::2 10.1.2.3<10.1.2.4", "10.1.2.3 fd00::1");
    }

    #[test]
    fn check_097_rule_6_goes_before_rule_8() {
        check("fec0::1<fec0::2 2001:db8::1<2001:db8::2", "2001:db8::1 fec0::1");
    }

    #[test]
    fn check_097_rule_8_smaller_scopes_are_preferred() {
        check("2001:db8:1::1<2001:db8:1::2 fe80::1<fe80::2", "fe80::1 2001:db8:1::1");
        check("192.0.2.1<192.0.2.2 127.0.0.1<127.0.0.1", "127.0.0.1 192.0.2.1");
    }

    #[test]
    fn check_097_rule_9_is_not_applied() {
        let (near, far) = ("2001:db8:3f44::1<2001:db8:3f44::2", "2001:db8:3ffe::1<2001:db8:3f44::2");
        assert_eq!(order(&format!("{far} {near}")), list("2001:db8:3ffe::1 2001:db8:3f44::1"));
    }

    #[test]
    fn check_097_rule_10_equal_addresses_keep_their_order() {
        let six = "2001:db8::9<2001:db8::2 2001:db8::1<2001:db8::2";
        let pairs = format!("192.0.2.9<10.0.0.1 {six} 192.0.2.1<10.0.0.1 192.0.2.5<10.0.0.1");
        assert_eq!(order(&pairs), list("2001:db8::9 2001:db8::1 192.0.2.9 192.0.2.1 192.0.2.5"));
    }

    #[test]
    fn check_097_a_source_is_asked_for_once_an_address() {
        let asked = RefCell::new(Vec::new());
        let addresses = list("192.0.2.1 192.0.2.2 2001:db8::1");
        sorted(addresses.clone(), |address| {
            asked.borrow_mut().push(address);
            None
        });
        assert_eq!(asked.into_inner(), addresses);
    }

    #[test]
    fn check_097_fewer_than_two_addresses_need_no_source() {
        for addresses in [list(""), list("192.0.2.1"), list("2001:db8::1")] {
            let result = sorted(addresses.clone(), |address| panic!("asked for the source of {address}"));
            assert_eq!(result, addresses);
        }
    }

    #[test]
    fn the_longest_prefix_decides() {
        for (text, precedence, label) in [
            ("::1", 50, 0),
            ("::2", 1, 3),
            ("::", 1, 3),
            ("::1:0:0", 40, 1),
            ("192.0.2.1", 35, 4),
            ("::ffff:192.0.2.1", 35, 4),
            ("2001::1", 5, 5),
            ("2001:1::", 40, 1),
            ("2002::1", 30, 2),
            ("3ffe::1", 1, 12),
            ("fec0::1", 1, 11),
            ("feff::1", 1, 11),
            ("fe80::1", 40, 1),
            ("fc00::1", 3, 13),
            ("fdff::1", 3, 13),
            ("fe00::1", 40, 1),
            ("2001:db8::1", 40, 1),
        ] {
            let policy = Policy::of(address(text));
            assert_eq!((policy.precedence, policy.label), (precedence, label), "{text}");
        }
    }

    #[test]
    fn scopes_end_where_they_end() {
        for (text, expected) in [
            ("127.255.255.255", LINK_LOCAL),
            ("128.0.0.0", GLOBAL),
            ("169.254.0.0", LINK_LOCAL),
            ("169.255.0.0", GLOBAL),
            ("10.0.0.1", GLOBAL),
            ("::ffff:127.0.0.1", LINK_LOCAL),
            ("::ffff:10.0.0.1", GLOBAL),
            ("::1", LINK_LOCAL),
            ("::2", GLOBAL),
            ("fe80::1", LINK_LOCAL),
            ("febf::1", LINK_LOCAL),
            ("fec0::1", SITE_LOCAL),
            ("feff::1", SITE_LOCAL),
            ("fd00::1", GLOBAL),
            ("2002:7f00:1::", GLOBAL),
            ("ff02::1", LINK_LOCAL),
            ("ff15::1", SITE_LOCAL),
            ("ff08::1", 8),
            ("ff0e::1", GLOBAL),
        ] {
            assert_eq!(scope(address(text)), expected, "{text}");
        }
    }
}
