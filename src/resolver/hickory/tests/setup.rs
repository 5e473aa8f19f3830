//! Resolvers and servers for the tests.

use std::net::Ipv4Addr;

use hickory_resolver::proto::op::{Message, ResponseCode};

use crate::mail::DnsName;

use super::super::super::answer::Answer;
use super::super::super::error::ResolveError;
use super::super::super::question::Query;
use super::super::settings::{DnssecMode, ResolverSettings};
use super::super::stub::HickoryResolver;
use super::super::test_server::{Asked, TestServer};

pub(super) fn query(name: &str) -> Query {
    Query::new(DnsName::parse(name).unwrap())
}

pub(super) fn of(servers: &[&TestServer]) -> HickoryResolver {
    HickoryResolver::from_servers(servers.iter().map(|server| server.address))
}

pub(super) fn with(servers: &[&TestServer], edit: impl FnOnce(&mut ResolverSettings)) -> HickoryResolver {
    let mut settings = ResolverSettings::default();
    edit(&mut settings);
    of(servers).with_settings(settings)
}

pub(super) fn is_temporary<T>(result: &Result<T, ResolveError>) -> bool {
    matches!(result, Err(ResolveError::Temporary { .. }))
}

pub(super) fn addresses(answer: &Answer<Ipv4Addr>) -> Vec<String> {
    answer.records.iter().map(Ipv4Addr::to_string).collect()
}

pub(super) async fn always(code: ResponseCode) -> TestServer {
    TestServer::start(move |asked| Some(asked.code(code))).await
}

pub(super) async fn silent() -> TestServer {
    TestServer::start(|_| None).await
}

/// Everyone has one address.
pub(super) async fn healthy() -> TestServer {
    TestServer::start(|asked| Some(asked.records(&[&format!("{} A 192.0.2.1", asked.name)]))).await
}

pub(super) fn believing(server: &TestServer, dnssec: DnssecMode) -> HickoryResolver {
    with(&[server], |settings| settings.dnssec = dnssec)
}

pub(super) fn in_parts(asked: &Asked) -> Message {
    match asked.name.as_str() {
        "a.test." => asked.records(&["a.test. CNAME b.test."]),
        _ => asked.records(&["b.test. SRV 587 mx.test.", "b.test. A 192.0.2.1"]),
    }
}

pub(super) fn is_bogus<T>(result: &Result<T, ResolveError>) -> bool {
    matches!(result, Err(ResolveError::Bogus { .. }))
}

pub(super) fn is_no_such_name<T>(result: &Result<T, ResolveError>) -> bool {
    matches!(result, Err(ResolveError::NoSuchName))
}
