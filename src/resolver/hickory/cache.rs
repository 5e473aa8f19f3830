//! [`Cache`]: what was answered lately, and what is being asked right now.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use tokio::sync::OnceCell;

use crate::mail::DnsName;

use super::super::answer::Answer;
use super::super::error::ResolveError;
use super::super::question::{Query, RecordKind};
use super::permits::{LookupId, Permits};
use super::settings::ResolverSettings;
use super::wire::WireRecord;

/// Octets an entry takes beside its name and records, about.
const ENTRY_OCTETS: usize = 512;

type Key = (DnsName, RecordKind);
type Said<T> = Result<Answer<T>, ResolveError>;

/// What came of a question, and for how long it may be said again; not beyond its use if that is zero.
#[derive(Debug)]
pub(super) struct Outcome<T> {
    pub(super) said: Said<T>,
    pub(super) life: Duration,
    /// `true` if a query was not sent, because it got no permit in time. Others that wait for the answer then look it up
    /// themselves.
    pub(super) lacked_permit: bool,
}

/// Answers, denials and failures by name and kind, bounded in octets and each for its own time.
///
/// An entry stands there from the moment its question is first asked: equal questions find it, wait for the
/// first one and take its outcome. If that one is abandoned the next one asks.
pub(super) struct Cache {
    entries: moka::sync::Cache<Key, Entry>,
    longest_question: Duration,
}

/// A [`OnceCell`] of [`Said`]; the kind in the key tells of which records.
#[derive(Clone)]
struct Entry {
    cell: Arc<dyn Any + Send + Sync>,
    lookup: LookupId,
    octets: u32,
    life: Duration,
}

struct OwnTime;

impl<T> Outcome<T> {
    pub(super) fn new(said: Said<T>, life: Duration) -> Self {
        Self { said, life, lacked_permit: false }
    }

    /// Returns the outcome of a question that got no permit in time.
    pub(super) fn without_permit(error: ResolveError) -> Self {
        Self { said: Err(error), life: Duration::ZERO, lacked_permit: true }
    }
}

impl Cache {
    pub(super) fn new(settings: &ResolverSettings) -> Self {
        let entries = moka::sync::Cache::builder()
            .max_capacity(settings.cache_octets)
            .weigher(|_, entry: &Entry| entry.octets)
            .expire_after(OwnTime)
            .build();
        Self { entries, longest_question: settings.deadline }
    }

    /// Returns the cached result, or else the result of `question`, which is polled by one of the lookups that wait for it.
    /// Its permit is charged to the requester among them that has the fewest.
    pub(super) async fn said<T: WireRecord, Q: Future<Output = Outcome<T>>>(
        &self,
        query: &Query,
        permits: &Permits,
        question: impl FnOnce(LookupId) -> Q,
    ) -> Said<T> {
        let key = (query.name.clone(), T::KIND);
        let new = || Entry::asked::<T>(self.longest_question, permits.lookup_id());
        let entry = self.entries.get_with_by_ref(&key, new);
        let lookup = entry.lookup;
        let cell: Arc<OnceCell<Said<T>>> = Arc::clone(&entry.cell).downcast().unwrap_or_default();
        if !cell.initialized() {
            permits.join(lookup, query.requester);
        }
        let asked = async {
            let outcome = question(lookup).await;
            if outcome.lacked_permit {
                return Err(outcome.said);
            }
            self.keep(key, entry, &outcome);
            Ok(outcome.said)
        };
        cell.get_or_try_init(|| asked).await.map_or_else(|failed| failed, Clone::clone)
    }

    fn keep<T: WireRecord>(&self, key: Key, entry: Entry, outcome: &Outcome<T>) {
        if outcome.life.is_zero() {
            return self.entries.invalidate(&key);
        }
        let octets = u32::try_from(octets(&key.0, &outcome.said)).unwrap_or(u32::MAX);
        self.entries.insert(key, Entry { octets, life: outcome.life, ..entry });
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("entries", &self.entries.entry_count()).finish_non_exhaustive()
    }
}

impl Entry {
    fn asked<T: WireRecord>(life: Duration, lookup: LookupId) -> Self {
        let cell = Arc::<OnceCell<Said<T>>>::default();
        Self { cell, lookup, octets: ENTRY_OCTETS as u32, life }
    }
}

impl Expiry<Key, Entry> for OwnTime {
    fn expire_after_create(&self, _: &Key, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.life)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.life)
    }
}

fn octets<T: WireRecord>(name: &DnsName, said: &Said<T>) -> usize {
    let records = said.as_ref().map_or(0, |answer| answer.records.iter().map(T::octets).sum());
    ENTRY_OCTETS + name.as_str().len() + records
}
