//! Chains, long and short.

use std::time::{Duration, Instant};

use nexthop::RecipientReport;
use nexthop::TlsLevel::{Required, Verified};
use nexthop::testing::{ScriptedServer, ServerIdentity};

use crate::bed::{hop, outcome, sent, settings, wire};
use crate::pki::{Pki, root};

const DEFERRED: &str = "deferred 4.7.5 securing start-tls";

async fn verified(pki: &Pki, identity: &ServerIdentity) -> RecipientReport {
    let server = ScriptedServer::smtp().tls(identity).listen_tcp().await.unwrap();
    let report = sent(&hop("smtp", &server), settings(pki, Verified)).await;
    let refused = ["EHLO STARTTLS <tls> <no-tls>"];
    assert_eq!(wire(&server).await == refused, !report.outcome.is_delivered(), "{report}");
    report
}

/// The chain is not looked at, and that at once.
async fn refused_as_too_large(pki: &Pki, identity: &ServerIdentity) {
    let begun = Instant::now();
    let report = verified(pki, identity).await;
    assert_eq!(outcome(&report), DEFERRED);
    assert!(report.to_string().contains("the chain has more than 10 certificates"), "{report}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn intermediates_are_followed() {
    let pki = Pki::new();
    for count in 0..4 {
        assert_eq!(outcome(&verified(&pki, &pki.behind(count)).await), "delivered pkix", "{count}");
    }
}

#[tokio::test]
async fn a_chain_may_hold_ten_certificates() {
    let pki = Pki::new();
    let others: Vec<_> = (0..8).map(|index| root(&format!("other {index}"))).collect();
    assert_eq!(outcome(&verified(&pki, &pki.with_intermediate(&others)).await), "delivered pkix");
}

#[tokio::test]
async fn attack_a42_a_chain_of_more_than_ten_certificates_is_refused_at_once() {
    let pki = Pki::new();
    let others: Vec<_> = (0..9).map(|index| root(&format!("other {index}"))).collect();
    refused_as_too_large(&pki, &pki.with_intermediate(&others)).await;
    refused_as_too_large(&pki, &pki.behind(10)).await;
    refused_as_too_large(&pki, &pki.behind(100)).await;
}

#[tokio::test]
async fn a_chain_may_hold_four_certificates_of_one_subject() {
    let pki = Pki::new();
    let others: Vec<_> = (0..3).map(|_| root("intermediate")).collect();
    assert_eq!(outcome(&verified(&pki, &pki.with_intermediate(&others)).await), "delivered pkix");
}

#[tokio::test]
async fn attack_a42_five_certificates_of_one_subject_are_refused_at_once() {
    let pki = Pki::new();
    let others: Vec<_> = (0..4).map(|_| root("intermediate")).collect();
    refused_as_too_large(&pki, &pki.with_intermediate(&others)).await;
}

#[tokio::test]
async fn attack_a42_a_large_chain_is_no_matter_where_nothing_is_verified() {
    let pki = Pki::new();
    let server = ScriptedServer::smtp().tls(&pki.behind(30)).listen_tcp().await.unwrap();
    let report = sent(&hop("smtp", &server), settings(&pki, Required)).await;
    assert_eq!(outcome(&report), "delivered unverified");
}

#[tokio::test]
async fn attack_a42_thousands_of_names_are_no_matter() {
    let pki = Pki::new();
    let names: Vec<_> = (0..3000).map(|index| format!("n{index}.example")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let begun = Instant::now();
    assert_eq!(outcome(&verified(&pki, &pki.good_for(&names)).await), DEFERRED);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn check_176_a_failure_says_what_is_wrong_with_the_certificate() {
    let pki = Pki::new();
    for (identity, what) in [
        (pki.wrong_name(), "certificate not valid for name \"good.example\""),
        (pki.expired(), "certificate expired"),
        (pki.self_signed(), "UnknownIssuer"),
        (pki.unknown_issuer(), "UnknownIssuer"),
    ] {
        let report = verified(&pki, &identity).await.to_string();
        assert!(report.contains(what), "{report}");
        assert!(report.contains("the certificate is not accepted"), "{report}");
    }
}
