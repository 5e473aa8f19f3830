//! One attempt at one destination: host after host, for whoever is not settled yet.

use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::future::FutureExt;

use super::settle::{Pending, Tried, open};
use super::visit::{Task, Visit};
use crate::outcome::Failure;
use crate::plan::{Candidate, HostPlan, Planning};
use crate::transport::{Race, Socket};

/// The hosts of a destination, those who are to be delivered, and what was learnt on the way.
struct Attempt<'a, 'p, 'r> {
    task: Task<'a>,
    planning: &'a mut Planning<'p>,
    pending: &'a mut [Pending<'r>],
    /// Where nobody was at home a moment ago.
    put_off: Vec<HostPlan>,
    /// The best preference of a server that turned out to be this host.
    own_preference: Option<u16>,
}

type Addresses<'a> = Race<'a, Visit<'a>, Socket, Failure>;

/// Tries the hosts in turn until every recipient is settled. Those where nobody was at home a moment ago come last.
pub(super) async fn run(task: Task<'_>, planning: &mut Planning<'_>, pending: &mut [Pending<'_>]) {
    let mut attempt = Attempt { task, planning, pending, put_off: Vec::new(), own_preference: None };
    while attempt.is_open() {
        let Some(host) = task.in_time(attempt.planning.next()).await.flatten() else { break };
        attempt.visit_some(host).await;
    }
    for host in std::mem::take(&mut attempt.put_off) {
        attempt.visit(host).await;
    }
}

impl<'a> Attempt<'a, '_, '_> {
    /// Whether there is anybody to deliver, and time for it.
    fn is_open(&self) -> bool {
        !self.task.is_over() && self.pending.iter().any(|pending| !pending.is_settled())
    }

    /// Visits a host, and puts off the addresses where nobody was at home a moment ago.
    async fn visit_some(&mut self, host: HostPlan) {
        let memory = &self.task.parts.memory;
        let is_noted = |candidate: &Candidate| {
            candidate.failure().is_none()
                && candidate.endpoint.iter().any(|endpoint| memory.is_noted(endpoint))
        };
        let (noted, fresh): (Vec<_>, Vec<_>) = host.candidates.into_iter().partition(is_noted);
        if noted.is_empty() {
            return self.visit(HostPlan { candidates: fresh, ..host }).await;
        }
        // the other family, where it is not known yet, joins those that are tried now, if there are any
        let some_now = fresh.iter().any(|candidate| candidate.failure().is_none());
        let (now, last) = if some_now { (host.place, None) } else { (None, host.place) };
        let (had, families) =
            (noted.iter().filter_map(|noted| noted.endpoint.clone()).collect(), host.families);
        let failed = fresh.iter().filter_map(|fresh| fresh.endpoint.clone()).collect();
        self.put_off.push(HostPlan { place: last, candidates: noted, had: failed, families });
        self.visit(HostPlan { place: now, candidates: fresh, had, families }).await;
    }

    /// Tries the addresses of a host: whichever is connected to first, and after it the others for whoever is not settled
    /// then (check 101). Addresses that become known meanwhile join in.
    async fn visit(&mut self, host: HostPlan) {
        let mut had = host.had;
        had.extend(host.candidates.iter().filter_map(|candidate| candidate.endpoint.clone()));
        let (mut race, mut place) = (self.race(), host.place);
        self.allowed(host.candidates).for_each(|visit| race.add(visit));
        while self.is_open() {
            let done = match place {
                Some(of) => self.planning.until_complete(of, race.next()).await.flatten(),
                None => self.planning.alongside(race.next()).await,
            };
            match (done, place.take()) {
                (Some((visit, result)), of) => {
                    place = of;
                    if self.tried(&visit, result).await.is_break() {
                        return;
                    }
                }
                (None, Some(of)) => {
                    let Some(others) = self.task.in_time(self.planning.rest(of, &had)).await else { return };
                    race.join(self.allowed(others), |visit| visit.comes_early(host.families));
                }
                (None, None) => return,
            }
        }
    }

    fn race(&self) -> Addresses<'a> {
        Race::new(self.task.parts.limits.stagger, Visit::connect)
    }

    /// What may be dialled; of the rest it is noted why not.
    fn allowed(&mut self, candidates: Vec<Candidate>) -> impl Iterator<Item = Visit<'a>> + use<'a> {
        let task = self.task;
        let own_preference = self.own_preference;
        let visits = candidates.into_iter().map(|candidate| Visit { task, candidate: Arc::new(candidate) });
        let judged = visits.map(|visit| match visit.failure(own_preference) {
            None => Ok(visit),
            Some(failure) => Err(visit.tried(failure, None)),
        });
        let (allowed, not): (Vec<_>, Vec<_>) = judged.partition(Result::is_ok);
        not.into_iter().filter_map(Result::err).for_each(|tried| self.failed(&tried));
        allowed.into_iter().filter_map(Result::ok)
    }

    /// What comes of an address. Nothing more is tried at a host that turns out to be this one.
    async fn tried(&mut self, visit: &Visit<'a>, connected: Result<Socket, Failure>) -> ControlFlow<()> {
        let result = match connected {
            Ok(socket) => self.planning.alongside(visit.run(socket, self.pending).boxed()).await,
            Err(failure) => Err(visit.tried(failure, None)),
        };
        let memory = &self.task.parts.memory;
        let Err(tried) = result else {
            visit.endpoint().iter().for_each(|endpoint| memory.forget(endpoint));
            return ControlFlow::Continue(());
        };
        let failure = tried.attempt.failure();
        if failure.is_unreachable() {
            visit.endpoint().iter().for_each(|endpoint| memory.note(endpoint));
        }
        let is_loop = failure.is_loop();
        self.failed(&tried);
        if is_loop {
            self.own_preference = visit.candidate.preference;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Notes a failure for all who are not settled.
    fn failed(&mut self, tried: &Tried) {
        open(self.pending).for_each(|pending| pending.failed(tried.clone()));
    }
}
