//! The resolver against scripted name servers.

mod aliases;
mod dnssec;
mod lookups;
mod memory;
mod servers;
mod setup;
