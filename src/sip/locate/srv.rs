//! The order of SRV records (RFC 2782, "Usage rules").

use crate::ids::Ids;

/// `records` by priority, and within a priority drawn by weight: each draw takes the first record
/// whose running sum of weights reaches a random number, those of weight 0 standing in front.
pub(super) fn ordered<R>(mut records: Vec<R>, rank: impl Fn(&R) -> (u16, u16), ids: &mut Ids) -> Vec<R> {
    // Stable, so that equal inputs and ids give equal orders.
    records.sort_by_key(|record| {
        let (priority, weight) = rank(record);
        (priority, weight != 0)
    });
    let mut order = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|record| rank(record).0) {
        let group = records.iter().take_while(|record| rank(record).0 == priority);
        let weights: Vec<u64> = group.map(|record| u64::from(rank(record).1)).collect();
        let drawn = ids.below(weights.iter().sum::<u64>().saturating_add(1));
        let mut sum = 0;
        let at = weights.iter().position(|weight| {
            sum += weight;
            sum >= drawn
        });
        order.push(records.remove(at.unwrap_or(0)));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Owner;

    #[test]
    fn check_158_srv_records_go_by_priority_and_then_by_weight() {
        let mut ids = Ids::new([1; 32], Owner::default());
        let records = vec![("backup", 20, 0), ("small", 10, 1), ("large", 10, 3), ("zero", 10, 0)];
        let mut first = std::collections::BTreeMap::new();
        for _ in 0..5000 {
            let order = ordered(records.clone(), |(_, priority, weight)| (*priority, *weight), &mut ids);
            assert_eq!(order.len(), 4);
            assert_eq!(order[3].0, "backup", "a lower priority comes last, always");
            *first.entry(order[0].0).or_insert(0) += 1;
        }
        // Draws of 0..=4: zero at 0, small at 1, large at 2, 3 and 4.
        let share = |name| first[name] * 100 / 5000;
        assert!((17..=23).contains(&share("zero")), "{first:?}");
        assert!((17..=23).contains(&share("small")), "{first:?}");
        assert!((57..=63).contains(&share("large")), "{first:?}");
    }

    #[test]
    fn the_same_seed_draws_the_same_order() {
        let draw = || {
            let mut ids = Ids::new([1; 32], Owner::default());
            ordered((0..20_u16).collect(), |number| (0, *number), &mut ids)
        };
        assert_eq!(draw(), draw());
    }
}
