//! Servers that do not know EDNS (RFC 6891 sections 6.2.2 and 7).

use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Message, ResponseCode};

use super::super::super::answer::Security;
use super::super::super::resolve::Resolver;
use super::super::settings::DnssecMode;
use super::super::stub::HickoryResolver;
use super::super::test_server::{Asked, TestServer, authentic, with_opt};
use super::setup::{addresses, believing, healthy, is_temporary, of, query, with};

fn answer(asked: &Asked) -> Message {
    asked.records(&[&format!("{} A 192.0.2.1", asked.name)])
}

/// Starts a server that answers queries without OPT, and replies to others with these bytes.
async fn without_edns(reply: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> TestServer {
    TestServer::start_raw(move |asked| {
        Some(if asked.has_opt { reply(asked) } else { answer(asked).to_vec().unwrap() })
    })
    .await
}

/// Returns `true` for each query that the server got with OPT, and `false` for the others.
fn opts(server: &TestServer) -> Vec<bool> {
    server.asked().iter().map(|asked| asked.has_opt).collect()
}

async fn finds_addresses(resolver: &HickoryResolver, name: &str) {
    assert_eq!(addresses(&resolver.ipv4(&query(name)).await.unwrap()), ["192.0.2.1"], "{name}");
}

#[tokio::test]
async fn an_error_for_opt_leads_to_a_query_without_it() {
    for code in [ResponseCode::FormErr, ResponseCode::NotImp] {
        let server = without_edns(move |asked| asked.code(code).to_vec().unwrap()).await;
        finds_addresses(&of(&[&server]), "a.test").await;
        assert_eq!(opts(&server), [true, false], "{code}");
    }
}

/// Name of a defect, and a reply to a query with OPT that has it.
type Unusable = (&'static str, fn(&Asked) -> Vec<u8>);

#[tokio::test]
async fn an_unusable_reply_to_opt_leads_to_a_query_without_it_at_once() {
    let replies: [Unusable; 6] = [
        ("FORMERR in a header", |asked| asked.header(ResponseCode::FormErr, 0)),
        ("FORMERR in a header that counts a question", |asked| asked.header(ResponseCode::FormErr, 1)),
        ("NOTIMP in a header", |asked| asked.header(ResponseCode::NotImp, 0)),
        ("NOERROR in a header", |asked| asked.header(ResponseCode::NoError, 0)),
        ("NXDOMAIN in a header", |asked| asked.header(ResponseCode::NXDomain, 0)),
        ("a record that is cut off", |asked| {
            let reply = answer(asked).to_vec().unwrap();
            reply[..reply.len() - 2].to_vec()
        }),
    ];
    for (defect, reply) in replies {
        let server = without_edns(reply).await;
        let start = Instant::now();
        finds_addresses(&of(&[&server]), "a.test").await;
        assert_eq!(opts(&server), [true, false], "{defect}");
        assert!(start.elapsed() < Duration::from_secs(1), "{defect}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn an_error_in_a_header_alone_leads_to_the_next_server_at_once() {
    for (code, questions) in
        [(ResponseCode::ServFail, 0), (ResponseCode::Refused, 0), (ResponseCode::Refused, 1)]
    {
        let first = TestServer::start_raw(move |asked| Some(asked.header(code, questions))).await;
        let second = healthy().await;
        let start = Instant::now();
        finds_addresses(&of(&[&first, &second]), "a.test").await;
        assert_eq!(opts(&first), [true], "{code}");
        assert!(start.elapsed() < Duration::from_secs(1), "{code}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn an_error_over_tcp_leads_to_a_query_without_opt() {
    let server = TestServer::start(|asked| {
        Some(match (asked.has_opt, asked.transport) {
            (false, _) => answer(asked),
            (true, "tcp") => asked.code(ResponseCode::FormErr),
            (true, _) => {
                let mut reply = asked.reply();
                reply.metadata.truncation = true;
                reply
            }
        })
    })
    .await;
    finds_addresses(&of(&[&server]), "a.test").await;
    assert_eq!(server.lines(), ["udp A a.test.", "tcp A a.test.", "udp A a.test."]);
}

#[tokio::test]
async fn a_rejection_of_opt_is_remembered_for_the_server() {
    let first = without_edns(|asked| asked.header(ResponseCode::FormErr, 0)).await;
    let second = healthy().await;
    let resolver = of(&[&first, &second]);
    for name in ["a.test", "b.test", "c.test"] {
        finds_addresses(&resolver, name).await;
    }
    assert_eq!(opts(&first), [true, false, false, false]);
    assert!(second.asked().is_empty());
}

#[tokio::test]
async fn a_rejection_of_opt_is_forgotten_in_time() {
    let server = without_edns(|asked| asked.header(ResponseCode::FormErr, 0)).await;
    let resolver = with(&[&server], |settings| settings.edns_memory = Duration::ZERO);
    for name in ["a.test", "b.test"] {
        finds_addresses(&resolver, name).await;
    }
    assert_eq!(opts(&server), [true, false, true, false]);
}

#[tokio::test]
async fn an_error_for_one_query_is_not_remembered_of_a_server_that_knows_edns() {
    let server = TestServer::start(|asked| {
        let is_rejected = asked.has_opt && asked.name == "b.test.";
        Some(if is_rejected { asked.code(ResponseCode::FormErr) } else { with_opt(answer(asked)) })
    })
    .await;
    let resolver = of(&[&server]);
    for name in ["a.test", "b.test", "c.test"] {
        finds_addresses(&resolver, name).await;
    }
    assert_eq!(opts(&server), [true, true, false, true]);
}

#[tokio::test]
async fn a_server_that_rejects_queries_without_opt_too_is_not_remembered() {
    let server = TestServer::start(|asked| Some(asked.code(ResponseCode::FormErr))).await;
    let resolver = with(&[&server], |settings| settings.rounds = 1);
    for name in ["a.test", "b.test"] {
        assert!(is_temporary(&resolver.ipv4(&query(name)).await));
    }
    assert_eq!(opts(&server), [true, false, true, false]);
}

#[tokio::test]
async fn check_217_an_answer_without_opt_is_secure_only_by_the_ad_bit() {
    let server = TestServer::start(|asked| {
        Some(match (asked.has_opt, asked.name.as_str()) {
            (true, _) => asked.code(ResponseCode::FormErr),
            (false, "a.test.") => answer(asked),
            (false, _) => authentic(answer(asked)),
        })
    })
    .await;
    let resolver = believing(&server, DnssecMode::Ad);
    assert_eq!(resolver.ipv4(&query("a.test")).await.unwrap().security, Security::NONE);
    assert_ne!(resolver.ipv4(&query("b.test")).await.unwrap().security, Security::NONE);
    assert!(server.asked().iter().all(|asked| asked.wants_ad), "RFC 6840 section 5.7");
}

#[tokio::test]
async fn law_6_one_error_of_a_server_that_knows_edns_does_not_switch_dane_off() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let count = AtomicUsize::new(0);
    let server = TestServer::start_raw(move |asked| {
        let nth = count.fetch_add(1, Ordering::SeqCst);
        Some(match (nth, asked.has_opt) {
            // one FORMERR in a header alone, as a forwarder passes it on from upstream
            (1, true) => asked.header(ResponseCode::FormErr, 0),
            (_, true) => authentic(with_opt(answer(asked))).to_vec().unwrap(),
            // RFC 6840 section 5.7: AD is set for whoever asks with AD, OPT or not
            (_, false) if asked.wants_ad => authentic(answer(asked)).to_vec().unwrap(),
            (_, false) => answer(asked).to_vec().unwrap(),
        })
    })
    .await;
    let resolver = believing(&server, DnssecMode::Ad);
    let first = resolver.ipv4(&query("a.test")).await.unwrap();
    assert_ne!(first.security, Security::NONE);
    match resolver.ipv4(&query("b.test")).await {
        Ok(answer) => {
            assert_ne!(answer.security, Security::NONE, "a signed name is taken for an unsigned one")
        }
        Err(error) => assert!(is_temporary::<std::net::Ipv4Addr>(&Err(error))),
    }
}
