//! What became of the workers of each number: how often another one had to follow, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use rwsgi_core::durations::Durations;
use rwsgi_core::scoreboard::Counters;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::event::Key;

/// The shortest time between two counts that are compared.
const STEP: Duration = Duration::from_secs(1);
/// What is counted is that of about this long.
const WINDOW: Duration = Duration::from_secs(10);

/// What is written down for later starts: so many workers, and so many characters of a cause.
const BRIEF: (usize, usize) = (128, 100);

/// All of it, since the first start that systemd has kept counters of.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    restarts: BTreeMap<u32, Restarts>,
    /// What had been counted in a worker's slot when it got it.
    before: BTreeMap<Key, Counters>,
    /// How many requests there were when.
    counts: Vec<(Duration, u64)>,
    /// How long those took, in the same order; fewer after a takeover from who did not count it.
    #[serde(default)]
    durations: Vec<Durations>,
    /// What there was before this start.
    #[serde(default)]
    earlier: Earlier,
    #[serde(default)]
    reloads: u64,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Earlier {
    starts: u64,
    /// How long before this start the first one was.
    time: Duration,
    requests: u64,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// Requests a second, of the last [`WINDOW`] or so.
    pub(crate) per_second: f64,
    /// Of how many seconds that is.
    pub(crate) over_seconds: f64,
    /// The time within which 95 % of them were answered.
    pub(crate) p95: Option<Duration>,
    /// Requests that the application works on.
    pub(crate) running: u64,
    /// Requests that wait for a thread, and connections that wait to be accepted.
    pub(crate) waiting: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Restarts {
    count: u64,
    cause: String,
    at: Duration,
}

impl History {
    /// The worker of this number is followed by another one.
    pub(crate) fn note(&mut self, number: u32, cause: &str, now: Duration) {
        let now = self.counted(now);
        let restarts = self.restarts.entry(number);
        let restarts = restarts.or_insert(Restarts { count: 0, cause: String::new(), at: now });
        restarts.count += 1;
        restarts.cause = cause.to_owned();
        restarts.at = now;
    }

    /// A worker gets a slot in which others have counted before.
    pub(crate) fn begin(&mut self, key: Key, before: Counters) {
        self.before.insert(key, before);
    }

    pub(crate) fn forget(&mut self, key: Key) {
        self.before.remove(&key);
    }

    /// What a worker itself has counted.
    pub(crate) fn own(&self, key: Key, counted: Counters) -> Counters {
        let before = self.before.get(&key).copied().unwrap_or_default();
        Counters {
            requests: counted.requests.saturating_sub(before.requests),
            exceptions: counted.exceptions.saturating_sub(before.exceptions),
            bytes_sent: counted.bytes_sent.saturating_sub(before.bytes_sent),
            turned_away: counted.turned_away.saturating_sub(before.turned_away),
            ..counted
        }
    }

    pub(crate) fn restarts(&self, number: u32) -> u64 {
        self.restarts.get(&number).map_or(0, |restarts| restarts.count)
    }

    /// Why and when it was last; null when it never was.
    pub(crate) fn last_restart(&self, number: u32, now: Duration) -> Value {
        self.restarts.get(&number).map_or(Value::Null, |restarts| {
            let ago = self.counted(now).saturating_sub(restarts.at).as_secs();
            json!({"cause": restarts.cause, "seconds_ago": ago})
        })
    }

    /// Generations were replaced.
    pub(crate) fn note_reload(&mut self) {
        self.reloads += 1;
    }

    pub(crate) fn reloads(&self) -> u64 {
        self.reloads
    }

    /// This one among them.
    pub(crate) fn starts(&self) -> u64 {
        self.earlier.starts.saturating_add(1)
    }

    /// Since when all of this is counted.
    pub(crate) fn counted(&self, now: Duration) -> Duration {
        self.earlier.time.saturating_add(now)
    }

    /// Of so many requests in all, those since this start.
    pub(crate) fn since_start(&self, requests: u64) -> u64 {
        requests.saturating_sub(self.earlier.requests)
    }

    /// As much of it as later starts need.
    pub(crate) fn brief(&self) -> Self {
        let (most, length) = BRIEF;
        let short = |(number, restarts): (&u32, &Restarts)| {
            let cause = restarts.cause.chars().take(length).collect();
            (*number, Restarts { cause, count: restarts.count, at: restarts.at })
        };
        let restarts = self.restarts.iter().take(most).map(short).collect();
        let (earlier, reloads) = (self.earlier.clone(), self.reloads);
        Self { restarts, earlier, reloads, ..Self::default() }
    }

    /// What a start counts from that began `gap` after the one that has written this, when there had been
    /// `requests`.
    pub(crate) fn go_on(mut self, gap: Duration, requests: u64) -> Self {
        let (starts, time) = (self.starts(), self.counted(gap));
        self.earlier = Earlier { starts, time, requests };
        self.count(Duration::ZERO, requests, Durations::default());
        self
    }

    /// There have been `requests` by now, which took so long.
    pub(crate) fn count(&mut self, now: Duration, requests: u64, durations: Durations) {
        if self.counts.last().is_none_or(|(at, _)| now >= *at + STEP) {
            self.durations.resize(self.counts.len(), durations);
            self.counts.push((now, requests));
            self.durations.push(durations);
        }
        // One from before the window is kept, to compare with.
        let old = self.counts.iter().filter(|(at, _)| *at + WINDOW < now).count();
        self.counts.drain(..old.saturating_sub(1));
        self.durations.drain(..old.saturating_sub(1).min(self.durations.len()));
    }

    /// Requests a second, and how long they took: since about [`WINDOW`], or since somebody asked
    /// last. Nothing is known here of who runs and waits.
    pub(crate) fn load(&self, now: Duration, requests: u64, durations: Durations) -> Load {
        let is_before = |(at, _): &(Duration, u64)| *at + STEP <= now;
        let in_window = |(at, _): &(Duration, u64)| *at + WINDOW >= now;
        let index = self.counts.iter().position(|one| in_window(one) && is_before(one));
        let index = index.or_else(|| self.counts.iter().rposition(is_before));
        let (at, before) = index.and_then(|at| self.counts.get(at)).copied().unwrap_or_default();
        let earlier = index.and_then(|at| self.durations.get(at)).copied();
        let seconds = now.saturating_sub(at).as_secs_f64();
        let more = u32::try_from(requests.saturating_sub(before)).unwrap_or(u32::MAX);
        Load {
            per_second: if seconds > 0.0 { f64::from(more) / seconds } else { 0.0 },
            over_seconds: seconds,
            p95: durations.since(earlier.unwrap_or_default()).percentile(95),
            running: 0,
            waiting: 0,
        }
    }
}

impl Load {
    /// As it is told by `status`.
    pub(crate) fn json(&self) -> Value {
        let rounded = |number: f64| (number * 10.0).round() / 10.0;
        json!({
            "requests": rounded(self.per_second),
            "over_seconds": rounded(self.over_seconds),
            "p95_ms": self.p95.map(|time| rounded(time.as_secs_f64() * 1000.0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn restarts_are_counted_by_number_and_the_last_cause_stays() {
        let mut history = History::default();
        assert_eq!((history.restarts(1), history.last_restart(1, seconds(1))), (0, Value::Null));
        history.note(1, "max-requests", seconds(2));
        history.note(1, "killed", seconds(5));
        assert_eq!((history.restarts(1), history.restarts(2)), (2, 0));
        let last = json!({"cause": "killed", "seconds_ago": 4});
        assert_eq!(history.last_restart(1, seconds(9)), last);
    }

    #[test]
    fn what_predecessors_have_counted_is_not_a_workers_own() {
        let mut history = History::default();
        let counted = |requests, running| Counters { requests, running, ..Counters::default() };
        history.begin(7, counted(100, 0));
        assert_eq!(history.own(7, counted(130, 2)), counted(30, 2));
        history.forget(7);
        assert_eq!(history.own(7, counted(130, 2)), counted(130, 2));
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut history = History::default();
        let none = Durations::default();
        let rate = |history: &History, at, requests| {
            let load = history.load(seconds(at), requests, none);
            (load.per_second, load.over_seconds)
        };
        assert_eq!(rate(&history, 4, 8), (2.0, 4.0));
        (0..=60).for_each(|second| history.count(seconds(second), 10 * second, none));
        assert!(history.counts.len() <= 12, "{:?}", history.counts);
        assert_eq!(history.durations.len(), history.counts.len());
        assert_eq!(rate(&history, 60, 600 + 100), (20.0, 10.0));
        assert_eq!(rate(&history, 160, 1600), (10.0, 100.0));
    }

    #[test]
    fn the_percentile_is_that_of_the_last_seconds_too() {
        let counts = |short, long| {
            let mut durations = Durations::default();
            (durations.0[0], durations.0[10]) = (short, long);
            durations
        };
        let mut history = History::default();
        history.count(seconds(0), 100, counts(0, 100));
        history.count(seconds(20), 100, counts(0, 100));
        let load = history.load(seconds(25), 200, counts(100, 100));
        assert_eq!(load.json()["p95_ms"], json!(1.9));
        assert_eq!(history.load(seconds(25), 100, counts(0, 100)).json()["p95_ms"], Value::Null);
    }

    #[test]
    fn what_an_older_program_hands_over_has_no_durations_yet() {
        let old = json!({"restarts": {}, "before": {}, "counts": [[{"secs": 1, "nanos": 0}, 5]]});
        let mut history: History = serde_json::from_value(old).unwrap();
        history.count(seconds(3), 6, Durations::default());
        assert_eq!(history.durations.len(), history.counts.len());
    }
}
