//! The text form of routes and next hops.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};

use crate::mail::{Domain, DomainError, Host};
use crate::proto::{Credentials, Protocol};

use super::hop_error::NextHopError;
use super::kinds::{MxRoute, Route, RouteReason, is_control};
use super::lookup::RelayLookup;
use super::next_hop::{HopTarget, NextHop};
use super::scheme::Scheme;

/// What stands for something else in a path: the escape itself, and the comma between next hops.
const IN_PATH: &AsciiSet = &AsciiSet::EMPTY.add(b'%').add(b',');

/// Why a text is not a route. The message shows the offending part, escaped, and never a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteParseError {
    /// Nothing, or nothing beside a comma.
    #[error("\"{before}\" is followed by no next hop")]
    Empty {
        /// A comma, or nothing.
        before: &'static str,
    },
    /// `mx:` with something that is no domain.
    #[error("not a domain: \"mx:{}\"", domain.escape_debug())]
    Domain {
        /// What follows `mx:`, without what stands before an `@`.
        domain: String,
        /// What is wrong with it.
        #[source]
        reason: DomainError,
    },
    /// `refuse:` or `defer:` without a text.
    #[error("no text after \"{word}:\"")]
    NoReason {
        /// The word.
        word: String,
    },
    /// A route that is no next hop, in a list of next hops.
    #[error("{word:?} cannot stand in a list of next hops")]
    NotInList {
        /// The word.
        word: String,
    },
    /// A next hop is wrong.
    #[error(transparent)]
    NextHop(#[from] NextHopError),
}

impl FromStr for Route {
    type Err = RouteParseError;

    fn from_str(text: &str) -> Result<Self, RouteParseError> {
        refuse_control_characters(text)?;
        let (word, rest) = split_word(text);
        match (word.to_ascii_lowercase().as_str(), rest) {
            ("refuse", Some(reason)) => parse_reason(word, reason).map(Self::Refuse),
            ("defer", Some(reason)) => parse_reason(word, reason).map(Self::Defer),
            _ if text.contains(',') => parse_list(text).map(Self::relays),
            ("", None) => Err(RouteParseError::Empty { before: "" }),
            ("mx", None) => Ok(Self::mx()),
            ("mx", Some(domain)) => parse_mx(domain),
            ("local", None) => Ok(Self::Local),
            ("refuse" | "defer", None) => Err(RouteParseError::NoReason { word: word.into() }),
            _ => Ok(Self::relay(text.parse()?)),
        }
    }
}

fn split_word(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(word, rest)| (word, Some(rest)))
}

fn refuse_control_characters(text: &str) -> Result<(), NextHopError> {
    text.chars().find(|c| is_control(*c)).map_or(Ok(()), |c| Err(NextHopError::ControlCharacter(c)))
}

fn parse_reason(word: &str, reason: &str) -> Result<RouteReason, RouteParseError> {
    if reason.trim().is_empty() {
        return Err(RouteParseError::NoReason { word: word.into() });
    }
    Ok(reason.into())
}

/// An error shows nothing that may be credentials.
fn parse_mx(domain: &str) -> Result<Route, RouteParseError> {
    let shown = domain.rsplit_once('@').map_or(domain.into(), |(_, rest)| format!("…@{rest}"));
    let error = |reason| RouteParseError::Domain { domain: shown, reason };
    Domain::parse(domain).map(Route::mx_of).map_err(error)
}

fn parse_list(text: &str) -> Result<Vec<NextHop>, RouteParseError> {
    let parsed: Result<Vec<_>, _> = text.split(',').map(parse_listed).collect();
    parsed.map_err(|error| divided_credentials(text).unwrap_or(error))
}

/// A comma inside `user:password@` makes the halves of a password look like hosts and ports, which no error must show:
/// where an `@` stands behind a comma, it may be that.
fn divided_credentials(text: &str) -> Option<RouteParseError> {
    let (_, behind) = text.split_once(',')?;
    let (_, target) = behind.rsplit_once('@')?;
    Some(NextHopError::BrokenCredentials { target: target.into() }.into())
}

fn parse_listed(piece: &str) -> Result<NextHop, RouteParseError> {
    let (word, _) = split_word(piece);
    match word.to_ascii_lowercase().as_str() {
        "" => Err(RouteParseError::Empty { before: "," }),
        "mx" | "local" | "refuse" | "defer" => Err(RouteParseError::NotInList { word: word.into() }),
        _ => Ok(piece.parse()?),
    }
}

impl FromStr for NextHop {
    type Err = NextHopError;

    fn from_str(text: &str) -> Result<Self, NextHopError> {
        refuse_control_characters(text)?;
        let (word, rest) = split_word(text);
        let scheme = Scheme::parse(word)?;
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix("//")) else {
            return Err(NextHopError::NoSlashes { scheme: word.into() });
        };
        let hop = match scheme.port {
            Some(port) => parse_tcp(scheme, port, rest)?,
            None => parse_unix(scheme.protocol, rest)?,
        };
        let hop = hop.with_tls(scheme.tls).with_lookup(scheme.lookup)?;
        let submissions = scheme.is_submissions() && scheme.lookup == RelayLookup::Srv;
        Ok(if submissions { hop.for_submissions() } else { hop })
    }
}

