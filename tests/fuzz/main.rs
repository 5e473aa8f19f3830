//! Fuzzing on stable Rust: a bounded, repeatable loop over the functions that the targets of cargo-fuzz in `fuzz/` call.
//!
//! Inputs are made from those that once failed, the seeds in `fuzz/corpus`, and tokens. `NEXTHOP_FUZZ_EXECUTIONS` sets the
//! number of executions of each target, `NEXTHOP_FUZZ_SEED` the seed of the inputs. An input that fails is shortened and
//! printed as a line for `regressions.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod campaign;
mod generator;
mod regressions;
mod seeds;
mod targets;

use campaign::Target;

#[test]
fn replies() {
    campaign::run(&Target {
        name: "replies",
        run: targets::replies::replies,
        tokens: targets::replies::TOKENS,
        longest: 2000,
        executions: 4000,
    });
}

#[test]
fn capabilities() {
    campaign::run(&Target {
        name: "capabilities",
        run: targets::capabilities::capabilities,
        tokens: targets::capabilities::TOKENS,
        longest: 600,
        executions: 20000,
    });
}

#[test]
fn names() {
    campaign::run(&Target {
        name: "names",
        run: targets::names::names,
        tokens: targets::names::TOKENS,
        longest: 400,
        executions: 8000,
    });
}

#[test]
fn routes() {
    campaign::run(&Target {
        name: "routes",
        run: targets::routes::routes,
        tokens: targets::routes::TOKENS,
        longest: 300,
        executions: 20000,
    });
}

#[test]
fn json_routes() {
    campaign::run(&Target {
        name: "json_routes",
        run: targets::json_routes::json_routes,
        tokens: targets::json_routes::TOKENS,
        longest: 1200,
        executions: 12000,
    });
}

#[test]
fn messages() {
    campaign::run(&Target {
        name: "messages",
        run: targets::messages::messages,
        tokens: targets::messages::TOKENS,
        longest: 2000,
        executions: 4000,
    });
}

#[test]
fn logins() {
    campaign::run(&Target {
        name: "logins",
        run: targets::logins::logins,
        tokens: targets::logins::TOKENS,
        longest: 1500,
        executions: 5000,
    });
}

#[test]
fn dns() {
    campaign::run(&Target {
        name: "dns",
        run: targets::dns::dns,
        tokens: targets::dns::TOKENS,
        longest: 1000,
        executions: 20000,
    });
}
