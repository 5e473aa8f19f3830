//! The resolver against scripted name servers.

mod aliases;
mod dnssec;
mod edns;
mod lookups;
mod memory;
mod servers;
mod setup;
