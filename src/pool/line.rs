//! [`Line`]: the order in which groups with queued deliveries are served.

use std::collections::BTreeMap;

/// Index of groups with queued deliveries, by the number of the first delivery of each.
///
/// A group stays under the number that its first delivery had when it was entered here. Deliveries leave the queue of a
/// group without notice, because they are served or cancelled. The index is corrected when a search meets the group.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Place of each group. A group has one entry, with a number that is at most that of its first delivery.
    groups: BTreeMap<u64, usize>,
}

impl Line {
    /// Enters a group whose first delivery has this number.
    pub(super) fn enter(&mut self, number: u64, place: usize) {
        self.groups.insert(number, place);
    }

    /// Removes the group that was entered under this number.
    pub(super) fn remove(&mut self, number: u64) {
        self.groups.remove(&number);
    }

    /// Returns the first group whose first delivery has this number or a later one: its number and the place of the group.
    ///
    /// `first_of` returns the number of the first delivery of a group, under which the group is entered from then on.
    pub(super) fn first(
        &mut self,
        from: u64,
        mut first_of: impl FnMut(usize) -> Option<u64>,
    ) -> Option<(u64, usize)> {
        loop {
            let (&entered, &place) = self.groups.range(from..).next()?;
            let first = first_of(place);
            if first == Some(entered) {
                return Some((entered, place));
            }
            self.groups.remove(&entered);
            if let Some(first) = first {
                self.groups.insert(first, place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups with the numbers of their deliveries, and how many of them searches looked at.
    struct Groups {
        line: Line,
        queues: Vec<Vec<u64>>,
        looked_at: usize,
    }

    impl Groups {
        fn new(queues: Vec<Vec<u64>>) -> Self {
            let mut line = Line::default();
            queues.iter().enumerate().for_each(|(place, queue)| line.enter(queue[0], place));
            Self { line, queues, looked_at: 0 }
        }

        fn first(&mut self, from: u64) -> Option<(u64, usize)> {
            self.line.first(from, |place| {
                self.looked_at += 1;
                self.queues[place].first().copied()
            })
        }
    }

    #[test]
    fn groups_are_found_in_the_order_of_their_first_deliveries() {
        let mut groups = Groups::new(vec![vec![2, 5], vec![1, 9], vec![3]]);
        let mut order = Vec::new();
        while let Some((number, place)) = groups.first(0) {
            groups.queues[place].remove(0);
            order.push(number);
        }
        assert_eq!(order, [1, 2, 3, 5, 9]);
    }

    #[test]
    fn a_search_goes_on_behind_a_group() {
        let mut groups = Groups::new(vec![vec![2], vec![1], vec![3]]);
        assert_eq!(groups.first(2), Some((2, 0)));
        assert_eq!(groups.first(3), Some((3, 2)));
        assert_eq!(groups.first(4), None);
    }

    #[test]
    fn the_cost_of_a_search_does_not_grow_with_the_groups() {
        for count in [10, 3000] {
            // each group has a delivery that is cancelled, and two others
            let queue = |place| vec![place, 10_000 + place, 20_000 + place];
            let mut groups = Groups::new((0..count).map(queue).collect());
            for queue in &mut groups.queues {
                queue.remove(0);
            }
            let mut served = 0;
            while let Some((_, place)) = groups.first(0) {
                groups.queues[place].remove(0);
                served += 1;
            }
            assert_eq!(served, 2 * count);
            let looked_at = u64::try_from(groups.looked_at).unwrap();
            assert!(looked_at <= 3 * served, "{count} groups: {looked_at} looks for {served} deliveries");
        }
    }
}
