//! [`Source`]: connections of one endpoint from one source address, and the limit of the server on them.

use std::time::Duration;

use tokio::time::Instant;

use super::group::{Carried, State};
use super::line::Line;
use super::slot::Phase;
use crate::transport::end_of;

/// Connections from one source address to one endpoint, over all groups.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Number of groups.
    pub(super) groups: usize,
    pub(super) counts: Counts,
    pub(super) line: Line,
    /// Limit of the server, if it is known.
    pub(super) learned: Option<LearnedLimit>,
    /// Time at which a connection with a session was last closed.
    pub(super) last_closed: Option<Instant>,
}

/// Numbers of permits.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Permits of connections that are being opened, in use, idle, or being closed.
    pub(super) open: usize,
    /// Those of connections on which a session was opened and that are not being closed.
    pub(super) working: usize,
    /// Those of connections that are being closed.
    pub(super) closing: usize,
    /// Those of connections that the server greeted with 421. These are being closed too.
    turned_away: usize,
}

/// A limit of the server on connections from one source address, learned from a greeting with 421.
#[derive(Debug)]
pub(super) struct LearnedLimit {
    /// Number of connections that the server is known to accept.
    count: usize,
    /// Time of expiry. From then on one more connection at a time is tried.
    until: Instant,
}

impl Counts {
    pub(super) fn add(&mut self, phase: Phase) {
        self.change(phase, |count| *count += 1);
    }

    pub(super) fn remove(&mut self, phase: Phase) {
        self.change(phase, |count| *count -= 1);
    }

    fn change(&mut self, phase: Phase, change: impl Fn(&mut usize)) {
        change(&mut self.open);
        match phase {
            Phase::Working => change(&mut self.working),
            Phase::Closing | Phase::Unopened => change(&mut self.closing),
            Phase::TurnedAway => {
                change(&mut self.closing);
                change(&mut self.turned_away);
            }
            Phase::Opening | Phase::Left => {}
        }
    }

    /// Returns the number of connections that the server has not greeted with 421.
    pub(super) fn not_turned_away(&self) -> usize {
        self.open - self.turned_away
    }
}

impl Source {
    /// Returns `true` if the server accepts one more connection.
    pub(super) fn has_room(&self) -> bool {
        self.accepts(self.counts.open)
    }

    /// Returns `true` if the server accepts one more connection after those that are being closed, and one more if
    /// `is_own`, are closed.
    pub(super) fn has_room_after_closing(&self, is_own: bool) -> bool {
        let left = self.counts.open - self.counts.closing;
        self.accepts(left.saturating_sub(usize::from(is_own)))
    }

    fn accepts(&self, beside: usize) -> bool {
        self.learned.as_ref().is_none_or(|learned| beside < learned.limit())
    }

    /// Returns the first queued delivery with this number or a later one, of those that are the first of their group: its
    /// number and the place of the group.
    pub(super) fn first_in_line<T: Carried>(
        &mut self,
        groups: &mut [State<T>],
        from: u64,
    ) -> Option<(u64, usize)> {
        self.line.first(from, |place| {
            let group = &mut groups[place];
            group.in_line_as = group.first_number();
            group.in_line_as
        })
    }

    /// Stores a learned limit. A limit of 0 expires at once, because a single connection is always tried.
    pub(super) fn learn(&mut self, count: usize, learned_for: Duration) {
        let now = Instant::now();
        let until = if count == 0 { now } else { end_of(now, learned_for) };
        self.learned = Some(LearnedLimit { count, until });
    }

    /// Raises a learned limit to the number of connections that work now, and drops it if it is no lower than that of the
    /// settings. Returns `true` if there was one.
    pub(super) fn raise_limit(&mut self, most: usize) -> bool {
        let Some(learned) = &mut self.learned else { return false };
        learned.count = learned.count.max(self.counts.working);
        if learned.count >= most {
            self.learned = None;
        }
        true
    }

    /// Returns the time at which the learned limit expires, if that is later than `now`.
    pub(super) fn expiry(&self, now: Instant) -> Option<Instant> {
        self.learned.as_ref().map(|learned| learned.until).filter(|until| *until > now)
    }

    /// Returns `true` if there is no group, and no learned limit that has not expired.
    pub(super) fn is_of_no_use(&self, now: Instant) -> bool {
        self.groups == 0 && self.expiry(now).is_none()
    }
}

impl LearnedLimit {
    /// Returns the maximum number of open connections.
    fn limit(&self) -> usize {
        if Instant::now() < self.until { self.count } else { self.count + 1 }
    }
}
