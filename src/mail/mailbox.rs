//! [`Mailbox`]: a local part, an `@`, and where it is at home.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::domain::{Domain, DomainError};
use super::local_part::minimally_quoted;

/// Octets of a local part (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL_PART: usize = 64;
/// Octets of a mailbox: a path has 256 (RFC 5321 section 4.5.3.1.3), its angle brackets counted.
const MAX_MAILBOX: usize = 254;
/// Characters of a refused text that an error repeats.
const MAX_SHOWN: usize = 256;

/// Why a text is not a mailbox or a path. Each reason shows the part in question, escaped and cut to 256 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailboxError {
    /// A C0 or C1 control character or DEL, which are not allowed in quotes either (RFC 5321 section 4.1.2).
    #[error("a control character in {0}")]
    ControlCharacter(String),
    /// One angle bracket of the pair is missing.
    #[error("angle brackets do not match in {0}")]
    Brackets(String),
    /// A source route that is not `@domain,@domain:` (RFC 5321 section 4.1.2).
    #[error("not a source route: {0}")]
    SourceRoute(String),
    /// No `@`, so neither local part nor domain.
    #[error("no @ in {0}")]
    NoAt(String),
    /// Neither atoms and dots nor one quoted string (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
    #[error("not a local part: {0}")]
    LocalPart(String),
    /// More than 64 octets left of the `@` (RFC 5321 section 4.5.3.1.1).
    #[error("the local part {0} is longer than 64 octets")]
    LocalPartTooLong(String),
    /// What stands right of the `@` is not a domain.
    #[error("not a mail domain: {domain}")]
    Domain {
        /// The refused domain, escaped.
        domain: String,
        /// What is wrong with it.
        source: DomainError,
    },
    /// Brackets around something else than `192.0.2.1` or `IPv6:2001:db8::1` (RFC 5321 section 4.1.3).
    #[error("not an address literal: {0}")]
    Literal(String),
    /// More than 254 octets, the domain as A-labels (RFC 5321 section 4.5.3.1.3).
    #[error("the mailbox {0} is longer than 254 octets")]
    PathTooLong(String),
}

/// A mailbox (RFC 5321 section 4.1.2, RFC 6531 section 3.3): what may stand between the angle brackets of a command.
///
/// Octets and case of the local part are kept, but it is quoted only where it must be, so that
/// equal mailboxes are equal values (RFC 5321 section 4.1.2). The domain is in A-labels.
///
/// Two kinds of mailbox are accepted that the grammar does not allow, because they are in use:
///
/// - Local parts with misplaced dots, such as `a..b`, `.a` and `a.`. They are sent, shown and compared in the quoted
///   form of RFC 5321 section 4.1.2: `"a..b"@a.example`.
/// - Domains with underscores, such as `a_b.example`.
///
/// ```
/// use nexthop::Mailbox;
///
/// let mailbox = Mailbox::parse("<\"Ann\"@Bücher.Example>").unwrap();
/// assert_eq!(mailbox.to_string(), "Ann@xn--bcher-kva.example");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// All of it, as it is sent for each message.
    text: Box<str>,
    /// Octets of the local part.
    at: usize,
    domain: MailboxDomain,
    is_ascii: bool,
}

impl Mailbox {
    /// Reads `local@domain`. Angle brackets around it and a source route in front of it are dropped
    /// (`<@relay.example:ann@a.example>`, RFC 5321 appendix C).
    ///
    /// # Errors
    /// A syntax error, a control character, quoted or not, or more octets than RFC 5321 section 4.5.3.1 allows.
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        if text.contains(char::is_control) {
            return Err(MailboxError::ControlCharacter(shown(text)));
        }
        let path = strip_source_route(strip_brackets(text)?)?;
        let (local_part, domain) = path.rsplit_once('@').ok_or_else(|| MailboxError::NoAt(shown(path)))?;
        let local_part = parse_local_part(local_part)?;
        let domain: MailboxDomain = domain.parse()?;
        let text = format!("{local_part}@{domain}").into_boxed_str();
        if text.len() > MAX_MAILBOX {
            return Err(MailboxError::PathTooLong(shown(path)));
        }
        Ok(Self { at: local_part.len(), is_ascii: text.is_ascii(), text, domain })
    }

    /// What stands left of the `@`, with quotes if it needs them.
    pub fn local_part(&self) -> &str {
        &self.text[..self.at]
    }

    /// Local part, `@` and domain.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands right of the `@`.
    pub fn domain(&self) -> &MailboxDomain {
        &self.domain
    }

    /// Whether it can be sent without SMTPUTF8 (RFC 6531 section 3.2): the domain always can.
    pub fn is_ascii(&self) -> bool {
        self.is_ascii
    }
}

