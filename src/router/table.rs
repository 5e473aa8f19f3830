//! [`RouteTable`]: a router of patterns.

use std::collections::HashMap;
use std::iter::successors;

use async_trait::async_trait;

use crate::mail::{Domain, Mailbox, Recipient};
use crate::route::Route;

use super::ask::{RouteRequest, Router, RouterError};
use super::pattern::{Pattern, PatternError};

/// A router of patterns: the first rule whose pattern fits the recipient decides.
///
/// Rules are in the order in which they were added, whatever kind of pattern they have. Looking one up takes
/// as many steps as the recipient's domain has labels, however many rules there are, and neither waits nor allocates.
///
/// `Postmaster` without a domain fits `*` only; a mailbox at an address literal fits its own pattern and `*`.
///
/// ```
/// use nexthop::{Envelope, Route, RouteTable};
///
/// let table = RouteTable::new(Route::mx())
///     .mailbox("archive@example.org", "lmtp+unix:///run/archive.sock".parse().unwrap())
///     .unwrap()
///     .domain("example.org", "lmtp://localhost:2424".parse().unwrap())
///     .unwrap();
/// let envelope = Envelope::new("ann@example.net").unwrap().to("bob@EXAMPLE.org").unwrap();
/// assert_eq!(table.find(&envelope.recipients()[0]).to_string(), "lmtp://localhost:2424");
/// ```
#[derive(Debug, Clone)]
pub struct RouteTable {
    /// In order; the maps hold places in it.
    routes: Vec<Route>,
    mailboxes: HashMap<Mailbox, usize>,
    domains: HashMap<Domain, usize>,
    subdomains: HashMap<Domain, usize>,
    any: Option<usize>,
    default: Route,
}

impl RouteTable {
    /// A table without rules: all recipients have the default route.
    pub fn new(default: Route) -> Self {
        Self {
            routes: Vec::new(),
            mailboxes: HashMap::new(),
            domains: HashMap::new(),
            subdomains: HashMap::new(),
            any: None,
            default,
        }
    }

    /// Adds a rule behind the others. Of two rules with equal patterns the first one counts.
    #[must_use]
    pub fn with(mut self, pattern: Pattern, route: Route) -> Self {
        let place = self.routes.len();
        self.routes.push(route);
        match pattern {
            Pattern::Mailbox(mailbox) => *self.mailboxes.entry(mailbox).or_insert(place),
            Pattern::Domain(domain) => *self.domains.entry(domain).or_insert(place),
            Pattern::Subdomains(parent) => *self.subdomains.entry(parent).or_insert(place),
            Pattern::Any => *self.any.get_or_insert(place),
        };
        self
    }

    /// Adds a rule for one mailbox.
    ///
    /// # Errors
    /// Not a mailbox.
    pub fn mailbox(self, mailbox: &str, route: Route) -> Result<Self, PatternError> {
        match mailbox.parse()? {
            pattern @ Pattern::Mailbox(_) => Ok(self.with(pattern, route)),
            // what is no mailbox fails to be one with the reason
            _ => Ok(self.with(Pattern::Mailbox(Mailbox::parse(mailbox)?), route)),
        }
    }

    /// Adds a rule for the mailboxes of a domain, its subdomains not included.
    ///
    /// # Errors
    /// Not a domain.
    pub fn domain(self, domain: &str, route: Route) -> Result<Self, PatternError> {
        Ok(self.with(Pattern::Domain(parse_domain(domain)?), route))
    }

    /// Adds a rule for all domains below `parent`, which is written without `*.` and not included.
    ///
    /// # Errors
    /// Not a domain.
    pub fn subdomains(self, parent: &str, route: Route) -> Result<Self, PatternError> {
        Ok(self.with(Pattern::Subdomains(parse_domain(parent)?), route))
    }

    /// The route of a recipient.
    pub fn find(&self, recipient: &Recipient) -> &Route {
        let first = if self.is_for_anybody() { self.any } else { self.find_rule(recipient) };
        first.and_then(|place| self.routes.get(place)).unwrap_or(&self.default)
    }

