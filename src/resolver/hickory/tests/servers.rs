//! Several servers, and what is wrong with them.

use std::error::Error;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::ResponseCode;
use tokio::net::TcpListener;

use super::super::super::resolve::Resolver;
use super::super::settings::ResolverSettings;
use super::super::stub::HickoryResolver;
use super::super::test_server::TestServer;
use super::setup::{addresses, always, healthy, is_no_such_name, is_temporary, of, query, silent, with};

#[tokio::test]
async fn check_071_a_denial_of_the_name_is_no_such_name_from_the_first_server() {
    let (first, second) = (always(ResponseCode::NXDomain).await, healthy().await);
    let answer = of(&[&first, &second]).ipv4(&query("a.test")).await;
    assert!(is_no_such_name(&answer));
    assert!(second.asked().is_empty());
}

#[tokio::test]
async fn check_072_failures_of_all_servers_are_temporary() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::FormErr, ResponseCode::NotImp] {
        let (first, second) = (always(code).await, always(code).await);
        assert!(is_temporary(&of(&[&first, &second]).mx(&query("a.test")).await), "{code}");
        // two rounds, and each query again without OPT if OPT may be the cause
        let queries = if may_be_for_edns(code) { 4 } else { 2 };
        assert_eq!((first.asked().len(), second.asked().len()), (queries, queries), "{code}");
    }
}

#[tokio::test]
async fn check_072_the_next_server_is_asked_after_a_failure() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::FormErr, ResponseCode::NotImp] {
        let (first, second) = (always(code).await, healthy().await);
        let answer = of(&[&first, &second]).ipv4(&query("a.test")).await.unwrap();
        assert_eq!(addresses(&answer), ["192.0.2.1"], "{code}");
        assert_eq!(first.asked().len(), if may_be_for_edns(code) { 2 } else { 1 }, "{code}");
    }
}

fn may_be_for_edns(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::FormErr | ResponseCode::NotImp)
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
async fn a_silent_server_is_asked_last_for_a_while() {
    let (first, second) = (silent().await, healthy().await);
    let resolver = with(&[&first, &second], |settings| settings.timeout = Duration::from_millis(50));
    for name in ["a.test", "b.test", "c.test"] {
        assert!(resolver.ipv4(&query(name)).await.is_ok());
    }
    assert_eq!((first.asked().len(), second.asked().len()), (1, 3));
}

#[tokio::test]
async fn a_silent_server_is_asked_in_its_place_when_that_is_forgotten() {
    let (first, second) = (silent().await, healthy().await);
    let resolver = with(&[&first, &second], |settings| {
        settings.timeout = Duration::from_millis(50);
        settings.silence_memory = Duration::ZERO;
    });
    for name in ["a.test", "b.test"] {
        assert!(resolver.ipv4(&query(name)).await.is_ok());
    }
    assert_eq!(first.asked().len(), 2);
}

#[tokio::test]
async fn a_refusing_server_keeps_its_place() {
    let (first, second) = (always(ResponseCode::Refused).await, healthy().await);
    let resolver = of(&[&first, &second]);
    for name in ["a.test", "b.test"] {
        assert!(resolver.ipv4(&query(name)).await.is_ok());
    }
    assert_eq!((first.asked().len(), second.asked().len()), (2, 2));
}

#[tokio::test]
async fn the_second_server_is_asked_if_nobody_is_at_the_first() {
    // the port stays bound for TCP, so that no other test gets it
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = taken.local_addr().unwrap();
    let server = healthy().await;
    let resolver = HickoryResolver::from_servers([dead, server.address]);
    let settings = ResolverSettings { timeout: Duration::from_millis(50), ..Default::default() };
    assert!(resolver.with_settings(settings).ipv4(&query("a.test")).await.is_ok());
}

#[tokio::test]
async fn every_server_gets_its_share_of_the_deadline() {
    let silent = [silent().await, silent().await];
    let server = healthy().await;
    let resolver =
        with(&[&silent[0], &silent[1], &server], |settings| settings.deadline = Duration::from_millis(600));
    assert!(resolver.ipv4(&query("a.test")).await.is_ok());
}

#[tokio::test]
async fn check_081_the_peer_may_close_after_every_answer_over_tcp() {
    let server = TestServer::start(|asked| {
        let mut reply = asked.records(&[&format!("{} A 192.0.2.1", asked.name)]);
        reply.metadata.truncation = asked.transport == "udp";
        Some(reply)
    })
    .await;
    let resolver = of(&[&server]);
    for name in ["a.test", "b.test"] {
        assert!(resolver.ipv4(&query(name)).await.is_ok());
    }
    assert_eq!(server.lines(), ["udp A a.test.", "tcp A a.test.", "udp A b.test.", "tcp A b.test."]);
}

#[tokio::test]
async fn check_081_the_next_server_is_asked_if_the_first_closes_without_an_answer() {
    let first = TestServer::start(|asked| {
        let mut reply = asked.reply();
        reply.metadata.truncation = true;
        (asked.transport == "udp").then_some(reply)
    })
    .await;
    let second = healthy().await;
    assert!(of(&[&first, &second]).ipv4(&query("a.test")).await.is_ok());
    assert_eq!(first.lines(), ["udp A a.test.", "tcp A a.test."]);
}
