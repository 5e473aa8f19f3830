//! The load itself.

use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use nexthop::{Deliverer, Envelope, Message, Report};

use crate::arguments::Arguments;
use crate::common::exit::Trouble;
use crate::latency::Latencies;
use crate::mail;
use crate::outcome::{Outcome, Tally};
use crate::progress::Progress;
use crate::setup;

/// Delivers all messages; as soon as one is done the next begins.
pub(crate) async fn run(arguments: &Arguments) -> Result<Outcome, Trouble> {
    let deliverer = setup::deliverer(arguments)?;
    let (envelope, message) = (mail::envelope(arguments)?, mail::message(arguments)?);
    let (mut recipients, mut latencies) = (Tally::default(), Latencies::default());
    let mut progress = Progress::new(arguments.messages);
    let delivery = || deliver(&deliverer, &envelope, &message);

    let begun = Instant::now();
    let mut under_way: FuturesUnordered<_> = (0..arguments.deliveries()).map(|_| delivery()).collect();
    let mut left = arguments.messages - under_way.len();
    while let Some((report, took)) = under_way.next().await {
        if left > 0 {
            left -= 1;
            under_way.push(delivery());
        }
        recipients.add(&report);
        latencies.add(took);
        progress.step();
    }
    let took = begun.elapsed();
    progress.finish();
    let opened = deliverer.connections().opened;
    deliverer.close_idle().await;
    Ok(Outcome::new(arguments, recipients, opened, took, &latencies))
}

async fn deliver(deliverer: &Deliverer, envelope: &Envelope, message: &Message) -> (Report, Duration) {
    let begun = Instant::now();
    let report = deliverer.deliver(envelope, message).await;
    (report, begun.elapsed())
}
