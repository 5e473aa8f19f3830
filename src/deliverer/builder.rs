//! [`DelivererBuilder`]: everything that a host can choose.

use std::sync::Arc;
use std::time::Duration;

use super::deliver::{Deliverer, Parts};
use super::early::Announcements;
use super::fixed::Fixed;
use super::habits::Habits;
use super::host_memory::HostMemory;
use super::sources::{SourceAddress, SourcePool};
use crate::credentials::CredentialProvider;
use crate::local::LocalDelivery;
use crate::observer::{Observer, TraceLevels};
use crate::plan::PlanSettings;
use crate::policy::{AddressPolicy, DefaultPolicy};
use crate::pool::{Pool, PoolSettings};
use crate::proto::{ClientName, ClientNameError, ReplyLimits};
use crate::random::Randomness;
use crate::resolver::Resolver;
use crate::route::Route;
use crate::router::{RouteTable, Router};
use crate::tls::{Connector, TlsSettings, TlsSettingsError};
use crate::transport::{Dialer, LoginSettings, SessionSettings, SystemDialer, Timeouts};

/// How much is done at once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeliveryLimits {
    /// Destinations of one message that are served side by side; 10.
    pub destinations: usize,
    /// Recipients of one transaction; 1000. A server that says 452 gets fewer
    /// (RFC 5321 section 4.5.3.1.10).
    pub recipients: usize,
    /// Routers asked side by side for the recipients of one message; 20.
    pub routings: usize,
    /// Maximum number of sessions for one recipient in one attempt, over all hosts and addresses; at least 2 (RFC 5321
    /// section 5.1). A session counts once the server has greeted. Connections that fail before do not count. Default: 5.
    pub max_sessions: usize,
    /// How long a further address of a host waits for the one before it to be connected; 250 milliseconds, 100 at
    /// least (RFC 8305 section 5). One that fails is not waited for.
    pub stagger: Duration,
    /// How long one attempt at one destination may take: lookups, connections and sessions together; no limit. What is
    /// under way then is broken off as at any other time limit, and who is not settled is deferred.
    pub attempt: Option<Duration>,
    /// How long an address that could not be connected to, or that closed with 421 instead of greeting, is tried after
    /// all others, also by other deliveries; 1 minute. With zero nothing is remembered.
    pub host_memory: Duration,
    /// How many such addresses are remembered; 4096.
    pub host_memory_size: usize,
}

impl Default for DeliveryLimits {
    fn default() -> Self {
        Self {
            destinations: 10,
            recipients: 1000,
            routings: 20,
            max_sessions: 5,
            stagger: Duration::from_millis(250),
            attempt: None,
            host_memory: Duration::from_secs(60),
            host_memory_size: 4096,
        }
    }
}

/// RFC 5321 section 5.1: at least two addresses are tried.
const LEAST_SESSIONS: usize = 2;
/// RFC 8305 section 5: never less than this.
const LEAST_STAGGER: Duration = Duration::from_millis(100);

/// Builds a [`Deliverer`]. Whatever is not chosen has a default: routes by MX, the system's DNS servers, the
/// [`DefaultPolicy`], the time limits of RFC 5321, no store of its own.
#[derive(Debug)]
#[must_use]
pub struct DelivererBuilder {
    client_name: String,
    router: Arc<dyn Router>,
    resolver: Option<Arc<dyn Resolver>>,
    policy: Arc<dyn AddressPolicy>,
    local: Option<Arc<dyn LocalDelivery>>,
    plan: PlanSettings,
    limits: DeliveryLimits,
    timeouts: Timeouts,
    replies: ReplyLimits,
    pipelining: bool,
    early_pipelining: bool,
    chunking: bool,
    single_flight_limit: usize,
    pool: PoolSettings,
    refuse_long_lines: bool,
    greeting_5yz_is_permanent: bool,
    tls: TlsSettings,
    credentials: Option<Arc<dyn CredentialProvider>>,
    login: LoginSettings,
    observer: Option<Arc<dyn Observer>>,
    trace: TraceLevels,
    sources: Vec<SourceAddress>,
    dialer: Arc<dyn Dialer>,
    random: Randomness,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The client name cannot stand in EHLO.
    #[error(transparent)]
    ClientName(#[from] ClientNameError),
    /// No resolver was chosen, and the system's configuration is not readable.
    #[error("cannot use the DNS configuration of the system")]
    SystemResolver(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No resolver was chosen, and the crate was built without one.
    #[error("no resolver was chosen, and the crate was built without the feature `hickory`")]
    NoResolver,
    /// [`PoolSettings::window`] is above 1, but [`DelivererBuilder::single_flight_limit`] is 0.
    #[error(
        "PoolSettings::window is {window} and single_flight_limit is 0: more than one unacknowledged message on a \
         connection needs a single_flight_limit above 0"
    )]
    WindowWithoutSingleFlight {
        /// Value of [`PoolSettings::window`].
        window: usize,
    },
    /// The TLS settings name files that cannot be used, or promise what cannot be kept.
    #[error(transparent)]
    Tls(#[from] TlsSettingsError),
}

impl DelivererBuilder {
    pub(super) fn new(client_name: String) -> Self {
        Self {
            client_name,
            router: Arc::new(RouteTable::new(Route::mx())),
            resolver: None,
            policy: Arc::new(DefaultPolicy::default()),
            local: None,
            plan: PlanSettings::default(),
            limits: DeliveryLimits::default(),
            timeouts: Timeouts::default(),
            replies: ReplyLimits::default(),
            pipelining: true,
            early_pipelining: true,
            chunking: true,
            single_flight_limit: 0,
            pool: PoolSettings::default(),
            refuse_long_lines: false,
            greeting_5yz_is_permanent: false,
            tls: TlsSettings::default(),
            credentials: None,
            login: LoginSettings::default(),
            observer: None,
            trace: TraceLevels::default(),
            sources: Vec::new(),
            dialer: Arc::new(SystemDialer),
            random: Randomness::default(),
        }
    }

