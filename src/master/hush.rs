//! When a reload is said to be complete: once no old worker takes anything in any more, so that who
//! connects thereafter meets the new code.

use std::time::{Duration, Instant};

use crate::action::News;
use crate::event::Ticket;
use crate::master::Master;

/// How long an old worker that does not say so is waited for: it may be stopped.
const PATIENCE: Duration = Duration::from_secs(1);

/// A reload that is done, and of which nothing is said yet.
#[derive(Debug)]
pub(crate) struct Hush {
    due: Instant,
    /// Who is to be told then.
    answers: Vec<(Ticket, Result<String, String>)>,
}

impl Master {
    /// The new generation serves, and the last old workers were told to drain.
    pub(crate) fn begin_hush(&mut self) {
        let due = Instant::now() + PATIENCE;
        self.hush = Some(Hush { due, answers: Vec::new() });
    }

    /// Answers who asked, in its turn.
    pub(crate) fn answer_in_turn(&mut self, ticket: Ticket, answer: Result<String, String>) {
        match &mut self.hush {
            Some(hush) => hush.answers.push((ticket, answer)),
            None => self.answer(ticket, answer),
        }
    }

    /// When no old worker is waited for any longer.
    pub(crate) fn hush_ends(&self) -> Option<Instant> {
        self.hush.as_ref().map(|hush| hush.due)
    }

    /// Says that the reload is complete, if it is.
    pub(crate) fn end_hush_if_due(&mut self) {
        let generation = self.state.generation();
        let mut old = self.workers.values().filter(|worker| worker.generation != generation);
        let is_quiet =
            old.all(|worker| worker.takes_nothing || worker.gone || worker.pid.is_none());
        if is_quiet || self.hush_ends().is_some_and(|due| Instant::now() >= due) {
            self.end_hush();
        }
    }

    /// Says so now: something else begins.
    pub(crate) fn end_hush(&mut self) {
        let Some(hush) = self.hush.take() else { return };
        self.tell(News::Reloaded);
        hush.answers.into_iter().for_each(|(ticket, answer)| self.answer(ticket, answer));
    }
}
