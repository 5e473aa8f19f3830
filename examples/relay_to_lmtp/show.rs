//! What the demonstration prints.

use std::error::Error;
use std::process::ExitCode;

use nexthop::Report;
use nexthop::deliverer::GroupPlan;

pub(crate) fn title(text: &str) {
    println!("\n{text}:");
}

pub(crate) fn plans(plans: &[GroupPlan]) {
    plans.iter().for_each(|plan| println!("  {}", plan.to_string().replace('\n', "\n  ")));
}

/// One line a recipient.
pub(crate) fn report(report: &Report) {
    report.recipients().iter().for_each(|recipient| println!("  {recipient}"));
}

pub(crate) fn trouble(error: &dyn Error) -> ExitCode {
    eprint!("relay_to_lmtp: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprint!(": {error}");
        cause = error.source();
    }
    eprintln!();
    ExitCode::from(70)
}

/// Help goes to standard output and is no error; the rest goes to standard error.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (false, Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::from(64),
    }
}
