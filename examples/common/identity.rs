//! Who this host is.

use std::net::{IpAddr, Ipv4Addr};

use nexthop::ClientName;

/// The system's name if it is fully qualified, or an address literal.
pub(crate) fn client_name() -> String {
    let system = gethostname::gethostname().to_string_lossy().into_owned();
    let name = ClientName::parse(&system).ok().filter(|name| name.domain().is_some());
    name.unwrap_or_else(|| ClientName::from(own_address())).to_string()
}

/// The addresses of the interfaces.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    if_addrs::get_if_addrs().unwrap_or_default().iter().map(if_addrs::Interface::ip).collect()
}

/// An address of an interface that is not a loopback one, if there is any.
fn own_address() -> IpAddr {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let outward = interfaces.iter().find(|interface| !interface.is_loopback() && !interface.is_link_local());
    outward.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), if_addrs::Interface::ip)
}
