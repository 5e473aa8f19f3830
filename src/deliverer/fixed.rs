//! [`Fixed`]: next hops of which everything is known from an earlier delivery.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::deliver::Parts;
use super::visit::Target;
use crate::mail::Host;
use crate::route::{HopTarget, NextHop, NextHops, RelayLookup};

/// Routes that are remembered.
const SIZE: usize = 64;

/// Routes by the only next hop that is an address or a unix socket, with what was found out about it: nobody has to be asked
/// about it once more but the address policy.
#[derive(Debug, Default)]
pub(super) struct Fixed(Mutex<Vec<(NextHops, Arc<Target>)>>);

impl Fixed {
    /// What is known of the hop of a route. A router that gives out one list again and again is answered at once.
    pub(super) fn of(&self, hops: &NextHops) -> Option<Arc<Target>> {
        let known = self.known();
        let same = known.iter().find(|(other, _)| other.is_same(hops));
        let equal = same.or_else(|| known.iter().find(|(other, _)| other == hops));
        equal.map(|(_, target)| Arc::clone(target))
    }

    /// Remembers what was found out about the hop of a route, in the place of what was learnt first.
    pub(super) fn note(&self, hops: &NextHops, target: &Arc<Target>) {
        let mut known = self.known();
        known.retain(|(other, _)| other != hops);
        if known.len() >= SIZE {
            known.remove(0);
        }
        known.push((hops.clone(), Arc::clone(target)));
    }

    fn known(&self) -> MutexGuard<'_, Vec<(NextHops, Arc<Target>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all deliveries on a route find the same: one hop, without a lookup, a choice of source addresses, or
/// credentials that have to be asked for.
pub(super) fn is_fixed(parts: &Parts, hops: &[NextHop]) -> bool {
    let [hop] = hops else { return false };
    let is_place = match hop.target() {
        HopTarget::Unix(_) => true,
        HopTarget::Tcp { host: Host::Address(_), .. } => {
            hop.lookup() == RelayLookup::default() && parts.sources.addresses(hop.sources()).is_empty()
        }
        HopTarget::Tcp { .. } => false,
    };
    is_place && (hop.credentials().is_some() || parts.credentials.is_none())
}
