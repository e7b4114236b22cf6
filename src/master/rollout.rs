//! Reloads: a generation beside the one that serves, until it has proven itself or failed.
//!
//! ```text
//!  importing ──▶ canary: one new worker ──ready──▶ rolling ──all new ones ready──▶ committed
//!      │              │                              │
//!      └──────────────┴────── anything fails ────────┴──▶ abandoned: whoever made room is forked again
//!                                                         by the old template; until then those new
//!                                                         ones that serve stand in for them
//! ```
//! While it rolls there are at most `overlap` processes more than the larger of both generations
//! has, not counting those that drain. Where that leaves no room for the next new worker, an old one
//! makes room for it; never more than new ones serve. So at no time do fewer serve than before.

use std::time::Duration;

use rwsgi_core::ipc::{Failure, Probing};

use crate::action::{Action, News};
use crate::event::{Generation, Key, Ticket};
use crate::renewal::Part;
use crate::state::{Out, RELOAD_LINGER, State, Worker, WorkerPhase};
use crate::team::{Plan, Team, Template};

/// What a reload that goes on does next.
enum Step {
    /// The new worker of this number is asked for.
    Fork(Generation, u32),
    /// The old worker of this number makes room.
    Release(u32),
}

impl State {
    pub(crate) fn reload(
        &mut self,
        ticket: Option<Ticket>,
        plan: Plan,
        now: Duration,
        out: Out<'_>,
    ) {
        if self.is_stopping() {
            let refusal = Err("the instance is stopping".to_owned());
            out.extend(ticket.map(|ticket| Action::Answer(ticket, refusal)));
        } else if self.can_reload() {
            self.tickets.extend(ticket);
            self.last_generation += 1;
            let next = Team::new(self.last_generation, plan, now).succeeding(&self.current);
            self.next = Some(next);
            out.push(Action::Tell(News::Reloading(self.last_generation)));
            out.push(Action::StartTemplate(self.last_generation));
        } else {
            if self.again.is_none() {
                let since = self.next.as_ref().map(|team| now.saturating_sub(team.template_since));
                out.push(Action::Tell(News::ReloadPostponed(since)));
            }
            self.again.get_or_insert_default().extend(ticket);
        }
    }

    /// Who waits for a reload that was postponed and can begin now. Its configuration has yet to be
    /// read.
    pub fn take_postponed_reload(&mut self) -> Option<Vec<Ticket>> {
        if self.can_reload() { self.again.take() } else { None }
    }

    /// What a worker that is asked for makes of `reload-probe`. Where nobody serves yet, or nobody
    /// serves any more, one that answers badly is better than none.
    pub(crate) fn probing(&self, key: Key) -> Probing {
        let Some(worker) = self.workers.get(&key) else { return Probing::Skipped };
        let is_new = worker.generation != self.current.generation;
        if is_new || self.renewal.part(key) == Part::New {
            Probing::Required
        } else if self.is_starting() && worker.number == 1 {
            Probing::Told
        } else {
            Probing::Skipped
        }
    }

    /// Goes on with the reload as far as it can, and sends away whom an abandoned one has left over.
    pub(crate) fn roll(&mut self, now: Duration, out: Out<'_>) {
        while let Some(step) = self.next_step(now) {
            match step {
                Step::Fork(generation, number) => {
                    if let Some(team) = self.next.as_mut() {
                        team.take(number);
                    }
                    self.fork(generation, number, now, out);
                }
                Step::Release(number) => self.release(number, now, out),
            }
        }
        if self.next.is_none() && !self.current.released.is_empty() {
            self.retreat(now, out);
        }
        self.dismiss_stand_ins(now, out);
    }

    fn next_step(&self, now: Duration) -> Option<Step> {
        let next = self.next.as_ref().filter(|team| team.template == Template::Imported)?;
        let number = next.first_due(now)?;
        let (ready, lasting) = (self.ready(next.generation), self.lasting(next.generation));
        // The first one has to prove that the code serves before anybody follows it.
        let at_once = if ready == 0 { 1 } else { next.plan.overlap as usize };
        if lasting - ready >= at_once {
            return None;
        }
        if self.has_room_beside(next) {
            Some(Step::Fork(next.generation, number))
        } else if self.current.released.len() < ready {
            self.first_to_release().map(Step::Release)
        } else {
            None
        }
    }

