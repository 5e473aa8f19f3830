//! A resolver that says something else each time it is asked: what was judged is what is dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nexthop::resolver::{MemoryResolverBuilder, RecordKind};
use nexthop::testing::{Rules, ScriptedServer};
use nexthop::{DefaultPolicy, MemoryResolver, PlanSettings};

use crate::support::{envelope, in_time, message, shown};
use crate::traps::{
    Client, Dialled, Lay, Paths, Traps, Way, aliased_domain, aliased_exchanger, by_mx, exchanger,
    exchanger_of_another, implicit_exchanger, relay,
};

/// The one address of loopback that the policy allows.
const GOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const BAD: Ipv4Addr = Ipv4Addr::LOCALHOST;

const WAYS: [(&str, Way); 6] = [
    ("an exchanger", exchanger),
    ("the domain itself", implicit_exchanger),
    ("an alias of the domain", aliased_domain),
    ("an alias of the exchanger", aliased_exchanger),
    ("mx:DOMAIN", exchanger_of_another),
    ("a relay", relay),
];

/// A server where mail may go, and traps at its port where it may not.
struct Bed {
    server: ScriptedServer,
    traps: Traps,
}

impl Bed {
    async fn of(rules: Rules) -> Self {
        loop {
            let server = rules.clone().listen_at((GOOD, 0).into()).await.unwrap();
            if let Some(traps) = Self::traps(&server) {
                return Self { server, traps };
            }
        }
    }

    fn traps(server: &ScriptedServer) -> Option<Traps> {
        Traps::at(server.address().port(), &[BAD.into(), IpAddr::V6(Ipv6Addr::LOCALHOST)])
    }

    /// For one recipient whose way leads to addresses that change.
    fn client(&self, way: Way, lay: Lay) -> Client {
        let policy = DefaultPolicy::default().allow(IpAddr::from(GOOD).into());
        way(Paths::new(self.server.address().port(), lay), 0, GOOD.into()).client(policy)
    }
}

async fn deliver(client: &Client, times: usize) -> Vec<String> {
    let mut words = Vec::new();
    for _ in 0..times {
        words.extend(shown(&client.deliver().await));
    }
    words
}

/// The good address in every other answer.
fn alternating(dns: MemoryResolverBuilder, name: &str, _: IpAddr) -> MemoryResolverBuilder {
    dns.ipv4_sequence(name, [[GOOD], [BAD], [GOOD], [BAD], [GOOD], [BAD]])
}

/// The good address first, then with a bad one behind, before it, and without it.
fn growing(dns: MemoryResolverBuilder, name: &str, _: IpAddr) -> MemoryResolverBuilder {
    dns.ipv4_sequence(name, [vec![GOOD], vec![GOOD, BAD], vec![BAD, GOOD], vec![BAD], vec![GOOD], vec![BAD]])
}

/// A good address of one family, then bad ones of the other, and both.
fn across_families(dns: MemoryResolverBuilder, name: &str, _: IpAddr) -> MemoryResolverBuilder {
    let bad = |text: &str| vec![text.parse::<Ipv6Addr>().unwrap()];
    let v6 = [vec![], bad("::1"), bad("::ffff:127.0.0.1"), bad("64:ff9b::7f00:1"), bad("::1"), vec![]];
    let v4 = [vec![GOOD], vec![], vec![GOOD], vec![], vec![GOOD], vec![BAD]];
    dns.ipv4_sequence(name, v4).ipv6_sequence(name, v6)
}

const GOES: &str = "delivered 2.0.0";
const STAYS: &str = "failed forbidden - 5.4.4";

const LAYS: [(&str, Lay, [&str; 6]); 3] = [
    ("alternating", alternating, [GOES, STAYS, GOES, STAYS, GOES, STAYS]),
    ("growing", growing, [GOES, GOES, GOES, STAYS, GOES, STAYS]),
    ("across families", across_families, [GOES, STAYS, GOES, STAYS, GOES, STAYS]),
];

