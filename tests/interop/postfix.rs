//! Postfix as a relay that takes mail by SMTP.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use crate::launcher::{
    Account, Daemon, Home, LIFETIME, eventually, free_address, give, is_root, maildir, skipped,
};

const PROGRAM: &str = "/usr/sbin/postfix";

/// A Postfix for the domain `example.test`, with messages of at most 100000 octets.
///
/// `alice`, `bob` and `carol` take mail, also with a `+` and more behind their names; `busy` is 450 for RCPT,
/// everybody else there 550. Other domains are refused with 554. Root has to start it.
#[derive(Debug)]
pub(crate) struct Postfix {
    // dropped first: the server has to end before its directory goes
    daemon: Daemon,
    home: Home,
    address: SocketAddr,
}

impl Postfix {
    /// Starts one and waits until it accepts connections; `None` where it is not installed, or not for root.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("", &[])
    }

    /// The same with more services, lines of master(5) that listen on these addresses.
    pub(crate) fn start_with(services: &str, addresses: &[SocketAddr]) -> Option<Self> {
        if let Some(reason) = what_is_missing() {
            return skipped("Postfix", &reason);
        }
        let (home, address) = (Home::new(), free_address());
        make_directories(&home, address, services);
        // The master process makes itself the leader of a process group.
        let command = &mut Command::new(setting(&home, "daemon_directory") + "/master");
        command.args(["-s", "-e", LIFETIME, "-c"]).arg(home.join("etc"));
        let mut daemon = Daemon::start(command, home.join("log"));
        let listens = |address: &SocketAddr| TcpStream::connect(address).is_ok();
        daemon.wait_until(|| addresses.iter().chain([&address]).all(listens));
        Some(Self { daemon, home, address })
    }

    /// Where it speaks SMTP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The route to it.
    pub(crate) fn route(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The messages delivered to a user, as they are stored and in no particular order, as soon as there are so
    /// many: a message that was taken is not delivered at once.
    ///
    /// # Panics
    /// There are fewer after ten seconds.
    pub(crate) fn await_messages(&self, user: &str, count: usize) -> Vec<Vec<u8>> {
        let messages = || maildir(&self.home.join(&format!("mail/{user}")));
        eventually(|| Some(messages()).filter(|messages| messages.len() >= count))
            .unwrap_or_else(|| panic!("{user} has {} of {count} messages", messages().len()))
    }

    /// What the first client said that said anything: the words of the log, such as `ehlo=1 quit=1 commands=2`.
    ///
    /// # Panics
    /// None has disconnected after ten seconds.
    pub(crate) fn await_commands(&self) -> String {
        self.await_log(commands)
    }

    /// What is found in the first line of the log that has it.
    ///
    /// # Panics
    /// There is none after ten seconds.
    pub(crate) fn await_log(&self, find: impl Fn(&str) -> Option<&str>) -> String {
        let log = || self.daemon.log();
        let found = || Some(log().lines().find_map(&find)?.to_owned());
        eventually(found).unwrap_or_else(|| panic!("the log does not say it:\n{}", log()))
    }

    /// Its process group.
    pub(crate) fn group(&self) -> u32 {
        self.daemon.group()
    }
}

/// The commands in the line about a client that disconnects; none for one that only connected.
fn commands(line: &str) -> Option<&str> {
    let (_, commands) = line.split_once(": disconnect from unknown[127.0.0.1] ")?;
    commands.contains(' ').then_some(commands)
}

fn what_is_missing() -> Option<String> {
    if !Path::new(PROGRAM).exists() {
        return Some(format!("{PROGRAM} is not installed"));
    }
    (!is_root()).then(|| "only root can start Postfix".to_owned())
}

fn make_directories(home: &Home, address: SocketAddr, services: &str) {
    let account = Account::unprivileged();
    let values: [(&str, &dyn ToString); 4] = [
        ("HOME", &home.path().display()),
        ("ADDRESS", &address),
        ("UID", &account.uid),
        ("GID", &account.gid),
    ];
    home.directory("etc");
    home.directory("spool");
    give(&home.directory("mail"), &account);
    make_old(&home.write("etc/main.cf", include_str!("main.cf"), &values));
    home.write("etc/master.cf", &[include_str!("master.cf"), services].concat(), &values);
    make_queue(home);
}

/// Dates a file back: Postfix sleeps until a file of settings has not been changed for a second.
fn make_old(path: &Path) {
    let file = File::options().write(true).open(path).expect("the file is ours");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("the file is ours");
}

/// Has Postfix look at its directories and make those of the queue.
fn make_queue(home: &Home) {
    let owner = setting(home, "mail_owner");
    let owned = Command::new("chown").arg(owner).arg(home.directory("data")).status();
    assert!(owned.is_ok_and(|status| status.success()), "the data directory is given away");
    let check =
        Command::new(PROGRAM).arg("-c").arg(home.join("etc")).arg("check").output().expect("Postfix runs");
    assert!(check.status.success(), "postfix check: {check:?}");
}

fn setting(home: &Home, name: &str) -> String {
    let output = Command::new("postconf").arg("-c").arg(home.join("etc")).args(["-h", name]).output();
    let output = output.expect("postconf comes with Postfix");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
