//! [`Lookup`]: one question, with all that is asked on its behalf.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Message, Query as Question};
use hickory_resolver::proto::rr::RecordType;
use tokio::time::{Instant as Deadline, timeout, timeout_at};

use crate::mail::DnsName;

use super::super::answer::{Answer, Security};
use super::super::error::ResolveError;
use super::super::question::Requester;
use super::cache::Outcome;
use super::exchange::{Client, ServerError, Wants};
use super::permits::{LookupId, Permits};
use super::response::{Response, aliases};
use super::servers::{Server, Servers};
use super::settings::ResolverSettings;
use super::walk::{End, Walk};
use super::wire::{WireRecord, question};

/// Walks from a name to the end of its aliases. All steps, servers and rounds draw on one number of questions.
#[derive(Debug)]
pub(super) struct Lookup<'a> {
    pub(super) settings: &'a ResolverSettings,
    pub(super) servers: &'a Servers,
    pub(super) permits: &'a Permits,
    pub(super) id: LookupId,
    /// The requester that queries are charged to.
    pub(super) requester: Requester,
    /// Deadline of the lookup.
    pub(super) ends: Deadline,
    pub(super) believes_ad: bool,
    pub(super) questions_left: usize,
    /// `true` if a query waited for a permit until the deadline.
    pub(super) is_out_of_permits: bool,
}

/// What a server did with a question.
#[derive(Debug, thiserror::Error)]
#[error("name server {server}")]
struct ServerFailure {
    server: SocketAddr,
    source: ServerError,
}

impl Lookup<'_> {
    pub(super) async fn run<T: WireRecord>(mut self, name: &DnsName) -> Outcome<T> {
        match self.resolve(name).await {
            Ok(outcome) => outcome,
            // this says nothing about the name, so it is not kept
            Err(error) if self.is_out_of_permits => Outcome::without_permit(error),
            // failures are kept too, shortly (RFC 9520 section 3.2)
            Err(error) => Outcome::new(Err(error), self.settings.failure_ttl),
        }
    }

    async fn resolve<T: WireRecord>(&mut self, name: &DnsName) -> Result<Outcome<T>, ResolveError> {
        let mut walk = Walk::new(name.clone(), self.settings.max_aliases);
        let end = self.end_of(&mut walk).await?;
        let life = end.ttl.map(|ttl| Duration::from_secs(ttl.into()).min(self.settings.max_ttl));
        let said = match end.records {
            None => Err(ResolveError::NoSuchName),
            Some(records) => {
                let security = self.security(name, &walk).await?;
                let valid_until = life.map(|life| Instant::now() + life);
                let answer = Answer::new(walk.name().clone(), records).with_security(security);
                Ok(Answer { valid_until, ..answer })
            }
        };
        Ok(Outcome::new(said, life.unwrap_or_default()))
    }

    async fn end_of<T: WireRecord>(&mut self, walk: &mut Walk) -> Result<End<T>, ResolveError> {
        loop {
            let message = self.ask(walk.name(), T::TYPE).await?;
            if let Some(end) = walk.take(Response::read(&message, self.believes_ad))? {
                return Ok(end);
            }
        }
    }

    /// What is proved. Of an insecure chain the first step may be secure alone: that is a question of its own (RFC 7672 section 2.2.2).
    async fn security(&mut self, name: &DnsName, walk: &Walk) -> Result<Security, ResolveError> {
        if !self.believes_ad || !walk.first_step_is_open() {
            return Ok(walk.security());
        }
        // A failure is passed on: taken for "insecure", it would let whoever drops packets switch DANE off.
        // The code of this response says nothing: it may be NXDOMAIN of the alias's target.
        let message = self.ask(name, RecordType::CNAME).await?;
        let is_secure = message.authentic_data && aliases(&message).any(|alias| alias.owner == *name);
        Ok(if is_secure { Security::FIRST_STEP } else { Security::NONE })
    }

    /// Asks one server after the other for one name.
    async fn ask(&mut self, name: &DnsName, kind: RecordType) -> Result<Message, ResolveError> {
        let question = question(name, kind)?;
        let wants = if self.believes_ad { Wants::Verdict } else { Wants::Answer };
        let mut failures = Failures::default();
        let servers = self.servers;
        for server in servers.rounds(self.settings.rounds) {
            match self.ask_one(server, &question, wants).await? {
                Ok(message) => return Ok(message),
                Err(error) => failures.add(server, error),
            }
        }
        Err(self.verdict(failures, &question).await)
    }

    /// Tells bogus from broken: a validating server says SERVFAIL of both. Mail waits for either, only the report differs.
    async fn verdict(&mut self, failures: Failures<'_>, question: &Question) -> ResolveError {
        if !self.believes_ad {
            return failures.into_error();
        }
        if let Some(reason) = failures.bogus {
            return ResolveError::bogus(reason);
        }
        let Some(server) = failures.failed else { return failures.into_error() };
        // what comes without validation is a sign and never data
        match self.ask_one(server, question, Wants::AnyAnswer).await {
            Ok(Ok(_)) => ResolveError::bogus("it is there, but no name server vouches for it"),
            _ => failures.into_error(),
        }
    }

    /// The outer error: no more may be asked for this lookup.
    async fn ask_one(
        &mut self,
        server: &Server,
        question: &Question,
        wants: Wants,
    ) -> Result<Result<Message, ServerError>, ResolveError> {
        let left = self.questions_left.checked_sub(1);
        self.questions_left = left.ok_or_else(|| ResolveError::temporary("it takes too many questions"))?;
        let permit = timeout_at(self.ends, self.permits.acquire(self.id, self.requester)).await;
        let permit = permit.map_err(|_| self.out_of_permits())?;
        let asked = Deadline::now();
        let limit = self.settings.timeout.min(self.servers.share_of(self.settings.deadline));
        let client = Client { settings: self.settings, wants };
        let result = timeout(limit, permit.run(|| client.ask(server, question))).await;
        self.requester = permit.requester().unwrap_or(self.requester);
        let result = result.unwrap_or(Err(ServerError::Silent(limit)));
        match &result {
            Err(error) if error.is_silence() => server.was_silent(asked, self.settings.silence_memory),
            _ => server.spoke(),
        }
        Ok(result)
    }

    fn out_of_permits(&mut self) -> ResolveError {
        self.is_out_of_permits = true;
        let settings = self.settings;
        ResolveError::temporary(format!(
            "the query was not sent within {:?}: the limit of {} queries in flight was reached",
            settings.deadline, settings.max_in_flight
        ))
    }
}

/// What the servers did instead of answering.
#[derive(Debug, Default)]
struct Failures<'a> {
    last: Option<ServerFailure>,
    /// What validation found wrong, by the word of a server.
    bogus: Option<&'static str>,
    /// A server that said SERVFAIL.
    failed: Option<&'a Server>,
}

impl<'a> Failures<'a> {
    fn add(&mut self, server: &'a Server, source: ServerError) {
        if let ServerError::Failed { bogus } = source {
            self.failed = Some(server);
            self.bogus = self.bogus.or(bogus);
        }
        self.last = Some(ServerFailure { server: server.address, source });
    }

    fn into_error(self) -> ResolveError {
        match self.last {
            Some(failure) => ResolveError::temporary_from("no name server answered the question", failure),
            None => ResolveError::temporary("there is no name server to ask"),
        }
    }
}
