//! The command line. Values that do not parse are usage errors that show the offending part.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::common::connection::ConnectionArguments;
use crate::common::exit::chain;
use nexthop::policy::Cidr;
use nexthop::{EnvelopeId, Mechanism, Notify, OriginalRecipient, Pattern, Ret, Route};

const STATUSES: &str = "Exit status: 0 every recipient delivered; 75 at least one deferred, none failed; 69 at least one \
failed; 64 wrong usage; 65 the message or an address is not acceptable; 66 the input cannot be read; 70 internal error; \
78 configuration error";

/// Delivers a message and reports on each recipient.
#[derive(Debug, Parser)]
#[command(name = "deliver", disable_version_flag = true, args_override_self = true, after_help = STATUSES)]
pub(crate) struct Arguments {
    /// The reverse-path; '' or '<>' is the null one
    #[arg(long, value_name = "REVERSE_PATH")]
    pub(crate) from: String,

    /// A recipient (repeatable)
    #[arg(long, value_name = "MAILBOX", required = true)]
    pub(crate) to: Vec<String>,

    /// The message; standard input if absent or `-`. Lines end in LF or CRLF
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// A route (repeatable, the first match wins). PATTERN: user@domain, domain, *.domain, *. NEXTHOP: mx,
    /// mx:DOMAIN, smtp://HOST[:25], smtps://HOST[:465], submission://HOST[:587], submissions://HOST[:465],
    /// lmtp://HOST[:24], lmtps://HOST[:24], smtp+unix:///PATH, lmtp+unix:///PATH, several of these servers with commas
    /// between them, refuse:TEXT, defer:TEXT. A percent-encoded user:password@ before HOST sets credentials. What no
    /// route fits goes by MX
    #[arg(long = "route", value_name = "PATTERN=NEXTHOP", value_parser = Rule::from_str)]
    pub(crate) routes: Vec<Rule>,

    /// More routes, from a JSON array of {"match": PATTERN, "route": NEXTHOP or object}
    #[arg(long = "routes", value_name = "FILE")]
    pub(crate) routes_file: Option<PathBuf>,

    /// The name given in EHLO and LHLO; by default the system's, or an address literal
    #[arg(long, value_name = "FQDN")]
    pub(crate) hostname: Option<String>,

    /// An address of this host, for loop detection besides those of its interfaces (repeatable)
    #[arg(long, value_name = "IP")]
    pub(crate) own_address: Vec<IpAddr>,

    /// A local address to connect from (repeatable, one a family)
    #[arg(long, value_name = "IP")]
    pub(crate) source_ip: Vec<IpAddr>,

