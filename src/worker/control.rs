//! What reaches a worker beside requests: messages of the master, signals, and time.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rwsgi_core::config::QueueLimits;
use rwsgi_core::ipc::{Received, ToWorker};
use rwsgi_core::log::{self, Event};
use rwsgi_core::shortage;
use rwsgi_reactor::{Bounds, Duty, Moment, Token, sooner};

use crate::accept::{Accepted, RECOVERY};
use crate::connection::{self, Connection};
use crate::relay::Given;
use crate::request::Call;
use crate::template;
use crate::worker::{DrainReason, Worker};

/// The channel to the master. Smaller numbers are listeners.
pub(crate) const CHANNEL: Token = 1 << 20;
/// A signal has arrived.
pub(crate) const SIGNAL: Token = CHANNEL + 1;
/// Another worker gives a connection away.
pub(crate) const RELAY: Token = CHANNEL + 2;

/// The duties of who leads a worker.
pub(crate) struct Post {
    pub(crate) worker: &'static Worker,
    /// Readable when SIGTERM was sent to this worker itself.
    pub(crate) signals: UnixStream,
}

impl Duty<Call> for Post {
    fn timeout(&self, now: Moment) -> Option<Duration> {
        sooner(self.worker.deadlines.timeout(now), self.worker.relay.timeout())
    }

    fn on_time(&self, now: Moment) {
        self.worker.relay.on_time();
        let now = self.worker.deadlines.advance_to(now);
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
            _ => {}
        }
    }

    fn is_door(&self, token: Token) -> bool {
        token < CHANNEL || token == RELAY
    }

    fn is_sole(&self) -> bool {
        self.worker.config.processes < 2
    }

    fn admit(&self, door: Token) -> bool {
        match door {
            RELAY => {
                let takes = !self.worker.is_paused() && self.worker.has_room();
                takes && self.worker.take_over(false)
            }
            listener => self.worker.accept(listener as usize),
        }
    }

    fn take_in(&self, allowed: bool) {
        if allowed {
            self.worker.relay.decide();
        }
        if self.worker.watch_listeners(allowed) {
            self.worker.pass_on();
        }
        if !allowed {
            self.worker.tell_busy();
        }
    }

    fn overdue(&self) {
        if self.worker.is_resting() {
            return;
        }
        if self.worker.relay.is_overdue() {
            self.worker.take_over(true);
        }
        for (index, listener) in self.worker.listeners.iter().enumerate() {
            if listener.is_overdue() && self.worker.crew().has_room() {
                self.worker.accept(index);
            }
        }
        if self.worker.listeners.iter().any(|listener| listener.is_waited_at()) {
            self.worker.tell_busy();
        }
    }

    fn bounds(&self) -> Bounds {
        let QueueLimits { most, patience, timeout } = self.worker.config.queue;
        Bounds { most: most as usize, patience, timeout }
    }

    fn turn_away(&self, call: Call, waited: Option<Duration>) {
        self.worker.turn_away(&call, waited);
    }

    fn waiting(&self, count: usize) {
        self.worker.slot.set_waiting(count as u64);
    }

    fn watches(&self) -> bool {
        self.worker.overtime.watches()
    }

    fn look(&self) {
        self.worker.overtime.look(self.worker);
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
                let worker = self.worker;
                self.worker.inquirer.ask(move |py| worker.tell_stacks(py, ticket));
            }
            Ok(Received::Message(ToWorker::Pause { number }, _)) => self.worker.on_pause(number),
            Ok(Received::Message(ToWorker::Resume, _)) => self.worker.on_resume(),
            Ok(Received::Message(ToWorker::Refuse, _)) => self.worker.on_refuse(),
            Ok(Received::Message(ToWorker::LookAgain, _)) => self.worker.look_again(),
            Ok(Received::Message(ToWorker::Signal { number, recurs }, _)) => {
                self.worker.on_signal(number, recurs);
            }
            Ok(Received::Message(ToWorker::Prove, _)) => self.worker.proof.give(self.worker),
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
}

/// Newcomers.
impl Worker {
    /// Takes one connection: what else waits is for whoever is free next, here or elsewhere.
    fn accept(&'static self, index: usize) -> bool {
        !self.is_draining() && !self.is_paused() && self.has_room() && self.accept_from(index)
    }

    /// Takes what this worker may have been woken for before it ceased to watch its listeners: the
    /// kernel wakes one worker for a connection, and if that one does not take it, nobody is.
    pub(crate) fn take_last(&'static self) {
        for index in 0..self.listeners.len() {
            if !self.is_paused() && self.has_room() {
                self.accept_from(index);
            }
        }
    }

    /// Has the kernel tell again who waits at the listeners, as it does when they are watched anew.
    pub(crate) fn look_again(&self) {
        let wanted = self.wants_listening.load(Relaxed);
        self.watch_listeners(false);
        self.watch_listeners(wanted);
    }

    /// A worker that is busy, or full, and was perhaps woken for who waits, sends word to another one.
    pub(crate) fn pass_on(&self) {
        let waits = || self.listeners.iter().any(|listener| listener.has_newcomer());
        if self.config.processes > 1
            && self.scoreboard.has_idle_beside(&self.slot, self.relay.team, u64::MAX)
            && waits()
        {
            self.relay.knock();
        }
    }

    pub(crate) fn accept_from(&'static self, index: usize) -> bool {
        let Some(listener) = self.listeners.get(index) else { return false };
        match listener.accept() {
            Accepted::Connection(fd, peer) => {
                self.welcome(Connection::new(self, fd, peer, Arc::clone(listener)));
                true
            }
            Accepted::Nobody => false,
            Accepted::Exhausted(error) => {
                let millis = RECOVERY.as_millis();
                let error = shortage::explain(&error);
                let message = format!("accept: {error}; trying again in {millis} ms");
                self.complain("", log::error(Event::SystemError, message));
                self.evict_idle();
                self.pause_listeners();
                false
            }
        }
    }

    /// Takes a connection that a busy worker has given away; `overdue`: nobody else has.
    pub(crate) fn take_over(&'static self, overdue: bool) -> bool {
        let (handed, fd) = loop {
            match self.relay.receive() {
                Some(Given::Connection(handed, fd)) => break (handed, fd),
                Some(Given::Knock) if overdue => {}
                Some(Given::Knock) => {
                    return (0..self.listeners.len()).filter(|index| self.accept(*index)).count()
                        > 0;
                }
                None => return false,
            }
        };
        let Some(listener) = self.listeners.get(handed.listener) else { return false };
        let connection = Connection::new(self, fd, handed.peer, Arc::clone(listener));
        handed.announced.into_iter().for_each(|announced| connection.announce(announced));
        connection.rounds.store(if overdue { handed.rounds + 1 } else { 0 }, Relaxed);
        self.welcome(connection);
        true
    }

    fn welcome(&'static self, connection: Connection) {
        let connection = Arc::new(connection);
        let key = self.add(&connection);
        self.reactor().launch(async move {
            connection::serve(self, connection).await;
            self.remove(key);
        });
    }
}
