//! A host: delivers messages, keeps a journal, and tries deferred recipients again.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use nexthop::{Attempt as Try, Deliverer, Envelope, Message, Outcome, Report};
use tokio::time::{Instant, sleep_until, timeout};

use crate::ledger::Attempt;
use crate::server::Scene;
use crate::world;

/// One attempt, with what came of it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) attempt: Attempt,
    pub(crate) recipients: Vec<String>,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    pub(crate) result: AttemptResult,
}

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum AttemptResult {
    Reported(Report),
    /// The host dropped the delivery.
    Cancelled,
    /// It did not end within [`PATIENCE`].
    Hung,
}

/// What the host has written down of its messages.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) records: Vec<Record>,
    /// Recipients that are not settled, by message.
    pub(crate) pending: Vec<Vec<String>>,
}

/// The journal, shared by the tasks of the host.
pub(crate) type SharedJournal = Arc<Mutex<Journal>>;

/// Time after which a delivery hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// Age of a message after which it is bounced (RFC 5321 section 4.5.4.1).
const MAX_AGE: Duration = Duration::from_secs(4 * 24 * 3600);
/// Time between the first two attempts; each further one takes twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(30 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(8 * 3600);

pub(crate) fn journal(journal: &SharedJournal) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Delivers a message, again and again until every recipient is settled or the message is too old.
pub(crate) async fn deliver(
    scene: Arc<Scene>,
    deliverer: Deliverer,
    shared: SharedJournal,
    number: usize,
    message: world::Message,
) {
    let content = Message::from_bytes(message.content.clone()).unwrap();
    let queued = Instant::now();
    let mut pending = message.recipients.clone();
    let (mut next, mut pause) = (queued + message.at, FIRST_PAUSE);
    for tries in 0.. {
        sleep_until(next).await;
        let attempt = Attempt { message: number, number: tries };
        let envelope = envelope(attempt, &pending);
        let (began, age) = (Instant::now(), queued.elapsed());
        scene.note(|| format!("host: {attempt} to {}", pending.join(" ")));
        let polls = message.cancelled_after.get(tries).copied();
        let tried = Try::new(u32::try_from(tries).unwrap_or(u32::MAX), age);
        let delivery = deliverer.attempt(&envelope, &content, tried);
        let result = match timeout(PATIENCE, CancelAfter { delivery: Box::pin(delivery), polls }).await {
            Ok(Some(report)) => AttemptResult::Reported(report),
            Ok(None) => AttemptResult::Cancelled,
            Err(_) => AttemptResult::Hung,
        };
        scene.note(|| format!("host: {attempt} {}", shown(&result)));
        let recipients = pending.clone();
        if let AttemptResult::Reported(report) = &result {
            pending = report
                .iter()
                .filter(|(_, outcome)| matches!(outcome, Outcome::Deferred(_)))
                .map(|(recipient, _)| recipient.to_string())
                .collect();
        }
        let record = Record { attempt, recipients, began, took: began.elapsed(), result };
        let is_cancelled = matches!(record.result, AttemptResult::Cancelled);
        let mut journal = journal(&shared);
        journal.records.push(record);
        journal.pending[number].clone_from(&pending);
        if pending.is_empty() || queued.elapsed() > MAX_AGE {
            return;
        }
        // a host that was restarted tries again at once
        next = Instant::now() + if is_cancelled { Duration::ZERO } else { pause };
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn envelope(attempt: Attempt, recipients: &[String]) -> Envelope {
    let envelope = Envelope::new(&format!("{attempt}@sender.example")).unwrap();
    recipients.iter().fold(envelope, |envelope, recipient| envelope.to(recipient).unwrap())
}

fn shown(result: &AttemptResult) -> String {
    match result {
        AttemptResult::Reported(report) => report
            .recipients()
            .iter()
            .map(|recipient| {
                let unsure = recipient.outcome.failure().is_some_and(nexthop::Failure::may_have_arrived);
                format!("{recipient}{}", if unsure { ", may have arrived" } else { "" })
            })
            .collect::<Vec<_>>()
            .join("; "),
        AttemptResult::Cancelled => "cancelled".to_owned(),
        AttemptResult::Hung => "does not end".to_owned(),
    }
}

/// A delivery that is dropped after a number of polls.
struct CancelAfter<F> {
    delivery: Pin<Box<F>>,
    polls: Option<u32>,
}

impl<F: Future> Future for CancelAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.polls {
            Some(0) => return Poll::Ready(None),
            Some(polls) => *polls -= 1,
            None => {}
        }
        let polled = self.delivery.as_mut().poll(context).map(Some);
        if polled.is_pending() && self.polls == Some(0) { Poll::Ready(None) } else { polled }
    }
}
