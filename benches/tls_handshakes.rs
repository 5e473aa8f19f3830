//! Full against resumed TLS handshakes a second, over loopback: whole deliveries, each on a connection of its own.
//!
//! `cargo bench --bench tls_handshakes`; a number behind `--` is the deliveries of each kind, 500 without. A deliverer
//! resumes what it began itself, so a full handshake is that of a new one. What a delivery costs without TLS is measured
//! as well, and taken off.

use std::time::{Duration, Instant};

use nexthop::testing::{ScriptedServer, ServerIdentity};
use nexthop::tls::Roots;
use nexthop::{DefaultPolicy, Deliverer, Envelope, MemoryResolver, Message, Route, RouteTable, TlsSettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

const HOST: &str = "relay.example";
const DELIVERIES: usize = 500;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(DELIVERIES);
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run(count))
}

/// The three take turns, so that whatever else the machine does meets them alike.
async fn run(count: usize) -> Result<(), Error> {
    let bench = Bench::new()?;
    let clear = ScriptedServer::smtp().listen_tcp().await?;
    let [full, resumed] = [bench.server().await?, bench.server().await?];
    let [clear, again] = [bench.deliverer("smtp", &clear)?, bench.deliverer("smtps", &resumed)?];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    bench.deliver(&again).await?;
    for _ in 0..count {
        times[0].push(bench.deliver(&clear).await?);
        times[1].push(bench.deliver(&bench.deliverer("smtps", &full)?).await?);
        times[2].push(bench.deliver(&again).await?);
    }
    check(&full, 0)?;
    check(&resumed, count)?;
    println!("{count} deliveries each, TLS 1.3, P-256, verified; server and client in this process; medians");
    show(times.map(median));
    Ok(())
}

/// So many handshakes were resumed.
fn check(server: &ScriptedServer, wanted: usize) -> Result<(), Error> {
    let found = server.handshakes().iter().filter(|handshake| handshake.resumed).count();
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{found} handshakes were resumed, not {wanted}").into())
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn show([clear, full, resumed]: [Duration; 3]) {
    for (what, time) in [("in the clear", clear), ("full handshake", full), ("resumed", resumed)] {
        println!("{what:<15} {:>6.0} us {:>6.0} deliveries/s", time.as_secs_f64() * 1e6, per_second(time));
    }
    let (full, resumed) = (full.saturating_sub(clear), resumed.saturating_sub(clear));
    println!("handshakes alone: full {:.0}/s, resumed {:.0}/s", per_second(full), per_second(resumed));
    println!("a resumed one costs {:.2} of a full one", resumed.as_secs_f64() / full.as_secs_f64());
}

fn per_second(time: Duration) -> f64 {
    1.0 / time.as_secs_f64()
}

struct Bench {
    identity: ServerIdentity,
    folder: TempDir,
    envelope: Envelope,
    message: Message,
}

impl Bench {
    fn new() -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new([HOST.to_owned()])?.signed_by(&key, &root)?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("roots.pem"), root.pem())?;
        let identity = ServerIdentity::new(vec![leaf.der().to_vec()], key.serialize_der())?;
        let envelope = Envelope::new("news@example.net")?.to("ann@example.org")?;
        let message = Message::from_text("Subject: x\n\nx\n")?;
        Ok(Self { identity, folder, envelope, message })
    }

    fn deliverer(&self, scheme: &str, server: &ScriptedServer) -> Result<Deliverer, Error> {
        let mut tls = TlsSettings::default();
        tls.roots = Roots::File(self.folder.path().join("roots.pem"));
        let hop = format!("{scheme}://{HOST}:{}", server.address().port());
        let deliverer = Deliverer::builder("client.example")
            .resolver(MemoryResolver::builder().ipv4(HOST, [127, 0, 0, 1]).build()?)
            .address_policy(DefaultPolicy::default().allow("127.0.0.1".parse()?))
            .router(RouteTable::new(Route::relay(hop.parse()?)))
            .tls(tls);
        Ok(deliverer.build()?)
    }

    async fn server(&self) -> Result<ScriptedServer, Error> {
        Ok(ScriptedServer::smtp().implicit_tls(&self.identity).listen_tcp().await?)
    }

    async fn deliver(&self, deliverer: &Deliverer) -> Result<Duration, Error> {
        let begun = Instant::now();
        let report = deliverer.deliver(&self.envelope, &self.message).await;
        if report.is_delivered() { Ok(begun.elapsed()) } else { Err(report.to_string().into()) }
    }
}
