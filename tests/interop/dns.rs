//! Name servers: NSD, which has the zones, and Unbound, which resolves by it.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::dns_signer::{self, SignedZones, ZoneFile};
use crate::dns_zones::{LAME, SILENT, UNREADABLE};
use crate::launcher::{Account, Daemon, Home, LIFETIME, free_address, give, skipped};

const NSD: &str = "/usr/sbin/nsd";
const UNBOUND: &str = "/usr/sbin/unbound";
/// How long a server is waited for each time it is asked whether it is up.
const PATIENCE: Duration = Duration::from_millis(200);
/// Response codes (RFC 1035 section 4.1.1).
const NOERROR: u8 = 0;
const REFUSED: u8 = 5;
/// The question for the SOA of the root (RFC 1035 section 4.1), recursion desired.
const QUESTION: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\0\0\x06\0\x01";

/// An NSD with all zones from a root of its own down.
#[derive(Debug)]
pub(crate) struct Nsd {
    server: Server,
    /// Another one, which has but one zone and cannot read it; of all others it says REFUSED.
    useless: Server,
    /// Nobody answers here.
    silent: UdpSocket,
    /// What to know of the root to validate.
    anchor: String,
    names: Vec<&'static str>,
}

/// An Unbound for which that root is the root.
#[derive(Debug)]
pub(crate) struct Unbound(Server);

/// A process that answers at an address.
#[derive(Debug)]
struct Server {
    // dropped first: the server has to end before its directory goes
    _daemon: Daemon,
    _home: Home,
    address: SocketAddr,
}

/// What kind of resolver an [`Unbound`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It validates, and says SERVFAIL of what fails.
    Validating,
    /// It says why as well (RFC 8914).
    Explaining,
    /// It does not validate.
    Plain,
    /// It says REFUSED to everybody, without repeating the question.
    Refusing,
}

impl Nsd {
    /// Signs the zones, starts one with them and waits until it answers; `None` where a program is not installed.
    pub(crate) fn start() -> Option<Self> {
        let missing = [NSD, UNBOUND].into_iter().find(|program| !Path::new(program).exists());
        if let Some(program) = missing.or_else(dns_signer::missing) {
            return skipped("DNS", &format!("{program} is not installed"));
        }
        let home = Home::new();
        let SignedZones { files, anchor } = SignedZones::make(&home);
        let names = files.iter().map(|(name, _)| *name).collect();
        let server = start_nsd(home, &files, NOERROR);
        let useless = start_nsd(Home::new(), &[(UNREADABLE, "/nonexistent".into())], REFUSED);
        let silent = UdpSocket::bind(free_udp_address()).expect("the address is free");
        Some(Self { server, useless, silent, anchor, names })
    }

    /// Where it is asked.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Where everybody is told REFUSED.
    pub(crate) fn refusing(&self) -> SocketAddr {
        self.useless.address
    }

    /// Where nobody is told anything.
    pub(crate) fn silent(&self) -> SocketAddr {
        self.silent.local_addr().expect("it is bound")
    }

    /// Starts a resolver that asks this server, and waits until it answers.
    pub(crate) fn unbound(&self, manner: Manner) -> Unbound {
        let (home, address) = (Home::new(), free_udp_address());
        home.write("anchor", &self.anchor, &[]);
        let config = make_unbound_config(&home, address, manner, &self.stubs());
        let code = if manner == Manner::Refusing { REFUSED } else { NOERROR };
        Unbound(Server::start(UNBOUND, home, &config, address, code))
    }

    /// A resolver would ask at port 53; for every zone it is told whom to ask instead.
    fn stubs(&self) -> String {
        let names = self.names.iter().map(|name| stub(name, self.server.address));
        let useless = [LAME, UNREADABLE].map(|name| stub(name, self.useless.address));
        names.chain(useless).chain([stub(SILENT, self.silent())]).collect()
    }
}

impl Unbound {
    /// Where it is asked.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }
}

impl Server {
    /// Starts a program and waits until it answers a question about the root with this code.
    fn start(program: &str, home: Home, config: &Path, address: SocketAddr, code: u8) -> Self {
        let account = Account::unprivileged();
        give(home.path(), &account);
        let command = &mut Command::new("timeout");
        command.args(["--signal=KILL", LIFETIME, program, "-d", "-c"]).arg(config);
        command.uid(account.uid).gid(account.gid).process_group(0);
        let mut daemon = Daemon::start(command, home.join("log"));
        daemon.wait_until(|| response_code(address) == Some(code));
        Self { _daemon: daemon, _home: home, address }
    }
}

/// A free address, for TCP and for UDP.
pub(crate) fn free_udp_address() -> SocketAddr {
    let is_free = |address: &SocketAddr| UdpSocket::bind(address).is_ok();
    (0..100).map(|_| free_address()).find(is_free).expect("one of a hundred ports is free")
}

fn start_nsd(home: Home, zones: &[ZoneFile], code: u8) -> Server {
    let address = free_udp_address();
    let zone =
        |(name, file): &ZoneFile| format!("zone:\n  name: \"{name}\"\n  zonefile: \"{}\"\n", file.display());
    let values: [(&str, &dyn ToString); 4] = [
        ("HOME", &home.path().display()),
        ("IP", &address.ip()),
        ("PORT", &address.port()),
        ("ZONES", &zones.iter().map(zone).collect::<String>()),
    ];
    let config = home.write("nsd.conf", include_str!("nsd.conf"), &values);
    Server::start(NSD, home, &config, address, code)
}

fn make_unbound_config(home: &Home, address: SocketAddr, manner: Manner, stubs: &str) -> PathBuf {
    let says = |yes, manner_of_yes, no| if manner == manner_of_yes { yes } else { no };
    let values: [(&str, &dyn ToString); 7] = [
        ("HOME", &home.path().display()),
        ("IP", &address.ip()),
        ("PORT", &address.port()),
        ("ACCESS", &says("refuse", Manner::Refusing, "allow")),
        ("MODULES", &says("iterator", Manner::Plain, "validator iterator")),
        ("EXPLAINS", &says("yes", Manner::Explaining, "no")),
        ("STUBS", &stubs),
    ];
    home.write("unbound.conf", include_str!("unbound.conf"), &values)
}

fn stub(name: &str, address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!("stub-zone:\n  name: \"{name}\"\n  stub-addr: {ip}@{port}\n  stub-prime: no\n")
}

/// The code of a server's response to a question; `None` if it says nothing.
fn response_code(server: SocketAddr) -> Option<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
    socket.connect(server).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.send(QUESTION).ok()?;
    let mut response = [0; 512];
    let length = socket.recv(&mut response).ok()?;
    (length > 3 && response[..2] == QUESTION[..2]).then_some(response[3] & 0x0f)
}
