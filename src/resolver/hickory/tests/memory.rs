//! What is kept, and equal questions at a time.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use hickory_resolver::proto::op::{Message, ResponseCode};

use super::super::super::resolve::Resolver;
use super::super::settings::ResolverSettings;
use super::super::test_server::{Asked, TestServer, denial};
use super::setup::{always, healthy, is_no_such_name, is_temporary, of, query, silent, with};

async fn answering(reply: impl Fn(&Asked) -> Message + Send + Sync + 'static) -> TestServer {
    TestServer::start(move |asked| Some(reply(asked))).await
}

/// How many questions two equal lookups, one after the other, put to the server.
async fn questions_of_two(server: &TestServer, edit: impl FnOnce(&mut ResolverSettings)) -> usize {
    let resolver = with(&[server], edit);
    let first = resolver.ipv4(&query("a.test")).await;
    let second = resolver.ipv4(&query("A.test")).await;
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    server.asked().len()
}

#[tokio::test]
async fn an_answer_is_kept() {
    assert_eq!(questions_of_two(&healthy().await, |_| ()).await, 1);
}

#[tokio::test]
async fn a_denial_with_soa_is_kept() {
    let server = answering(|asked| denial(asked.reply())).await;
    assert_eq!(questions_of_two(&server, |_| ()).await, 1);
}

#[tokio::test]
async fn no_such_name_with_soa_is_kept() {
    let server = answering(|asked| denial(asked.code(ResponseCode::NXDomain))).await;
    assert_eq!(questions_of_two(&server, |_| ()).await, 1);
}

#[tokio::test]
async fn a_denial_without_soa_is_not_kept() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        assert_eq!(questions_of_two(&always(code).await, |_| ()).await, 2, "{code}");
    }
}

#[tokio::test]
async fn a_time_to_live_of_zero_or_nonsense_is_not_kept() {
    for ttl in [0, 1 << 31, u32::MAX] {
        let server = answering(move |asked| lasting(asked.records(&["a.test. A 192.0.2.1"]), ttl)).await;
        let resolver = of(&[&server]);
        for _ in 0..2 {
            assert_eq!(resolver.ipv4(&query("a.test")).await.unwrap().records.len(), 1);
        }
        assert_eq!(server.asked().len(), 2, "{ttl}");
    }
}

fn lasting(mut reply: Message, ttl: u32) -> Message {
    reply.answers.iter_mut().for_each(|record| record.ttl = ttl);
    reply
}

#[tokio::test]
async fn the_shortest_time_to_live_counts() {
    let server = answering(|asked| {
        let mut reply = lasting(asked.records(&["a.test. CNAME b.test.", "b.test. A 192.0.2.1"]), 3600);
        reply.answers[0].ttl = 0;
        reply
    })
    .await;
    let resolver = of(&[&server]);
    for _ in 0..2 {
        resolver.ipv4(&query("a.test")).await.unwrap();
    }
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn nothing_is_kept_longer_than_the_settings_say() {
    let server = healthy().await;
    let resolver = with(&[&server], |settings| settings.max_ttl = Duration::from_millis(20));
    let end = Instant::now() + Duration::from_secs(20);
    while server.asked().len() < 3 && Instant::now() < end {
        let answer = resolver.ipv4(&query("a.test")).await.unwrap();
        assert!(answer.valid_until.unwrap() <= Instant::now() + Duration::from_millis(20));
    }
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn by_default_nothing_is_kept_longer_than_a_day() {
    let server = answering(|asked| lasting(asked.records(&["a.test. A 192.0.2.1"]), i32::MAX as u32)).await;
    let answer = of(&[&server]).ipv4(&query("a.test")).await.unwrap();
    assert!(answer.valid_until.unwrap() <= Instant::now() + Duration::from_secs(86_400));
}

#[tokio::test]
async fn attack_a07_a_failure_is_kept_shortly() {
    let server = always(ResponseCode::ServFail).await;
    assert_eq!(questions_of_two(&server, |_| ()).await, 2, "two rounds of one lookup");
}

#[tokio::test]
async fn a_failure_is_forgotten_at_once_if_the_settings_say_so() {
    let server = always(ResponseCode::ServFail).await;
    assert_eq!(questions_of_two(&server, |settings| settings.failure_ttl = Duration::ZERO).await, 4);
}

#[tokio::test]
async fn attack_a07_a_missed_deadline_is_a_failure_that_is_kept() {
    let server = silent().await;
    let resolver = with(&[&server], |settings| {
        settings.deadline = Duration::from_millis(100);
        settings.failure_ttl = Duration::from_secs(60);
    });
    assert!(is_temporary(&resolver.ipv4(&query("a.test")).await));
    // known already: no need to wait
    let again = resolver.ipv4(&query("a.test")).now_or_never();
    assert!(again.is_some_and(|answer| is_temporary(&answer)));
}

#[tokio::test]
async fn kinds_are_kept_apart() {
    let server = answering(|asked| denial(asked.records(&["a.test. A 192.0.2.1"]))).await;
    let resolver = of(&[&server]);
    assert_eq!(resolver.ipv4(&query("a.test")).await.unwrap().records.len(), 1);
    assert!(resolver.mx(&query("a.test")).await.unwrap().records.is_empty());
}

#[tokio::test]
async fn without_room_nothing_is_kept() {
    let server = answering(|asked| denial(asked.reply())).await;
    let resolver = with(&[&server], |settings| settings.cache_octets = 0);
    for _ in 0..2 {
        assert!(resolver.ipv4(&query("a.test")).await.unwrap().records.is_empty());
    }
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn equal_questions_at_a_time_are_one() {
    let server = healthy().await;
    let resolver = of(&[&server]);
    let query = query("a.test");
    let answers = join_all((0..100).map(|_| resolver.ipv4(&query))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn equal_questions_at_a_time_are_one_even_if_nothing_may_be_kept() {
    let server = always(ResponseCode::NXDomain).await;
    let resolver = of(&[&server]);
    let query = query("a.test");
    let answers = join_all((0..100).map(|_| resolver.ipv4(&query))).await;
    assert!(answers.iter().all(is_no_such_name));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn different_questions_at_a_time_are_all_asked() {
    let server = healthy().await;
    let resolver = of(&[&server]);
    let queries: Vec<_> = (0..20).map(|i| query(&format!("a{i}.test"))).collect();
    let answers = join_all(queries.iter().map(|query| resolver.ipv4(query))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.asked().len(), 20);
}

#[tokio::test]
async fn who_waits_asks_if_the_first_one_gives_up() {
    let server = healthy().await;
    let resolver = of(&[&server]);
    let query = query("a.test");
    let mut first = Box::pin(resolver.ipv4(&query));
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(resolver.ipv4(&query));
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    assert!(second.await.is_ok());
}

#[tokio::test]
async fn attack_a07_who_waits_for_a_stalled_question_has_a_deadline_too() {
    let server = healthy().await;
    let resolver = with(&[&server], |settings| settings.deadline = Duration::from_millis(50));
    let query = query("a.test");
    let mut stalled = Box::pin(resolver.ipv4(&query));
    assert!((&mut stalled).now_or_never().is_none());
    assert!(is_temporary(&resolver.ipv4(&query).await));
}