fn parse_tcp(scheme: Scheme, default_port: u16, text: &str) -> Result<NextHop, NextHopError> {
    let (userinfo, authority) = split_userinfo(text);
    let credentials = userinfo.map(|userinfo| parse_credentials(userinfo, authority)).transpose()?;
    let (host, port) = split_port(authority);
    if host.is_empty() {
        return Err(NextHopError::NoHost { scheme: scheme.to_string() });
    }
    if scheme.lookup == RelayLookup::Srv && port.is_some() {
        return Err(NextHopError::SrvPort { authority: authority.into() });
    }
    let port = port.map_or(Some(default_port), parse_port);
    let port = port.ok_or_else(|| NextHopError::Port { authority: authority.into() })?;
    let hop = NextHop::tcp(scheme.protocol, Host::parse(host)?, port)?;
    Ok(match credentials {
        Some(credentials) => hop.with_credentials(credentials),
        None => hop,
    })
}

fn parse_unix(protocol: Protocol, text: &str) -> Result<NextHop, NextHopError> {
    if !text.starts_with('/') {
        let (userinfo, path) = split_userinfo(text);
        return Err(match userinfo {
            Some(_) => NextHopError::BrokenCredentials { target: path.into() },
            None => NextHopError::PathNotAbsolute { path: path.into() },
        });
    }
    let decoded = is_percent_encoded(text).then(|| percent_decode_str(text).decode_utf8());
    match decoded {
        Some(Ok(path)) => NextHop::unix(protocol, &*path),
        _ => Err(NextHopError::PathEncoding { path: text.into() }),
    }
}

/// Splits off what stands before the last `@`, if that is anything.
fn split_userinfo(text: &str) -> (Option<&str>, &str) {
    match text.rsplit_once('@') {
        Some((userinfo, rest)) if !userinfo.is_empty() => (Some(userinfo), rest),
        _ => (None, text),
    }
}

/// `user:password`, both percent-encoded. No error shows any of it.
fn parse_credentials(userinfo: &str, target: &str) -> Result<Credentials, NextHopError> {
    let broken = || NextHopError::BrokenCredentials { target: target.into() };
    let no_password = || NextHopError::NoPassword { target: target.into() };
    let (user, password) = userinfo.split_once(':').ok_or_else(no_password)?;
    let decoded = |text: &str| {
        let sound = is_percent_encoded(text).then(|| percent_decode_str(text).decode_utf8().ok());
        sound.flatten().map(String::from).ok_or_else(broken)
    };
    match decoded(user)? {
        user if user.is_empty() => Err(broken()),
        user => Ok(Credentials::password(user, decoded(password)?)),
    }
}

fn is_percent_encoded(text: &str) -> bool {
    let is_escape =
        |octets: &[u8]| matches!(octets, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    text.as_bytes().split(|octet| *octet == b'%').skip(1).all(is_escape)
}

/// Splits off the port. An IPv6 address without brackets is left whole, so that the error shows it whole.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[bracket..].split_once(':') {
        Some((before, port)) if !port.contains(':') => (&authority[..bracket + before.len()], Some(port)),
        _ => (authority, None),
    }
}

/// Port 0 is a number as well: [`NextHop::tcp`] refuses it.
fn parse_port(digits: &str) -> Option<u16> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// The text form, with the port unless SRV records have it.
impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = Scheme::of(self);
        match self.target() {
            HopTarget::Tcp { host, .. } if scheme.lookup == RelayLookup::Srv => {
                write!(f, "{scheme}://{host}")
            }
            HopTarget::Tcp { host, port } => write!(f, "{scheme}://{host}:{port}"),
            HopTarget::Unix(path) => {
                let path = path.to_string_lossy();
                write!(f, "{scheme}://{}", utf8_percent_encode(&path, IN_PATH))
            }
        }
    }
}

/// The text form; the limits of an [`MxRoute`] are left out.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mx(MxRoute { domain: None, .. }) => f.write_str("mx"),
            Self::Mx(MxRoute { domain: Some(domain), .. }) => write!(f, "mx:{domain}"),
            Self::Relay(hops) => write_list(hops, f),
            Self::Local => f.write_str("local"),
            Self::Refuse(reason) => write!(f, "refuse:{reason}"),
            Self::Defer(reason) => write!(f, "defer:{reason}"),
        }
    }
}

fn write_list(hops: &[NextHop], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    hops.iter().enumerate().try_for_each(|(index, hop)| match index {
        0 => write!(f, "{hop}"),
        _ => write!(f, ",{hop}"),
    })
}

#[cfg(test)]
mod tests;
