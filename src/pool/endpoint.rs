//! [`EndpointState`]: limits and line of the connections to one endpoint, over all keys.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::group::{Carried, Group, Locked, State};
use super::settings::PoolSettings;
use super::slot::Phase;
use super::ticket::Waiting;
use crate::proto::Terms;
use crate::transport::end_of;

/// Groups of one endpoint. Deliveries of all groups form one line: the first that may have a connection is the next, under
/// whichever key it waits.
pub(super) struct EndpointState<T: Carried> {
    /// Every group has a place of its own. Free places have a state that nothing refers to.
    groups: Vec<State<T>>,
    free: Vec<usize>,
    /// Number of permits over all groups.
    open: usize,
    limits: Limits,
    /// Limits of the server itself, one for each source address.
    learned: Vec<LearnedLimit>,
    /// When a connection that worked was closed last.
    last_closed: Option<Instant>,
    /// Number of the next delivery in line.
    next_number: u64,
}

/// Limits that the settings name.
#[derive(Debug, Clone, Copy)]
struct Limits {
    per_key: usize,
    per_address: usize,
    learned_for: Duration,
}

/// A limit of the server on connections from one address, learned from a greeting with 421.
#[derive(Debug)]
struct LearnedLimit {
    source: Option<IpAddr>,
    /// Connections that the server was known to allow.
    count: usize,
    /// When it expires. After that one connection more is tried at a time.
    until: Instant,
    /// Whether a task waits for the expiry.
    is_timed: bool,
}

/// Other connections to the server when it greeted one with 421.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// A session was opened on at least one.
    Working,
    /// At least one is being opened or closed, or was closed meanwhile, and none works.
    Unsettled,
    /// There are none.
    None,
}

/// Next use of a connection that is given back.
pub(super) enum Successor<T: Carried> {
    /// This delivery has it.
    Delivery(Waiting<T>),
    /// A delivery under another key needs the place: the connection must be closed.
    OtherKey,
    /// No delivery waits.
    None,
}

