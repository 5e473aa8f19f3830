//! The whole table of special-purpose addresses, and IPv4 addresses in every form of IPv6, over every way that leads to an
//! address: no connection.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

use ipnet::IpNet;
use nexthop::deliverer::{RecipientReport, Report};
use nexthop::policy::{AddressPolicy, Peer, Verdict};
use nexthop::{Attempt, DefaultPolicy};

use crate::support::{attempts, in_time, shown, word};
use crate::traps::{
    Dialled, Paths, Traps, Way, aliased_domain, aliased_exchanger, exchanger, exchanger_of_another, fixed,
    implicit_exchanger, literal, relay,
};

/// Where strangers must not lead, but the name of a relay may.
const STRANGE: &str = "
    10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 192.0.0.0/24 192.0.0.0/29 192.0.0.8/32
    192.0.0.9/32 192.0.0.10/32 192.0.0.170/32 192.0.0.171/32 192.0.2.0/24 198.51.100.0/24
    203.0.113.0/24 192.31.196.0/24 192.175.48.0/24 192.52.193.0/24 192.88.99.0/24 192.88.99.2/32
    198.18.0.0/15 100::/64 100:0:0:1::/64 2001::/23 2001:1::1/128 2001:1::2/128 2001:1::3/128
    2001:2::/48 2001:3::/32 2001:4:112::/48 2620:4f:8000::/48 2001:10::/28 2001:20::/28 2001:30::/28
    2001:db8::/32 3fff::/20 5f00::/16 fc00::/7 fec0::/10";

/// Where the name of a relay must not lead either.
const DANGEROUS: &str = "
    0.0.0.0/8 0.0.0.0/32 100.100.100.200/32 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16
    169.254.42.42/32 169.254.169.253/32 169.254.169.254/32 169.254.170.2/32 169.254.170.23/32
    192.0.0.192/32 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32 ::/0 ::/128 ::1/128 ::/96
    fd00:ec2::254/128 fd00:ec2::23/128 fd20:ce::254/128 fd00:42::42/128 fe80::/10
    fe80::a9fe:a9fe/128 ff00::/8";

/// Forms that hold an IPv4 address: strangers must not lead there whatever it is.
const FORMS: &str = "::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b:1::/48 2001::/32 2002::/16";

/// Not allocated as global unicast: blocks of the row `::/0`.
const UNALLOCATED: &str =
    "::1:0:0:0/80 1::/16 200::/7 400::/6 800::/5 1000::/4 4000::/3 8000::/2 c000::/3 f000::/5";

/// Everything that leads where strangers say.
const STRANGERS: [(&str, Way); 6] = [
    ("an exchanger", exchanger),
    ("the domain itself", implicit_exchanger),
    ("an alias of the domain", aliased_domain),
    ("an alias of the exchanger", aliased_exchanger),
    ("mx:DOMAIN", exchanger_of_another),
    ("an address literal", literal),
];

/// 127.1.1.1 is an address that somebody listens at.
const INSIDE: [[u8; 4]; 4] = [[127, 0, 0, 1], [10, 0, 0, 1], [169, 254, 169, 254], [127, 1, 1, 1]];

fn blocks(text: &str) -> impl Iterator<Item = IpNet> {
    text.split_whitespace().map(|block| block.parse().unwrap())
}

