//! How a task has a job run, or learns that none will be.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::crew::Crew;
use crate::hopeless::{self, Place};
use crate::lead::Id;

thread_local! {
    /// The hand that this thread is; 0 if it is none.
    pub(crate) static ME: Cell<Id> = const { Cell::new(0) };
}

impl<J: Send> Crew<J> {
    /// A task has work for a hand. To be called while being polled: the thread that polls runs the
    /// job next, if it is a hand.
    pub fn submit(&self, job: J) {
        if !self.is_crowded() {
            match hopeless::take_place() {
                Place::Good => {
                    self.jobs().push(job);
                    self.any_job.store(true, Relaxed);
                    if !self.is_led_by(ME.get()) {
                        // Who leads may be looking for events, and who polls go on with something else.
                        self.reactor.kick();
                    }
                }
                Place::Crowded => self.duty.turn_away(job, None),
                Place::Late(waited) => self.duty.turn_away(job, Some(waited)),
            }
            return;
        }
        self.jobs().push_waiting(job, Instant::now());
        self.any_job.store(true, Relaxed);
        self.wake_idle();
    }

    /// Whether the task that is polled, by this thread, waits among too many, or for too long, to have a job
    /// run: the next that it submits is turned away.
    pub fn turns_away(&self) -> bool {
        hopeless::place() != Place::Good
    }

    /// Whether another job may wait.
    pub fn has_room(&self) -> bool {
        self.jobs().has_room()
    }
}
