//! [`Lease`]: a connection in use, and the deliveries whose offers were sent on it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::endpoint::Successor;
use super::group::{Carried, Idle};
use super::slot::{Closing, Slot, abandon, part};
use super::ticket::Waiting;
use super::turn::{Offer, Place, Turn};
use crate::proto::{Flight, Protocol, Terms};
use crate::transport::Closed;

/// A connection in use. Dropped without being given back it is closed: nothing that was broken off is used again (law 9),
/// and whoever is behind on it is told how much was written (law 3).
pub(crate) struct Lease<T: Carried>(Option<Box<Held<T>>>);

/// A connection with its books. It is moved from hand to hand, so it has a place of its own.
pub(super) struct Held<T: Carried> {
    item: T,
    queue: Queue<T>,
}

/// What a pool knows of a connection, in use or not, and who is behind on it.
pub(crate) struct Queue<T: Carried> {
    /// The right to have it. While nobody uses it, it counts without one.
    slot: Option<Slot<T>>,
    /// Notice that it is closed, while nobody uses it.
    closed: Option<Closed>,
    /// Deliveries whose offers were sent on it already, in the order of the offers.
    followers: VecDeque<Follower<T>>,
    born: Instant,
    /// That went over it, or are going now.
    messages: usize,
    past: Past,
    /// Under which number it waits for others to get into line.
    listening: Option<u64>,
    /// Whether it is too old for a further message, when that was looked at last.
    is_old: bool,
    /// Whether time passed since.
    is_age_due: bool,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Past {
    /// Nothing was sent on it before.
    New,
    /// From another delivery, a moment ago.
    HandedOn,
    /// It was idle for so long.
    Idle(Duration),
}

/// A delivery whose offer was sent.
struct Follower<T: Carried> {
    waiting: Waiting<T>,
    place: Place,
    /// Whether nothing is left for it to say.
    is_whole: bool,
}

impl<T: Carried> Lease<T> {
    /// A connection that was just made, to a server of which this is known.
    pub(crate) fn new(mut slot: Slot<T>, item: T, terms: Terms) -> Self {
        slot.shared.opened.fetch_add(1, Ordering::Relaxed);
        slot.opened(terms);
        Self(Some(Box::new(Held::new(slot, item))))
    }

    pub(super) fn of_idle(mut slot: Slot<T>, idle: Idle<T>, now: Instant) -> Self {
        let Idle { mut held, since } = idle;
        held.queue.closed.take().into_iter().for_each(|closed| slot.tie(closed));
        held.queue.slot = Some(slot);
        held.queue.past = Past::Idle(now.saturating_duration_since(since));
        held.queue.look_at_age(now);
        Self(Some(held))
    }

    /// The connection, and who is behind on it. There is one until the lease is given back.
    pub(crate) fn split(&mut self) -> Option<(&mut T, &mut Queue<T>)> {
        self.0.as_mut().map(|held| (&mut held.item, &mut held.queue))
    }

    /// Whether nothing was sent on it before.
    pub(crate) fn is_new(&self) -> bool {
        self.0.as_ref().is_some_and(|held| held.queue.past == Past::New)
    }

    /// How long it was idle before; no time at all where it was handed on.
    pub(crate) fn idle_for(&self) -> Duration {
        match self.0.as_ref().map(|held| held.queue.past) {
            Some(Past::Idle(time)) => time,
            Some(Past::New | Past::HandedOn) | None => Duration::ZERO,
        }
    }

    /// Whether others wait for replies on it.
    pub(crate) fn is_followed(&self) -> bool {
        self.0.as_ref().is_some_and(|held| held.queue.is_followed())
    }

    /// Gives the connection to whoever is next, or keeps it. What comes back is to be closed.
    pub(crate) fn give_back(mut self) -> Option<Closing<T>> {
        let queue = &mut self.0.as_mut()?.queue;
        queue.past = Past::HandedOn;
        queue.listen_no_more();
        let now = Instant::now();
        queue.look_at_age(now);
        if let Some(Follower { waiting, place, .. }) = queue.followers.pop_front() {
            // nobody there: what was sent in its name goes unanswered, so the connection is of no more use
            let _ = waiting.send(Turn::Behind(self, place));
            return None;
        }
        if !queue.takes_more(0) {
            return self.into_closing();
        }
        while let Some(slot) = &self.0.as_ref()?.queue.slot {
            let successor = slot.group.state().successor();
            let next = match successor {
                Successor::Delivery(next) => next,
                Successor::OtherKey => {
                    // the report of this delivery does not wait for a server that is slow to answer QUIT
                    part(self.into_closing());
                    return None;
                }
                Successor::None => break,
            };
            match next.send(Turn::Lease(self)) {
                Some(Turn::Lease(lease)) => self = lease,
                _ => return None,
            }
        }
        self.keep(now)
    }

