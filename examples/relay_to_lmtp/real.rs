//! Delivery to an LMTP server that is there.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use nexthop::{Attempt, Deliverer, Envelope, Message, NextHop, Outcome, Report, Route, RouteTable};

use crate::show;

/// Delivers a message to an LMTP server; without arguments, a demonstration that needs no server.
#[derive(Debug, Parser)]
#[command(name = "relay_to_lmtp", disable_version_flag = true, args_override_self = true)]
pub(crate) struct Arguments {
    /// The server: lmtp://HOST[:24] or lmtp+unix:///PATH
    #[arg(long, value_name = "NEXTHOP", requires = "from", requires = "to")]
    pub(crate) lmtp: Option<NextHop>,

    /// The reverse-path; '' or '<>' is the null one
    #[arg(long, value_name = "REVERSE_PATH", requires = "lmtp")]
    from: Option<String>,

    /// A recipient (repeatable)
    #[arg(long, value_name = "MAILBOX", requires = "lmtp")]
    to: Vec<String>,

    /// The message; standard input if absent or `-`
    #[arg(value_name = "FILE", requires = "lmtp")]
    file: Option<PathBuf>,
}

/// An error with the exit status that sysexits(3) has for it.
type Trouble = (u8, String);

pub(crate) async fn deliver(arguments: &Arguments) -> ExitCode {
    match try_deliver(arguments).await {
        Ok(report) => status(&report),
        Err((status, what)) => {
            eprintln!("relay_to_lmtp: {what}");
            ExitCode::from(status)
        }
    }
}

async fn try_deliver(arguments: &Arguments) -> Result<Report, Trouble> {
    let hop = arguments.lmtp.clone().ok_or_else(|| (64, "no server is named".to_owned()))?;
    let envelope = envelope(arguments).map_err(|error| (65, error.to_string()))?;
    let content =
        read(arguments.file.as_deref()).map_err(|error| (66, format!("cannot read the message: {error}")))?;
    let message = Message::from_text(content).map_err(|error| (65, error.to_string()))?;
    let deliverer = Deliverer::builder(client_name())
        .router(RouteTable::new(Route::relay(hop)))
        .build()
        .map_err(|error| (78, error.to_string()))?;
    show::title("Plan");
    show::plans(&deliverer.plans(&envelope, Attempt::default()).await);
    show::title("Outcomes");
    let report = deliverer.deliver(&envelope, &message).await;
    show::report(&report);
    Ok(report)
}

fn envelope(arguments: &Arguments) -> Result<Envelope, nexthop::mail::MailboxError> {
    let envelope = Envelope::new(arguments.from.as_deref().unwrap_or_default())?;
    arguments.to.iter().try_fold(envelope, |envelope, to| envelope.to(to))
}

fn read(file: Option<&Path>) -> std::io::Result<Vec<u8>> {
    if let Some(path) = file.filter(|path| *path != Path::new("-")) {
        return std::fs::read(path);
    }
    let mut content = Vec::new();
    std::io::stdin().read_to_end(&mut content).map(|_| content)
}

/// The system's name if it is fully qualified, else an address literal.
fn client_name() -> String {
    let system = gethostname::gethostname().to_string_lossy().into_owned();
    let name = nexthop::ClientName::parse(&system).ok().filter(|name| name.domain().is_some());
    name.map_or_else(|| "[127.0.0.1]".to_owned(), |name| name.to_string())
}

/// The exit status of sysexits(3) for what became of the recipients.
fn status(report: &Report) -> ExitCode {
    let worst = report.iter().map(|(_, outcome)| match outcome {
        Outcome::Delivered(_) => 0,
        Outcome::Deferred(_) => 75,
        // one that failed for good counts more than those that are deferred
        Outcome::Failed(_) => 100,
    });
    match worst.max() {
        Some(100) => ExitCode::from(69),
        Some(other) => ExitCode::from(other),
        None => ExitCode::SUCCESS,
    }
}
