//! [`Part`]: the hosts behind one word of a destination, and what is known of them.

use std::fmt;
use std::net::IpAddr;
use std::task::{self, Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use super::addresses::{Kept, kept, sorted};
use super::candidate::{Candidate, Note, Standing};
use super::hop::Hop;
use super::lookup::HostLookup;
use super::outline::{Listed, Outline};
use super::planner::Planner;
use super::source::Sources;
use crate::outcome::Failure;
use crate::resolver::{ResolveError, Security};
use crate::route::Families;

/// The exchangers of a domain, the servers of a relay, or an address.
#[derive(Default)]
pub(super) struct Part<'a> {
    asking: Option<BoxFuture<'a, Outline>>,
    hosts: Vec<Host<'a>>,
    pub(super) dead_end: Option<Failure>,
    pub(super) security: Option<Security>,
    pub(super) notes: Vec<Note>,
}

enum Host<'a> {
    Known(Box<Candidate>),
    Asked(Box<(Hop, HostLookup<'a>)>),
}

impl<'a> Part<'a> {
    /// A part whose hosts are to be found first.
    pub(super) fn asking(outline: impl Future<Output = Outline> + Send + 'a) -> Self {
        Self { asking: Some(outline.boxed()), ..Self::default() }
    }

    /// A part of which everything is known.
    pub(super) fn known(outline: Outline, planner: Planner<'a>) -> Self {
        let mut part = Self::default();
        part.adopt(outline, planner, &mut 0);
        part
    }

    /// Asks on. Hosts for which there are no questions left are given up.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        planner: Planner<'a>,
        questions: &mut usize,
        delay: Option<Duration>,
    ) {
        if let Some(asking) = &mut self.asking
            && let Poll::Ready(outline) = asking.poll_unpin(context)
        {
            self.adopt(outline, planner, questions);
        }
        for host in &mut self.hosts {
            if let Host::Asked(asked) = host {
                asked.1.poll(context, delay);
            }
        }
    }

    fn adopt(&mut self, outline: Outline, planner: Planner<'a>, questions: &mut usize) {
        self.asking = None;
        self.hosts = outline.hosts.into_iter().map(|listed| Host::new(listed, planner, questions)).collect();
        self.dead_end = outline.dead_end;
        self.security = outline.security;
        self.notes = outline.notes;
    }

    /// Leaves what was not answered.
    pub(super) fn give_up(&mut self, why: &ResolveError) {
        if self.asking.take().is_some() {
            self.dead_end =
                Some(Failure::resolving("cannot look up where the mail goes".to_owned(), why.clone()));
        }
        for host in &mut self.hosts {
            if let Host::Asked(asked) = host {
                asked.1.give_up(why);
            }
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.asking.is_none() && self.hosts.iter().all(Host::is_complete)
    }

    pub(super) fn families(&self, place: usize) -> Families {
        match self.hosts.get(place) {
            Some(Host::Asked(asked)) => asked.0.families,
            Some(Host::Known(_)) | None => Families::default(),
        }
    }

    pub(super) fn max_addresses(&self, place: usize) -> usize {
        match self.hosts.get(place) {
            Some(Host::Asked(asked)) => asked.0.max_addresses,
            Some(Host::Known(_)) | None => 1,
        }
    }

    pub(super) fn host_is_complete(&self, place: usize) -> bool {
        self.hosts.get(place).is_none_or(Host::is_complete)
    }

    /// Waits until a host can be tried; not before all that are no worse are known well enough, for one of them may be
    /// this host (RFC 5321 section 5.1). `None`: there is no such host.
    pub(super) fn poll_host(&mut self, place: usize, context: &mut Context<'_>) -> Poll<Option<()>> {
        if self.asking.is_some() {
            return Poll::Pending;
        }
        let Some(preference) = self.hosts.get(place).map(Host::preference) else {
            return Poll::Ready(None);
        };
        for (other, host) in self.hosts.iter_mut().enumerate() {
            let no_worse = preference.is_some() && host.preference() <= preference;
            if other == place || no_worse {
                task::ready!(host.poll_enough(context));
            }
        }
        Poll::Ready(Some(()))
    }

    /// The candidates of a host, as far as they are known, in the order in which they are tried.
    pub(super) fn candidates(
        &self,
        place: usize,
        planner: &Planner<'_>,
        sources: &Sources,
    ) -> (Vec<Candidate>, Option<Note>) {
        let Some(host) = self.hosts.get(place) else { return (Vec::new(), None) };
        let (mut candidates, note) = host.candidates(planner, sources);
        if let Some((own, why)) = self.best_own(planner)
            && host.preference().is_some()
            && host.preference() >= own
        {
            candidates.iter_mut().for_each(|candidate| {
                candidate.standing = Standing::Unusable(Failure::leads_back(&candidate.name(), &why));
            });
        }
        (candidates, note)
    }

    /// Returns the preference of the most preferred exchanger that is this host, and how it was recognized.
    fn best_own(&self, planner: &Planner<'_>) -> Option<(Option<u16>, String)> {
        let own =
            self.hosts.iter().filter_map(|host| Some((host.preference(), host.own_host_evidence(planner)?)));
        own.min_by_key(|(preference, _)| *preference)
    }
}

impl<'a> Host<'a> {
    fn new(listed: Listed, planner: Planner<'a>, questions: &mut usize) -> Self {
        let hop = match listed {
            Listed::Known(candidate) => return Self::Known(candidate),
            Listed::Named(hop) => hop,
        };
        let lookup = hop
            .name()
            .map(|name| HostLookup::new(planner.resolver, planner.query(name.clone()), hop.families));
        match lookup {
            Some(lookup) if lookup.open() <= *questions => {
                *questions -= lookup.open();
                Self::Asked(Box::new((*hop, lookup)))
            }
            _ => {
                let failure = Failure::resolving(
                    format!("the addresses of {} were not looked up", hop.host),
                    ResolveError::temporary("too many questions for one delivery"),
                );
                Self::Known(Box::new(hop.unusable(Standing::Unusable(failure))))
            }
        }
    }

    fn preference(&self) -> Option<u16> {
        match self {
            Self::Known(candidate) => candidate.preference,
            Self::Asked(asked) => asked.0.preference,
        }
    }

    fn is_complete(&self) -> bool {
        match self {
            Self::Known(_) => true,
            Self::Asked(asked) => asked.1.is_complete(),
        }
    }

    fn poll_enough(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Known(_) => Poll::Ready(()),
            Self::Asked(asked) => asked.1.poll_enough(context),
        }
    }

    /// Returns how it was recognized as this host, or `None` if it is not known to be this host.
    fn own_host_evidence(&self, planner: &Planner<'_>) -> Option<String> {
        let Self::Asked(asked) = self else { return None };
        let (hop, lookup) = &**asked;
        if !hop.may_lead_back() {
            return None;
        }
        if let Some(name) = lookup.names().find(|name| planner.is_own_name(name)) {
            return Some(format!("the mail exchanger {} leads to {name}, a name of this host", hop.host));
        }
        let known = lookup.addresses().unwrap_or_default();
        let address = known.iter().find(|address: &&IpAddr| planner.is_own_address(**address))?;
        Some(format!("the mail exchanger {} has {address}, an address of this host", hop.host))
    }

    fn candidates(&self, planner: &Planner<'_>, sources: &Sources) -> (Vec<Candidate>, Option<Note>) {
        let (hop, lookup) = match self {
            Self::Known(candidate) => return (vec![(**candidate).clone()], None),
            Self::Asked(asked) => (&asked.0, &asked.1),
        };
        let found = match lookup.addresses() {
            Ok(found) => found,
            Err(reason) => {
                let standing = Standing::Unusable(hop.no_addresses(reason));
                return (vec![hop.unusable(standing)], None);
            }
        };
        let all = found.len();
        let sorted = sorted(found, hop.families, hop.max_addresses, |address| sources.of(address));
        let judge = |address| (address, hop.at(address, planner.policy, lookup.security(address)));
        let mut judged: Vec<_> = sorted.into_iter().map(judge).collect();
        let verdicts: Vec<_> =
            judged.iter().map(|(ip, candidate)| (*ip, candidate.failure().is_none())).collect();
        let Kept { addresses, left_out } = kept(&verdicts, hop.max_addresses);
        let left_out = all - judged.len() + left_out;
        let (host, kept) = (hop.host.clone(), addresses.len());
        let note = (left_out > 0).then_some(Note::AddressesLeftOut { host, kept, left_out });
        judged.retain(|(address, _)| addresses.contains(address));
        judged.dedup_by_key(|(address, _)| *address);
        (judged.into_iter().map(|(_, candidate)| candidate).collect(), note)
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("hosts", &self.hosts.len()).finish_non_exhaustive()
    }
}
