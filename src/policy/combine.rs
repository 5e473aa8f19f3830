//! Policies made of policies.

use super::address_policy::{AddressPolicy, Peer, Verdict};

/// What two policies both allow; the first denial is the answer.
#[derive(Debug, Clone, Default)]
pub struct And<A, B> {
    first: A,
    second: B,
}

impl<A: AddressPolicy, B: AddressPolicy> And<A, B> {
    /// Both of them. The second is not asked about what the first denies.
    pub const fn new(first: A, second: B) -> Self {
        Self { first, second }
    }

    /// These two and another.
    pub const fn and<C: AddressPolicy>(self, third: C) -> And<Self, C> {
        And::new(self, third)
    }
}

impl<A: AddressPolicy, B: AddressPolicy> AddressPolicy for And<A, B> {
    fn check(&self, peer: &Peer<'_>) -> Verdict {
        match self.first.check(peer) {
            Verdict::Allow => self.second.check(peer),
            denied @ Verdict::Deny(_) => denied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Denial, Origin};
    use super::*;
    use crate::mail::Host;
    use crate::route::Route;

    #[derive(Debug)]
    struct NotPort(u16);

    impl AddressPolicy for NotPort {
        fn check(&self, peer: &Peer<'_>) -> Verdict {
            if peer.port == self.0 { Verdict::Deny(Denial::new(self.0.to_string())) } else { Verdict::Allow }
        }
    }

    fn ask(policy: &dyn AddressPolicy, port: u16) -> Verdict {
        let (host, route) = (Host::Address([192, 0, 2, 1].into()), Route::mx());
        policy.check(&Peer::new([192, 0, 2, 1].into(), port, &host, Origin::Mx, &route))
    }

    #[test]
    fn every_policy_can_deny() {
        let policy = And::new(NotPort(1), NotPort(2)).and(NotPort(3));
        assert_eq!(ask(&policy, 0), Verdict::Allow);
        for port in 1..=3 {
            assert_eq!(ask(&policy, port), Verdict::Deny(Denial::new(port.to_string())));
        }
    }

    #[derive(Debug)]
    struct Never;

    impl AddressPolicy for Never {
        fn check(&self, _: &Peer<'_>) -> Verdict {
            panic!("asked about what is denied already")
        }
    }

    #[test]
    fn the_first_denial_is_the_answer() {
        assert!(!ask(&And::new(NotPort(1), Never), 1).is_allow());
    }
}
