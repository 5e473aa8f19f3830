//! The deliverer that the command line describes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nexthop::plan::PlanSettings;
use nexthop::policy::DefaultPolicy;
use nexthop::resolver::{DnssecMode, HickoryResolver};
use nexthop::{
    Attempt, ClientName, Deliverer, LoginSettings, PoolSettings, Route, RouteTable, StoredCredentials,
    TraceLevels,
};

use crate::arguments::{Arguments, Dnssec};
use crate::common::exit::{CONFIGURATION, Trouble, USAGE};
use crate::common::identity;
use crate::input::NO_INPUT;
use crate::transcript::Transcript;

pub(crate) fn deliverer(arguments: &Arguments, resolver: Arc<HickoryResolver>) -> Result<Deliverer, Trouble> {
    let mut plan = PlanSettings::default();
    plan.mx_port = arguments.mx_port;
    plan.own_addresses = own_addresses(arguments);
    let builder = Deliverer::builder(client_name(arguments)?)
        .router(routes(arguments)?)
        .resolver(resolver)
        .address_policy(policy(arguments))
        .plan(plan)
        .pool(nothing_kept())
        .greeting_5yz_is_permanent(arguments.permanent_greeting)
        .login(login(arguments));
    let builder = arguments.connection.apply(builder);
    let builder = match credentials(arguments)? {
        Some(credentials) => builder.credentials(credentials),
        None => builder,
    };
    let builder = if arguments.trace { builder.observer(Transcript).trace(levels()) } else { builder };
    let builder =
        arguments.source_ip.iter().fold(builder, |builder, address| builder.source_address(*address));
    builder.build().map_err(|error| Trouble::new(CONFIGURATION, error))
}

/// There is one message: QUIT goes out with the end of it.
fn nothing_kept() -> PoolSettings {
    let mut pool = PoolSettings::default();
    pool.idle = Duration::ZERO;
    pool
}

pub(crate) fn attempt(arguments: &Arguments) -> Attempt {
    let mut attempt = Attempt::default();
    attempt.message_age = Duration::from_secs(arguments.message_age);
    attempt
}

/// The name given, or that of this host.
fn client_name(arguments: &Arguments) -> Result<String, Trouble> {
    let Some(name) = &arguments.hostname else { return Ok(identity::client_name()) };
    let name = ClientName::parse(name).map_err(|error| Trouble::new(USAGE, error))?;
    Ok(name.to_string())
}

/// The addresses given, and those of the interfaces.
fn own_addresses(arguments: &Arguments) -> Vec<IpAddr> {
    arguments.own_address.iter().copied().chain(identity::own_addresses()).collect()
}

fn routes(arguments: &Arguments) -> Result<RouteTable, Trouble> {
    let rules = arguments.routes.iter().cloned();
    let table = rules.fold(RouteTable::new(Route::mx()), |table, rule| table.with(rule.pattern, rule.route));
    let Some(file) = &arguments.routes_file else { return Ok(table) };
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let json = std::fs::read(file).map_err(|error| Trouble::new(NO_INPUT, named(&error)))?;
    table.with_json(&json).map_err(|error| Trouble::new(CONFIGURATION, named(&error)))
}

pub(crate) fn resolver(arguments: &Arguments) -> Result<Arc<HickoryResolver>, Trouble> {
    let resolver = match arguments.resolver {
        Some(server) => HickoryResolver::from_servers([server]),
        None => HickoryResolver::from_system().map_err(|error| Trouble::new(CONFIGURATION, error))?,
    };
    let mut settings = arguments.connection.lookups();
    settings.dnssec = dnssec(arguments);
    Ok(Arc::new(resolver.with_settings(settings)))
}

/// What the operator says, or else what the place of the servers, and the system, say.
fn dnssec(arguments: &Arguments) -> DnssecMode {
    match arguments.dnssec {
        Some(Dnssec::Off) => DnssecMode::Off,
        Some(Dnssec::Ad) => DnssecMode::AdFromAnyServer,
        None => DnssecMode::Ad,
    }
}

fn policy(arguments: &Arguments) -> DefaultPolicy {
    let policy = arguments.connection.allow(DefaultPolicy::default());
    arguments.deny.iter().fold(policy, |policy, block| policy.deny(*block))
}

/// The dialogue and what may be shown of an authentication.
fn levels() -> TraceLevels {
    let mut levels = TraceLevels::default();
    levels.authentication = true;
    levels
}

fn login(arguments: &Arguments) -> LoginSettings {
    let mut login = LoginSettings::default();
    login.only = arguments.auth;
    login.cleartext_on_loopback = arguments.auth_cleartext_loopback;
    login
}

/// Who the client is at relays. A file that cannot be read is found out before anything is sent.
fn credentials(arguments: &Arguments) -> Result<Option<StoredCredentials>, Trouble> {
    let Some(user) = &arguments.user else { return Ok(None) };
    let (file, stored) = match (&arguments.password_file, &arguments.token_file) {
        (Some(file), _) => (file, StoredCredentials::password_file(user, file)),
        (None, Some(file)) => (file, StoredCredentials::token_file(user, file)),
        (None, None) => return Err(Trouble::new(USAGE, "--user needs --password-file or --token-file")),
    };
    let readable = std::fs::read_to_string(file).map(drop);
    readable.map_err(|error| Trouble::new(CONFIGURATION, format!("{}: {error}", file.display())))?;
    Ok(Some(stored))
}
