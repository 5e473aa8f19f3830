//! The fuzz targets for cargo-fuzz. They are the functions that the test `fuzz` of the crate runs on stable Rust.

#![expect(dead_code, reason = "tokens and texts of results are of use to the test only")]

#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

/// See `tests/fuzz/targets/capabilities.rs`.
pub fn capabilities(input: &[u8]) {
    targets::capabilities::capabilities(input);
}

/// See `tests/fuzz/targets/dns.rs`.
pub fn dns(input: &[u8]) {
    targets::dns::dns(input);
}

/// See `tests/fuzz/targets/json_routes.rs`.
pub fn json_routes(input: &[u8]) {
    targets::json_routes::json_routes(input);
}

/// See `tests/fuzz/targets/logins.rs`.
pub fn logins(input: &[u8]) {
    targets::logins::logins(input);
}

/// See `tests/fuzz/targets/messages.rs`.
pub fn messages(input: &[u8]) {
    targets::messages::messages(input);
}

/// See `tests/fuzz/targets/names.rs`.
pub fn names(input: &[u8]) {
    targets::names::names(input);
}

/// See `tests/fuzz/targets/replies.rs`.
pub fn replies(input: &[u8]) {
    targets::replies::replies(input);
}

/// See `tests/fuzz/targets/routes.rs`.
pub fn routes(input: &[u8]) {
    targets::routes::routes(input);
}
