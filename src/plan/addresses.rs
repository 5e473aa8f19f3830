//! The addresses of one host: both families asked for at once and joined (RFC 3974 section 3).

use std::net::IpAddr;

use futures_util::future::join;

use crate::mail::DnsName;
use crate::resolver::{Answer, Query, ResolveError, Resolver};
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

/// The addresses of a name in the order of the families, at most `limit` of them.
pub(super) async fn addresses(
    resolver: &dyn Resolver,
    name: &DnsName,
    families: Families,
    limit: usize,
) -> Result<Vec<IpAddr>, NoAddresses> {
    let query = Query::new(name.clone());
    let (v4, v6) = match families {
        Families::V4Only => (Some(resolver.ipv4(&query).await), None),
        Families::V6Only => (None, Some(resolver.ipv6(&query).await)),
        Families::V4ThenV6 | Families::V6ThenV4 | Families::Balanced => {
            let (v6, v4) = join(resolver.ipv6(&query), resolver.ipv4(&query)).await;
            (Some(v4), Some(v6))
        }
    };
    let (v4, v6) = (v4.map(records), v6.map(records));
    let found = match families {
        Families::V4ThenV6 | Families::V4Only => both(v4, v6),
        Families::V6ThenV4 | Families::V6Only | Families::Balanced => both(v6, v4),
    }?;
    Ok(cut(if families == Families::Balanced { interleaved(found) } else { found }, limit))
}

type Found = Result<Vec<IpAddr>, ResolveError>;

fn records<T: Copy + Into<IpAddr>>(answer: Result<Answer<T>, ResolveError>) -> Found {
    answer.map(|answer| answer.records.iter().map(|address| (*address).into()).collect())
}

/// The addresses of both families, the first one's first. One family that has some is enough; a family that
/// failed makes an absence of the other doubtful (check 081).
fn both(first: Option<Found>, second: Option<Found>) -> Result<Vec<IpAddr>, NoAddresses> {
    let (mut found, mut missing, mut asked) = (Vec::new(), 0, 0);
    let mut failed = None;
    for answer in [first, second].into_iter().flatten() {
        asked += 1;
        match answer {
            Ok(addresses) => found.extend(addresses),
            Err(ResolveError::NoSuchName) => missing += 1,
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        _ if !found.is_empty() => Ok(found),
        Some(error) => Err(NoAddresses::Unknown(error)),
        None if missing == asked => Err(NoAddresses::NoSuchName),
        None => Err(NoAddresses::None),
    }
}

/// The families in turn, that of the first address first.
fn interleaved(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (four, six): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.is_ipv4());
    let (first, second) =
        if addresses.first().is_some_and(IpAddr::is_ipv4) { (four, six) } else { (six, four) };
    let longest = first.len().max(second.len());
    (0..longest).flat_map(|place| [first.get(place), second.get(place)]).flatten().copied().collect()
}

/// The first `limit` addresses, but two at least, and one of each family that there is.
fn cut(mut addresses: Vec<IpAddr>, limit: usize) -> Vec<IpAddr> {
    let limit = limit.max(2);
    let Some(first) = addresses.first().copied() else { return addresses };
    let other = addresses.iter().copied().find(|address| address.is_ipv4() != first.is_ipv4());
    addresses.dedup();
    addresses.truncate(limit);
    match other {
        Some(other) if !addresses.contains(&other) => addresses[limit - 1] = other,
        _ => {}
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn check_076_087_a_cut_list_keeps_two_addresses_and_both_families() {
        assert_eq!(cut(list("192.0.2.1 192.0.2.2 192.0.2.3"), 1), list("192.0.2.1 192.0.2.2"));
        assert_eq!(cut(list("2001:db8::1 2001:db8::2 192.0.2.1"), 2), list("2001:db8::1 192.0.2.1"));
        assert_eq!(cut(list("2001:db8::1 192.0.2.1 192.0.2.2"), 2), list("2001:db8::1 192.0.2.1"));
        assert_eq!(cut(Vec::new(), 5), Vec::<IpAddr>::new());
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
    fn check_081_the_answers_of_both_families_are_joined() {
        let some = || Some(Ok(list("192.0.2.1")));
        let none = || Some(Ok(Vec::new()));
        let gone = || Some(Err(ResolveError::NoSuchName));
        let fail = || Some(Err(ResolveError::temporary("SERVFAIL")));
        let bogus = || Some(Err(ResolveError::bogus("signature")));
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
}
