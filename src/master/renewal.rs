//! Workers that are replaced while they serve: the successor first, and one at a time.
//!
//! ```text
//!  waiting ──fork──▶ under way ──the successor serves──▶ the old one drains
//!     ▲                 │ it fails: later, ever later     or either of them goes by itself:
//!     └─────────────────┘                                 the other one stays
//! ```
//! A replacement begins only while everything else is in order: all workers of the generation
//! serve, its template can fork, and no reload is going on (that would replace them all).

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, News};
use crate::event::Key;
use crate::respawn;
use crate::round;
use crate::state::{Out, Phase, RELOAD_LINGER, State, WorkerPhase};
use crate::team::Template;

/// Who is to be replaced, and who is.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// In the order in which it was asked for, and why.
    waiting: Vec<(Key, String)>,
    /// Who is replaced now.
    under_way: Option<Replacement>,
    /// Attempts in succession that failed: of successors, which have nothing to do with how often
    /// workers die that serve.
    failures: u32,
    /// The last attempt has failed: the next one comes at this time.
    not_before: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Replacement {
    old: Key,
    new: Key,
    why: String,
}

/// What a worker is to the replacement that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It is replaced.
    Old,
    /// It is the successor, and does not serve yet.
    New,
    /// Nothing.
    Neither,
}

impl Renewal {
    /// What `key` is to the replacement that is under way.
    pub fn part(&self, key: Key) -> Part {
        match &self.under_way {
            Some(replacement) if replacement.old == key => Part::Old,
            Some(replacement) if replacement.new == key => Part::New,
            Some(_) | None => Part::Neither,
        }
    }

    /// Whether a worker is being replaced.
    #[cfg(test)]
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The worker that goes because `key`, its successor, serves.
    fn complete(&mut self, key: Key) -> Option<Key> {
        self.under_way.take_if(|replacement| replacement.new == key).map(|done| done.old)
    }

    /// These are not to be replaced any more, if that was for the reason `why`.
    pub fn forget(&mut self, keys: &BTreeSet<Key>, why: &str) {
        self.waiting.retain(|(key, reason)| reason != why || !keys.contains(key));
    }

    /// Why `key` is to be replaced, if it is.
    fn reason(&mut self, key: Key) -> Option<&mut String> {
        let under_way = self.under_way.as_mut().filter(|replacement| replacement.old == key);
        let waiting = self.waiting.iter_mut().find(|(waiting, _)| *waiting == key);
        under_way.map(|replacement| &mut replacement.why).or(waiting.map(|(_, why)| why))
    }

    /// Another generation serves: what failed in the old one says nothing of it.
    pub fn begin_generation(&mut self) {
        self.settle();
        self.failures = 0;
        self.not_before = Duration::ZERO;
    }

    /// What is under way will not be finished, and need not be: who is left stays.
    pub fn settle(&mut self) {
        self.under_way = None;
    }
}

impl State {
    /// A worker is to be replaced. Who does not serve is, or will not be needed.
    pub(crate) fn retire(&mut self, key: Key, why: String) {
        let serves = self.workers.get(&key).is_some_and(|w| w.phase == WorkerPhase::Ready);
        if !serves || self.is_stopping() {
            return;
        }
        match self.renewal.reason(key) {
            // A reason of its own outlives a round that fails.
            Some(known) if why != round::WHY => *known = why,
            Some(_) => {}
            None => self.renewal.waiting.push((key, why)),
        }
    }

    /// Begins the next replacement, if there is one to begin.
    pub(crate) fn replace_next(&mut self, now: Duration, out: Out<'_>) {
        let workers = &self.workers;
        let serves = |key: &Key| workers.get(key).is_some_and(|w| w.phase == WorkerPhase::Ready);
        self.renewal.waiting.retain(|(key, _)| serves(key));
        if self.renewal.waiting.is_empty() || now < self.renewal.not_before || !self.can_replace() {
            return;
        }
        let (old, why) = self.renewal.waiting.remove(0);
        let Some(number) = self.workers.get(&old).map(|worker| worker.number) else { return };
        out.push(Action::Tell(News::Replacing(old, why.clone())));
        let new = self.fork(self.current.generation, number, now, out);
        self.renewal.under_way = Some(Replacement { old, new, why });
    }

    fn can_replace(&self) -> bool {
        let serving = self.ready(self.current.generation);
        // Not more may be on their way out than a reload and one round of replacements send there, or
        // long requests would pile processes up.
        let leaving = self.workers.values().filter(|worker| worker.is_draining()).count();
        leaving < 2 * self.current.plan.processes.max(self.current.wanted) as usize
            && self.phase == Phase::Serving
            && self.next.is_none()
            && self.renewal.under_way.is_none()
            && self.current.template == Template::Imported
            && serving >= self.current.wanted as usize
    }

    /// When the next replacement is to begin, if only time is in its way.
    pub(crate) fn replacement_due(&self) -> Option<Duration> {
        let is_due = !self.renewal.waiting.is_empty() && self.can_replace();
        is_due.then_some(self.renewal.not_before)
    }

    /// `key` serves: if it is a successor, its predecessor goes.
    pub(crate) fn succeed(&mut self, key: Key, now: Duration, out: Out<'_>) {
        if let Some(old) = self.renewal.complete(key) {
            self.renewal.failures = 0;
            let mercy = self.current.plan.mercy;
            self.drain(|key, _| key == old, RELOAD_LINGER, mercy, now, out);
        }
    }

    /// A successor is gone, or goes, before it served: its predecessor serves on and is replaced
    /// later. How it went, in words.
    pub(crate) fn fail_replacement(&mut self, how: String, now: Duration, out: Out<'_>) {
        let Some(Replacement { old, why, .. }) = self.renewal.under_way.take() else { return };
        // Nobody is missing: there is no hurry, not even after the first failure. It never served, so
        // it has failed however long that took.
        self.renewal.failures = self.renewal.failures.saturating_add(1);
        let delay = respawn::delay(self.renewal.failures.saturating_add(1));
        self.renewal.not_before = now + delay;
        self.renewal.waiting.push((old, why));
        self.fail_round(old, &how, out);
        out.push(Action::Tell(News::ReplacementFailed(old, how, delay)));
    }
}
