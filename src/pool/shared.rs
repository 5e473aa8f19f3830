//! [`Pool`]: the connections to all endpoints, and who waits for them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::endpoint::{EndpointState, IdleKey, Removed};
use super::group::{Carried, Group, Idle};
use super::key::Key;
use super::lease::Lease;
use super::settings::PoolSettings;
use super::slot::{Closing, Phase, Slot, part};
use super::tend::{Tended, await_expiry, tend};
use super::ticket::{Ticket, Waiting, ticket};
use super::turn::{Entry, Offer, Turn};
use crate::route::Endpoint;

/// The connections of a deliverer.
pub(crate) struct Pool<T: Carried>(Arc<Shared<T>>);

/// Maximum number of endpoints that are kept only because of a learned limit.
const MAX_ENDPOINTS: usize = 4096;

type Sites<T> = HashMap<Endpoint, Site<T>>;

/// All connections to one endpoint.
struct Site<T: Carried> {
    state: Arc<Mutex<EndpointState<T>>>,
    /// The groups of its keys.
    groups: HashSet<Arc<Group<T>>>,
}

/// Group of each idle connection of all endpoints.
type IdleGroups<T> = BTreeMap<IdleKey, Arc<Group<T>>>;

/// Lock order: the sites before an endpoint, and an endpoint before the idle connections. No more than one endpoint is locked
/// at a time.
pub(super) struct Shared<T: Carried> {
    pub(super) settings: PoolSettings,
    sites: Mutex<Sites<T>>,
    /// In the order of age, so that the oldest one is found without a search of the endpoints. A connection is entered under
    /// the lock of its endpoint. Its entry may be left for a moment after it was taken.
    idle: Mutex<IdleGroups<T>>,
    /// Number of connections that became idle, from the beginning.
    rested: AtomicU64,
    pub(super) opened: AtomicU64,
    /// Whether a task looks after idle connections.
    pub(super) is_tended: AtomicBool,
}

/// How many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolCounts {
    /// Connections on which a session was opened, from the beginning.
    pub opened: u64,
    /// Connections that nobody uses now.
    pub idle: usize,
}

/// The connections of one key, for somebody who may ask for one at any time. Their group is not forgotten as long as one
/// of these exists.
pub(crate) struct Member<T: Carried> {
    shared: Arc<Shared<T>>,
    group: Arc<Group<T>>,
}

impl<T: Carried> Pool<T> {
    pub(crate) fn new(settings: PoolSettings) -> Self {
        Self(Arc::new(Shared {
            settings,
            sites: Mutex::default(),
            idle: Mutex::default(),
            rested: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            is_tended: AtomicBool::new(false),
        }))
    }

    /// How many connections there are.
    pub(crate) fn counts(&self) -> PoolCounts {
        let (opened, idle) = (self.0.opened.load(Ordering::Relaxed), self.0.idle().len());
        PoolCounts { opened, idle }
    }

    /// Says goodbye on all connections that nobody uses.
    pub(crate) async fn close_idle(&self) {
        let idle: Vec<_> = std::iter::from_fn(|| self.0.take_oldest()).collect();
        join_all(idle.into_iter().map(Closing::close)).await;
    }

    /// The connections of a key.
    pub(crate) fn member(&self, key: &Key) -> Member<T> {
        Member { shared: Arc::clone(&self.0), group: self.0.group(key) }
    }
}

impl<T: Carried> Member<T> {
    /// What the connections have in common.
    pub(crate) fn key(&self) -> &Key {
        self.group.key()
    }

    /// A connection that is kept.
    pub(crate) fn kept(&self) -> Option<Lease<T>> {
        let mut state = self.group.state();
        if state.idle.is_empty() {
            return None;
        }
        let now = Instant::now();
        let mut stale = Vec::new();
        let is_stale = |since| self.shared.settings.kept_until(since) <= now;
        while state.idle_since().is_some_and(is_stale) {
            stale.extend(state.take_oldest());
        }
        let newest = state.take_newest();
        drop(state);
        // nobody is kept waiting by those that should be closed by now
        part(stale.into_iter().map(|removed| self.shared.closing(removed)));
        let (key, idle) = newest?;
        self.shared.idle().remove(&key);
        Some(Lease::of_idle(self.slot(Phase::Working), idle, now))
    }

    /// A connection that is kept, or room for another.
    pub(crate) fn enter(&self) -> Entry<T> {
        if let Some(lease) = self.kept() {
            return Entry::Kept(lease);
        }
        let mut state = self.group.state();
        if !state.enter() {
            return Entry::Full(state.terms);
        }
        drop(state);
        Entry::Vacant(self.slot(Phase::Opening))
    }

    /// Waits in line, unless there is a connection that is kept or room for another.
    pub(crate) fn enter_or_wait(&self) -> Result<Ticket<T>, Entry<T>> {
        loop {
            match self.wait_in_line(None, false) {
                // another delivery was faster
                Err(Entry::Full(_)) => {}
                waits_or_has => return waits_or_has,
            }
        }
    }

