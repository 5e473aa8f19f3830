//! [`NextHops`]: the list of next hops of a route, shared by all that hold it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::slice;
use std::sync::Arc;

use super::next_hop::NextHop;

/// Next hops in order, shared: clones point at the same list and allocate nothing.
///
/// It is read as a slice. To change a list is to make another.
///
/// ```
/// use nexthop::{NextHop, NextHops, Route};
///
/// let hops: NextHops = vec!["smtp://one.example".parse::<NextHop>()?, "smtp://two.example".parse()?].into();
/// assert_eq!(hops.len(), 2);
/// assert_eq!(Route::relays(hops), "smtp://one.example,smtp://two.example".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct NextHops(Arc<[NextHop]>);

impl NextHops {
    /// Whether both are clones of one list: equal without a look at the hops.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for NextHops {
    type Target = [NextHop];

    fn deref(&self) -> &[NextHop] {
        &self.0
    }
}

impl From<Vec<NextHop>> for NextHops {
    fn from(hops: Vec<NextHop>) -> Self {
        Self(hops.into())
    }
}

impl From<NextHop> for NextHops {
    fn from(hop: NextHop) -> Self {
        Self([hop].into())
    }
}

impl FromIterator<NextHop> for NextHops {
    fn from_iter<I: IntoIterator<Item = NextHop>>(hops: I) -> Self {
        Self(hops.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a NextHops {
    type Item = &'a NextHop;
    type IntoIter = slice::Iter<'a, NextHop>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// By the hops; clones of one list are equal at once.
impl PartialEq for NextHops {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.0 == other.0
    }
}

impl Eq for NextHops {}

impl Hash for NextHops {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// As a slice.
impl fmt::Debug for NextHops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn hops(names: &[&str]) -> NextHops {
        names.iter().map(|name| format!("smtp://{name}").parse::<NextHop>().unwrap()).collect()
    }

    #[test]
    fn clones_are_the_same_list() {
        let hops = hops(&["a.example", "b.example"]);
        assert!(hops.clone().is_same(&hops));
        assert_eq!(hops.clone(), hops);
    }

    #[test]
    fn lists_of_equal_hops_are_equal_and_not_the_same() {
        let (one, other) = (hops(&["a.example"]), hops(&["a.example"]));
        assert!(!one.is_same(&other));
        assert_eq!(one, other);
        assert!(HashSet::from([one]).contains(&other));
    }

    #[test]
    fn order_and_number_of_the_hops_count() {
        assert_ne!(hops(&["a.example", "b.example"]), hops(&["b.example", "a.example"]));
        assert_ne!(hops(&["a.example"]), hops(&["a.example", "a.example"]));
    }

    #[test]
    fn all_ways_to_make_a_list_are_equal() {
        let hop: NextHop = "smtp://a.example".parse().unwrap();
        assert_eq!(NextHops::from(hop.clone()), hops(&["a.example"]));
        assert_eq!(NextHops::from(vec![hop]), hops(&["a.example"]));
    }

    #[test]
    fn it_is_read_and_shown_as_a_slice() {
        let hops = hops(&["a.example", "b.example"]);
        let names: Vec<_> = (&hops).into_iter().map(ToString::to_string).collect();
        assert_eq!(names, ["smtp://a.example:25", "smtp://b.example:25"]);
        assert_eq!(format!("{hops:?}"), format!("{:?}", hops.to_vec()));
    }
}