    /// Who says where each recipient goes.
    pub fn router(mut self, router: impl Router) -> Self {
        self.router = Arc::new(router);
        self
    }

    /// Who looks names up.
    pub fn resolver(mut self, resolver: impl Resolver) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Which addresses may be dialled.
    pub fn address_policy(mut self, policy: impl AddressPolicy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Who stores the recipients whose route is local. Without, they are deferred.
    pub fn local_delivery(mut self, local: impl LocalDelivery) -> Self {
        self.local = Some(Arc::new(local));
        self
    }

    /// Bounds and ports of plans. The client name is taken for a name of this host besides.
    pub fn plan(mut self, settings: PlanSettings) -> Self {
        self.plan = settings;
        self
    }

    /// How much is done at once.
    pub fn limits(mut self, limits: DeliveryLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How long each step may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How much a server may say.
    pub fn reply_limits(mut self, limits: ReplyLimits) -> Self {
        self.replies = limits;
        self
    }

    /// Whether commands go out in groups where the server offers it (RFC 2920); `true`.
    pub fn pipelining(mut self, pipelining: bool) -> Self {
        self.pipelining = pipelining;
        self
    }

    /// Whether EHLO, and commands behind it, go out before the greeting was read, to servers that announced `PIPECONNECT`
    /// on a connection within the last hour; `true`, and never without [`pipelining`](Self::pipelining).
    ///
    /// RFC 5321 section 4.3.1 says that a client should wait for the greeting, so that it does not speak to a server that is
    /// not ready; who announces the keyword asks not to be waited for. Nobody else is spoken to so. What is said then, and what
    /// comes of a server that is not what it was, stands in the manual: [before the
    /// greeting](crate::manual::tuning#before-the-greeting).
    pub fn early_pipelining(mut self, early: bool) -> Self {
        self.early_pipelining = early;
        self
    }

    /// Whether content goes out in chunks of known length where the server offers it (RFC 3030); `true`.
    pub fn chunking(mut self, chunking: bool) -> Self {
        self.chunking = chunking;
        self
    }

    /// Sets the size in bytes of the largest message that is sent together with its commands, in one round trip.
    ///
    /// It applies over SMTP if the server offers PIPELINING and CHUNKING, and to messages of at most 1 MiB. With 0, and
    /// always over LMTP, content never precedes the replies to RCPT (RFC 3030 section 2).
    /// [`NextHop::with_single_flight_limit`](crate::NextHop::with_single_flight_limit) overrides it for one next hop.
    /// Default: 0.
    ///
    /// Enable it only for servers that are known to read a chunk even if they refuse it. A server that refuses every
    /// recipient, and then refuses BDAT without reading the chunk, executes the content as commands. A sender of mail
    /// to an unknown mailbox there can then forge mail that comes from this host. See the
    /// [manual](crate::manual::tuning#single-flight).
    pub fn single_flight_limit(mut self, bytes: usize) -> Self {
        self.single_flight_limit = bytes;
        self
    }

    /// How connections are shared and kept.
    pub fn pool(mut self, settings: PoolSettings) -> Self {
        self.pool = settings;
        self
    }

    /// Whether messages with lines of more than 998 octets are failed (5.6.0) rather than sent as they are; `false`
    /// (RFC 5321 section 4.5.3.1.6).
    pub fn refuse_long_lines(mut self, refuse: bool) -> Self {
        self.refuse_long_lines = refuse;
        self
    }

    /// Treats every 5yz greeting as permanent (5.3.2), not only 521 (RFC 7504).
    ///
    /// As after 521, the next host is tried, and the recipients fail if every host refuses in this way. A 554 greeting
    /// often refuses the client's address only for a while. Default: `false`.
    pub fn greeting_5yz_is_permanent(mut self, permanent: bool) -> Self {
        self.greeting_5yz_is_permanent = permanent;
        self
    }

    /// How connections are secured.
    pub fn tls(mut self, settings: TlsSettings) -> Self {
        self.tls = settings;
        self
    }

    /// Who gives the credentials for relays that have none of their own in the route. Nobody by default.
    pub fn credentials(mut self, provider: impl CredentialProvider) -> Self {
        self.credentials = Some(Arc::new(provider));
        self
    }

    /// How the client logs in to relays.
    pub fn login(mut self, settings: LoginSettings) -> Self {
        self.login = settings;
        self
    }

    /// Who hears what happens on connections.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// What the observer hears beyond the dialogue.
    pub fn trace(mut self, levels: TraceLevels) -> Self {
        self.trace = levels;
        self
    }

    /// A local address to connect from, an own one of this host. Several of one family are taken in rotation, one for
    /// each attempt at a destination; a family without any is left to the system. A route may name others.
    pub fn source_address(mut self, source: impl Into<SourceAddress>) -> Self {
        self.sources.push(source.into());
        self
    }

    /// Opens connections by this dialer, such as one through a proxy. Default: [`SystemDialer`].
    pub fn dialer(mut self, dialer: impl Dialer) -> Self {
        self.dialer = Arc::new(dialer);
        self
    }

    /// Makes every random choice follow from a seed: the order of equal mail exchangers and weighted hosts, and the nonces of
    /// logins. For tests, in a runtime of one thread: nonces that can be foretold are not safe. Default: no seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.random = Randomness::of_seed(seed);
        self
    }

    /// Puts it together. Reads the system's DNS configuration if no resolver was chosen, the roots of the system, and
    /// the files that the TLS settings name; blocks for some milliseconds.
    ///
    /// # Errors
    /// A client name that cannot stand in EHLO, no usable resolver, a file that
    /// cannot be used, no trust anchors where certificates are to be verified,
    /// a [`PoolSettings::window`] above 1 without [`single_flight_limit`](Self::single_flight_limit).
    pub fn build(self) -> Result<Deliverer, BuildError> {
        let client_name = ClientName::parse(&self.client_name)?;
        if self.pool.window > 1 && self.single_flight_limit == 0 {
            return Err(BuildError::WindowWithoutSingleFlight { window: self.pool.window });
        }
        let mut plan = self.plan;
        plan.own_names.extend(client_name.domain().cloned());
        let names_of_sources = self.sources.iter().filter_map(|source| source.client_name.as_ref()?.domain());
        plan.own_names.extend(names_of_sources.cloned());
        plan.own_addresses.extend(self.sources.iter().map(|source| source.address));
        let connector = Connector::new(&self.tls)?.seeded(self.random.clone());
        plan.random = self.random;
        let resolver = match self.resolver {
            Some(resolver) => resolver,
            None => system_resolver()?,
        };
        let session = SessionSettings {
            timeouts: self.timeouts,
            replies: self.replies,
            pipelining: self.pipelining,
            chunking: self.chunking,
            single_flight_limit: self.single_flight_limit,
            refuse_long_lines: self.refuse_long_lines,
            greeting_5yz_is_permanent: self.greeting_5yz_is_permanent,
            observer: self.observer,
            trace: self.trace,
            ..SessionSettings::new(client_name)
        };
        let sources = SourcePool::new(self.sources);
        let (router, policy, local, mut limits) = (self.router, self.policy, self.local, self.limits);
        limits.stagger = limits.stagger.max(LEAST_STAGGER);
        limits.max_sessions = limits.max_sessions.max(LEAST_SESSIONS);
        let announcements = Announcements::new(self.early_pipelining && self.pipelining);
        let memory = HostMemory::new(limits.host_memory, limits.host_memory_size);
        Ok(Deliverer::new(Parts {
            router,
            resolver,
            policy,
            local,
            plan,
            limits,
            session,
            credentials: self.credentials,
            login: self.login,
            connector,
            dialer: self.dialer,
            tls: self.tls,
            sources,
            memory,
            pool: Pool::new(self.pool),
            habits: Habits::new(),
            announcements,
            fixed: Fixed::default(),
        }))
    }
}

#[cfg(feature = "hickory")]
fn system_resolver() -> Result<Arc<dyn Resolver>, BuildError> {
    match crate::resolver::HickoryResolver::from_system() {
        Ok(resolver) => Ok(Arc::new(resolver)),
        Err(error) => Err(BuildError::SystemResolver(Box::new(error))),
    }
}

#[cfg(not(feature = "hickory"))]
fn system_resolver() -> Result<Arc<dyn Resolver>, BuildError> {
    Err(BuildError::NoResolver)
}
