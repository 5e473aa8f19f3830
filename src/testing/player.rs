//! Plays a dialogue with one connection.

use crate::escape::one_line;

use super::identity::ServerIdentity;
use super::ledger::Ledger;
use super::record::{Departure, Got};
use super::script::{Action, Dialogue, Pattern, Step};
use super::wire::{Unread, Wire};

/// Octets written at once in a repetition.
const BLOCK: usize = 16 * 1024;

/// Plays `dialogue` to its end, or to the client's departure from it.
pub(super) async fn play(dialogue: &Dialogue, identity: Option<&ServerIdentity>, wire: Wire) {
    let mut player = Player { wire, ledger: Ledger::default() };
    for step in &dialogue.steps {
        if step.action.is_expectation() {
            player.wire.record().awaits(player.wire.connection(), step);
        }
        let acted;
        (player, acted) = player.step(step, identity).await;
        match acted {
            Ok(()) if step.action.is_last() => return player.end(&step.action).await,
            Ok(()) => {}
            Err(got) => return player.depart(step.line, &step.text, got),
        }
    }
    let last = dialogue.steps.last().map_or(1, |step| step.line);
    player.linger(last).await;
}

struct Player {
    wire: Wire,
    ledger: Ledger,
}

impl Player {
    async fn step(mut self, step: &Step, identity: Option<&ServerIdentity>) -> (Self, Result<(), Got>) {
        if let (Action::Tls, Some(identity)) = (&step.action, identity) {
            return self.secure(identity).await;
        }
        let acted = self.act(step).await;
        (self, acted)
    }

    async fn act(&mut self, step: &Step) -> Result<(), Got> {
        match &step.action {
            Action::Say => self.say(&step.text),
            Action::Pieces(pieces) => self.write(pieces).await,
            Action::Repeat { times, octets } => {
                self.wire.note_sent(step.text.as_bytes());
                self.repeat(*times, octets).await;
            }
            Action::Line(pattern) => return self.line(pattern).await,
            Action::Content => return self.content().await,
            Action::Octets(count) => return self.octets(*count).await,
            Action::TlsRecord => return self.tls_record().await,
            Action::Left => return self.left().await,
            // there is an identity wherever a script has a handshake
            Action::Tls => {}
            Action::Rest => self.wire.flush().await,
            Action::Silence | Action::Close | Action::Reset => {
                self.wire.note_sent(step.text.as_bytes());
                self.wire.flush().await;
            }
        }
        Ok(())
    }

    /// A client that says more before the handshake departs (RFC 3207 section 4).
    async fn secure(mut self, identity: &ServerIdentity) -> (Self, Result<(), Got>) {
        if let Some(octets) = self.wire.early() {
            return (self, Err(Got::Line(one_line(&octets))));
        }
        let (wire, secured) = self.wire.secure(identity).await;
        self = Self { wire, ..self };
        (self, secured.map_err(Got::NoTls))
    }

    fn say(&mut self, line: &str) {
        self.ledger.replies(line.as_bytes());
        self.wire.say(line);
    }

    /// Gives the client a turn after each piece. What it does not read is no departure.
    async fn write(&mut self, pieces: &[Vec<u8>]) {
        self.ledger.replies(&pieces.concat());
        for piece in pieces {
            self.wire.note_sent(piece);
            let _ = self.wire.write(piece).await;
            tokio::task::yield_now().await;
        }
    }

    /// Ends early if the client left.
    async fn repeat(&mut self, times: u64, octets: &[u8]) {
        let in_block = (BLOCK / octets.len()).max(1) as u64;
        let block = octets.repeat(usize::try_from(in_block.min(times)).unwrap_or(1));
        let mut left = times;
        while left > 0 {
            let now = left.min(in_block);
            let length = octets.len() * usize::try_from(now).unwrap_or(1);
            if self.wire.write(&block[..length]).await.is_err() {
                return;
            }
            left -= now;
        }
    }

    async fn line(&mut self, pattern: &Pattern) -> Result<(), Got> {
        let line = self.wire.line().await?;
        if !pattern.matches(&line) {
            return Err(Got::Line(one_line(&line)));
        }
        self.ledger.command(&line);
        Ok(())
    }

    async fn content(&mut self) -> Result<(), Got> {
        let content = self.wire.content().await?.ok_or(Got::TooLong)?;
        let received = self.ledger.content(content);
        self.wire.record().message(received);
        Ok(())
    }

    async fn octets(&mut self, count: u64) -> Result<(), Got> {
        let limit = self.wire.limits().content.saturating_sub(self.ledger.pending());
        let octets = self.wire.octets(count, limit).await?.ok_or(Got::TooLong)?;
        if let Some(received) = self.ledger.octets(&octets) {
            self.wire.record().message(received);
        }
        Ok(())
    }

    async fn tls_record(&mut self) -> Result<(), Got> {
        match self.wire.tls_record().await? {
            true => Ok(()),
            false => Err(Got::Line("no TLS record".into())),
        }
    }

    async fn left(&mut self) -> Result<(), Got> {
        match self.wire.anything().await {
            Some(octets) => Err(Got::Line(one_line(&octets))),
            None => Ok(()),
        }
    }

    /// Ends as the last step says.
    async fn end(mut self, action: &Action) {
        self.wire.record().played(self.wire.connection());
        match action {
            Action::Silence => self.wire.left().await,
            Action::Rest => while self.wire.anything().await.is_some() {},
            Action::Reset => self.wire.reset(),
            _ => {}
        }
    }

    /// Closes the server's half and listens whether the client has something to add.
    async fn linger(mut self, line: usize) {
        self.wire.shutdown().await;
        self.wire.record().played(self.wire.connection());
        if let Err(got) = self.left().await {
            self.depart(line, "the end of the dialogue", got);
        }
    }

    fn depart(&self, line: usize, expected: &str, got: Got) {
        let connection = self.wire.connection() + 1;
        self.wire.record().depart(Departure { connection, line, expected: expected.into(), got });
    }
}

impl From<Unread> for Got {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Left => Self::End,
            Unread::TooLong => Self::TooLong,
        }
    }
}
