//! Whom to believe, and what is bogus.

use hickory_resolver::proto::op::{Edns, Message, ResponseCode};
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::proto::rr::rdata::opt::EdnsOption;

use super::super::super::answer::Security;
use super::super::super::error::ResolveError;
use super::super::super::resolve::Resolver;
use super::super::settings::DnssecMode;
use super::super::test_server::{Asked, TestServer, authentic};
use super::setup::{believing, in_parts, is_bogus, is_temporary, of, query, silent, with};

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

/// SERVFAIL, with the code of an extended error.
fn failed(asked: &Asked, code: u8) -> Message {
    let mut edns = Edns::new();
    edns.options_mut().insert(EdnsOption::Unknown(15, vec![0, code]));
    let mut reply = asked.code(ResponseCode::ServFail);
    reply.set_edns(edns);
    reply
}

/// A validating server before a forged address: nothing, unless it is told not to look.
fn forged(asked: &Asked) -> Message {
    match asked.wants_no_check {
        true => asked.records(&["a.test. A 192.0.2.66"]),
        false => asked.code(ResponseCode::ServFail),
    }
}

#[tokio::test]
async fn check_204_bogus_by_the_extended_error() {
    let server = TestServer::start(|asked| Some(failed(asked, 7))).await;
    let error = believing(&server, DnssecMode::Ad).ipv4(&query("a.test")).await.unwrap_err();
    assert_eq!(error.to_string(), "the answer fails DNSSEC validation: signature expired");
    assert!(server.asked().iter().all(|asked| !asked.wants_no_check));
}

#[tokio::test]
async fn check_204_bogus_by_an_answer_without_validation() {
    let server = TestServer::start(|asked| Some(forged(asked))).await;
    assert!(is_bogus(&believing(&server, DnssecMode::Ad).ipv4(&query("a.test")).await));
    let asked: Vec<_> = server.asked().iter().map(|asked| (asked.wants_no_check, asked.wants_ad)).collect();
    assert_eq!(asked, [(false, true), (false, true), (true, false)]);
}

#[tokio::test]
async fn attack_a12_a_denial_without_validation_is_bogus_and_no_denial() {
    let server = TestServer::start(|asked| {
        let code = if asked.wants_no_check { ResponseCode::NXDomain } else { ResponseCode::ServFail };
        Some(asked.code(code))
    })
    .await;
    assert!(is_bogus(&believing(&server, DnssecMode::Ad).tlsa(&query("a.test")).await));
}

#[tokio::test]
async fn check_072_a_broken_zone_is_temporary() {
    let server = TestServer::start(|asked| Some(failed(asked, 22))).await;
    assert!(is_temporary(&believing(&server, DnssecMode::Ad).ipv4(&query("a.test")).await));
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn check_072_a_refusal_is_not_asked_about() {
    let server = TestServer::start(|asked| Some(asked.code(ResponseCode::Refused))).await;
    assert!(is_temporary(&believing(&server, DnssecMode::Ad).ipv4(&query("a.test")).await));
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn without_dnssec_nobody_asks_whether_it_is_bogus() {
    let server =
        TestServer::start(|asked| Some(if asked.wants_no_check { forged(asked) } else { failed(asked, 6) }))
            .await;
    assert!(is_temporary(&of(&[&server]).ipv4(&query("a.test")).await));
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_silent_server_does_not_hide_what_another_calls_bogus() {
    let (first, second) = (silent().await, TestServer::start(|asked| Some(forged(asked))).await);
    for servers in [[&first, &second], [&second, &first]] {
        let resolver = with(&servers, |settings| {
            settings.dnssec = DnssecMode::Ad;
            settings.timeout = std::time::Duration::from_millis(50);
        });
        assert!(is_bogus(&resolver.ipv4(&query("a.test")).await));
    }
}

#[tokio::test]
async fn check_204_a_bogus_first_step_is_bogus() {
    let server = TestServer::start(|asked| {
        Some(match asked.kind {
            RecordType::CNAME => failed(asked, 6),
            _ => asked.records(&["a.test. CNAME b.test.", "b.test. A 192.0.2.1"]),
        })
    })
    .await;
    let result = believing(&server, DnssecMode::Ad).ipv4(&query("a.test")).await;
    assert!(matches!(result, Err(ResolveError::Bogus { reason, .. }) if reason == "DNSSEC bogus"));
}

#[tokio::test]
async fn check_203_a_denial_is_secure_only_by_the_servers_word() {
    for secure in [true, false] {
        let server = TestServer::start(move |asked| {
            let reply = super::super::test_server::denial(asked.reply());
            Some(if secure { authentic(reply) } else { reply })
        })
        .await;
        let answer = believing(&server, DnssecMode::Ad).tlsa(&query("a.test")).await.unwrap();
        assert_eq!(answer.security, if secure { Security::CHAIN } else { Security::NONE });
    }
}
