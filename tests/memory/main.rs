//! How much memory deliveries take: connections in flight, sessions that are kept, allocations for content.
//!
//! Without the harness of other tests, whose threads allocate as well: each gate is measured in a process of its own, and
//! the server is in none of them. `cargo test --test memory -- NAME` runs those with that in their names, a number behind
//! `--` is the MiB of the largest content, 16 without.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod gates;
mod heap;
#[path = "../../benches/sink/mod.rs"]
#[allow(dead_code, unused_imports, reason = "made for the benches")]
mod sink;

use std::process::{Command, ExitCode};
use std::time::Duration;

use gates::{GATES, Gate};
use sink::{Sink, SinkSettings};

const MIB: usize = 16;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--gate", name, port, mib] => measure(name, port.parse().unwrap(), mib.parse().unwrap()),
        _ if words.contains(&"--list") => GATES.iter().for_each(|gate| println!("{}: test", gate.name)),
        _ => return run(&words),
    }
    ExitCode::SUCCESS
}

fn run(words: &[&str]) -> ExitCode {
    let mib = words.iter().find_map(|word| word.parse().ok()).unwrap_or(MIB);
    let is_name = |word: &&&str| !word.starts_with('-') && word.parse::<usize>().is_err();
    let names: Vec<_> = words.iter().filter(is_name).collect();
    let wanted = |gate: &&Gate| names.is_empty() || names.iter().any(|name| gate.name.contains(**name));
    let folder = tempfile::tempdir().unwrap();
    let settings = SinkSettings { chunking: true, tls: None, round_trip: Duration::ZERO };
    let sink = Sink::start(settings, folder.path().join("socket")).unwrap();
    let (passed, failed): (Vec<_>, Vec<_>) =
        GATES.iter().filter(wanted).partition(|gate| passes(gate, sink.port(), mib));
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {} passed; {} failed; 0 ignored", passed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Asks a process of its own.
fn passes(gate: &Gate, port: u16, mib: usize) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--gate", gate.name, &port.to_string(), &mib.to_string()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let Ok(found) = said.trim().parse::<usize>() else {
        println!("test {} ... FAILED: {}", gate.name, String::from_utf8_lossy(&output.stderr));
        return false;
    };
    let passes = found <= gate.most();
    let word = if passes { "ok" } else { "FAILED" };
    println!("test {} ... {word} ({found} {}, at most {})", gate.name, gate.unit(), gate.most());
    passes
}

/// Says what was found.
fn measure(name: &str, port: u16, mib: usize) {
    let gate = GATES.iter().find(|gate| gate.name == name).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("{}", runtime.block_on(gate.measure(port, mib)));
}
