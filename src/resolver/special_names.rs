//! Names that are answered without the DNS (RFC 6761, RFC 7686).

use crate::mail::DnsName;

use super::answer::Answer;
use super::error::ResolveError;
use super::record::Record;

/// The answer for a name that must not be sent to a name server; `None` for all others.
///
/// `localhost` and what lies below it has the loopback addresses (RFC 6761 section 6.3), `.invalid`
/// (section 6.4) and `.onion` (RFC 7686 section 2) hold no names. `.local` and `.test` are sent.
pub(super) fn answer<T: Record>(name: &DnsName) -> Option<Result<Answer<T>, ResolveError>> {
    if name.is_localhost() {
        return Some(Ok(Answer::new(name.clone(), T::of_localhost())));
    }
    let top = name.as_str().rsplit('.').next();
    matches!(top, Some("invalid" | "onion")).then_some(Err(ResolveError::NoSuchName))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::super::record::Mx;
    use super::*;

    fn of<T: Record>(name: &str) -> Option<Result<Answer<T>, ResolveError>> {
        answer(&DnsName::parse(name).unwrap())
    }

    #[test]
    fn localhost_has_the_loopback_addresses_and_nothing_else() {
        for name in ["localhost", "a.b.localhost"] {
            assert_eq!(*of::<Ipv4Addr>(name).unwrap().unwrap().records, [Ipv4Addr::LOCALHOST]);
            assert_eq!(*of::<Ipv6Addr>(name).unwrap().unwrap().records, [Ipv6Addr::LOCALHOST]);
            assert!(of::<Mx>(name).unwrap().unwrap().records.is_empty());
            assert_eq!(of::<Mx>(name).unwrap().unwrap().canonical_name.as_str(), name);
        }
    }

    #[test]
    fn below_invalid_and_onion_is_no_name() {
        for name in ["invalid", "a.invalid", "onion", "a.b.onion"] {
            assert!(matches!(of::<Mx>(name), Some(Err(ResolveError::NoSuchName))), "{name}");
        }
    }

    #[test]
    fn all_other_names_are_asked() {
        for name in
            ["a.local", "a.test", "a.internal", "example", "notlocalhost", "localhost.example", "myonion"]
        {
            assert!(of::<Mx>(name).is_none(), "{name}");
        }
    }
}
