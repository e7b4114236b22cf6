//! How many workers there is work for (`cheaper`): from what was seen, without looking.
//!
//! Growing is fast: a connection that waits while every thread has a request brings as many workers
//! as are needed, at the moment in which that is seen. Shrinking is slow: one worker, when for a while
//! ([`Adaptive::patience`]) it would not have been missed. One that is missed soon after it went was
//! taken away too early: the next one goes later, so that a load between two numbers of workers does
//! not have them come and go for ever.

use std::time::Duration;

use rwsgi_core::config::sizing::{Algorithm, Busyness, Cheaper};

/// What was seen at one moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Workers that serve.
    pub ready: u32,
    /// Threads of each.
    pub threads: u32,
    /// Requests that the application works on.
    pub running: u32,
    /// Connections that nobody has accepted.
    pub waiting: u32,
    /// Bytes that all workers use, if there is a limit.
    pub rss: u64,
}

impl Sample {
    /// Whether no thread is free.
    fn is_full(&self) -> bool {
        self.ready > 0 && self.running >= self.ready * self.threads
    }

    /// Requests there would be if all who wait were served, as far as one can tell.
    fn demand(&self) -> u32 {
        if self.is_full() { self.running.saturating_add(self.waiting) } else { self.running }
    }
}

/// Between which numbers of workers there is a choice, and how many are wanted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The fewest.
    pub least: u32,
    /// The most.
    pub most: u32,
    /// Now.
    pub wanted: u32,
}

/// A worker that is missed within so many times the patience went too early.
const SOON: u32 = 20;
/// Nobody waits longer than this until a worker goes.
const LONGEST_PATIENCE: Duration = Duration::from_secs(300);
/// For so long all threads have a request before that alone, without anybody who waits, brings a
/// worker: a single request of some milliseconds needs no second one.
const FULL_FOR: Duration = Duration::from_millis(250);
/// How long no connection has waited, and a thread was free, before `backlog` takes a worker away.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(10);
/// The time between two looks while nothing is urgent, and while everybody is busy.
const CALM: Duration = Duration::from_secs(1);
const BUSY: Duration = Duration::from_millis(100);

/// What was seen so far, as far as it matters.
#[derive(Debug, Default)]
pub struct Adaptive {
    /// Since when one worker fewer would have done.
    calm_since: Option<Duration>,
    /// How many would have done in that time.
    needed: u32,
    /// Since when all threads are taken.
    full_since: Option<Duration>,
    /// Since when connections wait.
    waiting_since: Option<Duration>,
    /// When a worker went last.
    shrunk_at: Option<Duration>,
    /// How much longer than usual one has to be superfluous; in times of that.
    penalty: u32,
    meter: Meter,
}

/// How busy the workers are over a window.
#[derive(Debug, Default)]
struct Meter {
    began: Option<Duration>,
    looked: Duration,
    /// Thread seconds with a request, and all.
    busy: f64,
    total: f64,
}

/// A decision: how many are wanted, and why.
type Decision = Option<(u32, String)>;

impl Adaptive {
    /// What follows from `sample`.
    pub fn look(
        &mut self,
        cheaper: &Cheaper,
        bounds: Bounds,
        sample: Sample,
        now: Duration,
    ) -> Decision {
        note(&mut self.full_since, sample.is_full(), now);
        note(&mut self.waiting_since, sample.waiting > 0, now);
        if bounds.wanted > bounds.least && cheaper.rss_hard.is_some_and(|limit| sample.rss > limit)
        {
            return Some(self.shrink(bounds, now, memory(sample, cheaper.rss_hard, "hard")));
        }
        let (more, fewer) = match cheaper.algorithm {
            Algorithm::Spare { spares, .. } => {
                self.spare(spares, cheaper.step, bounds, sample, now)
            }
            Algorithm::Backlog { limit } => backlog(limit, cheaper.step, bounds, sample),
            Algorithm::Busyness(busyness) => {
                self.busyness(&busyness, cheaper.step, bounds, sample, now)
            }
            Algorithm::Manual => (None, None),
        };
        let limit = cheaper.rss_soft.or(cheaper.rss_hard);
        let may_grow = limit.is_none_or(|limit| sample.rss <= limit);
        if let Some((wanted, why)) = more.filter(|_| may_grow && bounds.wanted < bounds.most) {
            self.grow(cheaper, now);
            return Some((wanted.min(bounds.most), why));
        }
        self.shrink_if_calm(cheaper, bounds, fewer, now)
    }

