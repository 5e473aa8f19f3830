//! Dovecot as an LMTP server.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, iter};

use crate::certificate::Certificate;
use crate::launcher::{Account, Daemon, Home, LIFETIME, free_address, give, maildir, skipped};
use crate::token;

const PROGRAM: &str = "/usr/sbin/dovecot";
/// The LMTP server is a package of its own on some systems.
const LMTP_PROGRAMS: [&str; 2] = ["/usr/lib/dovecot/lmtp", "/usr/libexec/dovecot/lmtp"];
/// The settings of 2.4 are a language of their own.
const VERSION: &str = "2.3.";
/// What users log in with, in an order of difficulty.
pub(crate) const PASSWORDS: [(&str, &str); 3] = [
    ("alice", "correct-horse/Battery+staple"),
    ("bob", "100% bob's, with spaces"),
    ("carol", "pässwörd-ünï"),
];

/// A Dovecot that takes mail by LMTP on TCP and on unix sockets, and tells Postfix who may log in.
///
/// `alice`, `bob` and `carol` take mail. `full` is over quota: 552 after the content, or 452 for RCPT on
/// [`by_quota_socket`](Self::by_quota_socket). Everybody else is 550 for RCPT. The domain does not matter.
#[derive(Debug)]
pub(crate) struct Dovecot {
    // dropped first: the server has to end before its directory goes
    daemon: Daemon,
    home: Home,
    address: SocketAddr,
    lmtps_address: SocketAddr,
    lmtp: PathBuf,
    quota: PathBuf,
}

impl Dovecot {
    /// Starts one and waits until it accepts connections; `None` where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// The same with TLS, by STARTTLS and from the first octet.
    pub(crate) fn start_secure(certificate: &Certificate) -> Option<Self> {
        let mut dovecot = Self::start_with(Some(certificate))?;
        let Self { daemon, lmtps_address, .. } = &mut dovecot;
        daemon.wait_until(|| TcpStream::connect(*lmtps_address).is_ok());
        Some(dovecot)
    }

    fn start_with(certificate: Option<&Certificate>) -> Option<Self> {
        if let Some(reason) = what_is_missing() {
            return skipped("Dovecot", &reason);
        }
        let (home, address, account) = (Home::new(), free_address(), Account::unprivileged());
        let lmtps_address = free_address();
        make_users(&home, &account);
        if let Some(certificate) = certificate {
            make_secure(&home, lmtps_address, certificate);
        }
        let config = make_config(&home, address, &account);
        let command = &mut Command::new("timeout");
        command.args(["--signal=KILL", LIFETIME, PROGRAM, "-F", "-c"]).arg(config);
        command.uid(account.uid).gid(account.gid).process_group(0);
        let daemon = Daemon::start(command, home.join("log"));
        let (lmtp, quota) = (home.join("run/lmtp"), home.join("run/lmtp-quota"));
        let mut dovecot = Self { daemon, home, address, lmtps_address, lmtp, quota };
        dovecot.wait();
        Some(dovecot)
    }

    fn wait(&mut self) {
        let login = self.login_socket();
        let Self { daemon, address, lmtp, quota, .. } = self;
        daemon.wait_until(|| {
            TcpStream::connect(*address).is_ok()
                && UnixStream::connect(&*lmtp).is_ok()
                && UnixStream::connect(&*quota).is_ok()
                && UnixStream::connect(&login).is_ok()
        });
    }

    /// Where it speaks LMTP over TCP.
    pub(crate) fn lmtp_address(&self) -> SocketAddr {
        self.address
    }

    /// Where it speaks LMTP with TLS from the first octet, if it was started with TLS.
    pub(crate) fn lmtps_address(&self) -> SocketAddr {
        self.lmtps_address
    }

    /// The unix socket on which Postfix asks it who may log in.
    pub(crate) fn login_socket(&self) -> PathBuf {
        self.home.join("run/auth-postfix")
    }

    /// The unix socket on which it speaks LMTP.
    pub(crate) fn lmtp_socket(&self) -> &Path {
        &self.lmtp
    }

