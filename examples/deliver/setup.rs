//! The deliverer that the command line describes.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use nexthop::plan::PlanSettings;
use nexthop::policy::DefaultPolicy;
use nexthop::resolver::{HickoryResolver, ResolverSettings};
use nexthop::tls::Roots;
use nexthop::{
    Attempt, ClientName, Deliverer, LoginSettings, Route, RouteTable, StoredCredentials, Timeouts,
    TlsSettings, TraceLevels,
};

use crate::arguments::{Arguments, LimitedStage};
use crate::exit::{CONFIGURATION, NO_INPUT, Trouble, USAGE};
use crate::transcript::Transcript;

pub(crate) fn deliverer(arguments: &Arguments) -> Result<Deliverer, Trouble> {
    let mut plan = PlanSettings::default();
    plan.mx_port = arguments.mx_port;
    plan.own_addresses = own_addresses(arguments);
    let builder = Deliverer::builder(client_name(arguments)?)
        .router(routes(arguments)?)
        .resolver(resolver(arguments)?)
        .address_policy(policy(arguments))
        .plan(plan)
        .tls(tls(arguments))
        .login(login(arguments))
        .timeouts(timeouts(arguments))
        .pipelining(!arguments.no_pipelining)
        .chunking(!arguments.no_chunking);
    let builder = match credentials(arguments)? {
        Some(credentials) => builder.credentials(credentials),
        None => builder,
    };
    let builder = if arguments.trace { builder.observer(Transcript).trace(levels()) } else { builder };
    let builder =
        arguments.source_ip.iter().fold(builder, |builder, address| builder.source_address(*address));
    builder.build().map_err(|error| Trouble::new(CONFIGURATION, error))
}

pub(crate) fn attempt(arguments: &Arguments) -> Attempt {
    let mut attempt = Attempt::default();
    attempt.message_age = Duration::from_secs(arguments.message_age);
    attempt
}

/// The name given, the system's if it is fully qualified, or an address literal.
fn client_name(arguments: &Arguments) -> Result<String, Trouble> {
    if let Some(name) = &arguments.hostname {
        let name = ClientName::parse(name).map_err(|error| Trouble::new(USAGE, error))?;
        return Ok(name.to_string());
    }
    let system = gethostname::gethostname().to_string_lossy().into_owned();
    let name = ClientName::parse(&system).ok().filter(|name| name.domain().is_some());
    Ok(name.unwrap_or_else(|| ClientName::from(own_address())).to_string())
}

/// The addresses given, and those of the interfaces.
fn own_addresses(arguments: &Arguments) -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    arguments.own_address.iter().copied().chain(interfaces.iter().map(if_addrs::Interface::ip)).collect()
}

/// An address of an interface that is not a loopback one, if there is any.
fn own_address() -> IpAddr {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let outward = interfaces.iter().find(|interface| !interface.is_loopback() && !interface.is_link_local());
    outward.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), if_addrs::Interface::ip)
}

fn routes(arguments: &Arguments) -> Result<RouteTable, Trouble> {
    let rules = arguments.routes.iter().cloned();
    let table = rules.fold(RouteTable::new(Route::mx()), |table, rule| table.with(rule.pattern, rule.route));
    let Some(file) = &arguments.routes_file else { return Ok(table) };
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let json = std::fs::read(file).map_err(|error| Trouble::new(NO_INPUT, named(&error)))?;
    table.with_json(&json).map_err(|error| Trouble::new(CONFIGURATION, named(&error)))
}

fn resolver(arguments: &Arguments) -> Result<HickoryResolver, Trouble> {
    let resolver = match arguments.resolver {
        Some(server) => HickoryResolver::from_servers([server]),
        None => HickoryResolver::from_system().map_err(|error| Trouble::new(CONFIGURATION, error))?,
    };
    let Some(limit) = limit(arguments, LimitedStage::Dns) else { return Ok(resolver) };
    let mut settings = ResolverSettings::default();
    settings.deadline = limit;
    settings.timeout = settings.timeout.min(limit);
    Ok(resolver.with_settings(settings))
}

fn policy(arguments: &Arguments) -> DefaultPolicy {
    let policy = match arguments.resolver {
        // what the operator's own resolver says of the operator's own relay is the operator's word
        Some(server) if server.ip().is_loopback() => DefaultPolicy::default().relay_names_may_be_loopback(),
        _ => DefaultPolicy::default(),
    };
    let policy = arguments.allow.iter().fold(policy, |policy, block| policy.allow(*block));
    arguments.deny.iter().fold(policy, |policy, block| policy.deny(*block))
}

fn tls(arguments: &Arguments) -> TlsSettings {
    let mut tls = TlsSettings::default();
    tls.level = arguments.tls;
    tls.accept_invalid_certificates = arguments.insecure;
    if let Some(file) = &arguments.ca {
        tls.roots = Roots::File(file.clone());
    }
    tls
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

fn timeouts(arguments: &Arguments) -> Timeouts {
    let mut timeouts = Timeouts::default();
    arguments.timeouts.iter().for_each(|limit| set(&mut timeouts, limit.stage, limit.time));
    timeouts
}

fn set(timeouts: &mut Timeouts, stage: LimitedStage, time: Duration) {
    match stage {
        LimitedStage::Connect => timeouts.connect = time,
        LimitedStage::Greeting => timeouts.greeting = time,
        LimitedStage::Command => {
            timeouts.hello = time;
            timeouts.mail = time;
            timeouts.recipient = time;
        }
        LimitedStage::Tls => timeouts.tls = time,
        LimitedStage::DataStart => timeouts.data_start = time,
        LimitedStage::DataBlock => timeouts.data_block = time,
        LimitedStage::Final => timeouts.final_reply = time,
        LimitedStage::Quit => timeouts.quit = time,
        LimitedStage::Session => timeouts.session = Some(time),
        LimitedStage::Dns | LimitedStage::Reserved => {}
    }
}

fn limit(arguments: &Arguments, stage: LimitedStage) -> Option<Duration> {
    arguments.timeouts.iter().rev().find(|limit| limit.stage == stage).map(|limit| limit.time)
}
