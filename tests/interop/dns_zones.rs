//! The zones: a private root, `test.`, and below it one zone for each way to be signed, unsigned or broken.

/// A zone as it is written, before it is signed.
#[derive(Debug)]
pub(crate) struct Zone {
    /// With the final dot.
    pub(crate) name: &'static str,
    /// Without the SOA and the NS of the zone itself, which are the same for all.
    pub(crate) records: String,
    pub(crate) signing: Signing,
    pub(crate) delegation: Delegation,
    /// What becomes of a signature, by owner and type of what it covers.
    pub(crate) fate: fn(&str, &str) -> Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    None,
    Nsec,
    Nsec3,
    /// Signatures hold from the first to the second time.
    Between(&'static str, &'static str),
}

/// What the parent says of a zone beside its name servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delegation {
    /// The digest of its key.
    Secure,
    /// This digest of a key.
    Digest(&'static str),
    /// Nothing: it is not signed.
    Insecure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Garbled,
    Stripped,
}

/// A digest of no key there is.
const WRONG_DIGEST: &str = "12345 13 2 0000000000000000000000000000000000000000000000000000000000000000";
/// The same for a key of an algorithm that nobody knows, which makes a zone insecure (RFC 4035 section 5.2).
const UNKNOWN_ALGORITHM: &str =
    "12345 200 2 0000000000000000000000000000000000000000000000000000000000000000";

/// What every small zone has.
const SMALL: &str = "
@               MX    10 mx
mx              A     192.0.2.50
_25._tcp.mx     TLSA  3 1 1 0badcafe
text            TXT   \"neither an exchanger nor an address\"
into            CNAME mx.signed.test.
null            MX    0 .
";

const SIGNED: &str = "
@               MX    10 mx
@               MX    20 mx2
mx              A     192.0.2.1
mx              AAAA  2001:db8::1
mx2             A     192.0.2.2
text            TXT   \"neither an exchanger\" \" nor an address\"
; above it is a name without records
below.empty     A     192.0.2.3

; TLSA: by itself, by an alias, by a wildcard
_25._tcp.mx     TLSA  3 1 1 0badcafe
_587._tcp.mx    CNAME tlsa.dane
tlsa.dane       TLSA  2 0 1 0badcafe
*._tcp.mx2      TLSA  3 1 1 0badf00d

; SRV
_submission._tcp     SRV   0 1 587 mx
_submissions._tcp    CNAME _submission._tcp
_none._tcp           SRV   0 0 0 .

; domains
*.wild          MX    10 mx
null            MX    0 .
null            A     192.0.2.4
late-null       MX    10 .
mixed-null      MX    0 .
mixed-null      MX    10 mx2
implicit        A     192.0.2.5
implicit6       AAAA  2001:db8::6
; hosts of domains: without an address, without existence, aliases, not to be had, no names
deaf            MX    10 text
deaf            A     192.0.2.6
gone-host       MX    10 gone
alias-host      MX    10 alias
far-host        MX    10 out
bogus-host      MX    10 mx.bogus.test.
bogus-or-gone   MX    10 gone
bogus-or-gone   MX    20 mx.bogus.test.
bogus-or-good   MX    10 mx.bogus.test.
bogus-or-good   MX    20 mx2
broken-host     MX    10 mx.servfail.test.
number          MX    10 192.0.2.1.

; aliases within the zone
alias           CNAME mx
alias-domain    CNAME @
alias-wild      CNAME any.wild
alias-text      CNAME text
alias-gone      CNAME gone
alias-null      CNAME null
alias-implicit  CNAME implicit
alias-number    CNAME 192.0.2.1.
loop            CNAME loop-a
loop-a          CNAME loop-b
loop-b          CNAME loop-a
Capital         CNAME MX.Signed.TEST.

; aliases out of it
out             CNAME mx.unsigned.test.
out-domain      CNAME unsigned.test.
out-text        CNAME text.unsigned.test.
out-gone        CNAME gone.unsigned.test.
out-null        CNAME null.unsigned.test.
out-and-in      CNAME into.unsigned.test.
out-island      CNAME mx.island.test.
other           CNAME mx.nsec3.test.
to-bogus        CNAME mx.bogus.test.
to-broken       CNAME mx.servfail.test.
_26._tcp.mx     CNAME _25._tcp.mx.unsigned.test.
";

const NSEC3: &str = "
@               MX    10 mx
mx              A     192.0.2.20
text            TXT   \"neither an exchanger nor an address\"
below.empty     A     192.0.2.21
_25._tcp.mx     TLSA  3 1 1 0badcafe
*._tcp.mx2      TLSA  3 1 1 0badf00d
*.wild          MX    10 mx
null            MX    0 .
alias           CNAME mx
alias-text      CNAME text
alias-gone      CNAME gone
out             CNAME mx.unsigned.test.
";