/// What stands right of the `@` of a [`Mailbox`].
#[derive(Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "RFC 5321 section 4.1.2: a domain or an address literal")]
pub enum MailboxDomain {
    /// A mail domain.
    Name(Domain),
    /// An address literal (RFC 5321 section 4.1.3).
    Literal(IpAddr),
}

impl MailboxDomain {
    /// Reads a domain, `[192.0.2.1]` or `[IPv6:2001:db8::1]`; the case of the tag does not matter.
    ///
    /// # Errors
    /// Not a [`Domain`], an address in another spelling or with a scope identifier, a missing or unknown tag.
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        if text.starts_with('[') {
            let literal = parse_literal(text).map(Self::Literal);
            return literal.ok_or_else(|| MailboxError::Literal(shown(text)));
        }
        let name = Domain::parse(text).map(Self::Name);
        name.map_err(|source| MailboxError::Domain { domain: shown(text), source })
    }

    /// The domain, if it is a name.
    pub fn name(&self) -> Option<&Domain> {
        match self {
            Self::Name(domain) => Some(domain),
            Self::Literal(_) => None,
        }
    }
}

/// A text for an error: in quotes, escaped, cut.
pub(super) fn shown(text: &str) -> String {
    let cut = text.char_indices().nth(MAX_SHOWN).map(|(index, _)| &text[..index]);
    cut.map_or_else(|| format!("{text:?}"), |cut| format!("{cut:?}…"))
}

/// The inside of a pair of angle brackets, or the whole if there is none.
pub(super) fn strip_brackets(text: &str) -> Result<&str, MailboxError> {
    match (text.strip_prefix('<'), text.ends_with('>')) {
        (None, false) => Ok(text),
        (Some(inner), true) => Ok(inner.strip_suffix('>').unwrap_or(inner)),
        _ => Err(MailboxError::Brackets(shown(text))),
    }
}

/// Drops `@one.example,@two.example:` (RFC 5321 section 4.1.2, `A-d-l`).
fn strip_source_route(path: &str) -> Result<&str, MailboxError> {
    let Some((route, rest)) = path.split_once(':').filter(|_| path.starts_with('@')) else {
        return Ok(path);
    };
    let is_hop = |hop: &str| hop.strip_prefix('@').is_some_and(|domain| Domain::parse(domain).is_ok());
    if !route.split(',').all(is_hop) {
        return Err(MailboxError::SourceRoute(shown(route)));
    }
    Ok(rest)
}

fn parse_local_part(text: &str) -> Result<String, MailboxError> {
    let local_part = minimally_quoted(text).ok_or_else(|| MailboxError::LocalPart(shown(text)))?;
    if local_part.len() > MAX_LOCAL_PART {
        return Err(MailboxError::LocalPartTooLong(shown(text)));
    }
    Ok(local_part)
}

