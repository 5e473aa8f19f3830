//! Full against resumed TLS handshakes a second, over loopback: whole deliveries, each on a connection of its own.
//!
//! `cargo bench --bench tls_handshakes`; a number behind `--` is the deliveries of each measurement, 500 without. A
//! deliverer resumes what it began itself, so a full handshake is that of a new one. What a delivery costs without TLS is
//! measured as well, and taken off.

use std::time::{Duration, Instant};

use nexthop::testing::{ScriptedServer, ServerIdentity};
use nexthop::tls::Roots;
use nexthop::{DefaultPolicy, Deliverer, Envelope, MemoryResolver, Message, Route, RouteTable, TlsSettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

const HOST: &str = "relay.example";
const DELIVERIES: u32 = 500;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(DELIVERIES);
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run(count))
}

async fn run(count: u32) -> Result<(), Error> {
    let bench = Bench::new()?;
    println!("{count} deliveries each, TLS 1.3, P-256, verified; server and client in this process");
    let clear = bench.clear(count).await?;
    let full = bench.full(count).await?;
    let resumed = bench.resumed(count).await?;
    for (what, time) in [("in the clear", clear), ("full handshake", full), ("resumed", resumed)] {
        println!(
            "{what:<15} {:>8.0} deliveries/s {:>8.0} us each",
            per_second(count, time),
            each(count, time)
        );
    }
    let (full, resumed) = (full.saturating_sub(clear), resumed.saturating_sub(clear));
    println!(
        "handshakes alone: full {:.0}/s, resumed {:.0}/s",
        per_second(count, full),
        per_second(count, resumed)
    );
    println!("a resumed one costs {:.2} of a full one", resumed.as_secs_f64() / full.as_secs_f64());
    Ok(())
}

fn per_second(count: u32, time: Duration) -> f64 {
    f64::from(count) / time.as_secs_f64()
}

fn each(count: u32, time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(count)
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

    async fn deliver(&self, deliverer: &Deliverer) -> Result<(), Error> {
        let report = deliverer.deliver(&self.envelope, &self.message).await;
        if report.is_delivered() { Ok(()) } else { Err(report.to_string().into()) }
    }

    async fn clear(&self, count: u32) -> Result<Duration, Error> {
        let server = ScriptedServer::smtp().listen_tcp().await?;
        let deliverer = self.deliverer("smtp", &server)?;
        self.repeat(&deliverer, count).await
    }

    async fn resumed(&self, count: u32) -> Result<Duration, Error> {
        let server = ScriptedServer::smtp().implicit_tls(&self.identity).listen_tcp().await?;
        let deliverer = self.deliverer("smtps", &server)?;
        self.deliver(&deliverer).await?;
        let time = self.repeat(&deliverer, count).await?;
        let full = server.handshakes().iter().filter(|handshake| !handshake.resumed).count();
        if full == 1 { Ok(time) } else { Err(format!("{full} full handshakes").into()) }
    }

    async fn repeat(&self, deliverer: &Deliverer, count: u32) -> Result<Duration, Error> {
        let begun = Instant::now();
        for _ in 0..count {
            self.deliver(deliverer).await?;
        }
        Ok(begun.elapsed())
    }

    /// Building the deliverers is not measured.
    async fn full(&self, count: u32) -> Result<Duration, Error> {
        let server = ScriptedServer::smtp().implicit_tls(&self.identity).listen_tcp().await?;
        let mut time = Duration::ZERO;
        for _ in 0..count {
            let deliverer = self.deliverer("smtps", &server)?;
            time += self.repeat(&deliverer, 1).await?;
        }
        let resumed = server.handshakes().iter().filter(|handshake| handshake.resumed).count();
        if resumed == 0 { Ok(time) } else { Err(format!("{resumed} handshakes were resumed").into()) }
    }
}