/// A connection that was idle, and its group.
type Removed<T> = (T, Arc<Group<T>>);

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

    /// A place for another group.
    pub(super) fn free_place(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.groups.push(State::default());
            self.groups.len() - 1
        })
    }

    pub(super) fn put(&mut self, place: usize, state: State<T>) {
        self.groups[place] = state;
    }

    /// Since when the connection is idle that was used the longest time ago, over all groups.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.groups.iter().filter_map(State::idle_since).min()
    }

    /// Takes out the connection that was idle longest, over all groups.
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

    /// Place of the group whose first delivery in line is the next to have a permit, if there is one to be had.
    fn next_in_line(&mut self) -> Option<usize> {
        let mut next = None;
        for place in 0..self.groups.len() {
            self.groups[place].skip_those_who_left();
            let Some(number) = self.groups[place].waiting.front().map(Waiting::number) else { continue };
            if next.is_none_or(|(earliest, _)| number < earliest) && self.has_room(place) {
                next = Some((number, place));
            }
        }
        next.map(|(_, place)| place)
    }

    /// Deliveries of a group that got into line before the delivery of this number and wait for a connection of another
    /// group to be closed: the limit of their own group leaves room for them.
    fn held_up(&self, place: usize, before: u64) -> impl Iterator<Item = &Waiting<T>> {
        let group = &self.groups[place];
        let room = self.limits.per_key.saturating_sub(group.open);
        let earlier = group.waiting.iter().take_while(move |waiting| waiting.number() < before);
        earlier.filter(|waiting| !waiting.has_left()).take(room)
    }

    /// Returns `true` if a group may have one more connection once one of another group is closed.
    fn may_replace(&self, place: usize, other: usize) -> bool {
        let source = self.groups[place].source;
        let Some(learned) = self.learned(source) else { return true };
        let live: usize = self.of_source(source).map(|group| group.open - group.closing).sum();
        live - usize::from(self.groups[other].source == source) < learned.limit()
    }

    /// Returns `true` if a delivery of another group needs the place of a connection of this group, and got into line before
    /// the delivery of this number. Connections that are being closed make room for as many.
    fn is_place_needed(&self, place: usize, before: u64) -> bool {
        let others = (0..self.groups.len()).filter(|other| *other != place);
        let others = others.filter(|other| self.may_replace(*other, place));
        others.flat_map(|other| self.held_up(other, before)).nth(self.closing()).is_some()
    }

    /// Takes out an idle connection whose place a delivery in line needs, the one that was idle longest.
    pub(super) fn take_idle_for_line(&mut self) -> Option<Removed<T>> {
        let idle = self.groups.iter().enumerate();
        let idle = idle.filter_map(|(place, group)| Some((group.idle_since()?, place)));
        let of_use = idle.filter(|(_, place)| self.is_place_needed(*place, u64::MAX));
        let (_, place) = of_use.min_by_key(|(since, _)| *since)?;
        self.take_oldest_at(place)
    }

    /// Returns `true` if a delivery in line may have a permit.
    pub(super) fn is_due(&mut self) -> bool {
        self.next_in_line().is_some()
    }

    /// Takes the next delivery out of the line, with a permit, if there is one to be had.
    pub(super) fn admit_next(&mut self) -> Option<(Waiting<T>, Arc<Group<T>>)> {
        loop {
            let place = self.next_in_line()?;
            let group = &mut self.groups[place];
            let waiting = group.waiting.pop_front()?;
            // a group with a line is not forgotten; without one nothing could be given
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

    /// The learned limit of a source address whose expiry no task waits for yet. From now on one does.
    pub(super) fn untimed_expiry(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let learned = self.learned.iter_mut().find(|learned| !learned.is_timed && learned.until > now)?;
        learned.is_timed = true;
        Some(learned.until)
    }

    /// Ends the wait of a task for learned limits; returns the next expiry, if there is one.
    pub(super) fn next_expiry(&mut self, now: Instant) -> Option<Instant> {
        for learned in &mut self.learned {
            learned.is_timed &= learned.until > now;
        }
        self.learned.iter().filter(|learned| learned.is_timed).map(|learned| learned.until).min()
    }
}

impl LearnedLimit {
    /// Connections that may be open at a time.
    fn limit(&self) -> usize {
        if Instant::now() < self.until { self.count } else { self.count + 1 }
    }
}

impl<T: Carried> Locked<'_, T> {
    /// Takes a permit, if there is one to be had and no delivery waits for it.
    pub(super) fn enter(&mut self) -> bool {
        let is_admitted = self.has_room();
        if is_admitted {
            self.open += 1;
            self.all.open += 1;
        }
        is_admitted
    }

    /// Returns `true` if there is room for a connection that no delivery in line waits for.
    pub(super) fn has_room(&mut self) -> bool {
        self.all.has_room(self.place) && !self.all.is_due()
    }

    /// Number of a delivery that gets into line now.
    pub(super) fn next_number(&mut self) -> u64 {
        self.all.next_number += 1;
        self.all.next_number
    }

    /// Number of the first delivery of this group in line.
    fn first_number(&mut self) -> Option<u64> {
        self.skip_those_who_left();
        self.waiting.front().map(Waiting::number)
    }

    /// Takes out of the line the delivery that is the next to use a connection of this group.
    pub(super) fn successor(&mut self) -> Successor<T> {
        let first = self.first_number();
        if self.all.is_place_needed(self.place, first.unwrap_or(u64::MAX)) {
            return Successor::OtherKey;
        }
        self.waiting.pop_front().map_or(Successor::None, Successor::Delivery)
    }

    /// Returns `true` if a delivery waits that has a use for a connection of this group, or for its place.
    pub(super) fn has_successor(&mut self) -> bool {
        self.first_number().is_some() || self.all.is_place_needed(self.place, u64::MAX)
    }

    /// The first delivery in line, if no delivery of another group that needs the same place came before it.
    pub(super) fn first_in_line(&mut self) -> Option<&Waiting<T>> {
        let first = self.first_number()?;
        if self.all.is_place_needed(self.place, first) { None } else { self.waiting.front() }
    }

    /// Counts a connection on which a session was opened. Returns `true` if that leaves room for a delivery in line: a
    /// learned limit was too low.
    pub(super) fn opened(&mut self, terms: Terms) -> bool {
        self.working += 1;
        self.terms = Some(terms);
        let source = self.source;
        let Some(index) = self.all.learned.iter().position(|learned| learned.source == source) else {
            return false;
        };
        let working = self.all.of_source(source).map(|group| group.working).sum();
        let most = self.all.limits.per_key.min(self.all.limits.per_address);
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

    /// Gives a permit up.
    pub(super) fn release(&mut self, phase: Phase) {
        self.count(phase, |count| *count -= 1);
        if matches!(phase, Phase::Working | Phase::Closing) {
            self.all.last_closed = Some(Instant::now());
        }
        self.open -= 1;
        self.all.open -= 1;
    }

    fn count(&mut self, phase: Phase, change: impl FnOnce(&mut usize)) {
        match phase {
            Phase::Working => change(&mut self.working),
            Phase::Closing => change(&mut self.closing),
            Phase::Opening | Phase::Left => {}
        }
    }

    /// Gives up the permit, taken `since` then, of a connection that the server greeted with 421. If there are other
    /// connections from the same source address, their number is the limit of the server from now on.
    pub(super) fn turned_away(&mut self, since: Option<Instant>) -> Others {
        self.release(Phase::Opening);
        let (source, learned_for) = (self.source, self.all.limits.learned_for);
        if learned_for.is_zero() {
            return Others::None;
        }
        let (mut open, mut working) = (0, 0);
        for group in self.all.of_source(source) {
            open += group.open;
            working += group.working;
        }
        // the server may have counted one that is closed by now
        let others = open.max(usize::from(self.all.last_closed >= since));
        self.learn(source, others, learned_for);
        match (working, others) {
            (1.., _) => Others::Working,
            (0, 1..) => Others::Unsettled,
            (0, 0) => Others::None,
        }
    }

    /// Notes a limit. One of no connection at all expires at once: a single connection is always tried.
    fn learn(&mut self, source: Option<IpAddr>, others: usize, learned_for: Duration) {
        let now = Instant::now();
        let until = if others == 0 { now } else { end_of(now, learned_for) };
        match self.all.learned.iter_mut().find(|learned| learned.source == source) {
            Some(learned) => (learned.count, learned.until) = (others, until),
            None => self.all.learned.push(LearnedLimit { source, count: others, until, is_timed: false }),
        }
    }

    /// Frees the place of a group that is of no use.
    pub(super) fn forget(&mut self) {
        let place = self.place;
        self.all.groups[place] = State::default();
        self.all.free.push(place);
    }
}
