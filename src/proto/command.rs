//! Commands as octets (RFC 5321 section 4.1), made of parsed values only.

use super::client_name::ClientName;
use super::output::Output;
use super::protocol::Protocol;
use crate::mail::{EnvelopeId, ForwardPath, Notify, Recipient, Ret, ReversePath};

/// A line that the client sends. AUTH lines are secret and written elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command<'a> {
    /// EHLO or LHLO.
    Hello(Protocol, &'a ClientName),
    /// HELO, where EHLO is unknown.
    Helo(&'a ClientName),
    Mail(&'a ReversePath, MailParameters<'a>),
    Rcpt(&'a Recipient, RcptParameters),
    Data,
    /// A chunk of so many octets, and whether it is the last one (RFC 3030 section 2).
    Bdat(u64, bool),
    StartTls,
    Rset,
    Noop,
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

/// Parameters that RCPT may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RcptParameters {
    pub(crate) requests: Requests,
    /// `true` if ORCPT may contain UTF-8, because MAIL has the parameter SMTPUTF8 (RFC 6533 section 3).
    pub(crate) smtp_utf8: bool,
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
    /// Queues the line. Values are parsed types that cannot hold a control character; the output drops those all the
    /// same.
    pub(crate) fn write(self, output: &mut Output) {
        output.put_line(|line| self.put(line));
    }

    #[inline]
    fn put(self, line: &mut Vec<u8>) {
        match self {
            Self::Hello(Protocol::Smtp, name) => put_all(line, ["EHLO ", &name.to_string()]),
            Self::Hello(Protocol::Lmtp, name) => put_all(line, ["LHLO ", &name.to_string()]),
            Self::Helo(name) => put_all(line, ["HELO ", &name.to_string()]),
            Self::Mail(path, parameters) => {
                put(line, "MAIL FROM:<");
                path.mailbox().into_iter().for_each(|mailbox| put(line, mailbox.as_str()));
                put(line, ">");
                parameters.put(line);
            }
            Self::Rcpt(recipient, parameters) => put_rcpt(line, recipient, parameters),
            Self::Data => put(line, "DATA"),
            Self::Bdat(octets, is_last) => {
                put(line, "BDAT ");
                put_decimal(line, octets);
                put(line, if is_last { " LAST" } else { "" });
            }
            Self::StartTls => put(line, "STARTTLS"),
            Self::Rset => put(line, "RSET"),
            Self::Noop => put(line, "NOOP"),
            Self::Quit => put(line, "QUIT"),
        }
    }
}

impl MailParameters<'_> {
    fn put(self, line: &mut Vec<u8>) {
        if let Some(size) = self.size {
            put(line, " SIZE=");
            put_decimal(line, size);
        }
        match self.body {
            Some(Body::EightBit) => put(line, " BODY=8BITMIME"),
            Some(Body::Binary) => put(line, " BODY=BINARYMIME"),
            None => {}
        }
        if self.smtp_utf8 {
            put(line, " SMTPUTF8");
        }
        if self.no_identity {
            put(line, " AUTH=<>");
        }
        if let Some(ret) = self.ret {
            put_all(line, [" RET=", &ret.to_string()]);
        }
        if let Some(id) = self.envelope_id {
            put_all(line, [" ENVID=", &id.to_xtext()]);
        }
    }
}

#[inline]
fn put_rcpt(line: &mut Vec<u8>, recipient: &Recipient, parameters: RcptParameters) {
    let RcptParameters { requests, smtp_utf8 } = parameters;
    put(line, "RCPT TO:<");
    match recipient.path() {
        ForwardPath::Mailbox(mailbox) => put(line, mailbox.as_str()),
        ForwardPath::Postmaster(postmaster) => put(line, postmaster.as_str()),
    }
    put(line, ">");
    let notify = recipient.notify().filter(|notify| match requests {
        Requests::None => false,
        Requests::NeverOnly => *notify == Notify::Never,
        Requests::All => true,
    });
    if let Some(notify) = notify {
        put_all(line, [" NOTIFY=", &notify.to_string()]);
    }
    if let Some(original) = recipient.original_recipient().filter(|_| requests != Requests::None) {
        let value = if smtp_utf8 { original.to_unitext() } else { original.to_xtext() };
        put_all(line, [" ORCPT=", &value]);
    }
}

#[inline]
fn put(line: &mut Vec<u8>, text: &str) {
    line.extend_from_slice(text.as_bytes());
}

fn put_all<const N: usize>(line: &mut Vec<u8>, texts: [&str; N]) {
    texts.into_iter().for_each(|text| put(line, text));
}

fn put_decimal(line: &mut Vec<u8>, number: u64) {
    let (mut digits, mut rest) = ([0; 20], number);
    let mut begin = digits.len();
    // twenty digits hold any number
    while begin == digits.len() || rest > 0 {
        begin -= 1;
        digits[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    line.extend_from_slice(&digits[begin..]);
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::mail::OriginalRecipient;

    fn written(command: Command<'_>) -> String {
        let mut output = Output::default();
        command.write(&mut output);
        let mut slices = [IoSlice::new(&[]); 1];
        output.slices(&mut slices);
        String::from_utf8(slices[0].to_vec()).unwrap()
    }

    fn shown<T>(name: &str, value: Option<T>, text: impl FnOnce(T) -> String) -> String {
        value.map(|value| format!(" {name}={}", text(value))).unwrap_or_default()
    }

    fn path() -> impl Strategy<Value = String> {
        let local = prop_oneof!["[a-z0-9+]{1,20}", "[a-zé]{1,9}", "\"[ -!#-\\[\\]-~]{1,9}\""];
        let domain = prop_oneof![
            "([a-z]{1,9}\\.){0,3}[a-z]{2,9}",
            Just("[192.0.2.1]".into()),
            Just("[IPv6:2001:db8::1]".into())
        ];
        (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}"))
    }

    proptest! {
        #[test]
        fn rcpt_is_what_its_parts_show(
            path in prop_oneof![4 => path(), 1 => Just("Postmaster".to_owned())],
            notify in option::of(prop_oneof![Just("NEVER"), Just("SUCCESS,DELAY")]),
            original in option::of("(rfc822;[ -~]{1,20}|utf-8;[a-zé@]{1,20})"),
            smtp_utf8: bool,
        ) {
            let mut recipient = Recipient::parse(&path).unwrap();
            let notify = notify.map(|notify| Notify::parse(notify).unwrap());
            recipient = notify.into_iter().fold(recipient, Recipient::with_notify);
            let original = original.map(|original| OriginalRecipient::parse(&original).unwrap());
            recipient = original.clone().into_iter().fold(recipient, Recipient::with_original_recipient);
            let form = |original: OriginalRecipient| match smtp_utf8 {
                true => original.to_unitext(),
                false => original.to_xtext(),
            };
            let original = shown("ORCPT", original, form);
            let plain = format!("RCPT TO:<{}>", recipient.path());
            let all = shown("NOTIFY", notify, |notify| notify.to_string());
            let never = shown("NOTIFY", notify.filter(|notify| *notify == Notify::Never), |notify| notify.to_string());
            let rcpt = |requests| written(Command::Rcpt(&recipient, RcptParameters { requests, smtp_utf8 }));
            prop_assert_eq!(rcpt(Requests::None), format!("{plain}\r\n"));
            prop_assert_eq!(rcpt(Requests::NeverOnly), format!("{plain}{never}{original}\r\n"));
            prop_assert_eq!(rcpt(Requests::All), format!("{plain}{all}{original}\r\n"));
        }

        #[test]
        fn mail_is_what_its_parts_show(
            path in prop_oneof![4 => path(), 1 => Just("<>".to_owned())],
            size in option::of(any::<u64>()),
            body in option::of(any::<bool>()),
            (smtp_utf8, no_identity) in any::<(bool, bool)>(),
            ret in option::of(prop_oneof![Just(Ret::Full), Just(Ret::Headers)]),
            id in option::of("[ -~]{1,20}"),
        ) {
            let path = ReversePath::parse(&path).unwrap();
            let id = id.map(|id| EnvelopeId::parse(&id).unwrap());
            let kind = body.map(|binary| if binary { Body::Binary } else { Body::EightBit });
            let parameters =
                MailParameters { size, body: kind, no_identity, smtp_utf8, ret, envelope_id: id.as_ref() };
            let wanted = [
                format!("MAIL FROM:<{path}>"),
                shown("SIZE", size, |size| size.to_string()),
                shown("BODY", body, |binary| if binary { "BINARYMIME" } else { "8BITMIME" }.to_owned()),
                if smtp_utf8 { " SMTPUTF8" } else { "" }.to_owned(),
                if no_identity { " AUTH=<>" } else { "" }.to_owned(),
                shown("RET", ret, |ret| ret.to_string()),
                shown("ENVID", id.as_ref(), EnvelopeId::to_xtext),
            ];
            prop_assert_eq!(written(Command::Mail(&path, parameters)), wanted.concat() + "\r\n");
        }

        #[test]
        fn bdat_is_a_number_and_whether_it_is_the_last(octets: u64) {
            prop_assert_eq!(written(Command::Bdat(octets, false)), format!("BDAT {octets}\r\n"));
            prop_assert_eq!(written(Command::Bdat(octets, true)), format!("BDAT {octets} LAST\r\n"));
        }
    }

    #[test]
    fn the_other_lines() {
        let name = ClientName::parse("c.example").unwrap();
        for (command, line) in [
            (Command::Hello(Protocol::Smtp, &name), "EHLO c.example\r\n"),
            (Command::Hello(Protocol::Lmtp, &name), "LHLO c.example\r\n"),
            (Command::Helo(&name), "HELO c.example\r\n"),
            (Command::Data, "DATA\r\n"),
            (Command::Bdat(0, true), "BDAT 0 LAST\r\n"),
            (Command::StartTls, "STARTTLS\r\n"),
            (Command::Rset, "RSET\r\n"),
            (Command::Quit, "QUIT\r\n"),
        ] {
            assert_eq!(written(command), line);
        }
    }
}
