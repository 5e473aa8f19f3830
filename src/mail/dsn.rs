//! The parameters of delivery status notifications (RFC 3461): what a sender wants to be told, and about what.

use std::fmt;
use std::ops::BitOr;
use std::str::FromStr;

use super::local_part::is_atext;
use super::mailbox::shown;
use super::xtext;

/// Characters of `ENVID=`, encoded (RFC 3461 section 4.4).
const MAX_ENVELOPE_ID: usize = 100;
/// Characters of `ORCPT=`, type and encoded address (RFC 3461 section 4.2).
const MAX_ORIGINAL_RECIPIENT: usize = 500;

/// Why a text is not the value of a DSN parameter. Texts are shown escaped and cut to 256 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DsnError {
    /// Neither `FULL` nor `HDRS` (RFC 3461 section 4.3).
    #[error("neither full nor hdrs: {0}")]
    Ret(String),
    /// None of the words that `NOTIFY` has (RFC 3461 section 4.1).
    #[error("not one of never, success, failure, delay: {0}")]
    NotifyWord(String),
    /// `NEVER` beside another word (RFC 3461 section 4.1).
    #[error("never stands beside other words: {0}")]
    NeverBesideOthers(String),
    /// An envelope identifier or an original recipient with nothing in it.
    #[error("an empty DSN parameter")]
    Empty,
    /// A character that is neither printable ASCII nor a space (RFC 3461 sections 4.2 and 4.4). In an original recipient
    /// of type `utf-8` (RFC 6533 section 3) a control character.
    #[error("not printable ASCII: {0}")]
    NotPrintable(String),
    /// An envelope identifier of more than 100 characters, encoded.
    #[error("the envelope identifier {0} is longer than 100 characters in xtext")]
    EnvelopeIdTooLong(String),
    /// An original recipient of more than 500 characters, encoded.
    #[error("the original recipient {0} is longer than 500 characters in xtext")]
    OriginalRecipientTooLong(String),
    /// No address type in front of a semicolon (RFC 3461 section 4.2).
    #[error("not an address type, a semicolon and an address: {0}")]
    AddressType(String),
    /// Not the encoding of RFC 3461 section 4.
    #[error("not xtext: {0}")]
    Xtext(String),
}

/// How much of the message a report of failure returns (RFC 3461 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "RFC 3461 section 4.3 defines these two")]
pub enum Ret {
    /// `FULL`: the whole message.
    Full,
    /// `HDRS`: its header.
    Headers,
}

impl Ret {
    /// Reads `full` or `hdrs`; case does not matter.
    ///
    /// # Errors
    /// Another word.
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        match text {
            _ if text.eq_ignore_ascii_case("full") => Ok(Self::Full),
            _ if text.eq_ignore_ascii_case("hdrs") => Ok(Self::Headers),
            _ => Err(DsnError::Ret(shown(text))),
        }
    }
}

/// When the sender wants a report about a recipient (RFC 3461 section 4.1).
///
/// `NEVER` cannot stand beside other words, and there is always a word:
///
/// ```
/// use nexthop::{Notify, NotifyOn};
///
/// let notify = Notify::parse("success,failure").unwrap();
/// assert_eq!(notify, Notify::On(NotifyOn::SUCCESS | NotifyOn::FAILURE));
/// assert!(Notify::parse("never,failure").is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "RFC 3461 section 4.1: never, or on some events")]
pub enum Notify {
    /// `NEVER`.
    Never,
    /// On these events.
    On(NotifyOn),
}

impl Notify {
    /// Reads `never`, or words out of `success`, `failure` and `delay` with commas between them; case does not matter.
    ///
    /// # Errors
    /// No word, another word, or `never` beside other words.
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        if text.eq_ignore_ascii_case("never") {
            return Ok(Self::Never);
        }
        if text.split(',').any(|word| word.eq_ignore_ascii_case("never")) {
            return Err(DsnError::NeverBesideOthers(shown(text)));
        }
        let events =
            text.split(',').try_fold(NotifyOn(0), |all, word| Some(all | NotifyOn::from_word(word)?));
        events.map(Self::On).ok_or_else(|| DsnError::NotifyWord(shown(text)))
    }
}

/// The events of [`Notify`], at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NotifyOn(u8);

