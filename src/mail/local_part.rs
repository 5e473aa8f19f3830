//! Local parts: what is quoted, and what has to be.

/// The local part with quotes only where they are needed (RFC 5321 section 4.1.2); `None`: not a local part.
///
/// Some existing mailboxes have misplaced dots (`a..b`, `.a`, `a.`). They are accepted unquoted, and quoted in the result.
///
/// The caller has refused control characters.
pub(super) fn minimally_quoted(text: &str) -> Option<String> {
    let content = match text.strip_prefix('"') {
        Some(quoted) => unquote(quoted.strip_suffix('"')?)?,
        None if has_atoms_and_dots_only(text) => text.to_owned(),
        None => return None,
    };
    Some(if is_dot_string(&content) { content } else { quote(&content) })
}

/// Resolves quoted pairs, which have an ASCII character each (RFC 6531 section 3.3 does not widen them).
fn unquote(inner: &str) -> Option<String> {
    let mut content = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        content.push(match c {
            '\\' => chars.next().filter(char::is_ascii)?,
            '"' => return None,
            _ => c,
        });
    }
    Some(content)
}

fn quote(content: &str) -> String {
    format!("\"{}\"", content.replace('\\', r"\\").replace('"', "\\\""))
}

fn is_dot_string(text: &str) -> bool {
    has_atoms_and_dots_only(text) && text.split('.').all(|atom| !atom.is_empty())
}

fn has_atoms_and_dots_only(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c == '.' || is_atext(c) || !c.is_ascii())
}

/// `atext` of RFC 5322 section 3.2.3.
pub(super) fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reads(text: &str, expected: &str) {
        assert_eq!(minimally_quoted(text).as_deref(), Some(expected), "{text:?}");
    }

    #[test]
    fn check_047_quotes_are_kept_only_where_needed() {
        reads(r#""joe""#, "joe");
        reads(r#""j\o\e""#, "joe");
        reads(r#""a b""#, r#""a b""#);
        reads(r#""\a\ b""#, r#""a b""#);
        reads(r#""a\"\\b""#, r#""a\"\\b""#);
        reads(r#""a@b""#, r#""a@b""#);
        reads(r#""a..b""#, r#""a..b""#);
        reads(r#""""#, r#""""#);
    }

    #[test]
    fn check_064_dots_where_the_grammar_has_none_are_quoted() {
        for dotted in ["a..b", ".a", "a.", ".", "..", "é..b", "a.b."] {
            reads(dotted, &format!("\"{dotted}\""));
            reads(&format!("\"{dotted}\""), &format!("\"{dotted}\""));
        }
        reads(r#""\a..\b""#, r#""a..b""#);
        reads("a.b", "a.b");
    }

    #[test]
    fn check_064_every_atext_character_stands_unquoted() {
        reads("!#$%&'*+-/=?^_`{|}~09azAZ", "!#$%&'*+-/=?^_`{|}~09azAZ");
    }

    #[test]
    fn check_064_local_parts_that_are_no_grammar() {
        let unquoted =
            ["", "a b", " a", "a .b", "..b c", "a@b", "a,b", "a;b", "a:b", "a(b)", "a[b", "a\\b", "a\"b"];
        let quoted = [r#"""#, r#""a"#, r#""a"b"#, r#""a"b""#, r#""a\""#, r#""\é""#, r#""a".b"#, r#"a."b""#];
        for bad in unquoted.into_iter().chain(quoted) {
            assert_eq!(minimally_quoted(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn check_046_any_content_survives_its_quotes(content in "[ -~é☃]{0,30}") {
            let kept = minimally_quoted(&quote(&content)).unwrap();
            let inner = kept.strip_prefix('"').and_then(|kept| unquote(kept.strip_suffix('"')?));
            prop_assert_eq!(inner.unwrap_or(kept), content);
        }
    }
}
