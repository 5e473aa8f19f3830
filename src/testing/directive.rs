//! What stands in angle brackets in a script: `<raw "250 ok\r\n">`.

use super::script::{Action, ScriptProblem};

/// Reads a directive of the server.
pub(super) fn server(text: &str) -> Result<Action, ScriptProblem> {
    let (word, arguments) = split(text)?;
    match word {
        "close" => bare(arguments, Action::Close),
        "reset" => bare(arguments, Action::Reset),
        "silence" => bare(arguments, Action::Silence),
        "tls" => bare(arguments, Action::Tls),
        "raw" => pieces(arguments).map(Action::Pieces),
        "repeat" => repeat(arguments),
        _ => Err(ScriptProblem::UnknownDirective(text.into())),
    }
}

/// Reads a directive of the client.
pub(super) fn client(text: &str) -> Result<Action, ScriptProblem> {
    let (word, arguments) = split(text)?;
    match word {
        "content" => bare(arguments, Action::Content),
        "octets" => number(arguments).map(Action::Octets),
        "rest" => bare(arguments, Action::Rest),
        "tls-record" => bare(arguments, Action::TlsRecord),
        "close" => bare(arguments, Action::Left),
        _ => Err(ScriptProblem::UnknownDirective(text.into())),
    }
}

fn split(text: &str) -> Result<(&str, &str), ScriptProblem> {
    let inner = text.trim_end().strip_prefix('<').and_then(|inner| inner.strip_suffix('>'));
    let inner = inner.ok_or_else(|| ScriptProblem::UnknownDirective(text.into()))?;
    Ok(inner.split_once(' ').unwrap_or((inner, "")))
}

fn bare(arguments: &str, action: Action) -> Result<Action, ScriptProblem> {
    if arguments.is_empty() { Ok(action) } else { Err(ScriptProblem::Arguments(arguments.into())) }
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, ScriptProblem> {
    text.trim().parse().map_err(|_| ScriptProblem::Arguments(text.into()))
}

fn repeat(arguments: &str) -> Result<Action, ScriptProblem> {
    let (times, octets) = arguments.trim().split_once(' ').unwrap_or_default();
    let octets = pieces(octets)?.concat();
    if octets.is_empty() {
        return Err(ScriptProblem::Arguments(arguments.into()));
    }
    Ok(Action::Repeat { times: number(times)?, octets })
}

/// Strings in quotes of either kind, one at least.
fn pieces(arguments: &str) -> Result<Vec<Vec<u8>>, ScriptProblem> {
    let error = || ScriptProblem::Arguments(arguments.into());
    let mut pieces = Vec::new();
    let mut rest = arguments.trim();
    while let Some(quote) = rest.chars().next() {
        let (piece, after) = quoted(quote, &rest[quote.len_utf8()..]).ok_or_else(error)?;
        pieces.push(piece);
        rest = after.trim_start();
    }
    if pieces.is_empty() { Err(error()) } else { Ok(pieces) }
}

/// The octets up to the closing quote, and what follows it.
fn quoted(quote: char, text: &str) -> Option<(Vec<u8>, &str)> {
    let mut octets = Vec::new();
    let mut rest = text.chars();
    while let (true, Some(c)) = (matches!(quote, '"' | '\''), rest.next()) {
        match c {
            '\\' => octets.push(escape(&mut rest)?),
            c if c == quote => return Some((octets, rest.as_str())),
            c => octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    None
}

fn escape(rest: &mut std::str::Chars<'_>) -> Option<u8> {
    match rest.next()? {
        'r' => Some(b'\r'),
        'n' => Some(b'\n'),
        't' => Some(b'\t'),
        '0' => Some(0),
        'x' => hexadecimal(rest.next()?, rest.next()?),
        c @ ('\\' | '"' | '\'') => u8::try_from(c).ok(),
        _ => None,
    }
}

fn hexadecimal(high: char, low: char) -> Option<u8> {
    u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_octets_are_written_in_pieces() {
        let action = server(r#"<raw "25" '0 "ok"\r\n' "\xE9é\t\0\\\"">"#).unwrap();
        let pieces = [b"25".to_vec(), b"0 \"ok\"\r\n".to_vec(), b"\xE9\xC3\xA9\t\0\\\"".to_vec()];
        assert_eq!(action, Action::Pieces(pieces.into()));
    }

    #[test]
    fn a_flood_is_said_in_a_line() {
        let flood = Action::Repeat { times: 1000, octets: b"250-x\r\n".to_vec() };
        assert_eq!(server(r#"<repeat 1000 "250-x\r\n">"#), Ok(flood));
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused() {
        for bad in [
            "<raw>",
            "<raw 250>",
            r#"<raw "x>"#,
            r#"<raw "\q">"#,
            r#"<raw "\xZZ">"#,
            "<repeat x>",
            "<repeat 2 ''>",
            "<close 1>",
        ] {
            assert!(matches!(server(bad), Err(ScriptProblem::Arguments(_))), "{bad}");
        }
        assert!(matches!(client("<octets many>"), Err(ScriptProblem::Arguments(_))));
    }

    #[test]
    fn unknown_words_are_refused() {
        for bad in ["<content>", "<close", "<>"] {
            assert!(matches!(server(bad), Err(ScriptProblem::UnknownDirective(_))), "{bad}");
        }
        assert!(matches!(client("<raw \"x\">"), Err(ScriptProblem::UnknownDirective(_))));
    }
}
