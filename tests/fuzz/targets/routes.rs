//! Text forms of routes, next hops and patterns.
//!
//! An input is the text.

use nexthop::{Credentials, HopTarget, NextHop, Pattern, Protocol, Route};

use super::trace::Trace;

/// A password that no error may show.
const PASSWORD: &str = "s3cretPw";

/// Parses a text as a route, a next hop and a pattern.
pub(crate) fn routes(input: &[u8]) -> Trace {
    let text = String::from_utf8_lossy(input);
    let mut trace = Trace::new();
    match text.parse::<Route>() {
        Ok(route) => {
            check_route(&text, &route);
            trace.add_variant(&route);
        }
        Err(error) => {
            check_error(&text, &format!("{error} {error:?}"));
            trace.add(format!("{error:?}").split('"').next().unwrap_or_default());
        }
    }
    match text.parse::<NextHop>() {
        Ok(hop) => {
            check_hop(&hop);
            trace.add(format!("{:?}{:?}{:?}", hop.protocol(), hop.tls(), hop.lookup()));
            trace.add(if hop.credentials().is_some() { "credentials" } else { "" });
        }
        Err(error) => {
            check_error(&text, &format!("{error} {error:?}"));
            trace.add_variant(&error);
        }
    }
    match text.parse::<Pattern>() {
        Ok(pattern) => {
            check_pattern(&pattern);
            trace.add_variant(&pattern);
        }
        Err(error) => trace.add_variant(&error),
    }
    trace
}

fn check_route(text: &str, route: &Route) {
    let shown = route.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?} has a control character");
    let again: Route =
        shown.parse().unwrap_or_else(|error| panic!("{text:?} is shown as {shown:?}: {error}"));
    assert_eq!(again.to_string(), shown, "{text:?} changes");
    let Route::Relay(hops) = route else {
        assert_eq!(&again, route, "{text:?} is shown as {shown:?}");
        return;
    };
    assert!(!hops.is_empty(), "{text:?} leads nowhere");
    hops.iter().for_each(check_hop);
    let has_credentials = hops.iter().any(|hop| hop.credentials().is_some());
    assert!(has_credentials || again == *route, "{text:?} is shown as {shown:?}");
    assert_eq!(route.clone(), *route);
}

fn check_hop(hop: &NextHop) {
    let shown = hop.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?} has a control character");
    let again: NextHop = shown.parse().unwrap_or_else(|error| panic!("{shown:?}: {error}"));
    let again = match hop.credentials() {
        Some(credentials) => again.with_credentials(credentials.clone()),
        None => again,
    };
    assert_eq!(&again, hop, "shown as {shown:?}");
    match hop.target() {
        HopTarget::Tcp { port, .. } => {
            assert!(*port > 0 && (hop.protocol() != Protocol::Lmtp || *port != 25), "{shown}");
            assert!(!shown.contains('@'), "{shown} shows credentials");
        }
        HopTarget::Unix(path) => {
            let path = path.to_str().expect("a path is UTF-8");
            assert!(path.starts_with('/') && path.len() <= 107 && !path.contains('\0'), "{path}");
        }
    }
    assert!(!format!("{hop:?}").contains(PASSWORD) || !is_in_credentials(hop), "{hop:?} shows a password");
}

/// Returns `true` if the password of the hop is the one of this file, and no other part of it has the same text.
fn is_in_credentials(hop: &NextHop) -> bool {
    let Some(Credentials::Password { user, .. }) = hop.credentials() else { return false };
    !user.contains(PASSWORD) && !hop.to_string().contains(&PASSWORD.to_lowercase())
}

/// No error shows a password: what stands between a colon and the last `@`.
fn check_error(text: &str, error: &str) {
    let Some((scheme, rest)) = text.split_once("://") else { return };
    let Some((userinfo, target)) = rest.rsplit_once('@') else { return };
    let Some((user, password)) = userinfo.split_once(':') else { return };
    let is_only_there = !scheme.contains(PASSWORD) && !user.contains(PASSWORD) && !target.contains(PASSWORD);
    let is_simple =
        !userinfo.contains(['/', '@', ',']) && scheme.chars().all(|c| c.is_ascii_alphabetic() || c == '+');
    if password.contains(PASSWORD) && is_only_there && is_simple {
        assert!(!error.contains(PASSWORD), "{text:?}: {error}");
    }
}

fn check_pattern(pattern: &Pattern) {
    let shown = match pattern {
        Pattern::Mailbox(mailbox) => mailbox.to_string(),
        Pattern::Domain(domain) => domain.to_string(),
        Pattern::Subdomains(parent) => format!("*.{parent}"),
        _ => "*".to_owned(),
    };
    assert_eq!(shown.parse::<Pattern>().as_ref(), Ok(pattern), "{shown:?}");
}

/// Parts of routes.
pub(crate) const TOKENS: &[&[u8]] = &[
    b"mx",
    b"mx:",
    b"local",
    b"refuse:",
    b"defer:",
    b"smtp://",
    b"lmtp://",
    b"smtps://",
    b"lmtps://",
    b"submission://",
    b"submissions://",
    b"submission+srv://",
    b"submissions+srv://",
    b"smtps+srv://",
    b"smtp+mx://",
    b"lmtp+srv://",
    b"smtp+unix://",
    b"lmtp+unix:///run/lmtp.sock",
    b"smtps+unix:///run/x",
    b"lmtps+unix:///",
    b"a.example",
    b"relay.example:25",
    b"192.0.2.1",
    b"[::1]",
    b"[2001:db8::1]:2424",
    b":0",
    b":25",
    b":65535",
    b":65536",
    b"user:s3cretPw@",
    b"us%65r:s3cretPw@",
    b":s3cretPw",
    b"@",
    b"/",
    b"//",
    b",",
    b",smtp://b.example",
    b"%",
    b"%2C",
    b"%2f",
    b"%25",
    b"%ff",
    b"%00",
    b"*",
    b"*.",
    b"user@example.org",
    b"b\xc3\xbccher.example",
    b"localhost",
    b"\xe2\x80\xa8",
    b"\n",
    b" ",
];
