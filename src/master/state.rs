//! The master's behaviour: state × event → actions, without a system call.
//!
//! ```text
//!            all first workers ready              reload
//!  Starting ─────────────────────────▶ Serving ◀─────────▶ Serving, with a next generation
//!     │ template or worker fails          │    ready/failed          │
//!     ▼                                   │ stop                     │ stop
//!   exit 70                               ▼                          ▼
//!                                      Stopping ── no worker left ──▶ exit 0
//!
//!  Serving ── nobody serves, and all that is missing keeps failing ──▶ exit 70, under a supervisor
//!
//!  a worker:  starting ──▶ ready ──▶ draining ──▶ gone
//!                            │           ▲
//!                            └ replaced ─┘ its successor: starting ──▶ ready ──▶ …
//! ```
//! A reload starts a generation beside the one that serves: its template imports, its first worker
//! becomes ready, then the others do, while old ones make room ([`crate::rollout`]). Whatever fails
//! before the last one is ready ends the new generation and nothing else. Workers that die are forked
//! again by the template of the generation that serves, after a delay that grows when they keep dying;
//! a template that dies is started again likewise, while its workers serve on. A worker that is to be
//! replaced serves until its successor does ([`crate::renewal`]). Who does not come to serve in time
//! is given up ([`crate::patience`]). How many there are to be can change at any time
//! ([`crate::size`]). In any of these states nothing new may be let in ([`crate::pause`]).

use std::collections::BTreeMap;
use std::time::Duration;

use rwsgi_core::ipc::Failure;
use serde::{Deserialize, Serialize};

use crate::action::{Action, News, Outcome};
use crate::event::{Event, Generation, Key, Ticket};
use crate::pause::Pause;
use crate::renewal::Renewal;
use crate::respawn;
use crate::round::Round;
use crate::size::Scaling;
use crate::team::{Plan, Team, Template};

/// How long an idle connection is kept by a worker that has a successor.
pub(crate) const RELOAD_LINGER: Duration = Duration::from_secs(2);
/// The same when the instance stops.
const STOP_LINGER: Duration = Duration::from_millis(200);
/// What a worker gets beyond its mercy before it is killed.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Where the instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// The first workers do not serve yet.
    Starting,
    /// As it should be.
    Serving,
    /// It was told to.
    Stopping,
    /// The start has failed: nothing that follows makes it a stop.
    Failed,
}

/// Where a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerPhase {
    /// Asked for.
    Starting,
    /// Serving.
    Ready,
    /// Finishing; killed at this time.
    Draining(Duration),
}

/// What the state knows of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// 1 or more; the lowest that is free when it was asked for.
    pub number: u32,
    /// Its generation.
    pub generation: Generation,
    /// Its slot of the scoreboard.
    pub slot: usize,
    /// Where it stands.
    pub phase: WorkerPhase,
    /// When it was asked for.
    pub since: Duration,
}

impl Worker {
    pub(crate) fn is_draining(&self) -> bool {
        matches!(self.phase, WorkerPhase::Draining(_))
    }
}

/// The whole state. All of it is handed over to a new program ([`crate::handover`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(crate) phase: Phase,
    pub(crate) current: Team,
    pub(crate) next: Option<Team>,
    pub(crate) workers: BTreeMap<Key, Worker>,
    pub(crate) renewal: Renewal,
    pub(crate) round: Option<Round>,
    pub(crate) last_generation: Generation,
    last_key: Key,
    /// Who waits for the reload that is going on.
    pub(crate) tickets: Vec<Ticket>,
    /// Who waits for another number of workers, and for which.
    pub(crate) scaling: Option<Scaling>,
    /// A reload was asked for while it was not possible.
    pub(crate) again: Option<Vec<Ticket>>,
    pub(crate) pause: Option<Pause>,
    pub(crate) last_pause: u64,
}

pub(crate) type Out<'a> = &'a mut Vec<Action>;

impl State {
    /// A new instance, and what to do first.
    pub fn start(plan: Plan, now: Duration) -> (Self, Vec<Action>) {
        let mut current = Team::new(1, plan, now);
        if plan.asleep {
            current.wanted = 0;
        }
        let state = Self {
            phase: Phase::Starting,
            current,
            next: None,
            workers: BTreeMap::new(),
            renewal: Renewal::default(),
            round: None,
            last_generation: 1,
            last_key: 0,
            tickets: Vec::new(),
            scaling: None,
            again: None,
            pause: None,
            last_pause: 0,
        };
        (state, vec![Action::StartTemplate(1)])
    }

