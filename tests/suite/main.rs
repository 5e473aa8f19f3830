//! The crate as its hosts see it: whole deliveries and sessions with scripted servers on real sockets.
//!
//! A test carries the number of the check or attack of the conformance catalogue that it proves.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod asking;
mod chunks;
mod content;
mod distance;
mod early;
mod exchangers;
mod fair_lookups;
mod far;
mod fixed;
mod hops;
mod hostile;
mod json;
mod ladder;
mod ladder_breadth;
mod limits;
mod lmtp;
mod naive;
mod name_servers;
mod network;
mod never_dialled;
mod outcomes;
mod overheard;
mod permits;
mod pool;
mod proxies;
mod proxy;
mod racing;
mod rebinding;
mod replies;
mod routes;
mod sequence;
mod sessions;
mod sink;
mod support;
mod surplus;
mod tap;
mod transactions;
mod traps;
