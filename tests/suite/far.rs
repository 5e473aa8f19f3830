//! [`Far`]: a resolver that takes its time, and the tables that are held against it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use nexthop::plan::{Candidate, Destination, Plan, PlanSettings, Planner};
use nexthop::resolver::{Answer, MemoryResolverBuilder, Mx, Query, RecordKind, Srv, Tlsa, Txt};
use nexthop::{DefaultPolicy, Domain, Endpoint, MemoryResolver, Recipient, ResolveError, Resolver, Route};
use tokio::time::{Instant, sleep};

/// How long every question takes, on a clock that stands still otherwise.
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// A resolver far away, which notes what it is asked in each round trip.
#[derive(Debug)]
struct Far {
    dns: MemoryResolver,
    began: Instant,
    asked: Mutex<BTreeMap<u128, Vec<String>>>,
}

impl Far {
    fn new(dns: MemoryResolverBuilder) -> Self {
        Self { dns: dns.build().unwrap(), began: Instant::now(), asked: Mutex::default() }
    }

    /// Round trips that are over.
    fn round(&self) -> u128 {
        self.began.elapsed().as_millis() / ROUND_TRIP.as_millis()
    }

    async fn travel(&self, kind: RecordKind, query: &Query) {
        let question = format!("{kind} {}", query.name);
        self.asked.lock().unwrap().entry(self.round()).or_default().push(question);
        sleep(ROUND_TRIP).await;
    }

    /// What was asked together, round trip after round trip.
    fn rounds(&self) -> Vec<Vec<String>> {
        let mut rounds: Vec<_> = self.asked.lock().unwrap().values().cloned().collect();
        rounds.iter_mut().for_each(|round| round.sort());
        rounds
    }
}

#[async_trait]
impl Resolver for Far {
    async fn mx(&self, query: &Query) -> Result<Answer<Mx>, ResolveError> {
        self.travel(RecordKind::Mx, query).await;
        self.dns.mx(query).await
    }

    async fn ipv4(&self, query: &Query) -> Result<Answer<Ipv4Addr>, ResolveError> {
        self.travel(RecordKind::Ipv4, query).await;
        self.dns.ipv4(query).await
    }

    async fn ipv6(&self, query: &Query) -> Result<Answer<Ipv6Addr>, ResolveError> {
        self.travel(RecordKind::Ipv6, query).await;
        self.dns.ipv6(query).await
    }

    async fn tlsa(&self, query: &Query) -> Result<Answer<Tlsa>, ResolveError> {
        self.travel(RecordKind::Tlsa, query).await;
        self.dns.tlsa(query).await
    }

    async fn txt(&self, query: &Query) -> Result<Answer<Txt>, ResolveError> {
        self.travel(RecordKind::Txt, query).await;
        self.dns.txt(query).await
    }

    async fn srv(&self, query: &Query) -> Result<Answer<Srv>, ResolveError> {
        self.travel(RecordKind::Srv, query).await;
        self.dns.srv(query).await
    }
}

/// A plan, what was asked for it in each round trip, and how many of those it took.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) rounds: Vec<Vec<String>>,
    pub(crate) took: u128,
}

/// The plan of this host, `me.example`, for a recipient at `x.example`.
pub(crate) async fn planned(route: &Route, dns: MemoryResolverBuilder) -> Planned {
    let (far, policy, mut settings) = (Far::new(dns), DefaultPolicy::default(), PlanSettings::default());
    settings.own_names = vec![Domain::parse("me.example").unwrap()];
    let recipient = Recipient::parse("u@x.example").unwrap();
    let destination = Destination::new(route, &recipient).unwrap().unwrap();
    // both families have a source: the order does not depend on the machine
    let local = ["192.0.2.200".parse().unwrap(), "2001:db8::200".parse().unwrap()];
    let plan = Planner::new(&far, &policy, &settings).with_sources(&local).plan(&destination).await;
    Planned { plan, rounds: far.rounds(), took: far.round() }
}

/// What would be dialled, as `10 mx.example 198.41.0.4, …`; or what becomes of the recipient, as `failed 5.4.4 routing`.
pub(crate) fn comes_of(plan: &Plan) -> String {
    let Some(failure) = plan.error() else {
        let allowed = plan.candidates.iter().filter(|candidate| candidate.failure().is_none());
        return allowed.map(dialled).collect::<Vec<_>>().join(", ");
    };
    let word = if failure.is_permanent() { "failed" } else { "deferred" };
    format!("{word} {} {}", failure.status(), failure.kind())
}

fn dialled(candidate: &Candidate) -> String {
    let Some(Endpoint::Tcp(address)) = &candidate.endpoint else { panic!("{candidate}") };
    let preference = candidate.preference.map(|preference| format!("{preference} ")).unwrap_or_default();
    format!("{preference}{} {}", candidate.name(), address.ip())
}

/// A line of a table: what the DNS has; what is asked, as `MX x.example > A mx.example, AAAA mx.example` with a `>` between
/// round trips; and what [`comes_of`] it.
pub(crate) type Row<'a> = (&'a str, MemoryResolverBuilder, &'a str, &'a str);

/// Every row of a table on a route, each in as many round trips as it has, and nothing asked twice.
pub(crate) async fn hold<'a>(route: &str, rows: impl IntoIterator<Item = Row<'a>>) {
    for (what, dns, asked, comes) in rows {
        let Planned { plan, rounds, took } = planned(&route.parse().unwrap(), dns).await;
        let rounds: Vec<_> = rounds.iter().map(|round| round.join(", ")).collect();
        assert_eq!(rounds.join(" > "), asked, "{what}");
        assert_eq!(comes_of(&plan), comes, "{what}:\n{plan}");
        assert_eq!(took, rounds.len() as u128, "round trips, {what}");
    }
}
