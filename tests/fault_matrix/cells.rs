//! The cells of the matrix.

use std::fmt;

use fastrand::Rng;
use nexthop::Protocol;

use crate::fault::{Fault, Kind, Step, Strike, Timing};
use crate::plan::Plan;

/// How the server is spoken to, and what it offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transport {
    pub(crate) protocol: Protocol,
    pub(crate) pipelining: bool,
    pub(crate) chunking: bool,
    /// Whether content may precede the replies to RCPT.
    pub(crate) single_flight: bool,
    /// Whether the server leaves a chunk that it refuses unread, and executes it as commands.
    pub(crate) unread_chunk: bool,
}

/// The way in which the messages share connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Each message has a connection of its own; the fault is on the first.
    Fresh,
    /// One after another on a kept connection; the fault is on the second.
    Kept,
    /// At once on one connection that was kept; the fault is on the first of them.
    Leader,
    /// At once on one connection that was kept; the fault is on the second of them.
    Follower,
}

/// One cell of the matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) transport: Transport,
    pub(crate) sharing: Sharing,
    pub(crate) recipients: usize,
    /// The decision of the server about the message that the fault strikes, and about the next one.
    pub(crate) plan: Plan,
    pub(crate) next_plan: Plan,
    pub(crate) fault: Fault,
    /// Further faults.
    pub(crate) further: [Option<Strike>; 2],
    /// Seed of the segments in which the server writes its replies. Without it a segment ends where input does.
    pub(crate) pace: Option<u64>,
}

impl Sharing {
    /// Number of the message that the fault strikes. The first message has number 1.
    pub(crate) fn victim(self) -> usize {
        match self {
            Self::Fresh => 1,
            Self::Kept | Self::Leader => 2,
            Self::Follower => 3,
        }
    }
}

impl Cell {
    /// Returns all faults.
    pub(crate) fn strikes(&self) -> impl Iterator<Item = Strike> {
        let first = Strike { message: self.sharing.victim(), fault: self.fault };
        [Some(first)].into_iter().chain(self.further).flatten()
    }

    /// Returns `true` if there is one fault, and segments end where input does.
    pub(crate) fn is_single(&self) -> bool {
        self.further == [None, None] && self.pace.is_none()
    }

    /// Returns `true` if no client can tell the replies apart. Replies have no names; without 354 a shift shows only by its
    /// timing. So it does where the server closes the session or waits between segments beside it, or speaks once more
    /// before its first command of the session in lock step.
    pub(crate) fn is_beyond_clients(&self) -> bool {
        let is_shift = |strike: &Strike| strike.fault.kind.shifts_replies();
        let is_mixed = self.pace.is_some() || self.strikes().any(|strike| strike.fault.kind.ends_session());
        let is_early = matches!(self.fault.step, Step::Greeting | Step::Hello)
            && matches!(self.fault.kind, Kind::Surplus(_, Timing::Apart));
        self.strikes().any(|strike| is_shift(&strike)) && is_mixed || is_early && !self.transport.pipelining
    }

    /// Returns the number of the first message that a fault may strike.
    pub(crate) fn first_victim(&self) -> usize {
        let may_be_any = self.further != [None, None] || self.fault.step.is_of_connection();
        if may_be_any { 1 } else { self.sharing.victim() }
    }

    /// Returns the decision of the server about a message.
    pub(crate) fn plan_of(&self, message: usize) -> Plan {
        match message.checked_sub(self.sharing.victim()) {
            Some(0) => self.plan,
            Some(1) => self.next_plan,
            _ => Plan::Accept,
        }
    }

    /// Returns `true` if the message has more than one chunk.
    pub(crate) fn is_large(&self, message: usize) -> bool {
        self.fault.step == Step::Chunk && message == self.sharing.victim()
    }

    /// Returns the number of replies to the content of a message whose recipients are all accepted.
    pub(crate) fn finals(&self) -> usize {
        if self.transport.protocol == Protocol::Lmtp { self.recipients } else { 1 }
    }

    fn steps(transport: Transport, recipients: usize) -> Vec<Step> {
        let finals = if transport.protocol == Protocol::Lmtp { recipients } else { 1 };
        let content = if transport.chunking { Step::Chunk } else { Step::Data };
        [Step::Greeting, Step::Hello, Step::Mail]
            .into_iter()
            .chain((0..recipients).map(Step::Rcpt))
            .chain([content])
            .chain((0..finals).map(Step::Final))
            .chain([Step::Reset, Step::Quit])
            .collect()
    }
}

/// Returns the cells, simple ones first. With the environment variable `FAULT_MATRIX_ALL` also those that hardly differ from
/// others; these take minutes.
pub(crate) fn all() -> Vec<Cell> {
    let has_all = std::env::var_os("FAULT_MATRIX_ALL").is_some();
    let mut cells = Vec::new();
    for (recipients, plan, next_plan) in plans() {
        for transport in transports() {
            for sharing in [Sharing::Fresh, Sharing::Kept, Sharing::Leader, Sharing::Follower] {
                for step in Cell::steps(transport, recipients) {
                    for kind in Kind::ALL {
                        let fault = Fault { step, kind };
                        let (further, pace) = ([None, None], None);
                        let cell =
                            Cell { transport, sharing, recipients, plan, next_plan, fault, further, pace };
                        let is_wanted = cell.is_reached() && (has_all || cell.is_worth_its_time());
                        cells.extend(is_wanted.then_some(cell));
                    }
                }
            }
        }
    }
    cells.extend((0..RANDOM).map(random));
    cells
}

/// Number of random cells.
const RANDOM: u64 = 4000;

