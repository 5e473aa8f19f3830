//! [`Envelope`]: whom a message is from and whom it goes to, apart from what its header says.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::domain::Domain;
use super::dsn::{EnvelopeId, Notify, OriginalRecipient, RecipientDsn, Ret};
use super::mailbox::{Mailbox, MailboxError, strip_brackets};

/// Where reports about a message go (RFC 5321 section 4.1.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "RFC 5321 section 4.1.2: a path or the null path")]
pub enum ReversePath {
    /// Nowhere: the message is itself a report (RFC 5321 section 4.5.5).
    Null,
    /// To a mailbox.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// Reads a mailbox as [`Mailbox::parse`] does, or the null path, which is nothing or `<>`.
    ///
    /// # Errors
    /// Those of [`Mailbox::parse`].
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        match text {
            "" | "<>" => Ok(Self::Null),
            _ => Mailbox::parse(text).map(Self::Mailbox),
        }
    }

    /// The mailbox, if there is one.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// Whether it can be sent without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

/// Whom a message is for (RFC 5321 section 4.1.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "RFC 5321 section 4.1.1.3: a path or a bare postmaster")]
pub enum ForwardPath {
    /// A mailbox.
    Mailbox(Mailbox),
    /// The postmaster of whatever server is asked, without a domain.
    Postmaster(Postmaster),
}

impl ForwardPath {
    /// Reads a mailbox as [`Mailbox::parse`] does, or `postmaster` in any case.
    ///
    /// # Errors
    /// Those of [`Mailbox::parse`]; any other word without an `@` is one.
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        match Postmaster::from_word(strip_brackets(text)?) {
            Some(postmaster) => Ok(Self::Postmaster(postmaster)),
            None => Mailbox::parse(text).map(Self::Mailbox),
        }
    }

    /// The mailbox, if it is one.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Mailbox(mailbox) => Some(mailbox),
            Self::Postmaster(_) => None,
        }
    }

    /// Whether it can be sent without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

/// The word `postmaster` without a domain, in the spelling it was given (RFC 5321 section 4.5.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Postmaster(Box<str>);

impl Postmaster {
    fn from_word(word: &str) -> Option<Self> {
        word.eq_ignore_ascii_case("postmaster").then(|| Self(word.into()))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One recipient of an [`Envelope`], with what its sender wants to be told about it. Clones share it and allocate nothing.
///
/// ```
/// use nexthop::{Notify, Recipient};
///
/// let recipient = Recipient::parse("ann@lists.example")?.with_notify(Notify::Never);
/// assert_eq!(recipient.to_string(), "ann@lists.example");
/// # Ok::<(), nexthop::mail::MailboxError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Recipient(Arc<Inner>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Inner {
    path: ForwardPath,
    dsn: RecipientDsn,
}

impl Recipient {
    /// A recipient of this path, without wishes about reports.
    pub fn new(path: ForwardPath) -> Self {
        Self(Arc::new(Inner { path, dsn: RecipientDsn::default() }))
    }

    /// A recipient of the path that [`ForwardPath::parse`] reads.
    ///
    /// # Errors
    /// Those of [`ForwardPath::parse`].
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        ForwardPath::parse(text).map(Self::new)
    }

    /// The same recipient, with this `NOTIFY`.
    #[must_use]
    pub fn with_notify(mut self, notify: Notify) -> Self {
        Arc::make_mut(&mut self.0).dsn.notify = Some(notify);
        self
    }

    /// The same recipient, with this `ORCPT`.
    #[must_use]
    pub fn with_original_recipient(mut self, original: OriginalRecipient) -> Self {
        Arc::make_mut(&mut self.0).dsn.original_recipient = Some(original);
        self
    }

    /// Where it is.
    pub fn path(&self) -> &ForwardPath {
        &self.0.path
    }

    /// Whether the path is ASCII, so that SMTPUTF8 is not needed for it (RFC 6531 section 3.3).
    pub fn is_ascii(&self) -> bool {
        self.0.path.is_ascii()
    }

    /// The domain that is asked for its mail exchangers; none for an address literal or a bare postmaster.
    pub fn domain(&self) -> Option<&Domain> {
        self.0.path.mailbox()?.domain().name()
    }

    /// What the sender wants to be told.
    pub fn dsn(&self) -> &RecipientDsn {
        &self.0.dsn
    }