    /// Waits in line, unless there is something to have by now. A connection under another key that is idle is closed to
    /// make room.
    ///
    /// A delivery that does not know the terms of the server is told them by [`Turn::Terms`] when they are known.
    pub(crate) fn wait(&self, offer: Option<Offer>, knows_terms: bool) -> Result<Ticket<T>, Entry<T>> {
        let awaits_terms = !knows_terms;
        self.wait_in_line(offer, awaits_terms)
    }

    /// Makes an offer of a delivery that waits in line.
    pub(crate) fn offer(&self, ticket: &mut Ticket<T>, offer: Option<Offer>) {
        if offer.is_none() {
            return;
        }
        let mut state = self.group.state();
        ticket.offer(offer);
        let listener = state.next_listener();
        drop(state);
        listener.into_iter().for_each(Waker::wake);
    }

    fn wait_in_line(&self, offer: Option<Offer>, awaits_terms: bool) -> Result<Ticket<T>, Entry<T>> {
        let mut state = self.group.state();
        if !state.idle.is_empty() || state.has_room() {
            drop(state);
            return Err(self.enter());
        }
        let (waiting, ticket) = ticket(offer, awaits_terms, state.next_number());
        // they may have become known since the delivery looked
        if let Some(terms) = state.terms {
            drop(waiting.tell_terms(terms));
        }
        let listener = state.line_up(waiting);
        let removed = state.all.take_idle_for_line();
        let is_due = state.all.is_due();
        let expiry = state.all.untimed_expiry();
        drop(state);
        listener.into_iter().for_each(Waker::wake);
        self.shared.close_removed(removed);
        if is_due {
            self.shared.admit(self.group.endpoint());
        }
        // the task that a greeting with 421 has started may have ended with its runtime
        if let (Some(next), Ok(runtime)) = (expiry, Handle::try_current()) {
            let (pool, endpoint) = (Arc::downgrade(&self.shared), Arc::downgrade(self.group.endpoint()));
            runtime.spawn(await_expiry(pool, endpoint, next));
        }
        Ok(ticket)
    }

    /// Messages that may be on their way on one connection.
    pub(crate) fn window(&self) -> usize {
        self.shared.settings.window.max(1)
    }

    fn slot(&self, phase: Phase) -> Slot<T> {
        Slot::new(&self.shared, &self.group, phase)
    }
}

impl<T: Carried> Drop for Member<T> {
    fn drop(&mut self) {
        self.group.leave();
        self.shared.tidy(&self.group);
    }
}

impl<T: Carried> Shared<T> {
    fn sites(&self) -> MutexGuard<'_, Sites<T>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The idle connections of all endpoints. No other lock may be taken while they are locked.
    fn idle(&self) -> MutexGuard<'_, IdleGroups<T>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group of a key, which is there from now on, with one user more.
    fn group(&self, key: &Key) -> Arc<Group<T>> {
        let mut sites = self.sites();
        let new = || Site::new(&key.endpoint, &self.settings);
        let group = sites.entry(key.endpoint.clone()).or_insert_with(new).group(key);
        group.join();
        group
    }

    /// Forgets a group if it is of no use to anybody.
    pub(super) fn tidy(&self, group: &Group<T>) {
        if !group.is_of_no_use() {
            return;
        }
        let (mut sites, key) = (self.sites(), &group.key);
        let Some(site) = sites.get_mut(&key.endpoint) else { return };
        let is_listed = site.groups.get(key).is_some_and(|listed| std::ptr::eq(&raw const **listed, group));
        // while the list is locked nobody comes
        if is_listed && group.remove_if_unused() {
            site.groups.remove(key);
            Self::remove_if_unused(&mut sites, &key.endpoint);
        }
    }

    /// Removes an endpoint if it is kept only because of a learned limit that has expired.
    pub(super) fn tidy_endpoint(&self, endpoint: &Mutex<EndpointState<T>>) {
        let address = lock(endpoint).address().clone();
        Self::remove_if_unused(&mut self.sites(), &address);
    }

    /// Removes an endpoint that has no group, unless it is kept because of a learned limit.
    fn remove_if_unused(sites: &mut Sites<T>, address: &Endpoint) {
        let is_for_limits = |site: &Site<T>| sites.len() <= MAX_ENDPOINTS && lock(&site.state).has_limit();
        if sites.get(address).is_some_and(|site| site.groups.is_empty() && !is_for_limits(site)) {
            sites.remove(address);
        }
    }

    /// Gives permits to deliveries in line, in their order, as long as there is room. Closes idle connections under other keys
    /// to make room.
    pub(super) fn admit(self: &Arc<Self>, endpoint: &Mutex<EndpointState<T>>) {
        let mut next = lock(endpoint).admit_next();
        while let Some((waiting, group)) = next {
            next = self.grant(waiting, &group);
        }
        let removed = std::iter::from_fn(|| lock(endpoint).take_idle_for_line());
        part(removed.map(|removed| self.closing(removed)));
    }

