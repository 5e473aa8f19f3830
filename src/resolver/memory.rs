//! [`MemoryResolver`]: a resolver that knows what it was told.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::mail::DnsName;

use super::answer::{Answer, Security};
use super::error::ResolveError;
use super::memory_builder::MemoryResolverBuilder;
use super::question::{Query, RecordKind};
use super::record::{Mx, Record, Srv, Tlsa, Txt};
use super::resolve::Resolver;
use super::special_names;

/// Aliases that are followed for one question.
const MAX_ALIASES: usize = 16;

/// A resolver that answers from a script and remembers what it was asked: for tests, and for hosts without a DNS.
///
/// It behaves as the DNS does: aliases are followed, an unknown name is [`ResolveError::NoSuchName`], a name
/// that is known by other records (or by a name below it, RFC 8020) has an empty answer, and `localhost` is answered as by every resolver.
///
/// ```
/// use nexthop::{DnsName, MemoryResolver, Resolver};
/// use nexthop::resolver::{Query, RecordKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dns = MemoryResolver::builder()
///     .mx("example.org", 10, "mx.example.org")
///     .ipv4("mx.example.org", [192, 0, 2, 25])
///     .build()?;
///
/// let domain = DnsName::parse("example.org")?;
/// assert_eq!(dns.mx(&Query::new(domain.clone())).await?.records[0].preference, 10);
/// assert_eq!(dns.queries(), [(RecordKind::Mx, domain)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct MemoryResolver {
    zone: Zone,
    asked: Mutex<Vec<(RecordKind, DnsName)>>,
}

impl MemoryResolver {
    /// Starts a script.
    pub fn builder() -> MemoryResolverBuilder {
        MemoryResolverBuilder::default()
    }

    /// The questions so far, in order: one a call, not one an alias, none for names that never go to the DNS.
    pub fn queries(&self) -> Vec<(RecordKind, DnsName)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn with_zone(zone: Zone) -> Self {
        Self { zone, asked: Mutex::default() }
    }

    fn note(&self, kind: RecordKind, name: &DnsName) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((kind, name.clone()));
    }

    fn lookup<T: Record>(&self, query: &Query, table: &Table<T>) -> Result<Answer<T>, ResolveError> {
        if let Some(answer) = special_names::answer(&query.name) {
            return answer;
        }
        self.note(T::KIND, &query.name);
        let chain = self.zone.chain(&query.name, table)?;
        let name = chain.last().unwrap_or(&query.name);
        let records = table.get(name).map(Script::next);
        if records.is_none() && !self.zone.exists(name) {
            return Err(ResolveError::NoSuchName);
        }
        let security = Security {
            first_step_secure: self.zone.is_secure(&query.name),
            chain_secure: chain.iter().all(|step| self.zone.is_secure(step)),
        };
        Ok(Answer::new(name.clone(), records.unwrap_or_default()).with_security(security))
    }
}

#[async_trait]
impl Resolver for MemoryResolver {
    async fn mx(&self, query: &Query) -> Result<Answer<Mx>, ResolveError> {
        self.lookup(query, &self.zone.mx)
    }

    async fn ipv4(&self, query: &Query) -> Result<Answer<Ipv4Addr>, ResolveError> {
        self.lookup(query, &self.zone.ipv4)
    }

    async fn ipv6(&self, query: &Query) -> Result<Answer<Ipv6Addr>, ResolveError> {
        self.lookup(query, &self.zone.ipv6)
    }

    async fn tlsa(&self, query: &Query) -> Result<Answer<Tlsa>, ResolveError> {
        self.lookup(query, &self.zone.tlsa)
    }

    async fn txt(&self, query: &Query) -> Result<Answer<Txt>, ResolveError> {
        self.lookup(query, &self.zone.txt)
    }

    async fn srv(&self, query: &Query) -> Result<Answer<Srv>, ResolveError> {
        self.lookup(query, &self.zone.srv)
    }
}

/// What the script says.
#[derive(Debug, Default)]
pub(super) struct Zone {
    pub(super) mx: Table<Mx>,
    pub(super) ipv4: Table<Ipv4Addr>,
    pub(super) ipv6: Table<Ipv6Addr>,
    pub(super) tlsa: Table<Tlsa>,
    pub(super) txt: Table<Txt>,
    pub(super) srv: Table<Srv>,
    pub(super) aliases: HashMap<DnsName, DnsName>,
    /// By name and kind; `None` is every kind.
    pub(super) failures: HashMap<(DnsName, Option<RecordKind>), ResolveError>,
    pub(super) known: BTreeSet<DnsName>,
    /// Secure with everything below.
    pub(super) secure: BTreeSet<DnsName>,
}

pub(super) type Table<T> = HashMap<DnsName, Script<T>>;

impl Zone {
    /// The names from the one asked for to the one that is no alias.
    fn chain<T: Record>(&self, first: &DnsName, table: &Table<T>) -> Result<Vec<DnsName>, ResolveError> {
        let mut chain = vec![first.clone()];
        let mut current = first;
        loop {
            self.fail(current, T::KIND)?;
            let Some(target) = self.aliases.get(current).filter(|_| !table.contains_key(current)) else {
                return Ok(chain);
            };
            if chain.len() > MAX_ALIASES {
                return Err(ResolveError::temporary("the alias chain is too long or a loop"));
            }
            chain.push(target.clone());
            current = target;
        }
    }

    fn fail(&self, name: &DnsName, kind: RecordKind) -> Result<(), ResolveError> {
        let failure =
            [Some(kind), None].into_iter().find_map(|kind| self.failures.get(&(name.clone(), kind)));
        failure.cloned().map_or(Ok(()), Err)
    }

    fn exists(&self, name: &DnsName) -> bool {
        self.known.iter().any(|known| is_at_or_below(known, name))
    }

