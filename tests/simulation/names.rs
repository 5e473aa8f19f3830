//! A resolver that is slow and fails while the faults of a world last.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use nexthop::resolver::{Answer, Mx, Query, Srv, Tlsa, Txt};
use nexthop::{MemoryResolver, ResolveError, Resolver};
use tokio::time::sleep;

use crate::server::Scene;
use crate::world::{self, World};

/// The names of a world.
#[derive(Debug)]
pub(crate) struct Names {
    zone: MemoryResolver,
    scene: Arc<Scene>,
    settings: world::Names,
    random: Mutex<Rng>,
}

impl Names {
    pub(crate) fn new(zone: MemoryResolver, scene: &Arc<Scene>, world: &World) -> Self {
        let random = Mutex::new(Rng::with_seed(world.seed ^ 0xD45));
        Self { zone, scene: Arc::clone(scene), settings: world.names, random }
    }

    /// Waits for as long as a lookup takes.
    ///
    /// # Errors
    /// It fails.
    async fn look_up(&self) -> Result<(), ResolveError> {
        if self.scene.is_calm() {
            return Ok(());
        }
        let (delay, fails) = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            let longest = u64::try_from(self.settings.delay.as_millis()).unwrap_or(0);
            (random.u64(0..=longest), random.u8(0..16) < self.settings.failing)
        };
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
        }
        if fails { Err(ResolveError::temporary("the name server is silent")) } else { Ok(()) }
    }
}

#[async_trait]
impl Resolver for Names {
    async fn mx(&self, query: &Query) -> Result<Answer<Mx>, ResolveError> {
        self.look_up().await?;
        self.zone.mx(query).await
    }

    async fn ipv4(&self, query: &Query) -> Result<Answer<Ipv4Addr>, ResolveError> {
        self.look_up().await?;
        self.zone.ipv4(query).await
    }

    async fn ipv6(&self, query: &Query) -> Result<Answer<Ipv6Addr>, ResolveError> {
        self.look_up().await?;
        self.zone.ipv6(query).await
    }

    async fn tlsa(&self, query: &Query) -> Result<Answer<Tlsa>, ResolveError> {
        self.zone.tlsa(query).await
    }

    async fn txt(&self, query: &Query) -> Result<Answer<Txt>, ResolveError> {
        self.zone.txt(query).await
    }

    async fn srv(&self, query: &Query) -> Result<Answer<Srv>, ResolveError> {
        self.zone.srv(query).await
    }
}
