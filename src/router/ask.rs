//! [`Router`]: the question where the mail of a recipient goes.

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::mail::{Envelope, Recipient};
use crate::route::Route;

/// Says for each recipient where its mail goes.
///
/// # Contract
///
/// - It is asked once for each recipient of an envelope in each attempt, duplicates included, in any order and
///   concurrently: by [`route_now`](Self::route_now), and by [`route`](Self::route) only if that said `None`. An answer is
///   final, errors included.
/// - `route` has all the answers, those of `route_now` as well: who does not mind to wait asks it alone.
/// - Recipients whose routes are equal are delivered together, in one transaction if they can be. Equal answers
///   to equal questions keep them together; a router that spreads load does so by the envelope, not by the recipient.
/// - An error defers the recipient and says nothing about the others. What shall fail for good is a
///   [`Route::Refuse`], not an error.
/// - A next hop in a [`Route::Relay`] is the operator's word: never take its host from the message or
///   from the recipient's address.
/// - The future may be dropped before it is ready.
///
/// # Implementing
///
/// ```
/// use nexthop::{NextHops, Route, RouteRequest, Router, RouterError};
///
/// /// By MX at first, through relays after the third attempt.
/// #[derive(Debug)]
/// struct WithFallback(NextHops);
///
/// #[async_trait::async_trait]
/// impl Router for WithFallback {
///     async fn route(&self, request: &RouteRequest<'_>) -> Result<Route, RouterError> {
///         match request.attempt.number {
///             ..=3 => Ok(Route::mx()),
///             _ => Ok(Route::relays(self.0.clone())),
///         }
///     }
/// }
/// ```
///
/// A future in a box for each recipient is saved where the answer is at hand:
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::RwLock;
///
/// use nexthop::{Domain, Route, RouteRequest, Router, RouterError};
///
/// /// Asks a directory, and remembers.
/// #[derive(Debug, Default)]
/// struct Remembering(RwLock<HashMap<Domain, Route>>);
///
/// #[async_trait::async_trait]
/// impl Router for Remembering {
///     fn route_now(&self, request: &RouteRequest<'_>) -> Option<Result<Route, RouterError>> {
///         let Some(domain) = request.recipient.domain() else {
///             return Some(Ok(Route::Local));
///         };
///         let known = self.0.try_read().ok()?; // `route` may wait for a lock, this must not
///         known.get(domain).cloned().map(Ok)
///     }
///
///     async fn route(&self, request: &RouteRequest<'_>) -> Result<Route, RouterError> {
///         match self.route_now(request) {
///             Some(answer) => answer,
///             None => self.ask_directory(request).await,
///         }
///     }
/// }
/// # impl Remembering {
/// #     async fn ask_directory(&self, _: &RouteRequest<'_>) -> Result<Route, RouterError> {
/// #         Err(RouterError::new("the directory is down"))
/// #     }
/// # }
/// ```
#[async_trait]
pub trait Router: Debug + Send + Sync + 'static {
    /// The answer, if there is no waiting for it; `None`, the default, has [`route`](Self::route) asked. Asked for all
    /// recipients of an envelope before any of them is waited for, and must not block.
    ///
    /// A router that can answer without waiting implements it and lets `route` give the same answer: that saves a boxed
    /// future for each recipient. A router around another one asks that by the method by which it is asked itself.
    ///
    /// # Errors
    /// Those of `route`.
    fn route_now(&self, _request: &RouteRequest<'_>) -> Option<Result<Route, RouterError>> {
        None
    }

    /// The route of one recipient.
    ///
    /// # Errors
    /// The answer cannot be found now; the recipient is deferred.
    async fn route(&self, request: &RouteRequest<'_>) -> Result<Route, RouterError>;
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<R: Router + ?Sized> Router for Arc<R> {
    fn route_now(&self, request: &RouteRequest<'_>) -> Option<Result<Route, RouterError>> {
        (**self).route_now(request)
    }

    async fn route(&self, request: &RouteRequest<'_>) -> Result<Route, RouterError> {
        (**self).route(request).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<R: Router + ?Sized> Router for Box<R> {
    fn route_now(&self, request: &RouteRequest<'_>) -> Option<Result<Route, RouterError>> {
        (**self).route_now(request)
    }

    async fn route(&self, request: &RouteRequest<'_>) -> Result<Route, RouterError> {
        (**self).route(request).await
    }
}

/// What a [`Router`] is asked.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RouteRequest<'a> {
    /// The recipient in question, one of the envelope's.
    pub recipient: &'a Recipient,
    /// The envelope that is to be delivered.
    pub envelope: &'a Envelope,
    /// How often and for how long this has been tried.
    pub attempt: Attempt,
}

impl<'a> RouteRequest<'a> {
    /// The question for one recipient of an envelope.
    pub fn new(recipient: &'a Recipient, envelope: &'a Envelope, attempt: Attempt) -> Self {
        Self { recipient, envelope, attempt }
    }
}

/// How often and for how long a message has been tried. The default: for the first time, and just come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Attempt {
    /// Which attempt this is; the first is 1.
    pub number: u32,
    /// How long ago the message was accepted for delivery.
    pub message_age: Duration,
}

impl Attempt {
    /// An attempt; the first is number 1.
    pub fn new(number: u32, message_age: Duration) -> Self {
        Self { number, message_age }
    }
}

impl Default for Attempt {
    fn default() -> Self {
        Self::new(1, Duration::ZERO)
    }
}

/// A router has no answer now; the source says why.
#[derive(Debug, thiserror::Error)]
#[error("the router has no answer")]
pub struct RouterError {
    source: Box<dyn Error + Send + Sync>,
}

impl RouterError {
    /// With its cause: an error or a text.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: cause.into() }
    }
}

