//! [`ticket`]: a place in line, with what is left to be said there, in one allocation.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::group::Carried;
use super::turn::{Offer, Turn};
use crate::proto::Terms;

/// A place in line: whoever serves the line has this half.
pub(super) struct Waiting<T: Carried> {
    desk: Arc<Desk<T>>,
    /// Its number among all deliveries that wait for the same endpoint.
    number: u64,
}

/// The other half, which is ready when it is the delivery's turn, or with `None` when nobody is left to call it. After
/// [`Turn::Terms`] the delivery is still in line.
pub(crate) struct Ticket<T: Carried>(Arc<Desk<T>>);

struct Desk<T: Carried>(Mutex<State<T>>);

struct State<T: Carried> {
    offer: Option<Offer>,
    is_sent: bool,
    /// `true` if the delivery would make an offer if it knew the terms of the server.
    awaits_terms: bool,
    /// Terms of the server that the delivery has not been told yet.
    terms: Option<Terms>,
    call: Call<T>,
}

enum Call<T: Carried> {
    Awaited(Option<Waker>),
    Turn(Turn<T>),
    /// One of the two is not there any more.
    Over,
}

/// A new place in line, with its number. `awaits_terms`: the delivery makes an offer once the terms of the server are known.
pub(super) fn ticket<T: Carried>(
    offer: Option<Offer>,
    awaits_terms: bool,
    number: u64,
) -> (Waiting<T>, Ticket<T>) {
    let state = State { offer, is_sent: false, awaits_terms, terms: None, call: Call::Awaited(None) };
    let desk = Arc::new(Desk(Mutex::new(state)));
    (Waiting { desk: Arc::clone(&desk), number }, Ticket(desk))
}

impl<T: Carried> Desk<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in the place of the call, unless it is over; what does not get there comes back.
    fn call(&self, next: Call<T>) -> Option<Call<T>> {
        let mut state = self.state();
        let Call::Awaited(waker) = &mut state.call else { return Some(next) };
        let waker = waker.take();
        state.call = next;
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        None
    }
}

impl<T: Carried> Waiting<T> {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the delivery is not there any more.
    pub(super) fn has_left(&self) -> bool {
        matches!(self.desk.state().call, Call::Over)
    }

    /// Whether the delivery is still there, and has something to say that fits.
    pub(super) fn offers(&self, fits: impl FnOnce(&Offer) -> bool) -> bool {
        let state = self.desk.state();
        !matches!(state.call, Call::Over) && state.offer.as_ref().is_some_and(fits)
    }

    /// Takes what the delivery has to say, if it is still there and that fits. From then on it is sent.
    pub(super) fn take_offer(&self, fits: impl FnOnce(&Offer) -> bool) -> Option<Offer> {
        let mut state = self.desk.state();
        let is_there = !matches!(state.call, Call::Over);
        let offer = state.offer.take_if(|offer| is_there && fits(offer))?;
        state.is_sent = true;
        Some(offer)
    }

    /// Tells the delivery the terms of the server, if it waits for them. Returns its waker.
    pub(super) fn tell_terms(&self, terms: Terms) -> Option<Waker> {
        let mut state = self.desk.state();
        if !mem::take(&mut state.awaits_terms) {
            return None;
        }
        state.terms = Some(terms);
        match &mut state.call {
            Call::Awaited(waker) => waker.take(),
            Call::Turn(_) | Call::Over => None,
        }
    }

    /// Tells the delivery that it is its turn. If it is not there any more the turn comes back.
    pub(super) fn send(self, turn: Turn<T>) -> Option<Turn<T>> {
        match self.desk.call(Call::Turn(turn)) {
            Some(Call::Turn(turn)) => Some(turn),
            _ => None,
        }
    }
}

impl<T: Carried> Drop for Waiting<T> {
    fn drop(&mut self) {
        // a turn that was told stays
        let _ = self.desk.call(Call::Over);
    }
}

impl<T: Carried> Ticket<T> {
    /// Leaves the line. What was offered is not sent any more.
    pub(crate) fn leave(&mut self) {
        let mut state = self.0.state();
        let call = mem::replace(&mut state.call, Call::Over);
        drop(state);
        match call {
            // nothing was sent on it for the delivery
            Call::Turn(Turn::Lease(lease)) => lease.return_unused(),
            // a grant that comes too late passes to the next delivery when it is dropped
            other => drop(other),
        }
    }

    /// Withdraws what was offered and stays in line. Returns `false` if it was sent already.
    pub(crate) fn withdraw(&mut self) -> bool {
        let mut state = self.0.state();
        state.offer = None;
        (state.awaits_terms, state.terms) = (false, None);
        !state.is_sent
    }

    /// Offers something, in line.
    pub(super) fn offer(&mut self, offer: Option<Offer>) {
        self.0.state().offer = offer;
    }

    /// Whether what was offered was sent in the name of the delivery.
    pub(crate) fn is_sent(&self) -> bool {
        self.0.state().is_sent
    }
}

impl<T: Carried> Future for Ticket<T> {
    type Output = Option<Turn<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state();
        if matches!(state.call, Call::Awaited(_))
            && let Some(terms) = state.terms.take()
        {
            return Poll::Ready(Some(Turn::Terms(terms)));
        }
        match mem::replace(&mut state.call, Call::Over) {
            Call::Turn(turn) => Poll::Ready(Some(turn)),
            Call::Over => Poll::Ready(None),
            Call::Awaited(waker) => {
                let known = waker.filter(|waker| waker.will_wake(context.waker()));
                state.call = Call::Awaited(Some(known.unwrap_or_else(|| context.waker().clone())));
                Poll::Pending
            }
        }
    }
}

impl<T: Carried> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T: Carried> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket(sent: {})", self.is_sent())
    }
}
