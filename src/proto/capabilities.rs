//! [`Capabilities`]: what the latest answer to EHLO or LHLO offers (RFC 5321 section 4.1.1.1).

use super::reply::Reply;
use super::sasl::MechanismSet;

/// What a server offers. Only the latest EHLO or LHLO of a session counts; HELO leaves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// Commands may be sent in groups (RFC 2920).
    pub pipelining: bool,
    /// Content may have octets above 127 (RFC 6152).
    pub eight_bit_mime: bool,
    /// Content may come in chunks of known length, by BDAT (RFC 3030 section 2).
    pub chunking: bool,
    /// Content may be binary (RFC 3030 section 3). Counts only beside CHUNKING.
    pub binary_mime: bool,
    /// Mailboxes and headers may have UTF-8 (RFC 6531).
    pub smtp_utf8: bool,
    /// Messages may state their size (RFC 1870).
    pub size: Option<SizeLimit>,
    /// The connection can be secured (RFC 3207).
    pub starttls: bool,
    /// Recipients may carry notification requests (RFC 3461).
    pub dsn: bool,
    /// Commands may be sent before the greeting on connections made later, and behind EHLO: `PIPECONNECT`, or
    /// `X_PIPE_CONNECT` as it was called at first (draft-harris-early-pipe).
    pub early_pipelining: bool,
    /// Mechanisms of AUTH (RFC 4954 section 3) that the crate knows.
    pub auth: MechanismSet,
}

/// What a server says with SIZE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 1870 section 4: a number of octets, or none")]
pub enum SizeLimit {
    /// No fixed maximum is known: the keyword stands alone, with 0, with a value that is not a number, or with one above
    /// [`u64::MAX`].
    Unknown,
    /// Octets of the largest message that it takes; at least 1.
    Octets(u64),
}

impl Capabilities {
    /// Reads the keywords. The first line names the server and is none; unknown and malformed lines are left
    /// out, and a keyword that takes no parameter does not count with one.
    pub(crate) fn read(reply: &Reply) -> Self {
        let mut found = Self::default();
        reply
            .lines()
            .skip(1)
            .filter_map(|line| std::str::from_utf8(line).ok())
            .for_each(|line| found.add(line));
        found.binary_mime &= found.chunking;
        found
    }

    fn add(&mut self, line: &str) {
        if let Some(names) = mechanisms(line) {
            return self.auth.extend(MechanismSet::from_names(names.split_ascii_whitespace()).iter());
        }
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        let parameter = words.next();
        match (keyword.as_str(), parameter) {
            ("PIPELINING", None) => self.pipelining = true,
            ("8BITMIME", None) => self.eight_bit_mime = true,
            ("CHUNKING", None) => self.chunking = true,
            ("BINARYMIME", None) => self.binary_mime = true,
            // RFC 6531 section 3.1: as if its parameters were not there
            ("SMTPUTF8", _) => self.smtp_utf8 = true,
            ("DSN", None) => self.dsn = true,
            ("STARTTLS", None) => self.starttls = true,
            ("PIPECONNECT" | "X_PIPE_CONNECT", None) => self.early_pipelining = true,
            ("SIZE", limit) => self.size = smaller(self.size, limit),
            _ => {}
        }
    }
}

/// The names behind `AUTH`, or behind `AUTH=` as servers said before RFC 2554. A server may say both, with
/// different names.
fn mechanisms(line: &str) -> Option<&str> {
    let (keyword, names) = line.split_at_checked(4)?;
    let behind = names.strip_prefix(['=', ' ', '\t']);
    let names = if names.is_empty() { Some(names) } else { behind };
    names.filter(|_| keyword.eq_ignore_ascii_case("AUTH"))
}

/// The limit, and of two of them the smaller one: a second line never widens what the first allowed.
fn smaller(before: Option<SizeLimit>, parameter: Option<&str>) -> Option<SizeLimit> {
    match (before, size_limit(parameter)) {
        (Some(SizeLimit::Octets(a)), SizeLimit::Octets(b)) => Some(SizeLimit::Octets(a.min(b))),
        (Some(SizeLimit::Octets(a)), SizeLimit::Unknown) => Some(SizeLimit::Octets(a)),
        (_, limit) => Some(limit),
    }
}