impl NotifyOn {
    /// The message was delivered.
    pub const SUCCESS: Self = Self(1);
    /// The message could not be delivered.
    pub const FAILURE: Self = Self(2);
    /// The message has not been delivered yet.
    pub const DELAY: Self = Self(4);

    const WORDS: [(Self, &str); 3] =
        [(Self::SUCCESS, "SUCCESS"), (Self::FAILURE, "FAILURE"), (Self::DELAY, "DELAY")];

    /// Whether all of `events` are among these.
    pub const fn includes(self, events: Self) -> bool {
        self.0 & events.0 == events.0
    }

    fn from_word(text: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, word)| text.eq_ignore_ascii_case(word)).map(|(event, _)| *event)
    }
}

/// The sender's own name for a transaction, returned in reports (RFC 3461 section 4.4).
///
/// Printable ASCII and spaces, held decoded; of 1 to 100 characters when encoded.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EnvelopeId(Box<str>);

impl EnvelopeId {
    /// Takes an identifier as the sender means it, not encoded.
    ///
    /// # Errors
    /// Empty, too long, or a character that is neither printable ASCII nor a space.
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        require_printable(text)?;
        if xtext::encode(text).len() > MAX_ENVELOPE_ID {
            return Err(DsnError::EnvelopeIdTooLong(shown(text)));
        }
        Ok(Self(text.into()))
    }

    /// Takes the value of an `ENVID` parameter as a server received it.
    ///
    /// # Errors
    /// Not xtext, or decoded to something that [`EnvelopeId::parse`] refuses.
    pub fn from_xtext(encoded: &str) -> Result<Self, DsnError> {
        Self::parse(&decode_xtext(encoded)?)
    }

    /// The identifier, not encoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of an `ENVID` parameter.
    pub fn to_xtext(&self) -> String {
        xtext::encode(&self.0)
    }
}

/// The recipient that the sender wrote to, before any forwarding (RFC 3461 section 4.2).
///
/// A type of address, as `rfc822`, and an address in printable ASCII and spaces, held decoded. An address of type `utf-8`
/// (RFC 6533 section 3) may contain UTF-8, raw or in its ASCII form: `utf-8;jürgen@a.example`, `utf-8;j\x{FC}rgen@a.example`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OriginalRecipient {
    address_type: Box<str>,
    address: Box<str>,
}

impl OriginalRecipient {
    /// Takes `rfc822;ann@a.example`, the address as the sender means it, not encoded.
    ///
    /// # Errors
    /// No address type, no address, more than 500 characters when encoded, or a character that is neither printable ASCII
    /// nor a space. In an address of type `utf-8` only control characters are refused.
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        let (address_type, address) = split_address_type(text)?;
        match is_utf8(address_type) {
            true => require_no_control(address),
            false => require_printable(address),
        }?;
        let original = Self { address_type: address_type.into(), address: address.into() };
        if original.to_xtext().len() > MAX_ORIGINAL_RECIPIENT {
            return Err(DsnError::OriginalRecipientTooLong(shown(text)));
        }
        Ok(original)
    }

    /// Takes the value of an `ORCPT` parameter as a server received it.
    ///
    /// # Errors
    /// The address is not xtext, or [`OriginalRecipient::parse`] refuses the decoded value. An address of type `utf-8` may
    /// contain raw UTF-8.
    pub fn from_xtext(encoded: &str) -> Result<Self, DsnError> {
        let (address_type, address) = split_address_type(encoded)?;
        let decoded = match is_utf8(address_type) {
            true => xtext::decode_with_utf8(address).ok_or_else(|| DsnError::Xtext(shown(address))),
            false => decode_xtext(address),
        };
        Self::parse(&format!("{address_type};{}", decoded?))
    }

    /// What kind of address it is: `rfc822`, `utf-8`, `x400` and others.
    pub fn address_type(&self) -> &str {
        &self.address_type
    }

    /// The address, not encoded.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the value of an `ORCPT` parameter in ASCII. In type `utf-8`, a character beyond ASCII becomes `\x{FC}`
    /// (`utf-8-addr-xtext` of RFC 6533 section 3).
    pub fn to_xtext(&self) -> String {
        match is_utf8(&self.address_type) {
            true => format!("{};{}", self.address_type, encode_utf8_address(&self.address, false)),
            false => format!("{};{}", self.address_type, xtext::encode(&self.address)),
        }
    }

    /// Returns the value of an `ORCPT` parameter for use after MAIL with the parameter SMTPUTF8. In type `utf-8`,
    /// characters beyond ASCII stay raw (`utf-8-addr-unitext` of RFC 6533 section 3).
    pub fn to_unitext(&self) -> String {
        match is_utf8(&self.address_type) {
            true => format!("{};{}", self.address_type, encode_utf8_address(&self.address, true)),
            false => self.to_xtext(),
        }
    }
}

