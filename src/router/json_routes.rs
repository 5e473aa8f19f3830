//! Route tables from JSON.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::mail::{Host, HostError};
use crate::proto::{Credentials, Protocol};
use crate::route::{Families, HopTls, MxRoute, NextHop, NextHopError, Route, RouteParseError, TlsLevel};

use super::pattern::{Pattern, PatternError};
use super::table::RouteTable;

/// Fields that name a thing for people; they are skipped wherever they stand.
const LABELS: [&str; 3] = ["id", "name", "description"];

/// Why a JSON text is not a route table. The message includes that of the cause, which is therefore no source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonRoutesError {
    /// Not JSON, or not an array.
    #[error("not a JSON array of rules: {0}")]
    Syntax(serde_json::Error),
    /// A rule is wrong.
    #[error("rule {index}: {reason}")]
    Rule {
        /// Its place in the array, counted from 0.
        index: usize,
        /// What is wrong with it.
        reason: JsonRouteError,
    },
}

/// Why a JSON value is not a rule of a route table. The message shows the offending part, and never a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonRouteError {
    /// A field is missing, unknown, or of the wrong type.
    #[error(transparent)]
    Shape(#[from] serde_json::Error),
    /// `match` is not a pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// `route` is a string, but not the text form of a route.
    #[error(transparent)]
    Route(#[from] RouteParseError),
    /// `address` is not a host.
    #[error(transparent)]
    Address(#[from] HostError),
    /// Address, port and protocol do not go together.
    #[error(transparent)]
    NextHop(#[from] NextHopError),
    /// A field that is defined, but not served by this version with this value.
    #[error("this version does not serve {field:?} as it is set here")]
    NotServed {
        /// The name of the field.
        field: &'static str,
    },
}

impl RouteTable {
    /// Reads a table from a JSON array of `{"match": PATTERN, "route": ROUTE}`, in order.
    ///
    /// ROUTE is the text form of a [`Route`], or an object whose `@type` is one of
    ///
    /// - `Relay`: `address` (a host; brackets around IPv6 may be missing), `port` (the protocol's own by default),
    ///   `protocol` (`smtp`, the default, or `lmtp`), `implicitTls`, `allowInvalidCerts`, `authUsername`, `authSecret`;
    /// - `Mx`: `maxMxHosts`, `maxMultihomed`, `ipLookupStrategy` (`v4Only`, `v6Only`, `v4ThenV6`, `v6ThenV4`),
    ///   all absent by default: see [`MxRoute`];
    /// - `Local`.
    ///
    /// `id`, `name` and `description` are skipped wherever they stand. Any other field that is not listed
    /// is an error, for it may hold a promise that would be lost. `authSecret` is null, `{"@type": "None"}` or
    /// `{"@type": "Value", "secret": "…"}`; other forms of it are errors too.
    ///
    /// ```
    /// use nexthop::{Route, RouteTable};
    ///
    /// let json = br#"[{"match": "lists.example", "route": "lmtp://localhost:2424"}]"#;
    /// let table = RouteTable::from_json(json, Route::mx()).unwrap();
    /// ```
    ///
    /// # Errors
    /// Not such an array. The first wrong rule is named by its place.
    pub fn from_json(json: &[u8], default: Route) -> Result<Self, JsonRoutesError> {
        Self::new(default).with_json(json)
    }

    /// The same table with the rules of a JSON array behind its own, as [`RouteTable::from_json`] reads them.
    ///
    /// # Errors
    /// Not such an array. The first wrong rule is named by its place.
    pub fn with_json(self, json: &[u8]) -> Result<Self, JsonRoutesError> {
        let rules: Vec<Value> = serde_json::from_slice(json).map_err(JsonRoutesError::Syntax)?;
        rules.into_iter().enumerate().try_fold(self, |table, (index, rule)| {
            let rule = read_rule(rule).map_err(|reason| JsonRoutesError::Rule { index, reason });
            rule.map(|(pattern, route)| table.with(pattern, route))
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"match\" and \"route\"")]
struct Rule {
    r#match: String,
    route: Value,
}

#[derive(Deserialize)]
#[serde(tag = "@type", expecting = "a string or an object with \"@type\"")]
enum Object {
    Relay(Relay),
    Mx(Mx),
    Local(Local),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Relay {
    address: String,
    port: Option<u16>,
    #[serde(default)]
    protocol: ProtocolName,
    #[serde(default)]
    implicit_tls: bool,
    #[serde(default)]
    allow_invalid_certs: bool,
    // values of any kind, so that no error shows them
    #[serde(default)]
    auth_username: Value,
    #[serde(default)]
    auth_secret: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum ProtocolName {
    #[default]
    Smtp,
    Lmtp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Mx {
    max_mx_hosts: Option<usize>,
    max_multihomed: Option<usize>,
    ip_lookup_strategy: Option<IpLookupStrategy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum IpLookupStrategy {
    V4Only,
    V6Only,
    V4ThenV6,
    V6ThenV4,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Local {}

fn read_rule(rule: Value) -> Result<(Pattern, Route), JsonRouteError> {
    let rule: Rule = serde_json::from_value(without_labels(rule))?;
    Ok((rule.r#match.parse()?, read_route(rule.route)?))
}

fn without_labels(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|field, _| !LABELS.contains(&field.as_str()));
    }
    value
}

fn read_route(route: Value) -> Result<Route, JsonRouteError> {
    if let Value::String(text) = route {
        return Ok(text.parse()?);
    }
    match serde_json::from_value(without_labels(route))? {
        Object::Relay(relay) => relay.into_next_hop().map(Route::relay),
        Object::Mx(mx) => Ok(Route::Mx(mx.into())),
        Object::Local(Local {}) => Ok(Route::Local),
    }
}

impl Relay {
    fn into_next_hop(self) -> Result<NextHop, JsonRouteError> {
        let credentials = self.credentials()?;
        let protocol = self.protocol.into();
        let tls = if self.implicit_tls { HopTls::Immediate(TlsLevel::Verified) } else { HopTls::Configured };
        let host = read_host(&self.address)?;
        let port = self.port.unwrap_or(NextHop::default_port(protocol, tls));
        let hop = NextHop::tcp(protocol, host, port)?.with_tls(tls);
        let hop = if self.allow_invalid_certs { hop.accepting_invalid_certificates() } else { hop };
        Ok(match credentials {
            Some(credentials) => hop.with_credentials(credentials),
            None => hop,
        })
    }

    /// A user with a password that stands in the file.
    fn credentials(&self) -> Result<Option<Credentials>, JsonRouteError> {
        let field = |field| JsonRouteError::NotServed { field };
        match (&self.auth_username, secret(&self.auth_secret).ok_or_else(|| field("authSecret"))?) {
            (Value::Null, None) => Ok(None),
            (Value::String(user), Some(secret)) => Ok(Some(Credentials::password(user, secret))),
            (Value::Null, Some(_)) => Err(field("authSecret")),
            (_, _) => Err(field("authUsername")),
        }
    }
}

/// The secret in a field; the outer `None`: a form of secret that is not served.
fn secret(value: &Value) -> Option<Option<&str>> {
    let Value::Object(fields) = value else { return value.is_null().then_some(None) };
    match (fields.get("@type").and_then(Value::as_str), fields.get("secret")) {
        (Some("None"), None) if fields.len() == 1 => Some(None),
        (Some("Value"), Some(Value::String(secret))) if fields.len() == 2 => Some(Some(secret)),
        _ => None,
    }
}

fn read_host(address: &str) -> Result<Host, HostError> {
    address.parse::<IpAddr>().map_or_else(|_| Host::parse(address), |address| Ok(address.into()))
}

impl From<ProtocolName> for Protocol {
    fn from(name: ProtocolName) -> Self {
        match name {
            ProtocolName::Smtp => Self::Smtp,
            ProtocolName::Lmtp => Self::Lmtp,
        }
    }
}

impl From<Mx> for MxRoute {
    fn from(mx: Mx) -> Self {
        let families = mx.ip_lookup_strategy.map_or_else(Families::default, Families::from);
        Self { max_hosts: mx.max_mx_hosts, max_addresses: mx.max_multihomed, families, ..Self::default() }
    }
}

impl From<IpLookupStrategy> for Families {
    fn from(strategy: IpLookupStrategy) -> Self {
        match strategy {
            IpLookupStrategy::V4Only => Self::V4Only,
            IpLookupStrategy::V6Only => Self::V6Only,
            IpLookupStrategy::V4ThenV6 => Self::V4ThenV6,
            IpLookupStrategy::V6ThenV4 => Self::V6ThenV4,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::mail::Recipient;

    use super::*;

    const LMTP: &str = r#"{"@type": "Relay", "name": "lmtp", "address": "127.0.0.1", "port": 2424,
        "protocol": "lmtp", "implicitTls": false, "allowInvalidCerts": true,
        "authUsername": null, "authSecret": {"@type": "None"}}"#;

    fn read(route: &str) -> Result<Route, JsonRouteError> {
        read_route(serde_json::from_str(route).unwrap())
    }

    /// The LMTP relay with one field put in or changed.
    fn read_with(field: &str, value: Value) -> Result<Route, JsonRouteError> {
        let mut route: Value = serde_json::from_str(LMTP).unwrap();
        route[field] = value;
        read_route(route)
    }

    fn table_error(json: &str) -> String {
        RouteTable::from_json(json.as_bytes(), Route::mx()).expect_err(json).to_string()
    }

    #[test]
    fn check_088_a_relay_is_an_address_and_a_port() {
        assert_eq!(read(LMTP).unwrap().to_string(), "lmtp://127.0.0.1:2424");
        let host = read(r#"{"@type": "Relay", "address": "relay.example", "description": "smarthost"}"#);
        assert_eq!(host.unwrap().to_string(), "smtp://relay.example:25");
    }

    #[test]
    fn an_ipv6_address_needs_no_brackets() {
        for address in ["::1", "[::1]"] {
            assert_eq!(read_with("address", json!(address)).unwrap().to_string(), "lmtp://[::1]:2424");
        }
    }

    #[test]
    fn the_port_is_the_protocols_own_by_default() {
        assert_eq!(read_with("port", Value::Null).unwrap().to_string(), "lmtp://127.0.0.1:24");
    }

    #[test]
    fn check_103_lmtp_on_port_25_is_refused() {
        let refused = read_with("port", json!(25));
        assert!(matches!(refused, Err(JsonRouteError::NextHop(NextHopError::LmtpOnSmtpPort { .. }))));
    }

    #[test]
    fn an_mx_route_has_its_limits() {
        let route =
            read(r#"{"@type": "Mx", "maxMultihomed": 2, "maxMxHosts": 5, "ipLookupStrategy": "v4ThenV6"}"#);
        let expected = MxRoute {
            max_hosts: Some(5),
            max_addresses: Some(2),
            families: Families::V4ThenV6,
            ..MxRoute::default()
        };
        assert_eq!(route.unwrap(), Route::Mx(expected));
    }

    #[test]
    fn an_mx_route_without_fields_is_the_default() {
        assert_eq!(read(r#"{"@type": "Mx"}"#).unwrap(), Route::mx());
    }

    #[test]
    fn every_order_of_families_has_a_word() {
        for (word, families) in [
            ("v4Only", Families::V4Only),
            ("v6Only", Families::V6Only),
            ("v4ThenV6", Families::V4ThenV6),
            ("v6ThenV4", Families::V6ThenV4),
        ] {
            let route = read_route(json!({"@type": "Mx", "ipLookupStrategy": word})).unwrap();
            assert!(matches!(route, Route::Mx(mx) if mx.families == families), "{word}");
        }
    }

    #[test]
    fn check_177_implicit_tls_is_verified_unless_any_certificate_will_do() {
        let hop = |json| match read(json).unwrap() {
            Route::Relay(hops) => hops[0].clone(),
            other => panic!("{other}"),
        };
        let strict = hop(r#"{"@type": "Relay", "address": "a.example", "implicitTls": true}"#);
        assert_eq!(strict.to_string(), "smtps://a.example:465");
        assert!(!strict.accepts_invalid_certificates());
        let any =
            r#"{"@type": "Relay", "address": "a.example", "implicitTls": true, "allowInvalidCerts": true}"#;
        assert!(hop(any).accepts_invalid_certificates());
    }

    #[test]
    fn a_relay_may_have_a_user_and_a_password() {
        let json = r#"{"@type": "Relay", "address": "a.example", "authUsername": "ann",
            "authSecret": {"@type": "Value", "secret": "s3cret"}}"#;
        let Route::Relay(hops) = read(json).unwrap() else { panic!("no relay") };
        assert_eq!(hops[0].credentials(), Some(&Credentials::password("ann", "s3cret")));
    }

    #[test]
    fn a_local_route_and_a_text() {
        assert_eq!(read(r#"{"@type": "Local", "name": "local"}"#).unwrap(), Route::Local);
        assert_eq!(read(r#""refuse:gone, for good""#).unwrap(), Route::refuse("gone, for good"));
    }

    #[test]
    fn promises_that_are_not_served_are_refused() {
        for (field, value) in [
            ("authUsername", json!("ann")),
            ("authUsername", json!(7)),
            ("authSecret", json!("s3cret")),
            ("authSecret", json!({"@type": "Value", "secret": "s3cret"})),
            ("authSecret", json!({"@type": "File", "filePath": "s3cret"})),
            ("authSecret", json!({"@type": "None", "secret": "s3cret"})),
        ] {
            let error = read_with(field, value).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn unknown_fields_are_refused_in_every_kind() {
        for route in [
            r#"{"@type": "Relay", "address": "a", "requireTls": true}"#,
            r#"{"@type": "Mx", "requireTls": true}"#,
            r#"{"@type": "Local", "requireTls": true}"#,
        ] {
            assert!(read(route).unwrap_err().to_string().contains("requireTls"), "{route}");
        }
        assert!(table_error(r#"[{"match": "*", "route": "mx", "requireTls": 1}]"#).contains("requireTls"));
    }

    #[test]
    fn errors_show_the_place_and_the_offending_part() {
        for (rule, part) in [
            (r#"{"match": "a b", "route": "mx"}"#, "a b"),
            (r#"{"match": "*", "route": "nonsense://x"}"#, "nonsense"),
            (r#"{"match": "*"}"#, "route"),
            (r#"{"route": "mx"}"#, "match"),
            (r#"{"match": "*", "route": 7}"#, "@type"),
            (r#"{"match": "*", "route": {"address": "a"}}"#, "@type"),
            (r#"{"match": "*", "route": {"@type": "Other"}}"#, "Other"),
            (r#"{"match": "*", "route": {"@type": "Relay"}}"#, "address"),
            (r#"{"match": "*", "route": {"@type": "Relay", "address": "ho st"}}"#, "ho st"),
            (r#"{"match": "*", "route": {"@type": "Relay", "address": "a", "port": 99999}}"#, "99999"),
            (r#"{"match": "*", "route": {"@type": "Relay", "address": "a", "protocol": "http"}}"#, "http"),
            (r#"{"match": "*", "route": {"@type": "Mx", "ipLookupStrategy": "v5"}}"#, "v5"),
            (r#"7"#, "match"),
        ] {
            let message = table_error(&format!(r#"[{{"match": "a", "route": "mx"}}, {rule}]"#));
            assert!(message.starts_with("rule 1: ") && message.contains(part), "{rule}: {message}");
        }
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for json in ["", "{}", "[", "\"mx\"", "[{\"match\": \"*\", \"route\": \"mx\"}] x"] {
            assert!(table_error(json).starts_with("not a JSON array"), "{json}");
        }
    }

    #[test]
    fn the_first_rule_of_the_array_wins() {
        let json = br#"[{"match": "example.org", "route": "local"}, {"match": "*", "route": "refuse:x"}]"#;
        let table = RouteTable::from_json(json, Route::mx()).unwrap();
        assert_eq!(table.find(&Recipient::parse("a@example.org").unwrap()), &Route::Local);
        assert_eq!(table.find(&Recipient::parse("a@example.com").unwrap()), &Route::refuse("x"));
    }
}
