//! The order of servers that share a load by weights.

use super::next_hop::NextHop;

/// Draws an order by weights (RFC 2782, *Weight*): who has a greater one is more likely to stand before others, and
/// weight 0 hardly ever does. `dice` gives a number from 0 to its argument, which is included.
pub(crate) fn by_weight<T>(
    mut items: Vec<T>,
    weight: impl Fn(&T) -> u16,
    dice: &mut impl FnMut(u32) -> u32,
) -> Vec<T> {
    // "in any order": a drawn one, for the draw below favours the first
    shuffle(&mut items, dice);
    items.sort_by_key(|item| weight(item) != 0);
    (0..items.len()).map(|_| items.remove(draw(&items, &weight, dice))).collect()
}

fn shuffle<T>(items: &mut [T], dice: &mut impl FnMut(u32) -> u32) {
    for last in (1..items.len()).rev() {
        let drawn = dice(u32::try_from(last).unwrap_or(u32::MAX)) as usize;
        items.swap(drawn.min(last), last);
    }
}

/// The place of the first item at which the running sum of the weights reaches a random number.
fn draw<T>(items: &[T], weight: &impl Fn(&T) -> u16, dice: &mut impl FnMut(u32) -> u32) -> usize {
    let sums = items.iter().scan(0_u32, |sum, item| {
        *sum = sum.saturating_add(weight(item).into());
        Some(*sum)
    });
    let point = dice(sums.clone().last().unwrap_or(0));
    sums.take_while(|sum| *sum < point).count().min(items.len() - 1)
}

/// The order in which next hops are tried: as they stand, but those side by side that have a weight by their weights.
pub(crate) fn in_turn<'a>(hops: &'a [NextHop], dice: &mut impl FnMut(u32) -> u32) -> Vec<&'a NextHop> {
    let runs = hops.chunk_by(|one, next| one.weight().is_some() && next.weight().is_some());
    let drawn = |run: &'a [NextHop]| by_weight(run.iter().collect(), |hop| hop.weight().unwrap_or(0), dice);
    runs.flat_map(drawn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as they come from `fastrand`, the same in every run.
    fn seeded() -> impl FnMut(u32) -> u32 {
        let mut random = fastrand::Rng::with_seed(2782);
        move |most| random.u32(0..=most)
    }

    /// How often of 30000 times each weight is the first.
    fn shares(weights: &[u16]) -> Vec<u32> {
        let mut dice = seeded();
        let mut firsts = vec![0; weights.len()];
        for _ in 0..30_000 {
            let order = by_weight((0..weights.len()).collect(), |place| weights[*place], &mut dice);
            firsts[order[0]] += 1;
        }
        firsts
    }

    fn is_near(share: u32, expected: u32) -> bool {
        share.abs_diff(expected) < 600
    }

    fn hops(weights: &[Option<u16>]) -> Vec<NextHop> {
        let hops = weights.iter().zip(1..).map(|(weight, number)| {
            let hop: NextHop = format!("smtp://192.0.2.{number}").parse().unwrap();
            weight.map_or(hop.clone(), |weight| hop.with_weight(weight))
        });
        hops.collect()
    }

    #[test]
    fn the_first_is_drawn_by_its_share_of_the_weights() {
        let shares = shares(&[600, 100, 300]);
        for (share, expected) in shares.iter().zip([18_000, 3_000, 9_000]) {
            assert!(is_near(*share, expected), "{shares:?}");
        }
    }

    #[test]
    fn small_equal_weights_have_equal_shares() {
        for weight in [0, 1] {
            let shares = shares(&[weight; 3]);
            assert!(shares.iter().all(|share| is_near(*share, 10_000)), "weight {weight}: {shares:?}");
        }
    }

    #[test]
    fn weight_0_is_seldom_the_first_but_not_never() {
        let shares = shares(&[0, 99, 0]);
        assert!(is_near(shares[1], 29_700), "{shares:?}");
        assert!(shares[0] > 0 && shares[2] > 0, "{shares:?}");
    }

    #[test]
    fn the_second_is_drawn_by_what_is_left() {
        let (mut dice, mut seconds) = (seeded(), [0; 2]);
        for _ in 0..30_000 {
            let order = by_weight(vec![10_000, 300, 100], |weight| *weight, &mut dice);
            if order[0] == 10_000 {
                seconds[usize::from(order[1] == 100)] += 1;
            }
        }
        assert!((27..=33).contains(&(seconds[0] * 10 / seconds[1])), "{seconds:?}");
    }

    /// A dice that leaves the order of the shuffle alone and then shows this number.
    fn showing(point: u32) -> impl FnMut(u32) -> u32 {
        let mut rolls = 0;
        move |most| {
            rolls += 1;
            if rolls < 3 { most } else { point.min(most) }
        }
    }

    #[test]
    fn the_running_sum_has_to_reach_the_number() {
        for (point, first) in [(0, 0), (1, 2), (2, 2), (3, 5), (7, 5), (8, 5)] {
            let order = by_weight(vec![2, 5, 0], |weight| *weight, &mut showing(point));
            assert_eq!(order[0], first, "{point}");
        }
    }

    #[test]
    fn everything_stays_whatever_the_dice_show() {
        for shown in [0, 1, u32::MAX] {
            let mut order = by_weight(vec![7, 0, u16::MAX, 7], |weight| *weight, &mut |_| shown);
            order.sort_unstable();
            assert_eq!(order, [0, 7, 7, u16::MAX]);
        }
        assert!(by_weight(Vec::<u16>::new(), |weight| *weight, &mut seeded()).is_empty());
    }

    #[test]
    fn hops_without_a_weight_keep_their_places() {
        let hops = hops(&[None, None, Some(1), Some(1), None, Some(1)]);
        let mut dice = seeded();
        for _ in 0..100 {
            let order = in_turn(&hops, &mut dice);
            for fixed in [0, 1, 4, 5] {
                assert_eq!(order[fixed], &hops[fixed]);
            }
        }
    }

    #[test]
    fn hops_side_by_side_change_places_by_their_weights() {
        let hops = hops(&[None, Some(100), Some(300)]);
        let mut dice = seeded();
        let turned = (0..30_000).filter(|_| in_turn(&hops, &mut dice)[1] == &hops[2]).count();
        assert!(is_near(u32::try_from(turned).unwrap(), 22_500), "{turned}");
    }
}
