//! [`FallbackRelay`]: a router that gives up on mail exchangers after a while.

use std::time::Duration;

use async_trait::async_trait;

use crate::route::{NextHops, Route};

use super::ask::{Attempt, RouteRequest, Router, RouterError};

/// A router around another one: what that sends by MX goes to relays once it has been tried often or for long.
///
/// The two bounds are [`after_attempts`](Self::after_attempts) and [`after_age`](Self::after_age); either is enough, and
/// with neither nothing changes. They are looked at before an attempt: one that fails goes to the relays the
/// next time, not at once. All mail that is late goes to the same next hops, whatever [`MxRoute`](crate::MxRoute)
/// it would have had, address literals included. Other routes, and errors, are passed on as they are.
///
/// ```
/// use std::time::Duration;
///
/// use nexthop::{FallbackRelay, Route, RouteTable};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hops = vec!["smtp://patient.example.net".parse()?];
/// let router = FallbackRelay::new(RouteTable::new(Route::mx()), hops)?
///     .after_attempts(3) // the fourth goes to the relay
///     .after_age(Duration::from_secs(4 * 3600));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FallbackRelay<R> {
    inner: R,
    hops: NextHops,
    attempts: Option<u32>,
    age: Option<Duration>,
}

impl<R: Router> FallbackRelay<R> {
    /// Around this router, with these next hops to fall back to. Without a bound they are never used.
    ///
    /// # Errors
    /// No next hops.
    pub fn new(inner: R, hops: impl Into<NextHops>) -> Result<Self, NoFallbackHops> {
        let hops = hops.into();
        if hops.is_empty() {
            return Err(NoFallbackHops);
        }
        Ok(Self { inner, hops, attempts: None, age: None })
    }

    /// Mail exchangers are tried so many times; the attempt after these goes to the relays. 0: the first one does.
    #[must_use]
    pub fn after_attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Attempts go to the relays once the message is as old as this.
    #[must_use]
    pub fn after_age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    fn is_due(&self, attempt: Attempt) -> bool {
        self.attempts.is_some_and(|bound| attempt.number > bound)
            || self.age.is_some_and(|bound| attempt.message_age >= bound)
    }

