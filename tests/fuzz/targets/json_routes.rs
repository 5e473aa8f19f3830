//! Route tables in JSON: parse, write, parse again.
//!
//! An input is the JSON text.

use std::net::IpAddr;

use nexthop::{
    Credentials, Families, HopTarget, HopTls, Host, NextHop, Pattern, Protocol, Recipient, RelayLookup,
    Route, RouteTable, TlsLevel,
};
use serde_json::{Value, json};

use super::trace::Trace;

/// A password that no error may show.
const PASSWORD: &str = "s3cretPw";

/// Reads a table, and writes and reads each of its rules again.
pub(crate) fn json_routes(input: &[u8]) -> Trace {
    let mut trace = Trace::new();
    let table = match RouteTable::from_json(input, default()) {
        Ok(table) => table,
        Err(error) => {
            check_error(input, &error.to_string());
            trace.add(format!("{error:?}").split(['"', '(']).take(3).collect::<String>());
            return trace;
        }
    };
    let rules: Vec<Value> = serde_json::from_slice(input).expect("a table is JSON");
    for rule in &rules {
        let (pattern, route) = read(rule).expect("a rule of a table is a table of its own");
        trace.add_variant(&pattern);
        trace.add_variant(&route);
        let written = json!({"name": "written", "match": show(&pattern), "route": write(&route, rule)});
        let (pattern_again, route_again) =
            read(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!((&pattern_again, &route_again), (&pattern, &route), "{rule} was written as {written}");
    }
    check_first(&table, &rules);
    trace
}

fn default() -> Route {
    Route::refuse("the default route of the test")
}

/// Reads one rule.
fn read(rule: &Value) -> Result<(Pattern, Route), String> {
    let table = json!([rule]).to_string();
    let table = RouteTable::from_json(table.as_bytes(), default()).map_err(|error| error.to_string())?;
    let pattern = rule["match"].as_str().ok_or("there is no pattern")?;
    let pattern: Pattern = pattern.parse().map_err(|error| format!("{error}"))?;
    let route = table.find(&fitting(&pattern)).clone();
    Ok((pattern, route))
}

/// Returns a recipient that the pattern fits.
fn fitting(pattern: &Pattern) -> Recipient {
    let text = match pattern {
        Pattern::Mailbox(mailbox) => mailbox.to_string(),
        Pattern::Domain(domain) => format!("a@{domain}"),
        // a label more may be too long: the name is built from the end of it then
        Pattern::Subdomains(parent) => format!("a@b.{parent}"),
        _ => "postmaster".to_owned(),
    };
    Recipient::parse(&text).unwrap_or_else(|_| Recipient::parse("postmaster").expect("a path"))
}

fn show(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Mailbox(mailbox) => mailbox.to_string(),
        Pattern::Domain(domain) => domain.to_string(),
        Pattern::Subdomains(parent) => format!("*.{parent}"),
        _ => "*".to_owned(),
    }
}

/// The first rule that fits a recipient decides.
fn check_first(table: &RouteTable, rules: &[Value]) {
    for rule in rules {
        let (pattern, _) = read(rule).expect("it was read before");
        let recipient = fitting(&pattern);
        let found = rules.iter().find_map(|rule| {
            let single = RouteTable::from_json(json!([rule]).to_string().as_bytes(), default()).ok()?;
            Some(single.find(&recipient).clone()).filter(|route| *route != default())
        });
        assert_eq!(table.find(&recipient), &found.unwrap_or_else(default), "{recipient}");
    }
}

/// Writes a route as an object where it has that form, else as a text.
fn write(route: &Route, rule: &Value) -> Value {
    match route {
        Route::Mx(mx) if mx.domain.is_none() => {
            let families = match mx.families {
                Families::V4Only => json!("v4Only"),
                Families::V6Only => json!("v6Only"),
                Families::V4ThenV6 => json!("v4ThenV6"),
                Families::V6ThenV4 => json!("v6ThenV4"),
                Families::Balanced => Value::Null,
            };
            json!({"@type": "Mx", "maxMxHosts": mx.max_hosts, "maxMultihomed": mx.max_addresses, "ipLookupStrategy": families})
        }
        Route::Local => json!({"@type": "Local"}),
        Route::Relay(hops) => {
            let object = (hops.len() == 1).then(|| write_relay(&hops[0])).flatten();
            object.unwrap_or_else(|| rule["route"].clone())
        }
        other => json!(other.to_string()),
    }
}

