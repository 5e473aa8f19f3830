//! [`DefaultPolicy`]: where an address came from decides.

use std::fmt;
use std::net::IpAddr;

use super::address_policy::{AddressPolicy, Denial, Origin, Peer, Verdict};
use super::cidr::Cidr;
use super::combine::And;
use super::embedded::{embedded, is_nat64_prefix_len};
use super::special_purpose::{Block, Category, block_of};

/// The policy of a host that sets none.
///
/// | whose word the address is | what may be dialled |
/// |---|---|
/// | MX records, address literals, MTA-STS hosts | globally reachable unicast (RFC 8190), never ourselves |
/// | the DNS, about a relay that the operator named | that, private and documentation addresses; no loopback, link-local, metadata or reserved ones |
/// | the operator: an address, or `localhost` | whatever can be dialled: not the unspecified address, multicast, broadcast |
///
/// An IPv6 address with an IPv4 address inside (IPv4-mapped, NAT64, 6to4, Teredo, ISATAP …) is judged twice: itself
/// by the rules for IPv6, what is inside by those for IPv4. Both must pass.
///
/// [`allow`](Self::allow) and [`deny`](Self::deny) add rules for addresses of every origin. The longest prefix
/// that matches decides; of equal ones `deny` goes before `allow`, and `allow` before the built-in rules.
///
/// ```
/// use nexthop::DefaultPolicy;
///
/// let policy = DefaultPolicy::default()
///     .own_address([203, 0, 113, 25].into())
///     .allow("10.20.0.0/16".parse()?)
///     .deny("10.20.9.9".parse()?);
/// # Ok::<(), nexthop::policy::CidrError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct DefaultPolicy {
    allow: Vec<Cidr>,
    deny: Vec<Cidr>,
    own: Vec<IpAddr>,
    nat64: Vec<Cidr>,
    relay_names_may_be_loopback: bool,
}

/// A block that is no NAT64 prefix: those are IPv6 and have 32, 40, 48, 56, 64 or 96 bits (RFC 6052 section 2.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a NAT64 prefix of 32, 40, 48, 56, 64 or 96 bits")]
pub struct Nat64PrefixError(Cidr);

impl DefaultPolicy {
    /// Addresses that may be dialled whoever leads to them.
    ///
    /// It lifts built-in rules of the same or a shorter prefix only: `169.254.0.0/16` leaves the metadata address
    /// `169.254.169.254/32` denied.
    #[must_use]
    pub fn allow(mut self, block: Cidr) -> Self {
        self.allow.push(block);
        self
    }

    /// Addresses that are never dialled, a shorter or equal [`allow`](Self::allow) notwithstanding.
    #[must_use]
    pub fn deny(mut self, block: Cidr) -> Self {
        self.deny.push(block);
        self
    }

    /// An address of this host, seen from inside or outside: a stranger that leads to it makes a loop (check 078).
    ///
    /// Only an [`allow`](Self::allow) for this one address lifts it. A loopback address is never "own": the
    /// built-in rules have it covered.
    #[must_use]
    pub fn own_address(mut self, address: IpAddr) -> Self {
        let address = address.to_canonical();
        if !address.is_loopback() {
            self.own.push(address);
        }
        self
    }

    /// Lets the name of a relay resolve to loopback, for hosts whose resolver is their own.
    ///
    /// Whoever can forge an answer of the resolver, or change the relay's zone, then picks which service of
    /// this host the mail is spoken to. `localhost` and a literal address need no such trust and are always allowed.
    #[must_use]
    pub fn relay_names_may_be_loopback(mut self) -> Self {
        self.relay_names_may_be_loopback = true;
        self
    }