    /// What becomes of a route in this attempt.
    fn instead_of(&self, route: Route, attempt: Attempt) -> Route {
        match route {
            Route::Mx(_) if self.is_due(attempt) => Route::Relay(self.hops.clone()),
            route => route,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<R: Router> Router for FallbackRelay<R> {
    fn route_now(&self, request: &RouteRequest<'_>) -> Option<Result<Route, RouterError>> {
        let answer = self.inner.route_now(request)?;
        Some(answer.map(|route| self.instead_of(route, request.attempt)))
    }

    async fn route(&self, request: &RouteRequest<'_>) -> Result<Route, RouterError> {
        let route = self.inner.route(request).await?;
        Ok(self.instead_of(route, request.attempt))
    }
}

/// A [`FallbackRelay`] without next hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no next hops to fall back to")]
#[non_exhaustive]
pub struct NoFallbackHops;

#[cfg(test)]
mod tests {
    use std::error::Error;

    use crate::mail::{Domain, Envelope};
    use crate::route::NextHop;
    use crate::router::RouteTable;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const RELAYS: &str = "smtp://one.example:25,smtp://two.example:25";

    fn relays() -> Vec<NextHop> {
        RELAYS.split(',').map(|hop| hop.parse().unwrap()).collect()
    }

    fn around(route: Route) -> FallbackRelay<RouteTable> {
        FallbackRelay::new(RouteTable::new(route), relays()).unwrap()
    }

    fn envelope() -> Envelope {
        Envelope::new("a@example.net").unwrap().to("b@example.org").unwrap()
    }

    async fn ask(router: &impl Router, attempt: Attempt) -> Result<Route, RouterError> {
        let envelope = envelope();
        router.route(&RouteRequest::new(&envelope.recipients()[0], &envelope, attempt)).await
    }

    fn ask_now(router: &impl Router, attempt: Attempt) -> Option<Result<Route, RouterError>> {
        let envelope = envelope();
        router.route_now(&RouteRequest::new(&envelope.recipients()[0], &envelope, attempt))
    }

    async fn answer(router: &impl Router, number: u32, age: Duration) -> String {
        ask(router, Attempt::new(number, age)).await.unwrap().to_string()
    }

    #[tokio::test]
    async fn the_attempt_after_the_bound_goes_to_the_relays() {
        let router = around(Route::mx()).after_attempts(3);
        for (number, route) in [(1, "mx"), (3, "mx"), (4, RELAYS), (u32::MAX, RELAYS)] {
            assert_eq!(answer(&router, number, 1000 * HOUR).await, route, "{number}");
        }
    }

    #[tokio::test]
    async fn no_attempt_is_left_to_mail_exchangers_where_the_bound_is_0() {
        assert_eq!(answer(&around(Route::mx()).after_attempts(0), 1, Duration::ZERO).await, RELAYS);
    }

    #[tokio::test]
    async fn a_message_of_the_age_goes_to_the_relays() {
        let router = around(Route::mx()).after_age(HOUR);
        for (age, route) in [(HOUR - Duration::from_nanos(1), "mx"), (HOUR, RELAYS), (2 * HOUR, RELAYS)] {
            assert_eq!(answer(&router, 1000, age).await, route, "{age:?}");
        }
    }

    #[tokio::test]
    async fn either_bound_is_enough() {
        let router = around(Route::mx()).after_attempts(3).after_age(HOUR);
        for (number, age, route) in
            [(3, HOUR / 2, "mx"), (4, Duration::ZERO, RELAYS), (1, HOUR, RELAYS), (4, HOUR, RELAYS)]
        {
            assert_eq!(answer(&router, number, age).await, route, "{number} {age:?}");
        }
    }

    #[tokio::test]
    async fn nothing_changes_without_a_bound() {
        assert_eq!(answer(&around(Route::mx()), u32::MAX, Duration::MAX).await, "mx");
    }

    #[tokio::test]
    async fn mx_of_another_domain_falls_back_as_well() {
        let route = Route::mx_of(Domain::parse("other.example").unwrap());
        assert_eq!(answer(&around(route).after_attempts(1), 2, Duration::ZERO).await, RELAYS);
    }

    #[tokio::test]
    async fn other_routes_are_passed_on() {
        for text in ["local", "lmtp://localhost:24", "refuse:no", "defer:later"] {
            let router = around(text.parse().unwrap()).after_attempts(0).after_age(Duration::ZERO);
            assert_eq!(answer(&router, 9, HOUR).await, text);
        }
    }

    #[tokio::test]
    async fn the_answer_without_waiting_is_that_of_waiting() {
        for text in ["mx", "mx:other.example", "local", "lmtp://localhost:24", "refuse:no", "defer:later"] {
            let router = around(text.parse().unwrap()).after_attempts(3).after_age(HOUR);
            for attempt in [(3, HOUR / 2), (4, HOUR / 2), (1, HOUR)] {
                let attempt = Attempt::new(attempt.0, attempt.1);
                let now = ask_now(&router, attempt).unwrap().unwrap();
                assert_eq!(now, ask(&router, attempt).await.unwrap(), "{text} {attempt:?}");
            }
        }
    }

    #[test]
    fn all_who_fall_back_share_the_hops() {
        let router = around(Route::mx()).after_attempts(0);
        let [one, other] = [(); 2].map(|()| ask_now(&router, Attempt::default()).unwrap().unwrap());
        assert!(one.same_as(&other));
    }

    /// Has to be waited for.
    #[derive(Debug)]
    struct Slow;

    #[async_trait]
    impl Router for Slow {
        async fn route(&self, _: &RouteRequest<'_>) -> Result<Route, RouterError> {
            Ok(Route::mx())
        }
    }

    #[tokio::test]
    async fn a_router_that_is_waited_for_falls_back_as_well() {
        let router = FallbackRelay::new(Slow, relays()).unwrap().after_attempts(0);
        assert!(ask_now(&router, Attempt::default()).is_none());
        assert_eq!(answer(&router, 1, Duration::ZERO).await, RELAYS);
    }

    /// Has no answer.
    #[derive(Debug)]
    struct Failing;

    #[async_trait]
    impl Router for Failing {
        fn route_now(&self, _: &RouteRequest<'_>) -> Option<Result<Route, RouterError>> {
            Some(Err(RouterError::new("the directory is out")))
        }

        async fn route(&self, _: &RouteRequest<'_>) -> Result<Route, RouterError> {
            Err(RouterError::new("the directory is down"))
        }
    }

    #[tokio::test]
    async fn errors_are_passed_on() {
        let router = FallbackRelay::new(Failing, relays()).unwrap().after_attempts(0);
        let error = ask(&router, Attempt::default()).await.unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "the directory is down");
    }

    #[test]
    fn errors_without_waiting_are_passed_on() {
        let router = FallbackRelay::new(Failing, relays()).unwrap().after_attempts(0);
        let error = ask_now(&router, Attempt::default()).unwrap().unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "the directory is out");
    }

    #[test]
    fn there_is_something_to_fall_back_to() {
        assert_eq!(FallbackRelay::new(Failing, Vec::new()).unwrap_err(), NoFallbackHops);
    }
}
