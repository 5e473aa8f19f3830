//! Reports and plans as JSON, by way of serde.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::group::GroupPlan;
use super::report::{Hop, HopAttempt, RecipientReport, Report};
use crate::escape;
use crate::mail::Recipient;
use crate::outcome::{Failure, Outcome};
use crate::plan::{Candidate, Standing};
use crate::proto::Reply;
use crate::tls::Secured;

/// `{"recipients": […], "tls_rpt": []}`.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("Report", 2)?;
        report.serialize_field("recipients", self.recipients())?;
        report.serialize_field("tls_rpt", &[(); 0])?;
        report.end()
    }
}

/// The recipient, its outcome, and how it came about.
impl Serialize for RecipientReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failure = self.outcome.failure();
        let mut report = serializer.serialize_struct("Recipient", 10)?;
        report.serialize_field("recipient", &shown(&self.recipient))?;
        report.serialize_field("outcome", word(&self.outcome))?;
        report.serialize_field("status", &self.outcome.status().to_string())?;
        report.serialize_field("kind", &failure.map(|failure| failure.kind().to_string()))?;
        report.serialize_field("stage", &failure.and_then(Failure::stage).map(|stage| stage.to_string()))?;
        report.serialize_field("detail", &failure.map(Failure::detail))?;
        report.serialize_field("may_have_arrived", &failure.is_some_and(Failure::may_have_arrived))?;
        report.serialize_field("reply", &self.outcome.reply().map(ReplyView))?;
        report.serialize_field("hop", &self.hop)?;
        report.serialize_field("attempts", &self.attempts)?;
        report.end()
    }
}

/// The path on one line; a local part may hold characters that turn the direction of writing.
fn shown(recipient: &Recipient) -> String {
    escape::one_line(recipient.to_string().as_bytes())
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered(_) => "delivered",
        Outcome::Deferred(_) => "deferred",
        Outcome::Failed(_) => "failed",
    }
}

struct ReplyView<'a>(&'a Reply);

impl Serialize for ReplyView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reply = serializer.serialize_struct("Reply", 3)?;
        reply.serialize_field("code", &self.0.code().as_u16())?;
        reply.serialize_field("enhanced", &self.0.enhanced().map(|code| code.to_string()))?;
        reply.serialize_field("text", &self.0.text().collect::<Vec<_>>())?;
        reply.end()
    }
}

/// Host, endpoint, protocol, and what TLS there was.
impl Serialize for Hop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut hop = serializer.serialize_struct("Hop", 4)?;
        hop.serialize_field("host", self.host())?;
        hop.serialize_field("endpoint", &self.endpoint().to_string())?;
        hop.serialize_field("protocol", &self.protocol().to_string())?;
        hop.serialize_field("tls", &self.secured().map(SecuredView))?;
        hop.end()
    }
}

struct SecuredView<'a>(&'a Secured);

impl Serialize for SecuredView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tls = serializer.serialize_struct("Tls", 2)?;
        tls.serialize_field("version", &self.0.version().to_string())?;
        tls.serialize_field("verified", &self.0.proof().to_string())?;
        tls.end()
    }
}

/// Host, endpoint, and why it did not take the message.
impl Serialize for HopAttempt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut attempt = serializer.serialize_struct("HopAttempt", 4)?;
        attempt.serialize_field("host", self.host())?;
        attempt.serialize_field("endpoint", &self.endpoint().map(ToString::to_string))?;
        attempt.serialize_field("kind", &self.failure().kind().to_string())?;
        attempt.serialize_field("detail", &self.failure().detail())?;
        attempt.end()
    }
}

/// Recipients, route, candidates, and why nothing would be tried.
impl Serialize for GroupPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let recipients: Vec<_> = self.recipients.iter().map(shown).collect();
        let candidates: Vec<_> =
            self.plan.iter().flat_map(|plan| &plan.candidates).map(CandidateView).collect();
        let mut plan = serializer.serialize_struct("Plan", 4)?;
        plan.serialize_field("recipients", &recipients)?;
        plan.serialize_field("route", &route(self))?;
        plan.serialize_field("candidates", &candidates)?;
        plan.serialize_field("error", &self.error().map(ErrorView))?;
        plan.end()
    }
}

fn route(plan: &GroupPlan) -> Option<String> {
    let destination = plan.plan.as_ref().map(|plan| plan.destination.to_string());
    destination.or_else(|| plan.route.as_ref().map(ToString::to_string))
}

struct CandidateView<'a>(&'a Candidate);

impl Serialize for CandidateView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (verdict, reason) = match &self.0.standing {
            Standing::Allowed(_) => ("allowed", None),
            Standing::Denied(denial) => ("denied", Some(denial.reason().to_owned())),
            Standing::Unusable(failure) => ("denied", Some(failure.detail())),
        };
        let mut candidate = serializer.serialize_struct("Candidate", 6)?;
        candidate.serialize_field("host", &self.0.name())?;
        candidate.serialize_field("preference", &self.0.preference)?;
        candidate.serialize_field("endpoint", &self.0.endpoint.as_ref().map(ToString::to_string))?;
        candidate.serialize_field("verdict", verdict)?;
        candidate.serialize_field("reason", &reason)?;
        candidate.serialize_field("tls", &self.0.tls.level().to_string())?;
        candidate.end()
    }
}

struct ErrorView(Failure);

impl Serialize for ErrorView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut error = serializer.serialize_struct("Error", 3)?;
        error.serialize_field("status", &self.0.status().to_string())?;
        error.serialize_field("kind", &self.0.kind().to_string())?;
        error.serialize_field("detail", &self.0.detail())?;
        error.end()
    }
}
