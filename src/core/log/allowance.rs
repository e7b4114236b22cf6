//! How many requests may be logged in a second, so that journald does not drop what matters more.
//!
//! A generic cell rate algorithm: one number, the time at which the next entry is due if all came
//! evenly. How far it may be ahead of now is the burst. The last part of the burst is for requests
//! that failed.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A burst is what comes in so many seconds.
const BURST: i64 = 5;
/// How often it is told what was left out, in microseconds.
const TELL: i64 = 10_000_000;

/// What a worker may still log.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Microseconds between two entries.
    interval: i64,
    /// When the next one is due, in microseconds of the epoch.
    due: AtomicI64,
    left_out: AtomicU64,
    told: AtomicI64,
}

impl Allowance {
    /// So many a second, at least one.
    pub(super) fn new(rate: u32) -> Self {
        let interval = 1_000_000 / i64::from(rate.clamp(1, 1_000_000));
        Self {
            interval,
            due: AtomicI64::new(0),
            left_out: AtomicU64::new(0),
            told: AtomicI64::new(0),
        }
    }

    /// Whether one more is allowed at `now`.
    pub(super) fn admits(&self, now: i64, has_failed: bool) -> bool {
        let burst = BURST * 1_000_000;
        let most = if has_failed { burst } else { burst / 4 * 3 };
        let due = self.due.load(Relaxed);
        // The clock was set back: what was due then is nothing to go by.
        let due = if due > now + burst + self.interval { now } else { due.max(now) };
        let admits = due + self.interval <= now + most;
        if admits {
            // When two threads meet here one entry more is written; nobody has to wait for it.
            self.due.store(due + self.interval, Relaxed);
        } else {
            self.left_out.fetch_add(1, Relaxed);
        }
        admits
    }

    /// How many were left out, when it is time to tell; `at_last`: it is.
    pub(super) fn left_out(&self, now: i64, at_last: bool) -> Option<u64> {
        if self.left_out.load(Relaxed) == 0 {
            return None;
        }
        let told = self.told.load(Relaxed);
        if !at_last && (told..told.saturating_add(TELL)).contains(&now) {
            return None;
        }
        self.told.store(now, Relaxed);
        Some(self.left_out.swap(0, Relaxed)).filter(|&count| count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_644_404_000_000;

    #[test]
    fn a_burst_is_admitted_and_then_the_rate() {
        let allowance = Allowance::new(100);
        let admitted = |now, failed| (0..2000).filter(|_| allowance.admits(now, failed)).count();
        assert_eq!(admitted(NOW, false), 375);
        assert_eq!(admitted(NOW, true), 125);
        assert_eq!(admitted(NOW + 1_000_000, true), 100);
        assert_eq!(allowance.left_out(NOW + 1_000_000, false), Some(6000 - 600));
        assert_eq!(admitted(NOW + 1_000_000, true), 0);
        assert_eq!(allowance.left_out(NOW + 2_000_000, false), None);
        assert_eq!(allowance.left_out(NOW + 2_000_000, true), Some(2000));
        assert_eq!(allowance.left_out(NOW + 99_000_000, false), None);
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nobody() {
        let allowance = Allowance::new(1);
        while allowance.admits(NOW, true) {}
        assert!(allowance.admits(NOW - 3_600_000_000, false));
    }
}
