//! Delivers many messages over connections that are kept, and says how fast it went.
//!
//! ```text
//! load --to lmtp://localhost:2424 --connections 10 --messages 10000 --size 1024
//! ```

mod arguments;
#[path = "../common/mod.rs"]
mod common;
mod latency;
mod mail;
mod outcome;
mod progress;
mod run;
mod setup;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use common::exit::{Trouble, usage};
use outcome::Outcome;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(error, "--to"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Trouble::internal).and_then(|runtime| runtime.block_on(load(&arguments)));
    done.unwrap_or_else(Trouble::report)
}

async fn load(arguments: &Arguments) -> Result<ExitCode, Trouble> {
    let outcome = run::run(arguments).await?;
    print(&outcome, arguments.json)?;
    Ok(outcome.status())
}

fn print(outcome: &Outcome, json: bool) -> Result<(), Trouble> {
    if json {
        println!("{}", serde_json::to_string_pretty(outcome).map_err(Trouble::internal)?);
    } else {
        println!("{outcome}");
    }
    Ok(())
}
