//! The clock of all that is measured for each request: a number, whose difference to another one is a
//! subtraction and not the twenty instructions that `Instant` takes for it.

use std::ops::{Add, Sub};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A reading of CLOCK_MONOTONIC, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// This one.
    pub fn now() -> Self {
        // Linux always has this clock.
        Self(clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| {
            (now.tv_sec() as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec() as u64)
        }))
    }

    /// Nanoseconds of that clock.
    pub(crate) fn nanos(self) -> u64 {
        self.0
    }

    /// The time from then to now.
    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }

    /// Whole milliseconds since an `earlier` one; 0 if that is a later one.
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_clock_of_the_standard_library() {
        let (first, other) = (Moment::now(), std::time::Instant::now());
        while other.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        let within = other.elapsed();
        assert!(first.elapsed() >= within);
        let later = first + Duration::from_millis(2500);
        assert_eq!((later - first, first - later), (Duration::from_millis(2500), Duration::ZERO));
        assert_eq!((later.millis_since(first), first.millis_since(later)), (2500, 0));
        assert!(later > first && first + Duration::MAX > later);
    }
}
