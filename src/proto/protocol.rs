//! [`Protocol`]: which of the two is spoken.

use std::fmt;

/// The protocol that a hop speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the two protocols that carry mail to its next hop")]
pub enum Protocol {
    /// SMTP (RFC 5321): one reply for the content, whoever the recipients are.
    Smtp,
    /// LMTP (RFC 2033): one reply for the content to each accepted recipient.
    Lmtp,
}

/// `smtp` or `lmtp`.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
        })
    }
}
