//! Deliveries to Dovecot through real proxies: MicroSocks by SOCKS5, HAProxy by the PROXY protocol.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nexthop::mail::Host;
use nexthop::transport::{ProxyProtocolDialer, ProxyProtocolVersion};
use nexthop::{FailureKind, Proxy};

use crate::delivery::{along, envelope, message, told};
use crate::dovecot::Dovecot;
use crate::examples::{TEMPORARY_FAILURE, example, run, text};
use crate::launcher::{Account, Daemon, Home, LIFETIME, eventually, free_address, skipped};
use crate::samples::MESSAGE;

const MICROSOCKS: &str = "/usr/bin/microsocks";
const HAPROXY: &str = "/usr/sbin/haproxy";
const ALICE: &str = "alice@example.test";
const DELIVERED: &str = "delivered 250 2.0.0";

/// A running proxy.
struct RealProxy {
    // dropped first: the proxy has to end before its directory goes
    daemon: Daemon,
    _home: Home,
    address: SocketAddr,
}

impl RealProxy {
    /// Starts MicroSocks; `None` where it is not installed.
    fn socks5(options: &[&str]) -> Option<Self> {
        let address = free_address();
        let port = address.port().to_string();
        let arguments = [&["-i", "127.0.0.1", "-p", &port], options].concat();
        Self::start(MICROSOCKS, Home::new(), address, &arguments)
    }

    /// Starts HAProxy; `None` where it is not installed.
    fn haproxy() -> Option<Self> {
        let (home, address) = (Home::new(), free_address());
        let config = home.write("haproxy.cfg", include_str!("haproxy.cfg"), &[("ADDRESS", &address)]);
        Self::start(HAPROXY, home, address, &["-db", "-f", &config.display().to_string()])
    }

    fn start(program: &str, home: Home, address: SocketAddr, arguments: &[&str]) -> Option<Self> {
        if !Path::new(program).exists() {
            return skipped("proxy", &format!("{program} is not installed"));
        }
        let (command, account) = (&mut Command::new("timeout"), Account::unprivileged());
        command.args(["--signal=KILL", LIFETIME, program]).args(arguments);
        command.uid(account.uid).gid(account.gid).process_group(0);
        let mut daemon = Daemon::start(command, home.join("log"));
        daemon.wait_until(|| TcpStream::connect(address).is_ok());
        Some(Self { daemon, _home: home, address })
    }

    /// Waits until the log has this.
    fn await_log(&self, text: &str) {
        let found = eventually(|| self.daemon.log().contains(text).then_some(()));
        assert!(found.is_some(), "no {text:?} in the log:\n{}", self.daemon.log());
    }
}

async fn check_socks5(options: &[&str], userinfo: &str) {
    let (Some(dovecot), Some(proxy)) = (Dovecot::start(), RealProxy::socks5(options)) else { return };
    let url: Proxy = format!("socks5://{userinfo}{}", proxy.address).parse().expect("a proxy");
    let deliverer = along(&dovecot.by_address()).dialer(url).build().expect("the configuration is sound");
    let report = deliverer.deliver(&envelope(&[ALICE]), &message(MESSAGE)).await;
    assert_eq!(told(&report), [DELIVERED]);
    proxy.await_log(&format!("connected to 127.0.0.1:{}", dovecot.lmtp_address().port()));
}

#[tokio::test]
async fn microsocks_connects_without_credentials() {
    check_socks5(&[], "").await;
}

#[tokio::test]
async fn microsocks_connects_with_credentials() {
    check_socks5(&["-u", "ann@example", "-P", "s3 cr:et"], "ann%40example:s3%20cr%3aet@").await;
}

#[tokio::test]
async fn microsocks_refuses_wrong_credentials_and_nothing_shows_them() {
    let options = ["-u", "ann", "-P", "correct-horse"];
    let (Some(dovecot), Some(proxy)) = (Dovecot::start(), RealProxy::socks5(&options)) else { return };
    let Some(mut deliver) = example("deliver") else { return };
    let url = format!("socks5://ann:battery-staple@{}", proxy.address);
    deliver.args(["--to", ALICE, "--route", &format!("*={}", dovecot.by_address()), "--trace"]);
    let output = run(deliver.args(["--proxy", &url]), MESSAGE);
    assert_eq!(output.status.code(), Some(TEMPORARY_FAILURE), "{output:?}");
    let printed = [text(&output.stdout), text(&output.stderr)].concat();
    assert!(printed.contains(&format!("socks5://{}", proxy.address)), "{printed}");
    assert!(!printed.contains("battery"), "{printed}");
}

#[tokio::test]
async fn microsocks_says_that_the_next_hop_refuses() {
    let Some(proxy) = RealProxy::socks5(&[]) else { return };
    let url: Proxy = format!("socks5://{}", proxy.address).parse().expect("a proxy");
    let route = format!("lmtp://{}", free_address());
    let deliverer = along(&route).dialer(url).build().expect("the configuration is sound");
    let report = deliverer.deliver(&envelope(&[ALICE]), &message(MESSAGE)).await;
    let failure = report.recipients()[0].outcome.failure().expect("nothing listens there");
    assert_eq!(failure.kind(), FailureKind::Connecting);
    assert!(failure.detail().contains("Connection refused"), "{}", failure.detail());
}

async fn check_haproxy(version: ProxyProtocolVersion, source: Option<Ipv4Addr>) {
    let (Some(dovecot), Some(proxy)) = (Dovecot::start(), RealProxy::haproxy()) else { return };
    let dialer = ProxyProtocolDialer::new(Host::Address(proxy.address.ip()), proxy.address.port());
    let builder = along(&dovecot.by_address()).dialer(dialer.with_version(version));
    let builder = source.iter().fold(builder, |builder, source| builder.source_address(IpAddr::V4(*source)));
    let deliverer = builder.build().expect("the configuration is sound");
    let report = deliverer.deliver(&envelope(&[ALICE]), &message(MESSAGE)).await;
    assert_eq!(told(&report), [DELIVERED]);
    let source = source.unwrap_or(Ipv4Addr::LOCALHOST);
    proxy.await_log(&format!("from {source} to {}", dovecot.lmtp_address()));
}

#[tokio::test]
async fn haproxy_connects_by_version_1() {
    check_haproxy(ProxyProtocolVersion::V1, None).await;
}

#[tokio::test]
async fn haproxy_connects_by_version_2() {
    check_haproxy(ProxyProtocolVersion::V2, None).await;
}

#[tokio::test]
async fn haproxy_receives_the_source_address() {
    check_haproxy(ProxyProtocolVersion::V2, Some(Ipv4Addr::new(198, 51, 100, 7))).await;
}
