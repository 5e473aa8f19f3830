//! What the demonstration prints.

use std::error::Error;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
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

/// Help goes to standard output and is no error; the rest goes to standard error. Of a next hop that does not parse the
/// reason is shown, but not the next hop: there may be a password in it.
pub(crate) fn usage(mut error: clap::Error) -> ExitCode {
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    if argument.is_some_and(|argument| argument.starts_with("--lmtp ")) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("***".to_owned()));
    }
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (false, Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::from(64),
    }
}
