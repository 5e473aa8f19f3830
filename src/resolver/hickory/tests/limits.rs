//! The limit of queries in flight.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, join_all, select};
use tokio::time::sleep;

use super::super::super::question::{Query, Requester};
use super::super::super::resolve::Resolver;
use super::super::stub::HickoryResolver;
use super::super::test_server::TestServer;
use super::setup::{is_temporary, query, with};

/// Starts a server that answers queries for all names but `silent.test` and those below it.
async fn mostly_healthy() -> TestServer {
    TestServer::start(|asked| {
        let is_silent = asked.name.ends_with("silent.test.");
        (!is_silent).then(|| asked.records(&[&format!("{} A 192.0.2.1", asked.name)]))
    })
    .await
}

/// Returns a resolver with one permit, a deadline of 200 ms, and a time slice that is longer.
fn with_one_permit(server: &TestServer) -> HickoryResolver {
    with(&[server], |settings| {
        settings.max_in_flight = 1;
        settings.time_slice = Duration::from_secs(3600);
        settings.deadline = Duration::from_millis(200);
    })
}

/// Returns a resolver with four permits, and a time slice that no test reaches.
fn with_four_permits(server: &TestServer) -> HickoryResolver {
    with(&[server], |settings| {
        settings.max_in_flight = 4;
        settings.time_slice = Duration::from_secs(3600);
    })
}

/// Returns more queries than there are permits, none of which is answered.
fn unanswered_queries(requester: Requester) -> Vec<Query> {
    (0..50).map(|i| query(&format!("{i}.silent.test")).for_requester(requester)).collect()
}

#[tokio::test]
async fn a_query_that_got_no_permit_in_time_is_a_temporary_failure_that_is_not_kept() {
    let server = mostly_healthy().await;
    let resolver = with_one_permit(&server);
    let (silent, other) = (query("silent.test"), query("a.test"));
    let mut holder = Box::pin(resolver.ipv4(&silent));
    assert!((&mut holder).now_or_never().is_none());
    let error = resolver.ipv4(&other).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no usable answer from the DNS: the query was not sent within 200ms: the limit of 1 queries in flight was reached"
    );
    drop(holder);
    assert!(resolver.ipv4(&other).await.is_ok());
}

#[tokio::test]
async fn an_equal_lookup_takes_over_from_one_that_got_no_permit() {
    let server = mostly_healthy().await;
    let resolver = with_one_permit(&server);
    let (silent, other) = (query("silent.test"), query("a.test"));
    let mut holder = Box::pin(resolver.ipv4(&silent));
    assert!((&mut holder).now_or_never().is_none());
    let first = async {
        let first = resolver.ipv4(&other).await;
        drop(holder);
        first
    };
    let second = async {
        sleep(Duration::from_millis(100)).await;
        resolver.ipv4(&other).await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(is_temporary(&first) && second.is_ok(), "{first:?} {second:?}");
}

#[tokio::test]
async fn the_lookups_of_one_requester_do_not_delay_those_of_another() {
    let server = mostly_healthy().await;
    let resolver = with_four_permits(&server);
    let greedy = Requester::new();
    let many = unanswered_queries(greedy);
    let lookups = join_all(many.iter().map(|query| resolver.ipv4(query)));
    let other = query("a.test");
    let first = select(lookups, Box::pin(resolver.ipv4(&other))).await;
    assert!(matches!(first, Either::Right((Ok(_), _))));
}

#[tokio::test]
async fn a_lookup_that_another_requester_needs_too_is_charged_to_that_one() {
    let server = mostly_healthy().await;
    let resolver = with_four_permits(&server);
    let greedy = Requester::new();
    let many = unanswered_queries(greedy);
    let last = query("a.test").for_requester(greedy);
    let lookups = join_all(many.iter().chain([&last]).map(|query| resolver.ipv4(query)));
    let same = query("a.test");
    let first = select(lookups, Box::pin(resolver.ipv4(&same))).await;
    assert!(matches!(first, Either::Right((Ok(_), _))));
}
