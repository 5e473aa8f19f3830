//! [`EndpointState`]: connection limits and queue of one endpoint, over all pool keys.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::group::{Carried, Group, Idle, Locked, State};
use super::lease::Held;
use super::settings::PoolSettings;
use super::slot::Phase;
use super::source::{Counts, Source};
use super::ticket::Waiting;
use crate::proto::Terms;
use crate::route::Endpoint;

/// The groups of one endpoint. Deliveries of all groups form one queue: the first that may have a connection is the next,
/// regardless of its key.
///
/// There may be thousands of groups, because the owner of a domain chooses the names of its mail exchangers. So no operation
/// visits them all. The number of groups that one visits is bounded by the number of permits.
pub(super) struct EndpointState<T: Carried> {
    address: Endpoint,
    /// State of each group, at its place. Nothing refers to the state at a free place.
    groups: Vec<State<T>>,
    free: Vec<usize>,
    /// Permits over all groups.
    counts: Counts,
    /// Connections from each source address.
    sources: BTreeMap<Option<IpAddr>, Source>,
    /// Place of the group of each idle connection, over all groups.
    idle_places: BTreeMap<IdleKey, usize>,
    limits: Limits,
    /// `true` if a task waits for the expiry of learned limits.
    pub(super) is_timed: bool,
    /// Number of the latest delivery that was queued.
    next_number: u64,
}

/// Position of an idle connection in the order of age: the time since which it has been idle, and a number that is unique in
/// the pool.
pub(super) type IdleKey = (Instant, u64);

/// Limits of the settings.
#[derive(Debug, Clone, Copy)]
struct Limits {
    per_key: usize,
    per_address: usize,
    learned_for: Duration,
}

/// Other connections to a server that greeted one with 421.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherConnections {
    /// A session was opened on at least one.
    Working,
    /// At least one is being opened or closed, or was closed meanwhile. None has a session.
    Unsettled,
    /// There are none.
    None,
}

/// Next use of a returned connection.
pub(super) enum Successor<T: Carried> {
    /// This delivery gets it.
    Delivery(Waiting<T>),
    /// A delivery under another key waits for its permit, so the connection must be closed.
    OtherKey,
    /// No delivery waits.
    None,
}

/// A connection that was idle and must be closed.
pub(super) struct Removed<T: Carried> {
    pub(super) key: IdleKey,
    pub(super) held: Box<Held<T>>,
    pub(super) group: Arc<Group<T>>,
}

impl<T: Carried> EndpointState<T> {
    pub(super) fn new(address: Endpoint, settings: &PoolSettings) -> Self {
        let per_key = settings.connections.max(1);
        let limits = Limits {
            per_key,
            per_address: settings.max_connections_per_address.unwrap_or(per_key).max(1),
            learned_for: settings.learned_limit_ttl,
        };
        Self {
            address,
            groups: Vec::new(),
            free: Vec::new(),
            counts: Counts::default(),
            sources: BTreeMap::new(),
            idle_places: BTreeMap::new(),
            limits,
            is_timed: false,
            next_number: 0,
        }
    }

    pub(super) fn address(&self) -> &Endpoint {
        &self.address
    }

    pub(super) fn group(&self, place: usize) -> &State<T> {
        &self.groups[place]
    }

    pub(super) fn group_mut(&mut self, place: usize) -> &mut State<T> {
        &mut self.groups[place]
    }

