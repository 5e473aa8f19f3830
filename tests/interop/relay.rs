//! Postfix as a relay with TLS, and as one that has its clients log in.

use std::net::SocketAddr;
use std::path::PathBuf;

use nexthop::{HopTls, NextHop, Protocol, TlsLevel};

use crate::certificate::{Certificate, Flaw};
use crate::delivery::hop;
use crate::dovecot::Dovecot;
use crate::launcher::{fill, free_address};
use crate::postfix::Postfix;

/// A [`Postfix`] that has STARTTLS on one address, TLS from the first octet on another, and none on a third.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) postfix: Postfix,
    certificate: Certificate,
    starttls: SocketAddr,
    immediate: SocketAddr,
    clear: SocketAddr,
}

impl Relay {
    /// Starts one; `None` where there is no Postfix.
    pub(crate) fn start(flaw: Flaw) -> Option<Self> {
        Self::start_with(flaw, &[])
    }

    /// The same with options of smtpd(8).
    pub(crate) fn start_with(flaw: Flaw, options: &[&str]) -> Option<Self> {
        let certificate = Certificate::with(flaw);
        let chain = certificate.key_and_chain();
        let [starttls, immediate, clear] = [(); 3].map(|()| free_address());
        let values: [(&str, &dyn ToString); 5] = [
            ("STARTTLS", &starttls),
            ("IMMEDIATE", &immediate),
            ("CLEAR", &clear),
            ("CHAIN", &chain.display()),
            ("OPTIONS", &options.iter().map(|option| format!("  -o {option}\n")).collect::<String>()),
        ];
        let services = fill(include_str!("master_tls.cf"), &values);
        let postfix = Postfix::start_with(&services, &[starttls, immediate, clear])?;
        Some(Self { postfix, certificate, starttls, immediate, clear })
    }

    /// The way to it by STARTTLS.
    pub(crate) fn by_starttls(&self, level: TlsLevel) -> NextHop {
        hop(Protocol::Smtp, self.starttls, HopTls::StartTls(level))
    }

    /// The way to it with TLS from the first octet.
    pub(crate) fn by_immediate_tls(&self, level: TlsLevel) -> NextHop {
        hop(Protocol::Smtp, self.immediate, HopTls::Immediate(level))
    }

    /// The way to it without TLS.
    pub(crate) fn in_the_clear(&self, level: TlsLevel) -> NextHop {
        hop(Protocol::Smtp, self.clear, HopTls::StartTls(level))
    }

    /// The address with STARTTLS.
    pub(crate) fn starttls_address(&self) -> SocketAddr {
        self.starttls
    }

    /// The address with TLS from the first octet.
    pub(crate) fn immediate_address(&self) -> SocketAddr {
        self.immediate
    }

    /// The address without TLS.
    pub(crate) fn clear_address(&self) -> SocketAddr {
        self.clear
    }

    /// The issuer to trust.
    pub(crate) fn roots(&self) -> PathBuf {
        self.certificate.roots()
    }
}

/// A [`Relay`] that takes mail only from who has logged in, and asks Dovecot who may.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) relay: Relay,
    _dovecot: Dovecot,
}

impl Submission {
    /// Starts one; `None` where a server is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(Flaw::None, &[])
    }

    /// The same with a certificate and with options of smtpd(8).
    pub(crate) fn start_with(flaw: Flaw, options: &[&str]) -> Option<Self> {
        let dovecot = Dovecot::start()?;
        let path = format!("smtpd_sasl_path={}", dovecot.login_socket().display());
        let login = [
            "smtpd_sasl_auth_enable=yes",
            "smtpd_sasl_type=dovecot",
            &path,
            "smtpd_client_restrictions=permit_sasl_authenticated,reject",
        ];
        let relay = Relay::start_with(flaw, &[&login, options].concat())?;
        Some(Self { relay, _dovecot: dovecot })
    }

    /// What Postfix says of the first message that it took: the mechanism, and who has logged in.
    pub(crate) fn await_login(&self) -> String {
        self.relay.postfix.await_log(|line| line.split_once("sasl_method=").map(|(_, login)| login))
    }
}
