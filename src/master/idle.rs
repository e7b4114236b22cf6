//! For how long nobody has asked for anything (`idle`).

use std::time::Duration;

/// Looks in one such time: rest is noticed by at most this part of it too late.
const LOOKS: u32 = 8;

/// Since when nothing happens.
#[derive(Debug, Default)]
pub struct Rest {
    since: Duration,
    /// Requests that were answered when that was seen last.
    answered: u64,
}

impl Rest {
    /// At `now` nobody has rested yet.
    pub fn from(now: Duration) -> Self {
        Self { since: now, answered: 0 }
    }

    /// What is seen: how many requests were answered so far, and whether any is there now.
    pub fn see(&mut self, answered: u64, is_busy: bool, now: Duration) {
        if is_busy || answered != self.answered {
            (self.since, self.answered) = (now, answered);
        }
    }

    /// Somebody has come.
    pub fn end(&mut self, now: Duration) {
        self.since = now;
    }

    /// Whether it has lasted for `limit`.
    pub fn is_over(&self, limit: Duration, now: Duration) -> bool {
        now.saturating_sub(self.since) >= limit
    }

    /// When it will have.
    pub fn end_at(&self, limit: Duration) -> Duration {
        self.since + limit
    }

    /// The time between two looks.
    pub fn pause(limit: Duration) -> Duration {
        limit / LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: Duration = Duration::from_secs(8);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn requests_that_were_answered_or_run_are_no_rest() {
        let mut rest = Rest::default();
        rest.see(0, false, at(7));
        assert!(rest.is_over(LIMIT, at(8)));
        rest.see(1, false, at(8));
        assert!(!rest.is_over(LIMIT, at(15)));
        rest.see(1, true, at(15));
        rest.see(1, false, at(20));
        assert!(!rest.is_over(LIMIT, at(22)) && rest.is_over(LIMIT, at(23)));
        rest.end(at(23));
        assert!(!rest.is_over(LIMIT, at(30)) && rest.is_over(LIMIT, at(31)));
    }

    proptest! {
        #[test]
        fn rest_is_never_seen_too_early_and_at_most_a_look_too_late(
            requests in prop::collection::vec(0u64..200_000, 0..20),
        ) {
            let (mut rest, mut now) = (Rest::default(), Duration::ZERO);
            let mut requests: Vec<_> = requests.into_iter().map(Duration::from_millis).collect();
            requests.sort_unstable();
            let answered = |now: Duration| requests.iter().filter(|at| **at <= now).count() as u64;
            while !rest.is_over(LIMIT, now) {
                now += Rest::pause(LIMIT);
                rest.see(answered(now), false, now);
            }
            let last = requests.iter().rfind(|at| **at <= now).copied().unwrap_or_default();
            let quiet = now - last;
            prop_assert!(quiet >= LIMIT && quiet <= LIMIT + 2 * Rest::pause(LIMIT), "{quiet:?}");
        }
    }
}