    /// Returns a free place for a group.
    pub(super) fn free_place(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.groups.push(State::default());
            self.groups.len() - 1
        })
    }

    pub(super) fn put(&mut self, place: usize, state: State<T>) {
        self.sources.entry(state.source).or_default().groups += 1;
        self.groups[place] = state;
    }

    /// Changes the numbers of permits of a group, and with them those of its source address and of the endpoint.
    fn recount(&mut self, place: usize, change: impl Fn(&mut Counts)) {
        let group = &mut self.groups[place];
        change(&mut group.counts);
        change(&mut self.sources.entry(group.source).or_default().counts);
        change(&mut self.counts);
    }

    fn is_full(&self) -> bool {
        self.counts.open >= self.limits.per_address
    }

    /// Returns `true` if a group may have one more connection.
    fn has_room(&self, place: usize) -> bool {
        let group = &self.groups[place];
        !self.is_full()
            && group.counts.open < self.limits.per_key
            && self.sources.get(&group.source).is_none_or(Source::has_room)
    }

    /// Returns the place of the group with the first queued delivery that may get a permit now.
    fn next_in_line(&mut self) -> Option<usize> {
        if self.is_full() {
            return None;
        }
        let mut next = None;
        for source in self.sources.values_mut().filter(|source| source.has_room()) {
            let mut from = 0;
            while let Some((number, place)) = source.first_in_line(&mut self.groups, from) {
                if next.is_some_and(|(earliest, _)| earliest < number) {
                    break;
                }
                if self.groups[place].counts.open < self.limits.per_key {
                    next = Some((number, place));
                    break;
                }
                // at most as many groups as there are permits have all that they may have
                from = number + 1;
            }
        }
        next.map(|(_, place)| place)
    }

    /// Returns `true` if a delivery of another group needs the permit of a connection of this group. Only deliveries queued
    /// before the delivery of this number count, and not those served by connections that are being closed.
    fn is_place_needed(&mut self, place: usize, before: u64) -> bool {
        let own_source = self.groups[place].source;
        // deliveries that get the permits of connections that are being closed
        let mut served = self.counts.closing;
        for (address, source) in &mut self.sources {
            if !source.has_room_after_closing(*address == own_source) {
                continue;
            }
            let mut from = 0;
            while let Some((number, other)) = source.first_in_line(&mut self.groups, from)
                && number < before
            {
                from = number + 1;
                if other == place {
                    continue;
                }
                let held_up = self.groups[other].held_up(before, self.limits.per_key, served + 1);
                if held_up > served {
                    return true;
                }
                served -= held_up;
            }
        }
        false
    }

    /// Removes the connection that has been idle longest, of those that must be closed for a queued delivery.
    pub(super) fn take_idle_for_line(&mut self) -> Option<Removed<T>> {
        let mut from = self.idle_places.first_key_value().map(|(key, _)| *key);
        let mut not_needed = Vec::new();
        while let Some(key) = from {
            let place = *self.idle_places.get(&key)?;
            let group = &self.groups[place];
            let (source, has_line) = (group.source, !group.waiting.is_empty());
            if !not_needed.contains(&source) && self.is_place_needed(place, u64::MAX) {
                return self.take_idle(key);
            }
            if !has_line {
                // nor are the others from there
                not_needed.push(source);
            }
            from = self.idle_places.range((Excluded(key), Unbounded)).next().map(|(key, _)| *key);
        }
        None
    }

    /// Removes an idle connection to close it. Returns `None` if it is not there any more.
    pub(super) fn take_idle(&mut self, key: IdleKey) -> Option<Removed<T>> {
        let place = self.idle_places.remove(&key)?;
        let state = &mut self.groups[place];
        let group = state.group.upgrade()?;
        let position = state.idle.iter().position(|(other, _)| *other == key)?;
        let (_, idle) = state.idle.remove(position)?;
        self.recount(place, |counts| {
            counts.remove(Phase::Working);
            counts.add(Phase::Closing);
        });
        Some(Removed { key, held: idle.held, group })
    }

    /// Returns `true` if a queued delivery may get a permit now.
    pub(super) fn is_due(&mut self) -> bool {
        self.next_in_line().is_some()
    }

    /// Removes the next delivery from the queue and gives it a permit, if one is free.
    pub(super) fn admit_next(&mut self) -> Option<(Waiting<T>, Arc<Group<T>>)> {
        loop {
            let place = self.next_in_line()?;
            let group = &mut self.groups[place];
            let waiting = group.waiting.pop_front()?;
            // a group with a queue is never removed, so this does not happen
            let Some(of) = group.group.upgrade() else { continue };
            self.recount(place, |counts| counts.add(Phase::Opening));
            return Some((waiting, of));
        }
    }

    /// Returns the time at which the first of the learned limits expires.
    fn first_expiry(&self, now: Instant) -> Option<Instant> {
        self.sources.values().filter_map(|source| source.expiry(now)).min()
    }

    /// Returns `true` if the server has a limit that has not expired.
    pub(super) fn has_limit(&self) -> bool {
        self.first_expiry(Instant::now()).is_some()
    }

    /// Returns the next expiry of a learned limit if no task waits for it. The caller must start one.
    pub(super) fn untimed_expiry(&self) -> Option<Instant> {
        if self.is_timed { None } else { self.first_expiry(Instant::now()) }
    }

    /// Returns the next expiry of a learned limit. If there is none, the task that calls this must end.
    pub(super) fn next_expiry(&mut self, now: Instant) -> Option<Instant> {
        self.sources.retain(|_, source| !source.is_of_no_use(now));
        let next = self.first_expiry(now);
        self.is_timed = next.is_some();
        next
    }
}

