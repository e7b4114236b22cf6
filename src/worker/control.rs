//! What reaches a worker beside requests: messages of the master, signals, and time.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rwsgi_core::ipc::{Received, ToWorker};
use rwsgi_core::log::{self, Event};
use rwsgi_core::shortage;
use rwsgi_reactor::{Duty, Token};

use crate::accept::{Accepted, RECOVERY};
use crate::connection::{self, Connection};
use crate::template;
use crate::worker::{DrainReason, Worker};

/// The channel to the master. Smaller numbers are listeners.
pub(crate) const CHANNEL: Token = 1 << 20;
/// A signal has arrived.
pub(crate) const SIGNAL: Token = CHANNEL + 1;

/// The duties of who leads a worker.
pub(crate) struct Post {
    pub(crate) worker: Arc<Worker>,
    /// Readable when SIGTERM was sent to this worker itself.
    pub(crate) signals: UnixStream,
}

impl Duty for Post {
    fn timeout(&self) -> Option<Duration> {
        self.worker.deadlines.timeout()
    }

    fn on_time(&self) {
        let now = self.worker.deadlines.advance();
        if self.worker.deadlines.is_due(now) {
            self.worker.look_at_deadlines(now);
        }
    }

    fn on_token(&self, token: Token) {
        match token {
            CHANNEL => self.on_channel(),
            SIGNAL => {
                let _ = std::io::Read::read(&mut &self.signals, &mut [0; 16]);
                self.worker.drain(DrainReason::Signal);
            }
            listener => self.accept(listener as usize),
        }
    }

    fn take_in(&self, allowed: bool) {
        self.worker.watch_listeners(allowed);
        if !allowed {
            self.worker.tell_busy();
        }
    }

    fn overdue(&self) {
        if self.worker.is_resting() {
            return;
        }
        for (index, listener) in self.worker.listeners.iter().enumerate() {
            if listener.is_overdue() {
                self.accept(index);
            }
        }
        if self.worker.listeners.iter().any(|listener| listener.is_waited_at()) {
            self.worker.tell_busy();
        }
    }

    fn watches(&self) -> bool {
        self.worker.overtime.watches()
    }

    fn look(&self) {
        self.worker.overtime.look(&self.worker);
    }
}

impl Post {
    fn on_channel(&self) {
        match self.worker.channel.receive::<ToWorker>() {
            Ok(Received::Message(ToWorker::Drain { linger_ms, mercy_ms }, _)) => {
                let linger = Duration::from_millis(linger_ms);
                let mercy = Duration::from_millis(mercy_ms);
                self.worker.drain(DrainReason::Order { linger, mercy });
            }
            Ok(Received::Message(ToWorker::ReopenLog, _)) => log::reopen(),
            Ok(Received::Message(ToWorker::Stacks { ticket }, _)) => {
                let worker = Arc::clone(&self.worker);
                self.worker.inquirer.ask(move |py| worker.tell_stacks(py, ticket));
            }
            Ok(Received::Message(ToWorker::Pause { number }, _)) => self.worker.on_pause(number),
            Ok(Received::Message(ToWorker::Resume, _)) => self.worker.on_resume(),
            Ok(Received::Message(ToWorker::Refuse, _)) => self.worker.on_refuse(),
            Ok(Received::Closed) => {
                // Nobody is left who could end a pause.
                self.worker.slot.end_pause();
                self.worker.on_resume();
                let _ = self.worker.reactor().unwatch(self.worker.channel.as_fd());
                if let Some(stderr) = log::stderr() {
                    // Nobody reads what is written to the pipe.
                    template::write_to(stderr.as_fd());
                }
                self.worker.drain(DrainReason::MasterGone);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => {
                log::error(Event::SystemError, format!("the channel to the master: {error}"))
                    .send();
            }
        }
    }

    /// Takes one connection: what else waits is for whoever is free next, here or elsewhere.
    fn accept(&self, index: usize) {
        let worker = &self.worker;
        let Some(listener) = worker.listeners.get(index) else { return };
        // The order to drain may have come in the same turn as the connection: another worker takes it.
        if worker.is_draining() || worker.is_paused() || !worker.has_room() {
            return;
        }
        match listener.accept() {
            Accepted::Connection(fd, peer) => {
                let connection = Connection::new(worker, fd, peer, Arc::clone(listener));
                let connection = Arc::new(connection);
                let (key, ours) = (worker.add(&connection), Arc::clone(worker));
                worker.reactor().spawn(async move {
                    connection::serve(Arc::clone(&ours), connection).await;
                    ours.remove(key);
                });
            }
            Accepted::Nobody => {}
            Accepted::Exhausted(error) => {
                let millis = RECOVERY.as_millis();
                let error = shortage::explain(&error);
                let message = format!("accept: {error}; trying again in {millis} ms");
                worker.complain("", log::error(Event::SystemError, message));
                worker.evict_idle();
                worker.pause_listeners();
            }
        }
    }
}
