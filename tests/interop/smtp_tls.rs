//! SMTP to Postfix over TLS: by STARTTLS (RFC 3207) and from the first octet (RFC 8314 section 3.3).

use nexthop::tls::ClientIdentity;
use nexthop::{NextHop, TlsLevel, TlsSettings};

use crate::certificate::{Certificate, Flaw};
use crate::delivery::{along, by_mx, deliver_one, to, trusting};
use crate::postfix::Postfix;
use crate::relay::Relay;
use crate::samples::MESSAGE;
use crate::stored::as_submitted;

const LEVELS: [TlsLevel; 3] = [TlsLevel::Opportunistic, TlsLevel::Required, TlsLevel::Verified];
const UNVERIFIED: &str = "delivered 250 2.0.0, TLSv1.3 unverified";
const VERIFIED: &str = "delivered 250 2.0.0, TLSv1.3 pkix";
const IN_THE_CLEAR: &str = "delivered 250 2.0.0, in the clear";
const NOT_SECURED: &str = "deferred - 4.7.5 at start-tls, securing";
/// Level by level, what comes of a good certificate and of any other.
const GOOD: [&str; 3] = [UNVERIFIED, UNVERIFIED, VERIFIED];
const BAD: [&str; 3] = [UNVERIFIED, UNVERIFIED, NOT_SECURED];

async fn leads_to(flaw: Flaw, way: fn(&Relay, TlsLevel) -> NextHop, wanted: [&str; 3]) {
    let Some(relay) = Relay::start(flaw) else { return };
    let mut outcomes = Vec::new();
    for level in LEVELS {
        outcomes.push(deliver_one(to(way(&relay, level)).tls(trusting(relay.roots()))).await);
    }
    assert_eq!(outcomes, wanted);
}

#[tokio::test]
async fn check_172_starttls_with_a_good_certificate() {
    leads_to(Flaw::None, Relay::by_starttls, GOOD).await;
}

#[tokio::test]
async fn check_173_starttls_with_the_wrong_name() {
    leads_to(Flaw::WrongName, Relay::by_starttls, BAD).await;
}

#[tokio::test]
async fn check_173_starttls_with_an_expired_certificate() {
    leads_to(Flaw::Expired, Relay::by_starttls, BAD).await;
}

#[tokio::test]
async fn check_173_starttls_with_a_self_signed_certificate() {
    leads_to(Flaw::SelfSigned, Relay::by_starttls, BAD).await;
}

#[tokio::test]
async fn check_173_starttls_with_an_unknown_issuer() {
    leads_to(Flaw::UnknownIssuer, Relay::by_starttls, BAD).await;
}

#[tokio::test]
async fn check_177_smtps_with_a_good_certificate() {
    leads_to(Flaw::None, Relay::by_immediate_tls, GOOD).await;
}

#[tokio::test]
async fn check_177_smtps_with_the_wrong_name() {
    leads_to(Flaw::WrongName, Relay::by_immediate_tls, BAD).await;
}

#[tokio::test]
async fn check_177_smtps_with_an_expired_certificate() {
    leads_to(Flaw::Expired, Relay::by_immediate_tls, BAD).await;
}

#[tokio::test]
async fn check_177_smtps_with_a_self_signed_certificate() {
    leads_to(Flaw::SelfSigned, Relay::by_immediate_tls, BAD).await;
}

#[tokio::test]
async fn check_177_smtps_with_an_unknown_issuer() {
    leads_to(Flaw::UnknownIssuer, Relay::by_immediate_tls, BAD).await;
}

#[tokio::test]
async fn check_168_a_relay_that_is_not_verified_hears_nothing_of_the_envelope() {
    let Some(relay) = Relay::start(Flaw::WrongName) else { return };
    let builder = to(relay.by_starttls(TlsLevel::Verified)).tls(trusting(relay.roots()));
    assert_eq!(deliver_one(builder).await, NOT_SECURED);
    assert_eq!(relay.postfix.await_commands(), "ehlo=1 starttls=0/1 commands=1/2");
}

#[tokio::test]
async fn check_167_a_relay_without_starttls_hears_nothing_of_the_envelope() {
    let Some(relay) = Relay::start(Flaw::None) else { return };
    let builder = to(relay.in_the_clear(TlsLevel::Required)).tls(trusting(relay.roots()));
    assert_eq!(deliver_one(builder).await, NOT_SECURED);
    assert_eq!(relay.postfix.await_commands(), "ehlo=1 quit=1 commands=2");
}

#[tokio::test]
async fn check_166_a_relay_without_starttls_gets_mail_in_the_clear_where_that_will_do() {
    let Some(postfix) = Postfix::start() else { return };
    assert_eq!(deliver_one(along(&postfix.route())).await, IN_THE_CLEAR);
}

/// A relay that offers STARTTLS and says 454 to it.
fn without_certificate() -> Option<Relay> {
    Relay::start_with(Flaw::None, &["smtpd_tls_chain_files="])
}

