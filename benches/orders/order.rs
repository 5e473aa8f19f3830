//! [`Order`]: what a process of its own is to do.

use std::alloc::System;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use super::report::Report;
use crate::clients::{Client, Error, Job, Kind, Target};
use crate::processor::processor_time;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Messages before anything is counted.
const WARM_UP: usize = 20;

/// What a process of its own is to do.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) kind: Kind,
    pub(crate) target: Target,
    pub(crate) messages: usize,
    pub(crate) size: usize,
    pub(crate) recipients: usize,
    pub(crate) least: Duration,
}

impl Order {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Error> {
        let [kind, target, messages, size, recipients, least] = arguments else {
            return Err("not an order".into());
        };
        let [messages, size, recipients] = [messages.parse()?, size.parse()?, recipients.parse()?];
        let least = Duration::from_millis(least.parse()?);
        Ok(Self { kind: kind.parse()?, target: target.parse()?, messages, size, recipients, least })
    }

    fn arguments(&self) -> [String; 7] {
        let Self { kind, target, messages, size, recipients, least } = self;
        let [messages, size, recipients] = [messages, size, recipients].map(ToString::to_string);
        let least = least.as_millis().to_string();
        ["--client".to_owned(), kind.to_string(), target.to_string(), messages, size, recipients, least]
    }

    /// What a process of its own says that it took.
    pub(crate) fn report(&self) -> Result<Report, Error> {
        Report::of(&self.run(Command::new(own_path()?))?)
    }

    fn run(&self, mut command: Command) -> Result<Output, Error> {
        let output = command.args(self.arguments()).output()?;
        match output.status.success() {
            true => Ok(output),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    }

    /// Delivers, and says what it took, in this process.
    pub(crate) fn carry_out(&self) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let job = Job::new(self.target.clone(), 1, self.recipients, self.size);
            let mut client = Client::new(self.kind, &job).await?;
            client.send(WARM_UP).await?;
            let (region, before) = (Region::new(ALLOCATOR), processor_time()?);
            let (begun, mut sent) = (Instant::now(), 0);
            loop {
                client.send(self.messages).await?;
                sent += self.messages;
                if begun.elapsed() >= self.least {
                    break;
                }
            }
            let (allocated, after) = (region.change(), processor_time()?);
            let octets = allocated.bytes_allocated.saturating_add_signed(allocated.bytes_reallocated);
            let sums = [
                (allocated.allocations + allocated.reallocations) as f64,
                octets as f64,
                (after - before).as_secs_f64() * 1e6,
            ];
            println!("{}", sums.map(|sum| (sum / sent as f64).to_string()).join(" "));
            Ok(())
        })
    }

    /// A number a message, without what is counted where there are few.
    pub(crate) fn each(&self, count: impl Fn(&Self) -> Option<f64>) -> Option<f64> {
        let many = Self { least: Duration::ZERO, ..self.clone() };
        let few = Self { messages: self.messages / 10, ..many.clone() };
        let more = count(&many)? - count(&few)?;
        Some(more / (many.messages - few.messages) as f64)
    }

    /// System calls under strace.
    pub(crate) fn calls(&self, file: impl AsRef<Path>) -> Option<f64> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-o"]).arg(file.as_ref()).arg(own_path().ok()?);
        self.run(strace).ok()?;
        let table = fs::read_to_string(file).ok()?;
        let total = table.lines().find(|line| line.ends_with(" total"))?;
        total.split_whitespace().nth(3)?.parse().ok()
    }

    /// Instructions under callgrind, which sees none of the kernel's.
    pub(crate) fn instructions(&self, file: impl AsRef<Path>) -> Option<f64> {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args([
                "--tool=callgrind".to_owned(),
                format!("--callgrind-out-file={}", file.as_ref().display()),
            ])
            .arg(own_path().ok()?);
        self.run(valgrind).ok()?;
        let profile = fs::read_to_string(file).ok()?;
        let total = profile.lines().find_map(|line| line.strip_prefix("summary: "))?;
        total.trim().parse().ok()
    }
}

fn own_path() -> Result<PathBuf, Error> {
    Ok(std::env::current_exe()?)
}