const UNSIGNED: &str = "
to-bogus        CNAME mx.bogus.test.
to-text         CNAME text.signed.test.
to-gone         CNAME gone.signed.test.
*._tcp.mx2      TLSA  3 1 1 0badf00d
";

/// Each host has the address that is left when all is well.
const PARTIAL: &str = "
host            A     192.0.2.60
forged          A     192.0.2.61
forged          AAAA  2001:db8::61
_25._tcp.host   TLSA  3 1 1 0badcafe
bare            A     192.0.2.62
forged-mx       MX    10 host
forged-mx       A     192.0.2.63
forged-alias    CNAME host
";

/// Names that are delegated to no avail: the server there refuses, cannot read the zone, is silent.
pub(crate) const LAME: &str = "lame.test.";
pub(crate) const UNREADABLE: &str = "servfail.test.";
pub(crate) const SILENT: &str = "silent.test.";

/// Mail exchangers of `many.signed.test`, with the lowest preference first.
pub(crate) const MANY: usize = 120;
/// Octets of the text of `long.signed.test`.
pub(crate) const LONG: usize = 3000;

/// All zones below `test.`.
pub(crate) fn zones() -> Vec<Zone> {
    vec![
        Zone::secure(
            "signed.test.",
            &[SIGNED, &many(), &long(), &steps("step", 11), &steps("long", 16), &steps("endless", 17)]
                .concat(),
        ),
        Zone { signing: Signing::Nsec3, ..Zone::secure("nsec3.test.", NSEC3) },
        Zone { signing: Signing::None, ..insecure("unsigned.test.", &[SMALL, UNSIGNED].concat()) },
        insecure("island.test.", SMALL),
        Zone {
            signing: Signing::None,
            delegation: Delegation::Digest(UNKNOWN_ALGORITHM),
            ..Zone::secure("algorithm.test.", SMALL)
        },
        Zone { fate: |_, _| Fate::Garbled, ..Zone::secure("bogus.test.", SMALL) },
        Zone { fate: |_, _| Fate::Stripped, ..Zone::secure("stripped.test.", SMALL) },
        Zone { signing: Signing::None, ..Zone::secure("bare.test.", SMALL) },
        between("expired.test.", "20240101000000", "20240201000000"),
        between("early.test.", "20700101000000", "20710101000000"),
        Zone { delegation: Delegation::Digest(WRONG_DIGEST), ..Zone::secure("digest.test.", SMALL) },
        Zone { fate: without_denials, ..Zone::secure("undenied.test.", SMALL) },
        Zone { fate: in_part, ..Zone::secure("partial.test.", PARTIAL) },
    ]
}

impl Zone {
    /// A zone without a fault.
    pub(crate) fn secure(name: &'static str, records: &str) -> Self {
        let (signing, delegation) = (Signing::Nsec, Delegation::Secure);
        Self { name, records: records.to_owned(), signing, delegation, fate: |_, _| Fate::Kept }
    }
}

fn insecure(name: &'static str, records: &str) -> Zone {
    Zone { delegation: Delegation::Insecure, ..Zone::secure(name, records) }
}

fn between(name: &'static str, start: &'static str, end: &'static str) -> Zone {
    Zone { signing: Signing::Between(start, end), ..Zone::secure(name, SMALL) }
}

fn without_denials(_: &str, kind: &str) -> Fate {
    if kind == "NSEC" { Fate::Stripped } else { Fate::Kept }
}

fn in_part(owner: &str, kind: &str) -> Fate {
    match (owner, kind) {
        ("forged.partial.test.", "A")
        | ("_25._tcp.host.partial.test.", "TLSA")
        | ("forged-mx.partial.test.", "MX")
        | ("forged-alias.partial.test.", "CNAME") => Fate::Garbled,
        ("bare.partial.test.", "A") => Fate::Stripped,
        _ => Fate::Kept,
    }
}

/// More exchangers than UDP carries.
fn many() -> String {
    let host = |n| format!("many MX {n} mx{n}.many\nmx{n}.many A 198.51.100.{n}\n");
    (1..=MANY).map(host).collect()
}

/// More text than UDP carries.
fn long() -> String {
    let strings = format!(" \"{}\"", "x".repeat(100)).repeat(LONG / 100);
    format!("long TXT{strings}\n")
}

/// So many aliases from `<name>0` to an address.
fn steps(name: &str, count: usize) -> String {
    let step = |n| format!("{name}{n} CNAME {name}{}\n", n + 1);
    (0..count).map(step).chain([format!("{name}{count} A 192.0.2.12\n")]).collect()
}
