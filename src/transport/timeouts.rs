//! [`Timeouts`]: how long each step of a connection may take.

use std::time::Duration;

use crate::proto::Stage;

/// Time limits. Each is a deadline for the whole of what it names: a server that sends an octet now and then
/// gains nothing by it.
///
/// The defaults are the least that RFC 5321 section 4.5.3.2 asks for, where it names one; a shorter limit
/// makes for messages that arrive twice. A reply to one of several commands in a group has its time from the
/// reply before it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Establishing a TCP or unix connection; 1 minute.
    pub connect: Duration,
    /// The greeting (RFC 5321 section 4.5.3.2.1); 5 minutes.
    pub greeting: Duration,
    /// The reply to EHLO, HELO, LHLO, STARTTLS and RSET, for which the RFC names no limit; 5 minutes.
    pub hello: Duration,
    /// A TLS handshake, from its first octet to its last; 1 minute.
    pub tls: Duration,
    /// The reply to MAIL (RFC 5321 section 4.5.3.2.2); 5 minutes.
    pub mail: Duration,
    /// The reply to each RCPT (RFC 5321 section 4.5.3.2.3); 5 minutes.
    pub recipient: Duration,
    /// The 354 reply to DATA (RFC 5321 section 4.5.3.2.4); 2 minutes.
    pub data_start: Duration,
    /// That the server takes a further part of the content (RFC 5321 section 4.5.3.2.5); 3 minutes. There is
    /// no limit for the whole of it.
    pub data_block: Duration,
    /// The reply to the end of the content, with LMTP each of them (RFC 5321 section 4.5.3.2.6); 10 minutes.
    pub final_reply: Duration,
    /// Time limit for the reply to QUIT, for the reply to RSET after a 5yz reply to DATA, and for each reply after NOOP, which
    /// is sent when a final reply of LMTP has timed out. Default: 5 seconds.
    pub quit: Duration,
    /// Everything that is done on a connection for one delivery; none by default. Opening a new one, with TLS and login,
    /// has this, and the transactions on it have it once more. A [`Session`](crate::Session) of the host's own has it once,
    /// for everything.
    pub session: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            connect: minutes(1),
            greeting: minutes(5),
            hello: minutes(5),
            tls: minutes(1),
            mail: minutes(5),
            recipient: minutes(5),
            data_start: minutes(2),
            data_block: minutes(3),
            final_reply: minutes(10),
            quit: Duration::from_secs(5),
            session: None,
        }
    }
}

impl Timeouts {
    /// The limit for what a stage waits for.
    pub(crate) fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Greeting => self.greeting,
            Stage::Hello | Stage::StartTls | Stage::Auth | Stage::Reset => self.hello,
            Stage::MailFrom => self.mail,
            Stage::RcptTo => self.recipient,
            Stage::Data => self.data_start,
            Stage::Content => self.data_block,
            Stage::Final => self.final_reply,
            Stage::Quit => self.quit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_057_058_059_the_defaults_are_those_of_the_rfc() {
        let minutes = |stage| Timeouts::default().of(stage).as_secs() / 60;
        let stages =
            [Stage::Greeting, Stage::MailFrom, Stage::RcptTo, Stage::Data, Stage::Content, Stage::Final];
        assert_eq!(stages.map(minutes), [5, 5, 5, 2, 3, 10]);
    }
}