    /// What `event` leads to. `plan` is the new generation's, for `Reload`.
    pub fn step(&mut self, event: Event, plan: Plan, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        let out = &mut actions;
        match event {
            Event::Imported(generation) => self.imported(generation, now, out),
            Event::TemplateFailed(generation, why) => self.template_lost(generation, why, now, out),
            Event::TemplateGone(generation, how) => {
                self.template_lost(generation, failure(format!("the template {how}")), now, out);
            }
            Event::ForkFailed(key, why) => self.fork_failed(key, &why, now, out),
            Event::WorkerReady(key) => self.worker_ready(key, now, out),
            Event::WorkerFailed(key, why) => self.worker_failed(key, why, now, out),
            Event::WorkerDraining(key) => self.worker_draining(key, now, out),
            Event::Retire(key, why) => self.retire(key, why),
            Event::WorkerExited(key, exit) => self.worker_exited(key, exit, now, out),
            Event::Want(workers, why) => self.want(workers, why, now, out),
            Event::Scale(workers, ticket) => self.scale(workers, ticket, now, out),
            Event::Reload(ticket) => self.reload(ticket, plan, now, out),
            Event::ReloadWorkers(ticket) => self.begin_round(ticket, out),
            Event::BadConfiguration(ticket, why) => {
                out.push(Action::Tell(News::ReloadFailed(failure(why.clone()))));
                out.extend(ticket.map(|ticket| Action::Answer(ticket, Err(why))));
            }
            Event::Pause(asked) => self.begin_pause(asked, now, out),
            Event::Resume(ticket) => self.resume(ticket, now, out),
            Event::WorkerPaused(key, number, running) => self.worker_paused(key, number, running),
            Event::Stop if self.is_stopping() => self.kill_all(out),
            Event::Stop => self.stop(now, out),
            Event::StopNow => {
                if !self.is_stopping() {
                    self.stop(now, out);
                }
                self.kill_all(out);
            }
            Event::Tick => self.tick(now, out),
        }
        self.roll(now, out);
        self.answer_scale(out);
        self.replace_next(now, out);
        self.answer_pause(out);
        self.finish_round(out);
        actions
    }

    /// The workers there are.
    pub fn workers(&self) -> &BTreeMap<Key, Worker> {
        &self.workers
    }

    /// The generation that serves.
    pub fn generation(&self) -> Generation {
        self.current.generation
    }

    /// The numbers of workers that keep dying: who lives for a while does no longer.
    pub fn crash_loops(&self, now: Duration) -> Vec<u32> {
        let lives = |number: u32| {
            self.workers.values().any(|worker| {
                let lived = now.saturating_sub(worker.since);
                worker.number == number
                    && worker.phase == WorkerPhase::Ready
                    && respawn::count(respawn::LOOP, lived) < respawn::LOOP
            })
        };
        let vacancies = self.current.vacancies.iter();
        let failing = vacancies.filter(|(_, vacancy)| vacancy.failures >= respawn::LOOP);
        failing.map(|(number, _)| *number).filter(|number| !lives(*number)).collect()
    }

    /// Whether a new generation is on its way.
    pub fn is_reloading(&self) -> bool {
        self.next.is_some()
    }

    /// Whether the instance stops.
    pub fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping | Phase::Failed)
    }

    /// Whether it has not served yet.
    pub fn is_starting(&self) -> bool {
        self.phase == Phase::Starting
    }

    /// Whether a reload could begin now.
    pub fn can_reload(&self) -> bool {
        self.phase == Phase::Serving && self.next.is_none()
    }

    /// When `Tick` is wanted next.
    pub fn deadline(&self) -> Option<Duration> {
        let drains = self.workers.values().filter_map(|worker| match worker.phase {
            WorkerPhase::Draining(until) if !self.is_frozen() => Some(until),
            WorkerPhase::Draining(_) | WorkerPhase::Starting | WorkerPhase::Ready => None,
        });
        let due = if self.is_stopping() { None } else { self.current.deadline() };
        drains.chain(due).chain(self.replacement_due()).chain(self.patience_ends()).min()
    }
}

/// Templates and reloads.
impl State {
    fn imported(&mut self, generation: Generation, now: Duration, out: Out<'_>) {
        if let Some(team) = self.team(generation) {
            team.template = Template::Imported;
            self.fill(generation, now, out);
            self.complete(generation, now, out);
        }
    }

