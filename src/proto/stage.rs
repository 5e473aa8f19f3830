//! [`Stage`]: what a dialogue waits for.

use std::fmt;

/// What was awaited when something happened. It picks the time limit and appears in a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The greeting of the server.
    Greeting,
    /// The answer to EHLO, HELO or LHLO.
    Hello,
    /// The answer to STARTTLS, or the handshake behind it.
    StartTls,
    /// An answer to AUTH.
    Auth,
    /// The answer to MAIL.
    MailFrom,
    /// The answer to RCPT.
    RcptTo,
    /// The answer to DATA.
    Data,
    /// That the server takes the content.
    Content,
    /// The answer to the end of the content.
    Final,
    /// The answer to RSET.
    Reset,
    /// The answer to QUIT.
    Quit,
}

/// `greeting`, `hello`, `start-tls`, `auth`, `mail-from`, `rcpt-to`, `data`, `content`, `final`, `reset`, `quit`.
impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "greeting",
            Self::Hello => "hello",
            Self::StartTls => "start-tls",
            Self::Auth => "auth",
            Self::MailFrom => "mail-from",
            Self::RcptTo => "rcpt-to",
            Self::Data => "data",
            Self::Content => "content",
            Self::Final => "final",
            Self::Reset => "reset",
            Self::Quit => "quit",
        })
    }
}
