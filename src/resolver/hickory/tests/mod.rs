//! The resolver against scripted name servers.

mod aliases;
mod dnssec;
mod edns;
mod limits;
mod lookups;
mod memory;
mod servers;
mod setup;
