//! A relay of which everything is known is not planned for again, and still asked about all that may have changed.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nexthop::policy::{Denial, Peer, Verdict};
use nexthop::{
    AddressPolicy, CredentialError, CredentialProvider, CredentialRequest, Credentials, Deliverer, Outcome,
    PoolSettings, RouteTable,
};

use crate::sink::{CHUNKING, Sink};
use crate::support::{builder, envelope, in_time, message};

/// Allows so often, and then denies.
#[derive(Debug)]
struct Allows(AtomicUsize);

impl AddressPolicy for Allows {
    fn check(&self, _peer: &Peer<'_>) -> Verdict {
        let left = self.0.load(Ordering::SeqCst);
        self.0.store(left.saturating_sub(1), Ordering::SeqCst);
        if left > 0 { Verdict::Allow } else { Verdict::Deny(Denial::new("not any more")) }
    }
}

/// Gives nobody credentials, and counts how often it is asked.
#[derive(Debug, Default)]
struct Asked(AtomicUsize);

#[async_trait::async_trait]
impl CredentialProvider for Asked {
    async fn credentials(
        &self,
        _request: &CredentialRequest<'_>,
    ) -> Result<Option<Credentials>, CredentialError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(None)
    }
}

fn kept() -> PoolSettings {
    let mut pool = PoolSettings::default();
    pool.idle = Duration::from_secs(60);
    pool
}

async fn outcome(deliverer: &Deliverer) -> Outcome {
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    report.recipients()[0].outcome.clone()
}

#[tokio::test]
async fn law_5_the_policy_is_asked_though_there_is_a_connection() {
    let sink = Sink::listen(CHUNKING).await;
    // two are taken, each asked about once
    let policy = Allows(AtomicUsize::new(2));
    let deliverer = builder(&sink.url()).pool(kept()).address_policy(policy).build().unwrap();
    for _ in 0..2 {
        assert!(outcome(&deliverer).await.is_delivered());
    }
    let denied = outcome(&deliverer).await;
    assert!(
        matches!(&denied, Outcome::Failed(failure) if failure.detail().contains("not any more")),
        "{denied}"
    );
    assert_eq!((sink.messages().len(), sink.connections()), (2, 1));
}

#[tokio::test]
async fn source_addresses_take_turns_at_a_relay_that_is_known() {
    let sink = Sink::listen(CHUNKING).await;
    let sources: [IpAddr; 2] = [[127, 0, 0, 1].into(), [127, 0, 0, 2].into()];
    let builder =
        sources.iter().fold(builder(&sink.url()), |builder, source| builder.source_address(*source));
    let deliverer = builder.pool(kept()).build().unwrap();
    for _ in 0..4 {
        assert!(outcome(&deliverer).await.is_delivered());
    }
    assert_eq!((sink.messages().len(), sink.connections()), (4, 2));
}

#[tokio::test]
async fn a_provider_of_credentials_is_asked_for_each_delivery_to_a_relay_that_is_known() {
    let (sink, provider) = (Sink::listen(CHUNKING).await, Arc::new(Asked::default()));
    let builder = builder(&sink.url()).pool(kept()).credentials(Arc::clone(&provider));
    let deliverer = builder.build().unwrap();
    for _ in 0..3 {
        assert!(outcome(&deliverer).await.is_delivered());
    }
    assert_eq!((provider.0.load(Ordering::SeqCst), sink.connections()), (3, 1));
}

#[tokio::test]
async fn law_6_routes_that_differ_in_what_must_be_proved_share_nothing() {
    let sink = Sink::listen(CHUNKING).await;
    let plain: nexthop::Route = sink.url().parse().unwrap();
    let secure: nexthop::Route = sink.url().replace("smtp:", "submission:").parse().unwrap();
    let table = RouteTable::new(plain).mailbox("b@x.example", secure).unwrap();
    let deliverer = builder(&sink.url()).router(table).pool(kept()).build().unwrap();
    assert!(outcome(&deliverer).await.is_delivered());
    let report = in_time(deliverer.deliver(&envelope("b"), &message())).await;
    assert!(!report.is_delivered(), "there is no TLS");
    // and so it stays, for what is known of the one is not known of the other
    let report = in_time(deliverer.deliver(&envelope("a b"), &message())).await;
    let delivered: Vec<_> = report.iter().map(|(_, outcome)| outcome.is_delivered()).collect();
    assert_eq!(delivered, [true, false]);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    let sink = Sink::listen(crate::sink::Manner { closes_after: Some(1), ..CHUNKING }).await;
    let deliverer = builder(&sink.url()).pool(kept()).build().unwrap();
    for _ in 0..3 {
        assert!(outcome(&deliverer).await.is_delivered());
    }
    assert_eq!((sink.messages().len(), sink.connections()), (3, 3));
}
