//! Signals of uWSGI's module on their way: from who sends them, or the clock, to workers.

use std::time::{Duration, Instant};

use rwsgi_core::cron::{self, Clock};
use rwsgi_core::ipc::{SignalOrder, Target, ToWorker};
use rwsgi_core::log::{self, Event as Said};

use crate::event::{Generation, Key};
use crate::master::Master;
use crate::schedule::Schedule;
use crate::state::WorkerPhase;

impl Master {
    /// An application says what its signals are to do, or sends one.
    pub(crate) fn order_signal(
        &mut self,
        generation: Generation,
        worker: Option<Key>,
        order: SignalOrder,
    ) {
        if generation < self.state.generation() {
            return;
        }
        if let SignalOrder::Send { number } = order {
            if let Err(why) = self.schedules.hold(generation, number)
                && self.schedules.is_news(&why, Instant::now())
            {
                log::error(Said::ApplicationError, why).send();
            }
            return;
        }
        let file = match &order {
            SignalOrder::File { number, path } => Some((path.into(), *number)),
            _ => None,
        };
        let now = self.now();
        let asker = worker.and_then(|key| self.state.workers().get(&key));
        let serves = asker.is_some_and(|asker| asker.phase == WorkerPhase::Ready);
        let schedule = self.schedules.all.entry(generation).or_default();
        if serves {
            schedule.renew(&order);
        }
        match (schedule.take(worker, order, now), file) {
            (Ok(()), Some((path, number))) => self.watch_monitor(generation, path, number),
            (Ok(()), None) => {}
            (Err(why), _) => {
                if self.schedules.is_news(&why, Instant::now()) {
                    log::error(Said::ApplicationError, why).send();
                }
            }
        }
        self.mind_clock();
    }

    /// Another generation serves: what the earlier ones wanted does not count any more.
    pub(crate) fn change_schedules(&mut self) {
        let (generation, now) = (self.state.generation(), self.now());
        self.schedules.all.retain(|one, _| *one >= generation);
        if let Some(schedule) = self.schedules.all.get_mut(&generation) {
            schedule.begin(now);
        }
        self.mind_clock();
    }

    /// A worker is gone, and its handlers with it.
    pub(crate) fn forget_handlers(&mut self, key: Key) {
        self.schedules.all.values_mut().for_each(|schedule| schedule.forget(key));
    }

    /// After a takeover: files are watched by this program.
    pub(crate) fn watch_monitored(&mut self) {
        let all = self.schedules.all.iter();
        let files: Vec<_> = all
            .flat_map(|(generation, schedule)| {
                schedule.files.iter().map(|(number, path)| (*generation, path.clone(), *number))
            })
            .collect();
        for (generation, path, number) in files {
            self.watch_monitor(generation, path, number);
        }
        self.mind_clock();
    }

    /// Looks at the clock each minute from now on, if somebody cares.
    fn mind_clock(&mut self) {
        let schedule = self.schedules.all.get(&self.state.generation());
        if !schedule.is_some_and(Schedule::has_crons) {
            (self.schedules.look_at, self.schedules.clock) = (None, Clock::default());
        } else if self.schedules.look_at.is_none() {
            // The first look only finds out what time it is; after a takeover it is not the first.
            self.schedules.look_at = Some(Instant::now());
        }
    }

    /// When something is sent by itself next.
    pub(crate) fn schedule_due(&self) -> Option<Instant> {
        if self.state.is_stopping() {
            return None;
        }
        let schedule = self.schedules.all.get(&self.state.generation())?;
        let timer = schedule.deadline().map(|at| self.began + at);
        timer.into_iter().chain(self.schedules.look_at).min()
    }

    /// Sends what is due.
    pub(crate) fn send_what_is_due(&mut self) {
        let (generation, now) = (self.state.generation(), self.now());
        let Some(schedule) = self.schedules.all.get_mut(&generation) else { return };
        let mut due = schedule.timers_due(now);
        if self.schedules.look_at.is_some_and(|at| at <= Instant::now()) {
            let (minute, left) = cron::now();
            let times = self.schedules.clock.advance(minute);
            due.extend(schedule.crons_due(&times));
            self.schedules.look_at = Some(Instant::now() + left.max(Duration::from_millis(1)));
        }
        for number in due {
            self.deliver(number, true);
        }
    }

    /// Sends what was held, to those who serve by now.
    pub(crate) fn deliver_held(&mut self) {
        let generation = self.state.generation();
        self.schedules.held.retain(|(one, _)| *one >= generation);
        let held = std::mem::take(&mut self.schedules.held);
        for (one, number) in held {
            if one != generation || !self.deliver(number, false) {
                self.schedules.held.push((one, number));
            }
        }
    }

    /// Sends a signal to whom it is for; `false`: they do not serve now. During a pause nothing new
    /// reaches the application: what recurs is left out, the rest is held.
    pub(crate) fn deliver(&mut self, number: u8, recurs: bool) -> bool {
        let generation = self.state.generation();
        let schedule = self.schedules.all.get(&generation);
        let target = schedule.and_then(|schedule| schedule.targets.get(&number));
        let (Some(schedule), Some(target)) = (schedule, target) else {
            let message = format!(
                "signal {number} of the uwsgi module has no handler: call uwsgi.register_signal first"
            );
            if self.schedules.is_news(&message, Instant::now()) {
                log::warning(Said::ApplicationError, message).send();
            }
            return true;
        };
        if self.state.paused().is_some() || self.state.is_stopping() {
            return self.state.is_stopping();
        }
        let mut able: Vec<_> = self.state.workers().iter().collect();
        able.retain(|(key, worker)| {
            worker.generation == generation
                && worker.phase == WorkerPhase::Ready
                && schedule.is_owner(number, **key)
        });
        match target {
            Target::All => {}
            Target::Worker(wanted) => able.retain(|(_, worker)| worker.number == *wanted),
            // Who has least to do.
            Target::Any => able.sort_by_key(|(_, worker)| {
                let slot = self.instance.scoreboard.slot(worker.slot);
                slot.map_or(u64::MAX, |slot| slot.read().running)
            }),
        }
        let mut sent =
            able.into_iter().filter_map(|(key, _)| self.workers.get(key)).map(|worker| {
                worker.channel.get_ref().send(&ToWorker::Signal { number, recurs }, &[]).is_ok()
            });
        match target {
            Target::Any => sent.any(|sent| sent),
            Target::All | Target::Worker(_) => sent.filter(|sent| *sent).count() > 0,
        }
    }
}
