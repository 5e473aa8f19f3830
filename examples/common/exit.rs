//! Exit statuses of sysexits(3).

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};

pub(crate) const USAGE: u8 = 64;
pub(crate) const DATA: u8 = 65;
pub(crate) const UNAVAILABLE: u8 = 69;
const INTERNAL: u8 = 70;
pub(crate) const TEMPORARY_FAILURE: u8 = 75;
pub(crate) const CONFIGURATION: u8 = 78;

/// Why nothing was delivered at all.
#[derive(Debug)]
pub(crate) struct Trouble {
    status: u8,
    what: String,
}

impl Trouble {
    pub(crate) fn new(status: u8, error: impl Into<Box<dyn Error>>) -> Self {
        Self { status, what: chain(&*error.into()) }
    }

    pub(crate) fn internal(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(INTERNAL, error)
    }

    /// Says it on standard error and gives the exit status.
    pub(crate) fn report(self) -> ExitCode {
        eprintln!("{}: {self}", env!("CARGO_BIN_NAME"));
        ExitCode::from(self.status)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The option for the URL of a proxy.
const PROXY: &str = "--proxy";

/// Help goes to standard output and is no error; the rest goes to standard error. Of a route or the URL of a proxy that does
/// not parse the reason is shown, but not the value: there may be a password in it.
pub(crate) fn usage(mut error: clap::Error, route: &str) -> ExitCode {
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    let option = argument.as_deref().and_then(|argument| argument.split(' ').next());
    if option.is_some_and(|option| [route, PROXY].contains(&option)) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("***".to_owned()));
    }
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (false, Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE),
    }
}
