//! [`Deliverer`]: takes an envelope and a message, gives one outcome a recipient.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};

use super::attempt;
use super::builder::{DelivererBuilder, DeliveryLimits};
use super::group::{Group, GroupPlan, Way, groups};
use super::habits::Habits;
use super::host_memory::HostMemory;
use super::line::Line;
use super::report::{RecipientReport, Report};
use super::settle::Pending;
use super::sources::SourcePool;
use super::visit::Task;
use crate::credentials::CredentialProvider;
use crate::local::{LocalDelivery, LocalRequest};
use crate::mail::{Envelope, Message};
use crate::outcome::{Failure, Outcome};
use crate::plan::{Destination, PlanSettings, Planner};
use crate::policy::AddressPolicy;
use crate::pool::{Pool, PoolCounts};
use crate::resolver::Resolver;
use crate::route::Route;
use crate::router::{Attempt, RouteRequest, Router};
use crate::tls::{Connector, TlsSettings};
use crate::transport::{LoginSettings, SessionSettings, after};

/// Delivers messages. Cheap to clone; one for a whole process.
///
/// ```
/// use nexthop::testing::ScriptedServer;
/// use nexthop::{Deliverer, Envelope, Message, Route, RouteTable};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let server = ScriptedServer::lmtp().listen_tcp().await?;
/// let lmtp = format!("lmtp://localhost:{}", server.address().port());
///
/// let deliverer = Deliverer::builder("mail.example.net")
///     .router(RouteTable::new(Route::mx()).domain("lists.example", lmtp.parse()?)?)
///     .build()?;
/// let envelope = Envelope::new("news@example.net")?.to("ann@lists.example")?;
/// let message = Message::from_text("Subject: hello\n\nworld\n")?;
/// for (recipient, outcome) in &deliverer.deliver(&envelope, &message).await {
///     println!("{recipient}: {outcome}");
///     assert!(outcome.is_delivered());
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Deliverer(Arc<Parts>);

/// Futures that are made as their turn comes. Without names for these types a closure would be a part of the
/// deliverer's futures, and the compiler could not prove that they may be spawned.
type Waiting<'a, T> = Box<dyn Iterator<Item = BoxFuture<'a, T>> + Send + 'a>;

/// What a deliverer is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) router: Arc<dyn Router>,
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) policy: Arc<dyn AddressPolicy>,
    pub(super) local: Option<Arc<dyn LocalDelivery>>,
    pub(super) plan: PlanSettings,
    pub(super) limits: DeliveryLimits,
    pub(super) session: SessionSettings,
    pub(super) credentials: Option<Arc<dyn CredentialProvider>>,
    pub(super) login: LoginSettings,
    pub(super) connector: Connector,
    pub(super) tls: TlsSettings,
    pub(super) sources: SourcePool,
    pub(super) memory: HostMemory,
    pub(super) pool: Pool<Line>,
    pub(super) habits: Habits,
}

impl Deliverer {
    /// Begins a deliverer that calls itself `client_name` in EHLO and LHLO: a fully qualified domain name or an
    /// address literal (RFC 5321 section 4.1.4).
    pub fn builder(client_name: impl Into<String>) -> DelivererBuilder {
        DelivererBuilder::new(client_name.into())
    }

    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Delivers a message for the first time: [`Deliverer::attempt`] with the first [`Attempt`].
    pub async fn deliver(&self, envelope: &Envelope, message: &Message) -> Report {
        self.attempt(envelope, message, Attempt::default()).await
    }

    /// Tries to deliver a message once. Never fails as a whole: every recipient has its outcome, in the order
    /// of the envelope. Deferred ones are the host's to try again, with a later [`Attempt`] (no sooner than
    /// after 30 minutes, RFC 5321 section 4.5.4.1) and an envelope that holds no others.
    ///
    /// Takes at most the time of its slowest destination: that of the lookups, and that of
    /// [`Timeouts`](crate::Timeouts) for each candidate, after the wait for a connection where there may be no more
    /// ([`PoolSettings::connections`](crate::PoolSettings::connections)). [`DeliveryLimits::attempt`] limits all of it.
    ///
    /// # Cancellation
    /// Dropping the future closes every connection. No server will have accepted a part of the message. A
    /// server may have accepted all of it, which nobody is told then.
    pub async fn attempt(&self, envelope: &Envelope, message: &Message, attempt: Attempt) -> Report {
        let routes = self.routes(envelope, attempt).await;
        let groups = groups(envelope, routes).into_iter();
        let served: Waiting<'_, _> =
            Box::new(groups.map(|group| self.serve(group, envelope, message).boxed()));
        let served = stream::iter(served).buffer_unordered(self.0.limits.destinations.max(1));
        let mut reports: Vec<_> = served.collect::<Vec<_>>().await.concat();
        reports.sort_by_key(|(index, _)| *index);
        Report::new(reports.into_iter().map(|(_, report)| report).collect())
    }

    /// What would be done: routes asked for, names looked up, addresses judged. Connects to nobody.
    pub async fn plans(&self, envelope: &Envelope, attempt: Attempt) -> Vec<GroupPlan> {
        let routes = self.routes(envelope, attempt).await;
        let groups = groups(envelope, routes).into_iter();
        let plans: Waiting<'_, _> = Box::new(groups.map(|group| self.plan(group).boxed()));
        stream::iter(plans).buffered(self.0.limits.destinations.max(1)).collect().await
    }