    /// Whether it is the same for all recipients.
    fn is_for_anybody(&self) -> bool {
        self.mailboxes.is_empty() && self.domains.is_empty() && self.subdomains.is_empty()
    }

    fn find_rule(&self, recipient: &Recipient) -> Option<usize> {
        let by_mailbox = recipient.path().mailbox().and_then(|mailbox| self.mailboxes.get(mailbox).copied());
        let by_domain = recipient.domain().and_then(|domain| self.find_domain(domain));
        by_mailbox.into_iter().chain(by_domain).chain(self.any).min()
    }

    fn find_domain(&self, domain: &Domain) -> Option<usize> {
        let by_name = self.domains.get(domain).copied();
        by_name.into_iter().chain(self.find_above(domain)).min()
    }

    fn find_above(&self, domain: &Domain) -> Option<usize> {
        // an empty map costs nothing to ask, but the walk through the labels does
        if self.subdomains.is_empty() {
            return None;
        }
        let parents = successors(domain.parent(), |name| name.split_once('.').map(|(_, parent)| parent));
        parents.filter_map(|parent| self.subdomains.get(parent)).min().copied()
    }
}

fn parse_domain(text: &str) -> Result<Domain, PatternError> {
    Domain::parse(text).map_err(|reason| PatternError::Domain { text: text.into(), reason })
}

#[async_trait]
impl Router for RouteTable {
    fn route_now(&self, request: &RouteRequest<'_>) -> Option<Result<Route, RouterError>> {
        Some(Ok(self.find(request.recipient).clone()))
    }

