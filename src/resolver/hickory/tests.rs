//! The resolver against scripted name servers.

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType, rdata};

use crate::mail::DnsName;

use super::super::answer::{Answer, Security};
use super::super::error::ResolveError;
use super::super::question::Query;
use super::super::record::Exchange;
use super::super::resolve::Resolver;
use super::settings::{DnssecMode, ResolverSettings};
use super::stub::HickoryResolver;
use super::test_server::{Asked, TestServer, authentic, denial, name};

fn query(name: &str) -> Query {
    Query::new(DnsName::parse(name).unwrap())
}

fn of(servers: &[&TestServer]) -> HickoryResolver {
    HickoryResolver::from_servers(servers.iter().map(|server| server.address))
}

fn with(servers: &[&TestServer], edit: impl FnOnce(&mut ResolverSettings)) -> HickoryResolver {
    let mut settings = ResolverSettings::default();
    edit(&mut settings);
    of(servers).with_settings(settings)
}

fn is_temporary<T>(result: &Result<T, ResolveError>) -> bool {
    matches!(result, Err(ResolveError::Temporary { .. }))
}

fn addresses(answer: &Answer<Ipv4Addr>) -> Vec<String> {
    answer.records.iter().map(Ipv4Addr::to_string).collect()
}

async fn always(code: ResponseCode) -> TestServer {
    TestServer::start(move |asked| Some(asked.code(code))).await
}

async fn silent() -> TestServer {
    TestServer::start(|_| None).await
}

/// Everyone has one address.
async fn healthy() -> TestServer {
    TestServer::start(|asked| Some(asked.records(&[&format!("{} A 192.0.2.1", asked.name)]))).await
}

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
    assert!(matches!(answer, Err(ResolveError::NoSuchName)));
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
async fn check_071_a_denial_of_the_name_is_no_such_name_from_the_first_server() {
    let (first, second) = (always(ResponseCode::NXDomain).await, healthy().await);
    let answer = of(&[&first, &second]).ipv4(&query("a.test")).await;
    assert!(matches!(answer, Err(ResolveError::NoSuchName)));
    assert!(second.asked().is_empty());
}

#[tokio::test]
async fn check_072_failures_of_all_servers_are_temporary() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::FormErr, ResponseCode::NotImp] {
        let (first, second) = (always(code).await, always(code).await);
        assert!(is_temporary(&of(&[&first, &second]).mx(&query("a.test")).await), "{code}");
        assert_eq!((first.asked().len(), second.asked().len()), (2, 2), "two rounds");
    }
}

#[tokio::test]
async fn check_072_the_next_server_is_asked_after_a_failure() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::FormErr, ResponseCode::NotImp] {
        let (first, second) = (always(code).await, healthy().await);
        let answer = of(&[&first, &second]).ipv4(&query("a.test")).await.unwrap();
        assert_eq!(addresses(&answer), ["192.0.2.1"], "{code}");
        assert_eq!(first.asked().len(), 1);
    }
}