    /// One goes when fewer would have done for long enough; so many, if fewer would do now.
    fn shrink_if_calm(
        &mut self,
        cheaper: &Cheaper,
        bounds: Bounds,
        fewer: Option<u32>,
        now: Duration,
    ) -> Decision {
        let needed = fewer.filter(|_| bounds.wanted > bounds.least);
        note(&mut self.calm_since, needed.is_some(), now);
        self.needed = needed.map_or(0, |needed| needed.max(self.needed).max(bounds.least));
        let (since, patience) = (self.calm_since?, self.patience(cheaper));
        if now.saturating_sub(since) < patience {
            return None;
        }
        let why = match cheaper.algorithm {
            Algorithm::Busyness(Busyness { min, .. }) => {
                format!("the workers were busy for less than {min} %")
            }
            Algorithm::Spare { .. } | Algorithm::Backlog { .. } | Algorithm::Manual => {
                format!("{} would have done", workers(self.needed))
            }
        };
        Some(self.shrink(bounds, now, format!("for {} s {why}", patience.as_secs())))
    }

    /// The time until the next look.
    pub fn pause(&self) -> Duration {
        if self.full_since.is_some() { BUSY } else { CALM }
    }

    /// For how long a worker has to be superfluous before it goes.
    pub fn patience(&self, cheaper: &Cheaper) -> Duration {
        match cheaper.algorithm {
            Algorithm::Spare { patience, .. } => self.grown(patience),
            Algorithm::Backlog { .. } | Algorithm::Manual => self.grown(BACKLOG_PATIENCE),
            Algorithm::Busyness(Busyness { window, multiplier, penalty, .. }) => {
                window * multiplier.saturating_add(penalty.saturating_mul(self.penalty))
            }
        }
    }

    fn grown(&self, patience: Duration) -> Duration {
        let grown = patience.saturating_mul(1 << self.penalty.min(16));
        grown.min(LONGEST_PATIENCE.max(patience))
    }

    fn grow(&mut self, cheaper: &Cheaper, now: Duration) {
        let soon = self.patience(cheaper).saturating_mul(SOON);
        match self.shrunk_at.take().map(|at| now.saturating_sub(at)) {
            Some(since) if since < soon => self.penalty = (self.penalty + 1).min(16),
            Some(_) => self.penalty = 0,
            None => {}
        }
        (self.calm_since, self.needed) = (None, 0);
        // What was added is given time, and then it is seen again whether it was enough.
        self.full_since = Some(now);
        self.meter = Meter::default();
    }

    fn shrink(&mut self, bounds: Bounds, now: Duration, why: String) -> (u32, String) {
        (self.calm_since, self.needed) = (None, 0);
        self.shrunk_at = Some(now);
        self.meter = Meter::default();
        (bounds.wanted - 1, why)
    }

    /// So many workers are to have a free thread.
    fn spare(
        &self,
        spares: u32,
        step: u32,
        bounds: Bounds,
        sample: Sample,
        now: Duration,
    ) -> (Decision, Option<u32>) {
        let Sample { running, waiting, .. } = sample;
        let taken = sample.demand() / sample.threads.max(1);
        let is_urgent = sample.is_full() && waiting > 0
            || self.full_since.is_some_and(|since| now.saturating_sub(since) >= FULL_FOR)
            || spares > 1;
        let more = (is_urgent && taken + spares > bounds.wanted).then(|| {
            let all = sample.ready * sample.threads;
            let why =
                format!("{running} of {all} threads have a request, {} wait", connections(waiting));
            (bounds.wanted.saturating_add(step).max(taken + spares), why)
        });
        // A worker with one request is taken for busy here, for free above: between the two nothing
        // happens.
        let needed = running.div_ceil(sample.threads.max(1)) + spares;
        (more, Some(needed).filter(|needed| waiting == 0 && *needed < bounds.wanted))
    }

