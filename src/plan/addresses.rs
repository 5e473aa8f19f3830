//! The addresses of one host: what both families said, joined and put in order (RFC 3974 section 3, RFC 8305 section 4).

use std::net::IpAddr;

use super::selection;
use crate::mail::DnsName;
use crate::resolver::{ResolveError, Security};
use crate::route::Families;

/// Why there are no addresses.
#[derive(Debug)]
pub(super) enum NoAddresses {
    /// The name does not exist.
    NoSuchName,
    /// It exists and has none of the families asked for.
    None,
    /// A lookup failed, so nobody knows.
    Unknown(ResolveError),
}

/// What one family said.
pub(super) type Answered = Result<Found, ResolveError>;

/// The addresses of one family, and what DNSSEC proved of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Where the aliases of the host end.
    pub(super) name: DnsName,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) security: Security,
}

/// The addresses that both families gave; `None` for one that was not asked or did not answer yet. One family that
/// has some is enough; a family that failed makes an absence of the other doubtful (check 081).
pub(super) fn both(answers: [Option<&Answered>; 2]) -> Result<Vec<IpAddr>, NoAddresses> {
    let (mut found, mut missing, mut asked) = (Vec::new(), 0, 0);
    let mut failed = None;
    for answer in answers.into_iter().flatten() {
        asked += 1;
        match answer {
            Ok(more) => found.extend(&more.addresses),
            Err(ResolveError::NoSuchName) => missing += 1,
            Err(error) => failed = Some(error.clone()),
        }
    }
    match failed {
        _ if !found.is_empty() => Ok(found),
        Some(error) => Err(NoAddresses::Unknown(error)),
        None if missing == asked => Err(NoAddresses::NoSuchName),
        None => Err(NoAddresses::None),
    }
}

/// Addresses of one family that are sorted at most: the system is asked about each of them.
const MOST_SORTED: usize = 50;

/// Sorts by what the system would choose (RFC 6724), then as the families are wanted; of each family no more than can be
/// asked about, or than the limit.
pub(super) fn sorted(
    found: Vec<IpAddr>,
    families: Families,
    limit: usize,
    source_of: impl Fn(IpAddr) -> Option<IpAddr>,
) -> Vec<IpAddr> {
    let mut sorted = selection::sorted(bounded(found, limit.max(MOST_SORTED)), source_of);
    match families {
        Families::Balanced => sorted = interleaved(sorted),
        Families::V4ThenV6 | Families::V4Only => sorted.sort_by_key(IpAddr::is_ipv6),
        Families::V6ThenV4 | Families::V6Only => sorted.sort_by_key(IpAddr::is_ipv4),
    }
    sorted
}

/// Addresses that are kept, and how many there were beside them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) left_out: usize,
}

/// Keeps at most `limit` of the addresses that may be dialled, and as many others, so that it can be told why not. An
/// address that is denied takes no room. The order stays.
pub(super) fn kept(judged: &[(IpAddr, bool)], limit: usize) -> Kept {
    let of = |wanted: bool| {
        let addresses = judged.iter().filter(|(_, may_be_dialled)| *may_be_dialled == wanted);
        cut(addresses.map(|(address, _)| *address).collect(), limit)
    };
    let (allowed, denied) = (of(true), of(false));
    let is_kept =
        |address: &IpAddr| allowed.addresses.contains(address) || denied.addresses.contains(address);
    let mut addresses: Vec<_> = judged.iter().map(|(address, _)| *address).filter(is_kept).collect();
    addresses.dedup();
    Kept { addresses, left_out: allowed.left_out + denied.left_out }
}

/// The first `most` addresses of each family.
fn bounded(mut found: Vec<IpAddr>, most: usize) -> Vec<IpAddr> {
    let mut room = [most; 2];
    found.retain(|address| {
        let room = &mut room[usize::from(address.is_ipv6())];
        let fits = *room > 0;
        *room = room.saturating_sub(1);
        fits
    });
    found
}

/// The families in turn, that of the first address first (RFC 8305 section 4, First Address Family Count 1).
fn interleaved(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (four, six): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.is_ipv4());
    let (first, second) =
        if addresses.first().is_some_and(IpAddr::is_ipv4) { (four, six) } else { (six, four) };
    let longest = first.len().max(second.len());
    (0..longest).flat_map(|place| [first.get(place), second.get(place)]).flatten().copied().collect()
}