    /// Whether there may be one more, of either generation.
    pub(crate) fn has_room_beside(&self, next: &Team) -> bool {
        let old = self.current.wanted as usize;
        let staying = old.saturating_sub(self.current.released.len());
        let room = old.max(next.wanted as usize) + next.plan.overlap as usize;
        staying + self.lasting(next.generation) < room
    }

    /// An old number that nobody holds who serves, or else the lowest.
    fn first_to_release(&self) -> Option<u32> {
        let of_it = |w: &&Worker| w.generation == self.current.generation && !w.is_draining();
        let serving = self.workers.values().filter(of_it);
        let serving = serving.filter(|worker| worker.phase == WorkerPhase::Ready);
        let serving: Vec<u32> = serving.map(|worker| worker.number).collect();
        let held = self.workers.values().filter(of_it).map(|worker| worker.number);
        held.chain(self.current.missing())
            .filter(|number| !self.current.released.contains(number))
            .min_by_key(|number| (serving.contains(number), *number))
    }

    fn release(&mut self, number: u32, now: Duration, out: Out<'_>) {
        self.current.release(number);
        let Team { generation, plan, .. } = self.current;
        let whom = |_: Key, w: &Worker| (w.generation, w.number) == (generation, number);
        if self
            .workers
            .iter()
            .any(|(key, w)| whom(*key, w) && self.renewal.part(*key) != Part::Neither)
        {
            self.renewal.settle();
        }
        self.drain(whom, RELOAD_LINGER, plan.mercy, now, out);
    }

    /// The new generation serves: the old one goes.
    pub(crate) fn commit(&mut self, next: Team, now: Duration, out: Out<'_>) {
        let old = std::mem::replace(&mut self.current, next);
        self.renewal.begin_generation();
        out.push(Action::Commit);
        out.push(Action::LeaveTemplate(old.generation));
        let (mercy, generation) = (old.plan.mercy, self.current.generation);
        self.drain(|_, w| w.generation != generation, RELOAD_LINGER, mercy, now, out);
        out.push(Action::Tell(News::Reloaded));
        let workers = self.current.wanted;
        let serve = if workers == 1 { "worker serves" } else { "workers serve" };
        self.answer(&Ok(format!("reloaded: {workers} new {serve}")), out);
    }

    /// The new generation has failed: what served before serves on, in full.
    pub(crate) fn abandon(&mut self, why: Failure, now: Duration, out: Out<'_>) {
        let Some(team) = self.next.take() else { return };
        out.push(Action::Tell(News::ReloadFailed(why.clone())));
        out.push(Action::LeaveTemplate(team.generation));
        let (mercy, generation) = (team.plan.mercy, team.generation);
        let idle =
            |_: Key, w: &Worker| w.generation == generation && w.phase == WorkerPhase::Starting;
        self.drain(idle, Duration::ZERO, mercy, now, out);
        out.push(Action::Discard);
        let summary = [why.summary, why.traceback].join("\n").trim_end().to_owned();
        self.answer(&Err(summary), out);
    }

    /// Those who have made room for an abandoned generation are asked for again, as many at a time.
    fn retreat(&mut self, now: Duration, out: Out<'_>) {
        let Team { generation, plan, .. } = self.current;
        let starting = self.lasting(generation) - self.ready(generation);
        let under_way = starting + self.current.missing().count();
        self.current.take_back((plan.overlap as usize).saturating_sub(under_way), now);
        self.fill(generation, now, out);
    }

    /// Whether it is of an abandoned generation, and serves until the place is filled that it took.
    fn stands_in(&self, worker: &Worker) -> bool {
        worker.phase == WorkerPhase::Ready
            && !self.teams().any(|t| t.generation == worker.generation)
    }

    fn dismiss_stand_ins(&mut self, now: Duration, out: Out<'_>) {
        let filled: usize = self.teams().map(|team| self.ready(team.generation)).sum();
        let missing = (self.current.wanted as usize).saturating_sub(filled);
        let standing = self.workers.iter().filter(|(_, worker)| self.stands_in(worker));
        let whom: Vec<Key> = standing.map(|(key, _)| *key).skip(missing).collect();
        let mercy = self.current.plan.mercy;
        self.drain(|key, _| whom.contains(&key), RELOAD_LINGER, mercy, now, out);
    }

    pub(crate) fn answer(&mut self, answer: &Result<String, String>, out: Out<'_>) {
        out.extend(self.tickets.drain(..).map(|ticket| Action::Answer(ticket, answer.clone())));
    }
}
