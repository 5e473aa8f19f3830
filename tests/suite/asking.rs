//! How a router is asked: without waiting at first, and once for each recipient.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use nexthop::{Attempt, Deliverer, DeliveryLimits, Route, RouteRequest, Router, RouterError};

use crate::support::{envelope, in_time, message, shown};

/// Answers as the recipient is called, and notes how it was asked.
#[derive(Debug, Default)]
struct Asked {
    notes: Mutex<Vec<String>>,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
}

impl Asked {
    fn note(&self, how: &str, request: &RouteRequest<'_>) -> String {
        let recipient = request.recipient.to_string();
        let name = recipient.strip_suffix("@x.example").unwrap().to_owned();
        self.notes.lock().unwrap().push(format!("{how} {name}"));
        name
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Router for Asked {
    fn route_now(&self, request: &RouteRequest<'_>) -> Option<Result<Route, RouterError>> {
        match self.note("now", request).as_str() {
            "known" => Some(Ok(Route::refuse("known"))),
            "lost" => Some(Err(RouterError::new("lost"))),
            _ => None,
        }
    }

    async fn route(&self, request: &RouteRequest<'_>) -> Result<Route, RouterError> {
        let name = self.note("wait", request);
        self.most_waiting.fetch_max(1 + self.waiting.fetch_add(1, SeqCst), SeqCst);
        tokio::task::yield_now().await;
        self.waiting.fetch_sub(1, SeqCst);
        if name == "away" { Err(RouterError::new("away")) } else { Ok(Route::defer(name)) }
    }
}

fn deliverer() -> (Arc<Asked>, Deliverer) {
    let asked = Arc::new(Asked::default());
    let deliverer = crate::support::builder("local").router(Arc::clone(&asked)).build().unwrap();
    (asked, deliverer)
}

#[tokio::test]
async fn who_has_an_answer_at_once_is_not_waited_for() {
    let (asked, deliverer) = deliverer();
    in_time(deliverer.deliver(&envelope("known lost known"), &message())).await;
    assert_eq!(asked.notes(), ["now known", "now lost", "now known"]);
}

#[tokio::test]
async fn all_are_asked_without_waiting_and_then_once_those_without_an_answer() {
    let (asked, deliverer) = deliverer();
    in_time(deliverer.deliver(&envelope("slow known away slow"), &message())).await;
    let now = ["now slow", "now known", "now away", "now slow"];
    assert_eq!(asked.notes(), [&now[..], &["wait slow", "wait away", "wait slow"]].concat());
}

#[tokio::test]
async fn answers_of_both_kinds_stay_with_their_recipients() {
    let (_, deliverer) = deliverer();
    let to = envelope("slow known away lost known slow");
    let report = in_time(deliverer.deliver(&to, &message())).await;
    let (held, refused) = ("deferred routing - 4.7.1", "failed routing - 5.7.1");
    let no_answer = "deferred routing - 4.4.3";
    assert_eq!(shown(&report), [held, refused, no_answer, no_answer, refused, held]);
}

#[tokio::test]
async fn a_plan_asks_as_a_delivery_does() {
    let (asked, deliverer) = deliverer();
    let plans = in_time(deliverer.plans(&envelope("slow known"), Attempt::default())).await;
    assert_eq!(asked.notes(), ["now slow", "now known", "wait slow"]);
    let routes: Vec<_> = plans.into_iter().filter_map(|plan| plan.route).collect();
    assert_eq!(routes, [Route::defer("slow"), Route::refuse("known")]);
}

#[tokio::test]
async fn so_many_are_waited_for_side_by_side_as_the_limit_says() {
    for limit in [1, 2, 5] {
        let asked = Arc::new(Asked::default());
        let mut limits = DeliveryLimits::default();
        limits.routings = limit;
        let builder = crate::support::builder("local").router(Arc::clone(&asked)).limits(limits);
        in_time(builder.build().unwrap().deliver(&envelope("a b c d e"), &message())).await;
        assert_eq!(asked.most_waiting.load(SeqCst), limit);
    }
}
