//! Deliveries to real servers: Dovecot by LMTP, Postfix by SMTP; through real proxies, MicroSocks and HAProxy.
//! Questions to a real resolver: Unbound, which validates what NSD has in signed zones.
//!
//! Each test starts a server of its own on a loopback address, without privileges where that server can do
//! without, and stops it again. Nothing of the system's own mail service is touched or needed. Tests of a server
//! that is not installed, or of an example that was not built, say so and pass; with `NEXTHOP_INTEROP=require` in
//! the environment they fail. `cargo test` builds the examples, `cargo test --test interop` does not, and runs
//! whatever was built before.

// unix sockets, /proc, and the paths of these servers
#![cfg(target_os = "linux")]

mod certificate;
mod delivery;
mod dns;
mod dns_rows;
mod dns_signer;
mod dns_zones;
mod dovecot;
mod examples;
mod examples_deliver;
mod examples_load;
mod examples_login;
mod examples_options;
mod examples_tls;
mod launcher;
mod lmtp;
mod lmtp_content;
mod lmtp_session;
mod lmtp_tls;
mod login;
mod postfix;
mod proxies;
mod relay;
mod samples;
mod secrecy;
mod secrets;
mod signed_plans;
mod signed_servers;
mod signed_zones;
mod smtp;
mod smtp_extensions;
mod smtp_resumption;
mod smtp_tls;
mod stored;
mod tap;
mod token;
