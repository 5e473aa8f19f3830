//! [`SourceAddress`]: where connections come from.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::proto::ClientName;
use crate::route::Endpoint;

/// A local address that connections are made from, and what the client calls itself there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceAddress {
    /// The address; one that this host does not have makes connections fail.
    pub address: IpAddr,
    /// What is said in EHLO on connections from it, which should be the name that the address has in the DNS; `None`:
    /// the name of the deliverer.
    pub client_name: Option<ClientName>,
}

impl SourceAddress {
    /// An address, with the name of the deliverer.
    pub fn new(address: IpAddr) -> Self {
        Self { address, client_name: None }
    }

    /// The same address with a name of its own.
    #[must_use]
    pub fn with_client_name(mut self, name: ClientName) -> Self {
        self.client_name = Some(name);
        self
    }
}

impl From<IpAddr> for SourceAddress {
    fn from(address: IpAddr) -> Self {
        Self::new(address)
    }
}

/// The source addresses of a deliverer.
#[derive(Debug, Default)]
pub(super) struct SourcePool {
    all: Vec<SourceAddress>,
    turn: AtomicUsize,
}

/// Whose turn it is among the source addresses of a family, for one attempt at one destination.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rotation(usize);

impl SourcePool {
    pub(super) fn new(all: Vec<SourceAddress>) -> Self {
        Self { all, turn: AtomicUsize::new(0) }
    }

    /// The next turn.
    pub(super) fn turn(&self) -> Rotation {
        Rotation(self.turn.fetch_add(1, Ordering::Relaxed))
    }

    /// Where a connection comes from: of the addresses that the route names, else of all, the one whose turn it is in the
    /// family of the endpoint. `None`: the system chooses.
    pub(super) fn pick(
        &self,
        turn: Rotation,
        named: &[IpAddr],
        endpoint: &Endpoint,
    ) -> Option<SourceAddress> {
        let Endpoint::Tcp(endpoint) = endpoint else { return None };
        let of_family = |address: &IpAddr| address.is_ipv4() == endpoint.is_ipv4();
        if named.is_empty() {
            let fitting: Vec<_> = self.all.iter().filter(|source| of_family(&source.address)).collect();
            return turn.of(&fitting).map(|source| (*source).clone());
        }
        let fitting: Vec<_> = named.iter().filter(|address| of_family(address)).collect();
        turn.of(&fitting).map(|address| self.known(**address))
    }

    /// The addresses that may be picked.
    pub(super) fn addresses(&self, named: &[IpAddr]) -> Vec<IpAddr> {
        match named {
            [] => self.all.iter().map(|source| source.address).collect(),
            named => named.to_vec(),
        }
    }

    fn known(&self, address: IpAddr) -> SourceAddress {
        let known = self.all.iter().find(|source| source.address == address);
        known.cloned().unwrap_or_else(|| address.into())
    }
}

impl Rotation {
    fn of<'a, T>(&self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.0.checked_rem(list.len())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> SourcePool {
        let name = ClientName::parse("two.example.net").unwrap();
        SourcePool::new(vec![
            SourceAddress::new([192, 0, 2, 1].into()),
            SourceAddress::new([192, 0, 2, 2].into()).with_client_name(name),
            SourceAddress::new("2001:db8::1".parse().unwrap()),
        ])
    }

    fn picked(pool: &SourcePool, named: &[IpAddr], endpoint: &str) -> Vec<Option<String>> {
        let endpoint = Endpoint::Tcp(endpoint.parse().unwrap());
        let pick = |_| pool.pick(pool.turn(), named, &endpoint).map(|source| source.address.to_string());
        (0..3).map(pick).collect()
    }

    #[test]
    fn addresses_of_the_family_take_turns() {
        let some = |text: &str| Some(text.to_owned());
        let turns = [some("192.0.2.1"), some("192.0.2.2"), some("192.0.2.1")];
        assert_eq!(picked(&pool(), &[], "198.51.100.1:25"), turns);
        assert_eq!(
            picked(&pool(), &[], "[2001:db8::2]:25"),
            [some("2001:db8::1"), some("2001:db8::1"), some("2001:db8::1")]
        );
        assert_eq!(picked(&SourcePool::default(), &[], "198.51.100.1:25"), [None, None, None]);
    }

    #[test]
    fn what_the_route_names_goes_first_and_keeps_its_name() {
        let (pool, endpoint) = (pool(), Endpoint::Tcp(([198, 51, 100, 1], 25).into()));
        let pick = |named: &[IpAddr]| pool.pick(Rotation(0), named, &endpoint);
        let named = pick(&[[192, 0, 2, 2].into()]).unwrap();
        assert_eq!(named.client_name.unwrap().to_string(), "two.example.net");
        assert_eq!(pick(&[[192, 0, 2, 9].into()]), Some(SourceAddress::new([192, 0, 2, 9].into())));
        assert_eq!(pick(&["2001:db8::9".parse().unwrap()]), None);
    }
}
