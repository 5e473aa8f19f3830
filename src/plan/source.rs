//! The local address a connection would come from, which RFC 6724 section 6 calls Source(D).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::{Mutex, PoisonError};

/// The port the kernel is asked about. Some refuse port 0; rules of routing may look for the port of mail.
const PORT: u16 = 25;

/// The source addresses of one plan. Routes change, so that it is not to be kept for longer.
#[derive(Debug)]
pub(super) struct Sources {
    configured: Vec<IpAddr>,
    /// What the kernel said; no longer than the addresses of a plan, which are bounded.
    known: Mutex<Vec<(IpAddr, Option<IpAddr>)>>,
}

impl Sources {
    /// With the addresses that connections are bound to, the first of a family for all of it. An unspecified
    /// one leaves the choice to the kernel.
    pub(super) fn new(configured: &[IpAddr]) -> Self {
        let configured = configured.iter().copied().filter(|address| !address.is_unspecified());
        Self { configured: configured.collect(), known: Mutex::default() }
    }

    /// The configured address of the destination's family, else what the kernel would take, which is asked
    /// once a destination.
    pub(super) fn of(&self, destination: IpAddr) -> Option<IpAddr> {
        let mut configured = self.configured.iter().copied();
        configured
            .find(|address| address.is_ipv4() == destination.is_ipv4())
            .or_else(|| self.remembered(destination, source_of))
    }

    fn remembered(&self, destination: IpAddr, ask: impl FnOnce(IpAddr) -> Option<IpAddr>) -> Option<IpAddr> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, source)) = known.iter().find(|(address, _)| *address == destination) {
            return *source;
        }
        let source = ask(destination);
        known.push((destination, source));
        source
    }
}

/// The local address the kernel would connect from; `None` where it has none, or no route. To connect a UDP
/// socket sends no packet: it fixes the peer and the route, and does not wait.
///
/// A loopback address is its own source. A link-local IPv6 address has none, as the DNS does not say on which
/// link it lies.
pub(super) fn source_of(destination: IpAddr) -> Option<IpAddr> {
    if destination.is_loopback() {
        return Some(destination);
    }
    // An unspecified peer is this host to some kernels, and here nobody's address.
    if destination.is_unspecified() {
        return None;
    }
    let socket = UdpSocket::bind((unspecified(destination), 0)).ok()?;
    socket.connect((destination, PORT)).ok()?;
    let source = socket.local_addr().ok()?.ip();
    (!source.is_unspecified()).then_some(source)
}

/// The unspecified address of the same family.
const fn unspecified(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn check_097_a_loopback_address_is_its_own_source() {
        for text in ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1"] {
            assert_eq!(source_of(address(text)), Some(address(text)));
        }
    }

    /// The mapped form passes the shortcut for loopback addresses, so that the kernel answers.
    #[test]
    fn check_097_the_kernel_says_the_source() {
        let mapped = address("::ffff:127.0.0.1");
        let dual = UdpSocket::bind("[::]:0").is_ok_and(|socket| socket.connect((mapped, PORT)).is_ok());
        assert_eq!(source_of(mapped), dual.then_some(mapped));
    }

    #[test]
    fn check_097_an_unspecified_destination_has_no_source() {
        assert_eq!(source_of(address("0.0.0.0")), None);
        assert_eq!(source_of(address("::")), None);
    }

    /// A broadcast is forbidden to a plain socket, a link-local address lacks its link.
    #[test]
    fn check_097_what_the_kernel_refuses_has_no_source() {
        assert_eq!(source_of(address("255.255.255.255")), None);
        assert_eq!(source_of(address("fe80::1")), None);
    }

    #[test]
    fn check_097_a_configured_source_goes_before_the_kernel() {
        let sources = Sources::new(&["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(address));
        assert_eq!(sources.of(address("127.0.0.1")), Some(address("192.0.2.1")));
        assert_eq!(sources.of(address("::1")), Some(address("2001:db8::1")));
    }

    #[test]
    fn check_097_a_family_without_configured_source_is_the_kernels() {
        let sources = Sources::new(&["2001:db8::1", "0.0.0.0"].map(address));
        assert_eq!(sources.of(address("127.0.0.1")), Some(address("127.0.0.1")));
    }

    #[test]
    fn check_097_the_kernel_is_asked_once_a_destination() {
        let (sources, first, second) = (Sources::new(&[]), address("127.0.0.1"), address("127.0.0.2"));
        assert_eq!(sources.remembered(first, Some), Some(first));
        assert_eq!(sources.remembered(second, |_| None), None);
        assert_eq!(sources.remembered(first, |_| panic!("asked again")), Some(first));
        assert_eq!(sources.remembered(second, |_| panic!("asked again")), None);
    }
}
