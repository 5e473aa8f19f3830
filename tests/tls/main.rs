//! TLS: what a server may do about it, and what becomes of the mail.
//!
//! A test carries the number of the check or attack of the conformance catalogue that it proves.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod bed;
mod certificates;
mod dialogue;
mod early;
mod implicit;
mod login;
mod matrix;
mod names;
#[path = "../suite/overheard.rs"]
mod overheard;
mod pki;
mod resumption;
mod settings;
