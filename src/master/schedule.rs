//! What an application has asked of the signals of uWSGI's module: who has handlers, and what sends
//! them when. Each generation has its own, so that a reload makes them anew; only that which serves
//! counts. What sends is noted once, however many workers of `lazy-apps` ask for the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rwsgi_core::cron::{Clock, When};
use rwsgi_core::ipc::{SignalOrder, Target};
use serde::{Deserialize, Serialize};

use crate::event::{Generation, Key};

/// How many of each kind an application may have.
const MOST: usize = 1000;
/// How many signals may be held while nobody can have them, and of one number.
const HELD: usize = 1000;
const HELD_OF_ONE: usize = 100;
/// How often the same is told.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Of all generations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedules {
    pub(crate) all: BTreeMap<Generation, Schedule>,
    /// Sent by a generation, and there was nobody yet to have it.
    pub(crate) held: Vec<(Generation, u8)>,
    pub(crate) clock: Clock,
    /// When the clock is looked at next, while it matters.
    #[serde(skip)]
    pub(crate) look_at: Option<Instant>,
    /// What was told of signals last, and when.
    #[serde(skip)]
    told: BTreeMap<String, Instant>,
}

impl Schedules {
    /// Keeps a signal until there is somebody to have it.
    ///
    /// # Errors
    /// A sentence: too many are kept. One that nobody takes leaves room for others.
    pub fn hold(&mut self, generation: Generation, number: u8) -> Result<(), String> {
        let same = self.held.iter().filter(|(_, one)| *one == number).count();
        if same < HELD_OF_ONE && self.held.len() < HELD {
            self.held.push((generation, number));
            return Ok(());
        }
        let waiting = if same < HELD_OF_ONE { self.held.len() } else { same };
        let which = if same < HELD_OF_ONE { "signals" } else { "of that number" };
        Err(format!(
            "signal {number} of the uwsgi module is lost: {waiting} {which} wait for workers already"
        ))
    }

    /// Whether this is to be told at `now`: an application can have it be so a thousand times a second.
    pub fn is_news(&mut self, message: &str, now: Instant) -> bool {
        self.told.retain(|_, at| now.saturating_duration_since(*at) < TELL_EVERY);
        let is_news = self.told.len() < MOST && !self.told.contains_key(message);
        if is_news {
            self.told.insert(message.to_owned(), now);
        }
        is_news
    }
}

/// Of one generation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    pub(crate) targets: BTreeMap<u8, Target>,
    /// The workers that have registered a handler themselves; nobody: all have it from the import.
    owners: BTreeMap<u8, BTreeSet<Key>>,
    /// Those of which all have it from the import, whoever has registered it once more.
    inherited: BTreeSet<u8>,
    timers: Vec<Timer>,
    crons: Vec<(u8, When)>,
    pub(crate) files: BTreeSet<(u8, PathBuf)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Timer {
    number: u8,
    seconds: u32,
    /// 0: for ever.
    times: u32,
    left: u32,
    /// On the master's clock.
    due: Duration,
}

impl Timer {
    fn is_over(&self) -> bool {
        self.times > 0 && self.left == 0
    }

    fn every(&self) -> Duration {
        Duration::from_secs(self.seconds.max(1).into())
    }
}

impl Schedule {
    /// Notes what was asked for, by a worker or by the import. Not [`SignalOrder::Send`].
    ///
    /// # Errors
    /// A sentence: there are too many.
    pub fn take(
        &mut self,
        worker: Option<Key>,
        order: SignalOrder,
        now: Duration,
    ) -> Result<(), String> {
        match order {
            SignalOrder::Handler { number, target } => {
                self.targets.insert(number, target);
                match worker {
                    Some(key) => drop(self.owners.entry(number).or_default().insert(key)),
                    None => drop(self.inherited.insert(number)),
                }
            }
            SignalOrder::Timer { number, seconds, times } => {
                let same =
                    |one: &Timer| (one.number, one.seconds, one.times) == (number, seconds, times);
                if !self.timers.iter().any(same) {
                    room("timers", self.timers.len())?;
                    let mut timer = Timer { number, seconds, times, left: times, due: now };
                    timer.due += timer.every();
                    self.timers.push(timer);
                }
            }
            SignalOrder::Cron { number, when } => {
                if !self.crons.contains(&(number, when)) {
                    room("times of cron", self.crons.len())?;
                    self.crons.push((number, when));
                }
            }
            SignalOrder::File { number, path } => {
                let file = (number, path.into());
                if !self.files.contains(&file) {
                    room("files", self.files.len())?;
                    self.files.insert(file);
                }
            }
            SignalOrder::Send { .. } => {}
        }
        Ok(())
    }

    /// A worker that serves asks, not an import that asks once more: what has ended begins again.
    pub fn renew(&mut self, order: &SignalOrder) {
        if let SignalOrder::Timer { number, seconds, times } = order {
            self.timers.retain(|one| {
                !one.is_over()
                    || (one.number, one.seconds, one.times) != (*number, *seconds, *times)
            });
        }
    }

