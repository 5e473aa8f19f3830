//! Holds the house to its floors: a module uses only floors above its own (ARCHITECTURE.md), and the protocol has
//! neither sockets nor a clock.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the crate from the ground up. Modules of one floor do not use each other.
const FLOORS: &[&[&str]] = &[
    &["escape", "mail", "random", "status"],
    &["proto"],
    &["outcome", "route"],
    &["credentials", "local", "observer", "policy", "resolver", "router"],
    &["tls"],
    &["plan"],
    &["transport"],
    &["pool"],
    &["deliverer"],
    // beside the floors
    &["manual", "testing"],
];

/// What the protocol must not know: a runtime, a socket, a clock, a file, foreign types of DNS and TLS.
const NOT_IN_PROTO: &[&str] = &[
    "tokio",
    "async ",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "ToSocketAddrs",
    "Instant::now",
    "SystemTime",
    "std::fs",
    "std::thread",
    "hickory",
    "rustls",
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// A source file: the path of its module from the crate's root, and its code without comments and tests.
struct Source {
    path: PathBuf,
    module: Vec<String>,
    code: String,
}

impl Source {
    fn read(root: &Path, path: PathBuf) -> Self {
        let inside = path.strip_prefix(root).expect("a file below the root").with_extension("");
        let mut module: Vec<_> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        module.retain(|name| name != "mod");
        let text = fs::read_to_string(&path).expect("a source file is text");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        Self { path, module, code: code.collect::<Vec<_>>().join("\n") }
    }

    /// Tests may use whatever they need.
    fn is_test(&self) -> bool {
        let name = self.module.last().map_or("", String::as_str);
        name == "tests" || name.ends_with("_tests") || name.starts_with("test_")
    }

    /// The modules at the crate's root that the code names, by `crate::…` or by a row of `super::`.
    fn uses(&self) -> Vec<&str> {
        let way_up = "super::".repeat(self.module.len());
        let by_super =
            self.code.match_indices(&way_up).filter(|(at, _)| !self.code[..*at].ends_with("super::"));
        let starts = by_super.chain(self.code.match_indices("crate::"));
        starts
            .map(|(at, way)| word(&self.code[at + way.len()..]))
            .filter(|word| !word.starts_with("super"))
            .collect()
    }

    /// What is wrong with it.
    fn faults(&self) -> Vec<String> {
        let home = &self.module[0];
        let own = floor(home);
        let wrong =
            self.uses().into_iter().filter(|used| used != home && floor(used).is_none_or(|f| Some(f) >= own));
        let mut faults: Vec<_> =
            wrong.map(|used| format!("{}: uses {used:?}", self.path.display())).collect();
        if own.is_none() {
            faults.push(format!("{}: a module without a floor", self.path.display()));
        }
        faults
    }
}

/// The identifier at the start of a text; nothing for `{` and the like, which would hide what is used.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the crate");
    entries.map(|entry| entry.expect("an entry of it").path())
}

fn sources() -> Vec<Source> {
    let (mut folders, mut sources) = (vec![root()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in files(&folder) {
            match path.extension().and_then(|extension| extension.to_str()) {
                None => folders.push(path),
                Some("rs") if path != root().join("lib.rs") => sources.push(Source::read(&root(), path)),
                Some(_) => {}
            }
        }
    }
    sources.retain(|source| !source.is_test());
    assert!(sources.len() > 50, "only {} files were found", sources.len());
    sources
}

#[test]
fn a_module_uses_only_floors_above_its_own() {
    let faults: Vec<_> = sources().iter().flat_map(Source::faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_protocol_has_neither_sockets_nor_a_clock() {
    let protocol = sources().into_iter().filter(|source| source.module[0] == "proto");
    let code: String = protocol.map(|source| source.code).collect();
    let faults: Vec<_> = NOT_IN_PROTO.iter().filter(|word| code.contains(**word)).collect();
    assert!(faults.is_empty(), "proto names {faults:?}");
}

#[test]
fn the_front_page_lists_the_modules_in_the_order_of_their_floors() {
    let front_page = fs::read_to_string(root().join("lib.rs")).expect("there is a front page");
    let mut floors: Vec<Vec<&str>> = Vec::new();
    for line in front_page.lines() {
        if line.starts_with("// floor") || line.starts_with("// beside") {
            floors.push(Vec::new());
        }
        let module =
            line.trim_start_matches("pub ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
        if let (Some(module), Some(floor)) = (module, floors.last_mut()) {
            floor.push(module);
        }
    }
    floors.iter_mut().for_each(|floor| floor.sort_unstable());
    assert_eq!(floors, FLOORS);
}
