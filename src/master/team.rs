//! One generation as the state knows it: its template, and which of its workers are missing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::Generation;
use crate::respawn;

/// What one generation is to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Workers, 1 or more.
    pub processes: u32,
    /// Time for a worker to finish its requests.
    pub mercy: Duration,
}

/// Where a template stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// It imports the application.
    Importing,
    /// It can fork.
    Imported,
    /// It is gone; the next attempt comes at this time.
    Down(Duration),
}

/// A worker that is missing, or was.
#[derive(Debug, Default, Clone, Copy)]
pub struct Vacancy {
    /// Workers of this number that have failed in a row.
    pub failures: u32,
    /// When the next is to be forked, if one is missing.
    pub due: Option<Duration>,
}

/// One generation.
#[derive(Debug)]
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
    /// By worker number.
    pub vacancies: BTreeMap<u32, Vacancy>,
}

impl Team {
    /// A generation whose template has just been started.
    pub fn new(generation: Generation, plan: Plan, now: Duration) -> Self {
        let vacancy = Vacancy { failures: 0, due: Some(now) };
        Self {
            generation,
            template: Template::Importing,
            template_since: now,
            template_failures: 0,
            plan,
            vacancies: (1..=plan.processes).map(|number| (number, vacancy)).collect(),
        }
    }

    /// The worker numbers that are due to be forked; they are not due any more.
    pub fn take_due(&mut self, now: Duration) -> Vec<u32> {
        if self.template != Template::Imported {
            return Vec::new();
        }
        let due = self.vacancies.iter_mut().filter(|(_, v)| v.due.is_some_and(|due| due <= now));
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
            Template::Imported => self.vacancies.values().filter_map(|vacancy| vacancy.due).min(),
            Template::Down(until) => Some(until),
        }
    }
}