fn write_relay(hop: &NextHop) -> Option<Value> {
    let HopTarget::Tcp { host, port } = hop.target() else { return None };
    let implicit_tls = match hop.tls() {
        HopTls::Configured => false,
        HopTls::Immediate(TlsLevel::Verified) => true,
        _ => return None,
    };
    if hop.lookup() != RelayLookup::Addresses {
        return None;
    }
    let protocol = if hop.protocol() == Protocol::Lmtp { "lmtp" } else { "smtp" };
    let address = match host {
        Host::Address(IpAddr::V6(address)) => address.to_string(),
        host => host.to_string(),
    };
    let mut relay = json!({"@type": "Relay", "address": address, "port": port, "protocol": protocol,
        "implicitTls": implicit_tls, "allowInvalidCerts": hop.accepts_invalid_certificates()});
    if let Some(Credentials::Password { user, .. }) = hop.credentials() {
        // a password is never shown: it stays where it stands
        let is_known = hop.credentials() == Some(&Credentials::password(user.clone(), PASSWORD));
        if !is_known {
            return None;
        }
        relay["authUsername"] = json!(user);
        relay["authSecret"] = json!({"@type": "Value", "secret": PASSWORD});
    }
    Some(relay)
}

/// No error shows a secret that stands where a secret belongs.
fn check_error(input: &[u8], error: &str) {
    let Ok(Value::Array(rules)) = serde_json::from_slice(input) else { return };
    let secret = |rule: &Value| rule["route"]["authSecret"]["secret"].as_str().map(str::to_owned);
    let others = |rule: &Value| {
        let mut rule = rule.clone();
        if secret(&rule).is_some() {
            rule["route"]["authSecret"]["secret"] = Value::Null;
        }
        rule.to_string()
    };
    let is_elsewhere = rules.iter().any(|rule| others(rule).contains(PASSWORD));
    if !is_elsewhere && rules.iter().filter_map(secret).any(|secret| secret.contains(PASSWORD)) {
        assert!(!error.contains(PASSWORD), "{error}");
    }
}

/// Parts of tables.
pub(crate) const TOKENS: &[&[u8]] = &[
    b"[{\"match\": \"*\", \"route\": \"mx\"}]",
    b"{\"match\": \"lists.example\", \"route\": \"lmtp://localhost:2424\"}",
    b",{\"match\": \"a@b.example\", \"route\": {\"@type\": \"Local\"}}",
    b"{\"@type\": \"Relay\", \"address\": \"relay.example\"}",
    b"{\"@type\": \"Mx\", \"maxMxHosts\": 5}",
    b"\"@type\": \"Relay\"",
    b"\"address\": \"192.0.2.1\"",
    b"\"address\": \"::1\"",
    b", \"port\": 25",
    b", \"port\": 0",
    b", \"port\": 65536",
    b", \"protocol\": \"lmtp\"",
    b", \"implicitTls\": true",
    b", \"allowInvalidCerts\": true",
    b", \"authUsername\": \"ann\"",
    b", \"authSecret\": {\"@type\": \"Value\", \"secret\": \"s3cretPw\"}",
    b", \"authSecret\": {\"@type\": \"None\"}",
    b", \"maxMultihomed\": 2",
    b", \"ipLookupStrategy\": \"v6ThenV4\"",
    b", \"name\": \"x\"",
    b", \"requireTls\": true",
    b"\"*.example.org\"",
    b"\"refuse:no, never\"",
    b"\"smtp://a.example,smtps://b.example\"",
    b"null",
    b"-1",
    b"1e400",
    b"\\u0000",
    b"\\ud800",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b",",
    b":",
    b" ",
];