#[tokio::test]
async fn check_072_a_failure_names_the_server_and_what_it_did() {
    let server = always(ResponseCode::Refused).await;
    let error = of(&[&server]).mx(&query("a.test")).await.unwrap_err();
    let server_error = error.source().unwrap();
    assert_eq!(server_error.to_string(), format!("name server {}", server.address));
    assert_eq!(server_error.source().unwrap().to_string(), "answered Query Refused");
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
async fn check_072_silent_servers_are_temporary_in_time() {
    let server = silent().await;
    let resolver = with(&[&server], |settings| settings.timeout = Duration::from_millis(50));
    let start = Instant::now();
    assert!(is_temporary(&resolver.mx(&query("a.test")).await));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn attack_a07_the_deadline_ends_a_lookup() {
    let server = silent().await;
    let resolver = with(&[&server], |settings| settings.deadline = Duration::from_millis(100));
    let start = Instant::now();
    let error = resolver.mx(&query("a.test")).await.unwrap_err();
    assert_eq!(error.to_string(), "no usable answer from the DNS: no answer within 100ms");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_second_server_is_asked_if_the_first_is_silent() {
    let (first, second) = (silent().await, healthy().await);
    let resolver = with(&[&first, &second], |settings| settings.timeout = Duration::from_millis(300));
    assert!(resolver.ipv4(&query("a.test")).await.is_ok());
}

#[tokio::test]
async fn without_servers_lookups_fail() {
    assert!(is_temporary(&of(&[]).mx(&query("a.test")).await));
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
async fn check_073_an_alias_chain_in_one_response() {
    let server = TestServer::start(|asked| {
        Some(asked.records(&["a.test. CNAME B.test.", "b.test. CNAME c.test.", "c.test. A 192.0.2.1"]))
    })
    .await;
    let answer = of(&[&server]).ipv4(&query("a.test")).await.unwrap();
    assert_eq!(addresses(&answer), ["192.0.2.1"]);
    assert_eq!(answer.canonical_name.as_str(), "c.test");
    assert_eq!(server.asked().len(), 1);
}

fn in_parts(asked: &Asked) -> Message {
    match asked.name.as_str() {
        "a.test." => asked.records(&["a.test. CNAME b.test."]),
        _ => asked.records(&["b.test. SRV 587 mx.test.", "b.test. A 192.0.2.1"]),
    }
}

#[tokio::test]
async fn check_073_an_alias_chain_in_two_responses() {
    let server = TestServer::start(|asked| Some(in_parts(asked))).await;
    let answer = of(&[&server]).srv(&query("a.test")).await.unwrap();
    assert_eq!(answer.records[0].target, Exchange::parse("mx.test"));
    assert_eq!(server.lines(), ["udp SRV a.test.", "udp SRV b.test."]);
}

#[tokio::test]
async fn attack_a08_an_endless_chain_of_aliases_is_bounded() {
    let server = TestServer::start(|asked| {
        let next = format!("{} CNAME a{}", asked.name, asked.name);
        Some(asked.records(&[&next]))
    })
    .await;
    assert!(is_temporary(&of(&[&server]).ipv4(&query("a.test")).await));
    assert_eq!(server.asked().len(), 17);
}

#[tokio::test]
async fn special_names_are_never_asked() {
    let server = healthy().await;
    let resolver = of(&[&server]);
    assert_eq!(addresses(&resolver.ipv4(&query("localhost")).await.unwrap()), ["127.0.0.1"]);
    assert!(resolver.mx(&query("localhost")).await.unwrap().records.is_empty());
    assert!(matches!(resolver.ipv4(&query("a.onion")).await, Err(ResolveError::NoSuchName)));
    assert!(server.asked().is_empty());
}

fn believing(server: &TestServer, dnssec: DnssecMode) -> HickoryResolver {
    with(&[server], |settings| settings.dnssec = dnssec)
}

#[tokio::test]
async fn check_203_ad_is_asked_for_and_believed_only_in_that_mode() {
    let server = TestServer::start(|asked| Some(authentic(asked.records(&["a.test. A 192.0.2.1"])))).await;
    for (mode, expected) in [(DnssecMode::Off, Security::NONE), (DnssecMode::Ad, Security::CHAIN)] {
        let answer = believing(&server, mode).ipv4(&query("a.test")).await.unwrap();
        assert_eq!(answer.security, expected);
    }
    let asked: Vec<bool> = server.asked().iter().map(|asked| asked.wants_ad).collect();
    assert_eq!(asked, [false, true]);
}

#[tokio::test]
async fn check_216_the_first_step_of_an_insecure_chain_is_asked_for_by_itself() {
    let server = TestServer::start(|asked| {
        Some(match asked.kind {
            // as validating servers answer when they know that the target does not exist
            RecordType::CNAME => authentic(asked.records(&["a.test. CNAME b.test."])),
            _ => asked.records(&["a.test. CNAME b.test.", "b.test. A 192.0.2.1"]),
        })
    })
    .await;
    let answer = believing(&server, DnssecMode::Ad).ipv4(&query("a.test")).await.unwrap();
    assert_eq!(answer.security, Security::FIRST_STEP);
    assert_eq!(server.lines(), ["udp A a.test.", "udp CNAME a.test."]);
}

#[tokio::test]
async fn check_217_an_insecure_first_step_makes_all_insecure() {
    let server = TestServer::start(|asked| {
        Some(match (asked.kind, asked.name.as_str()) {
            (RecordType::CNAME, _) => in_parts(asked),
            (_, "b.test.") => authentic(in_parts(asked)),
            _ => in_parts(asked),
        })
    })
    .await;
    let answer = believing(&server, DnssecMode::Ad).ipv4(&query("a.test")).await.unwrap();
    assert_eq!(answer.security, Security::NONE);
}

#[tokio::test]
async fn attack_a12_a_failure_about_the_first_step_is_not_taken_for_insecure() {
    let server = TestServer::start(|asked| {
        Some(match asked.kind {
            RecordType::CNAME => asked.code(ResponseCode::ServFail),
            _ => asked.records(&["a.test. CNAME b.test.", "b.test. A 192.0.2.1"]),
        })
    })
    .await;
    assert!(is_temporary(&believing(&server, DnssecMode::Ad).ipv4(&query("a.test")).await));
}