/// The row that speaks for an address: the most specific one.
fn row_of(address: IpAddr) -> Option<IpNet> {
    let rows = blocks(STRANGE).chain(blocks(DANGEROUS)).chain(blocks(FORMS));
    rows.filter(|row| row.contains(&address)).max_by_key(IpNet::prefix_len)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first, the last and the middle address of each block.
fn samples(text: &str) -> Vec<IpAddr> {
    let of_block = |block: IpNet| {
        let (first, last) = (bits(block.network()), bits(block.broadcast()));
        [first, first + (last - first) / 2, last].map(|bits| match block {
            IpNet::V4(_) => IpAddr::from(Ipv4Addr::from_bits(bits.try_into().unwrap())),
            IpNet::V6(_) => Ipv6Addr::from_bits(bits).into(),
        })
    };
    blocks(text).flat_map(of_block).collect()
}

/// An IPv4 address in each of the forms that carry one.
fn embeddings(inner: [u8; 4]) -> Vec<IpAddr> {
    let inner = Ipv4Addr::from(inner);
    let ([a, b], inverted) = (halves(inner), Ipv4Addr::from_bits(!inner.to_bits()));
    let forms = [
        format!("::{inner}"),
        format!("::ffff:{inner}"),
        format!("::ffff:0:{inner}"),
        format!("64:ff9b::{inner}"),
        format!("64:ff9b:1::{inner}"),
        format!("2002:{a:x}:{b:x}::1"),
        format!("2001:0:{a:x}:{b:x}::f7f7:f7f7"),
        format!("2001:0:808:808::{inverted}"),
        format!("2a00::5efe:{inner}"),
        format!("2a00::200:5efe:{inner}"),
    ];
    forms.iter().map(|form| form.parse().unwrap()).collect()
}

fn halves(address: Ipv4Addr) -> [u16; 2] {
    let [a, b, c, d] = address.octets();
    [[a, b], [c, d]].map(u16::from_be_bytes)
}

fn traps() -> Traps {
    let middle_of_loopback = [127, 127, 255, 255];
    let v4 = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 1, 1, 1], middle_of_loopback].map(IpAddr::from);
    Traps::set(&[&v4[..], &[IpAddr::V6(Ipv6Addr::LOCALHOST)]].concat())
}

/// Brings a message to each of the addresses, all by the same way.
async fn deliver(port: u16, way: Way, addresses: &[IpAddr], policy: impl AddressPolicy) -> (Report, Dialled) {
    let paths = addresses.iter().zip(0..);
    let paths = paths.fold(Paths::new(port, fixed), |paths, (address, number)| way(paths, number, *address));
    let client = paths.client(policy);
    (client.deliver().await, client.dialled)
}

/// The block that a reason names, and the address that lies in it: the one dialled, or one inside it.
fn named(detail: &str, dialled: IpAddr) -> Option<(IpNet, IpAddr)> {
    let (_, reason) = detail.split_once(" must not be dialled: ")?;
    let inside = reason.split_once(" holds ").and_then(|(_, inside)| inside.split_once(", and "));
    let (address, reason) = match inside {
        Some((inner, reason)) => (inner.parse().ok()?, reason),
        None => (dialled, reason),
    };
    let (block, _) = reason.split_once(" is ")?;
    Some((block.parse().ok()?, address))
}

/// Failed for good as forbidden, nothing reached, and the reason names the row.
fn is_forbidden(recipient: &RecipientReport, address: IpAddr) -> bool {
    let detail = recipient.outcome.failure().map(nexthop::Failure::detail).unwrap_or_default();
    let named = named(&detail, address).is_some_and(|(block, address)| row_of(address) == Some(block));
    let is_forbidden = word(&recipient.outcome) == "failed forbidden - 5.4.4";
    is_forbidden && named && attempts(recipient) == ["forbidden"] && recipient.hop.is_none()
}

