//! What the master sees of the load, and when it looks: only where somebody wants to know (`cheaper`,
//! `idle`), at once when a worker says that it has nothing free, and never while all sleep.

use std::time::{Duration, Instant};

use rwsgi_core::config::sizing::{Algorithm, MOST_WORKERS};
use rwsgi_core::log::{self, Event as Said};
use serde_json::json;

use crate::adaptive::{Adaptive, Bounds, Sample};
use crate::backlog::Backlog;
use crate::control::Waiter;
use crate::doorbell::Doorbell;
use crate::event::Event;
use crate::idle::Rest;
use crate::master::{Arrival, Master};
use crate::memory::resident;
use crate::state::WorkerPhase;

/// What was seen so far.
#[derive(Debug)]
pub(crate) struct Gauge {
    adaptive: Adaptive,
    rest: Rest,
    looked: Instant,
    pub(crate) backlog: Backlog,
    doorbell: Option<Doorbell>,
}

impl Gauge {
    /// Nothing is known yet, and nobody has rested before `now`.
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            adaptive: Adaptive::default(),
            rest: Rest::from(now),
            looked: Instant::now(),
            backlog: Backlog::default(),
            doorbell: None,
        }
    }
}

impl Master {
    /// When the load is to be looked at.
    pub(crate) fn load_due(&self) -> Option<Instant> {
        let sizing = &self.instance.config.sizing;
        if !self.state.is_serving() {
            return None;
        }
        if self.state.is_asleep() {
            let ends = sizing.idle.filter(|_| sizing.die_on_idle && self.state.can_reload());
            let ends = ends.filter(|limit| !self.gauge.rest.is_over(*limit, self.now()));
            return ends.map(|limit| self.began + self.gauge.rest.end_at(limit));
        }
        let adapts = sizing.cheaper.as_ref().is_some_and(|c| c.algorithm != Algorithm::Manual);
        let adapts = adapts.then(|| self.gauge.adaptive.pause());
        let rests = sizing.idle.map(Rest::pause);
        adapts.into_iter().chain(rests).min().map(|pause| self.gauge.looked + pause)
    }

    /// Looks, and has as many workers as are needed.
    pub(crate) fn look_at_load(&mut self) {
        self.gauge.looked = Instant::now();
        // In a pause nothing can be seen of the load: the number of workers stays.
        if !self.state.is_serving() || self.state.is_asleep() || self.state.paused().is_some() {
            return;
        }
        let (now, sample) = (self.now(), self.sample());
        if let Some(cheaper) = &self.instance.config.sizing.cheaper {
            let (least, most, wanted) = self.state.bounds();
            let bounds = Bounds { least, most, wanted };
            if let Some((wanted, why)) = self.gauge.adaptive.look(cheaper, bounds, sample, now) {
                self.queue.push_back(Event::Want(wanted, why));
            }
        }
        let Some(limit) = self.instance.config.sizing.idle else { return };
        let answered = self.instance.scoreboard.total().requests;
        self.gauge.rest.see(answered, sample.running > 0 || sample.waiting > 0, now);
        if self.gauge.rest.is_over(limit, now) && self.state.can_reload() {
            let why = format!("no request for {} s (idle)", limit.as_secs());
            self.queue.push_back(Event::Want(0, why));
        }
    }

    fn sample(&mut self) -> Sample {
        let config = &self.instance.config;
        let weighs =
            config.sizing.cheaper.as_ref().is_some_and(|c| c.rss_soft.or(c.rss_hard).is_some());
        let mut sample = Sample { threads: config.threads, ..Sample::default() };
        let generation = self.state.generation();
        for (key, worker) in self.state.workers() {
            if worker.generation != generation || worker.phase != WorkerPhase::Ready {
                continue;
            }
            sample.ready += 1;
            let slot = self.instance.scoreboard.slot(worker.slot);
            let counters = slot.map(|slot| slot.read()).unwrap_or_default();
            let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            sample.running =
                sample.running.saturating_add(number(counters.running).min(config.threads));
            sample.waiting = sample.waiting.saturating_add(number(counters.waiting));
            let pid = self.workers.get(key).and_then(|worker| worker.pid);
            sample.rss += pid.filter(|_| weighs).map_or(0, resident);
        }
        let backlog = self.gauge.backlog.waiting(&self.instance.listeners.descriptors(config));
        sample.waiting = sample.waiting.saturating_add(backlog);
        sample
    }

    /// An administrator wants so many workers.
    pub(crate) fn scale(&mut self, workers: u32, waiter: Waiter) {
        match self.cannot_scale(workers) {
            Some(why) => drop(waiter.answer.send(json!({"ok": false, "message": why}))),
            None => {
                let ticket = self.ticket(waiter);
                self.queue.push_back(Event::Scale(workers, ticket));
            }
        }
    }

    /// The same by `+` and `-` on the FIFO: the log is the only answer.
    pub(crate) fn scale_by(&mut self, difference: i32) {
        let workers = self.state.current.wanted.saturating_add_signed(difference);
        match self.cannot_scale(workers) {
            Some(why) => log::warning(Said::Command, why).send(),
            None => {
                self.last_ticket += 1;
                self.queue.push_back(Event::Scale(workers, self.last_ticket));
            }
        }
    }

    fn cannot_scale(&self, workers: u32) -> Option<String> {
        if !(1..=MOST_WORKERS).contains(&workers) {
            Some(format!("not {workers} workers: a number from 1 to {MOST_WORKERS} is possible"))
        } else if workers > 1 && self.instance.config.processes == 1 {
            let why = "with `processes = 1` the application is told that it is alone \
                       (wsgi.multiprocess): configure 2 or more, and reload";
            Some(why.to_owned())
        } else {
            None
        }
    }

    /// Nobody has rested before all serve: a start may take longer than `idle`.
    pub(crate) fn begin_rest(&mut self) {
        let now = self.now();
        self.gauge.rest.end(now);
    }

    /// Somebody connects while all sleep.
    pub(crate) fn on_knock(&mut self) {
        if self.state.is_asleep() {
            self.begin_rest();
            let why = "somebody connects".to_owned();
            self.queue.push_back(Event::Want(self.state.initial(), why));
        }
    }

    /// While all sleep, the master listens for who connects; or ends, if it is to.
    pub(crate) fn mind_sleep(&mut self) {
        if !self.state.is_asleep() {
            self.gauge.doorbell = None;
            return;
        }
        let config = &self.instance.config;
        let listeners = self.instance.listeners.descriptors(config);
        if let (true, Some(limit)) = (config.sizing.die_on_idle, config.sizing.idle)
            && self.gauge.rest.is_over(limit, self.now())
            && self.state.workers().is_empty()
            && self.state.can_reload()
            && self.state.paused().is_none()
            // Who comes after this look is in the queue of the socket, and that is systemd's.
            && self.gauge.backlog.waiting(&listeners) == 0
        {
            let message = format!("no request for {} s: the end (die-on-idle)", limit.as_secs());
            log::notice(Said::Stopping, message).send();
            return self.queue.push_back(Event::Stop);
        }
        if self.gauge.doorbell.is_some() {
            return;
        }
        match Doorbell::new(&listeners, &self.arrivals) {
            Ok(doorbell) => self.gauge.doorbell = Some(doorbell),
            Err(error) => {
                let message = format!("cannot watch the listeners: {error}; the workers stay");
                log::error(Said::SystemError, message).send();
                let _ = self.arrivals.send(Arrival::Knock);
            }
        }
    }
}
