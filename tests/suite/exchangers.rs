//! What a deliverer learns of exchangers on the way: that they are this host, that nobody is at home, that there is no time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use async_trait::async_trait;
use nexthop::deliverer::{DeliveryLimits, SourceAddress};
use nexthop::resolver::{Answer, Mx, Query, Srv, Tlsa, Txt};
use nexthop::testing::{Rules, ScriptedServer};
use nexthop::{ClientName, Envelope, MemoryResolver, Report, ResolveError, Resolver, RouteTable};

use crate::routes::{by_mx, neighbours, three_exchangers};
use crate::support::{CLIENT, SOON, builder, envelope, in_time, message, route, said, shown};

fn smtp() -> Rules {
    ScriptedServer::smtp()
}

/// Who was tried and failed, and who decided, by the last number of the address.
fn way(report: &Report) -> Vec<String> {
    let recipient = &report.recipients()[0];
    let last = |endpoint: String| endpoint.split([':', '.']).nth(3).unwrap_or_default().to_owned();
    let tried = recipient.attempts.iter().filter_map(|attempt| attempt.endpoint());
    let hop = recipient.hop.iter().map(|hop| hop.endpoint().to_string());
    tried.map(ToString::to_string).chain(hop).map(last).collect()
}

#[tokio::test]
async fn check_077_a_server_that_calls_itself_as_this_host_is_a_loop() {
    let (greets, says) = (smtp().greeting(&format!("220 {CLIENT} ESMTP")), smtp().name("Client.Example"));
    for own in [greets, says] {
        let (servers, port) = neighbours([own, smtp(), smtp()]).await;
        let deliverer = by_mx(three_exchangers(), port).build().unwrap();
        let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
        assert_eq!(shown(&report), ["failed routing hello 5.4.6"]);
        assert!(!said(&servers[0], 0).contains("MAIL") && said(&servers[0], 0).ends_with("QUIT"));
        // neither another address of it nor an exchanger that is no better
        assert_eq!(servers[1].connections() + servers[2].connections(), 0);
    }
}

#[tokio::test]
async fn check_077_a_better_exchanger_than_this_host_is_used_and_a_relay_may_have_our_name() {
    let (servers, port) =
        neighbours([smtp().greeting("450 not now"), smtp().greeting("450 not now"), smtp().name(CLIENT)])
            .await;
    let deliverer = by_mx(three_exchangers(), port).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["deferred refused greeting 4.3.2"]);
    assert!(!said(&servers[2], 0).contains("MAIL"));
    let beside = smtp().name(CLIENT).listen_tcp().await.unwrap();
    let relay = builder(&beside.url()).build().unwrap();
    assert!(in_time(relay.deliver(&envelope("a"), &message())).await.is_delivered());
}

#[tokio::test]
async fn an_address_where_nobody_is_at_home_is_tried_last_until_it_is_forgotten() {
    let (mut servers, port) = neighbours([smtp(), smtp(), smtp()]).await;
    drop(servers.remove(0));
    for (memory, ways) in [(60, [["2", "3"], ["3", ""]]), (0, [["2", "3"], ["2", "3"]])] {
        let mut limits = DeliveryLimits::default();
        limits.host_memory = Duration::from_secs(memory);
        let deliverer = by_mx(three_exchangers(), port).limits(limits).build().unwrap();
        for expected in ways {
            let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
            assert!(report.is_delivered());
            let expected: Vec<_> = expected.into_iter().filter(|last| !last.is_empty()).collect();
            assert_eq!(way(&report), expected, "memory of {memory} s");
        }
    }
}

#[tokio::test]
async fn a_host_that_closes_instead_of_greeting_is_tried_after_worse_ones() {
    let busy = || smtp().greeting("421 busy");
    let (_servers, port) = neighbours([busy(), busy(), smtp()]).await;
    let deliverer = by_mx(three_exchangers(), port).build().unwrap();
    for expected in [&["2", "3", "4"][..], &["4"]] {
        let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
        assert!(report.is_delivered());
        assert_eq!(way(&report), expected);
    }
}

