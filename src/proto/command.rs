//! Commands as octets (RFC 5321 section 4.1). Made of parsed values only, and looked at once more here.

use std::fmt::{self, Display};

use super::client_name::ClientName;
use super::output::Output;
use super::protocol::Protocol;
use crate::mail::{EnvelopeId, Notify, Recipient, Ret, ReversePath};

/// A line that the client sends. AUTH lines are secret and written elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command<'a> {
    /// EHLO or LHLO.
    Hello(Protocol, &'a ClientName),
    /// HELO, where EHLO is unknown.
    Helo(&'a ClientName),
    Mail(&'a ReversePath, MailParameters<'a>),
    /// A recipient, and which of its notification requests may be sent.
    Rcpt(&'a Recipient, Requests),
    Data,
    /// A chunk of so many octets, and whether it is the last one (RFC 3030 section 2).
    Bdat(u64, bool),
    StartTls,
    Rset,
    Quit,
}

/// Which notification requests of a recipient are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requests {
    /// None: the server does not offer DSN (RFC 3461 section 5.2.2).
    None,
    /// `NOTIFY=NEVER` alone: the message is a notification itself (RFC 3461 section 6.1).
    NeverOnly,
    All,
}

/// What content is that is not seven-bit text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// `8BITMIME`, RFC 6152 section 2.
    EightBit,
    /// `BINARYMIME`, RFC 3030 section 3.
    Binary,
}

/// What goes behind the reverse-path, each only where the server offers it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MailParameters<'a> {
    /// RFC 1870 section 6.1.
    pub(crate) size: Option<u64>,
    /// `BODY`; none for seven bits.
    pub(crate) body: Option<Body>,
    /// `AUTH=<>`: nothing is said of who submitted the message, RFC 4954 section 5.
    pub(crate) no_identity: bool,
    /// RFC 6531 section 3.4.
    pub(crate) smtp_utf8: bool,
    /// RFC 3461 section 4.3.
    pub(crate) ret: Option<Ret>,
    /// RFC 3461 section 4.4.
    pub(crate) envelope_id: Option<&'a EnvelopeId>,
}

impl Command<'_> {
    /// Queues the line. Values are parsed types that cannot hold a control character; that none is in the line
    /// is made sure here once more, for it would be a second command.
    pub(crate) fn write(self, output: &mut Output) {
        let mut line = self.to_string();
        line.retain(|c| !c.is_control());
        line.push_str("\r\n");
        output.put(line.as_bytes());
    }
}

impl Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(Protocol::Smtp, name) => write!(f, "EHLO {name}"),
            Self::Hello(Protocol::Lmtp, name) => write!(f, "LHLO {name}"),
            Self::Helo(name) => write!(f, "HELO {name}"),
            Self::Mail(path, parameters) => write!(f, "MAIL FROM:<{path}>{parameters}"),
            Self::Rcpt(recipient, requests) => rcpt(f, recipient, *requests),
            Self::Data => f.write_str("DATA"),
            Self::Bdat(octets, false) => write!(f, "BDAT {octets}"),
            Self::Bdat(octets, true) => write!(f, "BDAT {octets} LAST"),
            Self::StartTls => f.write_str("STARTTLS"),
            Self::Rset => f.write_str("RSET"),
            Self::Quit => f.write_str("QUIT"),
        }
    }
}

impl Display for MailParameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        match self.body {
            Some(Body::EightBit) => f.write_str(" BODY=8BITMIME")?,
            Some(Body::Binary) => f.write_str(" BODY=BINARYMIME")?,
            None => {}
        }
        if self.smtp_utf8 {
            f.write_str(" SMTPUTF8")?;
        }
        if self.no_identity {
            f.write_str(" AUTH=<>")?;
        }
        if let Some(ret) = self.ret {
            write!(f, " RET={ret}")?;
        }
        self.envelope_id.map_or(Ok(()), |id| write!(f, " ENVID={}", id.to_xtext()))
    }
}

fn rcpt(f: &mut fmt::Formatter<'_>, recipient: &Recipient, requests: Requests) -> fmt::Result {
    write!(f, "RCPT TO:<{}>", recipient.path())?;
    let notify = recipient.notify().filter(|notify| match requests {
        Requests::None => false,
        Requests::NeverOnly => *notify == Notify::Never,
        Requests::All => true,
    });
    if let Some(notify) = notify {
        write!(f, " NOTIFY={notify}")?;
    }
    let original = recipient.original_recipient().filter(|_| requests != Requests::None);
    original.map_or(Ok(()), |original| write!(f, " ORCPT={}", original.to_xtext()))
}