    fn is_secure(&self, name: &DnsName) -> bool {
        self.secure.iter().any(|zone| is_at_or_below(name, zone))
    }
}

fn is_at_or_below(name: &DnsName, zone: &DnsName) -> bool {
    let above = name.as_str().strip_suffix(zone.as_str());
    above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// The records of one name and kind, question by question; the last ones stay.
#[derive(Debug)]
pub(super) struct Script<T> {
    pub(super) answers: Vec<Vec<T>>,
    asked: AtomicUsize,
}

impl<T> Default for Script<T> {
    fn default() -> Self {
        Self { answers: Vec::new(), asked: AtomicUsize::new(0) }
    }
}

impl<T: Clone> Script<T> {
    fn next(&self) -> Vec<T> {
        let last = self.answers.len().saturating_sub(1);
        let turn = self.asked.fetch_add(1, Ordering::Relaxed).min(last);
        self.answers.get(turn).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str) -> Query {
        Query::new(DnsName::parse(name).unwrap())
    }

    fn chain_of(aliases: usize) -> MemoryResolver {
        let chain = (0..aliases).fold(MemoryResolver::builder(), |script, step| {
            script.cname(&format!("a{step}.example"), &format!("a{}.example", step + 1))
        });
        chain.ipv4(&format!("a{aliases}.example"), [192, 0, 2, 1]).build().unwrap()
    }

    #[tokio::test]
    async fn check_070_known_names_without_the_records_have_an_empty_answer() {
        let dns =
            MemoryResolver::builder().ipv4("a.example", [192, 0, 2, 1]).name("b.example").build().unwrap();
        for name in ["a.example", "b.example", "example"] {
            assert!(dns.mx(&query(name)).await.unwrap().records.is_empty(), "{name}");
        }
    }

    #[tokio::test]
    async fn check_071_unknown_names_do_not_exist() {
        let dns = MemoryResolver::builder().ipv4("ba.example", [192, 0, 2, 1]).build().unwrap();
        for name in ["b.example", "x.ba.example", "a.example"] {
            assert!(matches!(dns.ipv4(&query(name)).await, Err(ResolveError::NoSuchName)), "{name}");
        }
    }

    #[tokio::test]
    async fn check_073_aliases_are_followed() {
        let answer = chain_of(16).ipv4(&query("a0.example")).await.unwrap();
        assert_eq!(*answer.records, [Ipv4Addr::new(192, 0, 2, 1)]);
        assert_eq!(answer.canonical_name.as_str(), "a16.example");
    }

    #[tokio::test]
    async fn check_073_an_alias_to_nothing_is_no_name() {
        let dns = MemoryResolver::builder().cname("a.example", "b.test").build().unwrap();
        assert!(matches!(dns.mx(&query("a.example")).await, Err(ResolveError::NoSuchName)));
    }

    #[tokio::test]
    async fn attack_a08_loops_and_long_chains_are_temporary() {
        let dns = MemoryResolver::builder().cname("a.example", "b.example").cname("b.example", "a.example");
        let looped = dns.build().unwrap().ipv4(&query("a.example")).await;
        assert!(matches!(looped, Err(ResolveError::Temporary { .. })));
        let long = chain_of(17).ipv4(&query("a0.example")).await;
        assert!(matches!(long, Err(ResolveError::Temporary { .. })));
    }

    #[tokio::test]
    async fn check_072_failures_strike_their_kind_also_behind_an_alias() {
        let dns = MemoryResolver::builder()
            .cname("a.example", "b.example")
            .ipv4("b.example", [192, 0, 2, 1])
            .fail("b.example", RecordKind::Mx, ResolveError::bogus("expired"))
            .fail_all("c.example", ResolveError::temporary("SERVFAIL"))
            .build()
            .unwrap();
        assert!(matches!(dns.mx(&query("a.example")).await, Err(ResolveError::Bogus { .. })));
        assert!(dns.ipv4(&query("a.example")).await.is_ok());
        assert!(matches!(dns.txt(&query("c.example")).await, Err(ResolveError::Temporary { .. })));
    }

    #[tokio::test]
    async fn check_217_an_insecure_step_makes_the_chain_insecure() {
        let dns = MemoryResolver::builder()
            .cname("a.signed.example", "b.plain.example")
            .cname("b.plain.example", "c.signed.example")
            .ipv4("c.signed.example", [192, 0, 2, 1])
            .secure("signed.example")
            .build()
            .unwrap();
        assert_eq!(dns.ipv4(&query("c.signed.example")).await.unwrap().security, Security::CHAIN);
        assert_eq!(dns.ipv4(&query("a.signed.example")).await.unwrap().security, Security::FIRST_STEP);
        assert_eq!(dns.ipv4(&query("b.plain.example")).await.unwrap().security, Security::NONE);
    }

    #[tokio::test]
    async fn attack_a03_answers_may_change_from_question_to_question() {
        let (public, loopback) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::LOCALHOST);
        let dns =
            MemoryResolver::builder().ipv4_sequence("a.example", [vec![public], vec![], vec![loopback]]);
        let dns = dns.build().unwrap();
        for expected in [vec![public], vec![], vec![loopback], vec![loopback]] {
            assert_eq!(dns.ipv4(&query("a.example")).await.unwrap().records.to_vec(), expected);
        }
    }

    #[tokio::test]
    async fn questions_are_remembered_but_not_those_about_localhost() {
        let dns = MemoryResolver::builder().cname("a.example", "b.example").build().unwrap();
        assert!(dns.ipv6(&query("localhost")).await.is_ok());
        assert!(dns.mx(&query("a.example")).await.is_err());
        assert_eq!(dns.queries(), [(RecordKind::Mx, query("a.example").name)]);
    }
}