fn is_utf8(address_type: &str) -> bool {
    address_type.eq_ignore_ascii_case("utf-8")
}

/// Encodes an address of type `utf-8` (RFC 6533 section 3). Characters that must not appear raw become `\x{HEX}`;
/// existing `\x{HEX}` are kept.
fn encode_utf8_address(address: &str, keeps_utf8: bool) -> String {
    let mut written = String::with_capacity(address.len());
    let mut rest = address;
    while let Some(c) = rest.chars().next() {
        let embedded = embedded_length(rest);
        let is_raw = embedded.is_some() || is_qchar(c) || (keeps_utf8 && !c.is_ascii());
        let (taken, behind) = rest.split_at(embedded.unwrap_or(c.len_utf8()));
        match is_raw {
            true => written.push_str(taken),
            false => written.push_str(&format!("\\x{{{:02X}}}", u32::from(c))),
        }
        rest = behind;
    }
    written
}

/// Length in bytes of the `\x{HEX}` at the beginning of a text, if there is one and it encodes a character.
fn embedded_length(text: &str) -> Option<usize> {
    let (digits, _) = text.strip_prefix("\\x{")?.split_once('}')?;
    let is_number = matches!(digits.len(), 1..=6) && digits.bytes().all(|octet| octet.is_ascii_hexdigit());
    let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_number)?;
    char::from_u32(number).map(|_| "\\x{}".len() + digits.len())
}

/// Returns `true` for `QCHAR` of RFC 6533 section 3.
fn is_qchar(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=')
}

/// What the sender of a message wants to be told about one recipient. By default nothing is said, and the servers decide.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct RecipientDsn {
    /// `NOTIFY`: when a report is wanted.
    pub notify: Option<Notify>,
    /// `ORCPT`: whom the report is about, in the sender's own words.
    pub original_recipient: Option<OriginalRecipient>,
}

fn decode_xtext(encoded: &str) -> Result<String, DsnError> {
    xtext::decode(encoded).ok_or_else(|| DsnError::Xtext(shown(encoded)))
}

fn require_printable(text: &str) -> Result<(), DsnError> {
    match text {
        "" => Err(DsnError::Empty),
        _ if text.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic()) => Ok(()),
        _ => Err(DsnError::NotPrintable(shown(text))),
    }
}

fn require_no_control(text: &str) -> Result<(), DsnError> {
    match text {
        "" => Err(DsnError::Empty),
        _ if text.contains(char::is_control) => Err(DsnError::NotPrintable(shown(text))),
        _ => Ok(()),
    }
}

/// `+` and `=`, though atext, are left out: a type is not encoded.
fn split_address_type(text: &str) -> Result<(&str, &str), DsnError> {
    let is_type =
        |word: &str| !word.is_empty() && word.chars().all(|c| is_atext(c) && !matches!(c, '+' | '='));
    let parts = text.split_once(';').filter(|(address_type, _)| is_type(address_type));
    parts.ok_or_else(|| DsnError::AddressType(shown(text)))
}

impl FromStr for Ret {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, DsnError> {
        Self::parse(text)
    }
}

/// `FULL` or `HDRS`.
impl fmt::Display for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

impl FromStr for Notify {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, DsnError> {
        Self::parse(text)
    }
}

/// The value of a `NOTIFY` parameter: `NEVER`, or as `SUCCESS,FAILURE,DELAY`.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("NEVER"),
            Self::On(events) => events.fmt(f),
        }
    }
}

impl BitOr for NotifyOn {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for NotifyOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Self::WORDS.iter().filter(|(event, _)| self.includes(*event)).map(|(_, word)| *word);
        f.write_str(&words.collect::<Vec<_>>().join(","))
    }
}

impl FromStr for EnvelopeId {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, DsnError> {
        Self::parse(text)
    }
}

