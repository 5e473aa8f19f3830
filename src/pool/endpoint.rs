//! [`EndpointState`]: connection limits and queue of one endpoint, over all pool keys.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::group::{Carried, Group, Locked, State};
use super::lease::Held;
use super::settings::PoolSettings;
use super::slot::Phase;
use super::ticket::Waiting;
use crate::proto::Terms;
use crate::transport::end_of;

/// The groups of one endpoint. Deliveries of all groups form one queue: the first that may have a connection is the next,
/// regardless of its key.
pub(super) struct EndpointState<T: Carried> {
    /// State of each group, at its place. Nothing refers to the state at a free place.
    groups: Vec<State<T>>,
    free: Vec<usize>,
    /// Number of permits over all groups.
    open: usize,
    limits: Limits,
    /// Limits of the server itself, one for each source address.
    learned: Vec<LearnedLimit>,
    /// Time at which a connection with a session was last closed.
    last_closed: Option<Instant>,
    /// Number of the latest delivery that was queued.
    next_number: u64,
}

/// Limits of the settings.
#[derive(Debug, Clone, Copy)]
struct Limits {
    per_key: usize,
    per_address: usize,
    learned_for: Duration,
}

/// A limit of the server on connections from one source address, learned from a greeting with 421.
#[derive(Debug)]
struct LearnedLimit {
    source: Option<IpAddr>,
    /// Number of connections that the server is known to accept.
    count: usize,
    /// Time of expiry. From then on one more connection at a time is tried.
    until: Instant,
    /// `true` if a task waits for the expiry.
    is_timed: bool,
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

/// A connection that was idle, and its group.
pub(super) type Removed<T> = (Box<Held<T>>, Arc<Group<T>>);

impl<T: Carried> EndpointState<T> {
    pub(super) fn new(settings: &PoolSettings) -> Self {
        let per_key = settings.connections.max(1);
        let limits = Limits {
            per_key,
            per_address: settings.max_connections_per_address.unwrap_or(per_key).max(1),
            learned_for: settings.learned_limit_ttl,
        };
        let (groups, free, learned) = (Vec::new(), Vec::new(), Vec::new());
        Self { groups, free, open: 0, limits, learned, last_closed: None, next_number: 0 }
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
        self.groups[place] = state;
    }

    /// Returns the time since which the least recently used connection of all groups has been idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.groups.iter().filter_map(State::idle_since).min()
    }

    /// Removes the connection that has been idle longest, over all groups.
    pub(super) fn take_oldest(&mut self) -> Option<Removed<T>> {
        let idle = self.groups.iter().enumerate();
        let idle = idle.filter_map(|(place, group)| Some((group.idle_since()?, place)));
        let (_, place) = idle.min_by_key(|(since, _)| *since)?;
        self.take_oldest_at(place)
    }

    fn take_oldest_at(&mut self, place: usize) -> Option<Removed<T>> {
        let state = &mut self.groups[place];
        let group = state.group.upgrade()?;
        Some((state.take_oldest()?, group))
    }

    fn of_source(&self, source: Option<IpAddr>) -> impl Iterator<Item = &State<T>> {
        self.groups.iter().filter(move |group| group.source == source)
    }

    fn learned(&self, source: Option<IpAddr>) -> Option<&LearnedLimit> {
        self.learned.iter().find(|learned| learned.source == source)
    }

    fn closing(&self) -> usize {
        self.groups.iter().map(|group| group.closing).sum()
    }

    /// Returns `true` if a group may have one more connection.
    fn has_room(&self, place: usize) -> bool {
        let group = &self.groups[place];
        if group.open >= self.limits.per_key || self.open >= self.limits.per_address {
            return false;
        }
        let open = || self.of_source(group.source).map(|group| group.open).sum::<usize>();
        self.learned(group.source).is_none_or(|learned| open() < learned.limit())
    }

    /// Returns the place of the group with the first queued delivery that may get a permit now.
    fn next_in_line(&mut self) -> Option<usize> {
        let mut next = None;
        for place in 0..self.groups.len() {
            self.groups[place].skip_cancelled();
            let Some(number) = self.groups[place].waiting.front().map(Waiting::number) else { continue };
            if next.is_none_or(|(earliest, _)| number < earliest) && self.has_room(place) {
                next = Some((number, place));
            }
        }
        next.map(|(_, place)| place)
    }

    /// Returns the deliveries of a group that wait for a connection of another group to be closed, because the limit of their
    /// own group leaves room for them. Only those queued before the delivery of this number.
    fn held_up(&self, place: usize, before: u64) -> impl Iterator<Item = &Waiting<T>> {
        let group = &self.groups[place];
        let room = self.limits.per_key.saturating_sub(group.open);
        let earlier = group.waiting.iter().take_while(move |waiting| waiting.number() < before);
        earlier.filter(|waiting| !waiting.has_left()).take(room)
    }

    /// Returns `true` if a group may have one more connection after one of another group is closed.
    fn may_replace(&self, place: usize, other: usize) -> bool {
        let source = self.groups[place].source;
        let Some(learned) = self.learned(source) else { return true };
        let live: usize = self.of_source(source).map(|group| group.open - group.closing).sum();
        live - usize::from(self.groups[other].source == source) < learned.limit()
    }

    /// Returns `true` if a delivery of another group needs the permit of a connection of this group. Only deliveries queued
    /// before the delivery of this number count, and not those served by connections that are being closed.
    fn is_place_needed(&self, place: usize, before: u64) -> bool {
        let others = (0..self.groups.len()).filter(|other| *other != place);
        let others = others.filter(|other| self.may_replace(*other, place));
        others.flat_map(|other| self.held_up(other, before)).nth(self.closing()).is_some()
    }