/// Reads the parameter of SIZE. A value that is not a number sets no limit; the extension still counts as offered.
fn size_limit(parameter: Option<&str>) -> SizeLimit {
    let digits = parameter.filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(0) | None => SizeLimit::Unknown,
        Some(octets) => SizeLimit::Octets(octets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::reply::ReplyCode;

    fn read(text: &str) -> Capabilities {
        Capabilities::read(&Reply::new(ReplyCode::new(250), text))
    }

    #[test]
    fn check_024_keywords_in_any_case_and_nothing_else() {
        let found = read("PIPELINING\npipelining\n=x\nDSN hi\n\n8bitmime\nSIZE abc");
        let size = Some(SizeLimit::Unknown);
        let wanted = Capabilities { pipelining: true, eight_bit_mime: true, size, ..Capabilities::default() };
        assert_eq!(found, wanted);
        assert!(!read("PIPELINING").pipelining, "the first line names the server");
    }

    #[test]
    fn check_024_what_is_behind_a_keyword_that_takes_nothing_unmakes_it_but_for_smtputf8() {
        let found = read("x\nPIPELINING 5\n8BITMIME yes\nDSN x\nSMTPUTF8 later");
        assert_eq!(found, Capabilities { smtp_utf8: true, ..Capabilities::default() });
    }

    #[test]
    fn early_pipelining_has_two_names_and_takes_nothing_behind_them() {
        for text in ["x\nPIPECONNECT", "x\nx_pipe_connect"] {
            assert_eq!(
                read(text),
                Capabilities { early_pipelining: true, ..Capabilities::default() },
                "{text}"
            );
        }
        for text in ["x\nPIPECONNECT 1", "x\nPIPE_CONNECT", "PIPECONNECT"] {
            assert!(!read(text).early_pipelining, "{text}");
        }
    }

    #[test]
    fn check_119_125_binarymime_counts_only_beside_chunking() {
        let found = |text| (read(text).chunking, read(text).binary_mime);
        assert_eq!(found("x\nBINARYMIME\nchunking"), (true, true));
        assert_eq!(found("x\nCHUNKING"), (true, false));
        for text in ["x\nBINARYMIME", "x\nBINARYMIME\nCHUNKING 5", "x"] {
            assert_eq!(found(text), (false, false), "{text}");
        }
        assert_eq!(found("x\nCHUNKING\nBINARYMIME 1"), (true, false));
    }

    #[test]
    fn check_130_size_without_a_usable_number_is_no_limit() {
        let odd =
            ["x", "-1", "+5", "10M", "1e3", "0x10", "١٠", "18446744073709551616", "99999999999999999999999"];
        for parameter in ["", "0", "000"].into_iter().chain(odd) {
            assert_eq!(read(&format!("x\nSIZE {parameter}")).size, Some(SizeLimit::Unknown), "{parameter}");
        }
        assert_eq!(read("x\nSIZE").size, Some(SizeLimit::Unknown));
        assert_eq!(read("x\nsize 1000").size, Some(SizeLimit::Octets(1000)));
        assert_eq!(read("x\nSIZE 18446744073709551615").size, Some(SizeLimit::Octets(u64::MAX)));
    }

    #[test]
    fn check_024_a_second_size_does_not_widen_the_first() {
        for text in [
            "x\nSIZE 5\nSIZE 9",
            "x\nSIZE 9\nSIZE 5",
            "x\nSIZE 5\nSIZE",
            "x\nSIZE\nSIZE 5",
            "x\nSIZE 5\nSIZE 10M",
            "x\nSIZE 10M\nSIZE 5",
        ] {
            assert_eq!(read(text).size, Some(SizeLimit::Octets(5)), "{text}");
        }
    }

    #[test]
    fn check_179_mechanisms_of_all_auth_lines_in_both_forms() {
        let auth = |text| read(text).auth.to_string();
        assert_eq!(auth("x\nAUTH LOGIN X-NEW plain"), "PLAIN LOGIN");
        assert_eq!(auth("x\nauth=LOGIN\nAUTH  SCRAM-SHA-256\tPLAIN"), "SCRAM-SHA-256 PLAIN LOGIN");
        for none in
            ["x\nAUTH", "x\nAUTH ", "x\nAUTHPLAIN", "x\nXAUTH PLAIN", "AUTH PLAIN", "x\nAUT\u{e9} PLAIN"]
        {
            assert_eq!(auth(none), "", "{none}");
        }
    }

    #[test]
    fn attack_a18_many_keywords_leave_no_trace() {
        let lines = (0..900).map(|n| format!("\nX-{n} y")).collect::<String>();
        let reply = Reply::new(ReplyCode::new(250), format!("x{lines}"));
        assert_eq!(Capabilities::read(&reply), Capabilities::default());
    }
}