/// Returns a cell with up to three faults, and replies in random segments.
fn random(seed: u64) -> Cell {
    let mut rng = Rng::with_seed(seed);
    let (recipients, plan, next_plan) = *pick(&mut rng, &plans());
    let transport = *pick(&mut rng, &transports());
    let sharing = *pick(&mut rng, &[Sharing::Fresh, Sharing::Kept, Sharing::Leader, Sharing::Follower]);
    let steps: Vec<_> = Cell::steps(transport, recipients);
    let steps: Vec<_> = steps.into_iter().filter(|step| *step != Step::Chunk).collect();
    let mut fault = || Fault { step: *pick(&mut rng, &steps), kind: *pick(&mut rng, &Kind::ALL) };
    let (fault, others) = (fault(), [fault(), fault()]);
    let further = others.map(|fault| rng.bool().then(|| Strike { message: rng.usize(1..=4), fault }));
    let pace = rng.bool().then_some(seed);
    Cell { transport, sharing, recipients, plan, next_plan, fault, further, pace }
}

fn pick<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.usize(..choices.len())]
}

impl Cell {
    /// Returns `false` for cells whose fault cannot strike, or that equal another one.
    fn is_reached(&self) -> bool {
        let Self { fault, sharing, plan, .. } = *self;
        match fault.step {
            // without a fault the step does not matter
            step if fault.kind == Kind::None => step == Step::Mail,
            // the first connection is opened by a message that nothing else happens to
            Step::Greeting | Step::Hello => sharing == Sharing::Fresh,
            Step::Mail | Step::Reset => true,
            Step::Quit => sharing == Sharing::Fresh,
            Step::Rcpt(_) => plan != Plan::RefuseMail,
            Step::Data | Step::Chunk => !matches!(plan, Plan::RefuseMail | Plan::RefuseAll),
            Step::Final(index) => {
                !matches!(plan, Plan::RefuseMail | Plan::RefuseAll)
                    && plan.rcpt(index, self.recipients) == 250
            }
        }
    }

    /// Returns `false` for cells that hardly differ from others.
    fn is_worth_its_time(&self) -> bool {
        let Self { transport, fault, plan, next_plan, .. } = *self;
        let is_plain = plan == Plan::Accept && next_plan == Plan::Accept;
        match fault.step {
            // a message that is larger than a chunk costs as much time as ten others
            Step::Chunk if !is_plain || transport.unread_chunk => return false,
            Step::Greeting | Step::Hello if !is_plain => return false,
            Step::Quit if !is_plain && next_plan != Plan::RefuseContent => return false,
            _ => {}
        }
        let is_telling =
            self.recipients == 3 && (is_plain || plan == Plan::RefuseSecond || next_plan == Plan::RefuseAll);
        if !is_telling && (self.sharing == Sharing::Follower || fault.step == Step::Rcpt(1)) {
            return false;
        }
        // a chunk is refused where no recipient is accepted, or the client believes so
        let has_refusals = matches!(plan, Plan::RefuseAll | Plan::RefuseMail | Plan::RefuseLast);
        if transport.unread_chunk && !has_refusals && next_plan != Plan::RefuseAll {
            return false;
        }
        if fault.kind.shifts_replies() {
            return true;
        }
        // where each reply stands in its place, the other decisions of the server make no difference
        let is_mixed = plan == Plan::RefuseSecond || next_plan == Plan::RefuseContent;
        let is_about_reset = fault.step == Step::Reset && plan != Plan::DeferContent;
        let is_forgery = transport.unread_chunk && fault.kind == Kind::None;
        is_forgery || !transport.unread_chunk && (is_plain || is_mixed || is_about_reset)
    }
}

/// Numbers of recipients with decisions about the message that the fault strikes and the next one.
fn plans() -> Vec<(usize, Plan, Plan)> {
    use Plan::{Accept, DeferContent, RefuseAll, RefuseContent, RefuseLast, RefuseMail, RefuseSecond};
    vec![
        (1, Accept, Accept),
        (1, Accept, RefuseContent),
        (1, RefuseAll, Accept),
        (1, RefuseContent, Accept),
        (3, Accept, Accept),
        (3, Accept, RefuseAll),
        (3, Accept, RefuseContent),
        (3, RefuseSecond, Accept),
        (3, RefuseLast, Accept),
        (3, RefuseAll, Accept),
        (3, RefuseContent, Accept),
        (3, DeferContent, RefuseLast),
        (3, RefuseMail, Accept),
    ]
}

fn transports() -> Vec<Transport> {
    let mut transports = Vec::new();
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        for (pipelining, chunking, single_flight, unread_chunk) in [
            (false, false, false, false),
            (true, false, false, false),
            (false, true, false, false),
            (true, true, false, false),
            (true, true, true, false),
            (false, true, false, true),
            (true, true, false, true),
        ] {
            transports.push(Transport { protocol, pipelining, chunking, single_flight, unread_chunk });
        }
    }
    transports
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.protocol == Protocol::Lmtp { "lmtp" } else { "smtp" };
        let groups = if self.pipelining { "pipelining" } else { "lockstep" };
        let content = if self.chunking { "bdat" } else { "data" };
        let flight = if self.single_flight { " single-flight" } else { "" };
        let unread = if self.unread_chunk { " unread" } else { "" };
        write!(f, "{protocol} {groups} {content}{flight}{unread}")
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, sharing, recipients, plan, next_plan, fault, further, pace } = self;
        let sharing = match sharing {
            Sharing::Fresh => "fresh",
            Sharing::Kept => "kept",
            Sharing::Leader => "leader",
            Sharing::Follower => "follower",
        };
        write!(f, "{transport} {sharing} to-{recipients} {plan} then-{next_plan} {fault}")?;
        for strike in further.iter().flatten() {
            write!(f, " {strike}")?;
        }
        match pace {
            Some(seed) => write!(f, " pace-{seed}"),
            None => Ok(()),
        }
    }
}
