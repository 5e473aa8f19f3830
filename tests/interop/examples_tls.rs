//! The example programs over TLS, against Dovecot and Postfix.

use std::path::Path;
use std::process::Output;

use nexthop::TlsLevel;

use crate::certificate::{Certificate, Flaw};
use crate::dovecot::Dovecot;
use crate::examples::{TEMPORARY_FAILURE, example, run, text};
use crate::relay::Relay;
use crate::samples::MESSAGE;

/// Runs `deliver` with a route for whoever is to be delivered.
fn deliver(roots: &Path, route: &str, level: TlsLevel) -> Option<Output> {
    let mut deliver = example("deliver")?;
    deliver.args(["--to", "alice@example.test", "--json", "--route", &format!("*={route}")]);
    Some(run(deliver.args(["--tls", &level.to_string(), "--ca"]).arg(roots), MESSAGE))
}

/// Outcome, status, kind, and what TLS there was.
fn told(output: &Output) -> String {
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let recipient = &report["recipients"][0];
    let tls = &recipient["hop"]["tls"];
    let fields =
        [&recipient["outcome"], &recipient["status"], &recipient["kind"], &tls["version"], &tls["verified"]];
    fields.map(|field| field.as_str().unwrap_or("-")).join(" ")
}

#[test]
fn deliver_verifies_a_relay_by_starttls() {
    let Some(relay) = Relay::start(Flaw::None) else { return };
    let route = format!("smtp://localhost:{}", relay.starttls_address().port());
    let Some(output) = deliver(&relay.roots(), &route, TlsLevel::Verified) else { return };
    assert_eq!(told(&output), "delivered 2.0.0 - TLSv1.3 pkix");
}

#[test]
fn deliver_defers_for_a_relay_that_is_not_verified() {
    let Some(relay) = Relay::start(Flaw::WrongName) else { return };
    let route = format!("smtp://localhost:{}", relay.starttls_address().port());
    let Some(output) = deliver(&relay.roots(), &route, TlsLevel::Verified) else { return };
    assert_eq!(told(&output), "deferred 4.7.5 securing - -");
    assert_eq!(output.status.code(), Some(TEMPORARY_FAILURE));
}

#[test]
fn deliver_takes_any_certificate_where_tls_is_only_required() {
    let Some(relay) = Relay::start(Flaw::WrongName) else { return };
    let route = format!("smtp://localhost:{}", relay.starttls_address().port());
    let Some(output) = deliver(&relay.roots(), &route, TlsLevel::Required) else { return };
    assert_eq!(told(&output), "delivered 2.0.0 - TLSv1.3 unverified");
}

#[test]
fn deliver_verifies_smtps_whatever_the_level() {
    let Some(relay) = Relay::start(Flaw::None) else { return };
    let route = format!("smtps://localhost:{}", relay.immediate_address().port());
    let Some(output) = deliver(&relay.roots(), &route, TlsLevel::Opportunistic) else { return };
    assert_eq!(told(&output), "delivered 2.0.0 - TLSv1.3 pkix");
}

#[test]
fn deliver_verifies_an_lmtp_server_by_starttls() {
    let certificate = Certificate::with(Flaw::None);
    let Some(dovecot) = Dovecot::start_secure(&certificate) else { return };
    let Some(output) = deliver(&certificate.roots(), &dovecot.by_localhost(), TlsLevel::Verified) else {
        return;
    };
    assert_eq!(told(&output), "delivered 2.0.0 - TLSv1.3 pkix");
}

#[test]
fn deliver_verifies_lmtps() {
    let certificate = Certificate::with(Flaw::None);
    let Some(dovecot) = Dovecot::start_secure(&certificate) else { return };
    let route = format!("lmtps://localhost:{}", dovecot.lmtps_address().port());
    let Some(output) = deliver(&certificate.roots(), &route, TlsLevel::Opportunistic) else { return };
    assert_eq!(told(&output), "delivered 2.0.0 - TLSv1.3 pkix");
}

/// Runs `relay_to_lmtp` with a server that has TLS from the first octet, where the system trusts these issuers.
fn relay_to_lmtp(dovecot: &Dovecot, trusted: &Path) -> Option<Output> {
    let mut relay = example("relay_to_lmtp")?;
    let lmtp = format!("lmtps://localhost:{}", dovecot.lmtps_address().port());
    relay.args(["--lmtp", &lmtp, "--to", "alice@example.test"]);
    Some(run(relay.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR"), MESSAGE))
}

#[test]
fn relay_to_lmtp_verifies_lmtps() {
    let certificate = Certificate::with(Flaw::None);
    let Some(dovecot) = Dovecot::start_secure(&certificate) else { return };
    let Some(output) = relay_to_lmtp(&dovecot, &certificate.roots()) else { return };
    let told = text(&output.stdout);
    assert!(told.contains("alice@example.test: delivered (250 2.0.0 "), "{output:?}");
    assert!(told.contains(" with TLSv1.3, pkix"), "{output:?}");
}

#[test]
fn relay_to_lmtp_defers_for_a_server_that_is_not_verified() {
    let (certificate, other) = (Certificate::with(Flaw::None), Certificate::with(Flaw::None));
    let Some(dovecot) = Dovecot::start_secure(&certificate) else { return };
    let Some(output) = relay_to_lmtp(&dovecot, &other.roots()) else { return };
    assert!(text(&output.stdout).contains("alice@example.test: deferred (4.7.5)"), "{output:?}");
    assert_eq!(output.status.code(), Some(TEMPORARY_FAILURE), "{output:?}");
}
