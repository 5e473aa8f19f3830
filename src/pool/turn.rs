//! [`Turn`]: what a delivery gets that waited for a connection, and [`Offer`]: what it left to be said meanwhile.

use super::group::Carried;
use super::lease::Lease;
use super::slot::Slot;
use crate::proto::{Flight, Terms};

/// What a waiting delivery has to say first, to be sent behind the message before it.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) flight: Flight,
    /// To what server that may be said.
    pub(crate) terms: Terms,
    /// Whether that is all that the delivery has to say there.
    pub(crate) is_last: bool,
}

impl Offer {
    /// Whether it may be sent to a server of these terms, where there is room for commands, or for a message.
    pub(super) fn fits(&self, terms: &Terms, may_be_whole: bool) -> bool {
        self.terms == *terms && (may_be_whole || !self.flight.is_whole)
    }
}

/// Where in the stream of a connection an offer was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Octets that were queued before it, from the beginning of the stream.
    pub(crate) base: u64,
    /// Whether a RSET stands there first.
    pub(crate) after_reset: bool,
}

/// What a delivery gets that waited.
#[derive(Debug)]
pub(crate) enum Turn<T: Carried> {
    /// It may make a connection.
    Vacant(Slot<T>),
    /// Nothing yet. A connection to the server was opened, and an offer may be made to it by these terms.
    Terms(Terms),
    /// A connection.
    Lease(Lease<T>),
    /// A connection on which its offer was sent.
    Behind(Lease<T>, Place),
    /// Its offer was sent, and the connection was lost.
    Lost {
        place: Place,
        /// Octets that were written to it.
        written: u64,
        /// The room of the connection, which is that of the first of those who were behind on it.
        slot: Option<Slot<T>>,
    },
}

/// What a delivery finds that needs a connection.
#[derive(Debug)]
pub(crate) enum Entry<T: Carried> {
    /// One that is kept.
    Kept(Lease<T>),
    /// Room for another one.
    Vacant(Slot<T>),
    /// Neither. What is known of the server, so that an offer can be made.
    Full(Option<Terms>),
}
