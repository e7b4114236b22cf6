//! Who does not come to serve in time (`import-timeout`): a template that imports, a worker that
//! starts. They are the first to know and say where Python is; what is here is for those who cannot,
//! because code that does not return holds Python's lock.

use std::time::Duration;

use crate::action::Action;
use crate::event::{Generation, Key};
use crate::state::{GRACE, Out, State, Worker, WorkerPhase, failure};
use crate::team::{Team, Template};

impl State {
    /// When the next one of them is given up.
    pub(crate) fn patience_ends(&self) -> Option<Duration> {
        if self.is_stopping() {
            return None;
        }
        let templates = self.teams().filter_map(Team::import_deadline);
        let workers = self.workers.values().filter_map(|worker| self.start_deadline(worker));
        templates.chain(workers).min().map(|due| due + GRACE)
    }

    /// Gives up those whose time is over.
    pub(crate) fn lose_patience(&mut self, now: Duration, out: Out<'_>) {
        if self.is_stopping() {
            return;
        }
        let over = |due: Option<Duration>| due.is_some_and(|due| due + GRACE <= now);
        let templates = self.teams().filter(|team| over(team.import_deadline()));
        let templates: Vec<_> =
            templates.map(|team| (team.generation, team.plan.patience)).collect();
        let workers = self.workers.iter().filter(|(_, worker)| over(self.start_deadline(worker)));
        let workers: Vec<Key> = workers.map(|(key, _)| *key).collect();
        for (generation, patience) in templates {
            self.give_up_template(generation, patience.unwrap_or_default(), now, out);
        }
        for key in workers {
            self.give_up_worker(key, now, out);
        }
    }

    fn give_up_template(
        &mut self,
        generation: Generation,
        patience: Duration,
        now: Duration,
        out: Out<'_>,
    ) {
        let seconds = patience.as_secs();
        let why = format!(
            "the application is not imported after {seconds} s, and code that does not return holds \
             Python's lock: the template is killed"
        );
        let serves = self.current.generation == generation;
        if serves {
            out.push(Action::LeaveTemplate(generation));
        }
        self.template_lost(generation, failure(why), now, out);
        if let (true, Template::Down(until)) = (serves, &mut self.current.template) {
            // It has yet to die, and the next one is not likely to fare better.
            *until = (*until).max(now + GRACE);
        }
    }

    /// Its exit is that of any other.
    fn give_up_worker(&mut self, key: Key, now: Duration, out: Out<'_>) {
        let Some(worker) = self.workers.get_mut(&key) else { return };
        // Should it still be there after the same time again, it is tried again.
        let waited = now.saturating_sub(worker.since).as_secs();
        worker.since = now;
        let number = worker.number;
        let why = format!("worker {number} does not serve after {waited} s: it is killed");
        self.worker_failed(key, failure(why), now, out);
        out.push(Action::Kill(key));
    }

    fn start_deadline(&self, worker: &Worker) -> Option<Duration> {
        let starts = worker.phase == WorkerPhase::Starting;
        let team = self.teams().find(|team| starts && team.generation == worker.generation)?;
        Some(worker.since + team.plan.patience?)
    }

    /// The generation that serves, and the one that is to.
    pub(crate) fn teams(&self) -> impl Iterator<Item = &Team> {
        std::iter::once(&self.current).chain(&self.next)
    }
}
