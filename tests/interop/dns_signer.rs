//! From zones as they are written to the files a name server reads: keys, digests, signatures.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::dns_zones::{Delegation, Fate, LAME, SILENT, Signing, UNREADABLE, Zone, zones};
use crate::launcher::Home;

const KEYGEN: &str = "/usr/bin/ldns-keygen";
const SIGNER: &str = "/usr/bin/ldns-signzone";

/// What every zone starts with. The name server has no address that anybody asks.
const HEAD: &str = "
$TTL 300
@ SOA ns.nic.test. hostmaster.nic.test. 1 3600 600 86400 60
@ NS ns.nic.test.
";
const ADDRESS: &str = "ns.nic.test. A 127.0.0.1\n";

/// The name of a zone and where it is.
pub(crate) type ZoneFile = (&'static str, PathBuf);

/// The zones, signed, in files.
#[derive(Debug)]
pub(crate) struct SignedZones {
    /// By name, the deepest first.
    pub(crate) files: Vec<ZoneFile>,
    /// The digest of the key of the root.
    pub(crate) anchor: String,
}

#[derive(Debug)]
struct Key {
    /// What the names of its files start with.
    base: PathBuf,
    /// Its digest as a record of the parent.
    digest: String,
}

/// The program that is missing, if one is.
pub(crate) fn missing() -> Option<&'static str> {
    [KEYGEN, SIGNER].into_iter().find(|program| !PathBuf::from(program).exists())
}

impl SignedZones {
    /// Makes keys for all zones and signs them, from the leaves to the root.
    pub(crate) fn make(home: &Home) -> Self {
        let (mut files, mut delegations) = (Vec::new(), ADDRESS.to_owned());
        for zone in zones() {
            let key = Key::new(home, zone.name);
            delegations += &delegation(&zone, &key);
            files.push((zone.name, sign(home, &zone, &key)));
        }
        delegations.extend([LAME, UNREADABLE, SILENT].map(|name| format!("{name} NS ns.nic.test.\n")));
        let mut top = |name, records: &str| {
            let (zone, key) = (Zone::secure(name, records), Key::new(home, name));
            files.push((name, sign(home, &zone, &key)));
            key.digest
        };
        let digest = top("test.", &delegations);
        let anchor = top(".", &format!("test. NS ns.nic.test.\n{digest}{ADDRESS}"));
        Self { files, anchor }
    }
}

impl Key {
    fn new(home: &Home, zone: &str) -> Self {
        let mut command = Command::new(KEYGEN);
        let output = run(command.args(["-a", "ECDSAP256SHA256", "-k", zone]).current_dir(home.path()));
        let base = home.join(output.trim());
        let digest = home.join(&format!("{}.ds", output.trim()));
        Self { base, digest: fs::read_to_string(digest).expect("a key comes with its digest") }
    }
}

/// What the parent has of a zone.
fn delegation(zone: &Zone, key: &Key) -> String {
    let name = zone.name;
    let digest = match zone.delegation {
        Delegation::Secure => key.digest.clone(),
        Delegation::Digest(digest) => format!("{name} DS {digest}\n"),
        Delegation::Insecure => String::new(),
    };
    format!("{name} NS ns.nic.test.\n{digest}")
}

fn sign(home: &Home, zone: &Zone, key: &Key) -> PathBuf {
    let (name, records) = (zone.name, &zone.records);
    let plain = home.write(&format!("{name}zone"), &format!("$ORIGIN {name}{HEAD}{records}"), &[]);
    let arguments: &[&str] = match zone.signing {
        Signing::None => return plain,
        Signing::Nsec => &[],
        Signing::Nsec3 => &["-n", "-t", "0"],
        Signing::Between(start, end) => &["-i", start, "-e", end],
    };
    let mut command = Command::new(SIGNER);
    let signed = run(command.args(arguments).args(["-o", name, "-f", "-"]).arg(plain).arg(&key.base));
    let lines = signed.lines().filter_map(|line| fated(line, zone.fate)).map(|line| line + "\n");
    home.write(&format!("{name}signed"), &lines.collect::<String>(), &[])
}

/// A line of the signed zone as its fate leaves it.
fn fated(line: &str, fate: fn(&str, &str) -> Fate) -> Option<String> {
    let mut fields = line.split_ascii_whitespace();
    let (owner, kind) = (fields.next()?, fields.nth(2)?);
    let covered = fields.next().filter(|_| kind == "RRSIG");
    match covered.map_or(Fate::Kept, |covered| fate(owner, covered)) {
        Fate::Kept => Some(line.to_owned()),
        Fate::Garbled => Some(garbled(line)),
        Fate::Stripped => None,
    }
}

/// The signature, which comes last, with another letter at its start: still base64.
fn garbled(line: &str) -> String {
    let (start, signature) = line.trim_end().rsplit_once(' ').expect("a signature has fields before it");
    let letter = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{start} {letter}{}", &signature[1..])
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
