//! The example that makes a load, against a server in this process.

use std::process::Output;

use nexthop::testing::ScriptedServer;
use serde_json::Value;

use crate::examples::{TEMPORARY_FAILURE, UNAVAILABLE, program, run};

/// The exit status of sysexits(3) for a wrong command line.
const USAGE: i32 = 64;

/// Runs `load` as JSON; `None` where it was not built.
async fn load(to: &str, arguments: &'static [&'static str]) -> Option<Output> {
    let mut load = program("load")?;
    load.args(["--json", "--to", to]).args(arguments);
    // the server is served by the runtime of the test meanwhile
    tokio::task::spawn_blocking(move || run(&mut load, "")).await.ok()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Delivered, deferred and failed recipients, and those who may have the message.
fn told(output: &Output) -> [u64; 4] {
    let recipients = &json(output)["recipients"];
    ["delivered", "deferred", "failed", "may_have_arrived"]
        .map(|field| recipients[field].as_u64().expect("a number"))
}

#[tokio::test]
async fn load_says_all_that_scripts_look_for() {
    let server = ScriptedServer::smtp().listen_tcp().await.expect("it listens");
    let Some(output) = load(&server.url(), &["--messages", "3", "--size", "2000"]).await else { return };
    let told = json(&output);
    let keys: Vec<_> = told.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut wanted = [
        "messages",
        "recipients",
        "connections",
        "seconds",
        "messages_per_second",
        "bytes",
        "latency_us",
        "peak_rss_kib",
    ];
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
}

#[tokio::test]
async fn load_counts_messages_recipients_and_octets() {
    let server = ScriptedServer::smtp().listen_tcp().await.expect("it listens");
    let arguments = &["--messages", "12", "--recipients", "3", "--size", "1000", "--connections", "2"];
    let Some(output) = load(&server.url(), arguments).await else { return };
    assert_eq!(told(&output), [36, 0, 0, 0]);
    assert_eq!(
        (json(&output)["messages"].as_u64(), json(&output)["bytes"].as_u64()),
        (Some(12), Some(12_000))
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn load_sends_messages_of_the_size_to_the_recipients() {
    let server = ScriptedServer::smtp().listen_tcp().await.expect("it listens");
    let Some(_) = load(&server.url(), &["--messages", "2", "--recipients", "2", "--size", "777"]).await
    else {
        return;
    };
    let received = server.messages();
    let sizes: Vec<_> = received.iter().map(|message| message.content.len()).collect();
    assert_eq!(sizes, [777, 777]);
    assert_eq!(received[0].recipients, ["r0@load.example", "r1@load.example"]);
}

#[tokio::test]
async fn load_counts_connections_as_the_server_does() {
    let server = ScriptedServer::smtp().listen_tcp().await.expect("it listens");
    let Some(output) = load(&server.url(), &["--messages", "20", "--connections", "3"]).await else { return };
    assert_eq!(json(&output)["connections"].as_u64(), u64::try_from(server.connections()).ok());
}

#[tokio::test]
async fn load_without_reuse_opens_a_connection_for_each_message() {
    let server = ScriptedServer::smtp().listen_tcp().await.expect("it listens");
    let Some(_) = load(&server.url(), &["--messages", "7", "--connections", "2", "--no-reuse"]).await else {
        return;
    };
    assert_eq!(server.connections(), 7);
}

#[tokio::test]
async fn load_exits_as_for_a_recipient_that_failed() {
    let server = ScriptedServer::smtp().recipient("r1@load.example", "550 5.1.1 no");
    let server = server.listen_tcp().await.expect("it listens");
    let Some(output) = load(&server.url(), &["--messages", "4", "--recipients", "2"]).await else { return };
    assert_eq!((told(&output), output.status.code()), ([4, 0, 4, 0], Some(UNAVAILABLE)));
}

#[tokio::test]
async fn load_exits_as_for_a_recipient_that_was_deferred() {
    let server =
        ScriptedServer::lmtp().final_reply("451 4.3.0 later").listen_tcp().await.expect("it listens");
    let Some(output) = load(&server.url(), &["--messages", "4"]).await else { return };
    assert_eq!((told(&output), output.status.code()), ([0, 4, 0, 0], Some(TEMPORARY_FAILURE)));
}

#[tokio::test]
async fn load_puts_its_times_in_order() {
    let server = ScriptedServer::smtp().listen_tcp().await.expect("it listens");
    let Some(output) = load(&server.url(), &["--messages", "50"]).await else { return };
    let latency = &json(&output)["latency_us"];
    let [p50, p99, max] = ["p50", "p99", "max"].map(|field| latency[field].as_u64().expect("a number"));
    assert!(0 < p50 && p50 <= p99 && p99 <= max, "{latency}");
}

#[tokio::test]
async fn load_shows_no_password_of_a_hop_that_does_not_parse() {
    let Some(output) = load("smtp://user:hunter2@host:port", &[]).await else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(USAGE), 0));
}
