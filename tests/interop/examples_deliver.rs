//! The example `deliver`, against a server in this process.

use std::process::Output;

use nexthop::testing::{Rules, ScriptedServer};

use crate::examples::{UNAVAILABLE, example, run, text};
use crate::samples::MESSAGE;

/// Delivers a message by this route; `None` where the example was not built.
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
async fn check_141_deliver_sends_a_utf8_header_as_eight_bit_content_where_that_is_declared() {
    const UTF8_HEADER: &str = "Subject: Gr\u{fc}\u{df}e\r\n\r\ntext\r\n";
    for (options, parameter) in [(&[][..], " SMTPUTF8"), (&["--no-smtputf8"], "")] {
        let server = listen(ScriptedServer::smtp().without("SIZE")).await;
        let Some(output) = deliver(&server.url(), options, UTF8_HEADER).await else { return };
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let mail = format!("C: MAIL FROM:<sender@example.net> BODY=8BITMIME{parameter}");
        assert!(server.transcript()[0].contains(&mail), "{:?}", server.transcript());
    }
}
