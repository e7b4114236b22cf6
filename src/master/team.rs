//! One generation as the state knows it: its template, and which of its workers are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::Generation;
use crate::respawn;

/// What one generation is to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The most workers, 1 or more.
    pub processes: u32,
    /// The fewest while there are requests, 1 or more (`cheaper`).
    pub least: u32,
    /// How many it begins with (`cheaper-initial`).
    pub initial: u32,
    /// It begins without any, until somebody connects (`cheap`).
    pub asleep: bool,
    /// Time for a worker to finish its requests.
    pub mercy: Duration,
    /// How many new workers a reload starts at a time, 1 or more.
    pub overlap: u32,
    /// Time for a template to import, or a worker to come to serve; `None`: as long as it takes.
    pub patience: Option<Duration>,
}

impl Plan {
    /// One whose number of workers does not change by itself.
    pub fn fixed(processes: u32, mercy: Duration) -> Self {
        Self {
            processes,
            least: processes,
            initial: processes,
            asleep: false,
            mercy,
            overlap: u32::MAX,
            patience: None,
        }
    }
}

/// Where a template stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Template {
    /// It imports the application.
    Importing,
    /// It can fork.
    Imported,
    /// It is gone; the next attempt comes at this time.
    Down(Duration),
}

/// A worker that is missing, or was.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vacancy {
    /// Workers of this number that have failed in a row.
    pub failures: u32,
    /// When the next is to be forked, if one is missing.
    pub due: Option<Duration>,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// Its number.
    pub generation: Generation,
    /// Its template.
    pub template: Template,
    /// When that was started.
    pub template_since: Duration,
    /// Templates that have failed in a row.
    pub template_failures: u32,
    /// What it is to look like.
    pub plan: Plan,
    /// The fewest workers while there are requests: those of the plan, unless an administrator has
    /// asked for others.
    pub least: u32,
    /// How many workers it is to have now: those with the numbers 1 … `wanted`. None: it sleeps.
    pub wanted: u32,
    /// By worker number; what is due of numbers that are not wanted waits until they are.
    pub vacancies: BTreeMap<u32, Vacancy>,
    /// The numbers that have made room for workers of the next generation.
    pub released: BTreeSet<u32>,
}

impl Team {
    /// A generation whose template has just been started, with as many workers as it begins with.
    pub fn new(generation: Generation, plan: Plan, now: Duration) -> Self {
        let vacancy = Vacancy { failures: 0, due: Some(now) };
        let wanted = plan.initial.max(plan.least).min(plan.processes);
        Self {
            generation,
            template: Template::Importing,
            template_since: now,
            template_failures: 0,
            plan,
            least: plan.least,
            wanted,
            vacancies: (1..=wanted).map(|number| (number, vacancy)).collect(),
            released: BTreeSet::new(),
        }
    }

    /// With as many workers as `old` has, if its own plan allows them.
    pub fn succeeding(mut self, old: &Self) -> Self {
        let now = self.template_since;
        self.want(old.wanted.min(self.plan.processes).max(self.wanted), now, |_| false);
        self
    }

    /// So many workers are wanted from now on. Those that `is_there` says to be missing are due, or
    /// will be when they would have been anyway.
    pub fn want(&mut self, wanted: u32, now: Duration, is_there: impl Fn(u32) -> bool) {
        self.wanted = wanted;
        self.released.retain(|number| *number <= wanted);
        let released = &self.released;
        let gone = |number: &u32| !is_there(*number) && !released.contains(number);
        for number in (1..=wanted).filter(gone) {
            self.vacancies.entry(number).or_default().due.get_or_insert(now);
        }
    }

    /// The numbers that nobody has and somebody is to have, now or later.
    pub fn missing(&self) -> impl Iterator<Item = u32> {
        let wanted = self.vacancies.range(..=self.wanted);
        wanted.filter(|(_, vacancy)| vacancy.due.is_some()).map(|(number, _)| *number)
    }

    /// The first of them that is due.
    pub fn first_due(&self, now: Duration) -> Option<u32> {
        let due = |vacancy: &Vacancy| vacancy.due.is_some_and(|due| due <= now);
        let mut wanted = self.vacancies.range(..=self.wanted);
        wanted.find(|(_, vacancy)| due(vacancy)).map(|(number, _)| *number)
    }

    /// The worker of this number is asked for.
    pub fn take(&mut self, number: u32) {
        self.vacancies.entry(number).or_default().due = None;
    }

    /// The worker of this number makes room, and nobody follows it.
    pub fn release(&mut self, number: u32) {
        self.take(number);
        self.released.insert(number);
    }

    /// So many of those who have made room are wanted again.
    pub fn take_back(&mut self, count: usize, now: Duration) {
        for number in self.released.iter().copied().take(count).collect::<Vec<_>>() {
            self.released.remove(&number);
            self.vacancies.entry(number).or_default().due = Some(now);
        }
    }

    /// When its template is given up, if it still imports.
    pub fn import_deadline(&self) -> Option<Duration> {
        let imports = self.template == Template::Importing;
        self.plan.patience.filter(|_| imports).map(|time| self.template_since + time)
    }

    /// The worker numbers that are due to be forked; they are not due any more.
    pub fn take_due(&mut self, now: Duration) -> Vec<u32> {
        if self.template != Template::Imported {
            return Vec::new();
        }
        let due = self
            .vacancies
            .range_mut(..=self.wanted)
            .filter(|(_, vacancy)| vacancy.due.is_some_and(|due| due <= now));
        due.map(|(number, vacancy)| {
            vacancy.due = None;
            *number
        })
        .collect()
    }

    /// The worker of this number has failed after `lived`: how long to wait, and how often it was.
    pub fn vacate(&mut self, number: u32, lived: Duration, now: Duration) -> (Duration, u32) {
        let failures = self.count_failure(number, lived);
        let delay = respawn::delay(failures);
        self.vacancies.entry(number).or_default().due = Some(now + delay);
        (delay, failures)
    }

    /// The worker of this number has failed after `lived`, but none is missing: how often it was.
    pub fn count_failure(&mut self, number: u32, lived: Duration) -> u32 {
        let vacancy = self.vacancies.entry(number).or_default();
        vacancy.failures = respawn::count(vacancy.failures, lived);
        vacancy.failures
    }

    /// The template has gone: how long until the next.
    pub fn lose_template(&mut self, now: Duration) -> Duration {
        let lived = now.saturating_sub(self.template_since);
        self.template_failures = respawn::count(self.template_failures, lived);
        let delay = respawn::delay(self.template_failures);
        self.template = Template::Down(now + delay);
        delay
    }

    /// When something of it is due.
    pub fn deadline(&self) -> Option<Duration> {
        match self.template {
            Template::Importing => None,
            Template::Imported => {
                self.vacancies.range(..=self.wanted).filter_map(|(_, vacancy)| vacancy.due).min()
            }
            Template::Down(until) => Some(until),
        }
    }
}
