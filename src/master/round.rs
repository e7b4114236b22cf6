//! Rounds (`rwsgi reload --workers`): every worker is replaced by a new one of the same generation,
//! one after the other, as [`crate::renewal`] does it.
//!
//! A round is done when nobody serves any more who did when it began, whatever has become of them; it
//! fails with the first successor that does.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::action::{Action, News};
use crate::event::{Key, Ticket};
use crate::state::{Out, Phase, State, Worker, WorkerPhase};

/// A round that is going on.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Who is still to be replaced.
    left: BTreeSet<Key>,
    /// How many there were.
    workers: usize,
    /// Who waits for its end.
    tickets: Vec<Ticket>,
}

/// Why they are.
pub(crate) const WHY: &str = "all workers are, one after the other";

impl State {
    /// All workers are to be replaced. A round that is going on becomes this one.
    pub(crate) fn begin_round(&mut self, ticket: Option<Ticket>, out: Out<'_>) {
        let refusal = match self.phase {
            Phase::Serving => None,
            Phase::Starting => Some("the instance is still starting: its workers are new"),
            Phase::Stopping | Phase::Failed => Some("the instance is stopping"),
        };
        if let Some(why) = refusal {
            out.extend(ticket.map(|ticket| Action::Answer(ticket, Err(why.into()))));
            return;
        }
        let serves =
            |(key, worker): (&Key, &Worker)| (worker.phase == WorkerPhase::Ready).then_some(*key);
        let left: BTreeSet<Key> = self.workers.iter().filter_map(serves).collect();
        let mut tickets = self.round.take().map(|round| round.tickets).unwrap_or_default();
        tickets.extend(ticket);
        out.push(Action::Tell(News::RoundBegins(left.len())));
        left.iter().for_each(|key| self.retire(*key, WHY.into()));
        self.round = Some(Round { workers: left.len(), left, tickets });
    }

    /// Ends the round if it is done.
    pub(crate) fn finish_round(&mut self, out: Out<'_>) {
        let Some(round) = &mut self.round else { return };
        let workers = &self.workers;
        round.left.retain(|key| workers.get(key).is_some_and(|worker| !worker.is_draining()));
        if round.left.is_empty() {
            let count = round.workers;
            let plural = if count == 1 { "worker was" } else { "workers were" };
            self.end_round(&Ok(format!("{count} {plural} replaced")), out);
        }
    }

    /// `old` has no successor: if it is of the round, that has failed, and who is left stays.
    pub(crate) fn fail_round(&mut self, old: Key, how: &str, out: Out<'_>) {
        let Some(round) = self.round.as_ref().filter(|round| round.left.contains(&old)) else {
            return;
        };
        self.renewal.forget(&round.left, WHY);
        let (left, workers) = (round.left.len(), round.workers);
        let number = self.workers.get(&old).map_or(0, |worker| worker.number);
        let what =
            format!("a new worker {number} {how}; {left} of {workers} workers were not replaced");
        self.end_round(&Err(what), out);
    }

    /// The instance stops.
    pub(crate) fn give_up_round(&mut self, out: Out<'_>) {
        self.end_round(&Err("the instance is stopping".into()), out);
    }

    fn end_round(&mut self, answer: &Result<String, String>, out: Out<'_>) {
        let Some(round) = self.round.take() else { return };
        out.push(Action::Tell(News::RoundEnds(answer.clone())));
        out.extend(round.tickets.into_iter().map(|ticket| Action::Answer(ticket, answer.clone())));
    }
}
