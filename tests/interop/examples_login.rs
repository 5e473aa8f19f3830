//! The example `deliver` logging in to Postfix: it delivers, and nothing that it prints shows a secret (law 10).

use std::path::Path;
use std::process::{Command, Output};

use nexthop::Mechanism;
use tempfile::TempDir;

use crate::dovecot::PASSWORDS;
use crate::examples::{TEMPORARY_FAILURE, USAGE, example, run, text};
use crate::relay::{Relay, Submission};
use crate::samples::MESSAGE;
use crate::secrets::assert_hidden;
use crate::token;

const PASSWORD: &str = PASSWORDS[0].1;
const WRONG: &str = "incorrect+Horse/battery-STAPLE";

/// The option for a file with a secret, and the secret.
#[derive(Clone, Copy)]
enum Secret<'a> {
    Password(&'a str),
    Token(&'a str),
}

impl Secret<'_> {
    fn text(&self) -> &str {
        let (Self::Password(text) | Self::Token(text)) = self;
        text
    }

    /// A command that reads the secret from a file.
    fn given_to<'c>(&self, deliver: &'c mut Command, folder: &Path) -> &'c mut Command {
        let path = folder.join("secret");
        std::fs::write(&path, self.text()).expect("the folder is ours");
        let option = if matches!(self, Self::Password(_)) { "--password-file" } else { "--token-file" };
        deliver.args(["--user", "alice", option]).arg(path)
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A command that delivers to a relay that has to be verified, and shows the dialogue.
fn deliver(relay: &Relay) -> Option<Command> {
    let mut deliver = example("deliver")?;
    let route = format!("*=smtp://localhost:{}", relay.starttls_address().port());
    deliver.args(["--to", "alice@example.test", "--route", &route, "--trace", "--tls", "verified", "--ca"]);
    deliver.arg(relay.roots());
    Some(deliver)
}

/// What is printed, with the report as text and as JSON; it ends with the same exit status both times.
fn printed(relay: &Relay, secret: Secret<'_>, mechanism: Mechanism, status: i32) -> Option<String> {
    let folder = folder();
    let mut all = String::new();
    for format in [&[][..], &["--json"]] {
        let mut deliver = deliver(relay)?;
        deliver.args(["--auth", mechanism.name()]).args(format);
        let output = run(secret.given_to(&mut deliver, folder.path()), MESSAGE);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        all += &everything(&output);
    }
    Some(all)
}

fn everything(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

fn logs_in(mechanism: Mechanism, secret: Secret<'_>) {
    let Some(submission) = Submission::start() else { return };
    let Some(printed) = printed(&submission.relay, secret, mechanism, 0) else { return };
    assert_eq!(submission.await_login(), format!("{mechanism}, sasl_username=alice"));
    assert!(printed.contains("C: MAIL FROM:<sender@example.net>"), "{printed}");
    assert_hidden(secret.text(), &printed);
}

fn is_refused(mechanism: Mechanism, secret: Secret<'_>) {
    let Some(submission) = Submission::start() else { return };
    let Some(printed) = printed(&submission.relay, secret, mechanism, TEMPORARY_FAILURE) else { return };
    assert!(printed.contains("535 5.7.8") && !printed.contains("C: MAIL"), "{printed}");
    assert_hidden(secret.text(), &printed);
}

#[test]
fn deliver_logs_in_by_plain() {
    logs_in(Mechanism::Plain, Secret::Password(PASSWORD));
}

#[test]
fn deliver_logs_in_by_login() {
    logs_in(Mechanism::Login, Secret::Password(PASSWORD));
}

#[test]
fn deliver_logs_in_by_cram_md5() {
    logs_in(Mechanism::CramMd5, Secret::Password(PASSWORD));
}

#[test]
fn deliver_logs_in_by_scram_sha_1() {
    logs_in(Mechanism::ScramSha1, Secret::Password(PASSWORD));
}

#[test]
fn deliver_logs_in_by_scram_sha_256() {
    logs_in(Mechanism::ScramSha256, Secret::Password(PASSWORD));
}

#[test]
fn deliver_logs_in_by_oauthbearer() {
    logs_in(Mechanism::OAuthBearer, Secret::Token(&token::for_user("alice")));
}

#[test]
fn deliver_logs_in_by_xoauth2() {
    logs_in(Mechanism::XOAuth2, Secret::Token(&token::for_user("alice")));
}

#[test]
fn deliver_is_refused_by_plain() {
    is_refused(Mechanism::Plain, Secret::Password(WRONG));
}

#[test]
fn deliver_is_refused_by_login() {
    is_refused(Mechanism::Login, Secret::Password(WRONG));
}

#[test]
fn deliver_is_refused_by_cram_md5() {
    is_refused(Mechanism::CramMd5, Secret::Password(WRONG));
}

#[test]
fn deliver_is_refused_by_scram_sha_1() {
    is_refused(Mechanism::ScramSha1, Secret::Password(WRONG));
}

#[test]
fn deliver_is_refused_by_scram_sha_256() {
    is_refused(Mechanism::ScramSha256, Secret::Password(WRONG));
}

#[test]
fn deliver_is_refused_by_oauthbearer() {
    is_refused(Mechanism::OAuthBearer, Secret::Token(&token::forged_for_user("alice")));
}

#[test]
fn deliver_is_refused_by_xoauth2() {
    is_refused(Mechanism::XOAuth2, Secret::Token(&token::forged_for_user("alice")));
}

/// Runs it with a route that holds a password, in which nothing needs an escape.
fn with_route(route: &str, arguments: &[&str]) -> Option<Output> {
    let mut deliver = example("deliver")?;
    deliver.args(["--to", "alice@example.test", "--route", route]);
    Some(run(deliver.args(arguments), MESSAGE))
}

#[test]
fn deliver_explains_a_route_without_its_password() {
    let Some(output) = with_route("*=submission://alice:wrong-Battery@localhost", &["--explain"]) else {
        return;
    };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("submission://localhost:587"), "{output:?}");
    assert_hidden("wrong-Battery", &everything(&output));
}

/// A command line that is wrong, and what is said of it.
fn is_wrong(output: &Output, said: &str) {
    assert_eq!(output.status.code(), Some(USAGE), "{output:?}");
    assert!(text(&output.stderr).contains(said), "{output:?}");
    assert_hidden("wrong-Battery", &everything(output));
}

#[test]
fn deliver_refuses_a_route_without_showing_its_password() {
    let Some(output) = with_route("*=submission://alice:wrong-Battery@localhost:70000", &[]) else { return };
    is_wrong(&output, "not a port: \"localhost:70000\"");
}

#[test]
fn deliver_refuses_a_route_without_a_pattern_without_showing_its_password() {
    let Some(output) = with_route("submission://alice:wrong-Battery=@localhost", &[]) else { return };
    is_wrong(&output, "no = between pattern and next hop");
}

#[test]
fn relay_to_lmtp_refuses_a_next_hop_without_showing_its_password() {
    let Some(mut relay) = example("relay_to_lmtp") else { return };
    let lmtp = "lmtp://alice:wrong-Battery@localhost:70000";
    is_wrong(&run(relay.args(["--to", "alice@example.test", "--lmtp", lmtp]), MESSAGE), "not a port");
}
