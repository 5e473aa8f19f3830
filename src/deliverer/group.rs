//! Recipients of equal routes, together.

use std::collections::HashMap;

use super::routes::Answer;
use crate::escape;
use crate::mail::{Envelope, Recipient};
use crate::outcome::Failure;
use crate::plan::{Destination, Plan};
use crate::route::Route;

/// Where a recipient is to go.
#[derive(Debug, Clone)]
pub(super) enum Way {
    Server(Destination),
    Local,
    /// Nowhere, and why.
    Nowhere(Failure),
}

/// Recipients that go the same way.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) route: Option<Route>,
    pub(super) way: Way,
    /// The recipients with their places in the envelope.
    pub(super) recipients: Vec<(usize, &'a Recipient)>,
}

/// The plan for recipients that share a route.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupPlan {
    /// The recipients, in the order of the envelope.
    pub recipients: Vec<Recipient>,
    /// What the router said; `None` if it failed.
    pub route: Option<Route>,
    /// The plan, where the route leads to a server.
    pub plan: Option<Plan>,
    pub(super) nowhere: Option<Failure>,
}

impl GroupPlan {
    /// Why nothing would be delivered; `None` if something would be tried.
    pub fn error(&self) -> Option<Failure> {
        self.nowhere.clone().or_else(|| self.plan.as_ref()?.error())
    }
}

/// A line for the recipients, then the plan.
impl std::fmt::Display for GroupPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |recipient: &Recipient| escape::one_line(recipient.to_string().as_bytes());
        let recipients: Vec<_> = self.recipients.iter().map(shown).collect();
        write!(f, "{}: ", recipients.join(", "))?;
        match (&self.plan, &self.nowhere) {
            (Some(plan), _) => plan.fmt(f),
            (None, Some(failure)) => write!(f, "nowhere ({}): {}", failure.status(), failure.detail()),
            (None, None) => f.write_str("kept by this host"),
        }
    }
}

/// The way of a recipient on a route.
pub(super) fn way(route: &Route, recipient: &Recipient) -> Way {
    match (Destination::new(route, recipient), route) {
        (Err(failure), _) => Way::Nowhere(failure),
        (Ok(Some(destination)), _) => Way::Server(destination),
        (Ok(None), Route::Refuse(reason)) => Way::Nowhere(Failure::route_refused(reason.as_str())),
        (Ok(None), Route::Defer(reason)) => Way::Nowhere(Failure::route_deferred(reason.as_str())),
        (Ok(None), _) => Way::Local,
    }
}

/// Puts recipients together whose routes are equal, in the order in which the first of each stands.
pub(super) fn groups<'a>(envelope: &'a Envelope, routes: Vec<Answer>) -> Vec<Group<'a>> {
    let (mut groups, mut places) = (Vec::new(), HashMap::new());
    for ((index, recipient), route) in envelope.recipients().iter().enumerate().zip(routes) {
        let (route, way) = match route {
            Ok(route) => (Some(route.clone()), way(&route, recipient)),
            Err(failure) => (None, Way::Nowhere(failure)),
        };
        let next = groups.len();
        let place = key(&way, route.as_ref()).map_or(next, |key| *places.entry(key).or_insert(next));
        if place == next {
            groups.push(Group { route, way, recipients: Vec::new() });
        }
        groups[place].recipients.push((index, recipient));
    }
    groups
}

#[derive(PartialEq, Eq, Hash)]
enum Key {
    Server(Destination),
    Route(Route),
}

/// What equal ways have in common. A failure of one recipient is shared with nobody.
fn key(way: &Way, route: Option<&Route>) -> Option<Key> {
    match (way, route) {
        (Way::Server(destination), _) => Some(Key::Server(destination.clone())),
        (_, Some(route @ (Route::Local | Route::Refuse(_) | Route::Defer(_)))) => {
            Some(Key::Route(route.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(recipients: &[&str], routes: &[&str]) -> Vec<Vec<usize>> {
        let envelope = recipients.iter().fold(Envelope::new("").unwrap(), |e, r| e.to(r).unwrap());
        let routes = routes.iter().map(|route| Ok(route.parse().unwrap())).collect();
        let groups = groups(&envelope, routes);
        groups.iter().map(|group| group.recipients.iter().map(|(index, _)| *index).collect()).collect()
    }

    #[test]
    fn check_034_068_equal_domains_and_equal_relays_go_together() {
        let to = ["a@EX.example", "b@other.example", "c@ex.example", "d@other.example"];
        assert_eq!(grouped(&to, &["mx"; 4]), [vec![0, 2], vec![1, 3]]);
        assert_eq!(grouped(&to, &["smtp://r.example"; 4]), [vec![0, 1, 2, 3]]);
        assert_eq!(grouped(&to, &["mx:one.example"; 4]), [vec![0, 1, 2, 3]]);
        let mixed = ["smtp://r.example", "mx", "smtp://r.example:25", "lmtp://r.example"];
        assert_eq!(grouped(&to, &mixed), [vec![0, 2], vec![1], vec![3]]);
    }

    #[test]
    fn check_049_postmaster_has_no_mail_exchanger() {
        let envelope = Envelope::new("").unwrap().to("postmaster").unwrap();
        let groups = groups(&envelope, vec![Ok(Route::mx())]);
        assert!(matches!(&groups[0].way, Way::Nowhere(failure) if failure.is_permanent()));
    }

    #[test]
    fn attack_a13_single_labels_are_not_looked_up() {
        for recipient in ["u@localhost", "u@mail", "u@a.localhost"] {
            let recipient = Recipient::parse(recipient).unwrap();
            assert!(matches!(way(&Route::mx(), &recipient), Way::Nowhere(failure) if failure.is_permanent()));
        }
    }
}
