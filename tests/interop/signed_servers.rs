//! Several name servers, of which the first is of no use and the second an Unbound.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use nexthop::resolver::DnssecMode;

use crate::dns::{Manner, Nsd, free_udp_address};
use crate::dns_rows::{Row, check, resolver};

const ROWS: &[Row<'_>] = &[
    ("MX signed.test", "chain signed.test: 10 mx.signed.test, 20 mx2.signed.test"),
    ("A out.signed.test", "first mx.unsigned.test: 192.0.2.50"),
    ("MX text.signed.test", "chain text.signed.test: nothing"),
    ("MX gone.signed.test", "no such name"),
    ("A mx.bogus.test", "bogus"),
    ("MX lame.test", "temporary"),
];

/// The table is told by the second server.
async fn holds_after(first: SocketAddr, nsd: &Nsd) {
    let second = nsd.unbound(Manner::Validating);
    let resolver = resolver(&[first, second.address()], |settings| {
        settings.dnssec = DnssecMode::Ad;
        settings.timeout = Duration::from_secs(1);
    });
    check(&resolver, ROWS).await;
}

#[tokio::test]
async fn check_072_the_second_server_answers_if_the_first_refuses() {
    let Some(nsd) = Nsd::start() else { return };
    holds_after(nsd.refusing(), &nsd).await;
}

#[tokio::test]
async fn check_072_the_second_server_answers_if_the_first_refuses_without_the_question() {
    let Some(nsd) = Nsd::start() else { return };
    let first = nsd.unbound(Manner::Refusing);
    holds_after(first.address(), &nsd).await;
}

#[tokio::test]
async fn check_072_the_second_server_answers_if_the_first_is_silent() {
    let Some(nsd) = Nsd::start() else { return };
    holds_after(nsd.silent(), &nsd).await;
}

#[tokio::test]
async fn check_072_the_second_server_answers_if_nobody_is_at_the_first() {
    let Some(nsd) = Nsd::start() else { return };
    // the port stays bound for TCP, so that no other test gets it
    let first = TcpListener::bind(free_udp_address()).expect("the address is free");
    holds_after(first.local_addr().expect("it is bound"), &nsd).await;
}

#[tokio::test]
async fn check_072_a_refusal_of_all_servers_is_temporary() {
    let Some(nsd) = Nsd::start() else { return };
    let resolver = resolver(&[nsd.refusing()], |settings| settings.dnssec = DnssecMode::Ad);
    check(&resolver, &[("MX signed.test", "temporary"), ("MX bogus.test", "temporary")]).await;
}

#[tokio::test]
async fn check_203_each_answer_is_as_secure_as_its_server_says() {
    let Some(nsd) = Nsd::start() else { return };
    let (first, second) = (nsd.unbound(Manner::Plain), nsd.unbound(Manner::Validating));
    let servers = resolver(&[first.address(), second.address()], |settings| settings.dnssec = DnssecMode::Ad);
    check(&servers, &[("A mx.signed.test", "none mx.signed.test: 192.0.2.1")]).await;
}
