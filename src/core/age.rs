//! When a worker asks to be replaced: after how many requests, and how many seconds.
//!
//! Times are milliseconds of the worker's own clock, which begins with it; `u64::MAX` is never.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::config::Recycling;
use crate::config::recycling::Limit;

/// No deadline.
const NEVER: u64 = u64::MAX;
/// When it is tried again to tell a master that takes nothing in, in milliseconds.
const AGAIN: u64 = 1000;

/// What this worker may come to; it has drawn its limits when it began.
#[derive(Debug)]
pub struct Age {
    /// The most requests that it is to answer, of those that its slot counts.
    last: u64,
    requests: u64,
    expires: u64,
    lifetime: u64,
    grown_up: u64,
    /// When the most requests have been answered and it may be said.
    due: AtomicU64,
    asked: AtomicBool,
}

impl Age {
    /// Of a worker whose slot has counted `before` requests of others. `lots` are any numbers.
    pub fn new(recycling: &Recycling, before: u64, lots: [u64; 2]) -> Self {
        let draw = |limit: Option<Limit>, lot| limit.map_or(NEVER, |limit| limit.draw(lot));
        let requests = draw(recycling.requests, lots[0]);
        let lifetime = draw(recycling.lifetime, lots[1]);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(NEVER);
        Self {
            last: before.saturating_add(requests),
            requests,
            expires: lifetime.saturating_mul(1000),
            lifetime,
            grown_up: millis(recycling.min_lifetime),
            due: AtomicU64::new(NEVER),
            asked: AtomicBool::new(false),
        }
    }

    /// Whether the slot's count of answered requests is the most; it is that once.
    pub fn is_last(&self, answered: u64) -> bool {
        answered == self.last
    }

    /// The most requests have been answered: the time from which on it may be said.
    pub fn be_done(&self) -> u64 {
        self.due.store(self.grown_up, Relaxed);
        self.grown_up
    }

    /// When to look again, and why the worker is to be replaced, if it is time; says so once, unless
    /// [`Age::ask_again`] follows.
    pub fn look(&self, now: u64) -> (u64, Option<String>) {
        if self.asked.load(Relaxed) {
            return (NEVER, None);
        }
        let done = self.due.load(Relaxed);
        let next = done.min(self.expires);
        if now < next || self.asked.swap(true, Relaxed) {
            return (next, None);
        }
        let Self { requests, lifetime, .. } = self;
        let reason = if now >= done {
            let plural = if *requests == 1 { "" } else { "s" };
            format!("it has answered {requests} request{plural} (max-requests)")
        } else {
            format!("it has served for {lifetime} s (max-worker-lifetime)")
        };
        (NEVER, Some(reason))
    }

    /// It could not be said at `now`: when to try again.
    pub fn ask_again(&self, now: u64) -> u64 {
        self.asked.store(false, Relaxed);
        now + AGAIN
    }
}

/// Numbers that differ between processes, those of one template, too.
pub fn lots() -> [u64; 2] {
    // Forked processes have the same keys: their pids make the difference.
    let keys = RandomState::new();
    [0, 1].map(|index| keys.hash_one((std::process::id(), index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recycling(requests: u64, lifetime: u64, min_lifetime: u64) -> Recycling {
        let limit = |least| (least > 0).then_some(Limit { least, delta: 0 });
        Recycling {
            requests: limit(requests),
            lifetime: limit(lifetime),
            min_lifetime: Duration::from_secs(min_lifetime),
            ..Recycling::default()
        }
    }

    fn age(requests: u64, lifetime: u64, min_lifetime: u64) -> Age {
        Age::new(&recycling(requests, lifetime, min_lifetime), 100, [7, 7])
    }

    #[test]
    fn a_worker_without_limits_stays() {
        let age = age(0, 0, 0);
        assert!(!age.is_last(100) && !age.is_last(u64::MAX - 1));
        assert_eq!(age.look(NEVER - 1), (NEVER, None));
    }

    #[test]
    fn only_its_own_requests_count_and_the_last_of_them_is_told_once() {
        let age = age(5, 0, 0);
        let last: Vec<u64> = (100..120).filter(|answered| age.is_last(*answered)).collect();
        assert_eq!(last, [105]);
        assert_eq!(age.look(3), (NEVER, None));
        assert_eq!(age.be_done(), 0);
        let reason = "it has answered 5 requests (max-requests)".to_owned();
        assert_eq!(age.look(3), (NEVER, Some(reason)));
        assert_eq!(age.look(4), (NEVER, None));
    }

    #[test]
    fn a_worker_that_is_too_young_waits_but_not_beyond_its_lifetime() {
        let age = age(1, 9, 60);
        assert_eq!(age.be_done(), 60_000);
        assert_eq!(age.look(0), (9000, None));
        assert_eq!(age.look(8999), (9000, None));
        let reason = "it has served for 9 s (max-worker-lifetime)".to_owned();
        assert_eq!(age.look(9000), (NEVER, Some(reason)));
        assert_eq!(age.look(60_000), (NEVER, None));
    }

    #[test]
    fn what_could_not_be_said_is_said_later() {
        let age = age(0, 1, 0);
        assert!(age.look(1000).1.is_some());
        assert_eq!(age.ask_again(1000), 2000);
        assert!(age.look(2000).1.is_some());
    }

    #[test]
    fn each_worker_draws_its_own_limits() {
        let mut recycling = recycling(1000, 0, 0);
        recycling.requests = Some(Limit { least: 1000, delta: 100 });
        let lots = (0..50).map(|pid| RandomState::new().hash_one(pid));
        let last = lots.map(|lot| Age::new(&recycling, 0, [lot, 0]).last);
        let drawn: std::collections::BTreeSet<u64> = last.collect();
        assert!(drawn.len() > 10 && drawn.iter().all(|last| (1000..=1100).contains(last)));
    }
}
