//! How fast a client has to be: deadlines for what it sends and takes, and the least rate.
//!
//! All times are the worker's milliseconds. Atomics are relaxed: one thread at a time works on a
//! connection, and the look at deadlines may be late.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use rwsgi_core::sys;
use rwsgi_reactor::Source;

use crate::deadlines::{Deadlines, NEVER};
use crate::worker::Worker;

/// Until the least rate counts.
const GRACE: u64 = 5_000;
/// How often the progress of a response that waits for its client is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// A pause of the application after which the rate of a response is measured anew.
const PAUSE: u64 = 1000;

/// What the client has to send.
#[derive(Debug)]
pub(crate) struct Reading {
    deadline: AtomicU64,
    since: AtomicU64,
    bytes: AtomicU64,
    /// Since when nobody has wanted more of a body that has begun.
    paused: AtomicU64,
}

impl Default for Reading {
    fn default() -> Self {
        let (since, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { deadline: AtomicU64::new(NEVER), since, bytes, paused: AtomicU64::new(NEVER) }
    }
}

impl Reading {
    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.load(Relaxed)
    }

    /// Since when it is waited.
    pub(crate) fn since(&self) -> u64 {
        self.since.load(Relaxed)
    }

    /// Something is waited for, `time` at most.
    pub(crate) fn within(&self, worker: &Worker, time: Duration) {
        self.since.store(worker.deadlines.now(), Relaxed);
        self.paused.store(NEVER, Relaxed);
        worker.deadlines.set(&self.deadline, time);
    }

    /// Nothing is waited for.
    pub(crate) fn stop(&self) {
        self.deadline.store(NEVER, Relaxed);
    }

    /// What is waited for has to come by `deadline`.
    pub(crate) fn hurry(&self, deadline: u64) {
        self.deadline.fetch_min(deadline, Relaxed);
    }

    /// A body is waited for, or the rest of one: for its rate only the time counts in which it is.
    pub(crate) fn begin_body(&self, worker: &Worker) {
        let now = worker.deadlines.now();
        match self.paused.swap(NEVER, Relaxed) {
            NEVER => {
                self.since.store(now, Relaxed);
                self.bytes.store(0, Relaxed);
            }
            paused => {
                self.since.fetch_add(now.saturating_sub(paused), Relaxed);
            }
        }
        self.count_body(worker, 0);
    }

    /// Nobody waits for more of a body, for now.
    pub(crate) fn pause_body(&self, worker: &Worker) {
        self.paused.store(worker.deadlines.now(), Relaxed);
        self.stop();
    }

    /// This many bytes of the body have come.
    pub(crate) fn count_body(&self, worker: &Worker, bytes: usize) {
        let http = &worker.config.http;
        let bytes = self.bytes.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        let pause = worker.deadlines.after(http.io_timeout);
        let deadline = match (bytes * 1000).checked_div(http.minimum_rate) {
            Some(allowed) => pause.min(Deadlines::round(self.since() + GRACE + allowed)),
            None => pause,
        };
        self.deadline.store(deadline, SeqCst);
        worker.deadlines.look_at(deadline);
    }
}

/// What the client has to take.
#[derive(Debug)]
pub(crate) struct Writing {
    deadline: AtomicU64,
    /// Bytes that the kernel has taken from us, on this connection.
    sent: AtomicU64,
    /// When a client that is behind began to be measured, and what it had taken by then.
    since: AtomicU64,
    base: AtomicU64,
    /// When it was last seen to have taken something, and how much it had.
    moved: AtomicU64,
    taken: AtomicU64,
    /// When there was room again.
    unblocked: AtomicU64,
    /// When it is looked at next, however often there is room until then: a client that takes a
    /// little now and then is measured, too.
    look: AtomicU64,
}

impl Default for Writing {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            deadline: AtomicU64::new(NEVER),
            sent: zero(),
            since: zero(),
            base: zero(),
            moved: zero(),
            taken: zero(),
            unblocked: zero(),
            look: zero(),
        }
    }
}

impl Writing {
    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.load(Relaxed)
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.deadline() != NEVER
    }

    pub(crate) fn stop(&self) {
        self.deadline.store(NEVER, Relaxed);
    }

    /// The kernel has taken this many bytes.
    pub(crate) fn count(&self, worker: &Worker, bytes: usize) {
        self.sent.store(self.sent.load(Relaxed) + bytes as u64, Relaxed);
        if self.is_blocked() {
            self.stop();
            self.unblocked.store(worker.deadlines.now(), Relaxed);
        }
    }

    /// The kernel takes no more: the client is behind.
    pub(crate) fn block(&self, worker: &Worker, source: &Source) {
        if self.is_blocked() {
            return;
        }
        let now = worker.deadlines.now();
        let taken = self.taken_of(source);
        let is_new = self.since.load(Relaxed) == 0;
        if is_new || now.saturating_sub(self.unblocked.load(Relaxed)) > PAUSE {
            self.since.store(now, Relaxed);
            self.base.store(taken, Relaxed);
            self.look.store(0, Relaxed);
        }
        self.taken.store(taken, Relaxed);
        self.moved.store(now, Relaxed);
        match self.look.load(Relaxed) {
            0 => self.look_again(worker),
            look => {
                self.deadline.store(look, SeqCst);
                worker.deadlines.look_at(look);
            }
        }
    }

    /// Whether the client is to be given up at `now`.
    pub(crate) fn is_hopeless(&self, worker: &Worker, source: &Source, now: u64) -> bool {
        if now < self.deadline() {
            return false;
        }
        let http = &worker.config.http;
        let taken = self.taken_of(source);
        if taken > self.taken.load(Relaxed) {
            self.taken.store(taken, Relaxed);
            self.moved.store(now, Relaxed);
        }
        let pause = now.saturating_sub(self.moved.load(Relaxed));
        let elapsed = now.saturating_sub(self.since.load(Relaxed));
        let got = taken.saturating_sub(self.base.load(Relaxed));
        let is_slow = elapsed > GRACE && got * 1000 < http.minimum_rate * (elapsed - GRACE);
        self.look_again(worker);
        is_slow || u128::from(pause) >= http.io_timeout.as_millis()
    }

    fn look_again(&self, worker: &Worker) {
        worker.deadlines.set(&self.deadline, worker.config.http.io_timeout.min(LOOK));
        self.look.store(self.deadline(), Relaxed);
    }

    /// Bytes that the client's side has acknowledged.
    fn taken_of(&self, source: &Source) -> u64 {
        let queued = sys::unsent(source.fd().as_fd()).unwrap_or(0);
        self.sent.load(Relaxed).saturating_sub(queued)
    }
}
