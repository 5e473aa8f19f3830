//! Options of the example `deliver`, which need no server.

use std::process::Output;

use crate::examples::{USAGE, example, run, text};
use crate::samples::MESSAGE;

/// Runs `deliver` with a route on which nothing is looked up.
fn deliver(options: &[&str]) -> Option<Output> {
    let mut deliver = example("deliver")?;
    deliver.args(["--to", "alice@example.test", "--route", "*=smtp://127.0.0.1"]);
    Some(run(deliver.args(options), MESSAGE))
}

/// The first line of a plan, and that no other speaks of the AD bit.
fn check_explained(options: &[&str], line: &str) {
    let Some(output) = deliver(&[options, &["--explain"]].concat()) else { return };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = text(&output.stdout);
    assert_eq!(told.lines().next(), Some(line));
    assert_eq!(told.matches("AD bit").count(), 1, "{told}");
}

const NEAR: &[&str] = &["--resolver", "127.0.0.1:5353"];
const FAR: &[&str] = &["--resolver", "192.0.2.53:53"];

#[test]
fn check_203_deliver_believes_a_name_server_on_loopback() {
    let line = "resolver: asks 127.0.0.1:5353; the AD bit is believed: the servers have loopback addresses";
    check_explained(NEAR, line);
}

#[test]
fn check_203_deliver_believes_no_name_server_elsewhere() {
    let line =
        "resolver: asks 192.0.2.53:53; the AD bit is not believed: not every server has a loopback address";
    check_explained(FAR, line);
}

#[test]
fn check_203_deliver_believes_a_name_server_elsewhere_on_the_operators_word() {
    let line = "resolver: asks 192.0.2.53:53; the AD bit is believed: the settings trust the servers";
    check_explained(&[FAR, &["--dnssec", "ad"]].concat(), line);
}

#[test]
fn deliver_believes_nobody_where_dnssec_is_off() {
    let line = "resolver: asks 127.0.0.1:5353; the AD bit is not believed: the settings say so";
    check_explained(&[NEAR, &["--dnssec", "off"]].concat(), line);
}

#[test]
fn deliver_explains_in_json_what_the_interface_has_and_no_more() {
    let Some(output) = deliver(&[NEAR, &["--explain", "--json"]].concat()) else { return };
    let document: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(document.as_object().expect("an object").keys().collect::<Vec<_>>(), ["plans"]);
}

fn check_wrong(options: &[&str], said: &str) {
    let Some(output) = deliver(options) else { return };
    assert_eq!(output.status.code(), Some(USAGE), "{output:?}");
    assert!(text(&output.stderr).contains(said), "{output:?}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn deliver_says_that_validation_is_not_built() {
    check_wrong(&["--dnssec", "validate"], "validation in process is not built yet");
}

#[test]
fn deliver_takes_one_source_address_of_a_family() {
    let sources = ["--source-ip", "127.0.0.1", "--source-ip", "::1", "--source-ip", "127.0.0.2"];
    check_wrong(&sources, "--source-ip 127.0.0.2: there is another one of its family");
}

#[test]
fn deliver_takes_a_source_address_of_each_family() {
    let options = ["--source-ip", "127.0.0.1", "--source-ip", "::1", "--explain"];
    let Some(output) = deliver(&options) else { return };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn deliver_names_the_part_of_a_proxy_url_that_is_wrong() {
    for (url, part) in [
        ("http://ann:s3cret@proxy:1080", "the scheme"),
        ("socks5://:s3cret@proxy:1080", "the user"),
        ("socks5://ann:s3cret%@proxy:1080", "the password"),
        ("socks5://ann:s3cret@pro xy:1080", "the host"),
        ("socks5://ann:s3cret", "the port"),
    ] {
        let Some(output) = deliver(&["--proxy", url]) else { return };
        assert_eq!(output.status.code(), Some(USAGE), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.contains(part) && !said.contains("s3cret"), "{said}");
    }
}
