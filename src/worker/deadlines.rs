//! When a connection has waited long enough for its client.
//!
//! Times are milliseconds since the worker's start, rounded up to whole seconds, so that ten
//! thousand connections cost at most one look a second, and none without a deadline near.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use rwsgi_reactor::Moment;

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// The worker's clock, and the earliest deadline of all.
#[derive(Debug)]
pub(crate) struct Deadlines {
    start: Moment,
    now: AtomicU64,
    next: AtomicU64,
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        Self { start: Moment::now(), now: AtomicU64::new(0), next: AtomicU64::new(NEVER) }
    }

    /// The last reading of the clock.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    /// Reads the clock. What else asks for the time until the next reading gets this one.
    pub(crate) fn advance(&self) -> u64 {
        self.advance_to(Moment::now())
    }

    /// The same with a reading that somebody has made.
    pub(crate) fn advance_to(&self, now: Moment) -> u64 {
        let now = self.millis(now);
        self.now.store(now, Relaxed);
        now
    }

    fn millis(&self, now: Moment) -> u64 {
        now.millis_since(self.start)
    }

    /// The moment `after` now, as a deadline that is looked at in time.
    pub(crate) fn after(&self, after: Duration) -> u64 {
        let at = self.moment(after);
        self.look_at(at);
        at
    }

    /// The same, noted in `deadline` before anybody can look.
    pub(crate) fn set(&self, deadline: &AtomicU64, after: Duration) {
        let at = self.moment(after);
        deadline.store(at, SeqCst);
        self.look_at(at);
    }

    fn moment(&self, after: Duration) -> u64 {
        let after =
            after.as_secs().saturating_mul(1000).saturating_add(after.subsec_millis().into());
        Self::round(self.now.load(Relaxed).saturating_add(after))
    }

    /// The whole second that ends at `at` or after it: looks that fall together cost one look.
    pub(crate) fn round(at: u64) -> u64 {
        at.div_ceil(1000).saturating_mul(1000)
    }

    /// Makes sure that deadlines are looked at at `at`, if not earlier.
    pub(crate) fn look_at(&self, at: u64) {
        if at < self.next.load(SeqCst) {
            self.next.fetch_min(at, SeqCst);
        }
    }

    /// Time until the next look.
    pub(crate) fn timeout(&self, now: Moment) -> Option<Duration> {
        let next = self.next.load(Relaxed);
        if next == NEVER {
            return None;
        }
        Some(Duration::from_millis(next.saturating_sub(self.millis(now))))
    }

    /// Whether it is time to look; the caller then says by `look_at` when the next time is.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        if now < self.next.load(SeqCst) {
            return false;
        }
        // What is noted from here on counts, what was noted before is found by the look that follows.
        self.next.swap(NEVER, SeqCst);
        true
    }
}
