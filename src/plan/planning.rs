//! [`Planning`]: a plan that is being made while its first hosts are tried already.

use std::collections::HashSet;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use futures_util::future::FutureExt;
use tokio::time::{Sleep, sleep};

use super::candidate::{Candidate, Note, Plan, Standing};
use super::destination::Destination;
use super::part::Part;
use super::planner::Planner;
use super::source::Sources;
use crate::mail::Host;
use crate::outcome::Failure;
use crate::resolver::ResolveError;
use crate::route::{Endpoint, Families};
use crate::tls::Promise;

/// Gives the hosts of a destination in turn, each as soon as it may be tried, while later ones are still looked up.
pub(crate) struct Planning<'a> {
    planner: Planner<'a>,
    parts: Vec<Part<'a>>,
    /// The host that comes next.
    next: HostPlace,
    /// Where hosts that were given lead.
    given: HashSet<Given>,
    questions: usize,
    sources: Sources,
    /// Whether a host is given before both families are known.
    is_hasty: bool,
    ends: Option<Pin<Box<Sleep>>>,
}

/// What is dialled once: an address of a part, and the name that must be proved there.
type Given = (usize, Endpoint, Option<Host>);

/// Which host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostPlace {
    part: usize,
    host: usize,
}

/// A host, and its candidates as far as they are known.
#[derive(Debug)]
pub(crate) struct HostPlan {
    /// Which host, if not everything about it is known yet.
    pub(crate) place: Option<HostPlace>,
    pub(crate) candidates: Vec<Candidate>,
    /// Where further candidates of it lead.
    pub(crate) had: Vec<Endpoint>,
    /// The order in which its families are wanted.
    pub(crate) families: Families,
    /// What was left out of it.
    pub(crate) note: Option<Note>,
}

impl<'a> Planning<'a> {
    pub(super) fn new(planner: Planner<'a>, parts: Vec<Part<'a>>, sources: Sources) -> Self {
        Self {
            planner,
            parts,
            next: HostPlace { part: 0, host: 0 },
            given: HashSet::new(),
            questions: planner.settings.max_questions,
            sources,
            is_hasty: true,
            ends: None,
        }
    }

    /// The next host that may be tried; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Option<HostPlan> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Whether everything about a host is known.
    pub(crate) fn is_complete(&self, of: HostPlace) -> bool {
        self.parts.get(of.part).is_none_or(|part| part.host_is_complete(of.host))
    }

    /// The candidates of a host that are not among `had`, once everything about it is known.
    pub(crate) async fn rest(&mut self, of: HostPlace, had: &[Endpoint]) -> Vec<Candidate> {
        poll_fn(|context| {
            self.poll(context);
            if self.is_complete(of) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let (mut candidates, _) = self.candidates(of);
        candidates.retain(|candidate| {
            let is_known = candidate.endpoint.as_ref().is_some_and(|endpoint| had.contains(endpoint));
            !is_known && self.is_new(of.part, candidate)
        });
        // the limit of the host is for both families together
        candidates.truncate(self.max_addresses(of).saturating_sub(had.len()).max(1));
        candidates
    }

    /// Does some work while the lookups go on.
    pub(crate) async fn alongside<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.poll(context);
            work.poll_unpin(context)
        })
        .await
    }

    /// Does some work while the lookups go on, but not after everything about a host is known.
    pub(crate) async fn until_complete<F: Future>(&mut self, of: HostPlace, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.poll(context);
            match work.poll_unpin(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if self.is_complete(of) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Why there are no hosts at all.
    pub(crate) fn dead_end(&self) -> Option<Failure> {
        self.parts.iter().find_map(|part| part.dead_end.clone())
    }

    /// The whole plan, when all is known.
    pub(super) async fn finish(mut self, destination: Destination) -> Plan {
        self.is_hasty = false;
        let (mut candidates, mut notes) = (Vec::new(), Vec::new());
        while let Some(host) = self.next().await {
            candidates.extend(host.candidates);
            notes.extend(host.note);
        }
        let from_parts = self.parts.iter().flat_map(|part| part.notes.iter().cloned());
        let notes = from_parts.chain(notes).collect();
        let security = self.parts.first().and_then(|part| part.security);
        Plan { destination, candidates, security, notes, dead_end: self.dead_end() }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<HostPlan>> {
        self.poll(context);
        while let Some(part) = self.parts.get_mut(self.next.part) {
            if !self.is_hasty && !part.is_complete() {
                return Poll::Pending;
            }
            let place = self.next;
            if ready!(part.poll_host(place.host, context)).is_none() {
                self.next = HostPlace { part: place.part + 1, host: 0 };
                continue;
            }
            self.next.host += 1;
            let (mut candidates, note) = self.candidates(place);
            candidates.retain(|candidate| self.is_new(place.part, candidate));
            let (families, is_complete) = (self.families(place), self.is_complete(place));
            if !candidates.is_empty() || !is_complete {
                let place = (!is_complete).then_some(place);
                return Poll::Ready(Some(HostPlan { place, candidates, had: Vec::new(), families, note }));
            }
        }
        Poll::Ready(None)
    }

    /// An address that several hosts of a part have is dialled once, unless another name must be proved there. To
    /// another part it is another relay, with rights and secrets of its own.
    fn is_new(&mut self, part: usize, candidate: &Candidate) -> bool {
        let Standing::Allowed(dial) = &candidate.standing else { return true };
        let name = candidate.certificate_name.as_ref().or(candidate.host.as_ref());
        let proved = name.filter(|_| candidate.tls.promise >= Promise::Pkix);
        self.given.insert((part, dial.endpoint(), proved.cloned()))
    }

    fn candidates(&mut self, of: HostPlace) -> (Vec<Candidate>, Option<Note>) {
        match self.parts.get(of.part) {
            Some(part) => part.candidates(of.host, &self.planner, &self.sources),
            None => (Vec::new(), None),
        }
    }

    fn max_addresses(&self, of: HostPlace) -> usize {
        self.parts.get(of.part).map_or(0, |part| part.max_addresses(of.host))
    }

    fn families(&self, of: HostPlace) -> Families {
        self.parts.get(of.part).map_or_else(Families::default, |part| part.families(of.host))
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        let settings = self.planner.settings;
        let delay = self.is_hasty.then_some(settings.resolution_delay);
        for part in self.parts.iter_mut().filter(|part| !part.is_complete()) {
            part.poll(context, self.planner, &mut self.questions, delay);
        }
        if self.parts.iter().all(Part::is_complete) {
            return;
        }
        let ends = self.ends.get_or_insert_with(|| Box::pin(sleep(settings.lookup_time)));
        if ends.as_mut().poll(context).is_ready() {
            let late = ResolveError::temporary("the time for lookups is over");
            self.parts.iter_mut().for_each(|part| part.give_up(&late));
        }
    }
}

impl fmt::Debug for Planning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parts, next, questions, .. } = self;
        write!(f, "Planning({parts:?}, next {next:?}, {questions} questions left)")
    }
}