    async fn route(&self, request: &RouteRequest<'_>) -> Result<Route, RouterError> {
        Ok(self.find(request.recipient).clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::mail::Envelope;
    use crate::router::Attempt;

    use super::*;

    /// A table whose rules answer with their place, counted from 0.
    fn table(patterns: &[&str]) -> RouteTable {
        let rules = patterns.iter().enumerate();
        rules.fold(RouteTable::new(Route::refuse("default")), |table, (place, pattern)| {
            table.with(pattern.parse().unwrap(), Route::refuse(place.to_string()))
        })
    }

    fn find(patterns: &[&str], recipient: &str) -> String {
        let recipient = Recipient::parse(recipient).unwrap();
        table(patterns).find(&recipient).to_string().replace("refuse:", "")
    }

    #[test]
    fn check_068_domains_fit_in_any_spelling() {
        for pattern in ["EX.com.", "*.COM", "Ann@Ex.Com"] {
            assert_eq!(find(&[pattern], "Ann@ex.COM."), "0", "{pattern}");
        }
        assert_eq!(find(&["bücher.example"], "a@xn--bcher-kva.example"), "0");
    }

    #[test]
    fn a_local_part_fits_exactly() {
        assert_eq!(find(&["Ann@example.org"], "ann@example.org"), "default");
        assert_eq!(find(&["Ann@example.org"], "\"Ann\"@example.org"), "0");
    }

    #[test]
    fn a_domain_is_not_its_subdomains() {
        assert_eq!(find(&["example.org"], "a@b.example.org"), "default");
        assert_eq!(find(&["example.org"], "a@xexample.org"), "default");
    }

    #[test]
    fn subdomains_are_at_any_depth_without_the_domain_itself() {
        assert_eq!(find(&["*.example.org"], "a@b.example.org"), "0");
        assert_eq!(find(&["*.example.org"], "a@d.c.b.example.org"), "0");
        assert_eq!(find(&["*.example.org"], "a@example.org"), "default");
        assert_eq!(find(&["*.example.org"], "a@xexample.org"), "default");
    }

    #[test]
    fn the_first_rule_wins_whatever_its_kind() {
        let kinds = ["*", "a@b.example.org", "b.example.org", "*.example.org", "*.org"];
        for first in 0..kinds.len() {
            let mut patterns = kinds;
            patterns.swap(0, first);
            assert_eq!(find(&patterns, "a@b.example.org"), "0", "{patterns:?}");
        }
    }

    #[test]
    fn the_first_of_equal_patterns_wins() {
        for pattern in ["*", "a@b.example", "b.example", "*.example"] {
            assert_eq!(find(&[pattern, pattern], "a@b.example"), "0", "{pattern}");
        }
    }

    #[test]
    fn postmaster_without_a_domain_fits_any_only() {
        assert_eq!(find(&["postmaster@example.org", "postmaster", "*.org", "*"], "postmaster"), "3");
        assert_eq!(find(&["postmaster@example.org"], "postmaster"), "default");
    }

    #[test]
    fn an_address_literal_fits_its_mailbox_and_any() {
        assert_eq!(find(&["a@[192.0.2.1]"], "a@[192.0.2.1]"), "0");
        assert_eq!(find(&["example.org", "*.org", "*"], "a@[192.0.2.1]"), "2");
        assert_eq!(find(&["a@[192.0.2.1]"], "a@[192.0.2.2]"), "default");
    }

    #[test]
    fn check_034_recipients_of_one_rule_have_equal_routes() {
        let table = table(&["example.org", "example.com"]);
        let find = |text| table.find(&Recipient::parse(text).unwrap()).clone();
        assert_eq!(find("a@example.org"), find("b@Example.ORG"));
        assert_ne!(find("a@example.org"), find("a@example.com"));
    }

    #[test]
    fn check_088_a_domain_goes_to_the_next_hop_that_is_named() {
        let hop: Route = "lmtp://127.0.0.1:2424".parse().unwrap();
        let table = RouteTable::new(Route::mx()).domain("lists.example", hop.clone()).unwrap();
        assert_eq!(table.find(&Recipient::parse("a@lists.example").unwrap()), &hop);
        assert_eq!(table.find(&Recipient::parse("a@other.example").unwrap()), &Route::mx());
    }

    #[tokio::test]
    async fn the_answer_is_there_without_waiting_and_shares_the_route_of_the_rule() {
        let table = RouteTable::new(Route::mx()).domain("a.example", "smtp://b.example".parse().unwrap());
        let table = table.unwrap();
        let envelope = Envelope::new("").unwrap().to("a@a.example").unwrap();
        let request = RouteRequest::new(&envelope.recipients()[0], &envelope, Attempt::default());
        let now = table.route_now(&request).unwrap().unwrap();
        assert!(now.same_as(&table.routes[0]));
        assert!(now.same_as(&table.route(&request).await.unwrap()));
    }

    #[test]
    fn each_kind_has_its_method() {
        let table = RouteTable::new(Route::mx()).mailbox("a@b.example", Route::refuse("mailbox")).unwrap();
        let table = table.subdomains("example", Route::refuse("below")).unwrap();
        assert_eq!(table.find(&Recipient::parse("a@b.example").unwrap()), &Route::refuse("mailbox"));
        assert_eq!(table.find(&Recipient::parse("c@b.example").unwrap()), &Route::refuse("below"));
        assert!(table.subdomains("*.example", Route::mx()).is_err());
    }

    fn fits(pattern: &str, local_part: &str, domain: &str) -> bool {
        match pattern.split_once('@') {
            Some((local, name)) => local == local_part && name == domain,
            None if pattern == "*" => true,
            None => match pattern.strip_prefix('*') {
                Some(suffix) => domain.ends_with(suffix),
                None => pattern == domain,
            },
        }
    }

    proptest! {
        #[test]
        fn the_maps_answer_as_a_search_from_the_top(
            patterns in prop::collection::vec("\\*|([ab]@|\\*\\.)?([xy]\\.){0,3}[xy]", 0..8),
            local_part in "[ab]",
            domain in "([xy]\\.){0,3}[xy]",
        ) {
            let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let expected = patterns.iter().position(|pattern| fits(pattern, &local_part, &domain));
            let expected = expected.map_or("default".to_owned(), |place| place.to_string());
            prop_assert_eq!(find(&patterns, &format!("{local_part}@{domain}")), expected);
        }
    }
}
