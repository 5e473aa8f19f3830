//! [`Progress`]: a bar on standard error, where that is a terminal.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

const WIDTH: usize = 40;
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Progress {
    done: usize,
    all: usize,
    /// When it was drawn; `None`: nobody looks.
    drawn: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(all: usize) -> Self {
        Self { done: 0, all, drawn: stderr().is_terminal().then(Instant::now) }
    }

    pub(crate) fn step(&mut self) {
        self.done += 1;
        if self.drawn.is_some_and(|drawn| drawn.elapsed() >= PAUSE) {
            self.draw();
        }
    }

    pub(crate) fn finish(mut self) {
        if self.drawn.is_some() {
            self.draw();
            eprintln!();
        }
    }

    fn draw(&mut self) {
        let Self { done, all, .. } = *self;
        let bar = "#".repeat(done * WIDTH / all);
        eprint!("\r[{bar:<WIDTH$}] {done}/{all}");
        self.drawn = Some(Instant::now());
    }
}
