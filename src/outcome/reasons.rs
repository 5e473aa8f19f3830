//! The reasons that no dialogue gives: of routes, names, addresses, connections, credentials and this host.

use std::error::Error;
use std::fmt;

use super::failure::{Failure, Lasting};
use super::kind::FailureKind;
use crate::proto::{AuthenticationFailure, Interruption, Reply, ReplyCode, Stage};
use crate::status::EnhancedCode;

impl Failure {
    /// A failure of the host's own store or set-up that may be over at the next attempt (4.3.0).
    pub fn local_for_now(what: impl Into<String>) -> Self {
        Self::new(FailureKind::Local, Lasting::Temporary, (3, 0), what.into())
    }

    /// A failure of the host's own store that lasts; `status` gets class 5.
    pub fn local_for_good(status: EnhancedCode, what: impl Into<String>) -> Self {
        let numbers = (status.subject(), status.detail());
        Self::new(FailureKind::Local, Lasting::Everywhere, numbers, what.into())
    }

    /// The router refuses the recipient.
    pub(crate) fn route_refused(text: &str) -> Self {
        Self::new(FailureKind::Routing, Lasting::Everywhere, (7, 1), text.to_owned())
    }

    /// The router holds the recipient back.
    pub(crate) fn route_deferred(text: &str) -> Self {
        Self::new(FailureKind::Routing, Lasting::Temporary, (7, 1), text.to_owned())
    }

    /// The router failed.
    pub(crate) fn router(source: impl Error + Send + Sync + 'static) -> Self {
        Self::new(FailureKind::Routing, Lasting::Temporary, (4, 3), "no route was found".into())
            .because(source)
    }

    /// There is no way to the recipient, for good; subject and detail of the status say why.
    pub(crate) fn no_way(numbers: (u16, u16), what: String) -> Self {
        Self::new(FailureKind::Routing, Lasting::Everywhere, numbers, what)
    }

    /// A lookup failed for now.
    pub(crate) fn resolving(what: String, source: impl Error + Send + Sync + 'static) -> Self {
        Self::new(FailureKind::Resolving, Lasting::Temporary, (4, 3), what).because(source)
    }

    /// A host of which there are no addresses, so that another one may do better.
    pub(crate) fn no_addresses(what: String) -> Self {
        Self::new(FailureKind::Routing, Lasting::AtThisHost, (4, 4), what)
    }

    /// A relay of which there are no addresses: a slip of the operator's, or of the DNS.
    pub(crate) fn unknown_relay(what: String) -> Self {
        Self::new(FailureKind::Resolving, Lasting::Temporary, (4, 4), what)
    }

    /// A mail exchanger that is this host, or is not preferred to it. `why` names the exchanger that is this host.
    pub(crate) fn leads_back(host: &str, why: impl fmt::Display) -> Self {
        let what = format!("mail to {host} would come back to this host: {why}");
        Self::new(FailureKind::Routing, Lasting::AtThisHost, (4, 6), what)
    }

    /// A server that calls itself by a name of this host.
    pub(crate) fn is_this_host(name: impl fmt::Display) -> Self {
        let what = format!("the server calls itself {name}, as this host does: mail would loop");
        Self::new(FailureKind::Routing, Lasting::AtThisHost, (4, 6), what).at(Stage::Hello)
    }

    /// A connection was lost on which the whole message had been sent behind another one's (law 3).
    pub(crate) fn may_have_arrived_by_another() -> Self {
        Self::broken(Stage::Final, Interruption::Disconnected, true)
    }

    /// The time for the attempt was over before a host was tried.
    pub(crate) fn out_of_time() -> Self {
        let what = "the time for the attempt is over".to_owned();
        Self::new(FailureKind::TimedOut, Lasting::Temporary, (4, 7), what)
    }

    /// The time limit of the attempt expired before a connection was established.
    pub(crate) fn out_of_time_to_connect(endpoint: impl fmt::Display) -> Self {
        Self::connecting(format!("cannot connect to {endpoint}"), AttemptOver)
    }