    /// Removes the connection that has been idle longest, of those that must be closed for a queued delivery.
    pub(super) fn take_idle_for_line(&mut self) -> Option<Removed<T>> {
        let idle = self.groups.iter().enumerate();
        let idle = idle.filter_map(|(place, group)| Some((group.idle_since()?, place)));
        let of_use = idle.filter(|(_, place)| self.is_place_needed(*place, u64::MAX));
        let (_, place) = of_use.min_by_key(|(since, _)| *since)?;
        self.take_oldest_at(place)
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
            group.open += 1;
            self.open += 1;
            return Some((waiting, of));
        }
    }

    /// Returns `true` if the server has a limit that has not expired.
    pub(super) fn has_limit(&self) -> bool {
        let now = Instant::now();
        self.learned.iter().any(|learned| learned.until > now)
    }

    /// Returns the expiry of a learned limit for which no task waits yet. The caller must start one.
    pub(super) fn untimed_expiry(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let learned = self.learned.iter_mut().find(|learned| !learned.is_timed && learned.until > now)?;
        learned.is_timed = true;
        Some(learned.until)
    }

    /// Ends the wait for limits that have expired. Returns the next expiry, if there is one.
    pub(super) fn next_expiry(&mut self, now: Instant) -> Option<Instant> {
        for learned in &mut self.learned {
            learned.is_timed &= learned.until > now;
        }
        self.learned.iter().filter(|learned| learned.is_timed).map(|learned| learned.until).min()
    }
}

impl LearnedLimit {
    /// Returns the maximum number of open connections.
    fn limit(&self) -> usize {
        if Instant::now() < self.until { self.count } else { self.count + 1 }
    }
}

impl<T: Carried> Locked<'_, T> {
    /// Takes a permit if one is free and no queued delivery may have it. Returns `true` if it does.
    pub(super) fn enter(&mut self) -> bool {
        let is_admitted = self.has_room();
        if is_admitted {
            self.open += 1;
            self.all.open += 1;
        }
        is_admitted
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

    /// Returns the number of the first queued delivery of this group.
    fn first_number(&mut self) -> Option<u64> {
        self.skip_cancelled();
        self.waiting.front().map(Waiting::number)
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
    /// queued delivery may get a permit.
    pub(super) fn opened(&mut self, terms: Terms) -> bool {
        self.working += 1;
        if self.terms.replace(terms).is_none() {
            self.waiting.iter().for_each(|waiting| waiting.tell_terms(terms));
        }
        let source = self.source;
        let Some(index) = self.all.learned.iter().position(|learned| learned.source == source) else {
            return false;
        };
        let working = self.all.of_source(source).map(|group| group.working).sum();
        let most = self.all.limits.per_address;
        let learned = &mut self.all.learned[index];
        learned.count = learned.count.max(working);
        if learned.count >= most {
            self.all.learned.swap_remove(index);
        }
        true
    }

    /// Moves a permit to another phase.
    pub(super) fn turn(&mut self, from: Phase, to: Phase) {
        self.count(from, |count| *count -= 1);
        self.count(to, |count| *count += 1);
    }

    /// Returns a permit.
    pub(super) fn release(&mut self, phase: Phase) {
        self.count(phase, |count| *count -= 1);
        if matches!(phase, Phase::Working | Phase::Closing) {
            self.all.last_closed = Some(Instant::now());
        }
        self.open -= 1;
        self.all.open -= 1;
    }

    fn count(&mut self, phase: Phase, change: impl Fn(&mut usize)) {
        match phase {
            Phase::Working => change(&mut self.working),
            Phase::Closing => change(&mut self.closing),
            Phase::TurnedAway => {
                change(&mut self.closing);
                change(&mut self.turned_away);
            }
            Phase::Opening | Phase::Left => {}
        }
    }

    /// Notes that the server greeted a connection with 421. `since` is the time at which its permit was taken.
    ///
    /// The number of other connections from the same source address becomes the learned limit of the server.
    pub(super) fn turned_away(&mut self, since: Option<Instant>) -> OtherConnections {
        self.turn(Phase::Opening, Phase::TurnedAway);
        let (source, learned_for) = (self.source, self.all.limits.learned_for);
        if learned_for.is_zero() {
            return OtherConnections::None;
        }
        let (mut open, mut working) = (0, 0);
        for group in self.all.of_source(source) {
            open += group.open - group.turned_away;
            working += group.working;
        }
        // the server may have counted a connection that has been closed since
        let others = open.max(usize::from(self.all.last_closed >= since));
        self.learn(source, others, learned_for);
        match (working, others) {
            (1.., _) => OtherConnections::Working,
            (0, 1..) => OtherConnections::Unsettled,
            (0, 0) => OtherConnections::None,
        }
    }

    /// Stores a learned limit. A limit of 0 expires at once, because a single connection is always tried.
    fn learn(&mut self, source: Option<IpAddr>, others: usize, learned_for: Duration) {
        let now = Instant::now();
        let until = if others == 0 { now } else { end_of(now, learned_for) };
        match self.all.learned.iter_mut().find(|learned| learned.source == source) {
            Some(learned) => (learned.count, learned.until) = (others, until),
            None => self.all.learned.push(LearnedLimit { source, count: others, until, is_timed: false }),
        }
    }

    /// Frees the place of a group that is not used.
    pub(super) fn forget(&mut self) {
        let place = self.place;
        self.all.groups[place] = State::default();
        self.all.free.push(place);
    }
}
