//! The fault matrix: whole deliveries to a server that breaks the protocol at one step of one message, judged by the
//! server's ledger of accepted messages.
//!
//! A cell is a step × a fault × SMTP or LMTP × PIPELINING × DATA or BDAT × a fresh, kept or overlapped connection × the
//! replies that the server gives otherwise. Each cell delivers several messages by the public API and compares the reports
//! with the ledger:
//!
//! 1. every recipient has exactly one outcome, in order;
//! 2. a delivered message was accepted for the recipient, complete;
//! 3. a message that was accepted twice carries `may_have_arrived`;
//! 4. an accepted message is not reported as deferred or failed without `may_have_arrived`;
//! 5. a permanent failure stands on a 5yz reply to that recipient or its transaction;
//! 6. no octets of content are executed as commands;
//! 7. later messages to the same server are delivered;
//! 8. an honest server (a plain refusal, a slow or fragmented reply) is reported exactly.
//!
//! `FAULT_MATRIX="word word"` runs only the cells whose names contain all of these words, and prints the dialogue of the
//! first violation of each kind. If that is just one cell its dialogue is printed in any case. `FAULT_MATRIX_ALL=1` adds cells that
//! hardly differ from others.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod cells;
mod clock;
mod connection;
mod fault;
mod judge;
mod ledger;
mod plan;
mod run;
mod server;
mod session;
mod summary;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use cells::Cell;
use summary::Summary;

/// Number of threads that run cells.
const WORKERS: usize = 2;

#[test]
fn no_message_is_lost_duplicated_or_misjudged_whatever_fault_the_server_has() {
    let cells: Vec<Cell> = cells::all().into_iter().filter(is_wanted).collect();
    let begun = Instant::now();
    let summary = run_all(&cells);
    println!("{} cells in {:.1?}", cells.len(), begun.elapsed());
    println!("{summary}");
    if let [cell] = cells.as_slice() {
        print_dialogue(cell);
    }
    assert!(summary.is_clean(), "the ledger contradicts the reports, see above");
}

/// Returns `true` if the name of the cell has all words of the environment variable `FAULT_MATRIX`.
fn is_wanted(cell: &Cell) -> bool {
    let words = std::env::var("FAULT_MATRIX").unwrap_or_default();
    let name = cell.to_string();
    words.split_whitespace().all(|word| name.contains(word))
}

/// Prints the dialogue of a cell, whether it has violations or not.
fn print_dialogue(cell: &Cell) {
    let folder = tempfile::tempdir().unwrap();
    let result = run::run(cell, &folder.path().join("socket"));
    println!("{cell}");
    result.reports.iter().for_each(|report| println!("    {report}"));
    println!("    indistinguishable: {}", result.ledger.is_indistinguishable);
    result.ledger.dialogue.iter().for_each(|line| println!("        {}", line.replace("\r\n", " / ")));
}

/// Runs the cells on several threads. The result does not depend on the order: each cell has its own runtime and server.
fn run_all(cells: &[Cell]) -> Summary {
    let folder = tempfile::tempdir().unwrap();
    let next = AtomicUsize::new(0);
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cell) = cells.get(index) else { return };
                    let result = run::run(cell, &folder.path().join(format!("{index}")));
                    summary.lock().unwrap_or_else(PoisonError::into_inner).add(index, cell, result);
                }
            });
        }
    });
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}