    /// Gives a delivery its permit, and takes the next one out of the line.
    pub(super) fn grant(
        self: &Arc<Self>,
        waiting: Waiting<T>,
        group: &Arc<Group<T>>,
    ) -> Option<(Waiting<T>, Arc<Group<T>>)> {
        let refused = waiting.send(Turn::Vacant(Slot::new(self, group, Phase::Opening)));
        let is_refused = refused.is_some();
        if let Some(Turn::Vacant(slot)) = refused {
            slot.leave();
        }
        let mut state = group.state();
        if is_refused {
            state.release(Phase::Opening);
        }
        let next = state.all.admit_next();
        drop(state);
        if is_refused {
            self.tidy(group);
        }
        next
    }

    /// Keeps a connection for later, and says goodbye on one that there is no room for.
    ///
    /// # Errors
    /// Somebody waits for one by now: it comes back.
    pub(super) fn keep(self: &Arc<Self>, group: &Arc<Group<T>>, idle: Idle<T>) -> Result<(), Idle<T>> {
        let mut state = group.state();
        if state.has_successor() {
            return Err(idle);
        }
        let ends = self.settings.kept_until(idle.since);
        let key = (idle.since, self.rested.fetch_add(1, Ordering::Relaxed));
        state.put_aside(key, idle);
        let count = {
            let mut all = self.idle();
            all.insert(key, Arc::clone(group));
            all.len()
        };
        drop(state);
        let surplus = (count > self.settings.idle_connections).then(|| self.take_oldest()).flatten();
        if !self.is_tended.load(Ordering::SeqCst) && !self.is_tended.swap(true, Ordering::SeqCst) {
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(tend(Tended::new(self), ends))),
                Err(_) => self.is_tended.store(false, Ordering::SeqCst),
            }
        }
        // no delivery waits for the goodbye of another server
        part(surplus);
        Ok(())
    }

    /// Sends QUIT on an idle connection that must be closed for a queued delivery.
    pub(super) fn close_removed(self: &Arc<Self>, removed: Option<Removed<T>>) {
        part(removed.map(|removed| self.closing(removed)));
    }

    /// Takes out what was idle for too long; says when to look again, if there is anything left to look after.
    pub(super) fn expired(self: &Arc<Self>) -> (Vec<Closing<T>>, Option<Instant>) {
        let now = Instant::now();
        let ends = |since| self.settings.kept_until(since);
        let mut expired = Vec::new();
        while self.oldest_since().map(ends).is_some_and(|ends| ends <= now) {
            expired.extend(self.take_oldest());
        }
        let next = self.oldest_since().or_else(|| {
            self.is_tended.store(false, Ordering::SeqCst);
            // whoever put one aside meanwhile took it for looked after
            self.oldest_since().filter(|_| !self.is_tended.swap(true, Ordering::SeqCst))
        });
        (expired, next.map(ends))
    }

    fn oldest_since(&self) -> Option<Instant> {
        self.idle().first_key_value().map(|((since, _), _)| *since)
    }

    /// Takes out the connection that was idle longest.
    pub(super) fn take_oldest(self: &Arc<Self>) -> Option<Closing<T>> {
        loop {
            let (key, group) = self.idle().pop_first()?;
            let removed = group.state().all.take_idle(key);
            // otherwise a delivery has taken it meanwhile
            if let Some(removed) = removed {
                return Some(self.closing(removed));
            }
        }
    }

    /// Returns an idle connection as one that is being closed.
    fn closing(self: &Arc<Self>, removed: Removed<T>) -> Closing<T> {
        let Removed { key, held, group } = removed;
        self.idle().remove(&key);
        Closing::of_idle(*held, Slot::new(self, &group, Phase::Closing))
    }
}

impl<T: Carried> Site<T> {
    fn new(address: &Endpoint, settings: &PoolSettings) -> Self {
        let state = EndpointState::new(address.clone(), settings);
        Self { state: Arc::new(Mutex::new(state)), groups: HashSet::new() }
    }

    fn group(&mut self, key: &Key) -> Arc<Group<T>> {
        if let Some(known) = self.groups.get(key) {
            return Arc::clone(known);
        }
        let new = Group::new(key, &self.state);
        self.groups.insert(Arc::clone(&new));
        new
    }
}

/// Locks an endpoint.
pub(super) fn lock<T: Carried>(endpoint: &Mutex<EndpointState<T>>) -> MutexGuard<'_, EndpointState<T>> {
    endpoint.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Carried> fmt::Debug for Member<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({})", self.key().endpoint)
    }
}

impl<T: Carried> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} endpoints, {} idle connections)", self.0.sites().len(), self.counts().idle)
    }
}