    /// The DNS server to ask instead of the system's
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) resolver: Option<SocketAddr>,

    /// Whose word on DNSSEC is taken. off: nobody's. ad: the AD bit of the servers that are asked, wherever they are;
    /// they must validate, and nobody must be able to forge their answers. Without this option the AD bit is believed
    /// if all of them have loopback addresses, or are the system's and its resolv.conf says trust-ad; otherwise it is
    /// off. validate: not built yet
    #[arg(long, value_name = "off|ad|validate")]
    pub(crate) dnssec: Option<Dnssec>,

    /// The port of mail exchangers and address literals
    #[arg(long, value_name = "PORT", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) mx_port: u16,

    /// Addresses that must not be dialled (repeatable); the longest matching prefix wins
    #[arg(long, value_name = "CIDR")]
    pub(crate) deny: Vec<Cidr>,

    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,

    /// The user at relays that have no credentials in their route; never used on MX routes
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// The file with the user's password; one final line end is not part of it
    #[arg(long, value_name = "FILE", requires = "user", conflicts_with = "token_file")]
    pub(crate) password_file: Option<PathBuf>,

    /// The file with the user's OAuth token
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) token_file: Option<PathBuf>,

    /// The SASL mechanism; by default the strongest that the relay offers
    #[arg(long, value_name = "MECH")]
    pub(crate) auth: Option<Mechanism>,

    /// Send credentials to a loopback TCP address without TLS
    #[arg(long)]
    pub(crate) auth_cleartext_loopback: bool,

    /// Declare that the message has octets above 127, whether it has any or not (RFC 6152)
    #[arg(long = "8bit")]
    pub(crate) eight_bit: bool,

    /// Declare that the message needs SMTPUTF8, whether its header has UTF-8 or not (RFC 6531)
    #[arg(long = "smtputf8")]
    pub(crate) smtp_utf8: bool,

    /// Declare that the message arrived without SMTPUTF8, so that bytes above 127 in its header are sent as
    /// 8-bit content
    #[arg(long = "no-smtputf8", conflicts_with = "smtp_utf8")]
    pub(crate) no_smtp_utf8: bool,

    /// Declare that the message is binary (RFC 3030) and take it as it is, line ends included: it goes only to servers
    /// that offer BINARYMIME and CHUNKING
    #[arg(long)]
    pub(crate) binary: bool,

    /// What a failure report is to hold (RFC 3461): full, hdrs
    #[arg(long, value_name = "full|hdrs", value_parser = ret)]
    pub(crate) dsn_ret: Option<Ret>,

    /// An identifier of the message for reports (RFC 3461), decoded
    #[arg(long, value_name = "ID", value_parser = EnvelopeId::parse)]
    pub(crate) dsn_envid: Option<EnvelopeId>,

    /// When reports are wanted (RFC 3461): never, or some of success,failure,delay
    #[arg(long, value_name = "WORDS", value_parser = Notify::parse)]
    pub(crate) dsn_notify: Option<Notify>,

    /// The original recipient (RFC 3461), decoded
    #[arg(long, value_name = "TYPE;ADDR", value_parser = OriginalRecipient::parse)]
    pub(crate) dsn_orcpt: Option<OriginalRecipient>,

    /// Treat every 5yz greeting as permanent, not only 521; recipients fail if every host sends one
    #[arg(long)]
    pub(crate) permanent_greeting: bool,

    /// How long the message has been waiting
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) message_age: u64,

    /// Look up and decide, connect to nobody, print the plan with the reason of every decision
    #[arg(long)]
    pub(crate) explain: bool,

    /// The dialogue on standard error, credentials and message content left out
    #[arg(long)]
    pub(crate) trace: bool,

    /// The report, or the plans, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Arguments {
    /// The command line, if it is one.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let arguments = Self::try_parse()?;
        match arguments.source_of_same_family() {
            None => Ok(arguments),
            Some(address) => {
                let what = format!("--source-ip {address}: there is another one of its family");
                Err(Self::command().error(ErrorKind::ArgumentConflict, what))
            }
        }
    }

    /// A source address whose family another one has.
    fn source_of_same_family(&self) -> Option<IpAddr> {
        let (v4, v6): (Vec<IpAddr>, Vec<_>) = self.source_ip.iter().partition(|address| address.is_ipv4());
        v4.get(1).or(v6.get(1)).copied()
    }
}

fn ret(text: &str) -> Result<Ret, nexthop::mail::DsnError> {
    Ret::parse(&text.to_ascii_uppercase())
}

/// PATTERN=NEXTHOP.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) pattern: Pattern,
    pub(crate) route: Route,
}

impl FromStr for Rule {
    type Err = String;

    /// A local part may hold `=`: the first one behind which a next hop stands divides.
    fn from_str(text: &str) -> Result<Self, String> {
        let divisions = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..]));
        // what has slashes is a next hop, up to a = in its password
        let divisions = divisions.filter(|(pattern, _)| !pattern.contains("://"));
        let mut first = None;
        for (pattern, route) in divisions {
            match Self::parse(pattern, route) {
                Ok(rule) => return Ok(rule),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| "no = between pattern and next hop".to_owned()))
    }
}

impl Rule {
    fn parse(pattern: &str, route: &str) -> Result<Self, String> {
        let pattern = pattern.parse().map_err(|error: nexthop::router::PatternError| chain(&error))?;
        let route = route.parse().map_err(|error: nexthop::route::RouteParseError| chain(&error))?;
        Ok(Self { pattern, route })
    }
}

/// Whose word on DNSSEC is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dnssec {
    Off,
    Ad,
}

impl FromStr for Dnssec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "ad" => Ok(Self::Ad),
            "validate" => Err("validation in process is not built yet".to_owned()),
            other => Err(format!("\"{}\" is neither off nor ad", other.escape_debug())),
        }
    }
}
