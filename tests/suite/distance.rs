//! A server far away: what a session and a message wait for, on a clock that stands still otherwise.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use nexthop::deliverer::DelivererBuilder;
use nexthop::tls::Roots;
use nexthop::{Deliverer, PoolSettings, Report, TlsLevel, TlsSettings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, duplex, split};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use self::dialogue::{Dialogue, Ending};
use self::identity::Identity;
use crate::support::{builder, envelope, message, nothing_kept, single_flight};

#[path = "../../benches/sink/dialogue.rs"]
#[allow(dead_code, reason = "made for the benches")]
mod dialogue;
#[path = "../../benches/sink/identity.rs"]
#[allow(dead_code, reason = "made for the benches")]
mod identity;

const ROUND_TRIP: Duration = Duration::from_millis(50);

/// A server whose every word arrives a round trip after it was said.
struct Far {
    listener: TcpListener,
    keywords: Vec<&'static str>,
    tls: Option<Arc<ServerConfig>>,
}

impl Far {
    async fn new(keywords: &[&'static str], tls: Option<Arc<ServerConfig>>) -> Self {
        let keywords = keywords.iter().copied().chain(tls.is_some().then_some("STARTTLS")).collect();
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), keywords, tls }
    }

    fn url(&self, host: &str) -> String {
        format!("smtp://{host}:{}", self.listener.local_addr().unwrap().port())
    }

    /// What a client finds, and the round trips that it took. The server is part of the test's own task: the clock stands
    /// still while that has anything to do, and not while a task beside it has.
    async fn meanwhile<T>(&self, client: impl Future<Output = T>) -> (T, u32) {
        let began = Instant::now();
        tokio::select! {
            found = client => (found, round_trips(began.elapsed())),
            () = self.serve() => unreachable!("there is always another connection"),
        }
    }

    /// One connection after another.
    async fn serve(&self) {
        loop {
            let (stream, _) = self.listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let ((near, far), (heard, said)) = (duplex(1 << 20), stream.into_split());
            let (end_said, end_heard) = split(far);
            let (mut heard, mut end_heard) = (heard, end_heard);
            let listening = copy(&mut heard, &mut end_heard).map(drop);
            // a client that goes away is no fault of the server
            tokio::join!(listening, late(end_said, said), self.talk(near).map(drop));
        }
    }

    async fn talk(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
        stream.write_all(b"220 far.example\r\n").await?;
        let ending = answer(&mut stream, Dialogue::new(&self.keywords)).await?;
        let (Some(Ending::StartTls), Some(config)) = (ending, self.tls.clone()) else { return Ok(()) };
        let mut stream = TlsAcceptor::from(config).accept(stream).await?;
        answer(&mut stream, Dialogue::new(&self.keywords[..self.keywords.len() - 1])).await.map(drop)
    }
}

/// Whole ones; nothing else takes time.
fn round_trips(elapsed: Duration) -> u32 {
    let trips = elapsed.as_millis() / ROUND_TRIP.as_millis();
    // the clock goes by milliseconds, and rounds up
    assert!(elapsed.as_millis() % ROUND_TRIP.as_millis() <= trips, "{elapsed:?}");
    trips.try_into().unwrap()
}

async fn answer<S>(stream: &mut S, mut dialogue: Dialogue) -> std::io::Result<Option<Ending>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = bytes::BytesMut::new();
    while dialogue.ending.is_none() && stream.read_buf(&mut input).await? > 0 {
        dialogue.take(&mut input);
        stream.write_all(&dialogue.replies).await?;
        stream.flush().await?;
        dialogue.replies.clear();
    }
    Ok(dialogue.ending)
}

/// Hands on what comes, later.
async fn late(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let (sender, mut under_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let taking = async move {
        let mut octets = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut octets).await {
            let _ = sender.send((Instant::now() + ROUND_TRIP, octets[..count].to_vec()));
        }
    };
    let giving = async move {
        while let Some((due, octets)) = under_way.recv().await {
            sleep_until(due).await;
            let _ = to.write_all(&octets).await;
        }
    };
    tokio::join!(taking, giving);
}

