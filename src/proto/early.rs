//! [`Ahead`]: what goes out with EHLO before its reply was read.

use super::command::Command;
use super::flight::Flight;
use super::output::Output;
use super::reply::Reply;

/// Answers to EHLO that mean that it is not known. Others refuse the client (RFC 5321 section 4.1.4).
const HELLO_UNKNOWN: [u16; 5] = [500, 501, 502, 504, 550];

/// What stands behind EHLO, without a wait for its reply. It is of use only if that is the one that was expected.
#[derive(Debug, Default)]
pub(crate) enum Ahead {
    #[default]
    Nothing,
    StartTls,
    /// The commands of a transaction, without any of its content.
    Commands(Box<Flight>),
}

impl Ahead {
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Queues it, and gives the place in the stream where it begins, if there is any of it.
    pub(super) fn queue(self, output: &mut Output) -> Option<u64> {
        let place = output.end();
        match self {
            Self::Nothing => return None,
            Self::StartTls => Command::StartTls.write(output),
            Self::Commands(flight) => output.append(flight.octets, flight.said),
        }
        Some(place)
    }
}

/// Whether a reply to EHLO means that HELO is to be said.
pub(crate) fn is_hello_unknown(reply: &Reply) -> bool {
    HELLO_UNKNOWN.contains(&reply.code().as_u16())
}