/// Nothing of this is dialled, and all of it is forbidden.
async fn assert_never_dialled(what: &str, way: Way, addresses: &[IpAddr]) {
    let traps = traps();
    let (report, dialled) = deliver(traps.port, way, addresses, DefaultPolicy::default()).await;
    assert_eq!(dialled.endpoints(), Vec::<String>::new(), "{what}");
    assert_eq!(traps.caught(), [], "{what}");
    assert_eq!(report.recipients().len(), addresses.len(), "{what}");
    let wrong =
        report.recipients().iter().zip(addresses).filter(|(it, address)| !is_forbidden(it, **address));
    let wrong: Vec<_> = wrong.map(|(it, address)| format!("{address}: {}", it.outcome)).collect();
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn check_089_091_092_093_attack_a01_no_stranger_leads_into_the_table() {
    let addresses = samples(&[STRANGE, DANGEROUS, FORMS, UNALLOCATED].join(" "));
    for (what, way) in STRANGERS {
        assert_never_dialled(what, way, &addresses).await;
    }
}

#[tokio::test]
async fn check_089_090_attack_a02_no_stranger_leads_through_an_address_in_another() {
    for (what, way) in STRANGERS {
        assert_never_dialled(what, way, &INSIDE.map(embeddings).concat()).await;
    }
}

#[tokio::test]
async fn check_089_092_attack_a01_no_name_of_a_relay_leads_into_danger() {
    assert_never_dialled("a relay", relay, &samples(&[DANGEROUS, UNALLOCATED].join(" "))).await;
}

#[tokio::test]
async fn check_089_090_attack_a02_no_name_of_a_relay_leads_into_danger_through_another_address() {
    let dangerous =
        [[127, 0, 0, 1], [127, 1, 1, 1], [169, 254, 169, 254], [0, 0, 0, 0], [100, 100, 100, 200]];
    assert_never_dialled("a relay", relay, &dangerous.map(embeddings).concat()).await;
}

#[tokio::test]
async fn check_092_the_name_of_a_relay_may_lead_to_the_rest_of_the_table() {
    // the first address of a block may lie in a form that begins there
    let is_strange = |address: &IpAddr| blocks(STRANGE).any(|row| row_of(*address) == Some(row));
    let addresses: Vec<_> = samples(STRANGE).into_iter().filter(is_strange).collect();
    let paths = addresses.iter().zip(0..);
    let paths = paths.fold(Paths::new(25, fixed), |paths, (address, number)| relay(paths, number, *address));
    let client = paths.client(DefaultPolicy::default());
    let plans = in_time(client.deliverer.plans(&client.envelope, Attempt::default())).await;
    let denied: Vec<_> =
        plans.iter().filter(|plan| plan.error().is_some()).map(ToString::to_string).collect();
    assert_eq!((plans.len(), denied), (addresses.len(), vec![]));
}

/// A policy that a host should not have.
#[derive(Debug)]
struct Anything;

impl AddressPolicy for Anything {
    fn check(&self, _: &Peer<'_>) -> Verdict {
        Verdict::Allow
    }
}

/// That nothing is caught elsewhere is not for want of a trap.
#[tokio::test]
async fn a_trap_catches_whoever_dials() {
    let traps = traps();
    let reached = ["127.0.0.1", "127.0.0.2", "127.1.1.1", "127.127.255.255", "::ffff:127.0.0.1"];
    let addresses = reached.map(|address| address.parse().unwrap());
    let (report, dialled) = deliver(traps.port, exchanger, &addresses, Anything).await;
    assert_eq!(shown(&report), ["deferred timed-out greeting 4.4.2"; 5]);
    assert_eq!((traps.caught().len(), dialled.endpoints().len()), (5, 5));
}

/// The system takes the unspecified address for one of its own.
#[tokio::test]
async fn check_095_attack_a03_a_connection_that_leads_elsewhere_is_closed_without_a_word() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (report, _) = deliver(port, exchanger, &[Ipv4Addr::UNSPECIFIED.into()], Anything).await;
    assert_eq!(shown(&report), ["deferred connecting - 4.4.1"]);
    listener.set_nonblocking(true).unwrap();
    let (mut connection, mut said) = (listener.accept().unwrap().0, Vec::new());
    connection.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"");
}

#[tokio::test]
async fn attack_a13_single_labels_and_localhost_are_neither_looked_up_nor_dialled() {
    let traps = traps();
    let domains = ["localhost", "mail", "LOCALHOST", "x.localhost"];
    let paths = domains.into_iter().fold(Paths::new(traps.port, fixed), Paths::to);
    let client = paths.at("mail", Ipv4Addr::LOCALHOST.into()).client(Anything);
    assert_eq!(shown(&client.deliver().await), ["failed routing - 5.1.2"; 4]);
    let (caught, asked, dialled) = (traps.caught(), client.dns.queries(), client.dialled.endpoints());
    assert_eq!((caught, asked, dialled), (vec![], vec![], vec![]));
}
