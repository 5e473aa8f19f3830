//! What starting a real server takes, whichever it is: an account, a directory, an address, a process.
//!
//! A server is started for one test, from a directory and on an address of its own, and ends when the
//! test drops it. Servers that are not installed are skipped, unless [`REQUIRE`] says otherwise.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// With the value `require` a missing server fails the tests that need it.
const REQUIRE: &str = "NEXTHOP_INTEROP";
/// Seconds after which a server ends even if nobody stops it, as when the tests were killed.
pub(crate) const LIFETIME: &str = "600";
/// How often [`eventually`] looks, and the pause between two looks: ten seconds in all.
const LOOKS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(20);

/// Says on stderr that the tests of a server, or of an example, do nothing, and why.
///
/// # Panics
/// `NEXTHOP_INTEROP=require` is set.
pub(crate) fn skipped<T>(server: &str, reason: &str) -> Option<T> {
    let text = format!("interop: skipped {server} tests: {reason}");
    assert!(std::env::var_os(REQUIRE).is_none_or(|value| value != "require"), "{text}");
    // not eprintln!, which the test harness keeps to itself when a test passes
    let _ = writeln!(io::stderr(), "{text}");
    None
}

/// Whether these tests run as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Looks again and again until there is something to see; `None` after ten seconds.
pub(crate) fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    (0..LOOKS).find_map(|n| {
        if n > 0 {
            thread::sleep(PAUSE);
        }
        look()
    })
}

/// A free TCP address.
///
/// Its port is below those the kernel hands out to clients, so that no connection of another test takes it
/// before the server does.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(61);
    (0..1000)
        .map(|_| 20_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000)
        .filter_map(|port| u16::try_from(port).ok())
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("one of a thousand ports is free")
}

/// The account mail belongs to: `nobody` for root, else whoever runs the tests.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) group: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    pub(crate) fn unprivileged() -> Self {
        let user = if is_root() { "nobody".to_owned() } else { id(&["-un"]) };
        Self {
            group: id(&["-gn", &user]),
            uid: id(&["-u", &user]).parse().expect("a user id is a number"),
            gid: id(&["-g", &user]).parse().expect("a group id is a number"),
            user,
        }
    }
}

fn id(arguments: &[&str]) -> String {
    let output = Command::new("id").args(arguments).output().expect("id(1) runs");
    assert!(output.status.success(), "id {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A server's own directory, removed with it.
#[derive(Debug)]
pub(crate) struct Home(TempDir);

impl Home {
    /// Makes it in `/tmp`, whatever `TMPDIR` says: the path of a unix socket has at most 107 octets.
    pub(crate) fn new() -> Self {
        let home = tempfile::Builder::new().prefix("nexthop-").tempdir_in("/tmp").expect("/tmp is writable");
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).expect("the directory is ours");
        Self(home)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Makes a directory in it.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(&path).expect("the directory is ours");
        path
    }

    /// Writes a file in it: a template with its values, as [`fill`] has it.
    pub(crate) fn write(&self, name: &str, template: &str, values: &[(&str, &dyn ToString)]) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, fill(template, values)).expect("the directory is ours");
        path
    }
}

/// A template in which `@NAME@` is replaced by the value of `NAME`.
pub(crate) fn fill(template: &str, values: &[(&str, &dyn ToString)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| {
        text.replace(&format!("@{name}@"), &value.to_string())
    })
}

/// Makes an account the owner of what lies at a path.
pub(crate) fn give(path: &Path, account: &Account) {
    chown(path, Some(account.uid), Some(account.gid)).expect("root or the owner itself gives a file away");
}

/// A running server: a process that leads a process group which everything it started belongs to.
#[derive(Debug)]
pub(crate) struct Daemon {
    leader: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a server that stays in the foreground and logs to its standard output or error.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("the directory is ours");
        let copy = file.try_clone().expect("a file has two handles");
        let leader = command.stdin(Stdio::null()).stdout(file).stderr(copy).spawn();
        Self { leader: leader.unwrap_or_else(|error| panic!("{command:?}: {error}")), log }
    }

    /// Waits until the server does what shows that it is up.
    ///
    /// # Panics
    /// It ended, or is not up after ten seconds.
    pub(crate) fn wait_until(&mut self, is_up: impl Fn() -> bool) {
        let up = eventually(|| match self.leader.try_wait() {
            Ok(None) => is_up().then_some(true),
            _ => Some(false),
        });
        assert_eq!(up, Some(true), "the server does not come up");
    }

    /// The process group of the server.
    pub(crate) fn group(&self) -> u32 {
        self.leader.id()
    }

    /// What the server has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    fn kill(&mut self) {
        let group = self.group();
        let _ = Command::new("sh").args(["-c", "kill -s KILL -- -$0", &group.to_string()]).status();
        let _ = self.leader.kill();
        let _ = self.leader.wait();
        // the others end in their own time, and until then use the directory
        let _ = eventually(|| processes(group).is_empty().then_some(()));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // As long as nobody has waited for the leader no other group can have its number.
        if matches!(self.leader.try_wait(), Ok(None)) {
            self.kill();
        }
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// The processes of a group that have not ended, by number and name.
pub(crate) fn processes(group: u32) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let lines = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let alive = lines.filter(|line| is_alive_in(line, group));
    alive.filter_map(|line| Some(line.split_once(')')?.0.to_owned())).collect()
}

/// Reads a line of proc_pid_stat(5).
///
/// After the name, in parentheses, come the state, the parent, and the group. An orphan that init has yet to
/// wait for has ended.
fn is_alive_in(stat: &str, group: u32) -> bool {
    let Some((_, fields)) = stat.rsplit_once(") ") else { return false };
    let mut fields = fields.split(' ');
    fields.next() != Some("Z") && fields.nth(1) == Some(&group.to_string())
}

/// The messages in `new` of a Maildir, in no particular order.
pub(crate) fn maildir(path: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(path.join("new")) else { return Vec::new() };
    entries.flatten().map(|entry| fs::read(entry.path()).expect("what is in `new` stays there")).collect()
}
