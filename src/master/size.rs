//! How many workers there are to be, while the instance serves.
//!
//! The one place where that number changes is [`State::want`]: what [`crate::adaptive`] finds, what
//! an administrator asks for, sleep and waking all come here. The lowest free numbers are filled, the
//! highest are the first to go: they drain, and have no successor.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, News};
use crate::event::{Generation, Key, Ticket};
use crate::renewal::Part;
use crate::state::{Out, Phase, RELOAD_LINGER, State, Worker};

/// Somebody waits until so many workers serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scaling {
    wanted: u32,
    ticket: Ticket,
    generation: Generation,
}

impl Scaling {
    fn fail(&self, why: &str) -> Action {
        Action::Answer(self.ticket, Err(format!("not {} workers: {why}", self.wanted)))
    }
}

impl State {
    /// Whether the instance serves, be it that it sleeps.
    pub fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    /// Whether no worker is wanted until somebody comes.
    pub fn is_asleep(&self) -> bool {
        self.phase == Phase::Serving && self.current.wanted == 0
    }

    /// The fewest, the most and the wanted workers.
    pub fn bounds(&self) -> (u32, u32, u32) {
        let least = self.current.least;
        (least, self.current.plan.processes.max(least), self.current.wanted)
    }

    /// How many workers whoever sleeps wakes up with.
    pub fn initial(&self) -> u32 {
        self.current.plan.initial.max(self.current.least)
    }

    /// So many workers are wanted from now on; `why` in words.
    ///
    /// A generation that is on its way is to have as many, if its plan allows them and they are more
    /// than it would have: it takes over from all of them.
    pub(crate) fn want(&mut self, wanted: u32, why: String, now: Duration, out: Out<'_>) {
        let before = self.current.wanted;
        if self.phase != Phase::Serving || wanted == before {
            return;
        }
        out.push(Action::Tell(News::Resized(before, wanted, why)));
        let generation = self.current.generation;
        let lasting = lasting_of(&self.workers, generation);
        self.current.want(wanted, now, |number| lasting.contains(&number));
        self.retire_surplus(now, out);
        self.fill(generation, now, out);
        let Some(next) = &mut self.next else { return };
        let (generation, wanted) = (next.generation, wanted.min(next.plan.processes));
        if wanted > next.wanted {
            let lasting = lasting_of(&self.workers, generation);
            next.want(wanted, now, |number| lasting.contains(&number));
            self.fill(generation, now, out);
        }
    }

    /// An administrator wants so many workers: no fewer until the next reload, and no more either,
    /// unless more than these are configured and there is work for them.
    pub(crate) fn scale(&mut self, wanted: u32, ticket: Ticket, now: Duration, out: Out<'_>) {
        if let Some(before) = self.scaling.take() {
            out.push(before.fail("another number was asked for"));
        }
        let scaling = Scaling { wanted, ticket, generation: self.current.generation };
        if !self.is_serving() {
            return out.push(scaling.fail("the instance is starting or stopping"));
        }
        if self.is_reloading() {
            return out.push(scaling.fail("a reload is going on; ask again when it is done"));
        }
        self.current.least = wanted;
        self.want(wanted, "so it was asked for (scale)".into(), now, out);
        self.scaling = Some(scaling);
    }

    /// Tells who has asked for another number of workers when they serve, or why they do not.
    pub(crate) fn answer_scale(&mut self, out: Out<'_>) {
        let Some(scaling) = &self.scaling else { return };
        let trouble = out.iter().find_map(|action| match action {
            Action::Tell(News::WorkerDied(..)) => Some("a worker has died"),
            Action::Tell(News::Trouble(why)) => Some(&*why.summary),
            Action::Tell(News::TemplateDied(why, _)) => Some(&*why.summary),
            _ => None,
        });
        let answer = if self.is_stopping() {
            scaling.fail("the instance is stopping")
        } else if scaling.generation != self.current.generation {
            scaling.fail("a reload has set another number")
        } else if self.ready(scaling.generation) >= scaling.wanted as usize {
            let serve = if scaling.wanted == 1 { "worker serves" } else { "workers serve" };
            Action::Answer(scaling.ticket, Ok(format!("{} {serve}", scaling.wanted)))
        } else if let Some(trouble) = trouble {
            scaling.fail(&format!("{trouble}; the log tells more, and rwsgi goes on trying"))
        } else {
            return;
        };
        out.push(answer);
        self.scaling = None;
    }

    /// Whose number is not wanted any more drains.
    fn retire_surplus(&mut self, now: Duration, out: Out<'_>) {
        let (generation, wanted) = (self.current.generation, self.current.wanted);
        let is_surplus = |w: &Worker| w.generation == generation && w.number > wanted;
        let mut surplus = self.workers.iter().filter(|(_, worker)| is_surplus(worker));
        if surplus.any(|(key, _)| self.renewal.part(*key) != Part::Neither) {
            self.renewal.settle();
        }
        let mercy = self.current.plan.mercy;
        self.drain(|_, worker| is_surplus(worker), RELOAD_LINGER, mercy, now, out);
    }
}

/// The numbers of a generation's workers that stay.
fn lasting_of(workers: &BTreeMap<Key, Worker>, generation: Generation) -> BTreeSet<u32> {
    let lasting = workers.values().filter(|w| w.generation == generation && !w.is_draining());
    lasting.map(|worker| worker.number).collect()
}