#[tokio::test]
async fn check_166_after_a_refusal_of_starttls_the_session_goes_on_in_the_clear() {
    let Some(relay) = without_certificate() else { return };
    assert_eq!(deliver_one(to(relay.by_starttls(TlsLevel::Opportunistic))).await, IN_THE_CLEAR);
    let commands = "ehlo=1 starttls=0/1 mail=1 rcpt=1 bdat=1 quit=1 commands=5/6";
    assert_eq!(relay.postfix.await_commands(), commands);
}

#[tokio::test]
async fn check_167_a_refusal_of_starttls_defers_where_tls_is_required() {
    let Some(relay) = without_certificate() else { return };
    let outcome = deliver_one(to(relay.by_starttls(TlsLevel::Required))).await;
    assert_eq!(outcome, "deferred 454 4.7.0 at start-tls, securing");
}

/// A relay that speaks old versions of TLS only.
fn of_old() -> Option<Relay> {
    Relay::start_with(Flaw::None, &["smtpd_tls_protocols=<=TLSv1.1"])
}

#[tokio::test]
async fn check_166_a_failed_handshake_is_followed_by_a_connection_in_the_clear() {
    let Some(relay) = of_old() else { return };
    assert_eq!(deliver_one(to(relay.by_starttls(TlsLevel::Opportunistic))).await, IN_THE_CLEAR);
}

#[tokio::test]
async fn check_166_a_failed_handshake_defers_where_the_host_will_have_it() {
    let Some(relay) = of_old() else { return };
    let mut settings = TlsSettings::default();
    settings.cleartext_after_failure = false;
    let outcome = deliver_one(to(relay.by_starttls(TlsLevel::Opportunistic)).tls(settings)).await;
    assert_eq!(outcome, NOT_SECURED);
}

#[tokio::test]
async fn check_169_old_versions_of_tls_do_not_count_where_it_is_required() {
    let Some(relay) = of_old() else { return };
    assert_eq!(deliver_one(to(relay.by_starttls(TlsLevel::Required))).await, NOT_SECURED);
}

#[tokio::test]
async fn check_169_tls_1_2_is_spoken_too() {
    let Some(relay) = Relay::start_with(Flaw::None, &["smtpd_tls_protocols=<=TLSv1.2"]) else { return };
    let builder = to(relay.by_starttls(TlsLevel::Verified)).tls(trusting(relay.roots()));
    assert_eq!(deliver_one(builder).await, "delivered 250 2.0.0, TLSv1.2 pkix");
}

#[tokio::test]
async fn check_172_a_relay_that_is_named_by_its_address_is_verified_for_that() {
    let Some(relay) = Relay::start(Flaw::None) else { return };
    let route = format!("smtps://{}", relay.immediate_address());
    assert_eq!(deliver_one(along(&route).tls(trusting(relay.roots()))).await, VERIFIED);
}

#[tokio::test]
async fn any_certificate_will_do_where_the_operator_says_so() {
    let Some(relay) = Relay::start(Flaw::SelfSigned) else { return };
    let mut settings = trusting(relay.roots());
    settings.accept_invalid_certificates = true;
    let builder = to(relay.by_immediate_tls(TlsLevel::Verified)).tls(settings);
    assert_eq!(deliver_one(builder).await, UNVERIFIED);
}

#[tokio::test]
async fn a_mail_exchanger_gets_tls_whatever_its_certificate_says() {
    let Some(relay) = Relay::start(Flaw::Expired) else { return };
    assert_eq!(deliver_one(by_mx(relay.starttls_address())).await, UNVERIFIED);
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let identity = Certificate::with(Flaw::None);
    let trusted = format!("smtpd_tls_CAfile={}", identity.roots().display());
    let options = ["smtpd_tls_ask_ccert=yes", &trusted];
    let Some(relay) = Relay::start_with(Flaw::None, &options) else { return };
    let mut settings = trusting(relay.roots());
    settings.client_identity = Some(ClientIdentity::new(identity.chain(), identity.key()));
    deliver_one(to(relay.by_starttls(TlsLevel::Verified)).tls(settings)).await;
    let connection = relay.postfix.await_log(|line| Some(line.split_once(" TLS connection established")?.0));
    assert!(connection.ends_with(": Trusted"), "{connection}");
}

#[tokio::test]
async fn check_045_smtp_stores_over_tls_what_it_stores_without() {
    let Some(relay) = Relay::start(Flaw::None) else { return };
    let builder = to(relay.by_immediate_tls(TlsLevel::Verified)).tls(trusting(relay.roots()));
    assert_eq!(deliver_one(builder).await, VERIFIED);
    let stored = &relay.postfix.await_messages("alice", 1)[0];
    assert_eq!(as_submitted(stored, MESSAGE.len()), MESSAGE.as_bytes());
}
