//! How a job responds: who sends what it has, and when.
//!
//! A response that is there as a whole is sent at once, or with its round. One that comes in parts is sent
//! when enough of it is there, when it ends, or when its next part takes its time: then by the watcher, for
//! the thread of the job is elsewhere. So a loop that yields a line at a time costs one system call for many,
//! and nobody waits for a line that is there (PEP 3333, "Block Boundaries": a different thread).

use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;

use crate::crew::Crew;
use crate::lead::Id;
use crate::moment::Moment;
use crate::pace::TICK;

thread_local! {
    /// The job of this thread belongs to a round of several.
    pub(crate) static IN_ROUND: Cell<bool> = const { Cell::new(false) };
    /// When a job of this thread, which did not lead, last gave a part.
    static GAVE_PART: Cell<Option<Moment>> = const { Cell::new(None) };
}

impl<J: Send> Crew<J> {
    /// The job of hand `me` responds by `act`. What that wakes is polled by this thread and at once, or, if it
    /// leads and has more requests of a round to run, when that is over, or by who takes the lead from it.
    pub fn respond(&self, me: Id, act: impl FnOnce()) {
        if self.is_in_round(me) {
            self.reactor.run_later(act);
        } else {
            self.reactor.run_here(act);
        }
    }

    /// The job of hand `me` has a part of its response, put where it belongs by `act`, which returns whether
    /// that is enough to be sent by now. What is not enough leaves with what follows, and, should that take
    /// its time, within two ticks by the watcher, a thread other than that of the job (PEP 3333, "Block
    /// Boundaries").
    pub fn respond_in_part(&self, me: Id, is_large: bool, act: impl FnOnce() -> bool) {
        // The watcher has an eye on who leads. Others need a clock: a part that comes alone is sent at once, and
        // so is a large one, as it costs less than to have the watcher look.
        let is_alone = !self.is_led_by(me) && {
            let now = Moment::now();
            let last = GAVE_PART.replace(Some(now));
            is_large || last.is_none_or(|last| now - last >= TICK)
        };
        let mut is_enough = false;
        let is_first = self.reactor.gather(|| is_enough = act());
        if is_enough || is_alone {
            self.reactor.run_gathered();
        } else if is_first && !self.is_led_by(me) {
            self.watch_parts();
        }
    }

    /// The job of hand `me` has the rest of a response of which it has given parts.
    pub fn respond_at_last(&self, me: Id, act: impl FnOnce()) {
        let is_in_round = self.is_in_round(me);
        self.respond(me, act);
        if !is_in_round {
            self.reactor.run_gathered();
        }
    }

    /// Whether `me`, in a job, leads and has more requests of a round to run.
    fn is_in_round(&self, me: Id) -> bool {
        IN_ROUND.get() && self.is_led_by(me)
    }

    pub(crate) fn is_led_by(&self, me: Id) -> bool {
        self.lead.read().holder() == Some(me)
    }

    /// Has the watcher see to it that parts of responses leave in time.
    fn watch_parts(&self) {
        if self.watcher_sleeps.load(SeqCst) {
            self.wake_watcher();
        } else if self.is_crowded() {
            self.reactor.kick();
        }
    }
}
