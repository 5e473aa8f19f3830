//! The deliverer that the command line describes.

use std::time::Duration;

use nexthop::plan::PlanSettings;
use nexthop::{DefaultPolicy, Deliverer, HickoryResolver, PoolSettings, RouteTable};

use crate::arguments::Arguments;
use crate::common::exit::{CONFIGURATION, Trouble};
use crate::common::identity;

/// Longer than any load takes.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Size of the largest message that is sent together with its commands, in bytes.
const SINGLE_FLIGHT: usize = 64 * 1024;

pub(crate) fn deliverer(arguments: &Arguments) -> Result<Deliverer, Trouble> {
    let mut plan = PlanSettings::default();
    plan.own_addresses = identity::own_addresses();
    let resolver = HickoryResolver::from_system().map_err(|error| Trouble::new(CONFIGURATION, error))?;
    let builder = Deliverer::builder(identity::client_name())
        .router(RouteTable::new(arguments.to.clone()))
        .resolver(resolver.with_settings(arguments.connection.lookups()))
        .address_policy(arguments.connection.allow(DefaultPolicy::default()))
        .plan(plan)
        .pool(pool(arguments))
        .single_flight_limit(single_flight_limit(arguments));
    let built = arguments.connection.apply(builder).build();
    built.map_err(|error| Trouble::new(CONFIGURATION, error))
}

/// Returns the limit in bytes. A pipeline depth above 1 needs one above 0.
fn single_flight_limit(arguments: &Arguments) -> usize {
    if arguments.single_flight || arguments.pipeline_depth > 1 { SINGLE_FLIGHT } else { 0 }
}

fn pool(arguments: &Arguments) -> PoolSettings {
    let mut pool = PoolSettings::default();
    pool.connections = arguments.connections;
    pool.idle_connections = arguments.connections;
    pool.window = arguments.pipeline_depth;
    pool.age = LONG;
    (pool.messages, pool.idle) = match arguments.no_reuse {
        true => (1, Duration::ZERO),
        false => (usize::MAX, LONG),
    };
    pool
}
