//! Single questions and their answers.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, Record, RecordType, rdata};

use super::super::super::record::Exchange;
use super::super::super::resolve::Resolver;
use super::super::test_server::{TestServer, denial, name};
use super::setup::{addresses, always, healthy, is_no_such_name, is_temporary, of, query, with};

#[tokio::test]
async fn addresses_of_both_families() {
    let server = TestServer::start(|asked| {
        Some(match asked.kind {
            RecordType::A => asked.records(&["a.test. A 192.0.2.1", "a.test. A 192.0.2.2"]),
            _ => asked.records(&["a.test. AAAA 2001:db8::1"]),
        })
    })
    .await;
    let resolver = of(&[&server]);
    assert_eq!(addresses(&resolver.ipv4(&query("a.test")).await.unwrap()), ["192.0.2.1", "192.0.2.2"]);
    let ipv6 = resolver.ipv6(&query("a.test")).await.unwrap();
    assert_eq!(*ipv6.records, ["2001:db8::1".parse::<Ipv6Addr>().unwrap()]);
}

#[tokio::test]
async fn an_answer_holds_for_its_time_to_live() {
    let server = healthy().await;
    let before = Instant::now();
    let answer = of(&[&server]).ipv4(&query("a.test")).await.unwrap();
    let kept = answer.valid_until.unwrap() - before;
    assert!(kept >= Duration::from_secs(300) && kept < Duration::from_secs(310), "{kept:?}");
}

#[tokio::test]
async fn check_068_exchanges_come_in_lower_case() {
    let server = TestServer::start(|asked| {
        Some(asked.records(&["A.Test. MX 10 Mx1.A.tEST.", "a.test. MX 0 .", "a.test. MX 5 192.0.2.1."]))
    })
    .await;
    let answer = of(&[&server]).mx(&query("a.test")).await.unwrap();
    let exchanges: Vec<&Exchange> = answer.records.iter().map(|mx| &mx.exchange).collect();
    let expected = [Exchange::parse("mx1.a.test"), Exchange::Null, Exchange::Invalid("192.0.2.1".into())];
    assert_eq!(exchanges, expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn check_067_names_on_the_wire_are_absolute() {
    let server = always(ResponseCode::NXDomain).await;
    let answer = of(&[&server]).mx(&query("host")).await;
    assert!(is_no_such_name(&answer));
    assert_eq!(server.lines(), ["udp MX host."]);
}

#[tokio::test]
async fn check_070_a_denial_of_the_records_is_an_empty_answer() {
    let server = TestServer::start(|asked| Some(denial(asked.reply()))).await;
    let answer = of(&[&server]).mx(&query("a.test")).await.unwrap();
    assert!(answer.records.is_empty());
    assert!(answer.valid_until.unwrap() <= Instant::now() + Duration::from_secs(60));
}

#[tokio::test]
async fn check_072_a_referral_is_no_denial() {
    let server = TestServer::start(|asked| {
        let mut reply = asked.reply();
        let data = RData::NS(rdata::NS(name("ns.test.")));
        reply.add_authority(Record::from_rdata(name("test."), 300, data));
        Some(reply)
    })
    .await;
    assert!(is_temporary(&of(&[&server]).mx(&query("a.test")).await));
}

#[tokio::test]
async fn check_072_an_answer_to_another_question_is_not_taken() {
    let server = TestServer::start(|asked| {
        let mut reply = asked.records(&["b.test. A 192.0.2.9"]);
        reply.queries[0].set_name(name("b.test."));
        Some(reply)
    })
    .await;
    let resolver = with(&[&server], |settings| settings.timeout = Duration::from_millis(50));
    assert!(is_temporary(&resolver.ipv4(&query("a.test")).await));
}

#[tokio::test]
async fn check_081_a_truncated_answer_comes_over_tcp() {
    let server = TestServer::start(|asked| {
        let mut reply = asked.records(&["a.test. A 192.0.2.1"]);
        if asked.transport == "udp" {
            reply.answers.clear();
            reply.metadata.truncation = true;
        }
        Some(reply)
    })
    .await;
    let answer = of(&[&server]).ipv4(&query("a.test")).await.unwrap();
    assert_eq!(addresses(&answer), ["192.0.2.1"]);
    assert_eq!(server.lines(), ["udp A a.test.", "tcp A a.test."]);
}

#[tokio::test]
async fn check_081_a_truncated_answer_without_tcp_is_no_answer() {
    let server = TestServer::start(|asked| {
        let mut reply = asked.records(&["a.test. A 192.0.2.1"]);
        reply.metadata.truncation = true;
        (asked.transport == "udp").then_some(reply)
    })
    .await;
    assert!(is_temporary(&of(&[&server]).ipv4(&query("a.test")).await));
}

#[tokio::test]
async fn attack_a09_a_tcp_answer_to_another_question_is_not_taken() {
    let server = TestServer::start(|asked| {
        let mut reply = asked.records(&["a.test. A 192.0.2.1"]);
        reply.metadata.truncation = true;
        if asked.transport == "tcp" {
            reply.queries[0].set_name(name("b.test."));
        }
        Some(reply)
    })
    .await;
    assert!(is_temporary(&of(&[&server]).ipv4(&query("a.test")).await));
}

#[tokio::test]
async fn attack_a09_an_answer_in_another_case_is_asked_for_over_tcp() {
    // the name is long enough that random case is never all lower case
    let long = "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz.test";
    let server = TestServer::start(|asked| {
        let mut reply = asked.records(&[&format!("{} A 192.0.2.1", asked.name)]);
        let lower = reply.queries[0].name().to_lowercase();
        reply.queries[0].set_name(lower);
        Some(reply)
    })
    .await;
    assert!(of(&[&server]).ipv4(&query(long)).await.is_ok());
    assert_eq!(server.lines(), [format!("udp A {long}."), format!("tcp A {long}.")]);
    let resolver = with(&[&server], |settings| settings.case_randomization = false);
    assert!(resolver.ipv4(&query(long)).await.is_ok());
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn special_names_are_never_asked() {
    let server = healthy().await;
    let resolver = of(&[&server]);
    assert_eq!(addresses(&resolver.ipv4(&query("localhost")).await.unwrap()), ["127.0.0.1"]);
    assert!(resolver.mx(&query("localhost")).await.unwrap().records.is_empty());
    assert!(is_no_such_name(&resolver.ipv4(&query("a.onion")).await));
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn check_081_a_hundred_and_twenty_exchangers_come_over_tcp() {
    let server = TestServer::start(|asked| {
        if asked.transport == "udp" {
            let mut reply = asked.reply();
            reply.metadata.truncation = true;
            return Some(reply);
        }
        let lines: Vec<String> = (0..120).map(|i| format!("a.test. MX {i} mx{i}.host.test.")).collect();
        Some(asked.records(&lines.iter().map(String::as_str).collect::<Vec<_>>()))
    })
    .await;
    let answer = of(&[&server]).mx(&query("a.test")).await.unwrap();
    assert_eq!(answer.records.len(), 120);
    assert_eq!(answer.records[119].exchange, Exchange::parse("mx119.host.test"));
}