    /// When the sender wants to be told.
    pub fn notify(&self) -> Option<Notify> {
        self.0.dsn.notify
    }

    /// The recipient in the sender's own words.
    pub fn original_recipient(&self) -> Option<&OriginalRecipient> {
        self.0.dsn.original_recipient.as_ref()
    }
}

/// Reason that an envelope cannot be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It has no recipients. RFC 5321 section 3.3 requires at least one.
    #[error("the envelope has no recipients")]
    NoRecipients,
}

/// Whom a message is from and whom it goes to (RFC 5321 section 2.3.1).
///
/// Recipients stay in the order they were given; duplicates are kept.
///
/// A new envelope has no recipients, and cannot be delivered without any. [`Envelope::require_recipients`] refuses such an
/// envelope, and a [`Report`](crate::Report) on it is never [delivered](crate::Report::is_delivered).
///
/// ```
/// use nexthop::Envelope;
///
/// let envelope = Envelope::new("news@example.net")?.to("ann@lists.example")?.to("bob@lists.example")?;
/// assert_eq!(envelope.recipients().len(), 2);
/// # Ok::<(), nexthop::mail::MailboxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    reverse_path: ReversePath,
    recipients: Vec<Recipient>,
    ret: Option<Ret>,
    envelope_id: Option<EnvelopeId>,
    without_smtp_utf8: bool,
}

impl Envelope {
    /// An envelope without recipients, from the path that [`ReversePath::parse`] reads.
    ///
    /// # Errors
    /// Those of [`ReversePath::parse`].
    pub fn new(reverse_path: &str) -> Result<Self, MailboxError> {
        ReversePath::parse(reverse_path).map(Self::from_path)
    }

    /// An envelope without recipients, from this path.
    pub fn from_path(reverse_path: ReversePath) -> Self {
        Self { reverse_path, recipients: Vec::new(), ret: None, envelope_id: None, without_smtp_utf8: false }
    }

    /// The same envelope, with one more recipient, as [`Recipient::parse`] reads it.
    ///
    /// # Errors
    /// Those of [`Recipient::parse`].
    pub fn to(self, recipient: &str) -> Result<Self, MailboxError> {
        Ok(self.recipient(Recipient::parse(recipient)?))
    }

    /// The same envelope, with one more recipient.
    #[must_use]
    pub fn recipient(mut self, recipient: Recipient) -> Self {
        self.recipients.push(recipient);
        self
    }

    /// Returns the envelope if it has recipients. Use it after filling an envelope from a list that may be empty.
    ///
    /// # Errors
    /// The envelope has no recipients.
    pub fn require_recipients(self) -> Result<Self, EnvelopeError> {
        match self.recipients.is_empty() {
            true => Err(EnvelopeError::NoRecipients),
            false => Ok(self),
        }
    }

    /// The same envelope, with this `RET`.
    #[must_use]
    pub fn with_ret(self, ret: Ret) -> Self {
        Self { ret: Some(ret), ..self }
    }

    /// The same envelope, with this `ENVID`.
    #[must_use]
    pub fn with_envelope_id(self, envelope_id: EnvelopeId) -> Self {
        Self { envelope_id: Some(envelope_id), ..self }
    }

    /// Declares that the message arrived without SMTPUTF8, as most messages with UTF-8 in the header do.
    ///
    /// Bytes above 127 in the header are then sent as 8-bit content to every server that offers 8BITMIME. MAIL carries no SMTPUTF8 for them.
    /// Mailboxes in UTF-8 still need SMTPUTF8.
    ///
    /// Without this declaration such a message fails at a mail exchanger that does not offer SMTPUTF8 (5.6.9, RFC 6531
    /// section 3.2). A relay that offers 8BITMIME but not SMTPUTF8 receives it as 8-bit content.
    #[must_use]
    pub fn without_smtp_utf8(self) -> Self {
        Self { without_smtp_utf8: true, ..self }
    }

    /// Returns `true` if the host declared that the message arrived without SMTPUTF8.
    pub fn is_without_smtp_utf8(&self) -> bool {
        self.without_smtp_utf8
    }

    /// Where reports go.
    pub fn reverse_path(&self) -> &ReversePath {
        &self.reverse_path
    }

