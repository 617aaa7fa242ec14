//! Percentiles of all values that were measured, none left out.

/// The smallest value that is not below `part` of all (nearest rank). `None`: there are no values.
///
/// `values` must be sorted, `part` between 0 and 1.
pub(crate) fn percentile(values: &[u64], part: f64) -> Option<u64> {
    debug_assert!(values.is_sorted());
    let rank = (values.len() as f64 * part).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        assert_eq!(percentile(&[], 0.5), None);
        for part in [0.0, 0.5, 0.99, 1.0] {
            assert_eq!(percentile(&[7], part), Some(7), "{part}");
        }
        let hundred: Vec<u64> = (1..=100).collect();
        for (part, expected) in [(0.0, 1), (0.01, 1), (0.011, 2), (0.5, 50), (0.501, 51), (0.99, 99), (1.0, 100)] {
            assert_eq!(percentile(&hundred, part), Some(expected), "{part}");
        }
        assert_eq!(percentile(&[1, 2], 0.5), Some(1));
        assert_eq!(percentile(&[1, 2, 3], 0.5), Some(2));
    }
}
