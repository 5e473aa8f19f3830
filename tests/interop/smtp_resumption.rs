//! Sessions of TLS that Postfix lets a client resume (RFC 8446 section 2.2, RFC 5077).

use nexthop::deliverer::Hop;
use nexthop::tls::Secured;
use nexthop::{Deliverer, Route, RouteTable, TlsLevel};

use crate::certificate::Flaw;
use crate::delivery::{along, deliver_one_with, envelope, message, to, trusting};
use crate::relay::Relay;
use crate::samples::MESSAGE;

/// Delivers twice by one deliverer and says of each connection whether it resumed an earlier one.
async fn resumed(relay: &Relay) -> [bool; 2] {
    let builder = to(relay.by_starttls(TlsLevel::Verified)).tls(trusting(relay.roots()));
    let deliverer = builder.build().expect("the configuration is sound");
    [is_resumed(&deliverer).await, is_resumed(&deliverer).await]
}

async fn is_resumed(deliverer: &Deliverer) -> bool {
    let report = deliverer.deliver(&envelope(&["alice@example.test"]), &message(MESSAGE)).await;
    let hop = report.recipients()[0].hop.as_ref();
    hop.and_then(Hop::secured).map(Secured::is_resumed).expect("the mail went over TLS")
}

#[tokio::test]
async fn check_174_the_second_session_of_tls_1_3_is_resumed() {
    let Some(relay) = Relay::start(Flaw::None) else { return };
    assert_eq!(resumed(&relay).await, [false, true]);
}

#[tokio::test]
async fn check_174_the_second_session_of_tls_1_2_is_resumed() {
    let Some(relay) = Relay::start_with(Flaw::None, &["smtpd_tls_protocols=<=TLSv1.2"]) else { return };
    assert_eq!(resumed(&relay).await, [false, true]);
}

#[tokio::test]
async fn attack_a45_a_session_that_nobody_verified_does_not_verify_a_later_one() {
    let Some(relay) = Relay::start(Flaw::SelfSigned) else { return };
    let (required, verified) = (relay.by_starttls(TlsLevel::Required), relay.by_starttls(TlsLevel::Verified));
    let table = RouteTable::new(Route::relay(verified));
    let table = table.domain("first.test", Route::relay(required)).expect("a domain");
    let builder = along("mx").router(table).tls(trusting(relay.roots()));
    let deliverer = builder.build().expect("the configuration is sound");
    deliverer.deliver(&envelope(&["alice@first.test"]), &message(MESSAGE)).await;
    assert_eq!(deliver_one_with(&deliverer).await, "deferred - 4.7.5 at start-tls, securing");
}
