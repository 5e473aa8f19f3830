//! Faults: a step of the dialogue, and the manner in which the server breaks it.

use std::fmt;

/// A reply of the server, named after the command that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Greeting,
    Hello,
    Mail,
    /// RCPT of the recipient with this index.
    Rcpt(usize),
    /// The 354 reply to DATA.
    Data,
    /// A chunk that is not the last one.
    Chunk,
    /// The reply to the complete content; LMTP has one for each recipient.
    Final(usize),
    Reset,
    Quit,
}

/// The manner in which the server breaks a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No fault; the server refuses where its plan says so.
    None,
    /// A 4yz reply.
    Transient,
    /// A 5yz reply.
    Permanent,
    /// 421; the connection stays open.
    Closing,
    /// 421, and the server closes the connection.
    ClosingAndClose,
    /// The server closes the connection instead of a reply.
    Close,
    /// The server resets the connection instead of a reply.
    Reset,
    /// The server executes this command and all later ones without any reply.
    Silence,
    /// The right reply and one more with this code.
    Surplus(u16, Timing),
    /// The command is executed and never answered; later ones are.
    Missing,
    /// The reply comes octet by octet.
    Split,
    /// The reply comes after the next command has arrived, or else near the end of the time limit.
    BehindNext,
    /// The reply comes just before the time limit.
    Late,
}

/// The time at which a surplus reply is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    /// In the segment of the reply before it.
    Same,
    /// In the segment of the next reply, in front of it.
    WithNext,
    /// In a segment of its own, when the next command has arrived or after a pause.
    Apart,
}

/// A fault: it strikes once, at the first occurrence of its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) step: Step,
    pub(crate) kind: Kind,
}

/// A fault with the message that it strikes. Faults of a connection strike at the first occurrence of their step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strike {
    pub(crate) message: usize,
    pub(crate) fault: Fault,
}

impl Kind {
    /// Every fault.
    pub(crate) const ALL: [Self; 18] = [
        Self::Transient,
        Self::Permanent,
        Self::Closing,
        Self::ClosingAndClose,
        Self::Close,
        Self::Reset,
        Self::Silence,
        Self::Surplus(250, Timing::Same),
        Self::Surplus(550, Timing::Same),
        Self::Surplus(250, Timing::WithNext),
        Self::Surplus(550, Timing::WithNext),
        Self::Surplus(250, Timing::Apart),
        Self::Surplus(550, Timing::Apart),
        Self::Missing,
        Self::Split,
        Self::BehindNext,
        Self::Late,
        Self::None,
    ];

    /// Returns `true` if every reply answers its command, so that the client must report exactly what the server decided.
    pub(crate) fn is_honest(self) -> bool {
        matches!(
            self,
            Self::None | Self::Transient | Self::Permanent | Self::Split | Self::BehindNext | Self::Late
        )
    }

    /// Returns `true` if later replies may answer other commands than they seem to.
    pub(crate) fn shifts_replies(self) -> bool {
        matches!(self, Self::Surplus(..) | Self::Missing)
    }

    /// Returns `true` if the server ends the session without a decision about the message.
    pub(crate) fn ends_session(self) -> bool {
        matches!(self, Self::Closing | Self::ClosingAndClose | Self::Close | Self::Reset)
    }

    /// Returns the reply code of a step whose planned reply has `planned`.
    pub(crate) fn code(self, step: Step, planned: u16) -> u16 {
        match (self, step) {
            (Self::Transient, Step::Rcpt(_)) => 450,
            (Self::Transient, _) => 451,
            (Self::Permanent, Step::Rcpt(_)) => 550,
            (Self::Permanent, _) => 554,
            (Self::Closing | Self::ClosingAndClose, _) => 421,
            _ => planned,
        }
    }
}

impl Step {
    /// Returns `true` for the steps that belong to a connection and not to a message.
    pub(crate) fn is_of_connection(self) -> bool {
        matches!(self, Self::Greeting | Self::Hello | Self::Reset | Self::Quit)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greeting => f.write_str("greeting"),
            Self::Hello => f.write_str("hello"),
            Self::Mail => f.write_str("mail"),
            Self::Rcpt(index) => write!(f, "rcpt{index}"),
            Self::Data => f.write_str("data"),
            Self::Chunk => f.write_str("chunk"),
            Self::Final(index) => write!(f, "final{index}"),
            Self::Reset => f.write_str("rset"),
            Self::Quit => f.write_str("quit"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Transient => f.write_str("4yz"),
            Self::Permanent => f.write_str("5yz"),
            Self::Closing => f.write_str("421-open"),
            Self::ClosingAndClose => f.write_str("421-close"),
            Self::Close => f.write_str("close"),
            Self::Reset => f.write_str("reset"),
            Self::Silence => f.write_str("silence"),
            Self::Surplus(code, Timing::Same) => write!(f, "surplus-{code}-same"),
            Self::Surplus(code, Timing::WithNext) => write!(f, "surplus-{code}-next"),
            Self::Surplus(code, Timing::Apart) => write!(f, "surplus-{code}-apart"),
            Self::Missing => f.write_str("missing"),
            Self::Split => f.write_str("split"),
            Self::BehindNext => f.write_str("behind-next"),
            Self::Late => f.write_str("late"),
        }
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}:{}", self.message, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.step, self.kind)
    }
}
