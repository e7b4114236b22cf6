//! A pause: nothing new reaches the application until the master says so.
//!
//! The word in the scoreboard is the pause; every worker obeys it from the moment in which it is
//! written, one that is only being forked, too. The messages of the master say when to look at it.
//!
//! Listeners are not watched: clients wait in the queue of the kernel. On connections that are open
//! everything goes on as usual up to the call of the application, so a request that has come is
//! checked, uploaded, and then held: nobody waits for its client any more, and no deadline counts.
//! Files, and what is refused, are answered. A worker that is to leave keeps what it holds until the
//! pause is over; only the end of the instance has it answered with 503.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use rwsgi_core::ipc::FromWorker;

use crate::deadlines::NEVER;
use crate::request::Call;
use crate::worker::Worker;

/// What a client that is refused is to wait, in seconds.
const RETRY: HeaderValue = HeaderValue::from_static("10");

/// The requests that a pause holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    /// The instance ends: nothing is held any more.
    refuses: bool,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    pub(crate) fn is_paused(&self) -> bool {
        self.slot.pause() != 0
    }

    /// Whether requests stop right before the application. That of a probe does not: an administrator
    /// who reloads during a pause wants to know whether the new code works.
    pub(crate) fn holds_requests(&self) -> bool {
        self.is_paused() && !self.is_proving()
    }

    /// Whether the time to leave stands still, since what is held cannot be finished.
    pub(crate) fn is_frozen(&self) -> bool {
        self.is_paused() && !self.held.lock().refuses
    }

    /// Keeps a request that is about to reach the application while there is a pause; gives it back
    /// when there is none.
    pub(crate) fn hold(&self, call: Call) -> Option<Call> {
        let mut state = self.held.lock();
        // The pause may have ended meanwhile, and who goes on with what is held been here.
        if !self.is_paused() {
            return Some(call);
        }
        if state.refuses {
            drop(state);
            self.reactor().run_here(|| self.refuse(&call, RETRY));
        } else {
            state.calls.push(call);
        }
        None
    }

    /// The application has done with a request, or not begun it, and `running` are left.
    pub(crate) fn note_running(&self, running: u64) {
        if running == 0 && self.is_paused() {
            self.tell_pause(self.slot.pause());
        }
    }

    fn tell_pause(&self, number: u64) {
        let tell = |running| {
            let _ = self.channel.send(&FromWorker::Paused { number, running }, &[]);
        };
        let running = self.slot.read().running;
        tell(running);
        // What another thread has told meanwhile came before it.
        if running > 0 && self.slot.read().running == 0 {
            tell(0);
        }
    }

    /// It serves, or would: a pause that was there before it has been obeyed.
    pub(crate) fn confirm_pause(&self) {
        if self.is_paused() {
            self.tell_pause(self.slot.pause());
        }
    }

    pub(crate) fn on_pause(&self, number: u64) {
        self.watch_listeners(self.wants_listening.load(SeqCst));
        self.tell_pause(number);
    }

    pub(crate) fn on_resume(&self) {
        let calls = std::mem::take(&mut self.held.lock().calls);
        // Whose client has left needs no answer.
        calls
            .into_iter()
            .filter(|call| !call.reply.exchange.is_gone())
            .for_each(|call| self.submit(call));
        if self.leave_at.load(SeqCst) != NEVER {
            let mercy = u64::try_from(self.config.mercy.as_millis()).unwrap_or(NEVER / 2);
            let leave_at = self.deadlines.advance().saturating_add(mercy);
            self.leave_at.store(leave_at, SeqCst);
            self.deadlines.look_at(leave_at);
        }
        self.watch_listeners(self.wants_listening.load(SeqCst));
    }

    pub(crate) fn on_refuse(&self) {
        let calls = {
            let mut state = self.held.lock();
            state.refuses = true;
            std::mem::take(&mut state.calls)
        };
        calls.iter().for_each(|call| self.refuse(call, RETRY));
        self.deadlines.look_at(self.leave_at.load(SeqCst));
    }
}