    /// It begins to count.
    pub fn begin(&mut self, now: Duration) {
        for timer in &mut self.timers {
            timer.due = now + timer.every();
        }
    }

    /// Whether a worker can have this signal.
    pub fn is_owner(&self, number: u8, worker: Key) -> bool {
        self.inherited.contains(&number)
            || self.owners.get(&number).is_none_or(|owners| owners.contains(&worker))
    }

    /// A worker is gone.
    pub fn forget(&mut self, worker: Key) {
        for owners in self.owners.values_mut() {
            owners.remove(&worker);
        }
    }

    /// When the next timer is due.
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.iter().filter(|timer| !timer.is_over()).map(|timer| timer.due).min()
    }

    /// Whether the clock matters.
    pub fn has_crons(&self) -> bool {
        !self.crons.is_empty()
    }

    /// The signals of the timers that are due. One that has been missed, as while the machine was
    /// asleep, is not made up for.
    pub fn timers_due(&mut self, now: Duration) -> Vec<u8> {
        let mut due = Vec::new();
        for timer in self.timers.iter_mut().filter(|timer| !timer.is_over() && timer.due <= now) {
            due.push(timer.number);
            timer.left = timer.left.saturating_sub(1);
            timer.due += timer.every();
            if timer.due <= now {
                timer.due = now + timer.every();
            }
        }
        due
    }

    /// The signals whose time has come, by what the clock says.
    pub fn crons_due(&self, due: &rwsgi_core::cron::Due) -> Vec<u8> {
        self.crons
            .iter()
            .filter(|(_, when)| due.count(when) > 0)
            .map(|(number, _)| *number)
            .collect()
    }
}

fn room(what: &str, count: usize) -> Result<(), String> {
    if count < MOST {
        return Ok(());
    }
    Err(format!("the application has {MOST} {what} of the uwsgi module: no more are taken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn workers_that_ask_for_the_same_have_one_timer() {
        let mut schedule = Schedule::default();
        let timer = SignalOrder::Timer { number: 3, seconds: 10, times: 0 };
        for worker in [1, 2] {
            schedule.take(Some(worker), timer.clone(), at(worker)).unwrap();
        }
        assert_eq!(schedule.deadline(), Some(at(11)));
        assert_eq!(schedule.timers_due(at(11)), [3]);
        assert_eq!((schedule.timers_due(at(12)), schedule.deadline()), (vec![], Some(at(21))));
    }

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let mut schedule = Schedule::default();
        schedule.take(None, SignalOrder::Timer { number: 3, seconds: 2, times: 0 }, at(0)).unwrap();
        assert_eq!(schedule.timers_due(at(100)), [3]);
        assert_eq!(schedule.deadline(), Some(at(102)));
    }

    #[test]
    fn a_timer_that_has_its_number_of_times_ends() {
        let mut schedule = Schedule::default();
        schedule.take(None, SignalOrder::Timer { number: 3, seconds: 1, times: 2 }, at(0)).unwrap();
        schedule.begin(at(5));
        let due: Vec<_> = (1..10).map(|second| schedule.timers_due(at(second)).len()).collect();
        assert_eq!((due.iter().sum::<usize>(), schedule.deadline()), (2, None));
        let again = SignalOrder::Timer { number: 3, seconds: 1, times: 2 };
        schedule.take(Some(1), again.clone(), at(20)).unwrap();
        assert_eq!(schedule.deadline(), None, "the import of another worker");
        schedule.renew(&again);
        schedule.take(Some(1), again, at(20)).unwrap();
        assert_eq!(schedule.deadline(), Some(at(21)));
    }

    #[test]
    fn who_has_a_handler_of_its_own_is_known_until_it_is_gone() {
        let mut schedule = Schedule::default();
        let order = |number| SignalOrder::Handler { number, target: Target::Any };
        schedule.take(None, order(1), at(0)).unwrap();
        schedule.take(Some(7), order(2), at(0)).unwrap();
        assert!(schedule.is_owner(1, 8) && schedule.is_owner(2, 7) && !schedule.is_owner(2, 8));
        schedule.forget(7);
        assert!(!schedule.is_owner(2, 7));
        schedule.take(Some(7), order(1), at(0)).unwrap();
        schedule.forget(7);
        assert!(schedule.is_owner(1, 8), "it has that of the import");
    }

    #[test]
    fn a_signal_that_nobody_takes_leaves_room_for_others() {
        let mut schedules = Schedules::default();
        while schedules.hold(1, 9).is_ok() {}
        assert!(schedules.hold(1, 8).is_ok());
        let why = schedules.hold(1, 9).unwrap_err();
        let now = Instant::now();
        assert!(schedules.is_news(&why, now) && !schedules.is_news(&why, now));
        assert!(schedules.is_news(&why, now + TELL_EVERY));
    }
}
