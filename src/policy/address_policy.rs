//! [`AddressPolicy`], the question it answers, and [`Permitted`], the only thing that can be dialled.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::mail::Host;
use crate::route::Route;

/// Decides whether an address may be dialled.
///
/// # Contract
/// - It is asked about the very address that is dialled, for every route, candidate and retry, and again about
///   the address a connection turned out to lead to. [`Peer::address`] may be in any form, IPv4-mapped included.
/// - It is called inside the race of addresses and must not block: no lookups, no files, no waiting for a lock.
/// - A denied address is dropped and the others are tried; a recipient whose addresses are all denied has
///   failed for good (5.4.4), so what may change soon is no reason to deny.
/// - It must not panic: addresses come from strangers.
///
/// # Implementing
/// ```
/// use nexthop::AddressPolicy;
/// use nexthop::policy::{Cidr, Denial, Peer, Verdict};
///
/// /// Mail stays in the building.
/// #[derive(Debug)]
/// struct Inside(Cidr);
///
/// impl AddressPolicy for Inside {
///     fn check(&self, peer: &Peer<'_>) -> Verdict {
///         if self.0.contains(peer.address) {
///             return Verdict::Allow;
///         }
///         Verdict::Deny(Denial::new(format!("{} is outside {}", peer.address, self.0)))
///     }
/// }
/// # let _ = Inside("10.0.0.0/8".parse().unwrap());
/// ```
pub trait AddressPolicy: Debug + Send + Sync + 'static {
    /// Says whether the address may be dialled, and if not, why.
    fn check(&self, peer: &Peer<'_>) -> Verdict;
}

#[deny(clippy::missing_trait_methods)]
impl<T: AddressPolicy + ?Sized> AddressPolicy for Arc<T> {
    fn check(&self, peer: &Peer<'_>) -> Verdict {
        (**self).check(peer)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: AddressPolicy + ?Sized> AddressPolicy for Box<T> {
    fn check(&self, peer: &Peer<'_>) -> Verdict {
        (**self).check(peer)
    }
}

/// What is about to be dialled, and how it was come by.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Peer<'a> {
    /// The address, as it will be dialled.
    pub address: IpAddr,
    /// The TCP port.
    pub port: u16,
    /// What led to the address: a name, or the address itself.
    pub host: &'a Host,
    /// Whose word the address is.
    pub origin: Origin,
    /// The route of the recipients.
    pub route: &'a Route,
}

impl<'a> Peer<'a> {
    /// The question in full.
    pub const fn new(address: IpAddr, port: u16, host: &'a Host, origin: Origin, route: &'a Route) -> Self {
        Self { address, port, host, origin, route }
    }

    /// Address and port.
    pub const fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// Whose word an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// An address of a mail exchanger (RFC 5321 section 5.1), implicit ones included.
    Mx,
    /// An address literal right of the `@` (RFC 5321 section 4.1.3).
    Literal,
    /// An address that the DNS gives to a relay the operator named.
    RelayName,
    /// An address that the operator wrote down.
    RelayLiteral,
    /// The operator wrote `localhost`, or a name below it (RFC 6761 section 6.3).
    Localhost,
    /// An address of a host that is asked for an MTA-STS policy (RFC 8461 section 3.3).
    StsHost,
}

impl Origin {
    /// Whether strangers chose the address: whoever owns the domain, or writes to it.
    pub const fn is_stranger(self) -> bool {
        matches!(self, Self::Mx | Self::Literal | Self::StsHost)
    }
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "an address is dialled or not")]
pub enum Verdict {
    /// It may be dialled.
    Allow,
    /// It must not be dialled.
    Deny(Denial),
}

impl Verdict {
    /// Whether the address may be dialled.
    pub const fn is_allow(&self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// Why an address must not be dialled, in one line for people: `127.0.0.0/8 is loopback (RFC 1122)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denial {
    reason: String,
}

impl Denial {
    /// A denial; control characters in the reason become spaces.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into().replace(char::is_control, " ") }
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// An address that a policy allowed. Nothing else is dialled, and only [`Permitted::check`] makes one.
///
/// ```compile_fail
/// let address = "127.0.0.1:25".parse().unwrap();
/// nexthop::policy::Permitted { address };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permitted {
    address: SocketAddr,
}

impl Permitted {
    /// Asks the policy.
    ///
    /// # Errors
    /// The policy denies the address.
    pub fn check(policy: &dyn AddressPolicy, peer: &Peer<'_>) -> Result<Self, Denial> {
        match policy.check(peer) {
            Verdict::Allow => Ok(Self { address: peer.socket_address() }),
            Verdict::Deny(denial) => Err(denial),
        }
    }

    /// The address that was checked.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Says(Verdict);

    impl AddressPolicy for Says {
        fn check(&self, _: &Peer<'_>) -> Verdict {
            self.0.clone()
        }
    }

    fn ask(policy: &dyn AddressPolicy) -> Result<Permitted, Denial> {
        let (host, route) = (Host::Address([192, 0, 2, 1].into()), Route::mx());
        Permitted::check(policy, &Peer::new([192, 0, 2, 1].into(), 25, &host, Origin::Mx, &route))
    }

    #[test]
    fn check_089_what_was_checked_is_what_is_dialled() {
        let permitted = ask(&Says(Verdict::Allow)).unwrap();
        assert_eq!(permitted.address(), "192.0.2.1:25".parse().unwrap());
    }

    #[test]
    fn check_089_a_denied_address_cannot_be_dialled() {
        let denial = Denial::new("no");
        assert_eq!(ask(&Says(Verdict::Deny(denial.clone()))), Err(denial));
    }

    #[test]
    fn shared_and_boxed_policies_pass_the_question_on() {
        let deny = Verdict::Deny(Denial::new("no"));
        let shared: Arc<dyn AddressPolicy> = Arc::new(Says(deny.clone()));
        let boxed: Box<dyn AddressPolicy> = Box::new(Says(deny));
        assert!(ask(&shared).is_err());
        assert!(ask(&boxed).is_err());
    }

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(Denial::new("no\r\nway\u{85}").reason(), "no  way ");
    }

    #[test]
    fn strangers_are_whom_the_operator_did_not_name() {
        assert!([Origin::Mx, Origin::Literal, Origin::StsHost].into_iter().all(Origin::is_stranger));
        assert!(
            ![Origin::RelayName, Origin::RelayLiteral, Origin::Localhost]
                .into_iter()
                .any(Origin::is_stranger)
        );
    }
}
