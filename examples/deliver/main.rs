//! Delivers one message from the command line and reports on each recipient.
//!
//! ```text
//! deliver --from ann@example.net --to bob@example.org --route '*=lmtp://localhost:2424' message.eml
//! ```

mod arguments;
#[path = "../common/mod.rs"]
mod common;
mod input;
mod setup;
mod transcript;

use std::process::ExitCode;
use std::sync::Arc;

use nexthop::deliverer::GroupPlan;
use nexthop::{HickoryResolver, Outcome, Reply, Report};

use arguments::Arguments;
use common::exit::{TEMPORARY_FAILURE, Trouble, UNAVAILABLE, usage};

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => return usage(error, "--route"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Trouble::internal).and_then(|runtime| runtime.block_on(run(&arguments)));
    done.unwrap_or_else(|trouble| trouble.report())
}

async fn run(arguments: &Arguments) -> Result<ExitCode, Trouble> {
    let envelope = input::envelope(arguments)?;
    let resolver = setup::resolver(arguments)?;
    let deliverer = setup::deliverer(arguments, Arc::clone(&resolver))?;
    let attempt = setup::attempt(arguments);
    if arguments.explain {
        let plans = deliverer.plans(&envelope, attempt).await;
        return print_plans(&resolver, &plans, arguments.json).map(|()| ExitCode::SUCCESS);
    }
    let message = input::message(arguments).await?;
    let report = deliverer.attempt(&envelope, &message, attempt).await;
    print_report(&report, arguments.json)?;
    Ok(status(&report))
}

fn print_plans(resolver: &HickoryResolver, plans: &[GroupPlan], json: bool) -> Result<(), Trouble> {
    if json {
        return print_json(&serde_json::json!({ "plans": plans }));
    }
    println!("resolver: {resolver}");
    plans.iter().for_each(|plan| println!("{plan}"));
    Ok(())
}

fn print_report(report: &Report, json: bool) -> Result<(), Trouble> {
    if json {
        return print_json(report);
    }
    for recipient in report.recipients() {
        println!("{recipient}");
        let lines: Vec<_> = recipient.outcome.reply().into_iter().flat_map(Reply::wire_lines).collect();
        if lines.len() > 1 {
            lines.iter().for_each(|line| println!("    {line}"));
        }
    }
    Ok(())
}

fn print_json(document: &impl serde::Serialize) -> Result<(), Trouble> {
    println!("{}", serde_json::to_string_pretty(document).map_err(Trouble::internal)?);
    Ok(())
}

/// The exit status of sysexits(3) for what became of the recipients.
fn status(report: &Report) -> ExitCode {
    let any = |wanted: fn(&Outcome) -> bool| report.iter().any(|(_, outcome)| wanted(outcome));
    if any(|outcome| matches!(outcome, Outcome::Failed(_))) {
        return ExitCode::from(UNAVAILABLE);
    }
    if any(|outcome| matches!(outcome, Outcome::Deferred(_))) {
        return ExitCode::from(TEMPORARY_FAILURE);
    }
    ExitCode::SUCCESS
}
