//! [`Deliverer`]: takes an envelope and a message, gives one outcome a recipient.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};

use super::attempt;
use super::builder::{DelivererBuilder, DeliveryLimits};
use super::converse::Conversed;
use super::early::Announcements;
use super::fixed::{Fixed, is_fixed};
use super::group::{Group, GroupPlan, Way, groups};
use super::habits::Habits;
use super::host_memory::HostMemory;
use super::line::Line;
use super::report::{RecipientReport, Report};
use super::routes::{Answer, Routes};
use super::settle::{AllPending, Pending};
use super::sources::SourcePool;
use super::visit::{Task, Visit};
use crate::credentials::CredentialProvider;
use crate::local::{LocalDelivery, LocalRequest};
use crate::mail::{Envelope, Message};
use crate::outcome::{Failure, Outcome};
use crate::plan::{Destination, PlanSettings, Planner};
use crate::policy::AddressPolicy;
use crate::pool::{Pool, PoolCounts, Slot};
use crate::resolver::{Requester, Resolver};
use crate::route::{NextHops, Route};
use crate::router::{Attempt, RouteRequest, Router};
use crate::tls::{Connector, TlsSettings};
use crate::transport::{Dialer, LoginSettings, SessionSettings};

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
    pub(super) dialer: Arc<dyn Dialer>,
    pub(super) tls: TlsSettings,
    pub(super) sources: SourcePool,
    pub(super) memory: HostMemory,
    pub(super) pool: Pool<Line>,
    pub(super) habits: Habits,
    pub(super) announcements: Announcements,
    pub(super) fixed: Fixed,
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
    /// For an envelope without recipients nothing is done, and the report is empty. [`Envelope::require_recipients`] refuses such
    /// an envelope beforehand.
    ///
    /// Takes at most the time of its slowest destination: that of the lookups, and that of
    /// [`Timeouts`](crate::Timeouts) for each candidate, after the wait for a connection where there may be no more
    /// ([`PoolSettings::connections`](crate::PoolSettings::connections)). [`DeliveryLimits::attempt`] limits all of it.
    ///
    /// # Cancellation
    /// Dropping the future closes every connection. No server will have accepted a part of the message. A
    /// server may have accepted all of it, which nobody is told then.
    pub async fn attempt(&self, envelope: &Envelope, message: &Message, attempt: Attempt) -> Report {
        let (routes, mut task) = (self.routes_now(envelope, attempt), Task::new(&self.0, envelope, message));
        if let Routes::Same(route @ Route::Relay(hops), _) = &routes
            && let Some(target) = self.0.fixed.of(hops)
        {
            task.begin();
            return self.at_known(Visit::to(task, target), route, hops).await;
        }
        self.by_groups(task, routes, attempt).boxed().await
    }

    /// To the only next hop, of which everything is known.
    async fn at_known(&self, visit: Visit<'_>, route: &Route, hops: &NextHops) -> Report {
        let task = visit.task;
        let mut all = AllPending::of(task.envelope);
        let pending = all.as_mut_slice();
        let conversed = match visit.may_be_tried(route) {
            true => visit.by_pool(pending).await,
            false => Conversed::Gone(None),
        };
        let untried = match conversed {
            Conversed::Done => None,
            Conversed::Gone(slot) => {
                let destination = Destination::Relay(hops.clone());
                self.bring(task, &destination, pending, slot).boxed().await
            }
        };
        all.finish(untried.as_ref())
    }

    async fn by_groups(&self, task: Task<'_>, routes: Routes, attempt: Attempt) -> Report {
        let routes = self.all_routes(routes, task.envelope, attempt).await;
        let groups = groups(task.envelope, routes.into_answers()).into_iter();
        let served: Waiting<'_, _> = Box::new(groups.map(|group| self.serve(group, task).boxed()));
        let served = stream::iter(served).buffer_unordered(self.0.limits.destinations.max(1));
        let mut reports: Vec<_> = served.collect::<Vec<_>>().await.concat();
        reports.sort_by_key(|(index, _)| *index);
        Report::new(reports.into_iter().map(|(_, report)| report).collect())
    }

    /// What would be done: routes asked for, names looked up, addresses judged. Connects to nobody.
    pub async fn plans(&self, envelope: &Envelope, attempt: Attempt) -> Vec<GroupPlan> {
        let routes = self.all_routes(self.routes_now(envelope, attempt), envelope, attempt).await;
        let groups = groups(envelope, routes.into_answers()).into_iter();
        let requester = Requester::new();
        let plans: Waiting<'_, _> = Box::new(groups.map(move |group| self.plan(group, requester).boxed()));
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

    /// The routes that are known at once.
    fn routes_now(&self, envelope: &Envelope, attempt: Attempt) -> Routes {
        let mut routes = Routes::new();
        for recipient in envelope.recipients() {
            match self.0.router.route_now(&RouteRequest::new(recipient, envelope, attempt)) {
                Some(Ok(route)) if routes.push_same(&route) => {}
                answer => routes.push(answer.map(|answer| answer.map_err(Failure::router))),
            }
        }
        routes
    }

    /// The route of each recipient. Only those that are not known at once are waited for.
    async fn all_routes(&self, routes: Routes, envelope: &Envelope, attempt: Attempt) -> Routes {
        let Routes::Each(mut each) = routes else { return routes };
        let unknown = each.iter_mut().zip(envelope.recipients()).filter(|(answer, _)| answer.is_none());
        let unknown: Waiting<'_, _> = Box::new(unknown.map(|(answer, recipient)| {
            self.route(RouteRequest::new(recipient, envelope, attempt), answer).boxed()
        }));
        stream::iter(unknown).buffer_unordered(self.0.limits.routings.max(1)).collect::<()>().await;
        Routes::Each(each)
    }

    /// Puts the answer in its place.
    async fn route(&self, request: RouteRequest<'_>, place: &mut Option<Answer>) {
        *place = Some(self.0.router.route(&request).await.map_err(Failure::router));
    }

    async fn plan(&self, group: Group<'_>, requester: Requester) -> GroupPlan {
        let recipients = group.recipients.iter().map(|(_, recipient)| (*recipient).clone()).collect();
        let (plan, nowhere) = match group.way {
            Way::Server(destination) => {
                let local = self.0.sources.addresses(destination.sources());
                let planner = self.planner(requester).with_sources(&local);
                (Some(planner.plan(&destination).await), None)
            }
            Way::Nowhere(failure) => (None, Some(failure)),
            Way::Local => (None, self.0.local.is_none().then(no_store)),
        };
        GroupPlan { recipients, route: group.route, plan, nowhere }
    }

    fn planner(&self, requester: Requester) -> Planner<'_> {
        let planner = Planner::new(&*self.0.resolver, &*self.0.policy, &self.0.plan);
        planner.with_tls(&self.0.tls).with_requester(requester)
    }

    /// Brings recipients of one way where they are to go.
    async fn serve(&self, group: Group<'_>, task: Task<'_>) -> Vec<(usize, RecipientReport)> {
        let mut pending: Vec<_> =
            group.recipients.iter().map(|(index, recipient)| Pending::new(*index, recipient)).collect();
        let untried = match &group.way {
            Way::Server(destination) => self.bring(task, destination, &mut pending, None).await,
            Way::Local => self.keep(&mut pending, task).await,
            Way::Nowhere(failure) => Some(failure.clone()),
        };
        pending.into_iter().map(|pending| pending.finish(untried.as_ref())).collect()
    }

    /// Brings recipients to a destination; gives back why not everything was tried for those who are not settled. The
    /// first connection may have room in the pool already.
    async fn bring(
        &self,
        task: Task<'_>,
        destination: &Destination,
        pending: &mut [Pending<'_>],
        held: Option<Slot<Line>>,
    ) -> Option<Failure> {
        let (parts, sources) = (task.parts, destination.sources());
        let local = parts.sources.addresses(sources);
        let planner = self.planner(task.requester).with_sources(&local);
        let mut planning = planner.planning(destination);
        let fixed = destination.relay().filter(|hops| is_fixed(parts, hops));
        let mut task = Task { sources, turn: parts.sources.turn(), fixed, ..task };
        task.begin();
        attempt::run(task, &mut planning, pending, held).await;
        planning.dead_end().or_else(|| task.is_over().then(Failure::out_of_time))
    }

    /// Hands recipients to the host's store; what that leaves open is deferred for the reason given back.
    async fn keep(&self, pending: &mut [Pending<'_>], task: Task<'_>) -> Option<Failure> {
        let Some(local) = &self.0.local else {
            return Some(no_store());
        };
        let recipients: Vec<_> = pending.iter().map(|pending| pending.recipient).collect();
        let outcomes = local.deliver(&LocalRequest::new(task.envelope, &recipients, task.message)).await;
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