/// The first `limit` addresses, but two at least, and one of each family that there is.
fn cut(mut addresses: Vec<IpAddr>, limit: usize) -> Kept {
    let limit = limit.max(2);
    let Some(first) = addresses.first().copied() else { return Kept { addresses, left_out: 0 } };
    let other = addresses.iter().copied().find(|address| address.is_ipv4() != first.is_ipv4());
    addresses.dedup();
    let left_out = addresses.len().saturating_sub(limit);
    addresses.truncate(limit);
    match other {
        Some(other) if !addresses.contains(&other) => addresses[limit - 1] = other,
        _ => {}
    }
    Kept { addresses, left_out }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|address| address.parse().unwrap()).collect()
    }

    fn cut_list(text: &str, limit: usize) -> Vec<IpAddr> {
        cut(list(text), limit).addresses
    }

    #[test]
    fn check_076_087_a_cut_list_keeps_two_addresses_and_both_families() {
        assert_eq!(cut_list("192.0.2.1 192.0.2.2 192.0.2.3", 1), list("192.0.2.1 192.0.2.2"));
        assert_eq!(cut_list("2001:db8::1 2001:db8::2 192.0.2.1", 2), list("2001:db8::1 192.0.2.1"));
        assert_eq!(cut_list("2001:db8::1 192.0.2.1 192.0.2.2", 2), list("2001:db8::1 192.0.2.1"));
        assert_eq!(cut_list("", 5), Vec::<IpAddr>::new());
        assert_eq!(cut(list("192.0.2.1 192.0.2.2 192.0.2.3"), 2).left_out, 1);
        assert_eq!(cut(list("192.0.2.1 192.0.2.2"), 2).left_out, 0);
    }

    #[test]
    fn check_097_the_families_take_turns() {
        let found = list("2001:db8::1 2001:db8::2 2001:db8::3 192.0.2.1 192.0.2.2");
        let turns = list("2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 2001:db8::3");
        assert_eq!(interleaved(found), turns);
        assert_eq!(interleaved(list("192.0.2.1 2001:db8::1")), list("192.0.2.1 2001:db8::1"));
        assert_eq!(interleaved(list("192.0.2.1 192.0.2.2")), list("192.0.2.1 192.0.2.2"));
    }

    #[test]
    fn check_097_what_the_host_wants_goes_before_what_the_system_would_choose() {
        let found = || list("192.0.2.1 2001:db8::1 192.0.2.2 2001:db8::2");
        let with = |families| sorted(found(), families, 8, Some);
        let v4_first = list("192.0.2.1 192.0.2.2 2001:db8::1 2001:db8::2");
        assert_eq!(with(Families::V4ThenV6), v4_first);
        assert_eq!(with(Families::V6ThenV4), list("2001:db8::1 2001:db8::2 192.0.2.1 192.0.2.2"));
        assert_eq!(with(Families::Balanced), list("2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2"));
        let only_v4 = |address: IpAddr| address.is_ipv4().then_some(address);
        let balanced = sorted(found(), Families::Balanced, 8, only_v4);
        assert_eq!(balanced, list("192.0.2.1 2001:db8::1 192.0.2.2 2001:db8::2"));
    }

    #[test]
    fn check_081_the_answers_of_both_families_are_joined() {
        let name = DnsName::parse("mx.example").unwrap();
        let with = |addresses| Found { name: name.clone(), addresses, security: Security::NONE };
        let some = || Some(Ok(with(list("192.0.2.1"))));
        let none = || Some(Ok(with(Vec::new())));
        let gone = || Some(Err(ResolveError::NoSuchName));
        let fail = || Some(Err(ResolveError::temporary("SERVFAIL")));
        let bogus = || Some(Err(ResolveError::bogus("signature")));
        let both = |a: Option<Answered>, b: Option<Answered>| both([a.as_ref(), b.as_ref()]);
        for other in [none(), gone(), fail(), bogus(), None] {
            assert_eq!(both(some(), other.clone()).unwrap(), list("192.0.2.1"));
            assert_eq!(both(other, some()).unwrap(), list("192.0.2.1"));
        }
        for failed in [fail(), bogus()] {
            for other in [none(), gone(), fail(), None] {
                assert!(matches!(both(failed.clone(), other.clone()), Err(NoAddresses::Unknown(_))));
                assert!(matches!(both(other, failed.clone()), Err(NoAddresses::Unknown(_))));
            }
        }
        assert!(matches!(both(none(), none()), Err(NoAddresses::None)));
        assert!(matches!(both(none(), gone()), Err(NoAddresses::None)));
        assert!(matches!(both(gone(), gone()), Err(NoAddresses::NoSuchName)));
        assert!(matches!(both(gone(), None), Err(NoAddresses::NoSuchName)));
    }

    #[test]
    fn attack_a06_of_an_endless_answer_the_system_is_asked_about_a_few() {
        let v4 = (0..4000).map(|number| IpAddr::V4((0x0800_0000 + number).into()));
        let v6 = (0..4000).map(|number| IpAddr::V6((0x2600 << 112 | number).into()));
        let asked = std::cell::Cell::new(0);
        let count = |address| {
            asked.set(asked.get() + 1);
            Some(address)
        };
        let sorted = sorted(v4.chain(v6).collect(), Families::Balanced, 8, count);
        let judged: Vec<_> = sorted.iter().map(|address| (*address, true)).collect();
        let kept = kept(&judged, 8);
        let left_out = 8000 - sorted.len() + kept.left_out;
        assert_eq!((kept.addresses.len(), left_out, asked.get()), (8, 7992, 2 * MOST_SORTED));
        assert!(kept.addresses.iter().any(IpAddr::is_ipv4));
    }

    #[test]
    fn check_093_an_address_that_is_denied_takes_no_room() {
        let found = list("10.0.0.1 10.0.0.2 10.0.0.3 192.0.2.1 192.0.2.2 192.0.2.3");
        let public = |address: IpAddr| address.to_string().starts_with("192");
        let judged: Vec<_> = found.into_iter().map(|address| (address, public(address))).collect();
        let kept = kept(&judged, 2);
        assert_eq!(kept.addresses, list("10.0.0.1 10.0.0.2 192.0.2.1 192.0.2.2"));
        assert_eq!(kept.left_out, 2);
    }
}
