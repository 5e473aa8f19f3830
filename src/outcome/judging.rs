//! What the verdict of a dialogue means: the decision table of replies and losses (RFC 5321 section 4.2).

use std::sync::Arc;

use super::failure::{Failure, Lasting};
use super::kind::FailureKind;
use super::taken::Delivered;
use crate::proto::{Interruption, Missing, Reply, ReplyClass, ReplyCode, Stage, Verdict};

/// Maximum number of bytes of a reply's text that a detail quotes.
const MAX_QUOTED: usize = 900;

impl Failure {
    /// A verdict of a dialogue; `others` tells whether the server accepted another recipient.
    ///
    /// # Errors
    /// Everything but a delivery.
    pub(crate) fn judge(verdict: Verdict, others: bool) -> Result<Delivered, Self> {
        match verdict {
            Verdict::Delivered(reply) => Ok(Delivered { reply: Some(reply) }),
            Verdict::Refused(stage, reply) => Err(Self::refused(stage, reply, others)),
            Verdict::ClosedBehind(stage, reply) => Err(Self::closed_behind(stage, reply)),
            Verdict::Unsupported(missing) => Err(Self::unsupported(missing)),
            Verdict::Broken { stage, why, may_have_arrived } => {
                Err(Self::broken(stage, why, may_have_arrived))
            }
        }
    }

    pub(super) fn refused(stage: Stage, reply: Reply, others: bool) -> Self {
        let lasting = lasting(stage, &reply, others);
        Self::refused_for(lasting, stage, reply)
    }

    /// Builds the failure for a refusing greeting if every 5yz greeting is permanent. As after 521, the next host is tried.
    pub(crate) fn refused_by_permanent_greeting(reply: Reply) -> Self {
        let lasting = match reply.class() {
            ReplyClass::Permanent => Lasting::AtThisHost,
            _ => Lasting::Temporary,
        };
        Self::refused_for(lasting, Stage::Greeting, reply)
    }

    fn refused_for(lasting: Lasting, stage: Stage, reply: Reply) -> Self {
        let what = format!("the server said {} to {}", reply.clone().shortened(MAX_QUOTED), asked(stage));
        let numbers = own_status(stage, &reply, lasting);
        Self::new(FailureKind::Refused, lasting, numbers, what).at(stage).with_reply(reply)
    }

    /// Builds the failure for 421 in reply to a command before the content, if the end of the content had been written.
    fn closed_behind(stage: Stage, reply: Reply) -> Self {
        let mut failure = Self::refused(stage, reply, false);
        let inner = failure.inner();
        inner.what.push_str(" after the whole message had been written; it may have arrived");
        inner.may_have_arrived = true;
        failure
    }

    fn unsupported(missing: Missing) -> Self {
        let numbers = match missing {
            Missing::EightBitMime | Missing::BinaryMime => (6, 3),
            Missing::Utf8Mailbox => (6, 7),
            Missing::Utf8Header => (6, 9),
            Missing::ShortLines { .. } => (6, 0),
            Missing::Size { .. } => (3, 4),
        };
        Self::new(FailureKind::Unsupported, Lasting::AtThisHost, numbers, missing.to_string())
    }

    pub(super) fn broken(stage: Stage, why: Interruption, may_have_arrived: bool) -> Self {
        let (kind, numbers) = match &why {
            Interruption::Disconnected | Interruption::Io(_) => (FailureKind::Disconnected, (4, 2)),
            Interruption::TimedOut | Interruption::SessionTimedOut => (FailureKind::TimedOut, (4, 2)),
            Interruption::Protocol(_) => (FailureKind::Protocol, (5, 0)),
            Interruption::Content(_) => (FailureKind::Local, (3, 0)),
        };
        let mut failure =
            Self::new(kind, Lasting::Temporary, numbers, lost(stage, may_have_arrived)).at(stage);
        let inner = failure.inner();
        inner.reply = senseless_reply(&why).cloned();
        inner.may_have_arrived = may_have_arrived;
        inner.source = Some(Arc::new(why));
        failure
    }
}

/// The table of conformance: what a 4yz or 5yz reply means at a stage.
fn lasting(stage: Stage, reply: &Reply, others: bool) -> Lasting {
    match (reply.class(), stage) {
        (ReplyClass::Permanent, Stage::Greeting) if reply.code() == ReplyCode::NO_MAIL_SERVICE => {
            Lasting::AtThisHost
        }
        // the host does not like us, or is not set up: another one, or the same one later, may
        (ReplyClass::Permanent, Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Auth) => {
            Lasting::Temporary
        }
        (ReplyClass::Permanent, Stage::RcptTo) if is_too_many_recipients(reply, others) => Lasting::Temporary,
        (ReplyClass::Permanent, _) => Lasting::Everywhere,
        _ => Lasting::Temporary,
    }
}

/// Whether a refusal of a recipient means that the transaction is full (RFC 5321 section 4.5.3.1.10): 452, and
/// 552 unless its enhanced code speaks of the message or the mailbox (RFC 1870 section 6.4 uses it for that).
pub(crate) fn is_too_many_recipients(reply: &Reply, others: bool) -> bool {
    let numbers = reply.enhanced().map(|code| (code.subject(), code.detail()));
    match (reply.code().as_u16(), numbers) {
        (452, Some((5, 3))) | (552, Some((5, 3))) => true,
        (452 | 552, None) => others,
        (452, Some(_)) => others && numbers != Some((2, 2)),
        _ => false,
    }
}

fn own_status(stage: Stage, reply: &Reply, lasting: Lasting) -> (u16, u16) {
    match stage {
        Stage::Greeting | Stage::Hello => (3, 2),
        Stage::RcptTo if reply.code().as_u16() == 552 && lasting == Lasting::Temporary => (5, 3),
        _ => (0, 0),
    }
}

fn asked(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "the connection",
        Stage::Hello => "EHLO",
        Stage::StartTls => "STARTTLS",
        Stage::Auth => "AUTH",
        Stage::MailFrom => "MAIL FROM",
        Stage::RcptTo => "RCPT TO",
        Stage::Data => "DATA",
        Stage::Content => "a part of the content",
        Stage::Final => "the message",
        Stage::Reset => "RSET",
        Stage::Quit => "QUIT",
    }
}

fn lost(stage: Stage, may_have_arrived: bool) -> String {
    let arrived = if may_have_arrived { " (the message may have arrived)" } else { "" };
    match stage {
        Stage::Greeting => "no greeting".to_owned(),
        Stage::Content => "the content could not be sent".to_owned(),
        stage => format!("no answer to {}{arrived}", asked(stage)),
    }
}

fn senseless_reply(why: &Interruption) -> Option<&Reply> {
    match why {
        Interruption::Protocol(error) => error.reply(),
        _ => None,
    }
}
