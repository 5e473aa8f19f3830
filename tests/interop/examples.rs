//! The example programs, as they are run from a command line, against Dovecot.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::dovecot::Dovecot;
use crate::launcher::skipped;
use crate::samples::{self, MESSAGE};
use crate::stored::{as_submitted, sha256};

/// The exit status of sysexits(3) for a command line that is wrong.
pub(crate) const USAGE: i32 = 64;
/// The one for a service that is not available.
pub(crate) const UNAVAILABLE: i32 = 69;
/// The one for what may go better another time.
pub(crate) const TEMPORARY_FAILURE: i32 = 75;

/// An example that delivers one message; `None` where it was not built.
pub(crate) fn example(name: &str) -> Option<Command> {
    let mut command = program(name)?;
    command.args(["--from", "sender@example.net"]);
    Some(command)
}

/// An example beside this test; `None` where it was not built.
///
/// `cargo test` builds both, `cargo test --test interop` does not.
pub(crate) fn program(name: &str) -> Option<Command> {
    let path = target_directory().join("examples").join(name);
    if !path.exists() {
        return skipped(&format!("example {name}"), &format!("run `cargo build --example {name}` before"));
    }
    Some(Command::new(path))
}

/// This test lies in `deps`.
fn target_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.ancestors().nth(2).map(Path::to_owned).expect("a test lies two folders deep")
}

pub(crate) fn run(command: &mut Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the example starts");
    // closed when it goes, so that the program sees the end of its input; one that ended before tells why
    let _ = child.stdin.take().expect("it is a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("the example ends")
}

pub(crate) fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// Outcome, reply code, status and stage of each recipient, and the hop's endpoint.
pub(crate) fn told(output: &Output) -> Vec<String> {
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let recipients = report["recipients"].as_array().expect("an array");
    recipients
        .iter()
        .map(|recipient| {
            let fields = [
                &recipient["outcome"],
                &recipient["reply"]["code"],
                &recipient["status"],
                &recipient["stage"],
                &recipient["hop"]["endpoint"],
            ];
            fields.map(|field| field.as_str().map_or_else(|| field.to_string(), str::to_owned)).join(" ")
        })
        .collect()
}

/// Delivers a message from standard input to recipients of every kind.
fn check_deliver(dovecot: &Dovecot, deliver: &mut Command, route: &str, endpoint: &str) {
    for user in ["alice", "nobody", "full"] {
        deliver.args(["--to", &format!("{user}@example.test")]);
    }
    let output = run(deliver.args(["--json", "--route", &format!("*={route}")]), MESSAGE);
    assert_eq!(
        told(&output),
        [
            format!("delivered 250 2.0.0 null {endpoint}"),
            format!("failed 550 5.1.1 rcpt-to {endpoint}"),
            format!("failed 552 5.2.2 final {endpoint}"),
        ]
    );
    assert_eq!(output.status.code(), Some(UNAVAILABLE), "{output:?}");
    let stored = &dovecot.messages("alice")[0];
    assert_eq!(sha256(&as_submitted(stored, MESSAGE.len())), sha256(MESSAGE.as_bytes()));
}

#[test]
fn deliver_brings_a_message_to_a_unix_socket() {
    let (Some(dovecot), Some(mut deliver)) = (Dovecot::start(), example("deliver")) else { return };
    let endpoint = dovecot.lmtp_socket().display().to_string();
    check_deliver(&dovecot, &mut deliver, &dovecot.by_socket(), &endpoint);
}

#[test]
fn deliver_brings_a_message_to_localhost() {
    let (Some(dovecot), Some(mut deliver)) = (Dovecot::start(), example("deliver")) else { return };
    let endpoint = dovecot.lmtp_address().to_string();
    check_deliver(&dovecot, &mut deliver, &dovecot.by_localhost(), &endpoint);
}

#[test]
fn deliver_brings_a_file_with_the_line_ends_of_unix() {
    let (Some(dovecot), Some(mut deliver)) = (Dovecot::start(), example("deliver")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = samples::file(folder.path(), &MESSAGE.replace("\r\n", "\n"));
    let route = format!("example.test={}", dovecot.by_address());
    let output = run(deliver.args(["--to", "alice@example.test", "--route", &route]).arg(path), "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stored = &dovecot.messages("alice")[0];
    assert_eq!(sha256(&as_submitted(stored, MESSAGE.len())), sha256(MESSAGE.as_bytes()));
}

#[test]
fn relay_to_lmtp_brings_a_file_to_a_loopback_address() {
    let (Some(dovecot), Some(mut relay)) = (Dovecot::start(), example("relay_to_lmtp")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = samples::file(folder.path(), MESSAGE);
    let lmtp = dovecot.by_address();
    let output = run(relay.args(["--lmtp", &lmtp, "--to", "alice@example.test"]).arg(path), "");
    assert!(text(&output.stdout).contains("alice@example.test: delivered (250 2.0.0 "), "{output:?}");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stored = &dovecot.messages("alice")[0];
    assert_eq!(sha256(&as_submitted(stored, MESSAGE.len())), sha256(MESSAGE.as_bytes()));
}

#[test]
fn relay_to_lmtp_fails_for_an_unknown_user() {
    let (Some(dovecot), Some(mut relay)) = (Dovecot::start(), example("relay_to_lmtp")) else { return };
    let lmtp = dovecot.by_address();
    let output = run(relay.args(["--lmtp", &lmtp, "--to", "nobody@example.test"]), MESSAGE);
    assert!(text(&output.stdout).contains("nobody@example.test: failed (5.1.1)"), "{output:?}");
    assert_eq!(output.status.code(), Some(UNAVAILABLE), "{output:?}");
}
