//! How long to wait before the next attempt.

use std::time::Duration;

/// A process that lived shorter counts as failed at once.
pub const TOO_SHORT: Duration = Duration::from_secs(10);
/// Failures in a row after which it is a crash loop.
pub const LOOP: u32 = 5;
const LONGEST: Duration = Duration::from_secs(30);

/// The wait before the attempt after `failures` in a row: none after the first, then 1, 2, 4 … 30 s.
pub fn delay(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(1 << (more - 2).min(5)).min(LONGEST),
    }
}

/// Failures in a row, after a process that lived for `lived` has failed.
pub fn count(failures: u32, lived: Duration) -> u32 {
    if lived < TOO_SHORT { failures.saturating_add(1) } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_death_costs_nothing_and_the_tenth_half_a_minute() {
        let seconds: Vec<u64> = (1..=9).map(|failures| delay(failures).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(delay(u32::MAX), LONGEST);
    }

    #[test]
    fn who_lived_long_starts_again_from_one() {
        assert_eq!(count(7, TOO_SHORT), 1);
        assert_eq!(count(7, Duration::ZERO), 8);
    }
}