    /// The recipients, in the order they were given.
    pub fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// How much of the message a report of failure returns.
    pub fn ret(&self) -> Option<Ret> {
        self.ret
    }

    /// The sender's own name for the transaction.
    pub fn envelope_id(&self) -> Option<&EnvelopeId> {
        self.envelope_id.as_ref()
    }

    /// Whether the reverse path and all recipients can be sent without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.reverse_path.is_ascii() && self.recipients.iter().all(Recipient::is_ascii)
    }
}

impl From<Mailbox> for ReversePath {
    fn from(mailbox: Mailbox) -> Self {
        Self::Mailbox(mailbox)
    }
}

impl FromStr for ReversePath {
    type Err = MailboxError;

    fn from_str(text: &str) -> Result<Self, MailboxError> {
        Self::parse(text)
    }
}

/// What stands between the angle brackets of `MAIL FROM:<>`: nothing for the null path.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mailbox().map_or(Ok(()), |mailbox| mailbox.fmt(f))
    }
}

impl From<Mailbox> for ForwardPath {
    fn from(mailbox: Mailbox) -> Self {
        Self::Mailbox(mailbox)
    }
}

impl FromStr for ForwardPath {
    type Err = MailboxError;

    fn from_str(text: &str) -> Result<Self, MailboxError> {
        Self::parse(text)
    }
}

/// What stands between the angle brackets of `RCPT TO:<>`.
impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(mailbox) => mailbox.fmt(f),
            Self::Postmaster(postmaster) => postmaster.fmt(f),
        }
    }
}

impl fmt::Display for Postmaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ForwardPath> for Recipient {
    fn from(path: ForwardPath) -> Self {
        Self::new(path)
    }
}

impl From<Mailbox> for Recipient {
    fn from(mailbox: Mailbox) -> Self {
        Self::new(mailbox.into())
    }
}

impl FromStr for Recipient {
    type Err = MailboxError;

    fn from_str(text: &str) -> Result<Self, MailboxError> {
        Self::parse(text)
    }
}

/// The path, without angle brackets.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.path.fmt(f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { path, dsn } = &*self.0;
        f.debug_struct("Recipient").field("path", path).field("dsn", dsn).finish()
    }
}