    /// The time limit of the attempt expired before the pool had a connection, or a permit for one.
    pub(crate) fn out_of_time_in_line(endpoint: impl fmt::Display) -> Self {
        let what = format!("no connection to {endpoint} became free");
        Self::new(FailureKind::TimedOut, Lasting::Temporary, (4, 7), what).because(AttemptOver)
    }

    /// The session limit of the attempt was reached for the recipient, and there are hosts left.
    pub(crate) fn out_of_sessions() -> Self {
        let what = "no more sessions are allowed in this attempt".to_owned();
        Self::new(FailureKind::Throttled, Lasting::Temporary, (4, 0), what)
    }

    /// The address policy denies an address.
    pub(crate) fn forbidden(what: String) -> Self {
        Self::new(FailureKind::Forbidden, Lasting::AtThisHost, (4, 4), what)
    }

    /// No connection came about.
    pub(crate) fn connecting(what: String, source: impl Error + Send + Sync + 'static) -> Self {
        Self::new(FailureKind::Connecting, Lasting::Temporary, (4, 1), what).because(source)
    }

    /// TLS was not to be had as it was required (4.7.5, RFC 3463, RFC 7672 section 2.2).
    pub(crate) fn securing(error: impl Error + Send + Sync + 'static, stage: Stage) -> Self {
        let what = "the connection is not secured as it must be".to_owned();
        Self::new(FailureKind::Securing, Lasting::Temporary, (7, 5), what).because(error).at(stage)
    }

    /// The server offered STARTTLS and refused it where it was required.
    pub(crate) fn starttls_refused(reply: Reply) -> Self {
        let what = format!("the server said {reply} to STARTTLS");
        Self::new(FailureKind::Securing, Lasting::Temporary, (7, 5), what)
            .at(Stage::StartTls)
            .with_reply(reply)
    }

    /// The server closes the session instead of doing what it was asked for (RFC 5321 section 3.8).
    pub(crate) fn closing(stage: Stage, reply: Reply) -> Self {
        Self::refused(stage, reply, false)
    }

    /// The client could not log in. A relay's refusal of the credentials is no refusal of the mail (check 186).
    pub(crate) fn authenticating(failure: AuthenticationFailure) -> Self {
        let (reply, numbers) = match &failure {
            AuthenticationFailure::Refused { reply, .. } if reply.code() == ReplyCode::SERVICE_CLOSING => {
                return Self::closing(Stage::Auth, reply.clone());
            }
            AuthenticationFailure::Interrupted(why) => return Self::broken(Stage::Auth, why.clone(), false),
            AuthenticationFailure::Refused { reply, .. } => (Some(reply.clone()), (7, 8)),
            AuthenticationFailure::Mechanism(_) | AuthenticationFailure::NoMechanism => (None, (7, 0)),
        };
        let what = match &reply {
            Some(reply) => format!("the server said {reply} to AUTH"),
            None => "the client did not log in".to_owned(),
        };
        let failed = Self::new(FailureKind::Authenticating, Lasting::Temporary, numbers, what);
        let failed = failed.because(failure).at(Stage::Auth);
        match reply {
            Some(reply) => failed.with_reply(reply),
            None => failed,
        }
    }

    /// Credentials are to be sent, and the connection is not fit for them.
    pub(crate) fn unsafe_for_credentials() -> Self {
        let what = "credentials are not sent over a connection that proves too little".to_owned();
        Self::new(FailureKind::Authenticating, Lasting::Temporary, (7, 5), what).at(Stage::Auth)
    }

    /// The provider of credentials failed.
    pub(crate) fn no_credentials(source: impl Error + Send + Sync + 'static) -> Self {
        let what = "no credentials for the relay".to_owned();
        Self::new(FailureKind::Authenticating, Lasting::Temporary, (7, 0), what).because(source)
    }

    /// Octets came between the answer to STARTTLS and the handshake.
    pub(crate) fn injected() -> Self {
        let what = "the server sent octets in the clear after STARTTLS".to_owned();
        Self::new(FailureKind::Securing, Lasting::Temporary, (7, 5), what).at(Stage::StartTls)
    }
}

/// The time for an attempt ended a wait.
#[derive(Debug, thiserror::Error)]
#[error("the time for the attempt is over")]
struct AttemptOver;
