//! xtext, the encoding of parameter values that come from users (RFC 3461 section 4).

/// Writes `+`, `=` and all octets below 33 and above 126 as `+HH`.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            _ if is_xchar(octet) => encoded.push(char::from(octet)),
            _ => encoded.push_str(&format!("+{octet:02X}")),
        }
    }
    encoded
}

/// Decodes strictly: hexadecimal digits are upper case, and nothing stands raw that has to be encoded.
pub(crate) fn decode(encoded: &str) -> Option<String> {
    decode_with(encoded, is_xchar)
}

/// Decodes strictly, but accepts raw UTF-8 (RFC 6533 section 3).
pub(crate) fn decode_with_utf8(encoded: &str) -> Option<String> {
    decode_with(encoded, |octet| is_xchar(octet) || !octet.is_ascii())
}

fn decode_with(encoded: &str, is_raw: fn(u8) -> bool) -> Option<String> {
    let mut octets = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => hex_value(rest.next()?)? << 4 | hex_value(rest.next()?)?,
            _ if is_raw(octet) => octet,
            _ => return None,
        });
    }
    String::from_utf8(octets).ok()
}

fn is_xchar(octet: u8) -> bool {
    octet.is_ascii_graphic() && !matches!(octet, b'+' | b'=')
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn check_154_xtext_encodes_plus_equals_and_the_unprintable() {
        assert_eq!(encode("a+b=c d"), "a+2Bb+3Dc+20d");
        assert_eq!(encode("!~\u{7f}\n\u{e9}"), "!~+7F+0A+C3+A9");
    }

    #[test]
    fn check_154_xtext_is_decoded_strictly() {
        assert_eq!(decode("a+2Bb+3Dc+20d").unwrap(), "a+b=c d");
        for bad in
            ["a+2bb", "a+", "a+2", "a+G0", "a=b", "a b", "a\r\nb", "a+ 2", "é", "+FF", "+/0", "+:0", "+@0"]
        {
            assert_eq!(decode(bad), None, "{bad:?}");
            let is_utf8 = bad == "é";
            assert_eq!(decode_with_utf8(bad).is_some(), is_utf8, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn check_154_xtext_decodes_to_what_was_encoded(text in "(?s).*") {
            prop_assert_eq!(decode(&encode(&text)), Some(text));
        }
    }
}