#[tokio::test]
async fn check_017_what_is_put_off_is_still_tried_when_nothing_else_does() {
    // before the transaction, so that the other address of the host may do better
    let refuses = || smtp().greeting("450 later");
    let (servers, port) = neighbours([smtp().greeting("421 busy"), refuses(), refuses()]).await;
    let deliverer = by_mx(three_exchangers(), port).build().unwrap();
    for expected in [["2", "4", "3"], ["3", "2", "4"]] {
        let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
        let (mut way, mut expected) = (way(&report), expected.to_vec());
        way.sort_unstable();
        expected.sort_unstable();
        assert_eq!(way, expected);
    }
    assert_eq!(servers[0].connections(), 2);
}

#[tokio::test]
async fn source_addresses_of_a_family_take_turns_and_introduce_themselves_each() {
    let server = smtp().listen_tcp().await.unwrap();
    let source = |last, name: &str| {
        let address = IpAddr::from([127, 0, 0, last]);
        SourceAddress::new(address).with_client_name(ClientName::parse(name).unwrap())
    };
    let deliverer = builder(&server.url())
        .source_address(source(1, "one.example"))
        .source_address(source(2, "two.example"))
        .source_address(IpAddr::from([127, 0, 0, 3]))
        .build()
        .unwrap();
    for _ in 0..4 {
        assert!(in_time(deliverer.deliver(&envelope("a"), &message())).await.is_delivered());
    }
    let names: Vec<_> = (0..4)
        .map(|connection| said(&server, connection).split('|').next().unwrap_or_default().to_owned())
        .collect();
    let client = format!("EHLO {CLIENT}");
    assert_eq!(names, ["EHLO one.example", "EHLO two.example", &client, "EHLO one.example"]);
}

#[tokio::test]
async fn the_time_for_an_attempt_is_over_at_one_host_and_none_is_tried_after_it() {
    let second = smtp().listen_tcp().await.unwrap();
    let mut limits = DeliveryLimits::default();
    limits.attempt = Some(SOON);
    let silent = ScriptedServer::script(
        "S: 220 x\nC: EHLO client.example\nS: 250 x\nC: MAIL FROM:<s@example.net>\nS: <silence>",
    )
    .listen_tcp()
    .await
    .unwrap();
    let deliverer = builder(&route(&[&silent, &second])).limits(limits).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["deferred timed-out mail-from 4.4.2"]);
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn the_time_for_an_attempt_is_that_of_each_destination() {
    let silent = ScriptedServer::script("S: <silence>").listen_tcp().await.unwrap();
    let second = smtp().listen_tcp().await.unwrap();
    let mut limits = DeliveryLimits::default();
    (limits.attempt, limits.destinations) = (Some(5 * SOON), 1);
    let routes = RouteTable::new(route(&[&silent]).parse().unwrap());
    let routes = routes.mailbox("b@x.example", route(&[&second]).parse().unwrap()).unwrap();
    let deliverer = builder(&route(&[&silent])).router(routes).limits(limits).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a b"), &message())).await;
    assert_eq!(shown(&report), ["deferred timed-out greeting 4.4.2", "delivered 2.0.0"]);
}