impl From<Box<dyn Error + Send + Sync>> for RouterError {
    fn from(source: Box<dyn Error + Send + Sync>) -> Self {
        Self { source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Defers the recipient with the number of the attempt.
    #[derive(Debug)]
    struct Counting;

    #[async_trait]
    impl Router for Counting {
        async fn route(&self, request: &RouteRequest<'_>) -> Result<Route, RouterError> {
            Ok(Route::defer(request.attempt.number.to_string()))
        }
    }

    fn envelope() -> Envelope {
        Envelope::new("a@example.net").unwrap().to("b@example.org").unwrap()
    }

    fn request(envelope: &Envelope) -> RouteRequest<'_> {
        RouteRequest::new(&envelope.recipients()[0], envelope, Attempt::new(7, Duration::from_secs(60)))
    }

    async fn ask(router: impl Router) -> Route {
        router.route(&request(&envelope())).await.unwrap()
    }

    fn ask_now(router: impl Router) -> Option<Route> {
        router.route_now(&request(&envelope())).map(Result::unwrap)
    }

    /// Says at once what it was asked, and something else where it is waited for.
    #[derive(Debug)]
    struct Prompt;

    #[async_trait]
    impl Router for Prompt {
        fn route_now(&self, request: &RouteRequest<'_>) -> Option<Result<Route, RouterError>> {
            Some(Ok(Route::refuse(request.attempt.number.to_string())))
        }

        async fn route(&self, _: &RouteRequest<'_>) -> Result<Route, RouterError> {
            Ok(Route::Local)
        }
    }

    #[tokio::test]
    async fn pointers_pass_the_question_on() {
        let shared: Arc<dyn Router> = Arc::new(Counting);
        assert_eq!(ask(Arc::clone(&shared)).await, Route::defer("7"));
        assert_eq!(ask(Box::new(shared) as Box<dyn Router>).await, Route::defer("7"));
    }

    #[test]
    fn pointers_pass_the_question_without_waiting_on() {
        assert_eq!(ask_now(Arc::new(Prompt) as Arc<dyn Router>), Some(Route::refuse("7")));
        assert_eq!(ask_now(Box::new(Prompt) as Box<dyn Router>), Some(Route::refuse("7")));
    }

    #[test]
    fn a_router_has_no_answer_without_waiting_unless_it_says_so() {
        assert_eq!(ask_now(Counting), None);
    }

    #[test]
    fn the_first_attempt_is_the_default() {
        assert_eq!(Attempt::default(), Attempt::new(1, Duration::ZERO));
    }

    #[test]
    fn an_error_keeps_its_cause() {
        let error = RouterError::new("the directory is down");
        assert_eq!(error.source().unwrap().to_string(), "the directory is down");
    }
}
