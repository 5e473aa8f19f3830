//! The example `deliver`, against a server in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Output;

use nexthop::testing::{Rules, ScriptedServer};
use tokio::net::UdpSocket;

use crate::examples::{TEMPORARY_FAILURE, UNAVAILABLE, example, run, text};
use crate::samples::MESSAGE;

/// Delivers a message by this route. Returns `None` if the example is not built.
async fn deliver(route: &str, options: &'static [&'static str], message: &'static str) -> Option<Output> {
    let mut deliver = example("deliver")?;
    deliver.args(["--to", "ann@x.example", "--route", &format!("*={route}")]).args(options);
    // the server is served by the runtime of the test meanwhile
    tokio::task::spawn_blocking(move || run(&mut deliver, message)).await.ok()
}

async fn listen(rules: Rules) -> ScriptedServer {
    rules.listen_tcp().await.expect("it listens")
}

#[tokio::test]
async fn check_002_deliver_prints_the_lines_of_a_reply_below_the_recipient() {
    let rules = ScriptedServer::smtp().answer("RCPT", "550-5.7.1 one\x1b\n550 5.7.1 two");
    let server = listen(rules).await;
    let Some(output) = deliver(&server.url(), &[], MESSAGE).await else { return };
    let printed = text(&output.stdout);
    let lines: Vec<_> = printed.lines().collect();
    assert!(lines[0].starts_with("ann@x.example: failed (5.7.1): "), "{printed}");
    assert_eq!(lines[1..], ["    550-5.7.1 one\\u{1b}", "    550 5.7.1 two"]);
    assert_eq!(output.status.code(), Some(UNAVAILABLE), "{output:?}");
}

#[tokio::test]
async fn check_002_deliver_prints_a_reply_of_one_line_once() {
    let server = listen(ScriptedServer::smtp().answer("RCPT", "550 5.1.1 no")).await;
    let Some(output) = deliver(&server.url(), &[], MESSAGE).await else { return };
    assert_eq!(text(&output.stdout).lines().count(), 1, "{output:?}");
}

#[tokio::test]
async fn check_003_a_trace_has_a_line_for_each_line_of_a_reply() {
    let server = listen(ScriptedServer::smtp().greeting("220-mx ESMTP\n521 5.7.1 blocked")).await;
    let Some(output) = deliver(&server.url(), &["--trace"], MESSAGE).await else { return };
    let trace = text(&output.stderr);
    for line in ["S: 220-mx ESMTP", "S: 521 5.7.1 blocked"] {
        assert!(trace.lines().any(|traced| traced.ends_with(line)), "{trace}");
    }
}

#[tokio::test]
async fn check_141_deliver_sends_a_utf8_header_as_eight_bit_content_by_an_option() {
    const UTF8_HEADER: &str = "Subject: Gr\u{fc}\u{df}e\r\n\r\ntext\r\n";
    for (options, parameter) in [(&[][..], " SMTPUTF8"), (&["--no-smtputf8"], "")] {
        let server = listen(ScriptedServer::smtp().without("SIZE")).await;
        let Some(output) = deliver(&server.url(), options, UTF8_HEADER).await else { return };
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let mail = format!("C: MAIL FROM:<sender@example.net> BODY=8BITMIME{parameter}");
        assert!(server.transcript()[0].contains(&mail), "{:?}", server.transcript());
    }
}

#[tokio::test]
async fn check_019_deliver_takes_a_5yz_greeting_as_permanent_by_an_option() {
    for (options, status) in [(&[][..], TEMPORARY_FAILURE), (&["--permanent-greeting"], UNAVAILABLE)] {
        let server = listen(ScriptedServer::smtp().greeting("554 no")).await;
        let Some(output) = deliver(&server.url(), options, MESSAGE).await else { return };
        assert_eq!(output.status.code(), Some(status), "{output:?}");
    }
}

/// Starts a name server on loopback that has one address for every name.
async fn name_server(address: [u8; 4]) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let server = socket.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query).await {
            let _ = socket.send_to(&answer(&query[..length], address), client).await;
        }
    });
    server
}

/// Returns an answer with the address for type A, and without records for any other type.
fn answer(query: &[u8], address: [u8; 4]) -> Vec<u8> {
    let name = query[12..].iter().position(|octet| *octet == 0).expect("a name ends");
    let question = &query[12..12 + name + 5];
    let is_ipv4 = question[name + 1..name + 3] == [0, 1];
    let counts = [0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0];
    // the name is that of the question; class IN, 60 seconds, four bytes
    let record = [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &address].concat();
    let record = if is_ipv4 { &record[..] } else { &[] };
    [&query[..2], &[0x81, 0x80], &counts, question, record].concat()
}

#[tokio::test]
async fn law_5_deliver_dials_no_loopback_address_of_a_relays_name_unless_it_is_allowed() {
    let server = listen(ScriptedServer::smtp()).await;
    let resolver = name_server([127, 0, 0, 1]).await.to_string();
    let route = format!("*=smtp://relay.example:{}", server.address().port());
    for (allow, outcome) in [(&[][..], "failed"), (&["--allow", "127.0.0.1"], "delivered")] {
        let Some(mut deliver) = example("deliver") else { return };
        deliver.args(["--to", "ann@x.example", "--json", "--route", &route, "--resolver", &resolver]);
        deliver.args(allow);
        let output = tokio::task::spawn_blocking(move || run(&mut deliver, MESSAGE)).await.expect("it ran");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(report["recipients"][0]["outcome"], outcome, "{output:?}");
    }
}