/// Never answers questions for the addresses of one host.
#[derive(Debug)]
struct Hangs(MemoryResolver, &'static str);

#[async_trait]
impl Resolver for Hangs {
    async fn mx(&self, query: &Query) -> Result<Answer<Mx>, ResolveError> {
        self.0.mx(query).await
    }

    async fn ipv4(&self, query: &Query) -> Result<Answer<Ipv4Addr>, ResolveError> {
        match query.name.as_str() == self.1 {
            true => std::future::pending().await,
            false => self.0.ipv4(query).await,
        }
    }

    async fn ipv6(&self, query: &Query) -> Result<Answer<Ipv6Addr>, ResolveError> {
        self.0.ipv6(query).await
    }

    async fn tlsa(&self, query: &Query) -> Result<Answer<Tlsa>, ResolveError> {
        self.0.tlsa(query).await
    }

    async fn txt(&self, query: &Query) -> Result<Answer<Txt>, ResolveError> {
        self.0.txt(query).await
    }

    async fn srv(&self, query: &Query) -> Result<Answer<Srv>, ResolveError> {
        self.0.srv(query).await
    }
}

#[tokio::test]
async fn a_lookup_that_hangs_holds_up_no_better_host() {
    let (_servers, port) = neighbours([smtp(), smtp(), smtp()]).await;
    let hangs = Hangs(three_exchangers().build().unwrap(), "mx2.example");
    let deliverer = by_mx(MemoryResolver::builder(), port).resolver(hangs).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(way(&report), ["2"]);
    assert!(report.is_delivered());
}

#[tokio::test]
async fn the_time_for_an_attempt_ends_lookups_too() {
    let (_servers, port) = neighbours([smtp(), smtp(), smtp()]).await;
    let hangs = Hangs(three_exchangers().build().unwrap(), "mx1.example");
    let mut limits = DeliveryLimits::default();
    limits.attempt = Some(SOON);
    let deliverer = by_mx(MemoryResolver::builder(), port).resolver(hangs).limits(limits).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["deferred timed-out - 4.4.7"]);
}

#[tokio::test]
async fn check_287_a_host_that_there_was_no_time_for_gives_hope() {
    let (_servers, port) = neighbours([smtp(), smtp(), smtp()]).await;
    let dns = MemoryResolver::builder()
        .mx("x.example", 10, "mx0.example")
        .mx("x.example", 20, "mx1.example")
        .name("mx0.example")
        .ipv4("mx1.example", [127, 0, 0, 2]);
    let hangs = Hangs(dns.build().unwrap(), "mx1.example");
    let mut limits = DeliveryLimits::default();
    limits.attempt = Some(SOON);
    let deliverer = by_mx(MemoryResolver::builder(), port).resolver(hangs).limits(limits).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["deferred timed-out - 4.4.7"]);
}

#[tokio::test]
async fn law_3_the_time_for_an_attempt_does_not_hide_that_the_message_may_have_arrived() {
    let silent = "S: 220 x\nC: EHLO client.example\nS: 250 x\nC: MAIL FROM:<s@example.net>\nS: 250 x\n\
                  C: RCPT TO:<a@x.example>\nS: 250 x\nC: DATA\nS: 354 x\nC: <content>\nS: <silence>";
    let (first, second) = (ScriptedServer::script(silent).listen_tcp().await.unwrap(), smtp());
    let second = second.listen_tcp().await.unwrap();
    let mut limits = DeliveryLimits::default();
    limits.attempt = Some(5 * SOON);
    let deliverer = builder(&route(&[&first, &second])).limits(limits).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["deferred timed-out final 4.4.2?"]);
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn a_domain_with_an_underscore_has_exchangers_and_may_be_its_own() {
    let (servers, port) = neighbours([smtp(), smtp()]).await;
    let dns =
        MemoryResolver::builder().mx("a_b.example", 10, "mx_1.example").ipv4("mx_1.example", [127, 0, 0, 2]);
    let dns = dns.ipv4("_c.example", [127, 0, 0, 3]);
    let deliverer = by_mx(dns, port).build().unwrap();
    let envelope = Envelope::new("").unwrap().to("u@a_b.example").unwrap().to("u@_c.example").unwrap();
    let report = in_time(deliverer.deliver(&envelope, &message())).await;
    assert!(report.is_delivered(), "{report}");
    assert_eq!(servers.iter().map(|server| server.messages().len()).collect::<Vec<_>>(), [1, 1]);
}
