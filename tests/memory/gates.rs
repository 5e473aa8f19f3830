//! [`Gate`]: what is measured, and what must not be exceeded.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use nexthop::deliverer::DelivererBuilder;
use nexthop::{Deliverer, Envelope, MemoryResolver, Message, PoolSettings, Route, RouteTable};

use crate::heap::{Peak, allocations, live};

/// A number that must not be exceeded.
pub(crate) struct Gate {
    pub(crate) name: &'static str,
    measured: Measured,
}

#[derive(Clone, Copy)]
enum Measured {
    /// The most octets that a delivery takes above its message.
    InFlight { mode: Mode, content: Content },
    /// Octets of each of many idle sessions, after messages of a size.
    Kept { mode: Mode, size: usize },
    /// How many allocations more a message of 1 MiB takes than one of 1 KiB.
    Allocations { mode: Mode },
    /// Allocations of each message for so many recipients, of 1 KiB without dots to double.
    Each { mode: Mode, recipients: usize },
    /// The same where the next message waits for the connection.
    WhileWaiting { mode: Mode, recipients: usize },
}

/// How content goes out.
#[derive(Clone, Copy)]
enum Mode {
    Data,
    /// By BDAT, after the replies to RCPT; the default.
    Chunks,
    /// By BDAT, in one write with the commands.
    SingleFlight,
}

#[derive(Clone, Copy)]
enum Content {
    /// 10 MiB.
    Memory,
    /// Large, and in memory only once, for its pieces are all the same.
    Segments,
    /// Large, of lines.
    TextFile,
    /// Large, of zeros.
    BinaryFile,
}

use Content::{BinaryFile, Memory, Segments, TextFile};
use Measured::{Allocations, Each, InFlight, Kept, WhileWaiting};
use Mode::{Chunks, Data, SingleFlight};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const PIECE: usize = 64 * KIB;
/// Bytes of the largest message that goes together with its commands in a single flight.
const SINGLE_FLIGHT: usize = 64 * KIB;
/// Sessions that are kept.
const SESSIONS: usize = 200;
/// Messages whose allocations are counted.
const MESSAGES: usize = 50;

pub(crate) const GATES: &[Gate] = &[
    gate("in_flight_from_memory_by_chunks", InFlight { mode: Chunks, content: Memory }),
    gate("in_flight_from_segments_by_chunks", InFlight { mode: Chunks, content: Segments }),
    gate("in_flight_from_memory_by_data", InFlight { mode: Data, content: Memory }),
    gate("in_flight_from_segments_by_data", InFlight { mode: Data, content: Segments }),
    gate("in_flight_from_a_file_by_chunks", InFlight { mode: Chunks, content: TextFile }),
    gate("in_flight_from_a_file_by_data", InFlight { mode: Data, content: TextFile }),
    gate("in_flight_from_a_binary_file", InFlight { mode: Chunks, content: BinaryFile }),
    gate("a_session_kept_after_small_messages", Kept { mode: Chunks, size: KIB }),
    gate("a_session_kept_after_messages_of_60_kib", Kept { mode: Chunks, size: 60 * KIB }),
    gate("a_session_kept_after_messages_of_one_flight", Kept { mode: SingleFlight, size: 60 * KIB }),
    gate("allocations_do_not_grow_with_content_by_chunks", Allocations { mode: Chunks }),
    gate("allocations_do_not_grow_with_content_by_data", Allocations { mode: Data }),
    gate("allocations_for_a_recipient_by_chunks", Each { mode: Chunks, recipients: 1 }),
    gate("allocations_for_a_recipient_by_data", Each { mode: Data, recipients: 1 }),
    gate("allocations_for_a_recipient_in_one_flight", Each { mode: SingleFlight, recipients: 1 }),
    gate("allocations_for_ten_recipients_by_chunks", Each { mode: Chunks, recipients: 10 }),
    gate("allocations_for_ten_recipients_by_data", Each { mode: Data, recipients: 10 }),
    gate("allocations_for_ten_recipients_in_one_flight", Each { mode: SingleFlight, recipients: 10 }),
    gate("allocations_while_the_next_waits_by_chunks", WhileWaiting { mode: Chunks, recipients: 1 }),
    gate("allocations_while_the_next_waits_by_data", WhileWaiting { mode: Data, recipients: 1 }),
    gate(
        "allocations_while_the_next_waits_in_one_flight",
        WhileWaiting { mode: SingleFlight, recipients: 1 },
    ),
    gate("allocations_for_ten_while_the_next_waits", WhileWaiting { mode: Data, recipients: 10 }),
];

const fn gate(name: &'static str, measured: Measured) -> Gate {
    Gate { name, measured }
}

impl Gate {
    pub(crate) fn most(&self) -> usize {
        match self.measured {
            InFlight { .. } => 128 * KIB,
            Kept { .. } => 4 * KIB,
            Allocations { .. } => 8,
            Each { recipients, .. } | WhileWaiting { recipients, .. } => 4 + 2 * recipients,
        }
    }

