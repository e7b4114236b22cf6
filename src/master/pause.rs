//! A pause: nothing new reaches the application, and nothing is refused.
//!
//! ```text
//!            pause, drain                    every worker has said that it accepts nothing
//!  no pause ───────────────▶ paused, n run ─────────────────────────────▶ answers `pause`
//!      ▲                        │      and that nothing runs there ─────▶ answers `drain`
//!      └──────── resume ────────┘
//! ```
//! Workers that are forked meanwhile are paused from the start, and those that are to leave do not
//! leave before the pause is over, since what they hold cannot be finished: their mercy begins then.
//! A reload can come and go meanwhile. Only a stop ends a pause, too: what is held is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, News};
use crate::event::{Key, Ticket};
use crate::state::{GRACE, Out, State, WorkerPhase};

/// What who has asked for a pause waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// No worker accepts connections.
    Paused,
    /// The application works on nothing.
    Drained,
}

/// The pause that is going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    number: u64,
    since: Duration,
    /// How many requests run, of each worker that has said so.
    heard: BTreeMap<Key, u64>,
    waiting: Vec<(Ticket, Until)>,
}

impl State {
    /// The number of the pause that is going on, and since when it is.
    pub fn paused(&self) -> Option<(u64, Duration)> {
        self.pause.as_ref().map(|pause| (pause.number, pause.since))
    }

    /// Whether the time of those who are to leave stands still.
    pub(crate) fn is_frozen(&self) -> bool {
        self.pause.is_some()
    }

    pub(crate) fn begin_pause(
        &mut self,
        asked: Option<(Ticket, Until)>,
        now: Duration,
        out: Out<'_>,
    ) {
        if self.is_stopping() {
            let refusal = Err("the instance is stopping".to_owned());
            out.extend(asked.map(|(ticket, _)| Action::Answer(ticket, refusal)));
            return;
        }
        if self.pause.is_none() {
            self.last_pause += 1;
            let number = self.last_pause;
            let (heard, waiting) = (BTreeMap::new(), Vec::new());
            self.pause = Some(Pause { number, since: now, heard, waiting });
            out.push(Action::Pause(number));
            out.push(Action::Tell(News::Paused));
        }
        if let Some(pause) = &mut self.pause {
            pause.waiting.extend(asked);
        }
    }

    pub(crate) fn resume(&mut self, ticket: Option<Ticket>, now: Duration, out: Out<'_>) {
        let done = match self.pause.take() {
            _ if self.is_stopping() => Err("the instance is stopping".to_owned()),
            None => Ok("it was not paused".to_owned()),
            Some(pause) => {
                let mercy = self.current.plan.mercy;
                for worker in self.workers.values_mut() {
                    if let WorkerPhase::Draining(until) = &mut worker.phase {
                        *until = now + mercy + GRACE;
                    }
                }
                out.push(Action::Resume);
                out.push(Action::Tell(News::Resumed(now.saturating_sub(pause.since))));
                let resumed = || Err("it was resumed meanwhile".to_owned());
                let waiting = pause.waiting.into_iter();
                out.extend(waiting.map(|(ticket, _)| Action::Answer(ticket, resumed())));
                Ok("resumed".to_owned())
            }
        };
        out.extend(ticket.map(|ticket| Action::Answer(ticket, done)));
    }

    /// The instance stops: what is held is not to reach the application any more.
    pub(crate) fn refuse_held(&mut self, out: Out<'_>) {
        let Some(pause) = self.pause.take() else { return };
        out.push(Action::Refuse);
        let stopping = || Err("the instance is stopping".to_owned());
        out.extend(pause.waiting.into_iter().map(|(t, _)| Action::Answer(t, stopping())));
    }

    pub(crate) fn worker_paused(&mut self, key: Key, number: u64, running: u64) {
        if let Some(pause) = self.pause.as_mut().filter(|pause| pause.number == number) {
            pause.heard.insert(key, running);
        }
    }

    /// Answers those whose pause is what they wait for.
    pub(crate) fn answer_pause(&mut self, out: Out<'_>) {
        let Some(pause) = self.pause.as_mut().filter(|pause| !pause.waiting.is_empty()) else {
            return;
        };
        // Who does not serve yet was born into the pause.
        let serving = self.workers.iter().filter(|(_, w)| w.phase != WorkerPhase::Starting);
        let heard: Option<Vec<_>> = serving.map(|(key, _)| pause.heard.get(key).copied()).collect();
        let Some(running) = heard.map(|all| all.into_iter().sum::<u64>()) else { return };
        pause.waiting.retain(|(ticket, until)| {
            let message = match (until, running) {
                (Until::Drained, 1..) => return true,
                (Until::Drained, 0) => "drained: 0 requests run".to_owned(),
                (Until::Paused, 1) => "paused: 1 request still runs".to_owned(),
                (Until::Paused, _) => format!("paused: {running} requests still run"),
            };
            out.push(Action::Answer(*ticket, Ok(message)));
            false
        });
    }
}
