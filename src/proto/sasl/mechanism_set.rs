//! [`MechanismSet`]: what a server offers.

use std::fmt;

use super::mechanism::Mechanism;

/// Some of the [`Mechanism`]s. The order in which a server names them is not kept: it does not count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MechanismSet(u16);

impl MechanismSet {
    /// Whether the mechanism is one of them.
    pub fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & bit(mechanism) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Strongest first.
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL.into_iter().filter(move |mechanism| self.contains(*mechanism))
    }

    /// Those of the names that are known.
    pub(crate) fn from_names<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        names.filter_map(|name| name.parse::<Mechanism>().ok()).collect()
    }
}

fn bit(mechanism: Mechanism) -> u16 {
    1 << (mechanism as u16)
}

impl Extend<Mechanism> for MechanismSet {
    fn extend<I: IntoIterator<Item = Mechanism>>(&mut self, mechanisms: I) {
        mechanisms.into_iter().for_each(|mechanism| self.0 |= bit(mechanism));
    }
}

impl FromIterator<Mechanism> for MechanismSet {
    fn from_iter<I: IntoIterator<Item = Mechanism>>(mechanisms: I) -> Self {
        let mut set = Self::default();
        set.extend(mechanisms);
        set
    }
}

/// The names, strongest first, with spaces between.
impl fmt::Display for MechanismSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().enumerate().try_for_each(|(index, mechanism)| {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{mechanism}")
        })
    }
}

impl fmt::Debug for MechanismSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_202_the_order_of_the_server_is_lost() {
        let set = MechanismSet::from_names("login X-FOO scram-sha-1 PLAIN plain".split(' '));
        assert_eq!(set.to_string(), "SCRAM-SHA-1 PLAIN LOGIN");
        assert!(set.contains(Mechanism::Login) && !set.contains(Mechanism::External));
    }

    #[test]
    fn all_of_them_fit() {
        let set: MechanismSet = Mechanism::ALL.into_iter().collect();
        assert!(set.iter().eq(Mechanism::ALL));
        assert!(MechanismSet::default().is_empty() && !set.is_empty());
    }
}
