//! Chains of aliases.

use hickory_resolver::proto::op::{Message, ResponseCode};

use super::super::super::record::Exchange;
use super::super::super::resolve::Resolver;
use super::super::test_server::{Asked, TestServer, denial};
use super::setup::{addresses, in_parts, is_no_such_name, is_temporary, of, query, with};

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

async fn alias_to(end: impl Fn(&Asked) -> Message + Send + Sync + 'static) -> TestServer {
    TestServer::start(move |asked| {
        let mut reply = end(asked);
        reply.add_answers(asked.records(&["a.test. CNAME b.test."]).answers);
        Some(reply)
    })
    .await
}

#[tokio::test]
async fn check_073_an_alias_to_a_name_without_the_records() {
    let server = alias_to(|asked| denial(asked.reply())).await;
    let answer = of(&[&server]).mx(&query("a.test")).await.unwrap();
    assert!(answer.records.is_empty());
    assert_eq!(answer.canonical_name.as_str(), "b.test");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn check_073_an_alias_to_no_name() {
    let server = alias_to(|asked| denial(asked.code(ResponseCode::NXDomain))).await;
    assert!(is_no_such_name(&of(&[&server]).mx(&query("a.test")).await));
    assert_eq!(server.asked().len(), 1);
}

/// `a0` to `a12`, each an alias of the next; the last one has an address.
fn step(owner: usize) -> String {
    match owner {
        12 => "a12.test. A 192.0.2.1".into(),
        _ => format!("a{owner}.test. CNAME a{}.test.", owner + 1),
    }
}

#[tokio::test]
async fn check_073_twelve_aliases_in_one_response() {
    let server = TestServer::start(|asked| {
        let lines: Vec<String> = (0..=12).rev().map(step).collect();
        Some(asked.records(&lines.iter().map(String::as_str).collect::<Vec<_>>()))
    })
    .await;
    let answer = of(&[&server]).ipv4(&query("a0.test")).await.unwrap();
    assert_eq!((addresses(&answer), answer.canonical_name.as_str()), (vec!["192.0.2.1".into()], "a12.test"));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn check_073_twelve_aliases_in_thirteen_responses() {
    let server = TestServer::start(|asked| {
        let owner = asked.name[1..].trim_end_matches(".test.").parse().unwrap();
        Some(asked.records(&[&step(owner)]))
    })
    .await;
    let answer = of(&[&server]).ipv4(&query("a0.test")).await.unwrap();
    assert_eq!(answer.canonical_name.as_str(), "a12.test");
    assert_eq!(server.asked().len(), 13);
}

#[tokio::test]
async fn attack_a08_a_loop_of_aliases_is_temporary() {
    let server =
        TestServer::start(|asked| Some(asked.records(&["a.test. CNAME b.test.", "b.test. CNAME a.test."])))
            .await;
    assert!(is_temporary(&of(&[&server]).mx(&query("a.test")).await));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn check_073_associations_through_an_alias() {
    let server = TestServer::start(|asked| {
        Some(asked.records(&["_25._tcp.mx.test. CNAME Dane.test.", "dane.test. TLSA 3 1 1"]))
    })
    .await;
    let answer = of(&[&server]).tlsa(&query("_25._tcp.mx.test")).await.unwrap();
    assert_eq!(answer.canonical_name.as_str(), "dane.test");
    assert_eq!((answer.records[0].usage, answer.records[0].data.len()), (3, 32));
}

#[tokio::test]
async fn attack_a07_the_questions_of_one_lookup_are_bounded() {
    let server = TestServer::start(|asked| {
        let next = format!("{} CNAME a{}", asked.name, asked.name);
        Some(asked.records(&[&next]))
    })
    .await;
    let resolver = with(&[&server], |settings| settings.max_questions = 5);
    let error = resolver.ipv4(&query("a.test")).await.unwrap_err();
    assert!(error.to_string().contains("too many questions"), "{error}");
    assert_eq!(server.asked().len(), 5);
}
