//! Fuzz targets: functions of bytes that assert invariants. The test `fuzz` and cargo-fuzz call the same ones.

pub(crate) mod capabilities;
mod commands;
mod dialogue;
pub(crate) mod dns;
pub(crate) mod json_routes;
pub(crate) mod logins;
pub(crate) mod messages;
pub(crate) mod names;
pub(crate) mod replies;
pub(crate) mod routes;
mod scram;
mod script;
mod trace;
mod wire;

pub(crate) use trace::Trace;
