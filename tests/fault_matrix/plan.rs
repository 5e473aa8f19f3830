//! The replies that the server gives to a message apart from the fault.

use std::fmt;

/// The decision of the server about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Accept,
    /// MAIL is refused.
    RefuseMail,
    /// RCPT of the second recipient is refused.
    RefuseSecond,
    /// RCPT of the last recipient is refused.
    RefuseLast,
    /// RCPT of every recipient is refused.
    RefuseAll,
    /// The content is refused; with LMTP for the second recipient or the only one.
    RefuseContent,
    /// The content is deferred; with LMTP for the second recipient or the only one.
    DeferContent,
}

impl Plan {
    /// Returns the code of the reply to MAIL.
    pub(crate) fn mail(self) -> u16 {
        if self == Self::RefuseMail { 550 } else { 250 }
    }

    /// Returns the code of the reply to a RCPT; the message has `count` recipients.
    pub(crate) fn rcpt(self, index: usize, count: usize) -> u16 {
        let is_refused = match self {
            Self::RefuseSecond => index == 1,
            Self::RefuseLast => index + 1 == count,
            Self::RefuseAll => true,
            _ => false,
        };
        if is_refused { 550 } else { 250 }
    }

    /// Returns the code of the reply to the content, of SMTP.
    pub(crate) fn content(self) -> u16 {
        match self {
            Self::RefuseContent => 554,
            Self::DeferContent => 451,
            _ => 250,
        }
    }

    /// Returns the code of the reply to the content for one recipient, of LMTP.
    pub(crate) fn content_of(self, index: usize, count: usize) -> u16 {
        if index == 1 || count == 1 { self.content() } else { 250 }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::RefuseMail => "refuse-mail",
            Self::RefuseSecond => "refuse-second",
            Self::RefuseLast => "refuse-last",
            Self::RefuseAll => "refuse-all",
            Self::RefuseContent => "refuse-content",
            Self::DeferContent => "defer-content",
        })
    }
}
