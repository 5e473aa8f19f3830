//! The IANA special-purpose address registries (RFC 6890, RFC 8190) and what they leave out, as a table.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cidr::Cidr;

use Category::{LinkLocal, Loopback, Metadata, NoHost, Private, Public, Reserved, Special};

/// What the addresses of a block are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Category {
    /// Globally reachable unicast: anybody's host.
    Public,
    /// Hosts of one network.
    Private,
    /// A purpose that no stranger's mail server has; harmless if the operator's own names lead there.
    Special,
    /// This very host.
    Loopback,
    /// Whatever hangs on the same wire.
    LinkLocal,
    /// A cloud's service for its virtual machines: it hands out credentials.
    Metadata,
    /// Not allocated, or not to be used any more.
    Reserved,
    /// Never the address of one host.
    NoHost,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) cidr: Cidr,
    pub(super) category: Category,
    name: &'static str,
    source: &'static str,
}

/// The block an address lies in, the most specific one. Public IPv4 addresses lie in none.
pub(super) fn block_of(address: IpAddr) -> Option<&'static Block> {
    let (v4, v6) = BLOCKS.split_at(V4_BLOCKS);
    let of_family = if address.is_ipv4() { v4 } else { v6 };
    // of those that begin at or before it the last one that holds it: a block stands before those inside it
    let begun = of_family.partition_point(|block| block.cidr.begins_by(address));
    of_family[..begun].iter().rfind(|block| block.cidr.contains(address))
}

/// How many of the blocks are of IPv4; they come first.
const V4_BLOCKS: usize = {
    let mut count = 0;
    while count < BLOCKS.len() && !BLOCKS[count].cidr.is_ipv6() {
        count += 1;
    }
    count
};

/// `127.0.0.0/8 is loopback (RFC 1122)`.
impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} ({})", self.cidr, self.name, self.source)
    }
}

const fn v4(
    [a, b, c, d]: [u8; 4],
    len: u8,
    name: &'static str,
    source: &'static str,
    category: Category,
) -> Block {
    Block { cidr: Cidr::v4(Ipv4Addr::new(a, b, c, d), len), category, name, source }
}

const fn v6(bits: u128, len: u8, name: &'static str, source: &'static str, category: Category) -> Block {
    Block { cidr: Cidr::v6(Ipv6Addr::from_bits(bits), len), category, name, source }
}

const CLOUDS: &str = "AWS, Azure, Google, Oracle, DigitalOcean, OpenStack";

