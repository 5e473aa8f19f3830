//! Tables of questions and answers, and what a resolver makes of them.

use std::net::SocketAddr;

use nexthop::resolver::{
    Answer, DnssecMode, HickoryResolver, Mx, Query, ResolveError, Resolver, ResolverSettings, Security, Srv,
    Tlsa, Txt,
};

use crate::dns::Unbound;

/// `TYPE name`, and the answer as [`told`] has it.
pub(crate) type Row<'a> = (&'a str, &'a str);

/// Asks only this server and believes its AD bit.
pub(crate) fn believing(unbound: &Unbound) -> HickoryResolver {
    resolver(&[unbound.address()], |settings| settings.dnssec = DnssecMode::Ad)
}

/// Asks these servers.
pub(crate) fn resolver(servers: &[SocketAddr], edit: impl FnOnce(&mut ResolverSettings)) -> HickoryResolver {
    let mut settings = ResolverSettings::default();
    edit(&mut settings);
    HickoryResolver::from_servers(servers.iter().copied()).with_settings(settings)
}

/// Asks all questions of a table.
///
/// # Panics
/// Some answers are not those of the table; it says which.
pub(crate) async fn check(resolver: &dyn Resolver, rows: &[Row<'_>]) {
    let mut wrong = String::new();
    for (question, expected) in rows {
        let told = told(resolver, question).await;
        if told != *expected {
            wrong += &format!("\n{question}\n  expected: {expected}\n  told:     {told}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// `chain`, `first` or `none` for what is secure, the canonical name, and the records in an order of their own; or an
/// error in two words.
async fn told(resolver: &dyn Resolver, question: &str) -> String {
    let (kind, name) = question.split_once(' ').expect("a type and a name");
    let query = &Query::new(name.parse::<nexthop::DnsName>().expect("a name"));
    match kind {
        "MX" => {
            text(resolver.mx(query).await, |Mx { preference, exchange }| format!("{preference} {exchange}"))
        }
        "A" => text(resolver.ipv4(query).await, ToString::to_string),
        "AAAA" => text(resolver.ipv6(query).await, ToString::to_string),
        "TLSA" => text(resolver.tlsa(query).await, tlsa),
        "TXT" => text(resolver.txt(query).await, |Txt(octets)| octets.escape_ascii().to_string()),
        "SRV" => text(resolver.srv(query).await, srv),
        _ => panic!("no such type: {kind}"),
    }
}

fn text<T>(result: Result<Answer<T>, ResolveError>, record: impl Fn(&T) -> String) -> String {
    let answer = match result {
        Ok(answer) => answer,
        Err(ResolveError::NoSuchName) => return "no such name".to_owned(),
        Err(ResolveError::Bogus { .. }) => return "bogus".to_owned(),
        Err(ResolveError::Temporary { .. }) => return "temporary".to_owned(),
        Err(error) => return error.to_string(),
    };
    let mut records: Vec<String> = answer.records.iter().map(record).collect();
    records.sort();
    let records = if records.is_empty() { "nothing".to_owned() } else { records.join(", ") };
    format!("{} {}: {records}", security(answer.security), answer.canonical_name)
}

fn security(security: Security) -> &'static str {
    match security {
        Security::CHAIN => "chain",
        Security::FIRST_STEP => "first",
        Security::NONE => "none",
        _ => "nonsense",
    }
}

fn tlsa(record: &Tlsa) -> String {
    let data: String = record.data.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{} {} {} {data}", record.usage, record.selector, record.matching_type)
}

fn srv(record: &Srv) -> String {
    format!("{} {} {} {}", record.priority, record.weight, record.port, record.target)
}
