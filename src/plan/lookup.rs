//! [`HostLookup`]: the questions about one host, both families side by side (RFC 8305 section 3).

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::{Sleep, sleep};

use super::addresses::{Answered, Found, NoAddresses, both};
use crate::mail::DnsName;
use crate::resolver::{Answer, Query, ResolveError, Resolver, Security};
use crate::route::Families;

/// Both questions about a host, and what is known so far.
pub(super) struct HostLookup<'a> {
    v6: Half<'a>,
    v4: Half<'a>,
    families: Families,
    /// Runs while the family that is wanted first lets the other one wait.
    delay: Option<Pin<Box<Sleep>>>,
}

enum Half<'a> {
    Unasked,
    Asked(BoxFuture<'a, Answered>),
    Answered(Answered),
}

impl<'a> HostLookup<'a> {
    /// Nothing is asked before the first [`poll`](Self::poll).
    pub(super) fn new(resolver: &'a dyn Resolver, query: Query, families: Families) -> Self {
        let (four, six) = (query.clone(), query);
        let v4 = move || Half::Asked(async move { found(resolver.ipv4(&four).await) }.boxed());
        let v6 = move || Half::Asked(async move { found(resolver.ipv6(&six).await) }.boxed());
        let (v4, v6) = match families {
            Families::V4Only => (v4(), Half::Unasked),
            Families::V6Only => (Half::Unasked, v6()),
            Families::V4ThenV6 | Families::V6ThenV4 | Families::Balanced => (v4(), v6()),
        };
        Self { v6, v4, families, delay: None }
    }

    /// How many questions of it are open.
    pub(super) fn open(&self) -> usize {
        [&self.v4, &self.v6].into_iter().filter(|half| matches!(half, Half::Asked(_))).count()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.open() == 0
    }

    /// Asks on, AAAA before A. The family that is wanted first may let the other one wait for `delay`.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, delay: Option<Duration>) {
        self.v6.poll(context);
        self.v4.poll(context);
        if let Some(delay) = delay.filter(|_| self.delay.is_none() && !self.is_complete())
            && self.halves()[1].has_addresses()
        {
            self.delay = Some(Box::pin(sleep(delay)));
        }
    }

    /// Whether there is enough to dial: everything is known, or the family that is wanted first has addresses, or the
    /// other one has and this one let it wait long enough.
    pub(super) fn poll_enough(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_complete() || self.halves()[0].has_addresses() {
            return Poll::Ready(());
        }
        self.delay.as_mut().map_or(Poll::Pending, |delay| delay.as_mut().poll(context))
    }

    /// The family that is wanted first, and the other one.
    fn halves(&self) -> [&Half<'a>; 2] {
        match self.families {
            Families::V4ThenV6 | Families::V4Only => [&self.v4, &self.v6],
            Families::V6ThenV4 | Families::V6Only | Families::Balanced => [&self.v6, &self.v4],
        }
    }

    /// Leaves what was not answered.
    pub(super) fn give_up(&mut self, why: &ResolveError) {
        self.v4.give_up(why);
        self.v6.give_up(why);
    }

    /// The addresses that are known.
    pub(super) fn addresses(&self) -> Result<Vec<IpAddr>, NoAddresses> {
        both([self.v4.answer(), self.v6.answer()])
    }

    /// Where the aliases of the host end, as far as that is known.
    pub(super) fn names(&self) -> impl Iterator<Item = &DnsName> {
        let answers = [self.v4.answer(), self.v6.answer()].into_iter().flatten();
        answers.filter_map(|answer| answer.as_ref().ok()).map(|found| &found.name)
    }

    /// What DNSSEC proved of an address's family.
    pub(super) fn security(&self, address: IpAddr) -> Option<Security> {
        let half = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        half.answer()?.as_ref().ok().map(|found| found.security)
    }
}

impl Half<'_> {
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Self::Asked(question) = self
            && let Poll::Ready(answer) = question.poll_unpin(context)
        {
            *self = Self::Answered(answer);
        }
    }

    fn answer(&self) -> Option<&Answered> {
        match self {
            Self::Answered(answer) => Some(answer),
            Self::Unasked | Self::Asked(_) => None,
        }
    }

    fn has_addresses(&self) -> bool {
        matches!(self, Self::Answered(Ok(found)) if !found.addresses.is_empty())
    }

    fn give_up(&mut self, why: &ResolveError) {
        if matches!(self, Self::Asked(_)) {
            *self = Self::Answered(Err(why.clone()));
        }
    }
}

fn found<T: Copy + Into<IpAddr>>(answer: Result<Answer<T>, ResolveError>) -> Answered {
    answer.map(|answer| Found {
        addresses: answer.records.iter().map(|address| (*address).into()).collect(),
        security: answer.security,
        name: answer.canonical_name,
    })
}

impl fmt::Debug for HostLookup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (v4, v6) = (self.v4.answer(), self.v6.answer());
        f.debug_struct("HostLookup").field("v4", &v4).field("v6", &v6).finish_non_exhaustive()
    }
}