    /// Returns a connection that was handed to a delivery which no longer needs it.
    pub(crate) fn return_unused(self) {
        // without a runtime no task could close it in time
        if Handle::try_current().is_ok() {
            part(self.give_back());
        }
    }

    /// Gives up the permit of a connection after the server closed its end, or after the time limit for that.
    pub(crate) fn close_at_once(mut self) {
        if let Some(held) = self.0.take() {
            let Held { item, mut queue } = *held;
            queue.listen_no_more();
            let (written, mut slot) = (item.written(), queue.slot.take());
            drop(item);
            if queue.is_followed() {
                slot.iter_mut().for_each(Slot::reopen);
            }
            queue.tell_lost(written, slot);
        }
    }

    /// Closes the connection; its room is for another one.
    pub(crate) async fn into_slot(mut self) -> Option<Slot<T>> {
        let Held { item, mut queue } = *self.0.take()?;
        queue.listen_no_more();
        let mut slot = queue.slot.take();
        slot.iter_mut().for_each(Slot::reopen);
        queue.tell_lost(item.written(), None);
        // dropped before the room, should the future be
        item.abandon().await;
        slot
    }

    /// Returns the connection, on which no delivery is pipelined. Its permit is free once it is closed.
    fn into_closing(mut self) -> Option<Closing<T>> {
        let Held { item, queue } = *self.0.take()?;
        Some(Closing::new(item, queue.slot?))
    }

    fn keep(mut self, since: Instant) -> Option<Closing<T>> {
        let mut held = self.0.take()?;
        let mut slot = held.queue.slot.take()?;
        if slot.shared.settings.idle.is_zero() {
            return Some(Closing::new(held.item, slot));
        }
        held.item.rest();
        held.queue.closed = slot.untie();
        match slot.shared.keep(&slot.group, Idle { held, since }) {
            Ok(()) => {
                slot.leave();
                None
            }
            // somebody got into line meanwhile
            Err(Idle { mut held, .. }) => {
                held.queue.closed.take().into_iter().for_each(|closed| slot.tie(closed));
                held.queue.slot = Some(slot);
                self.0 = Some(held);
                self.give_back()
            }
        }
    }
}

impl<T: Carried> Held<T> {
    pub(super) fn new(slot: Slot<T>, item: T) -> Self {
        Self { item, queue: Queue::new(slot, Instant::now()) }
    }

    /// Returns the connection and the notice that it is closed, for one that was idle.
    pub(super) fn into_parts(self) -> (T, Option<Closed>) {
        (self.item, self.queue.closed)
    }
}

impl<T: Carried> Queue<T> {
    fn new(slot: Slot<T>, born: Instant) -> Self {
        Self {
            slot: Some(slot),
            closed: None,
            followers: VecDeque::new(),
            born,
            messages: 0,
            past: Past::New,
            listening: None,
            is_old: false,
            is_age_due: true,
        }
    }

    /// Notes that one more message goes over it.
    pub(crate) fn count(&mut self) {
        self.messages += 1;
    }

    /// Notes that time has passed: its age is to be looked at before others go behind.
    pub(crate) fn resume(&mut self) {
        self.is_age_due = true;
    }

    fn look_at_age(&mut self, now: Instant) {
        let age = self.slot.as_ref().map_or(Duration::MAX, |slot| slot.shared.settings.age);
        self.is_old = self.born.checked_add(age).is_some_and(|dies| dies <= now);
        self.is_age_due = false;
    }