    /// The route to [`lmtp_address`](Self::lmtp_address).
    pub(crate) fn by_address(&self) -> String {
        format!("lmtp://{}", self.address)
    }

    /// The same by the name of this host.
    pub(crate) fn by_localhost(&self) -> String {
        format!("lmtp://localhost:{}", self.address.port())
    }

    /// The route to [`lmtp_socket`](Self::lmtp_socket).
    pub(crate) fn by_socket(&self) -> String {
        format!("lmtp+unix://{}", self.lmtp.display())
    }

    /// The route to a unix socket on which it looks at quota for RCPT already.
    pub(crate) fn by_quota_socket(&self) -> String {
        format!("lmtp+unix://{}", self.quota.display())
    }

    /// What was delivered to a user, as it is stored and in no particular order.
    pub(crate) fn messages(&self, user: &str) -> Vec<Vec<u8>> {
        maildir(&self.home.join(&format!("mail/{user}/Maildir")))
    }

    /// Its process group.
    pub(crate) fn group(&self) -> u32 {
        self.daemon.group()
    }
}

fn what_is_missing() -> Option<String> {
    let Ok(output) = Command::new(PROGRAM).arg("--version").output() else {
        return Some(format!("{PROGRAM} is not installed"));
    };
    let version = String::from_utf8_lossy(&output.stdout);
    if !version.starts_with(VERSION) {
        return Some(format!("{VERSION}x is needed, installed is {}", version.trim()));
    }
    let has_lmtp = LMTP_PROGRAMS.iter().any(|path| Path::new(path).exists());
    (!has_lmtp).then(|| format!("{} is not installed", LMTP_PROGRAMS[0]))
}

/// Users in the form of passwd(5); the last field is Dovecot's own. And the key of the tokens.
fn make_users(home: &Home, account: &Account) {
    let mail = home.directory("mail");
    give(&mail, account);
    let user = |name, password, quota| format!("{name}:{password}::::{}/{name}::{quota}\n", mail.display());
    let users = PASSWORDS.map(|(name, password)| user(name, password, ""));
    let full = user("full", "", "userdb_quota_rule=*:bytes=1");
    home.write("users", &users.into_iter().chain(iter::once(full)).collect::<String>(), &[]);
    fill(home, account);
    home.directory("jwt/default/HS256");
    home.write("jwt/default/HS256/default", &token::key(), &[]);
    home.write("oauth2.conf", include_str!("dovecot_oauth2.conf"), &[("HOME", &home.path().display())]);
}

/// What the configuration includes if it is there.
fn make_secure(home: &Home, address: SocketAddr, certificate: &Certificate) {
    let (chain, key) = (certificate.chain(), certificate.key());
    let values: [(&str, &dyn ToString); 4] = [
        ("CHAIN", &chain.display()),
        ("KEY", &key.display()),
        ("IP", &address.ip()),
        ("PORT", &address.port()),
    ];
    home.write("tls.conf", include_str!("dovecot_tls.conf"), &values);
}

/// Puts more into the mailbox of `full` than his quota allows.
fn fill(home: &Home, account: &Account) {
    for directory in ["mail/full", "mail/full/Maildir", "mail/full/Maildir/cur"] {
        fs::DirBuilder::new().mode(0o700).create(home.join(directory)).expect("the directory is new");
        give(&home.join(directory), account);
    }
    let filler =
        home.write("mail/full/Maildir/cur/1.filler.example,S=25:2,S", "Subject: filler\n\nfiller\n", &[]);
    give(&filler, account);
}

fn make_config(home: &Home, address: SocketAddr, account: &Account) -> PathBuf {
    // Dovecot makes `run` and `state` itself
    give(home.path(), account);
    home.write(
        "dovecot.conf",
        include_str!("dovecot.conf"),
        &[
            ("HOME", &home.path().display()),
            ("IP", &address.ip()),
            ("PORT", &address.port()),
            ("USER", &account.user),
            ("GROUP", &account.group),
            ("UID", &account.uid),
            ("GID", &account.gid),
        ],
    )
}