impl Extend<Recipient> for Envelope {
    fn extend<I: IntoIterator<Item = Recipient>>(&mut self, recipients: I) {
        self.recipients.extend(recipients);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn parse(text: &str) -> Recipient {
        Recipient::parse(text).unwrap()
    }

    #[test]
    fn the_null_path_is_nothing_or_empty_brackets() {
        for null in ["", "<>"] {
            let path = ReversePath::parse(null).unwrap();
            assert_eq!(path, ReversePath::Null);
            assert_eq!(path.to_string(), "");
        }
        assert!(ReversePath::parse("< >").is_err());
        assert!(ReversePath::parse("<").is_err());
    }

    #[test]
    fn check_048_source_routes_are_dropped_from_both_paths() {
        assert_eq!(ReversePath::parse("<@h1,@h2:u@d>").unwrap().to_string(), "u@d");
        assert_eq!(parse("<@h1,@h2:u@d>").to_string(), "u@d");
        assert_eq!(parse("<@h1,@h2:u@d>").domain().unwrap().as_str(), "d");
    }

    #[test]
    fn check_049_a_bare_postmaster_keeps_its_spelling() {
        for spelling in ["Postmaster", "postmaster", "POSTMASTER"] {
            let path = ForwardPath::parse(&format!("<{spelling}>")).unwrap();
            assert!(matches!(path, ForwardPath::Postmaster(_)), "{path:?}");
            assert_eq!(path.to_string(), spelling);
        }
        assert_eq!(parse("postmaster").domain(), None);
        assert!(matches!(parse("postmaster@d").path(), ForwardPath::Mailbox(_)));
    }

    #[test]
    fn check_049_no_other_word_goes_without_a_domain() {
        for bad in ["", "<>", "root", "postmaster2", "\"postmaster\"", " postmaster", "<<postmaster>>"] {
            assert!(matches!(ForwardPath::parse(bad), Err(MailboxError::NoAt(_))), "{bad:?}");
        }
        assert!(matches!(ForwardPath::parse("<postmaster"), Err(MailboxError::Brackets(_))));
        assert!(matches!(ReversePath::parse("postmaster"), Err(MailboxError::NoAt(_))));
    }

    #[test]
    fn attack_a28_no_path_has_a_line_break() {
        for bad in ["a@d\r\nDATA", "postmaster\r\nDATA", "\r\n", "<\r\n>"] {
            assert!(matches!(ReversePath::parse(bad), Err(MailboxError::ControlCharacter(_))), "{bad:?}");
            assert!(matches!(ForwardPath::parse(bad), Err(MailboxError::ControlCharacter(_))), "{bad:?}");
        }
    }

    #[test]
    fn only_a_name_is_a_recipients_domain() {
        assert_eq!(parse("a@Bücher.example").domain().unwrap().as_str(), "xn--bcher-kva.example");
        assert_eq!(parse("a@[192.0.2.1]").domain(), None);
    }

    #[test]
    fn a_recipient_carries_what_its_sender_wants_to_know() {
        let original = OriginalRecipient::parse("rfc822;b@d").unwrap();
        let recipient = parse("a@d").with_notify(Notify::Never).with_original_recipient(original.clone());
        assert_eq!(recipient.notify(), Some(Notify::Never));
        assert_eq!(recipient.original_recipient(), Some(&original));
        assert_eq!(parse("a@d").dsn(), &RecipientDsn::default());
    }

    #[test]
    fn clones_of_a_recipient_share_it() {
        let envelope = Envelope::new("").unwrap().to("a@d").unwrap();
        let (one, clone) = (&envelope.recipients()[0], envelope.clone());
        assert!(Arc::ptr_eq(&one.0, &clone.recipients()[0].0));
    }

    #[test]
    fn a_wish_about_a_clone_is_not_one_about_the_other() {
        let one = parse("a@d");
        let original = OriginalRecipient::parse("rfc822;b@d").unwrap();
        let other = one.clone().with_notify(Notify::Never).with_original_recipient(original);
        assert_eq!(one.dsn(), &RecipientDsn::default());
        assert_ne!(one, other);
    }

    #[test]
    fn recipients_made_apart_are_equal_by_what_they_hold() {
        assert_eq!(parse("a@d"), parse("a@D"));
        assert!(HashSet::from([parse("a@d")]).contains(&parse("a@d")));
        assert_ne!(parse("a@d"), parse("a@d").with_notify(Notify::Never));
    }

    #[test]
    fn a_recipient_is_shown_with_its_parts() {
        let shown = format!("{:?}", parse("a@d").with_notify(Notify::Never));
        let dsn = "RecipientDsn { notify: Some(Never), original_recipient: None }";
        assert_eq!(shown, format!("Recipient {{ path: Mailbox(\"a@d\"), dsn: {dsn} }}"));
    }

    #[test]
    fn an_envelope_keeps_order_and_duplicates() {
        let mut envelope = Envelope::new("").unwrap().to("b@d").unwrap().to("a@d").unwrap();
        envelope.extend([parse("b@d")]);
        let shown: Vec<_> = envelope.recipients().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["b@d", "a@d", "b@d"]);
    }

    #[test]
    fn an_envelope_without_recipients_is_an_error() {
        let empty = Envelope::new("a@d").unwrap();
        assert_eq!(empty.clone().require_recipients(), Err(EnvelopeError::NoRecipients));
        let filled = empty.to("b@d").unwrap();
        assert_eq!(filled.clone().require_recipients(), Ok(filled));
    }

    #[test]
    fn an_envelope_carries_its_parameters() {
        let id = EnvelopeId::parse("QQ 314159").unwrap();
        let envelope = Envelope::new("a@d").unwrap().with_ret(Ret::Headers).with_envelope_id(id.clone());
        assert_eq!(envelope.ret(), Some(Ret::Headers));
        assert_eq!(envelope.envelope_id(), Some(&id));
        assert_eq!(envelope.reverse_path().to_string(), "a@d");
    }

    #[test]
    fn check_142_one_local_part_decides_about_smtputf8() {
        for (from, to, ascii) in [
            ("", "postmaster", true),
            ("a@ü.example", "b@ü.example", true),
            ("ü@d", "b@d", false),
            ("a@d", "ü@d", false),
        ] {
            let envelope = Envelope::new(from).unwrap().to("first@d").unwrap().to(to).unwrap();
            assert_eq!(envelope.is_ascii(), ascii, "{from} {to}");
        }
    }
}
