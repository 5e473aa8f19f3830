//! Faults: a step of the dialogue, and the manner in which a server breaks it.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// A reply of the server, named after the command that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Greeting,
    Hello,
    Mail,
    Rcpt,
    Data,
    /// A chunk that is not the last one.
    Chunk,
    /// A reply to the complete content.
    Final,
    Reset,
    Quit,
}

/// The manner in which the server breaks a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
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
    /// The server reads nothing any more.
    Stall,
    /// Octets that are no reply.
    Garbage,
    /// A reply without end.
    Flood,
    /// The right reply and one more with this code.
    Surplus(u16),
    /// The reply comes before its command.
    Early,
    /// The command is executed and never answered; later ones are.
    Missing,
    /// The reply comes octet by octet.
    Split,
    /// The reply comes after a time.
    Late(Duration),
}

/// A fault of a connection: it strikes once, at an occurrence of its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) step: Step,
    /// Occurrences that are spared.
    pub(crate) spared: u8,
    pub(crate) kind: Kind,
}

impl Fault {
    pub(crate) fn random(random: &mut Rng, kinds: &[Kind]) -> Self {
        let step = random.choice(Step::ALL).unwrap_or(Step::Mail);
        let kind = random.choice(kinds.iter().copied()).unwrap_or(Kind::Transient);
        Self { step, spared: random.choice([0, 0, 0, 1, 2]).unwrap_or(0), kind }
    }
}

impl Step {
    const ALL: [Self; 10] = [
        Self::Greeting,
        Self::Hello,
        Self::Mail,
        Self::Rcpt,
        Self::Rcpt,
        Self::Data,
        Self::Chunk,
        Self::Final,
        Self::Final,
        Self::Reset,
    ];
}

impl Kind {
    pub(crate) fn random(random: &mut Rng) -> Self {
        match random.u8(0..26) {
            0..=2 => Self::Transient,
            3 => Self::Permanent,
            4 => Self::Closing,
            5..=6 => Self::ClosingAndClose,
            7..=9 => Self::Close,
            10..=12 => Self::Reset,
            13..=14 => Self::Silence,
            15 => Self::Stall,
            16 => Self::Garbage,
            17 => Self::Flood,
            18..=20 => Self::Surplus(random.choice([250, 354, 421, 450, 550]).unwrap_or(250)),
            21 => Self::Early,
            22 => Self::Missing,
            23 => Self::Split,
            _ => Self::Late(Duration::from_millis(random.u64(1..20_000))),
        }
    }

    /// Returns `true` if later replies may answer other commands than they seem to.
    pub(crate) fn shifts_replies(self) -> bool {
        matches!(self, Self::Surplus(_) | Self::Missing | Self::Early)
    }

    /// Returns the reply code of a step whose planned reply has `planned`.
    pub(crate) fn code(self, step: Step, planned: u16) -> u16 {
        match (self, step) {
            (Self::Transient, Step::Rcpt) => 450,
            (Self::Transient, _) => 451,
            (Self::Permanent, Step::Rcpt) => 550,
            (Self::Permanent, _) => 554,
            (Self::Closing | Self::ClosingAndClose, _) => 421,
            _ => planned,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "greeting",
            Self::Hello => "hello",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Chunk => "chunk",
            Self::Final => "final",
            Self::Reset => "rset",
            Self::Quit => "quit",
        })
    }
}