/// Round trips of each of two deliveries that make a connection of their own, from the dial to the report.
async fn by_starttls(keywords: &[&'static str]) -> [u32; 2] {
    let identity = Identity::new().unwrap();
    let far = Far::new(keywords, Some(identity.config.clone())).await;
    let deliverer = verified(builder(&far.url("localhost")), &identity.roots());
    two(&far, &deliverer, true).await
}

async fn by_starttls_in_a_single_flight(keywords: &[&'static str]) -> [u32; 2] {
    let identity = Identity::new().unwrap();
    let far = Far::new(keywords, Some(identity.config.clone())).await;
    let deliverer = verified(single_flight(&far.url("localhost")), &identity.roots());
    two(&far, &deliverer, true).await
}

async fn in_the_clear(keywords: &[&'static str]) -> [u32; 2] {
    let far = Far::new(keywords, None).await;
    let mut tls = TlsSettings::default();
    tls.level = TlsLevel::Off;
    let deliverer = builder(&far.url("127.0.0.1")).tls(tls).build().unwrap();
    two(&far, &deliverer, false).await
}

async fn two(far: &Far, deliverer: &Deliverer, is_secured: bool) -> [u32; 2] {
    let mut found = [0; 2];
    for trips in &mut found {
        let (to, text) = (envelope("a"), message());
        let (report, took) = far.meanwhile(deliverer.deliver(&to, &text)).await;
        let hop = report.recipients()[0].hop.as_ref().unwrap();
        assert!(report.is_delivered() && hop.secured().is_some() == is_secured, "{report}");
        *trips = took;
    }
    found
}

fn verified(builder: DelivererBuilder, roots: &Path) -> Deliverer {
    let mut tls = TlsSettings::default();
    (tls.level, tls.roots) = (TlsLevel::Verified, Roots::File(roots.to_owned()));
    builder.tls(tls).pool(nothing_kept()).build().unwrap()
}

/// The greeting, EHLO, STARTTLS, the handshake, EHLO again, the commands, and the content.
#[tokio::test(start_paused = true)]
async fn a_fresh_session_with_starttls_costs_six_turns_after_the_greeting() {
    assert_eq!(by_starttls(&[]).await, [1 + 6; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_session_with_starttls_costs_five_turns_after_the_greeting_in_a_single_flight() {
    assert_eq!(by_starttls(&["CHUNKING"]).await, [1 + 6; 2]);
    assert_eq!(by_starttls_in_a_single_flight(&["CHUNKING"]).await, [1 + 5; 2]);
}

/// The greeting comes with the replies to EHLO and to all that stands behind it; the content waits for them.
#[tokio::test(start_paused = true)]
async fn a_fresh_session_costs_two_round_trips_where_commands_may_go_before_the_greeting() {
    assert_eq!(in_the_clear(&[]).await, [1 + 3; 2]);
    assert_eq!(in_the_clear(&["PIPECONNECT"]).await, [1 + 3, 2]);
    assert_eq!(in_the_clear(&["CHUNKING"]).await, [1 + 3; 2]);
    assert_eq!(in_the_clear(&["CHUNKING", "PIPECONNECT"]).await, [1 + 3, 2]);
}

/// EHLO with STARTTLS, the handshake, EHLO with the commands, and the content.
#[tokio::test(start_paused = true)]
async fn a_fresh_session_with_starttls_costs_four_round_trips_where_commands_may_go_before_the_greeting() {
    assert_eq!(by_starttls(&["PIPECONNECT"]).await, [1 + 6, 4]);
    assert_eq!(by_starttls(&["CHUNKING", "PIPECONNECT"]).await, [1 + 6, 4]);
}

/// Round trips of so many messages at once on a kept connection, in a window of sixteen.
async fn in_a_window(messages: usize) -> u32 {
    let far = Far::new(&["CHUNKING"], None).await;
    let mut pool = PoolSettings::default();
    (pool.connections, pool.window, pool.idle) = (1, 16, Duration::from_secs(60));
    let deliverer = single_flight(&far.url("127.0.0.1")).pool(pool).build().unwrap();
    let (to, text) = (envelope("a"), message());
    let all = async {
        // the first shows what the server offers
        assert!(deliverer.deliver(&to, &text).await.is_delivered());
        let began = Instant::now();
        let reports = join_all((0..messages).map(|_| deliverer.deliver(&to, &text))).await;
        assert!(reports.iter().all(Report::is_delivered));
        round_trips(began.elapsed())
    };
    far.meanwhile(all).await.0
}

#[tokio::test(start_paused = true)]
async fn in_a_window_of_sixteen_a_round_trip_carries_sixteen_messages() {
    assert_eq!(in_a_window(1 + 2 * 16).await, 3);
}

#[tokio::test(start_paused = true)]
async fn sixteen_messages_in_a_window_of_sixteen_take_one_round_trip() {
    assert_eq!(in_a_window(16).await, 1);
}
