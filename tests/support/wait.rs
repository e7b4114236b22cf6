//! Waiting for what other processes do: always with a deadline, never for time to pass.

use std::time::{Duration, Instant};

/// How long anything may take before the test fails: far longer than on a machine that is busy.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// Returns what `look` finds, as soon as it finds it.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, look).unwrap_or_else(|| panic!("waited in vain: {what}"))
}

/// The same; `None` when `limit` has passed.
pub fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if began.elapsed() > limit {
            return None;
        }
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that polls, below a deadline")]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
