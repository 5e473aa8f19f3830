//! [`Walk`]: from a name along its aliases to what is said of the last one.

use crate::mail::DnsName;

use super::super::answer::Security;
use super::super::error::ResolveError;
use super::response::{Alias, Response};

/// The way from the name asked for to the end of its alias chain, over one response or several.
#[derive(Debug)]
pub(super) struct Walk {
    name: DnsName,
    /// The names left behind.
    seen: Vec<DnsName>,
    max_aliases: usize,
    /// The least time to live on the way, in seconds.
    ttl: u32,
    /// One entry a response: whether the server vouches for it.
    authentic: Vec<bool>,
}

/// What is said of the last name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End<T> {
    /// Empty: the name exists, the records do not. `None`: there is no such name.
    pub(super) records: Option<Vec<T>>,
    /// For how many seconds all of it holds; `None`: it must not be kept (RFC 2308 section 5).
    pub(super) ttl: Option<u32>,
}

impl Walk {
    pub(super) fn new(name: DnsName, max_aliases: usize) -> Self {
        Self { name, seen: Vec::new(), max_aliases, ttl: u32::MAX, authentic: Vec::new() }
    }

    /// Where the walk stands: the name to ask for next, or the canonical name when the end is reached.
    pub(super) fn name(&self) -> &DnsName {
        &self.name
    }

    /// What all responses so far prove together.
    pub(super) fn security(&self) -> Security {
        match self.authentic.as_slice() {
            [] | [false, ..] => Security::NONE,
            [true, rest @ ..] if rest.iter().all(|authentic| *authentic) => Security::CHAIN,
            [true, ..] => Security::FIRST_STEP,
        }
    }

    /// Whether the first step is an alias of which nobody said whether it alone is secure.
    pub(super) fn first_step_is_open(&self) -> bool {
        !self.seen.is_empty() && self.security() == Security::NONE
    }

    /// Takes the response to a question about [`Walk::name`]. `None`: ask again, the name has changed.
    ///
    /// Each `None` costs an alias, so that `max_aliases` bounds the questions too.
    pub(super) fn take<T>(&mut self, response: Response<T>) -> Result<Option<End<T>>, ResolveError> {
        self.authentic.push(response.authentic);
        let followed = self.follow(&response)?;
        let records = self.records_here(response.records);
        if !records.is_empty() {
            return Ok(Some(End { records: Some(records), ttl: Some(self.ttl) }));
        }
        // the code tells of the last name, which may lie beyond what the server cared to follow
        let is_last_word = response.denial_ttl.is_some() || !followed;
        let ttl = response.denial_ttl.map(|ttl| ttl.min(self.ttl));
        let records = (!response.no_such_name).then_some(records);
        Ok(is_last_word.then_some(End { records, ttl }))
    }

    /// Goes as far as the response leads. Whether that is a step at all.
    fn follow<T>(&mut self, response: &Response<T>) -> Result<bool, ResolveError> {
        let start = self.seen.len();
        while !response.records.iter().any(|record| record.owner == self.name) {
            let Some(alias) = response.aliases.iter().find(|alias| alias.owner == self.name) else { break };
            self.step(alias)?;
        }
        Ok(self.seen.len() > start)
    }

    fn step(&mut self, alias: &Alias) -> Result<(), ResolveError> {
        let target =
            alias.target.clone().ok_or_else(|| ResolveError::temporary("an alias points to no name"))?;
        self.seen.push(std::mem::replace(&mut self.name, target));
        self.ttl = self.ttl.min(alias.ttl);
        if self.seen.contains(&self.name) {
            return Err(ResolveError::temporary("the aliases form a loop"));
        }
        if self.seen.len() > self.max_aliases {
            return Err(ResolveError::temporary("there are too many aliases"));
        }
        Ok(())
    }

