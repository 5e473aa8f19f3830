//! [`ConnectionArguments`]: how servers are reached.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nexthop::policy::Cidr;
use nexthop::resolver::ResolverSettings;
use nexthop::tls::Roots;
use nexthop::{DefaultPolicy, DelivererBuilder, Proxy, Timeouts, TlsLevel, TlsSettings};

use super::limits::{Limit, LimitedStage};

#[derive(Debug, clap::Args)]
pub(crate) struct ConnectionArguments {
    /// Addresses that may be dialled besides those of the default policy (repeatable)
    #[arg(long, value_name = "CIDR")]
    allow: Vec<Cidr>,

    /// PEM certificates that are trusted instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// What hops must prove that say nothing themselves: off, opportunistic, required (encrypted, the certificate is
    /// not verified), verified
    #[arg(long, value_name = "LEVEL", default_value_t = TlsLevel::Opportunistic)]
    tls: TlsLevel,

    /// Accept any certificate on relay hops
    #[arg(long)]
    insecure: bool,

    /// Do not send commands in groups, even where the server offers PIPELINING
    #[arg(long)]
    no_pipelining: bool,

    /// Do not send content in chunks of known length, even where the server offers CHUNKING
    #[arg(long)]
    no_chunking: bool,

    /// The proxy that TCP connections to servers go through: socks5://[user:password@]host:port, with user and password
    /// percent-encoded, or haproxy://host:port, which gets a header of the PROXY protocol, version 2. Unix sockets and the
    /// DNS go without
    #[arg(long, value_name = "URL")]
    proxy: Option<Proxy>,

    /// A time limit (repeatable). STAGE: connect, greeting, command, tls, data-start, data-block, final, quit,
    /// session, dns, sts; the last has no use yet
    #[arg(long = "timeout", value_name = "STAGE=SECONDS", value_parser = Limit::from_str)]
    timeouts: Vec<Limit>,
}

impl ConnectionArguments {
    pub(crate) fn apply(&self, builder: DelivererBuilder) -> DelivererBuilder {
        let builder = builder.tls(self.tls()).timeouts(self.timeouts());
        let builder = builder.pipelining(!self.no_pipelining).chunking(!self.no_chunking);
        match &self.proxy {
            Some(proxy) => builder.dialer(proxy.clone()),
            None => builder,
        }
    }

    pub(crate) fn allow(&self, policy: DefaultPolicy) -> DefaultPolicy {
        self.allow.iter().fold(policy, |policy, block| policy.allow(*block))
    }

    /// How names are looked up, within the time limit of lookups.
    pub(crate) fn lookups(&self) -> ResolverSettings {
        let mut settings = ResolverSettings::default();
        if let Some(limit) = self.time(LimitedStage::Dns) {
            settings.deadline = limit;
            settings.timeout = settings.timeout.min(limit);
        }
        settings
    }

    fn time(&self, stage: LimitedStage) -> Option<Duration> {
        self.timeouts.iter().rev().find(|limit| limit.stage == stage).map(|limit| limit.time)
    }

    fn timeouts(&self) -> Timeouts {
        let mut timeouts = Timeouts::default();
        self.timeouts.iter().for_each(|limit| limit.set(&mut timeouts));
        timeouts
    }

    fn tls(&self) -> TlsSettings {
        let mut tls = TlsSettings::default();
        tls.level = self.tls;
        tls.accept_invalid_certificates = self.insecure;
        if let Some(file) = &self.ca {
            tls.roots = Roots::File(file.clone());
        }
        tls
    }
}
