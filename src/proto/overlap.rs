//! [`Overlap`]: a transaction behind which the next one is sent before it is answered (RFC 2920 section 3.1: the end of
//! the content may begin a group).

use std::task::Waker;

use bytes::Bytes;

use super::command::Command;
use super::flight::Flight;
use super::machine::{Interruption, Machine, Need, SurplusInput};
use super::output::Output;
use super::reply::{Reply, ReplyCode};
use super::stage::Stage;
use super::transaction::{Ending, Transaction};

/// Who knows what may be sent behind a message.
pub(crate) trait Behind {
    /// What may be sent next, which will stand in the stream from `base` on. With `after_reset` it is sent behind a RSET.
    fn next(&mut self, base: u64, after_reset: bool) -> Option<Flight>;

    /// Time has passed since it was asked last.
    fn resume(&mut self);

    /// Whether something was sent behind, now or by whoever had the connection before: octets may be left to be written,
    /// and the replies that come are not of this message.
    fn is_followed(&self) -> bool;

    /// Whether the connection is closed after this message.
    fn is_last(&self) -> bool;

    /// Whether there is something to be sent next; if not, the waker is woken when there is.
    fn listen(&mut self, waker: &Waker) -> bool;
}

/// Runs a transaction until it is settled, and queues behind it what may go there.
pub(crate) struct Overlap<'m, 'a> {
    transaction: &'m mut Transaction<'a>,
    behind: &'m mut (dyn Behind + Send),
    /// State of QUIT, once it is queued. Nothing may follow it.
    quit: Option<Quit>,
    /// Whether something may have changed since somebody was looked for to go behind.
    is_due: bool,
}

/// A QUIT that was sent with the end of the content.
#[derive(Debug)]
enum Quit {
    /// Its reply is due once the stream is written up to this place.
    Awaited(u64),
    /// The reply had this code, not 221. If another reply follows, this one belonged to an earlier command.
    Doubtful(ReplyCode),
    Done,
}

impl<'m, 'a> Overlap<'m, 'a> {
    pub(crate) fn new(transaction: &'m mut Transaction<'a>, behind: &'m mut (dyn Behind + Send)) -> Self {
        Self { transaction, behind, quit: None, is_due: true }
    }

    /// Whether QUIT was sent with the end of the content.
    pub(crate) fn has_left(&self) -> bool {
        self.quit.is_some()
    }

    /// Whether anything may go behind it. Whoever has to be asked for once more needs the connection for another message.
    fn may_be_followed(&self) -> bool {
        self.transaction.may_be_followed() && self.transaction.may_be_last()
    }

    /// Others get into line while there is something to wait for, so it is looked for them once after each such time.
    fn queue_behind(&mut self, output: &mut Output) {
        if !self.is_due || !self.may_be_followed() {
            return;
        }
        self.is_due = false;
        // after a chunk that was refused a server wants RSET (RFC 3030 section 2), and whether it was is not known yet
        let after_reset = self.transaction.uses_chunks();
        while let Some(flight) = self.behind.next(output.end(), after_reset) {
            if after_reset {
                Command::Rset.write(output);
            }
            output.append(flight.octets, flight.said);
        }
        if self.behind.is_last() {
            Command::Quit.write(output);
            self.quit = Some(Quit::Awaited(output.end()));
        }
    }

    /// Returns `true` if the transaction is settled, and only the reply to QUIT is due.
    fn awaits_quit(&self) -> bool {
        let is_usable = self.transaction.ending() != Ending::Unusable;
        is_usable
            && self.transaction.is_settled()
            && matches!(self.quit, Some(Quit::Awaited(_) | Quit::Doubtful(_)))
    }

    /// Handles the reply to QUIT, which changes nothing, or a reply in its place, which is surplus.
    fn handle_quit_reply(&mut self, code: ReplyCode, output: &Output) {
        let codes = match self.quit.replace(Quit::Done) {
            Some(Quit::Awaited(place)) if place <= output.heard_at() => {
                if code != ReplyCode::CLOSING_CHANNEL {
                    self.quit = Some(Quit::Doubtful(code));
                }
                return;
            }
            Some(Quit::Doubtful(first)) => vec![first, code],
            _ => vec![code],
        };
        self.transaction.handle_surplus(&SurplusInput { codes, ..SurplusInput::default() });
    }
}

impl Machine for Overlap<'_, '_> {
    fn poll(&mut self, output: &mut Output) -> Need {
        let need = self.transaction.poll(output);
        self.queue_behind(output);
        if self.awaits_quit() {
            return Need::Io(Stage::Quit);
        }
        let is_followed = self.has_left() || self.behind.is_followed();
        if is_followed && self.transaction.is_settled() { Need::Nothing } else { need }
    }

    fn handle_code(&mut self, code: ReplyCode, output: &mut Output) -> bool {
        !self.awaits_quit() && self.transaction.handle_code(code, output)
    }

    fn only_awaits_replies(&self) -> bool {
        self.transaction.only_awaits_replies()
    }

    fn resume(&mut self) {
        self.is_due = !self.has_left();
        self.behind.resume();
    }

    fn listen(&mut self, waker: &Waker) -> bool {
        !self.has_left() && self.may_be_followed() && self.behind.listen(waker)
    }

    fn handle_reply(&mut self, reply: Reply, output: &mut Output) {
        match self.awaits_quit() {
            true => self.handle_quit_reply(reply.code(), output),
            false => self.transaction.handle_reply(reply, output),
        }
    }

    fn handle_content(&mut self, piece: Option<Bytes>, output: &mut Output) {
        self.transaction.handle_content(piece, output);
    }

    fn handle_interruption(&mut self, why: Interruption, output: &mut Output) {
        if self.awaits_quit() {
            // the outcome does not depend on QUIT
            self.quit = Some(Quit::Done);
            return output.clear();
        }
        self.transaction.handle_interruption(why, output);
    }

    fn rejects_input(&self, output: &Output) -> bool {
        self.quit.is_none() && self.transaction.rejects_input(output)
    }

    fn owns_input(&self) -> bool {
        self.quit.is_none() && !self.behind.is_followed()
    }

    fn handle_surplus(&mut self, surplus: &SurplusInput) {
        self.transaction.handle_surplus(surplus);
    }
}
