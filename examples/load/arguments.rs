//! The command line.

use clap::Parser;
use clap::builder::RangedU64ValueParser;

use crate::common::connection::ConnectionArguments;
use crate::common::exit::chain;
use nexthop::Route;

const STATUSES: &str = "Exit status: 0 every recipient delivered; 75 at least one deferred, none failed; 69 at least one \
failed; 64 wrong usage; 65 the message is not acceptable; 70 internal error; 78 configuration error";

/// Delivers many messages over connections that are kept, and says how fast it went.
#[derive(Debug, Parser)]
#[command(name = "load", disable_version_flag = true, args_override_self = true, after_help = STATUSES)]
pub(crate) struct Arguments {
    /// Where the messages go: mx, mx:DOMAIN, smtp://HOST[:25], smtps://HOST[:465], submission://HOST[:587],
    /// submissions://HOST[:465], lmtp://HOST[:24], lmtps://HOST[:24], smtp+unix:///PATH, lmtp+unix:///PATH, several of
    /// these servers with commas between them. A percent-encoded user:password@ before HOST sets credentials
    #[arg(long, value_name = "NEXTHOP", value_parser = route)]
    pub(crate) to: Route,

    /// Connections at a time
    #[arg(long, value_name = "C", default_value_t = 10, value_parser = at_least(1))]
    pub(crate) connections: usize,

    /// Messages in all
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least(1))]
    pub(crate) messages: usize,

    /// Octets of a message, its header included
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = at_least(2))]
    pub(crate) size: usize,

    /// Recipients of a message
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = at_least(1))]
    pub(crate) recipients: usize,

    /// Maximum number of unacknowledged messages per connection; above 1 implies --single-flight
    #[arg(long, value_name = "W", default_value_t = 1, value_parser = at_least(1))]
    pub(crate) pipeline_depth: usize,

    /// Send content together with its commands, before the replies to RCPT, if the server offers PIPELINING
    /// and CHUNKING
    #[arg(long)]
    pub(crate) single_flight: bool,

    /// Open a connection for each message
    #[arg(long)]
    pub(crate) no_reuse: bool,

    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,

    /// The result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Arguments {
    /// Deliveries at a time: as many as the connections can carry, and as many that wait.
    pub(crate) fn deliveries(&self) -> usize {
        let carried = self.connections.saturating_mul(self.pipeline_depth);
        carried.saturating_mul(2).min(self.messages)
    }
}

fn at_least(least: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least..=u64::from(u32::MAX))
}

fn route(text: &str) -> Result<Route, String> {
    text.parse().map_err(|error: nexthop::route::RouteParseError| chain(&error))
}