fn parse_literal(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    match inner.split_at_checked("IPv6:".len()) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => {
            address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

impl FromStr for Mailbox {
    type Err = MailboxError;

    fn from_str(text: &str) -> Result<Self, MailboxError> {
        Self::parse(text)
    }
}

/// `local@domain`, without angle brackets.
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl From<Domain> for MailboxDomain {
    fn from(domain: Domain) -> Self {
        Self::Name(domain)
    }
}

impl From<IpAddr> for MailboxDomain {
    fn from(address: IpAddr) -> Self {
        Self::Literal(address)
    }
}

impl FromStr for MailboxDomain {
    type Err = MailboxError;

    fn from_str(text: &str) -> Result<Self, MailboxError> {
        Self::parse(text)
    }
}

/// The A-labels, `[192.0.2.1]`, or `[IPv6:2001:db8::1]`.
impl fmt::Display for MailboxDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(domain) => domain.fmt(f),
            Self::Literal(IpAddr::V4(address)) => write!(f, "[{address}]"),
            Self::Literal(IpAddr::V6(address)) => write!(f, "[IPv6:{address}]"),
        }
    }
}

impl fmt::Debug for MailboxDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn reads(text: &str, expected: &str) {
        assert_eq!(Mailbox::parse(text).map(|m| m.to_string()), Ok(expected.to_owned()), "{text:?}");
    }

    fn error(text: &str) -> MailboxError {
        Mailbox::parse(text).expect_err(text)
    }

    #[test]
    fn check_046_local_part_keeps_octets_and_case() {
        let mailbox = Mailbox::parse("John.O'N+Tag@EXAMPLE.com").unwrap();
        assert_eq!(mailbox.local_part(), "John.O'N+Tag");
        assert_eq!(mailbox.domain().name().unwrap().as_str(), "example.com");
        // decomposed stays decomposed
        assert_eq!(Mailbox::parse("e\u{301}@a.example").unwrap().local_part(), "e\u{301}");
        assert_ne!(Mailbox::parse("ann@a.example"), Mailbox::parse("Ann@a.example"));
    }

    #[test]
    fn check_047_equal_mailboxes_are_equal_values() {
        assert_eq!(Mailbox::parse(r#""j\oe"@A.example."#), Mailbox::parse("joe@a.example"));
        for dotted in ["try..this", "try.this.", ".try"] {
            let (bare, quoted) = (format!("{dotted}@a.example"), format!("\"{dotted}\"@a.example"));
            reads(&bare, &quoted);
            let both: HashSet<_> = [&bare, &quoted].map(|text| Mailbox::parse(text).unwrap()).into();
            assert_eq!(both.len(), 1, "{both:?}");
        }
        reads(r#""a@b"@a.example"#, r#""a@b"@a.example"#);
    }

    #[test]
    fn check_048_source_routes_are_dropped() {
        reads("<@h1.example,@h2.example:u@d.example>", "u@d.example");
        reads("@h1.example:u@d.example", "u@d.example");
        reads("<@h1.example:u@[IPv6:::1]>", "u@[IPv6:::1]");
    }

    #[test]
    fn check_048_what_only_resembles_a_source_route_is_refused() {
        for bad in ["@a,b:u@d", "@:u@d", "@a,:u@d", "@a b:u@d", "@a> X<:u@d", "@[192.0.2.1]:u@d"] {
            assert!(matches!(error(bad), MailboxError::SourceRoute(_)), "{bad:?}");
        }
        for bad in ["@a:@b:u@d", "@a:@d", "@d", "a:u@d"] {
            assert!(matches!(error(bad), MailboxError::LocalPart(_)), "{bad:?}");
        }
        assert!(matches!(error("@a:u"), MailboxError::NoAt(_)));
    }

    #[test]
    fn check_062_a_local_part_has_64_octets() {
        assert!(Mailbox::parse(&format!("{}@a.example", "a".repeat(64))).is_ok());
        for long in ["a".repeat(65), "é".repeat(33), format!("\"{}\"", " ".repeat(63))] {
            assert!(
                matches!(error(&format!("{long}@a.example")), MailboxError::LocalPartTooLong(_)),
                "{long}"
            );
        }
        // what counts is the form that is sent
        assert!(Mailbox::parse(&format!("{}.@a.example", "a".repeat(61))).is_ok());
        assert!(Mailbox::parse(&format!("{}.@a.example", "a".repeat(62))).is_err());
        assert!(Mailbox::parse(&format!("\"{}\"@a.example", "\\a".repeat(64))).is_ok());
    }

    #[test]
    fn check_062_a_mailbox_has_254_octets() {
        let label = "a".repeat(63);
        let mailbox = |last: usize| format!("{}@{label}.{label}.{}", "a".repeat(64), "b".repeat(last));
        let longest = mailbox(61);
        assert_eq!(longest.len(), 254);
        assert!(Mailbox::parse(&format!("<@h1.example:{longest}>")).is_ok());
        assert!(matches!(error(&mailbox(62)), MailboxError::PathTooLong(_)));
    }

    #[test]
    fn check_062_the_domain_counts_as_a_labels() {
        let local_part = "a".repeat(64);
        let longer_as_a_labels = format!("{local_part}@{}", ["ü"; 30].join("."));
        assert!(matches!(error(&longer_as_a_labels), MailboxError::PathTooLong(_)));
        let shorter_as_a_labels = format!("{local_part}@{}", ["ü".repeat(50).as_str(); 3].join("."));
        assert!(Mailbox::parse(&shorter_as_a_labels).is_ok());
    }

    #[test]
    fn check_064_controls_are_refused_even_quoted() {
        for control in (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32) {
            for text in [format!("a{control}b@d"), format!("\"a{control}b\"@d"), format!("\"\\{control}\"@d")]
            {
                assert!(matches!(error(&text), MailboxError::ControlCharacter(_)), "{text:?}");
            }
        }
        assert!(matches!(error("a@d\n"), MailboxError::ControlCharacter(_)));
    }

    #[test]
    fn check_065_address_literals() {
        reads("a@[192.0.2.1]", "a@[192.0.2.1]");
        reads("a@[ipv6:2001:DB8:0::1]", "a@[IPv6:2001:db8::1]");
        reads("a@[IPv6:::ffff:10.0.0.1]", "a@[IPv6:::ffff:10.0.0.1]");
        assert_eq!(Mailbox::parse("a@[192.0.2.1]").unwrap().domain().name(), None);
    }

    #[test]
    fn check_065_and_094_other_spellings_of_addresses_are_no_literals() {
        let bad = [
            "[2001:db8::1]",
            "[IPv6:192.0.2.1]",
            "[IPv9:1]",
            "[tag:x]",
            "[]",
            "[IPv6:]",
            "[192.0.2.1",
            "[192.0.2.1]x",
        ];
        let numbers =
            ["[192.0.2.256]", "[192.0.2.01]", "[0177.0.0.1]", "[127.1]", "[0x7f000001]", "[2130706433]"];
        let scoped =
            ["[IPv6:fe80::1%eth0]", "[IPv6:fe80::1%1]", "[ 192.0.2.1]", "[[192.0.2.1]]", "[IPvé:::1]"];
        for bad in bad.into_iter().chain(numbers).chain(scoped) {
            assert!(matches!(error(&format!("a@{bad}")), MailboxError::Literal(_)), "{bad:?}");
        }
    }

    #[test]
    fn check_094_a_bare_address_is_no_domain() {
        for bad in ["127.0.0.1", "127.1", "0x7f000001", "127。0。0。1"] {
            let expected = MailboxError::Domain { domain: format!("{bad:?}"), source: DomainError::Numeric };
            assert_eq!(error(&format!("a@{bad}")), expected);
        }
        assert!(Mailbox::parse("a@2001:db8::1").is_err());
    }

    #[test]
    fn check_142_only_the_local_part_can_need_smtputf8() {
        let mailbox = Mailbox::parse("joe@bücher.example").unwrap();
        assert_eq!(mailbox.to_string(), "joe@xn--bcher-kva.example");
        assert!(mailbox.is_ascii());
        assert!(!Mailbox::parse("jürgen@a.example").unwrap().is_ascii());
        reads("\"jürgen\"@a.example", "jürgen@a.example");
    }

    #[test]
    fn check_147_invalid_names_are_refused() {
        for bad in ["-a.example", "xn--a.example", "", "a..b", "a@b", "a_b-.example", "a_b.1"] {
            assert!(Mailbox::parse(&format!("joe@{bad}")).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_domain_may_have_underscores() {
        reads("joe@a_b.Example", "joe@a_b.example");
        reads("joe@_a.example_", "joe@_a.example_");
        reads("joe@a_b.bücher.example", "joe@a_b.xn--bcher-kva.example");
    }

    #[test]
    fn attack_a28_a_line_break_gets_nowhere() {
        for bad in ["a\r\nRCPT TO:<x>@d", "\"a\nb\"@d", "a@d\r\nDATA", "\"a\\\r\\\nb\"@d", "a\0@d"] {
            assert!(matches!(error(bad), MailboxError::ControlCharacter(_)), "{bad:?}");
        }
    }

    #[test]
    fn attack_a29_parameters_cannot_be_smuggled() {
        let bad = [
            "a@b> NOTIFY=NEVER <x",
            "a@b> SIZE=1",
            "<a@b> SIZE=1",
            "<a@b>SIZE=1>",
            "a@b SIZE=1",
            "<<a@b>>",
            "<a@b",
            "a@b>",
        ];
        let at_end = ["<a> X=<b@c>", "a> NOTIFY=NEVER <x@d", "<@a> SIZE=1 <:u@d>", "a@[192.0.2.1]> SIZE=1"];
        for bad in bad.into_iter().chain(at_end) {
            assert!(Mailbox::parse(bad).is_err(), "{bad:?}");
        }
        reads("\"a> SIZE=1 <b\"@d", "\"a> SIZE=1 <b\"@d");
    }

    #[test]
    fn errors_show_the_part_escaped_and_cut() {
        assert_eq!(error("a\n@d").to_string(), r#"a control character in "a\n@d""#);
        assert_eq!(error("a \u{202e}@d").to_string(), r#"not a local part: "a \u{202e}""#);
        let long = error(&"é".repeat(100_000)).to_string();
        assert_eq!(long, format!("no @ in \"{}\"…", "é".repeat(256)));
    }

    /// What is left when quoted strings are taken out.
    fn unquoted(text: &str) -> String {
        let (mut rest, mut quoted, mut pair) = (String::new(), false, false);
        for c in text.chars() {
            match c {
                _ if pair => pair = false,
                '\\' if quoted => pair = true,
                '"' => quoted = !quoted,
                _ if !quoted => rest.push(c),
                _ => {}
            }
        }
        rest
    }

    /// Texts that are mailboxes, or nearly.
    fn nearly() -> impl Strategy<Value = String> {
        let local =
            prop_oneof![r#"[a-c.é]{0,6}"#, r#""([a @<>.,:é]|\\[\\" a])*""#, r#"["\\<>@:, a\r\n\x00]{0,6}"#];
        let domain = prop_oneof![
            "[a-c.ü-]{1,8}",
            r"\[(IPv6:)?[0-9a-f:.]{2,12}\]",
            r"\[192\.0\.2\.[0-9]{1,3}\]",
            "[ <>a.@]{0,5}"
        ];
        ("<?", "(@a.b[:,])?", local, "@?", domain, ">?")
            .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].concat())
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s).*") {
            let _ = Mailbox::parse(&text);
            let _ = MailboxDomain::parse(&text);
        }

        #[test]
        fn check_047_what_is_shown_is_read_again(text in nearly()) {
            if let Ok(mailbox) = Mailbox::parse(&text) {
                prop_assert_eq!(Mailbox::parse(&mailbox.to_string()), Ok(mailbox.clone()));
                prop_assert_eq!(Mailbox::parse(&format!("<{mailbox}>")), Ok(mailbox));
            }
        }

        #[test]
        fn attack_a28_and_a29_nothing_accepted_leaves_its_brackets(text in nearly()) {
            if let Ok(mailbox) = Mailbox::parse(&text) {
                let text = mailbox.to_string();
                prop_assert!(!text.contains(char::is_control), "{:?}", text);
                prop_assert!(!unquoted(&text).contains([' ', '<', '>']), "{:?}", text);
            }
        }
    }
}