    /// Workers work for so much of their time.
    fn busyness(
        &mut self,
        busyness: &Busyness,
        step: u32,
        bounds: Bounds,
        sample: Sample,
        now: Duration,
    ) -> (Decision, Option<u32>) {
        let Sample { waiting, ready, .. } = sample;
        let waits = self.waiting_since.is_some_and(|at| now.saturating_sub(at) >= busyness.nonzero);
        if (waiting > busyness.alert || waits) && ready >= bounds.wanted {
            self.waiting_since = Some(now);
            let why = format!("{} wait", connections(waiting));
            return (Some((bounds.wanted.saturating_add(busyness.alert_step), why)), None);
        }
        let measured = self.meter.measure(sample, busyness.window, now);
        let Some(percent) = measured else {
            // Between two windows the last one goes on.
            return (None, self.calm_since.filter(|_| waiting == 0).map(|_| 0));
        };
        if percent > busyness.max {
            let why = format!(
                "the workers are busy for {percent} % of their time, more than {}",
                busyness.max
            );
            return (Some((bounds.wanted.saturating_add(step), why)), None);
        }
        (None, (percent < busyness.min && waiting == 0).then_some(0))
    }
}

/// More connections wait than may.
fn backlog(limit: u32, step: u32, bounds: Bounds, sample: Sample) -> (Decision, Option<u32>) {
    let Sample { ready, threads, running, waiting, .. } = sample;
    // Those that were added last are to have their chance first.
    let more = (waiting > limit && ready >= bounds.wanted).then(|| {
        let why = format!("{} wait, more than {limit}", connections(waiting));
        (bounds.wanted.saturating_add(step.max(waiting / threads.max(1))), why)
    });
    let needed = running.div_ceil(threads.max(1));
    (more, Some(needed).filter(|needed| waiting == 0 && *needed < bounds.wanted))
}

impl Meter {
    /// Adds a sample; the percentage when it completes a window.
    fn measure(&mut self, sample: Sample, window: Duration, now: Duration) -> Option<u32> {
        let began = *self.began.get_or_insert(now);
        if began < now {
            let seconds = now.saturating_sub(self.looked).as_secs_f64();
            self.busy += seconds * f64::from(sample.running);
            self.total += seconds * f64::from(sample.ready * sample.threads);
        }
        self.looked = now;
        if now.saturating_sub(began) < window || self.total <= 0.0 {
            return None;
        }
        // Between 0 and 100, but for a request that began or ended between two readings.
        let percent = (100.0 * self.busy / self.total).round() as u32;
        *self = Self { began: Some(now), looked: now, ..Self::default() };
        Some(percent)
    }
}

/// Remembers since when something is so.
fn note(since: &mut Option<Duration>, is_so: bool, now: Duration) {
    if is_so {
        since.get_or_insert(now);
    } else {
        *since = None;
    }
}

fn memory(sample: Sample, limit: Option<u64>, which: &str) -> String {
    let (used, limit) = (sample.rss >> 20, limit.unwrap_or_default() >> 20);
    format!("the workers use {used} MiB, more than {limit} (cheaper-rss-limit-{which})")
}

fn connections(count: u32) -> String {
    if count == 1 { "1 connection".to_owned() } else { format!("{count} connections") }
}

fn workers(count: u32) -> String {
    if count == 1 { "1 worker".to_owned() } else { format!("{count} workers") }
}

#[cfg(test)]
#[path = "adaptive_tests.rs"]
mod tests;