    /// A NAT64 prefix of this network (RFC 7050): what lies in it is allowed if the IPv4 address inside is.
    ///
    /// The well-known `64:ff9b::/96` needs no mention.
    ///
    /// # Errors
    /// An IPv4 block, or a length that RFC 6052 section 2.2 does not know.
    pub fn nat64_prefix(mut self, prefix: Cidr) -> Result<Self, Nat64PrefixError> {
        if !prefix.is_ipv6() || !is_nat64_prefix_len(prefix.prefix_len()) {
            return Err(Nat64PrefixError(prefix));
        }
        self.nat64.push(prefix);
        Ok(self.allow(prefix))
    }

    /// What this policy and another both allow.
    pub const fn and<P: AddressPolicy>(self, other: P) -> And<Self, P> {
        And::new(self, other)
    }

    fn denial(&self, peer: &Peer<'_>) -> Option<Denial> {
        let (address, standing) = (peer.address, Standing::of(peer));
        let inner = embedded(address, &self.nat64).find_map(|inner| {
            let cause = self.judge(inner.into(), standing)?;
            Some(Denial::new(format!("{address} holds {inner}, and {cause}")))
        });
        inner.or_else(|| self.judge(address, standing).map(|cause| Denial::new(cause.to_string())))
    }

    /// Why the address itself, without what is inside, must not be dialled.
    fn judge(&self, address: IpAddr, standing: Standing) -> Option<Cause> {
        let allowed = longest(&self.allow, address).map(|rule| rule.prefix_len());
        let denied = longest(&self.deny, address).filter(|rule| Some(rule.prefix_len()) >= allowed);
        if let Some(rule) = denied {
            return Some(Cause::Rule(rule));
        }
        self.built_in(address, standing).filter(|cause| Some(cause.prefix_len()) > allowed)
    }

    fn built_in(&self, address: IpAddr, standing: Standing) -> Option<Cause> {
        if standing == Standing::Stranger && self.own.contains(&address) {
            return Some(Cause::Own(address));
        }
        let block = block_of(address)?;
        let lifted = self.relay_names_may_be_loopback
            && standing == Standing::Resolved
            && block.category == Category::Loopback;
        (standing.is_kept_from(block.category) && !lifted).then_some(Cause::Block(block))
    }
}

impl AddressPolicy for DefaultPolicy {
    fn check(&self, peer: &Peer<'_>) -> Verdict {
        self.denial(peer).map_or(Verdict::Allow, Verdict::Deny)
    }
}

#[inline]
fn longest(rules: &[Cidr], address: IpAddr) -> Option<Cidr> {
    if rules.is_empty() {
        return None;
    }
    rules.iter().copied().filter(|rule| rule.contains(address)).max_by_key(Cidr::prefix_len)
}

/// How far the source of an address is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Stranger,
    Resolved,
    Operator,
}

impl Standing {
    fn of(peer: &Peer<'_>) -> Self {
        match peer.origin {
            Origin::Mx | Origin::Literal | Origin::StsHost => Self::Stranger,
            Origin::RelayLiteral => Self::Operator,
            Origin::Localhost if peer.address.to_canonical().is_loopback() => Self::Operator,
            // a resolver that answers nonsense for `localhost` is believed no more than for another name
            Origin::Localhost | Origin::RelayName => Self::Resolved,
        }
    }

    fn is_kept_from(self, category: Category) -> bool {
        match category {
            Category::Public => false,
            Category::Private | Category::Special => self == Self::Stranger,
            Category::Loopback | Category::LinkLocal | Category::Metadata | Category::Reserved => {
                self != Self::Operator
            }
            Category::NoHost => true,
        }
    }
}

/// The rule that denies.
enum Cause {
    Rule(Cidr),
    Own(IpAddr),
    Block(&'static Block),
}

impl Cause {
    fn prefix_len(&self) -> u8 {
        match self {
            Self::Rule(rule) => rule.prefix_len(),
            Self::Own(address) => Cidr::from(*address).prefix_len(),
            Self::Block(block) => block.cidr.prefix_len(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => write!(f, "{rule} is denied by a rule of this host"),
            Self::Own(address) => write!(f, "{address} is an address of this host (RFC 5321 section 5.1)"),
            Self::Block(block) => block.fmt(f),
        }
    }
}
