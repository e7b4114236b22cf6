//! What becomes of workers: they serve, fail, drain, die, and who follows them.

use std::time::Duration;

use crate::action::{Action, News};
use crate::event::{Generation, Key};
use crate::reap::Exit;
use crate::renewal::Part;
use crate::respawn;
use crate::state::{GRACE, Out, Phase, State, Worker, WorkerPhase, failure};
use rwsgi_core::ipc::Failure;

impl State {
    pub(crate) fn worker_ready(&mut self, key: Key, now: Duration, out: Out<'_>) {
        let Some(worker) = self.workers.get_mut(&key) else { return };
        if worker.phase != WorkerPhase::Starting {
            return;
        }
        worker.phase = WorkerPhase::Ready;
        let generation = worker.generation;
        out.push(Action::Tell(News::WorkerReady(key)));
        self.succeed(key, now, out);
        self.complete(generation, now, out);
    }

    /// If all workers of a generation serve that are wanted, the start or the reload is done.
    pub(crate) fn complete(&mut self, generation: Generation, now: Duration, out: Out<'_>) {
        let ready = self.ready(generation);
        let complete = self.team(generation).is_some_and(|team| ready >= team.wanted as usize);
        if !complete || self.is_stopping() {
            return;
        }
        if self.is_starting() {
            self.phase = Phase::Serving;
            out.push(Action::Tell(News::Ready));
        } else if let Some(next) = self.next.take_if(|team| team.generation == generation) {
            self.commit(next, now, out);
        }
    }

    /// How many workers of a generation serve.
    pub(crate) fn ready(&self, generation: Generation) -> usize {
        let of_it = |worker: &&Worker| {
            worker.generation == generation && worker.phase == WorkerPhase::Ready
        };
        self.workers.values().filter(of_it).count()
    }

    /// How many serve or are about to.
    pub(crate) fn lasting(&self, generation: Generation) -> usize {
        let of_it = |worker: &&Worker| worker.generation == generation && !worker.is_draining();
        self.workers.values().filter(of_it).count()
    }

    pub(crate) fn worker_failed(&mut self, key: Key, why: Failure, now: Duration, out: Out<'_>) {
        let Some(generation) = self.workers.get(&key).map(|worker| worker.generation) else {
            return;
        };
        if self.is_starting() {
            self.fail_start(why, out);
        } else if self.next.as_ref().is_some_and(|team| team.generation == generation) {
            self.abandon(why, now, out);
        } else if self.renewal.part(key) == Part::New {
            let (mercy, how) = (self.current.plan.mercy, format!("failed: {}", why.summary));
            out.push(Action::Tell(News::Trouble(why)));
            self.drain(|one, _| one == key, Duration::ZERO, mercy, now, out);
            self.fail_replacement(how, now, out);
        } else {
            out.push(Action::Tell(News::Trouble(why)));
        }
    }

    pub(crate) fn worker_draining(&mut self, key: Key, now: Duration, out: Out<'_>) {
        let mercy = self.current.plan.mercy;
        let Some(worker) = self.workers.get_mut(&key) else { return };
        if worker.is_draining() {
            return;
        }
        worker.phase = WorkerPhase::Draining(now + mercy + GRACE);
        let (number, generation) = (worker.number, worker.generation);
        match self.renewal.part(key) {
            Part::Old => self.renewal.settle(),
            Part::New => self.fail_replacement("was told to leave".into(), now, out),
            Part::Neither => {
                if !self.is_stopping() {
                    out.push(Action::Tell(News::WorkerLeaves(key)));
                }
                if let Some(team) = self.team(generation) {
                    team.vacancies.entry(number).or_default().due = Some(now);
                }
                self.fill(self.current.generation, now, out);
            }
        }
    }

    pub(crate) fn worker_exited(&mut self, key: Key, exit: Exit, now: Duration, out: Out<'_>) {
        let Some(worker) = self.workers.remove(&key) else { return };
        let how = exit.describe(" before it served");
        let summary = format!("worker {} {how}", worker.number);
        if worker.is_draining() || self.is_stopping() {
            out.push(Action::Tell(News::WorkerLeft(key, exit)));
        } else if self.is_starting() {
            self.fail_start(failure(summary), out);
        } else if self.next.as_ref().is_some_and(|team| team.generation == worker.generation) {
            out.push(Action::Tell(News::WorkerLeft(key, exit)));
            self.abandon(failure(summary), now, out);
        } else if self.renewal.part(key) == Part::New {
            self.fail_replacement(exit.to_string(), now, out);
        } else {
            self.worker_died(key, worker, exit, now, out);
        }
        out.push(Action::Forget(key));
        self.exit_if_empty(out);
    }

    /// One that served is missing, unless it has a successor already, or stood in for one.
    pub(crate) fn worker_died(
        &mut self,
        key: Key,
        worker: Worker,
        exit: Exit,
        now: Duration,
        out: Out<'_>,
    ) {
        if worker.generation != self.current.generation {
            out.push(Action::Tell(News::WorkerDied(key, exit, Duration::ZERO)));
            if self.next.as_ref().is_none_or(|next| self.has_room_beside(next)) {
                self.current.take_back(1, now);
            }
            return self.fill(self.current.generation, now, out);
        }
        let lived = now.saturating_sub(worker.since);
        let (delay, failures) = if self.renewal.part(key) == Part::Old {
            self.renewal.settle();
            (Duration::ZERO, self.current.count_failure(worker.number, lived))
        } else {
            self.current.vacate(worker.number, lived, now)
        };
        out.push(Action::Tell(News::WorkerDied(key, exit, delay)));
        if failures == respawn::LOOP {
            out.push(Action::Tell(News::CrashLoop(worker.number)));
        }
        let last = format!("worker {} {exit}", worker.number);
        out.extend(self.despair(&last).map(Action::GiveUp));
        self.fill(self.current.generation, now, out);
    }

    pub(crate) fn fork_failed(&mut self, key: Key, why: &str, now: Duration, out: Out<'_>) {
        let unborn = self.workers.get(&key).filter(|worker| worker.phase != WorkerPhase::Ready);
        let Some(Worker { number, generation, .. }) = unborn.copied() else { return };
        let trouble = failure(format!("cannot fork worker {number}: {why}"));
        let is_wanted = unborn.is_some_and(|worker| !worker.is_draining());
        let is_next = self.next.as_ref().is_some_and(|team| team.generation == generation);
        if is_wanted && (is_next || self.is_starting()) {
            self.workers.remove(&key);
            if is_next {
                self.abandon(trouble, now, out);
            } else {
                self.fail_start(trouble, out);
            }
            return out.push(Action::Forget(key));
        }
        out.push(Action::Tell(News::Trouble(trouble)));
        self.worker_exited(key, Exit::Unborn, now, out);
    }

    /// Tells those of `whom` to leave that were not told yet.
    pub(crate) fn drain(
        &mut self,
        whom: impl Fn(Key, &Worker) -> bool,
        linger: Duration,
        mercy: Duration,
        now: Duration,
        out: Out<'_>,
    ) {
        for (key, worker) in &mut self.workers {
            if whom(*key, worker) && !worker.is_draining() {
                worker.phase = WorkerPhase::Draining(now + mercy + GRACE);
                out.push(Action::Drain { key: *key, linger });
            }
        }
    }
}