    /// Asks for every worker that is due. Those of the next generation wait for their turn, see
    /// `roll`.
    pub(crate) fn fill(&mut self, generation: Generation, now: Duration, out: Out<'_>) {
        if self.is_stopping() || generation != self.current.generation {
            return;
        }
        for number in self.current.take_due(now) {
            self.fork(generation, number, now, out);
        }
    }

    /// Asks for one worker.
    pub(crate) fn fork(
        &mut self,
        generation: Generation,
        number: u32,
        now: Duration,
        out: Out<'_>,
    ) -> Key {
        self.last_key += 1;
        let (key, slot) = (self.last_key, self.free_slot());
        let phase = WorkerPhase::Starting;
        self.workers.insert(key, Worker { number, generation, slot, phase, since: now });
        out.push(Action::Fork { generation, key, number, slot });
        key
    }

    fn free_slot(&self) -> usize {
        (0..).find(|slot| self.workers.values().all(|worker| worker.slot != *slot)).unwrap_or(0)
    }

    pub(crate) fn template_lost(
        &mut self,
        generation: Generation,
        why: Failure,
        now: Duration,
        out: Out<'_>,
    ) {
        if self.is_stopping() || self.team(generation).is_none() {
            return;
        }
        if self.current.generation != generation {
            return self.abandon(why, now, out);
        }
        if self.is_starting() {
            return self.fail_start(why, out);
        }
        if !matches!(self.current.template, Template::Down(_)) {
            let delay = self.current.lose_template(now);
            // Also without a delay the next one waits for a tick: what a failed template says last
            // and its exit may come together, and must not count as the loss of its successor.
            let despair = self.despair(&why.summary);
            out.push(Action::Tell(News::TemplateDied(why, delay)));
            out.extend(despair.map(Action::GiveUp));
        }
    }

    pub(crate) fn fail_start(&mut self, why: Failure, out: Out<'_>) {
        self.phase = Phase::Failed;
        self.kill_all(out);
        self.refuse_held(out);
        let all = self.again.take().unwrap_or_default();
        out.extend(all.into_iter().map(|t| Action::Answer(t, Err(why.summary.clone()))));
        out.push(Action::Exit(Outcome::FailedStart(why)));
    }

    pub(crate) fn team(&mut self, generation: Generation) -> Option<&mut Team> {
        if self.current.generation == generation {
            return Some(&mut self.current);
        }
        self.next.as_mut().filter(|team| team.generation == generation)
    }
}

/// The end, and time.
impl State {
    fn stop(&mut self, now: Duration, out: Out<'_>) {
        self.phase = Phase::Stopping;
        self.renewal = Renewal::default();
        out.push(Action::Tell(News::Stopping));
        self.refuse_held(out);
        self.give_up_round(out);
        if let Some(team) = self.next.take() {
            out.push(Action::LeaveTemplate(team.generation));
            let mercy = team.plan.mercy;
            self.drain(|_, w| w.generation == team.generation, Duration::ZERO, mercy, now, out);
            out.push(Action::Discard);
        }
        let mercy = self.current.plan.mercy;
        self.drain(|_, _| true, STOP_LINGER, mercy, now, out);
        out.push(Action::LeaveTemplate(self.current.generation));
        self.tickets.extend(self.again.take().into_iter().flatten());
        self.answer(&Err("the instance is stopping".into()), out);
        self.exit_if_empty(out);
    }

    pub(crate) fn exit_if_empty(&self, out: Out<'_>) {
        if self.phase == Phase::Stopping && self.workers.is_empty() {
            out.push(Action::Exit(Outcome::Stopped));
        }
    }

    fn kill_all(&mut self, out: Out<'_>) {
        out.extend(self.workers.keys().map(|key| Action::Kill(*key)));
    }

    fn tick(&mut self, now: Duration, out: Out<'_>) {
        let frozen = self.is_frozen();
        for (key, worker) in &mut self.workers {
            if let WorkerPhase::Draining(until) = worker.phase
                && until <= now
                && !frozen
            {
                // Should it still be there then, it is tried again.
                worker.phase = WorkerPhase::Draining(now + GRACE);
                out.push(Action::Tell(News::NoMercy(*key)));
                out.push(Action::Kill(*key));
            }
        }
        let generation = self.current.generation;
        if let Template::Down(until) = self.current.template
            && until <= now
            && !self.is_stopping()
        {
            self.current.template = Template::Importing;
            self.current.template_since = now;
            out.push(Action::StartTemplate(generation));
        }
        self.lose_patience(now, out);
        self.fill(self.current.generation, now, out);
    }
}

/// A failure that Python has nothing to do with.
pub(crate) fn failure(summary: String) -> Failure {
    Failure::plain(summary)
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