/// In the order of the addresses, a block before those inside it.
pub(super) const BLOCKS: &[Block] = &[
    v4([0, 0, 0, 0], 8, "this network", "RFC 791", Reserved),
    v4([0, 0, 0, 0], 32, "the unspecified address", "RFC 1122", NoHost),
    v4([10, 0, 0, 0], 8, "private", "RFC 1918", Private),
    v4([100, 64, 0, 0], 10, "shared address space", "RFC 6598", Private),
    v4([100, 100, 100, 200], 32, "a metadata service", "Alibaba", Metadata),
    v4([127, 0, 0, 0], 8, "loopback", "RFC 1122", Loopback),
    v4([168, 63, 129, 16], 32, "the WireServer", "Azure", Metadata),
    v4([169, 254, 0, 0], 16, "link-local", "RFC 3927", LinkLocal),
    v4([169, 254, 42, 42], 32, "a metadata service", "Scaleway", Metadata),
    v4([169, 254, 169, 253], 32, "a resolver for virtual machines", "AWS", Metadata),
    v4([169, 254, 169, 254], 32, "a metadata service", CLOUDS, Metadata),
    v4([169, 254, 170, 2], 32, "a metadata service", "AWS ECS", Metadata),
    v4([169, 254, 170, 23], 32, "a metadata service", "AWS EKS", Metadata),
    v4([172, 16, 0, 0], 12, "private", "RFC 1918", Private),
    v4([192, 0, 0, 0], 24, "for protocol assignments", "RFC 6890", Special),
    v4([192, 0, 0, 0], 29, "for IPv4 service continuity", "RFC 7335", Special),
    v4([192, 0, 0, 8], 32, "the IPv4 dummy address", "RFC 7600", Special),
    v4([192, 0, 0, 9], 32, "Port Control Protocol anycast", "RFC 7723", Special),
    v4([192, 0, 0, 10], 32, "TURN anycast", "RFC 8155", Special),
    v4([192, 0, 0, 170], 32, "for NAT64 discovery", "RFC 8880", Special),
    v4([192, 0, 0, 171], 32, "for NAT64 discovery", "RFC 8880", Special),
    v4([192, 0, 0, 192], 32, "a metadata service", "Oracle", Metadata),
    v4([192, 0, 2, 0], 24, "documentation", "RFC 5737", Special),
    v4([192, 31, 196, 0], 24, "AS112", "RFC 7535", Special),
    v4([192, 52, 193, 0], 24, "AMT", "RFC 7450", Special),
    v4([192, 88, 99, 0], 24, "6to4 relay anycast", "RFC 7526", Special),
    v4([192, 88, 99, 2], 32, "6a44 relay anycast", "RFC 6751", Special),
    v4([192, 168, 0, 0], 16, "private", "RFC 1918", Private),
    v4([192, 175, 48, 0], 24, "AS112", "RFC 7534", Special),
    v4([198, 18, 0, 0], 15, "benchmarking", "RFC 2544", Special),
    v4([198, 51, 100, 0], 24, "documentation", "RFC 5737", Special),
    v4([203, 0, 113, 0], 24, "documentation", "RFC 5737", Special),
    v4([224, 0, 0, 0], 4, "multicast", "RFC 5771", NoHost),
    v4([240, 0, 0, 0], 4, "reserved", "RFC 1112", Reserved),
    v4([255, 255, 255, 255], 32, "limited broadcast", "RFC 919", NoHost),
    v6(0, 0, "not global unicast", "RFC 4291", Reserved),
    v6(0, 96, "IPv4-compatible", "RFC 4291", Reserved),
    v6(0, 128, "the unspecified address", "RFC 4291", NoHost),
    v6(1, 128, "loopback", "RFC 4291", Loopback),
    v6(0xffff << 32, 96, "IPv4-mapped", "RFC 4291", Special),
    v6(0xffff << 48, 96, "IPv4-translated", "RFC 2765", Special),
    v6(0x0064_ff9b << 96, 96, "NAT64", "RFC 6052", Public),
    v6(0x0064_ff9b_0001 << 80, 48, "local NAT64", "RFC 8215", Special),
    v6(0x0100 << 112, 64, "discard-only", "RFC 6666", Special),
    v6(0x0100 << 112 | 1 << 64, 64, "the dummy prefix", "RFC 9780", Special),
    v6(0x2000 << 112, 3, "global unicast", "RFC 4291", Public),
    v6(0x2001 << 112, 23, "for protocol assignments", "RFC 2928", Special),
    v6(0x2001 << 112, 32, "Teredo", "RFC 4380", Special),
    v6(0x2001_0001 << 96 | 1, 128, "Port Control Protocol anycast", "RFC 7723", Special),
    v6(0x2001_0001 << 96 | 2, 128, "TURN anycast", "RFC 8155", Special),
    v6(0x2001_0001 << 96 | 3, 128, "DNS-SD registration anycast", "RFC 9665", Special),
    v6(0x2001_0002 << 96, 48, "benchmarking", "RFC 5180", Special),
    v6(0x2001_0003 << 96, 32, "AMT", "RFC 7450", Special),
    v6(0x2001_0004_0112 << 80, 48, "AS112", "RFC 7535", Special),
    v6(0x2001_0010 << 96, 28, "ORCHID", "RFC 4843", Special),
    v6(0x2001_0020 << 96, 28, "ORCHIDv2", "RFC 7343", Special),
    v6(0x2001_0030 << 96, 28, "drone remote identification", "RFC 9374", Special),
    v6(0x2001_0db8 << 96, 32, "documentation", "RFC 3849", Special),
    v6(0x2002 << 112, 16, "6to4", "RFC 3056", Special),
    v6(0x2620_004f_8000 << 80, 48, "AS112", "RFC 7534", Special),
    v6(0x3fff << 112, 20, "documentation", "RFC 9637", Special),
    v6(0x5f00 << 112, 16, "for SRv6 segments", "RFC 9602", Special),
    v6(0xfc00 << 112, 7, "unique local", "RFC 4193", Private),
    v6(0xfd00_0042 << 96 | 0x42, 128, "a metadata service", "Scaleway", Metadata),
    v6(0xfd00_0ec2 << 96 | 0x23, 128, "a metadata service", "AWS EKS", Metadata),
    v6(0xfd00_0ec2 << 96 | 0x254, 128, "a metadata service", "AWS", Metadata),
    v6(0xfd20_00ce << 96 | 0x254, 128, "a metadata service", "Google", Metadata),
    v6(0xfe80 << 112, 10, "link-local", "RFC 4291", LinkLocal),
    v6(0xfe80 << 112 | 0xa9fe_a9fe, 128, "a metadata service", "OpenStack", Metadata),
    v6(0xfec0 << 112, 10, "site-local", "RFC 3879", Private),
    v6(0xff00 << 112, 8, "multicast", "RFC 4291", NoHost),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_block_of_its_own() {
        for (index, block) in BLOCKS.iter().enumerate() {
            let text = block.cidr.to_string();
            assert_eq!(text.parse(), Ok(block.cidr), "bits beyond the prefix");
            assert!(BLOCKS[..index].iter().all(|other| other.cidr != block.cidr), "{text} twice");
        }
    }

    #[test]
    fn the_most_specific_block_speaks() {
        for (address, block) in [
            ("127.0.0.1", "127.0.0.0/8 is loopback (RFC 1122)"),
            ("192.0.0.8", "192.0.0.8/32 is the IPv4 dummy address (RFC 7600)"),
            ("192.0.0.7", "192.0.0.0/29 is for IPv4 service continuity (RFC 7335)"),
            ("192.0.0.11", "192.0.0.0/24 is for protocol assignments (RFC 6890)"),
            ("::1", "::1/128 is loopback (RFC 4291)"),
            ("4000::", "::/0 is not global unicast (RFC 4291)"),
        ] {
            assert_eq!(block_of(address.parse().unwrap()).unwrap().to_string(), block);
        }
        assert!(block_of([8, 8, 8, 8].into()).is_none());
    }

    #[test]
    fn attack_blocks_stand_in_order_so_that_none_is_passed_over() {
        let (v4, v6) = BLOCKS.split_at(V4_BLOCKS);
        for family in [v4, v6] {
            let places = family.iter().map(|block| (block.cidr.first(), block.cidr.prefix_len()));
            assert!(places.is_sorted());
        }
    }

    #[test]
    fn the_block_that_is_found_is_the_most_specific_one() {
        for block in BLOCKS {
            let inside = BLOCKS.iter().filter(|inner| block.cidr.contains(inner.cidr.first()));
            for inner in inside {
                let address = inner.cidr.first();
                let longest = BLOCKS.iter().filter(|block| block.cidr.contains(address));
                let longest = longest.max_by_key(|block| block.cidr.prefix_len()).map(|block| block.cidr);
                assert_eq!(block_of(address).map(|block| block.cidr), longest, "{address}");
            }
        }
    }

    #[test]
    fn the_blocks_of_ipv4_come_first() {
        assert!(BLOCKS[..V4_BLOCKS].iter().all(|block| !block.cidr.is_ipv6()));
        assert!(BLOCKS[V4_BLOCKS..].iter().all(|block| block.cidr.is_ipv6()));
    }
}
