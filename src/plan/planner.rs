//! [`Planner`]: asks the resolver, asks the policy, and writes down what they said.

use std::net::IpAddr;
use std::sync::Arc;

use super::candidate::Plan;
use super::destination::Destination;
use super::part::Part;
use super::planning::Planning;
use super::settings::PlanSettings;
use super::source::Sources;
use crate::mail::DnsName;
use crate::policy::AddressPolicy;
use crate::resolver::{Query, Requester, Resolver};
use crate::route::{NextHop, Route, TlsLevel};
use crate::tls::TlsSettings;

/// Makes plans. Looks up and decides, connects to nobody.
///
/// ```
/// use nexthop::plan::{Destination, PlanSettings, Planner};
/// use nexthop::{DefaultPolicy, MemoryResolver, Recipient, Route};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let resolver = MemoryResolver::builder()
///     .mx("trap.example", 10, "mx.trap.example")
///     .ipv4("mx.trap.example", [127, 0, 0, 1])
///     .build()?;
/// let (policy, settings) = (DefaultPolicy::default(), PlanSettings::default());
/// let planner = Planner::new(&resolver, &policy, &settings);
///
/// let recipient = Recipient::parse("ann@trap.example")?;
/// let destination = Destination::new(&Route::mx(), &recipient)?.expect("a server is wanted");
/// let plan = planner.plan(&destination).await;
/// assert!(plan.to_string().contains("127.0.0.0/8 is loopback"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Planner<'a> {
    pub(super) resolver: &'a dyn Resolver,
    pub(super) policy: &'a dyn AddressPolicy,
    pub(super) settings: &'a PlanSettings,
    pub(super) tls: Option<&'a TlsSettings>,
    sources: &'a [IpAddr],
    pub(super) requester: Requester,
}

impl<'a> Planner<'a> {
    /// A planner that asks these two.
    pub fn new(
        resolver: &'a dyn Resolver,
        policy: &'a dyn AddressPolicy,
        settings: &'a PlanSettings,
    ) -> Self {
        Self { resolver, policy, settings, tls: None, sources: &[], requester: Requester::new() }
    }

    /// The same planner with what the host chose about TLS, instead of the defaults.
    #[must_use]
    pub fn with_tls(self, tls: &'a TlsSettings) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// The same planner for connections from these local addresses, which have a say in the order of addresses
    /// (RFC 6724 section 6).
    #[must_use]
    pub fn with_sources(self, sources: &'a [IpAddr]) -> Self {
        Self { sources, ..self }
    }

    /// Sets the requester that queries are made for. Default: a new one for each [`Planner::new`].
    #[must_use]
    pub fn with_requester(self, requester: Requester) -> Self {
        Self { requester, ..self }
    }

    /// Returns a query for the requester of this planner.
    pub(super) fn query(&self, name: impl Into<DnsName>) -> Query {
        Query::new(name).for_requester(self.requester)
    }

    /// The plan for a destination. Takes as long as the resolver does, at most [`PlanSettings::lookup_time`]; has to be
    /// polled within a tokio runtime that keeps time.
    pub async fn plan(&self, destination: &Destination) -> Plan {
        self.planning(destination).finish(destination.clone()).await
    }

    /// The hosts of a destination, one after another.
    pub(crate) fn planning(&self, destination: &'a Destination) -> Planning<'a> {
        let (planner, route) = (*self, Arc::new(destination.route()));
        let parts = match destination {
            Destination::Mx { domain, route: limits } => {
                vec![Part::asking(async move { planner.by_mx(domain, limits, route).await })]
            }
            Destination::Literal(address) => {
                vec![Part::known(planner.literal(*address, route), planner)]
            }
            Destination::Relay(hops) => {
                let hops = planner.in_turn(hops).into_iter();
                hops.map(|hop| planner.part(hop, Arc::clone(&route))).collect()
            }
        };
        Planning::new(planner, parts, Sources::new(self.sources))
    }

    fn part(self, hop: &'a NextHop, route: Arc<Route>) -> Part<'a> {
        Part::asking(async move { self.by_relay(hop, route).await })
    }

    pub(super) fn tls_level(&self) -> TlsLevel {
        self.tls.map_or_else(TlsLevel::default, |tls| tls.level)
    }

    /// Whether an address is one of this host's; a loopback address never is.
    pub(super) fn is_own_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let own = &self.settings.own_addresses;
        !address.is_loopback() && own.iter().any(|own| own.to_canonical() == address)
    }
}