    /// Says QUIT on the connections that are kept and that nobody uses, side by side, and waits for the replies, each for
    /// [`Timeouts::quit`](crate::Timeouts::quit) at most. For the end of a process, after its last delivery: where a
    /// deliverer is dropped they are closed without a word. Deliveries may go on meanwhile and afterwards.
    pub async fn close_idle(&self) {
        self.0.pool.close_idle().await;
    }

    /// How many connections were opened, and how many are idle.
    pub fn connections(&self) -> PoolCounts {
        self.0.pool.counts()
    }

    /// The route of each recipient, in the order of the envelope. Only those that are not known at once are waited for.
    async fn routes(&self, envelope: &Envelope, attempt: Attempt) -> Vec<Result<Route, Failure>> {
        let requests = || {
            let recipients = envelope.recipients().iter();
            recipients.map(move |recipient| RouteRequest::new(recipient, envelope, attempt))
        };
        let mut routes: Vec<_> = requests().map(|request| self.route_now(&request)).collect();
        if routes.iter().any(Option::is_none) {
            let asked = routes.iter_mut().zip(requests()).filter(|(route, _)| route.is_none());
            let asked: Waiting<'_, _> =
                Box::new(asked.map(|(route, request)| self.route(request, route).boxed()));
            let answered = stream::iter(asked).buffer_unordered(self.0.limits.routings.max(1));
            answered.collect::<()>().await;
        }
        routes.into_iter().flatten().collect()
    }

    fn route_now(&self, request: &RouteRequest<'_>) -> Option<Result<Route, Failure>> {
        Some(self.0.router.route_now(request)?.map_err(Failure::router))
    }

    /// Puts the answer in its place.
    async fn route(&self, request: RouteRequest<'_>, place: &mut Option<Result<Route, Failure>>) {
        *place = Some(self.0.router.route(&request).await.map_err(Failure::router));
    }

    async fn plan(&self, group: Group<'_>) -> GroupPlan {
        let recipients = group.recipients.iter().map(|(_, recipient)| (*recipient).clone()).collect();
        let (plan, nowhere) = match group.way {
            Way::Server(destination) => {
                let local = self.0.sources.addresses(destination.sources());
                (Some(self.planner().with_sources(&local).plan(&destination).await), None)
            }
            Way::Nowhere(failure) => (None, Some(failure)),
            Way::Local => (None, self.0.local.is_none().then(no_store)),
        };
        GroupPlan { recipients, route: group.route, plan, nowhere }
    }

    fn planner(&self) -> Planner<'_> {
        Planner::new(&*self.0.resolver, &*self.0.policy, &self.0.plan).with_tls(&self.0.tls)
    }

    /// Brings recipients of one way where they are to go.
    async fn serve(
        &self,
        group: Group<'_>,
        envelope: &Envelope,
        message: &Message,
    ) -> Vec<(usize, RecipientReport)> {
        let mut pending: Vec<_> =
            group.recipients.iter().map(|(index, recipient)| Pending::new(*index, recipient)).collect();
        let untried = match &group.way {
            Way::Server(destination) => self.bring(destination, envelope, message, &mut pending).await,
            Way::Local => self.keep(&mut pending, envelope, message).await,
            Way::Nowhere(failure) => Some(failure.clone()),
        };
        pending.into_iter().map(|pending| pending.finish(untried.as_ref())).collect()
    }

    /// Brings recipients to a destination; gives back why not everything was tried for those who are not settled.
    async fn bring(
        &self,
        destination: &Destination,
        envelope: &Envelope,
        message: &Message,
        pending: &mut [Pending<'_>],
    ) -> Option<Failure> {
        let parts = &*self.0;
        let ends = parts.limits.attempt.map(after);
        let (sources, turn) = (destination.sources(), parts.sources.turn());
        let local = parts.sources.addresses(sources);
        let planner = self.planner().with_sources(&local);
        let mut planning = planner.planning(destination);
        let task = Task { parts, envelope, message, sources, turn, ends };
        attempt::run(task, &mut planning, pending).await;
        planning.dead_end().or_else(|| task.is_over().then(Failure::out_of_time))
    }

    /// Hands recipients to the host's store; what that leaves open is deferred for the reason given back.
    async fn keep(
        &self,
        pending: &mut [Pending<'_>],
        envelope: &Envelope,
        message: &Message,
    ) -> Option<Failure> {
        let Some(local) = &self.0.local else {
            return Some(no_store());
        };
        let recipients: Vec<_> = pending.iter().map(|pending| pending.recipient).collect();
        let outcomes = local.deliver(&LocalRequest::new(envelope, &recipients, message)).await;
        pending.iter_mut().zip(outcomes).for_each(|(pending, outcome)| pending.settle(honest(outcome), None));
        Some(Failure::local_for_now("the local delivery gave no outcome"))
    }
}

fn no_store() -> Failure {
    Failure::local_for_now("no local delivery is set up")
}

/// An outcome whose word agrees with its failure.
fn honest(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Deferred(failure) | Outcome::Failed(failure) => failure.into(),
        delivered @ Outcome::Delivered(_) => delivered,
    }
}
