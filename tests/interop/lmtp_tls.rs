//! LMTP to Dovecot over TLS: by STARTTLS, from the first octet, and on a unix socket.

use nexthop::{HopTls, NextHop, Protocol, TlsLevel};

use crate::certificate::{Certificate, Flaw};
use crate::delivery::{along, deliver_one, envelope, hop, message, to, told, trusting};
use crate::dovecot::Dovecot;
use crate::samples;
use crate::stored::{as_submitted, sha256};

const LEVELS: [TlsLevel; 3] = [TlsLevel::Opportunistic, TlsLevel::Required, TlsLevel::Verified];
const UNVERIFIED: &str = "delivered 250 2.0.0, TLSv1.3 unverified";
const VERIFIED: &str = "delivered 250 2.0.0, TLSv1.3 pkix";
const NOT_SECURED: &str = "deferred - 4.7.5 at start-tls, securing";
/// Level by level, what comes of a good certificate and of any other.
const GOOD: [&str; 3] = [UNVERIFIED, UNVERIFIED, VERIFIED];
const BAD: [&str; 3] = [UNVERIFIED, UNVERIFIED, NOT_SECURED];

fn starttls(dovecot: &Dovecot, level: TlsLevel) -> NextHop {
    hop(Protocol::Lmtp, dovecot.lmtp_address(), HopTls::StartTls(level))
}

fn immediate(dovecot: &Dovecot, level: TlsLevel) -> NextHop {
    hop(Protocol::Lmtp, dovecot.lmtps_address(), HopTls::Immediate(level))
}

fn on_socket(dovecot: &Dovecot, level: TlsLevel) -> NextHop {
    let hop = NextHop::unix(Protocol::Lmtp, dovecot.lmtp_socket()).expect("a path");
    hop.with_tls(HopTls::StartTls(level))
}

async fn leads_to(flaw: Flaw, way: fn(&Dovecot, TlsLevel) -> NextHop, wanted: [&str; 3]) {
    let certificate = Certificate::with(flaw);
    let Some(dovecot) = Dovecot::start_secure(&certificate) else { return };
    let mut outcomes = Vec::new();
    for level in LEVELS {
        outcomes.push(deliver_one(to(way(&dovecot, level)).tls(trusting(certificate.roots()))).await);
    }
    assert_eq!(outcomes, wanted);
}

#[tokio::test]
async fn check_110_lmtp_starttls_with_a_good_certificate() {
    leads_to(Flaw::None, starttls, GOOD).await;
}

#[tokio::test]
async fn check_110_lmtp_starttls_with_the_wrong_name() {
    leads_to(Flaw::WrongName, starttls, BAD).await;
}

#[tokio::test]
async fn check_110_lmtp_starttls_with_an_expired_certificate() {
    leads_to(Flaw::Expired, starttls, BAD).await;
}

#[tokio::test]
async fn check_110_lmtp_starttls_with_a_self_signed_certificate() {
    leads_to(Flaw::SelfSigned, starttls, BAD).await;
}

#[tokio::test]
async fn check_110_lmtp_starttls_with_an_unknown_issuer() {
    leads_to(Flaw::UnknownIssuer, starttls, BAD).await;
}

#[tokio::test]
async fn lmtps_with_a_good_certificate() {
    leads_to(Flaw::None, immediate, GOOD).await;
}

#[tokio::test]
async fn lmtps_with_the_wrong_name() {
    leads_to(Flaw::WrongName, immediate, BAD).await;
}

#[tokio::test]
async fn lmtps_with_an_expired_certificate() {
    leads_to(Flaw::Expired, immediate, BAD).await;
}

#[tokio::test]
async fn lmtps_with_a_self_signed_certificate() {
    leads_to(Flaw::SelfSigned, immediate, BAD).await;
}

#[tokio::test]
async fn lmtps_with_an_unknown_issuer() {
    leads_to(Flaw::UnknownIssuer, immediate, BAD).await;
}

/// Dovecot has no TLS from the first octet there.
#[tokio::test]
async fn lmtp_starttls_on_a_unix_socket_has_no_name_to_verify() {
    leads_to(Flaw::None, on_socket, BAD).await;
}

#[tokio::test]
async fn check_111_a_unix_socket_needs_no_tls() {
    let certificate = Certificate::with(Flaw::None);
    let Some(dovecot) = Dovecot::start_secure(&certificate) else { return };
    assert_eq!(deliver_one(along(&dovecot.by_socket())).await, "delivered 250 2.0.0, in the clear");
}

#[tokio::test]
async fn check_104_over_tls_each_recipient_has_its_own_outcome() {
    let certificate = Certificate::with(Flaw::None);
    let Some(dovecot) = Dovecot::start_secure(&certificate) else { return };
    let builder = to(immediate(&dovecot, TlsLevel::Verified)).tls(trusting(certificate.roots()));
    let deliverer = builder.build().expect("the configuration is sound");
    let to = ["alice@example.test", "nobody@example.test", "full@example.test"];
    let report = deliverer.deliver(&envelope(&to), &message(samples::MESSAGE)).await;
    let outcomes = ["delivered 250 2.0.0", "failed 550 5.1.1 at rcpt-to", "failed 552 5.2.2 at final"];
    assert_eq!(told(&report), outcomes);
}

async fn stores(way: fn(&Dovecot, TlsLevel) -> NextHop) {
    let certificate = Certificate::with(Flaw::None);
    let Some(dovecot) = Dovecot::start_secure(&certificate) else { return };
    let builder = to(way(&dovecot, TlsLevel::Verified)).tls(trusting(certificate.roots()));
    let (content, deliverer) = (samples::five_mebibytes(), builder.build().expect("sound"));
    let report = deliverer.deliver(&envelope(&["bob@example.test"]), &message(content.clone())).await;
    assert_eq!(told(&report), ["delivered 250 2.0.0"]);
    let stored = as_submitted(&dovecot.messages("bob")[0], content.len());
    assert_eq!(sha256(&stored), sha256(content.as_bytes()));
}

#[tokio::test]
async fn check_050_lmtp_starttls_stores_five_mebibytes() {
    stores(starttls).await;
}

#[tokio::test]
async fn check_050_lmtps_stores_five_mebibytes() {
    stores(immediate).await;
}
