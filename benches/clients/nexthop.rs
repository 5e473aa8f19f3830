//! This crate: one deliverer, and as many deliveries under way for each connection as the job says.

use std::cell::Cell;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, TryStreamExt};
use nexthop::tls::Roots;
use nexthop::{
    Deliverer, Envelope, MemoryResolver, Message, NextHop, PoolSettings, Route, RouteTable, TlsLevel,
    TlsSettings,
};

use super::Error;
use super::job::{CLIENT, Job, SENDER, Target};

/// Bytes of the largest message that goes together with its commands.
const SINGLE_FLIGHT: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Nexthop {
    deliverer: Deliverer,
    envelope: Envelope,
    message: Message,
    at_once: usize,
}

impl Nexthop {
    pub(super) fn new(job: &Job, mode: Mode) -> Result<Self, Error> {
        let deliverer = Deliverer::builder(CLIENT)
            .resolver(MemoryResolver::builder().build()?)
            .router(RouteTable::new(Route::relay(hop(&job.target)?)))
            .tls(tls(&job.target))
            .chunking(mode != Mode::Data)
            .single_flight_limit(mode.limit())
            .pool(pool(job))
            .build()?;
        let mut recipients = job.recipients();
        let envelope = recipients.try_fold(Envelope::new(SENDER)?, |envelope, to| envelope.to(&to))?;
        let message = Message::from_bytes(job.content.clone())?;
        Ok(Self { deliverer, envelope, message, at_once: at_once(job) })
    }

    pub(super) async fn send(&self, messages: usize) -> Result<(), Error> {
        let left = &Cell::new(messages);
        let each: FuturesUnordered<_> = (0..self.at_once)
            .map(|_| async {
                while let Some(fewer) = left.get().checked_sub(1) {
                    left.set(fewer);
                    self.deliver().await?;
                }
                Ok(())
            })
            .collect();
        each.try_collect().await
    }

    async fn deliver(&self) -> Result<(), Error> {
        let report = self.deliverer.deliver(&self.envelope, &self.message).await;
        if report.is_delivered() { Ok(()) } else { Err(report.to_string().into()) }
    }
}

/// How content goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// By DATA.
    Data,
    /// By BDAT, after the replies to RCPT; the default.
    Chunks,
    /// By BDAT, in one write with the commands.
    SingleFlight,
}

impl Mode {
    fn limit(self) -> usize {
        if self == Self::SingleFlight { SINGLE_FLIGHT } else { 0 }
    }
}

/// With fresh connections nobody waits for one.
fn at_once(job: &Job) -> usize {
    if job.kept { job.waiting * job.connections * job.window } else { job.connections }
}

fn hop(target: &Target) -> Result<NextHop, Error> {
    let hop = match target {
        Target::Tcp(port) => format!("smtp://127.0.0.1:{port}"),
        Target::Tls { port, .. } => format!("smtp://127.0.0.1:{port}"),
        Target::Unix(path) => format!("lmtp+unix://{}", path.display()),
    };
    Ok(hop.parse()?)
}

fn tls(target: &Target) -> TlsSettings {
    let mut tls = TlsSettings::default();
    match target {
        Target::Tls { roots, .. } => {
            tls.level = TlsLevel::Verified;
            tls.roots = Roots::File(roots.clone());
        }
        Target::Tcp(_) | Target::Unix(_) => tls.level = TlsLevel::Off,
    }
    tls
}

fn pool(job: &Job) -> PoolSettings {
    let mut pool = PoolSettings::default();
    pool.connections = job.connections;
    pool.idle_connections = job.connections;
    pool.idle = if job.kept { Duration::from_secs(3600) } else { Duration::ZERO };
    pool.window = job.window;
    pool.messages = usize::MAX;
    pool
}
