//! Reloads: a generation beside the one that serves, until it has proven itself or failed.

use std::time::Duration;

use rwsgi_core::ipc::Failure;

use crate::action::{Action, News};
use crate::event::Ticket;
use crate::state::{Out, RELOAD_LINGER, State};
use crate::team::{Plan, Team};

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
            self.again.get_or_insert_default().extend(ticket);
        }
    }

    /// Who waits for a reload that was postponed and can begin now. Its configuration has yet to be
    /// read.
    pub fn take_postponed_reload(&mut self) -> Option<Vec<Ticket>> {
        if self.can_reload() { self.again.take() } else { None }
    }

    /// The new generation serves: the old one goes.
    pub(crate) fn commit(&mut self, next: Team, now: Duration, out: Out<'_>) {
        let old = std::mem::replace(&mut self.current, next);
        self.renewal.begin_generation();
        out.push(Action::Commit);
        out.push(Action::LeaveTemplate(old.generation));
        let mercy = old.plan.mercy;
        self.drain(|_, w| w.generation == old.generation, RELOAD_LINGER, mercy, now, out);
        out.push(Action::Tell(News::Reloaded));
        let workers = self.current.wanted;
        let serve = if workers == 1 { "worker serves" } else { "workers serve" };
        self.answer(&Ok(format!("reloaded: {workers} new {serve}")), out);
    }

    /// The new generation has failed: it goes, what serves stays.
    pub(crate) fn abandon(&mut self, why: Failure, now: Duration, out: Out<'_>) {
        let Some(team) = self.next.take() else { return };
        out.push(Action::Tell(News::ReloadFailed(why.clone())));
        out.push(Action::LeaveTemplate(team.generation));
        let mercy = team.plan.mercy;
        self.drain(|_, w| w.generation == team.generation, Duration::ZERO, mercy, now, out);
        out.push(Action::Discard);
        let summary = [why.summary, why.traceback].join("\n").trim_end().to_owned();
        self.answer(&Err(summary), out);
    }

    pub(crate) fn answer(&mut self, answer: &Result<String, String>, out: Out<'_>) {
        out.extend(self.tickets.drain(..).map(|ticket| Action::Answer(ticket, answer.clone())));
    }
}