    pub(crate) fn unit(&self) -> &'static str {
        match self.measured {
            InFlight { .. } | Kept { .. } => "octets",
            Allocations { .. } | Each { .. } | WhileWaiting { .. } => "allocations",
        }
    }

    /// By deliveries to a port; large content has so many MiB.
    pub(crate) async fn measure(&self, port: u16, mib: usize) -> usize {
        match self.measured {
            InFlight { mode, content } => in_flight(&deliverer(port, mode), content, mib).await,
            Kept { mode, size } => kept(&deliverer(port, mode), size).await,
            Allocations { mode } => by_size(&deliverer(port, mode)).await,
            Each { mode, recipients } => {
                allocations_each(&deliverer(port, mode), &envelope(recipients), &without_dots()).await
            }
            WhileWaiting { mode, recipients } => {
                let deliverer = with_connections(1, port, mode);
                while_waiting(&deliverer, &envelope(recipients), &without_dots()).await
            }
        }
    }
}

impl Mode {
    fn apply(self, builder: DelivererBuilder) -> DelivererBuilder {
        let limit = if matches!(self, SingleFlight) { SINGLE_FLIGHT } else { 0 };
        builder.chunking(!matches!(self, Data)).single_flight_limit(limit)
    }
}

async fn in_flight(deliverer: &Deliverer, content: Content, mib: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let (envelope, message) = (envelope(1), content.message(&folder.path().join("content"), mib).await);
    let peak = Peak::begin();
    deliver(deliverer, &envelope, &message).await;
    peak.above()
}

async fn kept(deliverer: &Deliverer, size: usize) -> usize {
    let (envelope, message) = (envelope(1), in_memory(size));
    deliver(deliverer, &envelope, &message).await;
    let (before, idle) = (live(), deliverer.connections().idle);
    join_all((0..SESSIONS).map(|_| deliver(deliverer, &envelope, &message))).await;
    assert_eq!((idle, deliverer.connections().idle), (1, SESSIONS));
    (live() - before).div_ceil(SESSIONS - 1)
}

async fn by_size(deliverer: &Deliverer) -> usize {
    let small = allocations_each(deliverer, &envelope(1), &in_memory(KIB)).await;
    let large = allocations_each(deliverer, &envelope(1), &in_memory(MIB)).await;
    large.saturating_sub(small)
}

async fn allocations_each(deliverer: &Deliverer, envelope: &Envelope, message: &Message) -> usize {
    deliver(deliverer, envelope, message).await;
    let before = allocations();
    for _ in 0..MESSAGES {
        deliver(deliverer, envelope, message).await;
    }
    (allocations() - before).div_ceil(MESSAGES)
}

/// Of a message while two deliveries take turns on one connection.
async fn while_waiting(deliverer: &Deliverer, envelope: &Envelope, message: &Message) -> usize {
    deliver(deliverer, envelope, message).await;
    let turns = || async {
        for _ in 0..MESSAGES {
            deliver(deliverer, envelope, message).await;
        }
    };
    // what is kept grows to its size
    join(turns(), turns()).await;
    let before = allocations();
    join(turns(), turns()).await;
    (allocations() - before).div_ceil(2 * MESSAGES)
}

async fn deliver(deliverer: &Deliverer, envelope: &Envelope, message: &Message) {
    let report = deliverer.deliver(envelope, message).await;
    assert!(report.is_delivered(), "{report}");
}

fn deliverer(port: u16, mode: Mode) -> Deliverer {
    with_connections(SESSIONS, port, mode)
}

fn with_connections(connections: usize, port: u16, mode: Mode) -> Deliverer {
    let route = Route::relay(format!("smtp://127.0.0.1:{port}").parse().unwrap());
    let mut pool = PoolSettings::default();
    (pool.connections, pool.idle_connections, pool.idle) = (connections, SESSIONS, Duration::from_secs(3600));
    let builder = Deliverer::builder("client.example").resolver(MemoryResolver::builder().build().unwrap());
    let builder = builder.router(RouteTable::new(route)).pool(pool);
    mode.apply(builder).build().unwrap()
}

fn envelope(recipients: usize) -> Envelope {
    let mut to = (0..recipients).map(|number| format!("ann{number}@example.org"));
    to.try_fold(Envelope::new("news@example.net").unwrap(), |envelope, to| envelope.to(&to)).unwrap()
}

/// So many octets of lines.
fn text(size: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(size);
    text.extend_from_slice(b"Subject: x\r\n\r\n");
    text.extend(b".The quick brown fox jumps over the lazy dog.\r\n".iter().cycle().take(size - 16));
    text.extend_from_slice(b"\r\n");
    text
}

fn without_dots() -> Message {
    Message::from_text("A line of text.\n".repeat(KIB / 16)).unwrap()
}

fn in_memory(size: usize) -> Message {
    Message::from_bytes(text(size)).unwrap()
}

impl Content {
    /// A message; a file is made at the path.
    async fn message(self, path: &Path, mib: usize) -> Message {
        match self {
            Memory => in_memory(10 * MIB),
            Segments => {
                let piece = Bytes::from(text(PIECE));
                Message::from_segments(std::iter::repeat_n(piece, mib * MIB / PIECE)).unwrap()
            }
            TextFile => {
                let (mut file, piece) = (File::create(path).unwrap(), text(PIECE));
                (0..mib * MIB / PIECE).for_each(|_| file.write_all(&piece).unwrap());
                Message::from_file(path).await.unwrap()
            }
            BinaryFile => {
                // with no block on any disk
                File::create(path).unwrap().set_len((mib * MIB) as u64).unwrap();
                Message::from_binary_file(path).await.unwrap()
            }
        }
    }
}