#[tokio::test]
async fn check_089_attack_a03_only_the_address_that_was_judged_is_dialled() {
    for ((way_name, way), (lay_name, lay, words)) in
        WAYS.into_iter().flat_map(|way| LAYS.map(|lay| (way, lay)))
    {
        let (what, bed) = (format!("{way_name}, {lay_name}"), Bed::of(ScriptedServer::smtp()).await);
        let client = bed.client(way, lay);
        assert_eq!(deliver(&client, 6).await, words, "{what}");
        assert_eq!(bed.traps.caught(), [], "{what}");
        let delivered = words.iter().filter(|word| **word == GOES).count();
        assert_eq!(bed.server.connections(), delivered, "{what}");
        assert_eq!(client.dialled.endpoints(), vec![bed.server.address().to_string(); delivered], "{what}");
    }
}

/// Whoever asks again may be told something else.
#[tokio::test]
async fn check_089_attack_a03_every_delivery_asks_once_and_anew() {
    for (what, way) in WAYS {
        let bed = Bed::of(ScriptedServer::smtp()).await;
        let client = bed.client(way, alternating);
        deliver(&client, 4).await;
        let asked = client.dns.queries();
        let asked = [RecordKind::Ipv4, RecordKind::Ipv6]
            .map(|kind| asked.iter().filter(|(it, _)| *it == kind).count());
        assert_eq!(asked, [4, 4], "{what}");
    }
}

/// A bad address in the answer is no way out when the good one is of no use.
#[tokio::test]
async fn check_089_attack_a03_a_host_that_is_busy_makes_no_bad_address_good() {
    let both: Lay = |dns, name, _| dns.ipv4(name, BAD).ipv4(name, GOOD).ipv6(name, Ipv6Addr::LOCALHOST);
    for (what, way) in WAYS {
        let bed = Bed::of(ScriptedServer::smtp().greeting("421 busy")).await;
        assert_eq!(deliver(&bed.client(way, both), 1).await, ["deferred refused greeting 4.3.2"], "{what}");
        assert_eq!((bed.traps.caught(), bed.server.connections()), (vec![], 1), "{what}");
    }
}

/// A server that breaks off in the handshake, and then takes a message in the clear.
async fn one_that_breaks_off() -> Bed {
    let handshake = "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: <close>";
    let clear = "S: 220 x\nC: EHLO *\nS: 250 x\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\n\
                 C: <content>\nS: 250 2.0.0 ok\nC: QUIT\nS: 221 bye";
    loop {
        let script = ScriptedServer::script(handshake).then(clear);
        let server = script.listen_at((GOOD, 0).into()).await.unwrap();
        if let Some(traps) = Bed::traps(&server) {
            return Bed { server, traps };
        }
    }
}

#[tokio::test]
async fn check_089_attack_a03_a_second_connection_leads_where_the_first_did() {
    for (what, way) in WAYS {
        let bed = one_that_breaks_off().await;
        let client = bed.client(way, alternating);
        assert_eq!(deliver(&client, 1).await, [GOES], "{what}");
        assert_eq!((bed.traps.caught(), bed.server.connections()), (vec![], 2), "{what}");
    }
}

#[tokio::test]
async fn check_077_078_attack_a04_an_exchanger_at_an_own_address_is_not_dialled() {
    let own: IpAddr = [198, 41, 0, 99].into();
    let mut plan = PlanSettings::default();
    plan.own_addresses = vec![own];
    let dns = MemoryResolver::builder()
        .mx("x.example", 10, "mx1.example")
        .mx("x.example", 20, "mx2.example")
        .ipv4("mx1.example", [198, 41, 0, 99])
        .ipv4("mx2.example", [198, 41, 0, 4]);
    let dialled = Dialled::default();
    let builder = by_mx(25).plan(plan).resolver(dns.build().unwrap());
    let deliverer = builder.observer(dialled.clone()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["failed routing - 5.4.6"]);
    assert_eq!(dialled.endpoints(), Vec::<String>::new());
}
