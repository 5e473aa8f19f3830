//! IPv4 addresses inside IPv6 addresses: what dials the one may reach the other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cidr::Cidr;

/// A way to put an IPv4 address into an IPv6 address.
struct Form {
    /// What the bits under the mask are.
    bits: u128,
    mask: u128,
    /// Bits right of the IPv4 address.
    shift: u32,
    /// What the IPv4 address was XORed with.
    flip: u32,
}

const FORMS: &[Form] = &[
    // IPv4-compatible, IPv4-mapped (RFC 4291 section 2.5.5), IPv4-translated (RFC 2765 section 2.1)
    form(0, 96, 0),
    form(0xffff << 32, 96, 0),
    form(0xffff << 48, 96, 0),
    // NAT64 (RFC 6052 section 2.1) and its local use (RFC 8215), in the form of 96 bits
    form(0x0064_ff9b << 96, 96, 0),
    form(0x0064_ff9b_0001 << 80, 48, 0),
    // Teredo: the server, and the client behind its NAT (RFC 4380 section 4)
    form(0x2001 << 112, 32, 64),
    Form { flip: u32::MAX, ..form(0x2001 << 112, 32, 0) },
    // 6to4 (RFC 3056 section 2)
    form(0x2002 << 112, 16, 80),
    // ISATAP, under any prefix, the IPv4 address being unique or not (RFC 5214 section 6.1)
    Form { bits: 0x5efe << 32, mask: 0xfdff_ffff << 32, shift: 0, flip: 0 },
];

const fn form(bits: u128, prefix_len: u32, shift: u32) -> Form {
    Form { bits, mask: u128::MAX << (128 - prefix_len), shift, flip: 0 }
}

impl Form {
    fn read(&self, bits: u128) -> Option<Ipv4Addr> {
        let inner = (bits >> self.shift) as u32 ^ self.flip;
        (bits & self.mask == self.bits).then_some(Ipv4Addr::from_bits(inner))
    }
}

/// The IPv4 addresses inside an address. What lies in a NAT64 prefix of the operator is read in that form alone.
pub(super) fn embedded(address: IpAddr, nat64: &[Cidr]) -> impl Iterator<Item = Ipv4Addr> {
    let bits = ipv6_bits(address);
    let prefix =
        nat64.iter().filter(|prefix| prefix.contains(address)).max_by_key(|prefix| prefix.prefix_len());
    let translated = prefix.zip(bits).map(|(prefix, bits)| nat64_address(bits, prefix.prefix_len()));
    let forms = if translated.is_some() || bits.is_none() { &[] } else { FORMS };
    translated.into_iter().chain(forms.iter().filter_map(move |form| form.read(bits?)))
}

/// `::` and `::1` are not IPv4-compatible, although they have the form (RFC 4291 sections 2.5.2 and 2.5.3).
fn ipv6_bits(address: IpAddr) -> Option<u128> {
    let IpAddr::V6(address) = address else { return None };
    Some(address.to_bits()).filter(|bits| *bits > Ipv6Addr::LOCALHOST.to_bits())
}

/// Whether NAT64 has prefixes of this length (RFC 6052 section 2.2).
pub(super) const fn is_nat64_prefix_len(len: u8) -> bool {
    matches!(len, 32 | 40 | 48 | 56 | 64 | 96)
}

/// The IPv4 address that a translator of this prefix sends to (RFC 6052 section 2.2).
fn nat64_address(bits: u128, prefix_len: u8) -> Ipv4Addr {
    let shift = 96 - u32::from(prefix_len.min(96));
    if shift == 0 {
        return Ipv4Addr::from_bits(bits as u32);
    }
    // the octet after the 64th bit is not part of it
    let without_u = (bits >> 64 << 56) | (bits & u128::MAX >> 72);
    Ipv4Addr::from_bits((without_u >> (shift - 8)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str, nat64: &[&str]) -> Vec<String> {
        let nat64: Vec<Cidr> = nat64.iter().map(|prefix| prefix.parse().unwrap()).collect();
        embedded(address.parse().unwrap(), &nat64).map(|inner| inner.to_string()).collect()
    }

    #[test]
    fn attack_a02_every_form_is_unwrapped() {
        for (address, inner) in [
            ("::192.0.2.33", &["192.0.2.33"] as &[&str]),
            ("::ffff:192.0.2.33", &["192.0.2.33"]),
            ("::ffff:0:192.0.2.33", &["192.0.2.33"]),
            ("64:ff9b::192.0.2.33", &["192.0.2.33"]),
            ("64:ff9b:1:7:7:7:192.0.2.33", &["192.0.2.33"]),
            // the example of RFC 4380 has its client at 192.0.2.45
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", &["65.54.227.120", "192.0.2.45"]),
            ("2002:c000:221:1::1", &["192.0.2.33"]),
            ("2a00::5efe:192.0.2.33", &["192.0.2.33"]),
            ("2a00::200:5efe:192.0.2.33", &["192.0.2.33"]),
            ("2002:c000:221::5efe:10.0.0.1", &["192.0.2.33", "10.0.0.1"]),
        ] {
            assert_eq!(read(address, &[]), inner, "{address}");
        }
    }

    #[test]
    fn others_have_nothing_inside() {
        for address in
            ["192.0.2.33", "::", "::1", "2a00::c000:221", "2a00::100:5efe:192.0.2.33", "64:ff9c::1"]
        {
            assert!(read(address, &[]).is_empty(), "{address}");
        }
    }

    // the addresses are those of RFC 6052 section 2.4
    #[test]
    fn a_nat64_prefix_has_six_lengths() {
        for (address, prefix) in [
            ("2001:db8:c000:221::", "2001:db8::/32"),
            ("2001:db8:1c0:2:21::", "2001:db8:100::/40"),
            ("2001:db8:122:c000:2:2100::", "2001:db8:122::/48"),
            ("2001:db8:122:3c0:0:221::", "2001:db8:122:300::/56"),
            ("2001:db8:122:344:c0:2:2100::", "2001:db8:122:344::/64"),
            // an octet that should be zero does not count
            ("2001:db8:122:3c0:ff00:221::", "2001:db8:122:300::/56"),
            ("2001:db8:122:344::192.0.2.33", "2001:db8:122:344::/96"),
        ] {
            assert!(is_nat64_prefix_len(prefix.parse::<Cidr>().unwrap().prefix_len()));
            assert_eq!(read(address, &[prefix]), ["192.0.2.33"], "{address}");
        }
    }

    #[test]
    fn the_longest_nat64_prefix_says_the_form() {
        let prefixes = ["64:ff9b:1::/48", "64:ff9b:1:2::/96"];
        assert_eq!(read("64:ff9b:1:2::192.0.2.33", &prefixes), ["192.0.2.33"]);
        assert_eq!(read("64:ff9b:1:c000:2:2100::", &prefixes), ["192.0.2.33"]);
    }
}