    fn records_here<T>(&mut self, records: Vec<super::response::Owned<T>>) -> Vec<T> {
        let here = records.into_iter().filter(|record| record.owner == self.name);
        here.map(|owned| {
            self.ttl = self.ttl.min(owned.ttl);
            owned.record
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::response::Owned;
    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    fn walk(from: &str) -> Walk {
        Walk::new(name(from), 16)
    }

    fn response() -> Response<u8> {
        Response {
            no_such_name: false,
            authentic: false,
            aliases: Vec::new(),
            records: Vec::new(),
            denial_ttl: None,
        }
    }

    impl Response<u8> {
        fn alias(mut self, owner: &str, target: &str, ttl: u32) -> Self {
            self.aliases.push(Alias { owner: name(owner), target: DnsName::parse(target).ok(), ttl });
            self
        }

        fn record(mut self, owner: &str, record: u8, ttl: u32) -> Self {
            self.records.push(Owned { owner: name(owner), record, ttl });
            self
        }

        fn denial(self, ttl: u32) -> Self {
            Self { denial_ttl: Some(ttl), ..self }
        }

        fn no_such_name(self) -> Self {
            Self { no_such_name: true, ..self }
        }

        fn authentic(self) -> Self {
            Self { authentic: true, ..self }
        }
    }

    /// Whether the result is a failure that may pass, for the reason given.
    fn fails_for<T>(word: &str, result: &Result<T, ResolveError>) -> bool {
        matches!(result, Err(ResolveError::Temporary { reason, .. }) if reason.contains(word))
    }

    #[test]
    fn records_at_the_name_are_the_answer() {
        let end = walk("a.test").take(response().record("a.test", 1, 60).record("a.test", 2, 30)).unwrap();
        assert_eq!(end, Some(End { records: Some(vec![1, 2]), ttl: Some(30) }));
    }

    #[test]
    fn attack_a09_records_of_other_names_are_not_the_answer() {
        let end = walk("a.test").take(response().record("b.test", 1, 60).denial(5)).unwrap();
        assert_eq!(end, Some(End { records: Some(vec![]), ttl: Some(5) }));
    }

    #[test]
    fn check_073_aliases_are_followed_in_any_order_of_records() {
        let mut walk = walk("a.test");
        let end = walk.take(
            response().record("c.test", 1, 60).alias("b.test", "c.test", 40).alias("a.test", "b.test", 50),
        );
        assert_eq!(end.unwrap(), Some(End { records: Some(vec![1]), ttl: Some(40) }));
        assert_eq!(walk.name().as_str(), "c.test");
    }

    #[test]
    fn check_073_a_chain_in_parts_is_asked_for_again() {
        let mut walk = walk("a.test");
        assert_eq!(walk.take(response().alias("a.test", "b.test", 50)).unwrap(), None);
        assert_eq!(walk.name().as_str(), "b.test");
        let end = walk.take(response().record("b.test", 1, 60)).unwrap();
        assert_eq!(end, Some(End { records: Some(vec![1]), ttl: Some(50) }));
    }

    #[test]
    fn attack_a09_aliases_of_other_names_are_not_followed() {
        let mut walk = walk("a.test");
        let end = walk.take(response().alias("x.test", "y.test", 50).record("y.test", 1, 60)).unwrap();
        assert_eq!(end, Some(End { records: Some(vec![]), ttl: None }));
        assert_eq!(walk.name().as_str(), "a.test");
    }

    #[test]
    fn check_073_a_denial_speaks_of_the_last_name() {
        let aliased = || response().alias("a.test", "b.test", 50).denial(60);
        assert_eq!(
            walk("a.test").take(aliased()).unwrap(),
            Some(End { records: Some(vec![]), ttl: Some(50) })
        );
        let nothing = walk("a.test").take(aliased().no_such_name());
        assert_eq!(nothing.unwrap(), Some(End { records: None, ttl: Some(50) }));
    }

    #[test]
    fn an_alias_beside_a_bare_nxdomain_is_asked_for_again() {
        let end = walk("a.test").take(response().alias("a.test", "b.test", 50).no_such_name()).unwrap();
        assert_eq!(end, None);
    }

    #[test]
    fn check_071_a_bare_nxdomain_is_no_name() {
        let nothing = walk("a.test").take(response().no_such_name());
        assert_eq!(nothing.unwrap(), Some(End { records: None, ttl: None }));
    }

    #[test]
    fn a_denial_without_soa_is_not_kept() {
        assert_eq!(walk("a.test").take(response()).unwrap(), Some(End { records: Some(vec![]), ttl: None }));
    }

    #[test]
    fn attack_a08_a_loop_ends_in_one_response() {
        let looped = response().alias("a.test", "b.test", 50).alias("b.test", "a.test", 50);
        assert!(fails_for("loop", &walk("a.test").take(looped)));
        assert!(fails_for("loop", &walk("a.test").take(response().alias("a.test", "a.test", 50))));
    }

    #[test]
    fn attack_a08_a_loop_ends_over_several_responses() {
        let mut walk = walk("a.test");
        assert_eq!(walk.take(response().alias("a.test", "b.test", 50)).unwrap(), None);
        assert!(fails_for("loop", &walk.take(response().alias("b.test", "a.test", 50))));
    }

    #[test]
    fn attack_a08_sixteen_aliases_are_followed_and_no_more() {
        let chain = |steps: usize| {
            let start = response().record(&format!("a{steps}.test"), 1, 60);
            (0..steps).fold(start, |r, i| r.alias(&format!("a{i}.test"), &format!("a{}.test", i + 1), 60))
        };
        assert!(walk("a0.test").take(chain(16)).unwrap().is_some());
        assert!(fails_for("too many", &walk("a0.test").take(chain(17))));
    }

    #[test]
    fn an_alias_to_what_is_no_name_is_temporary() {
        let end = walk("a.test").take(response().alias("a.test", "192.0.2.1", 60));
        assert!(fails_for("no name", &end));
    }

    #[test]
    fn check_217_security_is_that_of_all_responses() {
        for (first, second, expected) in [
            (true, true, Security::CHAIN),
            (true, false, Security::FIRST_STEP),
            (false, true, Security::NONE),
            (false, false, Security::NONE),
        ] {
            let mut walk = walk("a.test");
            let take = |walk: &mut Walk, response: Response<u8>, authentic| {
                walk.take(if authentic { response.authentic() } else { response }).unwrap()
            };
            assert!(take(&mut walk, response().alias("a.test", "b.test", 60), first).is_none());
            assert!(take(&mut walk, response().record("b.test", 1, 60), second).is_some());
            assert_eq!(walk.security(), expected, "{first} {second}");
            assert_eq!(walk.first_step_is_open(), !first);
        }
    }

    #[test]
    fn check_216_without_an_alias_the_first_step_is_not_open() {
        let mut walk = walk("a.test");
        walk.take(response().record("a.test", 1, 60)).unwrap();
        assert!(!walk.first_step_is_open());
    }
}
