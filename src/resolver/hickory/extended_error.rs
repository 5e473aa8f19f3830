//! Extended DNS errors (RFC 8914): why a server said SERVFAIL.

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::rdata::opt::{EdnsCode, EdnsOption};

/// The option of extended errors (RFC 8914 section 2).
const EXTENDED_ERROR: u16 = 15;

/// What validation found wrong, if the server says that it was validation that failed.
///
/// The first two octets of the option are the code; the text behind it is the server's and is not passed on.
pub(super) fn bogus(message: &Message) -> Option<&'static str> {
    let options = message.edns.as_ref()?.options().get_all(EdnsCode::Unknown(EXTENDED_ERROR));
    options.into_iter().find_map(|option| match option {
        EdnsOption::Unknown(_, octets) => name(u16::from_be_bytes(*octets.first_chunk()?)),
        _ => None,
    })
}

/// The codes that mean bogus (RFC 8914 section 4); what cannot be determined counts as that (RFC 7672 section 2.1.1).
fn name(code: u16) -> Option<&'static str> {
    Some(match code {
        5 => "DNSSEC indeterminate",
        6 => "DNSSEC bogus",
        7 => "signature expired",
        8 => "signature not yet valid",
        9 => "DNSKEY missing",
        10 => "RRSIGs missing",
        11 => "no zone key bit set",
        12 => "NSEC missing",
        25 => "signature expired before valid",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::{Edns, OpCode};

    use super::*;

    fn message(options: &[&[u8]]) -> Message {
        let mut edns = Edns::new();
        let option = |octets: &&[u8]| {
            (EdnsCode::Unknown(EXTENDED_ERROR), EdnsOption::Unknown(EXTENDED_ERROR, octets.to_vec()))
        };
        edns.options_mut().options.extend(options.iter().map(option));
        let mut message = Message::response(1, OpCode::Query);
        message.set_edns(edns);
        message
    }

    #[test]
    fn check_204_codes_of_validation_mean_bogus() {
        for code in [5, 6, 7, 8, 9, 10, 11, 12, 25] {
            assert!(bogus(&message(&[&[0, code]])).is_some(), "{code}");
        }
        assert_eq!(bogus(&message(&[b"\0\x07expired"])), Some("signature expired"));
    }

    #[test]
    fn other_codes_and_broken_options_mean_nothing() {
        for octets in [&[0, 22][..], &[1, 6], &[6], &[]] {
            assert_eq!(bogus(&message(&[octets])), None, "{octets:?}");
        }
        assert_eq!(bogus(&Message::response(1, OpCode::Query)), None);
    }

    #[test]
    fn any_of_several_options_counts() {
        assert_eq!(bogus(&message(&[&[0, 22], &[0, 9]])), Some("DNSKEY missing"));
    }
}
