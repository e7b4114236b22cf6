//! How long requests take, as counts: one for each power of two of milliseconds.
//!
//! What is asked of them is a percentile of the last seconds, so they are only ever compared with
//! an earlier reading, and may begin anew at zero.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Below 2 ms, below 4 ms, 8 ms … below 8.2 s, and the rest.
pub const BUCKETS: usize = 14;

/// The counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations(pub [u32; BUCKETS]);

/// Where a duration is counted.
pub fn bucket(duration: Duration) -> usize {
    let halves = duration.as_secs().saturating_mul(500) + u64::from(duration.subsec_millis() / 2);
    let bits = u64::BITS - halves.leading_zeros();
    (bits as usize).min(BUCKETS - 1)
}

impl Durations {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |index: usize| self.0[index].wrapping_add(other.0[index]);
        Self(std::array::from_fn(sum))
    }

    /// What has been counted since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let more = |index: usize| self.0[index].wrapping_sub(earlier.0[index]);
        Self(std::array::from_fn(more))
    }

    /// The time within which `percent` of all were, as if they were spread evenly between two powers of
    /// two; `None` when there were none. What is beyond the last one counts as that.
    pub fn percentile(self, percent: u64) -> Option<Duration> {
        let total: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let rank = (total * percent).div_ceil(100);
        let mut before = 0;
        for (index, count) in self.0.into_iter().enumerate() {
            let count = u64::from(count);
            if count > 0 && before + count >= rank {
                let upper = Duration::from_millis(2 << index.min(BUCKETS - 2));
                let lower = if index == 0 { Duration::ZERO } else { upper / 2 };
                let lower = if index == BUCKETS - 1 { upper } else { lower };
                let part = u32::try_from((rank - before) * 1000 / count).unwrap_or(1000);
                return Some(lower + (upper - lower) * part / 1000);
            }
            before += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(millis: &[u64]) -> Durations {
        let mut durations = Durations::default();
        for millis in millis {
            durations.0[bucket(Duration::from_millis(*millis))] += 1;
        }
        durations
    }

    #[test]
    fn each_power_of_two_has_a_count() {
        let places = [0, 1, 2, 3, 4, 1000, 1024, 8191, 8192, u64::MAX];
        let places = places.map(|millis| bucket(Duration::from_millis(millis)));
        assert_eq!(places, [0, 0, 1, 1, 2, 9, 10, 12, 13, 13]);
    }

    #[test]
    fn a_percentile_is_between_the_two_powers_of_two_around_it() {
        assert_eq!(Durations::default().percentile(95), None);
        let all = durations(&[vec![3; 90], vec![40; 10]].concat());
        let millis = |percent| all.percentile(percent).unwrap().as_secs_f64() * 1000.0;
        assert!((2.0..=4.0).contains(&millis(50)), "{}", millis(50));
        assert!((32.0..=64.0).contains(&millis(95)), "{}", millis(95));
        assert_eq!(millis(100), 64.0);
        assert_eq!(durations(&[0]).percentile(95), Some(Duration::from_millis(2)));
        assert_eq!(durations(&[60_000]).percentile(95), Some(Duration::from_millis(8192)));
    }

    #[test]
    fn only_what_is_new_counts_also_after_an_overflow() {
        let mut before = durations(&[7; 5]);
        before.0[0] = u32::MAX;
        let after = before.plus(durations(&[0, 0, 100]));
        assert_eq!(after.since(before), durations(&[0, 0, 100]));
    }

    proptest::proptest! {
        #[test]
        fn a_percentile_never_falls(counts: [u32; BUCKETS], percents in (1_u64..=100, 1_u64..=100)) {
            let (low, high) = (percents.0.min(percents.1), percents.0.max(percents.1));
            let all = Durations(counts);
            proptest::prop_assert!(all.percentile(low) <= all.percentile(high));
        }
    }
}