/// The identifier, not encoded.
impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl FromStr for OriginalRecipient {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, DsnError> {
        Self::parse(text)
    }
}

/// Type and address, not encoded.
impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.address_type, self.address)
    }
}

impl fmt::Debug for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn check_148_an_envelope_id_is_passed_on_as_it_came() {
        let id = EnvelopeId::from_xtext("a+2Bb").unwrap();
        assert_eq!(id.as_str(), "a+b");
        assert_eq!(id.to_xtext(), "a+2Bb");
    }

    #[test]
    fn check_155_never_stands_alone() {
        assert_eq!(Notify::parse("Never"), Ok(Notify::Never));
        for bad in ["never,failure", "delay,NEVER", "never,never"] {
            assert_eq!(Notify::parse(bad), Err(DsnError::NeverBesideOthers(format!("{bad:?}"))));
        }
    }

    #[test]
    fn check_155_notify_has_a_word_and_only_its_words() {
        for bad in ["", ",", "failure,", "success failure", "success,,delay", "always", "never "] {
            assert_eq!(Notify::parse(bad), Err(DsnError::NotifyWord(format!("{bad:?}"))));
        }
        assert_eq!(Notify::parse("delay,Success,delay").unwrap().to_string(), "SUCCESS,DELAY");
        assert_eq!(Notify::parse("failure"), Ok(Notify::On(NotifyOn::FAILURE)));
        assert_eq!(Notify::Never.to_string(), "NEVER");
    }

    #[test]
    fn events_include_their_parts() {
        let events = NotifyOn::SUCCESS | NotifyOn::DELAY;
        assert!(events.includes(NotifyOn::DELAY));
        assert!(!events.includes(NotifyOn::FAILURE));
        assert!(!NotifyOn::DELAY.includes(events));
    }

    #[test]
    fn ret_has_two_words() {
        for (text, ret) in [("full", Ret::Full), ("HDRS", Ret::Headers)] {
            assert_eq!(Ret::parse(text), Ok(ret));
            assert_eq!(ret.to_string(), text.to_uppercase());
        }
        assert!(Ret::parse("headers").is_err());
    }

    #[test]
    fn check_155_an_envelope_id_has_100_characters_encoded() {
        assert!(EnvelopeId::parse(&"a".repeat(100)).is_ok());
        for long in ["a".repeat(101), "+".repeat(34)] {
            assert!(matches!(EnvelopeId::parse(&long), Err(DsnError::EnvelopeIdTooLong(_))), "{long}");
        }
    }

    #[test]
    fn check_155_an_original_recipient_has_500_characters_encoded() {
        let original = |length: usize| OriginalRecipient::parse(&format!("rfc822;{}", "a".repeat(length)));
        assert!(original(493).is_ok());
        assert!(matches!(original(494), Err(DsnError::OriginalRecipientTooLong(_))));
    }

    #[test]
    fn check_155_values_are_printable_ascii() {
        assert_eq!(EnvelopeId::parse(""), Err(DsnError::Empty));
        assert_eq!(OriginalRecipient::parse("rfc822;"), Err(DsnError::Empty));
        for bad in ["a\tb", "é", "a\u{7f}"] {
            let expected = DsnError::NotPrintable(format!("{bad:?}"));
            assert_eq!(EnvelopeId::parse(bad), Err(expected.clone()));
            assert_eq!(OriginalRecipient::parse(&format!("rfc822;{bad}")), Err(expected));
        }
        for bad in ["a\tb", "a\u{7f}", "a\u{85}", "a\r\nb"] {
            let expected = DsnError::NotPrintable(format!("{bad:?}"));
            assert_eq!(OriginalRecipient::parse(&format!("utf-8;{bad}")), Err(expected));
        }
        assert_eq!(OriginalRecipient::parse("utf-8;"), Err(DsnError::Empty));
        assert!(EnvelopeId::from_xtext("a+0A").is_err());
    }

    #[test]
    fn check_154_received_values_are_decoded_strictly() {
        assert_eq!(EnvelopeId::from_xtext("a+2b"), Err(DsnError::Xtext("\"a+2b\"".to_owned())));
        assert_eq!(OriginalRecipient::from_xtext("rfc822;a=b"), Err(DsnError::Xtext("\"a=b\"".to_owned())));
    }

    #[test]
    fn an_original_recipient_has_a_type_and_an_address() {
        let original = OriginalRecipient::from_xtext("RFC822;a+2Bb;c@d").unwrap();
        assert_eq!((original.address_type(), original.address()), ("RFC822", "a+b;c@d"));
        assert_eq!(original.to_xtext(), "RFC822;a+2Bb;c@d");
        assert_eq!(OriginalRecipient::parse("rfc822;a b=@d").unwrap().to_xtext(), "rfc822;a+20b+3D@d");
        for bad in ["a@b", ";a@b", "rfc 822;a@b", "rfc+822;a", "a=b;c", "é;a"] {
            let expected = Err(DsnError::AddressType(format!("{bad:?}")));
            assert_eq!(OriginalRecipient::parse(bad), expected);
        }
    }

    #[test]
    fn an_original_recipient_in_utf_8_keeps_its_ascii_form() {
        let original = OriginalRecipient::parse(r"utf-8;j\x{FC}rgen@a.example").unwrap();
        assert_eq!(original.to_xtext(), r"utf-8;j\x{FC}rgen@a.example");
        assert_eq!(original.to_unitext(), r"utf-8;j\x{FC}rgen@a.example");
    }

    #[test]
    fn check_146_an_original_recipient_may_be_in_utf_8() {
        for (given, ascii, utf8) in [
            ("utf-8;jürgen@a.example", r"utf-8;j\x{FC}rgen@a.example", "utf-8;jürgen@a.example"),
            (
                "UTF-8;用户@例え.example",
                r"UTF-8;\x{7528}\x{6237}@\x{4F8B}\x{3048}.example",
                "UTF-8;用户@例え.example",
            ),
            (
                "utf-8;a+ü=b \\@x",
                r"utf-8;a\x{2B}\x{FC}\x{3D}b\x{20}\x{5C}@x",
                r"utf-8;a\x{2B}ü\x{3D}b\x{20}\x{5C}@x",
            ),
            (
                r"utf-8;\x{D800}\x{}\x{1",
                r"utf-8;\x{5C}x{D800}\x{5C}x{}\x{5C}x{1",
                r"utf-8;\x{5C}x{D800}\x{5C}x{}\x{5C}x{1",
            ),
            ("utf-8;😀@x", r"utf-8;\x{1F600}@x", "utf-8;😀@x"),
            ("rfc822;a+b", "rfc822;a+2Bb", "rfc822;a+2Bb"),
        ] {
            let original = OriginalRecipient::parse(given).unwrap();
            assert_eq!((original.to_xtext().as_str(), original.to_unitext().as_str()), (ascii, utf8));
            assert_eq!(original.to_string(), given);
        }
        for received in ["utf-8;jürgen@x", r"utf-8;j\x{FC}rgen@x", "utf-8;j+C3+BCrgen@x"] {
            let original = OriginalRecipient::from_xtext(received).unwrap();
            assert_eq!(original.to_xtext(), r"utf-8;j\x{FC}rgen@x", "{received}");
        }
        assert!(OriginalRecipient::from_xtext("rfc822;jürgen@x").is_err());
        assert!(OriginalRecipient::from_xtext("utf-8;a=b").is_err());
        let long = |count: usize| OriginalRecipient::parse(&format!("utf-8;{}", "ü".repeat(count)));
        assert!(long(82).is_ok() && long(83).is_err(), "the ASCII form counts");
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_or_refused(text in "(?s).*|[+=;A-F0-9 ]*") {
            let _ = EnvelopeId::from_xtext(&text);
            let _ = OriginalRecipient::from_xtext(&text);
            let _ = Notify::parse(&text);
        }

        #[test]
        fn attack_a30_no_value_ends_its_parameter(text in "(?s).{1,20}|[ -~]{1,20}|[a-z]{1,3};[ -~]{1,20}|utf-8;[ -~é\\\\x{}]{1,20}") {
            let id = EnvelopeId::parse(&text).map(|id| id.to_xtext());
            let original = OriginalRecipient::parse(&text).map(|original| original.to_xtext());
            for value in id.into_iter().chain(original) {
                prop_assert!(value.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'='), "{:?}", value);
            }
            if let Ok(original) = OriginalRecipient::parse(&text) {
                let value = original.to_unitext();
                prop_assert!(!value.contains(|c: char| c.is_control() || matches!(c, ' ' | '=')), "{:?}", value);
            }
        }
    }
}
