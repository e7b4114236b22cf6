//! The connections of a worker, its listeners, and when there is room for another client; how all of
//! them come to an end.

use std::os::fd::AsFd as _;
use std::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::FromWorker;
use rwsgi_core::log::{self, Event};
use rwsgi_core::{shortage, sys};
use slab::Slab;

use crate::accept::RECOVERY;
use crate::connection::Connection;
use crate::control::RELAY;
use crate::deadlines::NEVER;
use crate::worker::{DrainReason, Worker};

/// The longest time without a look at the deadlines of open connections, in milliseconds.
const LONGEST_PAUSE: u64 = 60_000;
/// How often hyper's part of a connection is given back before the system gets it.
const MANY_RESTS: u64 = 512;
/// How long that is left alone then, in milliseconds.
const TRIM_PAUSE: u64 = 10_000;
/// Idle connections that are closed at a time to make room.
const EVICTED: usize = 16;
/// Later than anything that a worker waits for, in milliseconds.
pub(crate) const FAR: u64 = 1 << 40;
/// How long an idle connection of a worker that drains on its own is kept.
const OWN_LINGER: Duration = Duration::from_secs(2);

/// Connections and listeners.
impl Worker {
    fn connections(&self) -> MutexGuard<'_, Slab<Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, connection: &Arc<Connection>) -> usize {
        let key = self.connections().insert(Arc::clone(connection));
        self.slot.set_connections(self.open.fetch_add(1, SeqCst) + 1);
        key
    }

    pub(crate) fn remove(&'static self, key: usize) {
        self.connections().try_remove(key);
        let open = self.open.fetch_sub(1, SeqCst) - 1;
        self.slot.set_connections(open);
        self.make_room();
        self.leave_if_done();
    }

    /// Ends a worker that drains and has nothing left to do. What a worker has given away and nobody
    /// has taken would end with the last worker of the generation: who leaves looks after it.
    fn leave_if_done(&'static self) {
        if self.is_draining() && self.open.load(SeqCst) == 0 && !self.take_over(true) {
            self.crew().stop();
        }
    }

    /// Whether another connection may be accepted; makes room if that is possible.
    pub(crate) fn has_room(&self) -> bool {
        let open = self.open.load(SeqCst);
        if open < self.max_connections {
            return true;
        }
        // Those that are closed are gone within this turn: until then the listeners rest.
        self.full.store(true, SeqCst);
        if self.watch_listeners(self.wants_listening.load(SeqCst)) {
            self.pass_on();
        }
        self.evict_idle();
        false
    }

    /// A connection rests, and hyper's part of it was given back: the allocator keeps that, between what
    /// lives on.
    pub(crate) fn count_rest(&self) {
        if self.rests.fetch_add(1, Relaxed) >= MANY_RESTS {
            self.deadlines.look_at(self.trim_at.load(Relaxed));
        }
    }

    fn trim(&self, now: u64) {
        if self.rests.load(Relaxed) < MANY_RESTS || now < self.trim_at.load(Relaxed) {
            return;
        }
        self.rests.store(0, Relaxed);
        self.trim_at.store(now + TRIM_PAUSE, Relaxed);
        sys::trim_memory();
    }

    /// A connection has become idle, or is gone: it can make room for another one.
    pub(crate) fn make_room(&self) {
        if self.full.load(Relaxed) && self.full.swap(false, SeqCst) {
            self.watch_listeners(self.wants_listening.load(SeqCst));
        }
    }

    /// Closes the connections that have been idle for longest.
    pub(crate) fn evict_idle(&self) {
        let connections = self.connections();
        let mut idle: Vec<_> = connections
            .iter()
            .filter(|(_, connection)| connection.is_idle())
            .map(|(_, connection)| (connection.reading.since(), connection))
            .collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        let mut left = EVICTED;
        for (_, connection) in idle {
            if left == 0 {
                return;
            }
            left -= usize::from(connection.dismiss());
        }
    }

    /// Watches the listeners while new work may be taken in. Returns whether it has just ceased to.
    pub(crate) fn watch_listeners(&self, allowed: bool) -> bool {
        self.wants_listening.store(allowed, SeqCst);
        let rests = self.is_resting();
        let full = self.full.load(SeqCst);
        let listen = allowed && !rests && !full && !self.is_draining() && !self.is_paused();
        if self.listening.swap(listen, SeqCst) == listen {
            return false;
        }
        // Others give to who listens.
        self.slot.set_team(if listen { self.relay.team } else { 0 });
        let listeners = self.listeners.iter().map(|listener| listener.as_fd());
        let doors = (0..).zip(listeners).chain([(RELAY, self.relay.as_fd())]);
        for (token, door) in doors {
            let done = if listen {
                self.reactor.watch(door, token, true)
            } else {
                self.reactor.unwatch(door)
            };
            if let Err(error) = done {
                log::error(Event::SystemError, format!("cannot watch a listener: {error}")).send();
            }
        }
        !listen
    }

    /// Says that it serves, and accepts.
    pub(crate) fn announce(&self) {
        if self.channel.send(&FromWorker::Ready, &[]).is_err() {
            // As after SIGTERM: the master is gone, and whoever leads may be at work.
            let _ = raise(Signal::SIGTERM);
        }
        if self.is_resting() {
            self.resume_at.store(0, SeqCst);
            self.deadlines.look_at(0);
            self.reactor.kick();
        }
    }

    /// Whether it does not accept, and will later.
    pub(crate) fn is_resting(&self) -> bool {
        self.resume_at.load(SeqCst) != NEVER
    }

    /// Whether it has yet to be announced: the only client is the probe.
    pub(crate) fn is_proving(&self) -> bool {
        self.resume_at.load(SeqCst) == FAR
    }

    /// Does not accept for a moment.
    pub(crate) fn pause_listeners(&self) {
        let resume = self.deadlines.advance() + RECOVERY.as_millis() as u64;
        self.resume_at.store(resume, SeqCst);
        self.deadlines.look_at(resume);
        if self.watch_listeners(self.wants_listening.load(SeqCst)) {
            self.pass_on();
        }
    }

    /// Cuts connections whose client has not done its part, and says when to look again.
    pub(crate) fn look_at_deadlines(&self, now: u64) {
        if now >= self.leave_at.load(SeqCst) && !self.is_frozen() {
            log::warning(Event::WorkerExited, "leaving with requests unfinished: mercy is over")
                .send();
            log::flush();
            sys::exit_now(ExitCode::Ok as u8);
        }
        if !self.is_frozen() {
            self.deadlines.look_at(self.leave_at.load(SeqCst));
        }
        if now >= self.resume_at.load(SeqCst) {
            self.resume_at.store(NEVER, SeqCst);
            self.watch_listeners(self.wants_listening.load(SeqCst));
        }
        self.deadlines.look_at(self.resume_at.load(SeqCst));
        self.trim(now);
        self.retire_if_due(now);
        self.deadlines.look_at(self.complaints.look(now));
        for (_, connection) in self.connections().iter() {
            self.deadlines.look_at(connection.look(self, now));
        }
        if self.open.load(SeqCst) > 0 {
            // Should a deadline ever be missed, it is not missed for long.
            self.deadlines.look_at(now + LONGEST_PAUSE);
        }
    }

    /// The next start is to have these addresses at once, however long requests take here. Who waits
    /// where nobody will accept again is taken in before.
    fn let_go_of_listeners(&'static self, serves: bool) {
        for (index, listener) in self.listeners.iter().enumerate() {
            if serves && listener.is_ours_alone() {
                // Not more than can wait: under load somebody always comes.
                let mut most = self.config.backlog;
                while most > 0 && self.has_room() && self.accept_from(index) {
                    most -= 1;
                }
                if most == 0 || !listener.has_newcomer() {
                    listener.shut();
                }
            }
            if let Err(error) = listener.let_go() {
                let message = format!("cannot close a listener: {}", shortage::explain(&error));
                log::error(Event::SystemError, message).send();
            }
        }
    }

    /// Accepts no more; what is there is finished. Idle connections are closed after the linger.
    pub(crate) fn drain(&'static self, reason: DrainReason) {
        let (linger, mercy) = match reason {
            DrainReason::Order { linger, mercy } => (linger, mercy),
            DrainReason::Signal | DrainReason::MasterGone => (OWN_LINGER, self.config.mercy),
        };
        let now = self.deadlines.advance();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(NEVER / 2);
        self.linger_ms.store(millis(linger), SeqCst);
        self.leave_at.fetch_min(now.saturating_add(millis(mercy)), SeqCst);
        self.deadlines.look_at(self.leave_at.load(SeqCst));
        let orphaned = matches!(reason, DrainReason::MasterGone);
        if self.draining.swap(true, SeqCst) {
            if orphaned {
                self.let_go_of_listeners(false);
            }
            return;
        }
        let listened = self.watch_listeners(false);
        if orphaned {
            if self.is_proving() {
                // It has no client, and nobody waits for what the probe comes to.
                log::flush();
                sys::exit_now(ExitCode::Ok as u8);
            }
            self.let_go_of_listeners(true);
        } else if listened {
            self.take_last();
        }
        if !orphaned {
            // From here on nobody who connects is served by this worker.
            let _ = self.channel.send(&FromWorker::Draining, &[]);
        }
        let close_idle = now + millis(linger);
        for (_, connection) in self.connections().iter() {
            connection.hurry(close_idle);
        }
        self.deadlines.look_at(close_idle);
        self.leave_if_done();
    }
}