    /// The offer of the delivery that is next in line, if it may be sent now, at this place in the stream: to a server of
    /// these terms, within the window, and behind nobody who has still more to say.
    pub(crate) fn behind(&mut self, terms: &Terms, place: Place) -> Option<Flight> {
        if !self.slot.as_ref()?.group.has_line() {
            return None;
        }
        if self.is_age_due {
            self.look_at_age(Instant::now());
        }
        let may_be_whole = self.may_be_whole(terms)?;
        let mut state = self.slot.as_ref()?.group.state();
        let offer = state.first_in_line()?.take_offer(|offer| offer.fits(terms, may_be_whole))?;
        let (Offer { flight, is_last, .. }, waiting) = (offer, state.waiting.pop_front()?);
        drop(state);
        self.followers.push_back(Follower { waiting, place, is_whole: flight.is_whole && is_last });
        Some(flight)
    }

    /// Whether an offer may be sent behind, and one of a whole message.
    fn may_be_whole(&self, terms: &Terms) -> Option<bool> {
        let slot = self.slot.as_ref()?;
        if self.followers.back().is_some_and(|last| !last.is_whole) || !self.takes_more(self.followers.len())
        {
            return None;
        }
        // RFC 2033 does not say whether content for nobody is answered: what stands behind it could not be told apart
        let is_counted = terms.protocol == Protocol::Smtp;
        Some(is_counted && self.followers.len() + 1 < slot.shared.settings.window.max(1))
    }

    /// Whether the delivery that is next in line has an offer that may be sent now. If not, the waker is woken when
    /// another one gets into line.
    pub(crate) fn listen(&mut self, terms: &Terms, waker: &Waker) -> bool {
        let (Some(may_be_whole), Some(slot)) = (self.may_be_whole(terms), &self.slot) else {
            self.listen_no_more();
            return false;
        };
        let mut state = slot.group.state();
        let fits = |first: &Waiting<T>| first.offers(|offer| offer.fits(terms, may_be_whole));
        let is_there = state.first_in_line().is_some_and(fits);
        // by chunks small messages are offered whole: where no second one may be under way waking up would be in vain
        if !is_there && (may_be_whole || !terms.by_chunks()) {
            self.listening = Some(state.listen(self.listening, waker));
        }
        is_there
    }

    fn listen_no_more(&mut self) {
        if let (Some(slot), Some(number)) = (&self.slot, self.listening.take()) {
            slot.group.state().listen_no_more(number);
        }
    }

    /// Whether others wait for replies on it.
    pub(crate) fn is_followed(&self) -> bool {
        !self.followers.is_empty()
    }

    /// Whether the connection would be closed if it were given back now.
    pub(crate) fn is_last(&self) -> bool {
        let Some(slot) = &self.slot else { return true };
        let is_wanted = !slot.shared.settings.idle.is_zero() || slot.group.has_line();
        let is_kept = self.takes_more(0) && is_wanted;
        self.followers.is_empty() && !is_kept
    }

    /// Notifies the pipelined deliveries that the connection is lost, and of the number of bytes written to it. The first one
    /// that still waits gets the permit.
    fn tell_lost(&mut self, written: u64, mut slot: Option<Slot<T>>) {
        for Follower { waiting, place, .. } in self.followers.drain(..) {
            // cancelled deliveries need no permit
            if let Some(Turn::Lost { slot: unused, .. }) =
                waiting.send(Turn::Lost { place, written, slot: slot.take() })
            {
                slot = unused;
            }
        }
    }

    fn takes_more(&self, beside: usize) -> bool {
        let Some(slot) = &self.slot else { return false };
        let settings = &slot.shared.settings;
        self.messages + beside < settings.messages.max(1) && !self.is_old
    }
}

impl<T: Carried> Drop for Lease<T> {
    fn drop(&mut self) {
        let Some(Held { item, mut queue }) = self.0.take().map(|held| *held) else { return };
        let written = item.written();
        queue.listen_no_more();
        let Some(mut slot) = queue.slot.take() else { return };
        if queue.is_followed() {
            drop(item);
            slot.reopen();
            queue.tell_lost(written, Some(slot));
        } else {
            abandon(Closing::new(item, slot));
        }
    }
}

impl<T: Carried> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(held) = &self.0 else { return f.write_str("Lease") };
        let Queue { slot, messages, followers, .. } = &held.queue;
        write!(f, "Lease({slot:?}, {messages} messages, {} behind)", followers.len())
    }
}