impl<T: Carried> Locked<'_, T> {
    /// Takes a permit if one is free and no queued delivery may have it. Returns `true` if it does.
    pub(super) fn enter(&mut self) -> bool {
        let is_admitted = self.has_room();
        if is_admitted {
            self.recount(|counts| counts.add(Phase::Opening));
        }
        is_admitted
    }

    fn recount(&mut self, change: impl Fn(&mut Counts)) {
        self.all.recount(self.place, change);
    }

    fn source(&mut self) -> &mut Source {
        let source = self.source;
        self.all.sources.entry(source).or_default()
    }

    /// Returns `true` if a permit is free that no queued delivery may have.
    pub(super) fn has_room(&mut self) -> bool {
        self.all.has_room(self.place) && !self.all.is_due()
    }

    /// Returns the number of a delivery that is queued now.
    pub(super) fn next_number(&mut self) -> u64 {
        self.all.next_number += 1;
        self.all.next_number
    }

    /// Queues a delivery. Returns the waker of the delivery that uses a connection and listens, if there is one.
    pub(super) fn line_up(&mut self, waiting: Waiting<T>) -> Option<Waker> {
        if self.in_line_as.is_none() {
            let (number, place) = (waiting.number(), self.place);
            self.in_line_as = Some(number);
            self.source().line.enter(number, place);
        }
        self.push_waiting(waiting)
    }

    /// Adds an idle connection.
    pub(super) fn put_aside(&mut self, key: IdleKey, idle: Idle<T>) {
        let place = self.place;
        self.idle.push_back((key, idle));
        self.all.idle_places.insert(key, place);
    }

    /// Removes the connection of this group that was used last.
    pub(super) fn take_newest(&mut self) -> Option<(IdleKey, Idle<T>)> {
        let newest = self.idle.pop_back()?;
        self.all.idle_places.remove(&newest.0);
        Some(newest)
    }

    /// Removes the connection of this group that has been idle longest, to close it.
    pub(super) fn take_oldest(&mut self) -> Option<Removed<T>> {
        let (key, _) = *self.idle.front()?;
        self.all.take_idle(key)
    }

    /// Removes the delivery from the queue that gets a connection of this group next.
    pub(super) fn successor(&mut self) -> Successor<T> {
        let first = self.first_number();
        if self.all.is_place_needed(self.place, first.unwrap_or(u64::MAX)) {
            return Successor::OtherKey;
        }
        self.waiting.pop_front().map_or(Successor::None, Successor::Delivery)
    }

    /// Returns `true` if a queued delivery needs a connection of this group, or its permit.
    pub(super) fn has_successor(&mut self) -> bool {
        self.first_number().is_some() || self.all.is_place_needed(self.place, u64::MAX)
    }

    /// Returns the first queued delivery of this group, unless one of another group was queued before it and needs the same
    /// permit.
    pub(super) fn first_in_line(&mut self) -> Option<&Waiting<T>> {
        let first = self.first_number()?;
        if self.all.is_place_needed(self.place, first) { None } else { self.waiting.front() }
    }

    /// Counts a connection on which a session was opened. Returns `true` if a learned limit may have been raised, so that a
    /// queued delivery may get a permit, and the wakers of the deliveries that were told the terms of the server.
    pub(super) fn opened(&mut self, terms: Terms) -> (bool, Vec<Waker>) {
        self.turn(Phase::Opening, Phase::Working);
        let told = match self.terms.replace(terms) {
            None => self.waiting.iter().filter_map(|waiting| waiting.tell_terms(terms)).collect(),
            Some(_) => Vec::new(),
        };
        let most = self.all.limits.per_address;
        (self.source().raise_limit(most), told)
    }

    /// Moves a permit to another phase.
    pub(super) fn turn(&mut self, from: Phase, to: Phase) {
        self.recount(|counts| {
            counts.remove(from);
            counts.add(to);
        });
    }

    /// Returns a permit.
    pub(super) fn release(&mut self, phase: Phase) {
        self.recount(|counts| counts.remove(phase));
        if matches!(phase, Phase::Working | Phase::Closing) {
            self.source().last_closed = Some(Instant::now());
        }
    }

    /// Notes that the server greeted a connection with 421. `since` is the time at which its permit was taken.
    ///
    /// The number of other connections from the same source address becomes the learned limit of the server.
    pub(super) fn turned_away(&mut self, since: Option<Instant>) -> OtherConnections {
        self.turn(Phase::Opening, Phase::TurnedAway);
        let learned_for = self.all.limits.learned_for;
        if learned_for.is_zero() {
            return OtherConnections::None;
        }
        let source = self.source();
        // the server may have counted a connection that has been closed since
        let others = source.counts.not_turned_away().max(usize::from(source.last_closed >= since));
        source.learn(others, learned_for);
        match (source.counts.working, others) {
            (1.., _) => OtherConnections::Working,
            (0, 1..) => OtherConnections::Unsettled,
            (0, 0) => OtherConnections::None,
        }
    }

    /// Frees the place of a group that is not used.
    pub(super) fn forget(&mut self) {
        let place = self.place;
        let State { source: address, in_line_as, .. } = std::mem::take(&mut self.all.groups[place]);
        self.all.free.push(place);
        let source = self.all.sources.entry(address).or_default();
        source.groups -= 1;
        if let Some(number) = in_line_as {
            source.line.remove(number);
        }
        if source.is_of_no_use(Instant::now()) {
            self.all.sources.remove(&address);
        }
    }
}
